"""What must hold before anything is trained: minimums, and gates with a chance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from retrainer.api.v1alpha1.training_parts import Gate, Target, VersusChampion
from retrainer.api.v1alpha1.training_run import Champion
from tests.unit.trainer.trainer_world import DIGIT, facts_of, record, selection
from trainer.demands import Prospect, needed_units, require_minimums
from trainer.errors import DataError
from trainer.power import EvaluationSize, detectable, power, standard_error
from trainer.rows import Record
from trainer.split import EVALUATION, TRAIN, Division

CHAMPION = Champion(
    uri="file:///models/1/", digest="sha256:" + "1" * 64, trained_through=datetime(2026, 1, 1, tzinfo=UTC)
)


def gate(margin: str = "0.05", **changes: Any) -> Gate:
    demand = VersusChampion(**{"regression_at_most": margin, **changes.pop("demand", {})})
    return Gate(metric=changes.pop("metric", "accuracy"), versus_champion=demand, **changes)


def halves(records: Sequence[Record]) -> tuple[Any, Division]:
    """The first half is for training, the second for evaluation."""
    facts = facts_of(records)
    sides = np.where(np.arange(len(facts)) < len(facts) / 2, TRAIN, EVALUATION).astype(np.int8)
    return facts, Division(sides, "Time", Counter())


def prospect(records: Sequence[Record], champion: Champion | None = CHAMPION, **changes: Any) -> Prospect:
    facts, division = halves(records)
    base = Prospect(facts, division, (DIGIT,), champion, comparable=True, known_error_rates=(0.2,))
    return replace(base, **changes)


def labelled(count: int, **extra: Any) -> list[Record]:
    return [record(n, **extra) for n in range(count)]


def refused(prospect: Prospect, gate: Gate) -> str:
    with pytest.raises(DataError) as caught:
        prospect.numbers((gate,))
    assert caught.value.reason == "Underpowered"
    assert int(caught.value.exit_code) == 65
    return caught.value.message


@pytest.mark.parametrize(
    ("sentence", "data", "words"),
    [
        ("too few rows", {"minimum_samples": 41}, "40 usable rows in the window; data.minimumSamples demands 41"),
        ("too few units", {"minimum_units": 41}, "40 units among the usable rows; data.minimumUnits demands 41"),
        ("too few of a class", {"minimum_per_class": 11}, "data.minimumPerClass demands 11"),
    ],
)
def test_a_minimum_that_is_not_met_is_named(sentence: str, data: dict[str, Any], words: str) -> None:
    facts, division = halves(labelled(40))
    with pytest.raises(DataError) as caught:
        require_minimums(facts, np.ones(40, dtype=bool), division, selection(**data), (DIGIT,))
    assert words in caught.value.message, sentence
    assert caught.value.reason == "InsufficientData"


def test_too_few_rows_say_what_was_left_out_and_why() -> None:
    facts, division = halves(labelled(40))
    left_out = {"NoLabel": 7, "MissingFeatures": 700}
    with pytest.raises(DataError, match=r"left out: MissingFeatures 700, NoLabel 7"):
        require_minimums(facts, np.ones(40, dtype=bool), division, selection(minimum_samples=41), (DIGIT,), left_out)


def test_minimums_that_are_just_met_pass() -> None:
    facts, division = halves(labelled(40))
    data = selection(minimum_samples=40, minimum_units=40, minimum_per_class=10)
    require_minimums(facts, np.ones(40, dtype=bool), division, data, (DIGIT,))


def test_a_class_that_only_the_evaluation_has_counts_as_rare() -> None:
    records = [record(n, labels={"digit": "new" if n == 39 else str(n % 2)}) for n in range(40)]
    facts, division = halves(records)
    with pytest.raises(DataError, match="rarest of 3 classes has 0"):
        require_minimums(facts, np.ones(40, dtype=bool), division, selection(minimum_per_class=1), (DIGIT,))


def test_one_class_alone_cannot_be_learnt() -> None:
    facts, division = halves(labelled(20, labels={"digit": "yes"}))
    with pytest.raises(DataError, match="only one class"):
        require_minimums(facts, np.ones(20, dtype=bool), division, selection(), (DIGIT,))


def test_a_target_without_labels_left_for_training_is_named() -> None:
    price = Target(name="price", type="Regression")
    facts = facts_of([record(n) for n in range(20)], targets=(DIGIT, price))
    division = Division(np.full(20, TRAIN, dtype=np.int8), "Time", Counter())
    with pytest.raises(DataError, match="target price: no labelled row"):
        require_minimums(facts, np.ones(20, dtype=bool), division, selection(), (DIGIT, price))


def test_enough_rows_give_a_gate_its_chance() -> None:
    numbers = prospect(labelled(1200)).numbers((gate(),))[0]
    assert numbers.units == 600
    assert numbers.blocked is None
    assert numbers.minimum_detectable is not None and 0 < numbers.minimum_detectable < 0.1


def test_a_gate_with_less_than_a_fifth_of_a_chance_stops_before_the_gpu() -> None:
    words = refused(prospect(labelled(400)), gate("0.005"))
    assert "spec.gates[0] would pass in" in words and "allowUnderpowered" in words


def test_allow_underpowered_trains_all_the_same() -> None:
    numbers = prospect(labelled(400)).numbers((gate("0.005", allow_underpowered=True),))[0]
    assert numbers.minimum_detectable is not None and numbers.minimum_detectable > 0.005


def test_too_few_units_stop_before_the_gpu() -> None:
    assert "10 evaluation units" in refused(prospect(labelled(20)), gate("0.5"))
    assert prospect(labelled(20)).numbers((gate("0.5", minimum_units=10),))[0].units == 10


@pytest.mark.parametrize(
    ("changes", "extra", "words"),
    [
        ({"champion": CHAMPION.model_copy(update={"trained_through": None})}, {}, "UnknownTrainedThrough"),
        ({"comparable": False}, {}, "ChampionSchemaDiffers"),
        ({}, {"labels": {}, "corrections": {"digit": "x"}}, "LabelsDependOnChampion"),
    ],
)
def test_a_comparison_that_cannot_pass_stops_before_the_gpu(
    changes: dict[str, Any], extra: dict[str, Any], words: str
) -> None:
    assert words in refused(prospect(labelled(600, **extra), **changes), gate())


def test_without_a_champion_there_is_nothing_to_demand() -> None:
    assert prospect(labelled(20), champion=None).numbers((gate("0.001"),))[0].units is None
    assert needed_units((gate(),), None) == 0
    assert needed_units((gate(), gate(minimum_units=30)), CHAMPION) == 100


def test_recorded_answers_tell_the_champions_error_rate() -> None:
    def share_wrong(every: int) -> float | None:
        records = [
            record(n, labels={"digit": "a"}, predictions={"digit": "b" if n % every == 0 else "a"}) for n in range(800)
        ]
        return prospect(records).numbers((gate(allow_underpowered=True),))[0].minimum_detectable

    often, seldom = share_wrong(2), share_wrong(50)
    assert often is not None and seldom is not None and often > 2 * seldom


def test_losses_have_no_scale_before_training() -> None:
    numbers = prospect(labelled(400)).numbers((gate("0.001", metric="logLoss"),))[0]
    assert numbers.minimum_detectable is None


def size(rows: int, per_unit: int = 1) -> EvaluationSize:
    return EvaluationSize(rows, rows // per_unit, rows * per_unit, (rows // 2, rows // 2))


def test_the_standard_error_is_that_of_discordant_pairs() -> None:
    error = standard_error("accuracy", size(10_000), 0.3)
    assert error == pytest.approx((0.3 / 10_000) ** 0.5, rel=0.01)


def test_rows_of_the_same_unit_count_for_less() -> None:
    alone, crowded = standard_error("accuracy", size(400), 0.3), standard_error("accuracy", size(400, 20), 0.3)
    assert alone is not None and crowded is not None and crowded > 1.5 * alone


def test_no_rows_give_no_chance() -> None:
    error = standard_error("accuracy", size(0), 0.3)
    assert error == float("inf")
    assert power(gate(), error) == pytest.approx(0.05)
    assert detectable(gate(), error) is None


def test_power_grows_with_the_margin_and_falls_with_the_confidence() -> None:
    assert power(gate("0.02"), 0.02) < power(gate("0.05"), 0.02) < power(gate("0.2"), 0.02)
    strict = gate("0.05", demand={"confidence": "0.99"})
    assert power(strict, 0.02) < power(gate("0.05"), 0.02)


def test_a_demanded_improvement_of_nothing_has_the_chance_of_an_error() -> None:
    demand = VersusChampion(improvement_at_least="0")
    assert power(Gate(metric="accuracy", versus_champion=demand), 0.02) == pytest.approx(0.05)


def test_power_agrees_with_simulation() -> None:
    """Equal models, 30 % of rows discordant, 200 rows, margin 0.05: how often is the normal bound above -0.05?"""
    error = standard_error("accuracy", size(200), 0.3)
    assert error is not None
    chance = np.random.default_rng(1)
    draws = chance.choice([-1.0, 0.0, 1.0], p=[0.15, 0.7, 0.15], size=(4000, 200)).mean(axis=1)
    simulated = (draws - 1.645 * error >= -0.05).mean()
    assert power(gate("0.05"), error) == pytest.approx(simulated, abs=0.06)
