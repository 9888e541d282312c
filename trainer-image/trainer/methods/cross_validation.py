"""The loss of a setting on rows it was not trained on: folds within the training rows, by unit.

Each fold is predicted by a model of the other folds, stopped early on the validation rows: a fold that decided
about its own model's rounds would look better than it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrainer.api.v1alpha1.training_parts import XGBoost
from trainer.errors import Diverged
from trainer.methods.boosting import xgboost
from trainer.methods.folds import grouped_folds
from trainer.methods.problem import History, Problem, boost, last_loss


@dataclass(frozen=True)
class CrossValidation:
    """The folds of one target."""

    problem: Problem
    fold_of_row: NDArray[np.int64]
    """(training rows)."""
    fold_weights: tuple[float, ...]
    """Total weight of the rows of each fold."""
    rounds: int
    patience: int
    check: Callable[[], None]
    """Raises Interrupted when asked to stop."""

    def loss(self, parameters: Mapping[str, Any], fold: int) -> float:
        """Mean loss on the rows of a fold. Raises ConfigurationError, Diverged, Interrupted."""
        problem, held = self.problem, self.fold_of_row == fold
        history = History(self.patience if len(problem.validation) else None)
        train, validation = problem.data(problem.train, ~held), problem.data(problem.validation)
        booster = boost(parameters, train, validation, self.rounds, None, _FoldRounds(history, self.check))
        best = booster[: booster.num_boosted_rounds() - history.surplus]
        loss = problem.mean_loss(problem.answers(best, problem.train.matrix[held]), problem.train, held)
        if not np.isfinite(loss):
            raise Diverged("the loss of a trial is not finite")
        return loss


def cross_validation(
    problem: Problem, settings: XGBoost, folds: int, seed: int, check: Callable[[], None]
) -> CrossValidation:
    """Divide the training rows. Raises DataError where there are fewer units than folds."""
    rows = problem.train
    codes = rows.truths if problem.classes else None
    fold_of_row = grouped_folds(rows.units, codes, folds, seed, problem.name)
    weights = problem.weights(rows.truths)
    totals = np.bincount(fold_of_row, weights=weights, minlength=folds)
    return CrossValidation(
        problem=problem,
        fold_of_row=fold_of_row,
        fold_weights=tuple(float(total) for total in totals),
        rounds=settings.trees,
        patience=settings.early_stopping_rounds,
        check=check,
    )


class _FoldRounds(xgboost.callback.TrainingCallback):
    """The rounds of one fold's model: early stopping on the validation rows, and looking whether to stop at all."""

    def __init__(self, history: History, check: Callable[[], None]) -> None:
        super().__init__()
        self._history = history
        self._check = check

    def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
        """Called by xgboost after every round; True ends the training."""
        loss = last_loss(evals_log)
        if not np.isfinite(loss):
            raise Diverged("the loss of a trial is not finite")
        self._history.note(loss)
        self._check()
        return self._history.stopped
