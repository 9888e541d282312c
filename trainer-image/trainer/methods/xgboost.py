"""Method xgboost: one booster per target, trained anew or continued from the champion's."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrainer.api.v1alpha1.training_parts import Tuning, XGBoost
from trainer.artifact import Artifact
from trainer.checkpoint import Checkpoints, Part
from trainer.errors import ConfigurationError, Diverged
from trainer.interrupt import Interrupt
from trainer.methods.boosting import xgboost
from trainer.methods.cross_validation import cross_validation
from trainer.methods.parameters import Setting, check_method
from trainer.methods.problem import History, Problem, boost, build_problem, last_loss, predict
from trainer.methods.tabular import SCHEMA_FILE, ModelSchema, TargetSchema, aligned, require_continuable
from trainer.methods.tuning import Search, Tuner, space_of
from trainer.progress import Progress
from trainer.rows import FeatureSpec
from trainer.table import Matrix, Table

DEFAULT_LEARNING_RATE = 0.3
CHECKPOINT_SECONDS = 30.0
CELLS_PER_THREAD = 100_000


@dataclass(frozen=True)
class TabularModel:
    """Boosters with their schema."""

    schema: ModelSchema
    boosters: tuple[Any, ...]
    """In the order of the schema's targets."""

    def answers(self, matrix: Matrix, given: Sequence[FeatureSpec], target: str) -> NDArray[np.float64] | None:
        """Probabilities (rows, classes) or numbers (rows); None where the model cannot answer."""
        columns = aligned(matrix, given, self.schema.features)
        places = {t.name: place for place, t in enumerate(self.schema.targets)}
        if columns is None or target not in places:
            return None
        schema = self.schema.targets[places[target]]
        return predict(self.boosters[places[target]], schema.type, len(schema.classes), columns)


def load_model(artifact: Artifact, threads: int) -> TabularModel:
    """The model of an artifact, every byte checked. Raises ConfigurationError."""
    schema = ModelSchema.from_json(artifact.read(SCHEMA_FILE))
    boosters = tuple(_load(artifact.read(target.weights), threads) for target in schema.targets)
    return TabularModel(schema, boosters)


def _load(weights: bytes, threads: int) -> Any:
    booster = xgboost.Booster({"nthread": threads})
    try:
        booster.load_model(bytearray(weights))
    except xgboost.core.XGBoostError:
        raise ConfigurationError("the model's weights cannot be read by this version of xgboost") from None
    booster.set_param({"nthread": threads})
    return booster


def thread_count(cpu: str | None, cells: int) -> int:
    """Threads for a table of so many cells: at most the processors that the Job asked for ("4", "500m"), and
    those there are. Small tables get one: waiting for each other costs more than the work."""
    there = min(len(os.sched_getaffinity(0)), max(1, cells // CELLS_PER_THREAD))
    if not cpu:
        return there
    try:
        asked = float(cpu[:-1]) / 1000 if cpu.endswith("m") else float(cpu)
    except ValueError:
        raise ConfigurationError("spec.job.resources.cpu: must be like 4 or 500m") from None
    return max(1, min(there, math.ceil(asked)))


@dataclass(frozen=True)
class Training:
    """One run of the method."""

    settings: XGBoost
    table: Table
    parent: TabularModel | None
    """The champion for an Incremental run."""
    seed: int
    threads: int
    checkpoints: Checkpoints
    progress: Progress
    interrupt: Interrupt
    clock: Callable[[], float] = time.monotonic

    def run(self) -> tuple[TabularModel, dict[str, tuple[float, ...]]]:
        """The trained model, cut at its best rounds, and the losses per target and round.

        Raises ConfigurationError, DataError, SchemaMismatch, Diverged, Interrupted (after saving a checkpoint)."""
        features = self._features()
        self.progress.begin_steps()
        pieces = [self._target(n, features) for n in range(len(self.table.targets))]
        schema = ModelSchema(features, tuple(piece[0] for piece in pieces))
        losses = {piece[0].name: piece[2] for piece in pieces}
        return TabularModel(schema, tuple(piece[1] for piece in pieces)), losses

    def _features(self) -> tuple[FeatureSpec, ...]:
        if self.parent is None:
            return self.table.features
        described = [
            (target.name, target.type or "Classification", self._classes(n))
            for n, target in enumerate(self.table.targets)
        ]
        require_continuable(self.parent.schema, self.table.features, described)
        return self.parent.schema.features

    def _classes(self, number: int) -> tuple[str, ...]:
        """Classes that occur on the sides that may be learnt from, sorted."""
        if self.table.targets[number].type == "Regression":
            return ()
        sides = (self.table.train, self.table.validation)
        return tuple(sorted({truth for side in sides for truth in side.truths[number] if truth is not None}))

    def _target(
        self, number: int, features: tuple[FeatureSpec, ...]
    ) -> tuple[TargetSchema, Any, tuple[float, ...]]:
        parent = self._parent_target(self.table.targets[number].name)
        classes = self._classes(number) if parent is None else parent[0].classes
        weigh = self.settings.class_weights is not None
        problem = build_problem(self.table, number, features, classes, weigh, self.threads)
        given = check_method(self.settings)
        found = parent[0].tuned if parent else self._tuned(number, problem, given)
        tuned = {name: value for name, value in found.items() if name not in given}
        usual = parent[0].full_learning_rate if parent else DEFAULT_LEARNING_RATE
        full_rate = float({**tuned, **given}.get("eta", usual))
        rate = full_rate * float(self.settings.learning_rate_scale) if parent else full_rate
        rounds = _Rounds(self, number, problem, parent[1] if parent else None)
        booster = rounds.train(self._parameters(problem, {**tuned, **given, "eta": rate}))
        schema = TargetSchema(
            name=problem.name,
            type=problem.kind,
            classes=classes,
            weights=f"weights/{problem.name}.ubj",
            rounds=booster.num_boosted_rounds(),
            learning_rate=rate,
            full_learning_rate=full_rate,
            tuned=tuned,
        )
        return schema, booster, rounds.losses

    def _parent_target(self, name: str) -> tuple[TargetSchema, Any] | None:
        if self.parent is None:
            return None
        pairs = zip(self.parent.schema.targets, self.parent.boosters, strict=True)
        return next((target, booster) for target, booster in pairs if target.name == name)

    def _parameters(self, problem: Problem, chosen: Mapping[str, Setting]) -> dict[str, Any]:
        fixed = {"seed": self.seed, "nthread": self.threads, "verbosity": 0}
        return {"tree_method": "hist", "eta": DEFAULT_LEARNING_RATE, **chosen, **problem.objective(), **fixed}

    def _tuned(self, number: int, problem: Problem, given: Mapping[str, Setting]) -> dict[str, Setting]:
        """The best parameters for a target, searched by cross-validation; none without `tuning`."""
        tuning = self.settings.tuning
        if tuning is None:
            return {}
        validation = cross_validation(problem, self.settings, tuning.folds, self.seed, self.interrupt.check)
        watch = _SearchWatch(self, number, problem.name)
        tuner = Tuner(
            settings=tuning,
            target=problem.name,
            space=space_of(given),
            fold_weights=validation.fold_weights,
            seed=self.seed,
            budget=self._budget(number, tuning),
            loss=lambda trial, fold: validation.loss(self._parameters(problem, {**trial, **given}), fold),
            report=watch.report,
            save=watch.save,
            clock=self.clock,
        )
        search = tuner.run(self.checkpoints.searches.get(problem.name, Search()))
        self.progress.say(f"train: {tuner.summary(search)}")
        return dict(tuner.best(search).parameters)

    def _budget(self, number: int, tuning: Tuning) -> float:
        """Seconds for the search of this target: an equal share of what earlier targets left."""
        if tuning.timeout_seconds is None:
            return math.inf
        earlier = {target.name for target in self.table.targets[:number]}
        spent = sum(search.seconds for name, search in self.checkpoints.searches.items() if name in earlier)
        return max(0.0, tuning.timeout_seconds - spent) / (len(self.table.targets) - number)

    def steps_before(self, number: int) -> int:
        """Boosting rounds, at most, of the targets before this one; those of the searches included."""
        return number * (self.rounds + self.search_steps)

    @property
    def rounds(self) -> int:
        """Boosting rounds of one target, at most."""
        return self.settings.trees if self.parent is None else self.settings.additional_trees

    @property
    def search_steps(self) -> int:
        """Boosting rounds of one target's search, at most."""
        tuning = self.settings.tuning
        return 0 if tuning is None or self.parent is not None else tuning.trials * tuning.folds * self.settings.trees

    def report(self, step: int, loss: float | None) -> None:
        """Tell how far the whole training is."""
        total = self.steps_before(len(self.table.targets))
        self.progress.report(5 + 80 * step / total, step, total, loss)


class _SearchWatch:
    """Progress and checkpoints of one target's search."""

    def __init__(self, training: Training, number: int, name: str) -> None:
        self._training = training
        self._number = number
        self._name = name
        self._saved_at = training.clock()

    def report(self, search: Search) -> None:
        """After every fold."""
        settings = self._training.settings
        folds = sum(len(trial.losses) for trial in search.trials)
        self._training.report(self._training.steps_before(self._number) + folds * settings.trees, None)
        if self._training.clock() - self._saved_at >= CHECKPOINT_SECONDS:
            self.save(search)

    def save(self, search: Search) -> None:
        self._training.checkpoints.save_search(self._name, search)
        self._saved_at = self._training.clock()


class _Rounds(xgboost.callback.TrainingCallback):
    """The rounds of one target: losses, early stopping, progress and checkpoints, across attempts."""

    def __init__(self, training: Training, number: int, problem: Problem, parent: Any | None) -> None:
        super().__init__()
        self._training = training
        self._number = number
        self._problem = problem
        self._parent = parent
        self._saved_at = training.clock()
        self._history = History(training.settings.early_stopping_rounds if len(problem.validation) else None)

    @property
    def losses(self) -> tuple[float, ...]:
        """Per round, those of earlier attempts included."""
        return self._history.losses

    def train(self, parameters: Mapping[str, Any]) -> Any:
        """The booster, cut at its best rounds."""
        name, start = self._problem.name, self._parent
        saved = self._training.checkpoints.parts.get(name)
        if saved is not None:
            for loss in saved.losses:
                self._history.note(loss)
            self._training.progress.say(f"train: {name} continues after round {len(self.losses)}")
            start = _load(saved.weights, self._training.threads)
            if saved.finished:
                return start
        booster = self._boost(parameters, start)
        # Without the rounds after the best one on the validation rows.
        best = booster[: booster.num_boosted_rounds() - self._history.surplus]
        self._training.checkpoints.save(name, Part(bytes(best.save_raw("ubj")), self.losses, True))
        return best

    def _boost(self, parameters: Mapping[str, Any], start: Any | None) -> Any:
        left = self._training.rounds - len(self.losses)
        if self._history.stopped or left <= 0:
            return start
        problem = self._problem
        # A continued run must not draw the same random rows again as its first rounds did.
        seeded = {**parameters, "seed": parameters["seed"] + len(self.losses)}
        return boost(seeded, problem.data(problem.train), problem.data(problem.validation), left, start, self)

    def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
        """Called by xgboost after every round; True ends the training."""
        loss = last_loss(evals_log)
        if not math.isfinite(loss):
            raise Diverged(
                f"target {self._problem.name}: the loss is not finite after round {len(self.losses) + 1}; "
                "lower eta, or look for extreme labels"
            )
        self._history.note(loss)
        before = self._training.steps_before(self._number) + self._training.search_steps
        self._training.report(before + len(self.losses), loss)
        if self._training.interrupt.asked:
            self._save(model)
            self._training.interrupt.check()
        elif self._training.clock() - self._saved_at >= CHECKPOINT_SECONDS:
            self._save(model)
        return self._history.stopped

    def _save(self, model: Any) -> None:
        part = Part(bytes(model.save_raw("ubj")), self.losses, False)
        self._training.checkpoints.save(self._problem.name, part)
        self._saved_at = self._training.clock()
