"""Metrics against their definitions, composites, and gates that name something wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrainer.api.v1alpha1.training_parts import Gate, Target
from trainer.bootstrap import sum_by_unit
from trainer.errors import ConfigurationError
from trainer.metrics import METRICS, Scored, gate_measure, standard_measures

DIGIT, SHAPE = Target(name="digit"), Target(name="shape")
PRICE = Target(name="price", type="Regression")


def value(name: str, scored: Scored) -> float:
    """The metric over all rows, each a unit of its own."""
    rows = len(scored.truth)
    sums = sum_by_unit(METRICS[name], scored, None, np.arange(rows), rows)
    with np.errstate(invalid="ignore"):
        means = sums.candidate.sum(axis=0) / sums.denominator.sum(axis=0)
    return float(METRICS[name].combine(means))


def sure_of(answers: list[int], classes: int = 3, sure: float = 0.8) -> np.ndarray:
    rest = (1 - sure) / (classes - 1)
    return np.array([[sure if place == answer else rest for place in range(classes)] for answer in answers])


THREE_OF_FOUR = Scored(np.array([0.0, 0.0, 1.0, 1.0]), sure_of([0, 1, 1, 1]))
NUMBERS = Scored(np.array([1.0, 2.0, 3.0]), np.array([1.0, 4.0, 2.0]))


@pytest.mark.parametrize(
    ("name", "scored", "expected"),
    [
        ("accuracy", THREE_OF_FOUR, 0.75),
        ("macroRecall", THREE_OF_FOUR, (0.5 + 1.0) / 2),
        ("worstRecall", THREE_OF_FOUR, 0.5),
        ("logLoss", THREE_OF_FOUR, -(3 * np.log(0.8) + np.log(0.1)) / 4),
        ("rootMeanSquaredError", NUMBERS, np.sqrt(5 / 3)),
        ("meanAbsoluteError", NUMBERS, 1.0),
    ],
)
def test_a_metric_is_what_its_name_says(name: str, scored: Scored, expected: float) -> None:
    assert value(name, scored) == pytest.approx(expected)


def test_a_class_that_does_not_occur_counts_in_no_recall() -> None:
    scored = Scored(np.array([0.0, 0.0]), sure_of([0, 0]))
    assert value("macroRecall", scored) == 1.0
    assert value("worstRecall", scored) == 1.0


def test_a_class_held_for_impossible_costs_much_but_not_infinitely() -> None:
    scored = Scored(np.array([2.0]), np.array([[1.0, 0.0, 0.0]]))
    assert 30 < value("logLoss", scored) < 40


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=40))
@settings(max_examples=40, deadline=None)
def test_the_worst_recall_is_never_above_the_mean(pairs: list[tuple[int, int]]) -> None:
    scored = Scored(np.array([float(t) for t, _ in pairs]), sure_of([a for _, a in pairs]))
    assert 0 <= value("worstRecall", scored) <= value("macroRecall", scored) <= 1


def test_a_composite_takes_the_mean_or_the_worst_of_the_targets() -> None:
    targets = (DIGIT, SHAPE)
    values = [np.array(0.5), np.array(0.9)]
    mean = gate_measure(Gate(metric="mean(accuracy)", at_least="0"), targets, "g")
    worst = gate_measure(Gate(metric="worst(accuracy)", at_least="0"), targets, "g")
    worst_loss = gate_measure(Gate(metric="worst(logLoss)", at_most="9"), targets, "g")
    assert float(mean.combine(values)) == pytest.approx(0.7)
    assert float(worst.combine(values)) == 0.5
    assert float(worst_loss.combine(values)) == 0.9


def test_a_composite_covers_the_targets_that_its_metric_fits() -> None:
    measure = gate_measure(Gate(metric="mean(accuracy)", at_least="0"), (DIGIT, PRICE, SHAPE), "g")
    assert measure.targets == (0, 2)
    assert measure.name == "mean(accuracy)"


def test_a_metric_of_one_of_several_targets_bears_its_name() -> None:
    gate = Gate(metric="accuracy", target="shape", at_least="0")
    assert gate_measure(gate, (DIGIT, SHAPE), "g").name == "accuracy/shape"
    assert gate_measure(Gate(metric="accuracy", at_least="0"), (DIGIT,), "g").name == "accuracy"


@pytest.mark.parametrize(
    ("gate", "words"),
    [
        ({"metric": "acuracy"}, "did you mean accuracy?"),
        ({"metric": "bleu"}, "known are accuracy"),
        ({"metric": "accuracy", "target": "size"}, "no target of this name"),
        ({"metric": "accuracy", "target": "price"}, "needs a Classification target"),
        ({"metric": "meanAbsoluteError", "target": "digit"}, "needs a Regression target"),
        ({"metric": "accuracy"}, "use mean(accuracy)"),
    ],
)
def test_a_gate_on_something_that_is_not_there_is_refused(gate: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        gate_measure(Gate(**gate, at_least="0"), (DIGIT, SHAPE, PRICE), "spec.gates[3]")
    assert words in caught.value.message
    assert caught.value.message.startswith("spec.gates[3].")


def test_every_target_reports_the_metrics_of_its_type() -> None:
    names = [measure.name for measure in standard_measures((DIGIT, PRICE))]
    assert names == [
        "accuracy/digit",
        "logLoss/digit",
        "macroRecall/digit",
        "worstRecall/digit",
        "rootMeanSquaredError/price",
        "meanAbsoluteError/price",
    ]
