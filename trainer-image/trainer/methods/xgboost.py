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

from retrainer.api.v1alpha1.training_parts import Target, XGBoost
from trainer.artifact import Artifact
from trainer.checkpoint import Checkpoints, Part
from trainer.errors import ConfigurationError, DataError, Diverged
from trainer.interrupt import Interrupt
from trainer.methods.boosting import xgboost
from trainer.methods.parameters import check_parameters
from trainer.methods.tabular import (
    SCHEMA_FILE,
    ModelSchema,
    TargetSchema,
    aligned,
    feature_types,
    require_continuable,
)
from trainer.progress import Progress
from trainer.rows import FeatureSpec
from trainer.table import Matrix, Side, Table

DEFAULT_LEARNING_RATE = 0.3
CHECKPOINT_SECONDS = 30.0
CELLS_PER_THREAD = 100_000
_VALIDATION = "validation"


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
        return predict(self.boosters[places[target]], self.schema.targets[places[target]], columns)


def predict(booster: Any, target: TargetSchema, matrix: Matrix) -> NDArray[np.float64]:
    """Probabilities (rows, classes) or numbers (rows)."""
    raw = np.asarray(booster.inplace_predict(matrix, validate_features=False), dtype=np.float64)
    if target.type == "Regression":
        return raw
    return np.stack([1 - raw, raw], axis=1) if len(target.classes) == 2 else raw.reshape(len(matrix), -1)


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

        Raises ConfigurationError, SchemaMismatch, Diverged, Interrupted (after saving a checkpoint)."""
        features = self._features()
        self.progress.begin_steps()
        pieces = [self._target(n, target, features) for n, target in enumerate(self.table.targets)]
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
        self, number: int, target: Target, features: tuple[FeatureSpec, ...]
    ) -> tuple[TargetSchema, Any, tuple[float, ...]]:
        parent = self._parent_target(target.name)
        classes = self._classes(number) if parent is None else parent[0].classes
        kind = target.type or "Classification"
        if kind == "Classification" and len(classes) < 2:
            raise DataError(f"target {target.name}: there are fewer than two classes to tell apart")
        parameters = self._parameters(kind, len(classes), parent[0] if parent else None)
        rounds = _Rounds(self, number, target.name, parent[1] if parent else None)
        train = self._matrix(self.table.train, number, features, classes)
        validation = self._matrix(self.table.validation, number, features, classes)
        booster = rounds.train(parameters, train, validation)
        schema = TargetSchema(
            name=target.name,
            type=kind,
            classes=classes,
            weights=f"weights/{target.name}.ubj",
            rounds=booster.num_boosted_rounds(),
            learning_rate=float(parameters["eta"]),
        )
        return schema, booster, rounds.losses

    def _parent_target(self, name: str) -> tuple[TargetSchema, Any] | None:
        if self.parent is None:
            return None
        pairs = zip(self.parent.schema.targets, self.parent.boosters, strict=True)
        return next((target, booster) for target, booster in pairs if target.name == name)

    def _parameters(self, kind: str, classes: int, parent: TargetSchema | None) -> dict[str, Any]:
        chosen: dict[str, Any] = {"tree_method": "hist"}
        chosen.update(check_parameters(self.settings.parameters or ()))
        rate = float(chosen.get("eta", parent.learning_rate if parent else DEFAULT_LEARNING_RATE))
        chosen["eta"] = rate * float(self.settings.learning_rate_scale) if parent else rate
        if kind == "Regression":
            chosen["objective"] = "reg:squarederror"
        elif classes == 2:
            chosen["objective"] = "binary:logistic"
        else:
            chosen.update(objective="multi:softprob", num_class=classes)
        return {**chosen, "seed": self.seed, "nthread": self.threads, "verbosity": 0}

    def _matrix(
        self, side: Side, number: int, features: tuple[FeatureSpec, ...], classes: tuple[str, ...]
    ) -> Any | None:
        """The labelled rows of a side; None where there are none."""
        rows = side.labelled(number)
        if not rows.any():
            return None
        matrix = aligned(side.features[rows], self.table.features, features)
        truths = side.truths[number][rows]
        if classes:
            index = {name: place for place, name in enumerate(classes)}
            truths = np.array([index[truth] for truth in truths], dtype=np.float32)
        return xgboost.DMatrix(
            matrix,
            truths,
            feature_types=feature_types(features),
            enable_categorical=True,
            nthread=self.threads,
        )


class _Rounds(xgboost.callback.TrainingCallback):
    """The rounds of one target: losses, early stopping, progress and checkpoints, across attempts.

    xgboost's own early stopping forgets its history when training continues from a checkpoint."""

    def __init__(self, training: Training, number: int, name: str, parent: Any | None) -> None:
        super().__init__()
        self._training = training
        self._number = number
        self._name = name
        self._parent = parent
        settings = training.settings
        self._total = settings.trees if parent is None else settings.additional_trees
        self._patience = settings.early_stopping_rounds
        self._saved_at = training.clock()
        self._has_validation = False
        self._losses: list[float] = []
        self._best_round = 0

    @property
    def losses(self) -> tuple[float, ...]:
        """Per round, those of earlier attempts included."""
        return tuple(self._losses)

    def _note(self, loss: float) -> None:
        self._losses.append(loss)
        if loss < self._losses[self._best_round]:
            self._best_round = len(self._losses) - 1

    def train(self, parameters: Mapping[str, Any], train: Any | None, validation: Any | None) -> Any:
        if train is None:
            raise DataError(f"target {self._name}: no labelled row is left for training")
        self._has_validation = validation is not None
        saved = self._training.checkpoints.parts.get(self._name)
        if saved is not None:
            for loss in saved.losses:
                self._note(loss)
            self._training.progress.say(f"train: {self._name} continues after round {len(self._losses)}")
        if saved is not None and saved.finished:
            return _load(saved.weights, self._training.threads)
        start = _load(saved.weights, self._training.threads) if saved is not None else self._parent
        booster = start
        if not self._stopped() and len(self._losses) < self._total:
            booster = self._boost(parameters, train, validation, start)
        best = self._best(booster)
        self._training.checkpoints.save(self._name, Part(bytes(best.save_raw("ubj")), self.losses, True))
        return best

    def _boost(self, parameters: Mapping[str, Any], train: Any, validation: Any | None, start: Any | None) -> Any:
        try:
            return xgboost.train(
                # A continued run must not draw the same random rows again as its first rounds did.
                {**parameters, "seed": parameters["seed"] + len(self._losses)},
                train,
                num_boost_round=self._total - len(self._losses),
                evals=[(train, "train") if validation is None else (validation, _VALIDATION)],
                xgb_model=start,
                callbacks=[self],
                verbose_eval=False,
            )
        except xgboost.core.XGBoostError as error:
            if "bad_alloc" in str(error) or "memory" in str(error).lower():
                raise MemoryError from None
            raise ConfigurationError(
                "xgboost refuses the data or a combination of spec.method.xgboost.parameters"
            ) from None

    def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
        """Called by xgboost after every round; True ends the training."""
        loss = float(next(iter(next(iter(evals_log.values())).values()))[-1])
        if not math.isfinite(loss):
            raise Diverged(
                f"target {self._name}: the loss is not finite after round {len(self._losses) + 1}; "
                "lower eta, or look for extreme labels"
            )
        self._note(loss)
        self._report(loss)
        if self._training.interrupt.asked:
            self._save(model)
            self._training.interrupt.check()
        elif self._training.clock() - self._saved_at >= CHECKPOINT_SECONDS:
            self._save(model)
        return self._stopped()

    def _save(self, model: Any) -> None:
        self._training.checkpoints.save(self._name, Part(bytes(model.save_raw("ubj")), self.losses, False))
        self._saved_at = self._training.clock()

    def _report(self, loss: float) -> None:
        targets = len(self._training.table.targets)
        step = self._number * self._total + len(self._losses)
        total = targets * self._total
        self._training.progress.report(5 + 80 * step / total, step, total, loss)

    def _stopped(self) -> bool:
        if not self._has_validation or not self._losses:
            return False
        return len(self._losses) - 1 - self._best_round >= self._patience

    def _best(self, booster: Any) -> Any:
        """Without the rounds after the best one on the validation rows."""
        if not self._has_validation:
            return booster
        surplus = len(self._losses) - 1 - self._best_round
        return booster[: booster.num_boosted_rounds() - surplus]
