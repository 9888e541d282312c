"""Tuned and weighed models trained for real: what is looked at, what is kept, and where a stopped search continues."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retrainer.api.v1alpha1.training_parts import Parameter, Tuning, XGBoost
from tests.unit.trainer.trainer_tables import (
    PRICE,
    StopAfter,
    digit_side,
    digit_table,
    regression_table,
    reopened,
    training,
    weights,
)
from tests.unit.trainer.trainer_world import DIGIT, World, wait_until
from trainer.errors import Interrupted
from trainer.methods.cross_validation import _FoldRounds, cross_validation
from trainer.methods.problem import History, boost, build_problem
from trainer.methods.tuning import SPACE
from trainer.table import Table

TUNED = XGBoost(targets=(DIGIT,), trees=4, tuning=Tuning(trials=3, folds=2))


class Noticed(Table):
    """A table whose evaluation rows nobody may look at."""

    @property
    def evaluation(self) -> Any:
        raise AssertionError("training looked at the evaluation rows")


def test_a_tuned_training_looks_at_training_and_validation_rows_only(tmp_path: Path) -> None:
    table = digit_table(train=80, validation=30)
    blind = {name: table.sides[name] for name in ("train", "validation")}
    model, losses = training(Noticed(table.features, table.targets, blind), tmp_path, settings=TUNED).run()
    target = model.schema.targets[0]
    assert set(target.tuned) == set(SPACE)
    assert target.learning_rate == target.full_learning_rate == target.tuned["eta"]
    assert len(losses["digit"]) == 4


def test_a_fold_is_judged_by_a_model_that_never_saw_it() -> None:
    """The labels are noise: only a model that saw a row's label comes near it."""
    table = regression_table(lambda x: np.random.default_rng(3).normal(size=len(x)))
    problem = build_problem(table, 0, table.features, (), False, 1)
    eager = {**problem.objective(), "eta": 0.5, "max_depth": 8, "verbosity": 0, "seed": 1, "nthread": 1}
    patient = XGBoost(targets=(PRICE,), trees=30, early_stopping_rounds=1000)
    honest = cross_validation(problem, patient, 3, 1, lambda: None)
    assert min(honest.loss(eager, fold) for fold in range(3)) > 0.8
    assert sum(honest.fold_weights) == len(problem.train)
    booster = boost(eager, problem.data(problem.train), None, 30, None, _FoldRounds(History(None), lambda: None))
    everything = np.ones(len(problem.train), dtype=bool)
    answers = problem.answers(booster, problem.train.matrix)
    assert problem.mean_loss(answers, problem.train, everything) < 0.2, "as a leak would look"


def test_a_tuned_training_that_was_stopped_ends_with_the_very_same_model(tmp_path: Path) -> None:
    table = digit_table(train=80, validation=30)
    whole, whole_losses = training(table, tmp_path / "a", settings=TUNED).run()
    with pytest.raises(Interrupted):
        training(table, tmp_path / "b", settings=TUNED, interrupt=StopAfter(14)).run()
    saved = reopened(tmp_path / "b")
    assert [len(trial.losses) for trial in saved.searches["digit"].trials] == [2, 1]
    assert saved.parts == {}
    continued, losses = training(table, tmp_path / "b", settings=TUNED, checkpoints=saved).run()
    assert weights(continued) == weights(whole)
    assert losses == whole_losses
    assert continued.schema == whole.schema


def test_an_incremental_run_keeps_what_tuning_found_and_does_not_search(tmp_path: Path) -> None:
    table = digit_table(train=80, validation=30)
    parent, _ = training(table, tmp_path / "a", settings=TUNED).run()
    again = training(table, tmp_path / "b", settings=TUNED, parent=parent)
    child, _ = again.run()
    ours, theirs = child.schema.targets[0], parent.schema.targets[0]
    assert ours.tuned == theirs.tuned
    assert again.checkpoints.searches == {}
    assert ours.learning_rate == pytest.approx(0.8 * theirs.learning_rate)
    grandchild, _ = training(table, tmp_path / "c", settings=TUNED, parent=child).run()
    assert grandchild.schema.targets[0].learning_rate == pytest.approx(0.8 * theirs.learning_rate), "never 0.8 twice"
    own = XGBoost(targets=(DIGIT,), parameters=(Parameter(name="eta", value="0.1"),))
    changed, _ = training(table, tmp_path / "d", settings=own, parent=parent).run()
    assert changed.schema.targets[0].learning_rate == pytest.approx(0.08)
    assert "eta" not in changed.schema.targets[0].tuned


def test_class_weights_find_more_of_a_rare_class(tmp_path: Path) -> None:
    """Eights are rare and look like threes."""
    table = digit_table(train=600, validation=200)
    chance = np.random.default_rng(5)
    rare = {}
    for name, whole in table.sides.items():
        threes, eights = whole.truths[0] == "3", whole.truths[0] == "8"
        kept = threes | (eights & (chance.random(len(whole)) < (0.08 if name == "train" else 1.0)))
        noisy = whole.features[kept] + chance.normal(scale=7, size=(int(kept.sum()), 64)).astype(np.float32)
        rare[name] = replace(
            digit_side(0, 0), features=noisy, truths=(whole.truths[0][kept],), units=whole.units[kept]
        )
    shrunk = replace(table, sides=rare)

    def recall(name: str, **changes: Any) -> float:
        made = XGBoost(targets=(DIGIT,), trees=15, **changes)
        model, _ = training(shrunk, tmp_path / name, settings=made).run()
        answer = model.answers(shrunk.evaluation.features, shrunk.features, "digit")
        assert answer is not None
        return float((answer.argmax(axis=1) == 1)[shrunk.evaluation.truths[0] == "8"].mean())

    assert recall("even", class_weights="Balanced") > recall("plain") + 0.1


def test_a_search_that_sigterm_stopped_continues_in_the_next_attempt(world: World) -> None:
    world.write_digits(150)
    config = world.freeze(method={"trees": 60, "earlyStoppingRounds": 1000, "tuning": {"trials": 8, "folds": 3}})
    whole = world.run("train", config)
    again = {**config, "run": {**config["run"], "uid": "uid-2"}}
    stage = world.start("train", again)
    wait_until(lambda: '"step"' in stage.log())
    os.kill(int(stage.process.pid or 0), signal.SIGTERM)
    stopped = stage.finish()
    assert (stopped.code, stopped.message["reason"]) == (75, "Interrupted")
    (state,) = world.output.glob("checkpoints/uid-2/state.json")
    trials = json.loads(state.read_text())["searches"]["digit"]["trials"]
    assert 1 <= sum(len(trial["losses"]) for trial in trials) < 24
    continued = world.run("train", again)
    first, second = (_published(world, outcome.succeeded()) for outcome in (whole, continued))
    assert (first / "weights/digit.ubj").read_bytes() == (second / "weights/digit.ubj").read_bytes()
    results = [json.loads((folder / "result.json").read_text()) for folder in (first, second)]
    assert results[0] == results[1]
    assert [len(trial["losses"]) for trial in results[0]["trials"]["digit"]] == [3] * 8
    assert "found by tuning: colsample_bytree" in (second / "README.md").read_text()
    assert "8 trials of 3 folds" in continued.log


def _published(world: World, message: dict[str, Any]) -> Path:
    return world.output / "artifacts" / message["artifact"]["digest"].removeprefix("sha256:")


def test_settings_that_cannot_be_carried_out_end_the_data_stage(world: World) -> None:
    world.write_digits(60, units=12)
    few = world.run("data", world.config(method={"tuning": {"folds": 20}}))
    assert (few.code, few.message["reason"]) == (65, "InsufficientData")
    assert "lower spec.method.xgboost.tuning.folds" in few.message["message"]
    weight = {"classWeights": "Balanced", "parameters": [{"name": "scale_pos_weight", "value": "2"}]}
    twice = world.run("data", world.config(method=weight))
    assert (twice.code, twice.message["reason"]) == (64, "InvalidConfiguration")
    assert "spec.method.xgboost.classWeights" in twice.message["message"]
