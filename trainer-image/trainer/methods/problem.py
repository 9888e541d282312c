"""One target's rows as xgboost takes them, weighted and cut into folds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.errors import ConfigurationError, DataError
from trainer.methods.boosting import xgboost
from trainer.methods.class_weights import balanced
from trainer.methods.tabular import aligned, feature_types
from trainer.metrics import LEAST_PROBABILITY
from trainer.rows import FeatureSpec
from trainer.selection import Mask
from trainer.table import Matrix, Side, Table


@dataclass(frozen=True)
class Rows:
    """The labelled rows of one side."""

    matrix: Matrix
    """(rows, features), in the model's order of features and categories."""
    truths: NDArray[np.float32]
    """(rows): places in the class list, or numbers."""
    units: NDArray[Any]
    """(rows): names of the units."""

    def __len__(self) -> int:
        return len(self.truths)


@dataclass(frozen=True)
class Problem:
    """What is learnt for one target, and from which rows."""

    name: str
    kind: str
    """Classification or Regression."""
    classes: tuple[str, ...]
    features: tuple[FeatureSpec, ...]
    train: Rows
    validation: Rows
    class_weights: NDArray[np.float64] | None
    """(classes): the weight of a row of each class; None where rows count alike."""
    threads: int

    def data(self, rows: Rows, chosen: Mask | None = None) -> Any | None:
        """The DMatrix of (the chosen ones of) these rows; None where there are none."""
        matrix, truths = (rows.matrix, rows.truths) if chosen is None else (rows.matrix[chosen], rows.truths[chosen])
        if not len(truths):
            return None
        return xgboost.DMatrix(
            matrix,
            truths,
            weight=self.weights(truths),
            feature_types=feature_types(self.features),
            enable_categorical=True,
            nthread=self.threads,
        )

    def weights(self, truths: NDArray[np.float32]) -> NDArray[np.float64] | None:
        """(rows): how much each row counts; None where they count alike."""
        return None if self.class_weights is None else self.class_weights[truths.astype(np.int64)]

    def objective(self) -> dict[str, Any]:
        """What xgboost optimises."""
        if self.kind == "Regression":
            return {"objective": "reg:squarederror"}
        if len(self.classes) == 2:
            return {"objective": "binary:logistic"}
        return {"objective": "multi:softprob", "num_class": len(self.classes)}

    def answers(self, booster: Any, matrix: Matrix) -> NDArray[np.float64]:
        """Probabilities (rows, classes) or numbers (rows)."""
        return predict(booster, self.kind, len(self.classes), matrix)

    def mean_loss(self, answers: NDArray[np.float64], rows: Rows, chosen: Mask) -> float:
        """Mean log loss of probabilities (rows, classes), or mean squared error of numbers (rows)."""
        truths = rows.truths[chosen]
        if self.kind == "Regression":
            losses = (answers - truths) ** 2
        else:
            given = answers[np.arange(len(truths)), truths.astype(np.int64)]
            losses = -np.log(np.clip(given, LEAST_PROBABILITY, 1.0))
        return float(np.average(losses, weights=self.weights(truths)))


def build_problem(
    table: Table,
    number: int,
    features: tuple[FeatureSpec, ...],
    classes: tuple[str, ...],
    weigh_classes: bool,
    threads: int,
) -> Problem:
    """The problem of the table's target `number`. Raises DataError where there is nothing to tell apart."""
    target = table.targets[number]
    kind = target.type or "Classification"
    if kind == "Classification" and len(classes) < 2:
        raise DataError(f"target {target.name}: there are fewer than two classes to tell apart")
    train = _rows(table, table.train, number, features, classes)
    if not len(train):
        raise DataError(f"target {target.name}: no labelled row is left for training")
    return Problem(
        name=target.name,
        kind=kind,
        classes=classes,
        features=features,
        train=train,
        validation=_rows(table, table.validation, number, features, classes),
        class_weights=balanced(train.truths, len(classes)) if weigh_classes and classes else None,
        threads=threads,
    )


def _rows(
    table: Table, side: Side, number: int, features: tuple[FeatureSpec, ...], classes: tuple[str, ...]
) -> Rows:
    labelled = side.labelled(number)
    matrix = aligned(side.features[labelled], table.features, features)
    if matrix is None:
        raise AssertionError("the features were compared before")
    truths = side.truths[number][labelled]
    if classes:
        index = {name: place for place, name in enumerate(classes)}
        truths = np.array([index[truth] for truth in truths], dtype=np.float32)
    return Rows(matrix, np.asarray(truths, dtype=np.float32), side.units[labelled])


def predict(booster: Any, kind: str, classes: int, matrix: Matrix) -> NDArray[np.float64]:
    """Probabilities (rows, classes) or numbers (rows)."""
    raw = np.asarray(booster.inplace_predict(matrix, validate_features=False), dtype=np.float64)
    if kind == "Regression":
        return raw
    return np.stack([1 - raw, raw], axis=1) if classes == 2 else raw.reshape(len(matrix), -1)


class History:
    """Losses per round, and whether to stop: so many rounds without a better one.

    xgboost's own early stopping forgets its history when training continues from a checkpoint."""

    def __init__(self, patience: int | None) -> None:
        self._patience = patience
        self._losses: list[float] = []
        self._best = 0

    @property
    def losses(self) -> tuple[float, ...]:
        return tuple(self._losses)

    def note(self, loss: float) -> None:
        self._losses.append(loss)
        if loss < self._losses[self._best]:
            self._best = len(self._losses) - 1

    @property
    def surplus(self) -> int:
        """Rounds after the best one; 0 where rounds are not judged."""
        return len(self._losses) - 1 - self._best if self._patience is not None and self._losses else 0

    @property
    def stopped(self) -> bool:
        return self._patience is not None and self.surplus >= self._patience


def boost(
    parameters: Mapping[str, Any], train: Any, validation: Any | None, rounds: int, start: Any | None, watch: Any
) -> Any:
    """xgboost.train with its errors classified; `watch` is a callback. Raises ConfigurationError, MemoryError."""
    try:
        return xgboost.train(
            parameters,
            train,
            num_boost_round=rounds,
            evals=[(train, "train") if validation is None else (validation, "validation")],
            xgb_model=start,
            callbacks=[watch],
            verbose_eval=False,
        )
    except xgboost.core.XGBoostError as error:
        if "bad_alloc" in str(error) or "memory" in str(error).lower():
            raise MemoryError from None
        raise ConfigurationError(
            "xgboost refuses the data or a combination of spec.method.xgboost.parameters"
        ) from None


def last_loss(evals_log: Any) -> float:
    """Of the one watched set and metric."""
    return float(next(iter(next(iter(evals_log.values())).values()))[-1])
