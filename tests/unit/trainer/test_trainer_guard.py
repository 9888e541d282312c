"""Changes under a champion that xgboost 3.2 continues from without a word: each is refused or set right before.

The first test says what xgboost does, so that a release that does better is noticed."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retrainer.api.v1alpha1.training_parts import Parameter, Target, XGBoost
from tests.unit.trainer.trainer_tables import side, training
from tests.unit.trainer.trainer_world import DIGIT
from trainer.errors import ConfigurationError, SchemaMismatch
from trainer.methods.boosting import xgboost
from trainer.methods.parameters import check_method
from trainer.methods.xgboost import TabularModel
from trainer.rows import FeatureSpec
from trainer.table import Table

BINARY = {"objective": "binary:logistic"}
THREE = {"objective": "multi:softprob", "num_class": 3}
FOUR = {"objective": "multi:softprob", "num_class": 4}
NUMBER = {"objective": "reg:squarederror"}
BASE = {"base_score": 0.5}
CHANCE = np.random.default_rng(0)
X = np.stack([CHANCE.random(120), CHANCE.random(120), CHANCE.integers(0, 3, 120)], axis=1).astype(np.float32)
"""Two numbers and a category: 0, 1 or 2."""
HALVES = (X[:, 0] > 0.5).astype(np.float32)
THIRDS = np.floor(X[:, 0] * 3).astype(np.float32)
CATEGORICAL, NUMERIC = ["q", "q", "c"], ["q", "q", "q"]


@dataclass(frozen=True)
class Data:
    """What xgboost is given."""

    parameters: dict[str, Any]
    truths: np.ndarray
    features: np.ndarray = field(default_factory=lambda: X)
    types: list[str] = field(default_factory=lambda: CATEGORICAL)

    def boost(self, start: Any | None) -> Any:
        data = xgboost.DMatrix(self.features, self.truths, feature_types=self.types, enable_categorical=True, nthread=1)
        return xgboost.train({"nthread": 1, "verbosity": 0, **self.parameters}, data, 2, xgb_model=start)


CLASSES = Data(THREE, THIRDS)
MORE_CATEGORIES = np.where(np.arange(3) == 2, X + 3 * (np.arange(120) % 2)[:, None], X).astype(np.float32)


@pytest.mark.parametrize(
    ("sentence", "before", "after"),
    [
        ("two classes become three", Data(BINARY, HALVES), CLASSES),
        ("three classes become four where base_score is set", Data(THREE | BASE, THIRDS), Data(FOUR | BASE, THIRDS)),
        ("the classes are coded otherwise", CLASSES, Data(THREE, 2 - THIRDS)),
        ("a class becomes a number", Data(BINARY, HALVES), Data(NUMBER, THIRDS)),
        ("the features come in another order", Data(THREE, THIRDS, X[:, :2], ["q", "q"]),
         Data(THREE, THIRDS, X[:, 1::-1], ["q", "q"])),
        ("a category becomes a number", CLASSES, Data(THREE, THIRDS, types=NUMERIC)),
        ("a number becomes a category", Data(THREE, THIRDS, types=NUMERIC), CLASSES),
        ("the categories are coded otherwise", CLASSES, Data(THREE, THIRDS, np.abs(X - [0, 0, 2]).astype(np.float32))),
        ("there are new categories", CLASSES, Data(THREE, THIRDS, MORE_CATEGORIES)),
    ],
)  # fmt: skip
def test_xgboost_continues_without_a_word_where(sentence: str, before: Data, after: Data) -> None:
    continued = after.boost(before.boost(None))
    assert continued.num_boosted_rounds() == 4, sentence


COLOURS = FeatureSpec("colour", ("blue", "green", "red"))
FEATURES = (FeatureSpec("a"), FeatureSpec("b"), COLOURS)
KINDS = np.array(["low", "middle", "high"], dtype=object)[THIRDS.astype(int)]
TWO = np.array(["low", "high"], dtype=object)[HALVES.astype(int)]


def table(truths: np.ndarray, features: tuple[FeatureSpec, ...] = FEATURES, x: np.ndarray = X) -> Table:
    kind = None if truths.dtype == object else "Regression"
    sides = dict.fromkeys(("train", "validation", "evaluation"), side(x, truths))
    return Table(features, (Target(name="digit", type=kind),), sides)


def trained(given: Table, folder: Path, parent: TabularModel | None = None) -> TabularModel:
    settings = XGBoost(targets=given.targets, trees=3, additional_trees=2)
    return training(given, folder, settings=settings, parent=parent).run()[0]


@pytest.mark.parametrize(
    ("sentence", "before", "after", "words"),
    [
        ("two classes become three", table(TWO), table(KINDS), "classes that the champion does not know"),
        ("three classes become four", table(KINDS), table(np.where(X[:, 1] > 0.9, "new", KINDS).astype(object)),
         "classes that the champion does not know"),
        ("a class becomes a number", table(TWO), table(THIRDS), "target digit: its type differs"),
        ("a number becomes a class", table(THIRDS), table(KINDS), "target digit: its type differs"),
        ("the features come in another order", table(KINDS), table(KINDS, (FEATURES[1], FEATURES[0], COLOURS)),
         "in another order"),
        ("a feature bears another name", table(KINDS), table(KINDS, (FeatureSpec("z"), *FEATURES[1:])), "1 new"),
        ("a category becomes a number", table(KINDS), table(KINDS, (*FEATURES[:2], FeatureSpec("colour"))),
         "feature colour: its type differs"),
        ("a number becomes a category", table(KINDS, (*FEATURES[:2], FeatureSpec("colour"))), table(KINDS),
         "feature colour: its type differs"),
        ("there are new categories", table(KINDS),
         table(KINDS, (*FEATURES[:2], FeatureSpec("colour", ("blue", "green", "pink", "red")))),
         "categories that the champion does not know"),
    ],
)  # fmt: skip
def test_an_incremental_run_is_refused_where(
    sentence: str, before: Table, after: Table, words: str, tmp_path: Path
) -> None:
    champion = trained(before, tmp_path / "champion")
    with pytest.raises(SchemaMismatch) as caught:
        trained(after, tmp_path / "candidate", champion)
    assert words in caught.value.message, sentence
    assert "run strategy Full once" in caught.value.message


def test_base_score_cannot_be_set_at_all() -> None:
    with pytest.raises(ConfigurationError, match="setting it breaks incremental runs"):
        check_method(XGBoost(targets=(DIGIT,), parameters=(Parameter(name="base_score", value="0.5"),)))


def accuracy(model: TabularModel, given: Table) -> float:
    answer = model.answers(given.evaluation.features, given.features, "digit")
    assert answer is not None
    names = np.array(model.schema.targets[0].classes, dtype=object)
    return float((names[answer.argmax(axis=1)] == given.evaluation.truths[0]).mean())


def test_classes_that_would_be_coded_otherwise_keep_the_champions_codes(tmp_path: Path) -> None:
    """Without the class "high", which is the first in alphabetical order, every other code would move by one."""
    champion = trained(table(KINDS), tmp_path / "champion")
    kept = KINDS != "high"
    candidate = trained(table(KINDS[kept], x=X[kept]), tmp_path / "candidate", champion)
    assert candidate.schema.targets[0].classes == ("high", "low", "middle")
    assert accuracy(candidate, table(KINDS[kept], x=X[kept])) == 1.0
    assert accuracy(candidate, table(KINDS)) == 1.0, "what was learnt of the absent class is kept"


def test_categories_that_are_coded_otherwise_are_coded_as_the_champions(tmp_path: Path) -> None:
    truths = np.array(["cold", "cold", "warm"], dtype=object)[X[:, 2].astype(int)]
    champion = trained(table(truths), tmp_path / "champion")
    fewer = X[:, 2] > 0
    recoded = X[fewer] - np.array([0, 0, 1], dtype=np.float32)
    given = table(truths[fewer], (*FEATURES[:2], FeatureSpec("colour", ("green", "red"))), recoded)
    candidate = trained(given, tmp_path / "candidate", champion)
    assert candidate.schema.features == FEATURES
    assert accuracy(candidate, given) == 1.0
    assert accuracy(candidate, table(truths)) == 1.0


def test_what_is_continued_begins_with_the_champions_best_rounds(tmp_path: Path) -> None:
    """Rounds that early stopping gave up are not built upon."""
    noisy = np.where(np.random.default_rng(1).random(120) < 0.4, "low", KINDS).astype(object)
    whole = table(noisy)
    sides = {**whole.sides, "validation": side(X[:40], KINDS[:40]), "train": side(X[40:], noisy[40:])}
    stopped = replace(whole, sides=sides)
    settings = XGBoost(targets=whole.targets, trees=60, early_stopping_rounds=4, additional_trees=2)
    champion, losses = training(stopped, tmp_path / "champion", settings=settings).run()
    best = champion.schema.targets[0].rounds
    assert best < len(losses["digit"]) < 60
    candidate, more = training(stopped, tmp_path / "candidate", settings=settings, parent=champion).run()
    assert best < candidate.schema.targets[0].rounds <= best + len(more["digit"])
    ours = candidate.boosters[0][:best].inplace_predict(X)
    assert np.array_equal(ours, champion.boosters[0].inplace_predict(X))
