"""Tables in memory for tests of methods: real digits, made-up numbers, a training that stops when asked."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from retrainer.api.v1alpha1.training_parts import Target, XGBoost
from tests.unit.trainer.trainer_world import DIGIT, digits
from trainer import checkpoint
from trainer.checkpoint import Checkpoints
from trainer.interrupt import Interrupt
from trainer.methods.xgboost import TabularModel, Training
from trainer.progress import Progress
from trainer.rows import FeatureSpec
from trainer.table import Side, Table

PIXELS = tuple(FeatureSpec(f"f{n}") for n in range(64))
PRICE = Target(name="price", type="Regression")


def side(features: np.ndarray, *truths: Any) -> Side:
    rows = len(features)
    return Side(
        features=features.astype(np.float32),
        truths=tuple(np.asarray(t) for t in truths),
        independent=tuple(np.ones(rows, dtype=bool) for _ in truths),
        units=np.array([f"u{n}" for n in range(rows)], dtype=object),
    )


def digit_side(start: int, stop: int) -> Side:
    images, labels = digits()
    return side(images[start:stop], np.array([str(v) for v in labels[start:stop]], dtype=object))


def digit_table(train: int = 300, validation: int = 100) -> Table:
    sides = {
        "train": digit_side(0, train),
        "validation": digit_side(1000, 1000 + validation),
        "evaluation": digit_side(1200, 1600),
    }
    return Table(PIXELS, (DIGIT,), sides)


def regression_table(truth: Callable[[np.ndarray], np.ndarray]) -> Table:
    chance = np.random.default_rng(1)
    sides = {}
    for name, rows in (("train", 300), ("validation", 60), ("evaluation", 60)):
        features = chance.normal(size=(rows, 3))
        sides[name] = side(features, truth(features))
    return Table(tuple(FeatureSpec(n) for n in "abc"), (PRICE,), sides)


def training(table: Table, folder: Path, **changes: Any) -> Training:
    base: dict[str, Any] = {
        "settings": XGBoost(targets=table.targets, trees=12, additional_trees=4),
        "table": table,
        "parent": None,
        "seed": 1,
        "threads": 1,
        "checkpoints": Checkpoints(folder / "checkpoints", "fingerprint"),
        "progress": Progress(io.StringIO()),
        "interrupt": Interrupt(),
    }
    return Training(**{**base, **changes})


def accuracy(model: TabularModel, table: Table) -> float:
    answer = model.answers(table.evaluation.features, table.features, "digit")
    assert answer is not None
    classes = np.array(model.schema.targets[0].classes)
    return float((classes[answer.argmax(axis=1)] == table.evaluation.truths[0]).mean())


def weights(model: TabularModel) -> bytes:
    return b"".join(bytes(booster.save_raw("ubj")) for booster in model.boosters)


class StopAfter(Interrupt):
    """Asks to stop when it was looked at so often."""

    def __init__(self, looks: int) -> None:
        super().__init__()
        self._left = looks

    @property
    def asked(self) -> bool:
        self._left -= 1
        return self._left < 0


def reopened(folder: Path) -> Checkpoints:
    """The checkpoints as a later attempt finds them."""
    found = Checkpoints(folder / "checkpoints", "fingerprint")
    state = checkpoint._read_state(found.folder / "state.json")
    assert state is not None
    loaded = checkpoint._load(found.folder, state)
    assert loaded is not None
    return replace(found, parts=loaded[0], searches=loaded[1])
