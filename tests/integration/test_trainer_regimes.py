"""The regime of tabular retraining on a real data set: 3 classes and 8 numbers from 19 features.

Handwritten digits, seen only through their projections: 19 sums over rows, columns, diagonals and dark pixels.
To be found from them are the digit, its loops and its parity, and the ink in 8 of 16 blocks of the picture, which
the sums do not determine. A champion of the first fifth of the rows is continued (+20 trees at 0.8 × its learning
rate) and trained anew with tuning; all three are judged on the last fifth. docs/explanation/tabular-regimes.md has
the numbers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retrainer.api.v1alpha1.run_contract import RunConfig, judge_gate
from retrainer.api.v1alpha1.training_parts import XGBoost
from retrainer.api.v1alpha1.training_run import GateOutcome
from tests.unit.trainer.trainer_tables import training
from tests.unit.trainer.trainer_world import SOURCE, Outcome, World, digits
from trainer.artifact import open_artifact
from trainer.evaluate import evaluate
from trainer.judgement import judge_models
from trainer.methods.xgboost import TabularModel, load_model
from trainer.snapshot import open_snapshot
from trainer.table import Side, Table, load_table

ROWS, FIRST = 1750, 350
CLASSES = ("digit", "loops", "parity")
BLOCKS = tuple((row, column) for row in range(4) for column in range(4) if (row + column) % 2 == 0)
NUMBERS = tuple(f"ink{row}{column}" for row, column in BLOCKS)
LOOPS = {0: "one", 6: "one", 8: "two", 9: "one"}
TARGETS = [{"name": n} for n in CLASSES] + [{"name": n, "type": "Regression"} for n in NUMBERS]
GATES = [
    {"metric": "mean(accuracy)", "atLeast": "0.75"},
    {"metric": "mean(accuracy)", "versusChampion": {"improvementAtLeast": "0.01"}},
    {"metric": "mean(rootMeanSquaredError)", "versusChampion": {"regressionAtMost": "0.005"}},
]
METHOD = {
    "targets": TARGETS,
    "trees": 30,
    "additionalTrees": 20,
    "earlyStoppingRounds": 10,
    "parameters": [{"name": "max_depth", "value": "3"}],
}
TUNING = {"trials": 3, "folds": 5}
SHUFFLES = 8


def features_of(image: np.ndarray) -> list[float]:
    """19 projections of a picture of 8 × 8 pixels with 0 to 16 ink each."""
    sums = [*image.sum(axis=0), *image.sum(axis=1), np.trace(image), np.trace(image[:, ::-1]), (image > 8).sum()]
    return [float(value) for value in sums]


def labels_of(image: np.ndarray, digit: int) -> dict[str, Any]:
    """Three classes, and the share of ink in eight blocks of 2 × 2 pixels."""
    blocks = image.reshape(4, 2, 4, 2).mean(axis=(1, 3)) / 16
    numbers = {name: float(blocks[place]) for name, place in zip(NUMBERS, BLOCKS, strict=True)}
    return {"digit": str(digit), "loops": LOOPS.get(digit, "none"), "parity": "odd" if digit % 2 else "even", **numbers}


def moment(number: int) -> str:
    return f"2026-01-{1 + number // 1440:02d}T{number // 60 % 24:02d}:{number % 60:02d}:00Z"


def row(number: int) -> dict[str, Any]:
    images, truths = digits()
    image = images[number].reshape(8, 8)
    return {
        "id": f"d{number}",
        "created_at": moment(number),
        "unit": f"u{number}",
        "features": json.dumps(features_of(image)),
        "label": json.dumps(labels_of(image, int(truths[number]))),
    }


def source() -> dict[str, Any]:
    """The labels lie in a JSON column."""
    labels = [{"name": t["name"], "from": f"label.{t['name']}", "type": t.get("type")} for t in TARGETS]
    labels = [{key: value for key, value in label.items() if value} for label in labels]
    return {**SOURCE, "record": {**SOURCE["record"], "labels": labels}}


def config(world: World, uid: str, first: int, last: int, percent: int, **spec: Any) -> dict[str, Any]:
    """run.json for the rows from `first` to before `last`, of which the latest `percent` judge."""
    data = {"split": "Time", "evaluationPercent": percent, "window": {"from": moment(first), "to": moment(last)}}
    method = {**METHOD, **spec.pop("method", {})}
    return world.config(uid=uid, source=source(), data=data, method=method, model="tomography", **spec)


class Regime:
    """The three models and what the gates say of two of them."""

    def __init__(self, folder: Path) -> None:
        self.world = World(folder)
        self.world.write(row(number) for number in range(ROWS))
        first = config(self.world, "champion", 0, FIRST, 5)
        frozen = self.world.run("data", first).succeeded()
        self.first = self.world.run("train", self.world.with_snapshot(first, frozen))
        champion = self.world.champion(self.first.succeeded(), frozen["dataset"]["trainedThrough"])
        versus = {"champion": champion, "gates": GATES}
        self.incremental = self._run("incremental", FIRST, 25, strategy="Incremental", **versus)
        self.full = self._run("full", 0, 20, method={"tuning": TUNING}, **versus)

    def _run(self, uid: str, first: int, percent: int, **spec: Any) -> Outcome:
        given = config(self.world, uid, first, ROWS, percent, **spec)
        frozen = self.world.run("data", given).succeeded()
        self.config = self.world.with_snapshot(given, frozen)
        return self.world.run("train", self.config)

    def artifact(self, outcome: Outcome) -> Path:
        digest = outcome.message["artifact"]["digest"]
        return self.world.output / "artifacts" / digest.removeprefix("sha256:")

    def result(self, outcome: Outcome) -> dict[str, Any]:
        return dict(json.loads((self.artifact(outcome) / "result.json").read_text()))

    def schema(self, outcome: Outcome) -> dict[str, Any]:
        return {t["name"]: t for t in json.loads((self.artifact(outcome) / "schema.json").read_text())["targets"]}


@pytest.fixture(scope="module")
def regime(tmp_path_factory: pytest.TempPathFactory) -> Regime:
    return Regime(tmp_path_factory.mktemp("regime"))


def numbers_of(outcome: Outcome, regime: Regime) -> dict[str, dict[str, Any]]:
    return {metric["name"]: metric for metric in regime.result(outcome)["metrics"]}


def results_of(outcome: Outcome, regime: Regime) -> list[str]:
    return [gate["result"] for gate in regime.result(outcome)["gates"]]


def test_the_table_is_that_of_the_source(regime: Regime) -> None:
    schema = json.loads((regime.artifact(regime.full) / "schema.json").read_text())
    kinds = [target["type"] for target in schema["targets"]]
    assert len(schema["features"]) == 19
    assert (kinds.count("Classification"), kinds.count("Regression")) == (3, 8)
    assert [len(target["classes"]) for target in schema["targets"]][:3] == [10, 3, 2]


def test_both_candidates_are_compared_with_the_champion_on_the_same_rows(regime: Regime) -> None:
    incremental, full = numbers_of(regime.incremental, regime), numbers_of(regime.full, regime)
    champions = [{name: metric["champion"] for name, metric in found.items()} for found in (incremental, full)]
    assert champions[0] == champions[1]
    for outcome in (regime.incremental, regime.full):
        assert [gate["units"] for gate in regime.result(outcome)["gates"]] == [350] * 3


def test_an_interval_comes_with_every_change_and_holds_it(regime: Regime) -> None:
    for outcome in (regime.incremental, regime.full):
        found = numbers_of(outcome, regime)
        assert len(found) == 2 + 3 * 4 + 8 * 2
        for name, metric in found.items():
            assert metric["lower"] <= metric["candidate"] - metric["champion"] <= metric["upper"], name
            assert metric["lower"] < metric["upper"], name


def test_the_incremental_model_is_the_champion_and_at_most_20_trees_at_a_lower_rate(regime: Regime) -> None:
    before, after = regime.schema(regime.first), regime.schema(regime.incremental)
    for name, target in after.items():
        assert 0 < target["rounds"] - before[name]["rounds"] <= 20, name
        assert target["learningRate"] == pytest.approx(0.8 * before[name]["learningRate"])
    found = numbers_of(regime.incremental, regime)
    assert found["mean(accuracy)"]["lower"] > 0
    assert found["mean(rootMeanSquaredError)"]["upper"] < 0


def test_the_full_model_is_tuned_with_five_folds_and_passes_every_gate(regime: Regime) -> None:
    result = regime.result(regime.full)
    assert {name: [len(t["losses"]) for t in trials] for name, trials in result["trials"].items()} == {
        target["name"]: [5] * TUNING["trials"] for target in TARGETS
    }
    assert results_of(regime.full, regime) == ["Passed"] * 3
    assert regime.full.message["reason"] == "Completed"
    full, incremental = (numbers_of(outcome, regime)["mean(accuracy)"] for outcome in (regime.full, regime.incremental))
    assert full["candidate"] > incremental["candidate"] > full["champion"]


def shuffled(table: Table, seed: int) -> Table:
    """Rows to learn from with the truths of other rows; the evaluation stays as it is."""
    chance = np.random.default_rng(seed)

    def mixed(side: Side) -> Side:
        order = chance.permutation(len(side))
        return replace(side, truths=tuple(truth[order] for truth in side.truths))

    sides = {name: side if name == "evaluation" else mixed(side) for name, side in table.sides.items()}
    return replace(table, sides=sides)


@pytest.fixture(scope="module")
def judged_shuffles(regime: Regime, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[list[GateOutcome]]]:
    """What the gates say of candidates of both strategies that learnt from shuffled labels."""
    run = RunConfig.model_validate(regime.config)
    assert run.snapshot is not None and run.spec.champion is not None
    digest = run.spec.champion.digest
    champion = load_model(open_artifact(regime.artifact(regime.first), digest, "champion"), 1)
    snapshot = regime.world.output / "snapshots" / run.snapshot.digest.removeprefix("sha256:")
    table = load_table(open_snapshot(snapshot, run.snapshot.digest, "snapshot"))
    method = XGBoost.model_validate({**METHOD, "trees": 15})
    outcomes: dict[str, list[list[GateOutcome]]] = {"Full": [], "Incremental": []}
    for seed in range(SHUFFLES):
        wrong = shuffled(table, seed)
        for strategy, parent in (("Full", None), ("Incremental", champion)):
            folder = tmp_path_factory.mktemp("shuffled")
            model, _ = training(wrong, folder, settings=method, parent=parent, seed=seed).run()
            outcomes[strategy].append(judged(run, wrong, model, champion))
    return outcomes


def judged(run: RunConfig, table: Table, model: TabularModel, champion: TabularModel) -> list[GateOutcome]:
    gates = run.spec.gates or ()
    evaluation, _ = judge_models(table, model, champion, 0)
    _, numbers = evaluate(evaluation, table.targets, gates, run.spec.champion, run.spec.data.seed)
    return [judge_gate(gate, found).result for gate, found in zip(gates, numbers, strict=True)]


@pytest.mark.parametrize("strategy", ["Full", "Incremental"])
def test_a_candidate_of_shuffled_labels_never_passes(
    judged_shuffles: Mapping[str, list[list[GateOutcome]]], strategy: str
) -> None:
    assert judged_shuffles[strategy] == [[GateOutcome.FAILED] * 3] * SHUFFLES
