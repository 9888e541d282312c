"""Method xgboost on real digits and made-up tables: learning, continuing, stopping, guarding the schema."""

from __future__ import annotations

import io
import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retrainer.api.v1alpha1.training_parts import Parameter, XGBoost
from tests.unit.trainer.trainer_tables import (
    PIXELS,
    PRICE,
    StopAfter,
    accuracy,
    digit_side,
    digit_table,
    regression_table,
    reopened,
    side,
    training,
    weights,
)
from tests.unit.trainer.trainer_world import DIGIT
from trainer.checkpoint import Checkpoints
from trainer.errors import ConfigurationError, DataError, Diverged, Interrupted, SchemaMismatch
from trainer.methods.parameters import check_parameters
from trainer.methods.tabular import ModelSchema, TargetSchema, aligned, require_continuable
from trainer.methods.xgboost import thread_count
from trainer.progress import Progress
from trainer.rows import FeatureSpec
from trainer.table import Side, Table


def test_it_learns_to_read_digits(tmp_path: Path) -> None:
    table = digit_table()
    model, losses = training(table, tmp_path).run()
    assert accuracy(model, table) > 0.8
    assert losses["digit"][-1] < losses["digit"][0]
    answer = model.answers(table.evaluation.features, PIXELS, "digit")
    assert answer is not None and answer.sum(axis=1) == pytest.approx(1.0, abs=1e-5)


def test_the_same_table_gives_the_same_bytes(tmp_path: Path) -> None:
    table = digit_table()
    sampled = XGBoost(targets=(DIGIT,), trees=5, parameters=(Parameter(name="subsample", value="0.5"),))
    one, _ = training(table, tmp_path / "a", settings=sampled).run()
    other, _ = training(table, tmp_path / "b", settings=sampled).run()
    assert weights(one) == weights(other)


def test_early_stopping_keeps_the_best_rounds_only(tmp_path: Path) -> None:
    table = digit_table(train=60, validation=150)
    settings = XGBoost(targets=(DIGIT,), trees=200, early_stopping_rounds=5)
    model, losses = training(table, tmp_path, settings=settings).run()
    best = int(np.argmin(losses["digit"]))
    assert model.schema.targets[0].rounds == best + 1
    assert len(losses["digit"]) == best + 1 + 5 < 200


def test_without_validation_rows_all_trees_are_grown(tmp_path: Path) -> None:
    table = digit_table()
    empty = replace(table, sides={**table.sides, "validation": digit_side(0, 0)})
    model, losses = training(empty, tmp_path).run()
    assert model.schema.targets[0].rounds == len(losses["digit"]) == 12


def test_an_incremental_run_adds_trees_at_a_lower_rate(tmp_path: Path) -> None:
    table = digit_table()
    parent, _ = training(table, tmp_path / "a").run()
    before = weights(parent)
    more = digit_table(train=800)
    child, losses = training(more, tmp_path / "b", parent=parent).run()
    assert 12 < child.schema.targets[0].rounds <= 16
    assert len(losses["digit"]) == 4
    assert child.schema.targets[0].learning_rate == pytest.approx(0.3 * 0.8)
    assert accuracy(child, more) >= accuracy(parent, more)
    assert weights(parent) == before, "the champion itself must not change"


def test_new_data_may_lack_a_class_of_the_champion(tmp_path: Path) -> None:
    table = digit_table()
    parent, _ = training(table, tmp_path / "a").run()
    few = {name: _without_nines(s) for name, s in table.sides.items()}
    child, _ = training(replace(table, sides=few), tmp_path / "b", parent=parent).run()
    assert child.schema.targets[0].classes == parent.schema.targets[0].classes


def _without_nines(given: Side) -> Side:
    rows = given.truths[0] != "9"
    return side(given.features[rows], given.truths[0][rows])


def test_two_classes_are_told_apart_by_one_probability(tmp_path: Path) -> None:
    table = digit_table()
    two = {}
    for name, s in table.sides.items():
        rows = np.isin(s.truths[0], ["3", "8"])
        two[name] = side(s.features[rows], s.truths[0][rows])
    model, _ = training(replace(table, sides=two), tmp_path).run()
    assert model.schema.targets[0].classes == ("3", "8")
    assert accuracy(model, replace(table, sides=two)) > 0.9


def test_numbers_are_learnt_too(tmp_path: Path) -> None:
    table = regression_table(lambda x: 3 * x[:, 0] - x[:, 1])
    settings = XGBoost(targets=(PRICE,), trees=60)
    model, _ = training(table, tmp_path, settings=settings).run()
    answer = model.answers(table.evaluation.features, table.features, "price")
    assert answer is not None
    error = np.sqrt(((answer - table.evaluation.truths[0]) ** 2).mean())
    assert error < 0.5 * table.evaluation.truths[0].std()


def test_several_targets_get_a_booster_each_and_rows_without_truth_are_left_out(tmp_path: Path) -> None:
    chance = np.random.default_rng(1)
    targets = (DIGIT, PRICE)
    sides = {}
    for name in ("train", "validation", "evaluation"):
        features = chance.normal(size=(120, 2))
        classes = np.array(["up" if v > 0 else "down" for v in features[:, 0]], dtype=object)
        classes[::5] = None
        numbers = features[:, 1] * 2
        numbers[::7] = np.nan
        sides[name] = side(features, classes, numbers)
    table = Table((FeatureSpec("a"), FeatureSpec("b")), targets, sides)
    model, losses = training(table, tmp_path).run()
    assert [t.name for t in model.schema.targets] == ["digit", "price"]
    assert [t.classes for t in model.schema.targets] == [("down", "up"), ()]
    assert set(losses) == {"digit", "price"}


def test_categories_are_learnt_and_follow_their_names(tmp_path: Path) -> None:
    chance = np.random.default_rng(2)
    features = (FeatureSpec("colour", ("blue", "green", "red")), FeatureSpec("x"))
    sides = {}
    for name in ("train", "validation", "evaluation"):
        codes = chance.integers(0, 3, size=200)
        classes = np.array(["warm" if code == 2 else "cold" for code in codes], dtype=object)
        sides[name] = side(np.stack([codes, chance.normal(size=200)], axis=1), classes)
    table = Table(features, (DIGIT,), sides)
    model, _ = training(table, tmp_path).run()
    assert accuracy(model, table) == 1.0
    shuffled = (FeatureSpec("x"), FeatureSpec("colour", ("red", "blue", "green")))
    rows = np.array([[0.0, 0.0], [0.0, 1.0]], dtype=np.float32)
    answer = model.answers(rows, shuffled, "digit")
    assert answer is not None
    assert [model.schema.targets[0].classes[p] for p in answer.argmax(axis=1)] == ["warm", "cold"]


def test_a_single_class_cannot_be_trained(tmp_path: Path) -> None:
    same = side(np.zeros((20, 64)), np.array(["1"] * 20, dtype=object))
    table = Table(PIXELS, (DIGIT,), {"train": same, "validation": same, "evaluation": same})
    with pytest.raises(DataError, match="fewer than two classes"):
        training(table, tmp_path).run()


def test_a_loss_beyond_all_numbers_is_divergence(tmp_path: Path) -> None:
    table = regression_table(lambda x: np.where(x[:, 0] > 0, 3e38, -3e38))
    with pytest.raises(Diverged, match="not finite"):
        training(table, tmp_path).run()


def test_a_combination_that_xgboost_refuses_is_a_matter_of_configuration(tmp_path: Path) -> None:
    odd = (Parameter(name="tree_method", value="exact"), Parameter(name="grow_policy", value="lossguide"))
    settings = XGBoost(targets=(DIGIT,), trees=2, parameters=(*odd, Parameter(name="max_depth", value="0")))
    with pytest.raises(ConfigurationError, match="combination"):
        training(digit_table(), tmp_path, settings=settings).run()


@pytest.mark.parametrize("rounds", [1, 7, 12])
def test_a_stopped_training_continues_to_the_very_same_model(tmp_path: Path, rounds: int) -> None:
    table = digit_table()
    whole, whole_losses = training(table, tmp_path / "a").run()
    folder = tmp_path / "b"
    with pytest.raises(Interrupted):
        training(table, folder, interrupt=StopAfter(rounds - 1)).run()
    saved = reopened(folder)
    assert len(saved.parts["digit"].losses) == rounds
    continued, losses = training(table, folder, checkpoints=saved).run()
    assert weights(continued) == weights(whole)
    assert losses == whole_losses


def test_a_target_that_was_finished_is_not_trained_again(tmp_path: Path) -> None:
    table = digit_table()
    first, _ = training(table, tmp_path).run()
    said = io.StringIO()
    again, _ = training(table, tmp_path, checkpoints=reopened(tmp_path), progress=Progress(said)).run()
    assert weights(again) == weights(first)
    assert '"step"' not in said.getvalue()


def test_long_trainings_save_a_checkpoint_now_and_then(tmp_path: Path) -> None:
    ticks = itertools.count(0, 20)
    seen: list[int] = []

    class Watched(Checkpoints):
        def save(self, target: str, part: Any) -> None:
            seen.append(len(part.losses))
            super().save(target, part)

    checkpoints = Watched(tmp_path / "c", "f")
    training(digit_table(), tmp_path, checkpoints=checkpoints, clock=lambda: float(next(ticks))).run()
    assert len(seen) > 3
    assert seen == sorted(seen)


SCHEMA = ModelSchema(
    (FeatureSpec("a"), FeatureSpec("colour", ("blue", "red"))),
    (TargetSchema("digit", "Classification", ("no", "yes"), "weights/digit.ubj", 3, 0.24, 0.3, {"max_depth": 4}),),
)


@pytest.mark.parametrize(
    ("sentence", "features", "targets", "words"),
    [
        ("a feature more", (*SCHEMA.features, FeatureSpec("z")), None, "1 new, for example z"),
        ("a feature less", SCHEMA.features[:1], None, "1 missing, for example colour"),
        ("another order", SCHEMA.features[::-1], None, "in another order"),
        ("another type", (FeatureSpec("a", ("x",)), SCHEMA.features[1]), None, "feature a: its type"),
        ("a new category", (SCHEMA.features[0], FeatureSpec("colour", ("green",))), None, "categories"),
        ("another target", SCHEMA.features, [("size", "Classification", ["no"])], "other targets (digit)"),
        ("another type of target", SCHEMA.features, [("digit", "Regression", [])], "target digit: its type"),
        ("a new class", SCHEMA.features, [("digit", "Classification", ["maybe"])], "classes that the champion"),
    ],
)
def test_a_changed_schema_is_never_continued(sentence: str, features: Any, targets: Any, words: str) -> None:
    with pytest.raises(SchemaMismatch) as caught:
        require_continuable(SCHEMA, features, targets or [("digit", "Classification", ["no", "yes"])])
    assert words in caught.value.message, sentence
    assert "strategy Full" in caught.value.message
    assert int(caught.value.exit_code) == 65


def test_the_same_schema_with_fewer_classes_and_categories_is_continued() -> None:
    fewer = (FeatureSpec("a"), FeatureSpec("colour", ("red",)))
    require_continuable(SCHEMA, fewer, [("digit", "Classification", ["no"])])


def test_a_schema_survives_being_written() -> None:
    assert ModelSchema.from_json(SCHEMA.to_json()) == SCHEMA
    with pytest.raises(ConfigurationError, match="format"):
        ModelSchema.from_json(b'{"formatVersion": 99}')


def test_columns_are_found_by_name_and_unknown_categories_become_missing() -> None:
    given = (FeatureSpec("colour", ("green", "red")), FeatureSpec("a"), FeatureSpec("extra"))
    matrix = np.array([[0, 7, 1], [1, 8, 1]], dtype=np.float32)
    found = aligned(matrix, given, SCHEMA.features)
    assert found is not None
    assert found[:, 0].tolist() == [7.0, 8.0]
    assert np.isnan(found[0, 1]) and found[1, 1] == 1.0
    assert aligned(matrix, (FeatureSpec("a"),), SCHEMA.features) is None
    assert aligned(matrix, (FeatureSpec("a"), FeatureSpec("colour")), SCHEMA.features) is None


def parameters(**values: str) -> dict[str, Any]:
    return check_parameters([Parameter(name=name, value=value) for name, value in values.items()])


def test_parameters_are_read_as_what_they_look_like() -> None:
    found = parameters(max_depth="6", learning_rate="0.1", grow_policy="lossguide", subsample="1", gamma="2e-3")
    assert found == {"max_depth": 6, "eta": 0.1, "grow_policy": "lossguide", "subsample": 1.0, "gamma": 0.002}


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("max_dept", "3", "unknown parameter; did you mean max_depth?"),
        ("warm_start", "true", "unknown parameter"),
        ("objective", "reg:squarederror", "it follows from the target's type"),
        ("n_estimators", "5", "set method.xgboost.trees"),
        ("base_score", "0.5", "breaks incremental runs"),
        ("max_depth", "deep", "must be a whole number"),
        ("max_depth", "3.5", "must be a whole number"),
        ("eta", "nan", "must lie between"),
        ("subsample", "1.5", "must lie between"),
        ("grow_policy", "wild", "must be one of depthwise, lossguide"),
    ],
)
def test_a_parameter_that_cannot_be_is_refused_with_a_remedy(name: str, value: str, words: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parameters(**{name: value})
    assert words in caught.value.message
    assert f"spec.method.xgboost.parameters[{name}]" in caught.value.message


def test_a_parameter_under_two_names_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="set twice"):
        parameters(eta="0.1", learning_rate="0.2")


def test_threads_follow_the_table_and_the_processors_asked_for() -> None:
    assert thread_count(None, 1000) == 1
    assert thread_count("500m", 10**9) == 1
    assert 1 <= thread_count("2", 10**9) <= 2
    with pytest.raises(ConfigurationError, match=r"job\.resources\.cpu"):
        thread_count("many", 10)
