"""Gates' numbers: which rows may judge, what blocks a comparison, and what is reported first."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from retrainer.api.v1alpha1.run_contract import judge_gate
from retrainer.api.v1alpha1.training_parts import Gate, Target, VersusChampion
from retrainer.api.v1alpha1.training_run import Champion, GateOutcome
from trainer.evaluate import Evaluation, TargetEvaluation, blocking_reason, evaluate
from trainer.metrics import Scored

CHAMPION = Champion(
    uri="file:///models/1/", digest="sha256:" + "1" * 64, trained_through=datetime(2026, 1, 1, tzinfo=UTC)
)
TARGETS = (Target(name="digit"),)
AT_LEAST = Gate(metric="mean(accuracy)", at_least="0.75")
NOT_WORSE = Gate(metric="accuracy", versus_champion=VersusChampion(regression_at_most="0.05"), minimum_units=50)


def scored(right: int, rows: int) -> Scored:
    hits = (np.arange(rows) < right)[:, None]
    return Scored(np.zeros(rows), np.where(hits, [[0.8, 0.2]], [[0.3, 0.7]]))


def evaluation(rows: int = 200, labelled: int | None = None, **changes: Any) -> Evaluation:
    target = TargetEvaluation(
        candidate=scored(int(rows * 0.9), rows),
        champion=scored(int(rows * 0.7), rows),
        unit=np.arange(rows),
        labelled_rows=rows if labelled is None else labelled,
    )
    return Evaluation((replace(target, **changes),), units=rows, overlap=0)


def numbers(gate: Gate, what: Evaluation, champion: Champion | None = CHAMPION) -> Any:
    return evaluate(what, TARGETS, (gate,), champion, 1)[1][0]


def outcome(gate: Gate, what: Evaluation, champion: Champion | None = CHAMPION) -> GateOutcome:
    return judge_gate(gate, numbers(gate, what, champion)).result


def test_the_metric_of_the_first_gate_is_the_first_metric() -> None:
    metrics, _ = evaluate(evaluation(), TARGETS, (AT_LEAST, NOT_WORSE), CHAMPION, 1)
    assert [m.name for m in metrics] == ["mean(accuracy)", "accuracy", "logLoss", "macroRecall", "worstRecall"]


def test_a_better_candidate_passes_and_a_worse_one_does_not() -> None:
    good = evaluation()
    bad = evaluation(candidate=scored(100, 200))
    assert outcome(AT_LEAST, good) is GateOutcome.PASSED
    assert outcome(NOT_WORSE, good) is GateOutcome.PASSED
    assert outcome(AT_LEAST, bad) is GateOutcome.FAILED
    assert outcome(NOT_WORSE, bad) is GateOutcome.FAILED


def test_change_and_interval_belong_together() -> None:
    metric = evaluate(evaluation(), TARGETS, (), CHAMPION, 1)[0][0]
    assert metric.champion is not None and metric.lower is not None and metric.upper is not None
    assert metric.lower < metric.candidate - metric.champion < metric.upper


def test_too_few_units_are_insufficient_evidence() -> None:
    assert outcome(NOT_WORSE, evaluation(rows=49)) is GateOutcome.INSUFFICIENT_EVIDENCE
    assert outcome(NOT_WORSE, evaluation(rows=50)) is GateOutcome.PASSED


def test_many_rows_of_few_units_are_insufficient_evidence_too() -> None:
    crowded = Evaluation(evaluation(unit=np.arange(200) % 10).targets, units=10, overlap=0)
    assert numbers(NOT_WORSE, crowded).units == 10
    assert outcome(NOT_WORSE, crowded) is GateOutcome.INSUFFICIENT_EVIDENCE


def test_without_a_champion_a_comparison_does_not_apply_and_a_limit_does() -> None:
    alone = evaluation(champion=None)
    assert outcome(NOT_WORSE, alone, champion=None) is GateOutcome.NOT_APPLICABLE
    assert outcome(AT_LEAST, alone, champion=None) is GateOutcome.PASSED


def test_less_than_half_independent_labels_block_the_comparison_but_not_the_limit() -> None:
    dependent = evaluation(labelled=401)
    assert numbers(NOT_WORSE, dependent).blocked == "LabelsDependOnChampion"
    assert outcome(NOT_WORSE, dependent) is GateOutcome.INSUFFICIENT_EVIDENCE
    assert outcome(AT_LEAST, dependent) is GateOutcome.PASSED
    assert numbers(NOT_WORSE, evaluation(labelled=400)).blocked is None


def test_a_champion_of_unknown_age_cannot_be_compared_with() -> None:
    ageless = CHAMPION.model_copy(update={"trained_through": None})
    assert numbers(NOT_WORSE, evaluation(), ageless).blocked == "UnknownTrainedThrough"
    assert outcome(NOT_WORSE, evaluation(), ageless) is GateOutcome.INSUFFICIENT_EVIDENCE


def test_a_champion_that_cannot_answer_blocks_the_comparison() -> None:
    assert numbers(NOT_WORSE, evaluation(champion=None)).blocked == "ChampionSchemaDiffers"


def test_without_any_independent_row_nothing_is_measured() -> None:
    nothing = TargetEvaluation(scored(0, 0), scored(0, 0), np.array([], dtype=np.int64), labelled_rows=100)
    empty = Evaluation((nothing,), units=0, overlap=0)
    metrics, gates = evaluate(empty, TARGETS, (AT_LEAST, NOT_WORSE), CHAMPION, 1)
    assert metrics == ()
    assert [judge_gate(g, n).result for g, n in zip((AT_LEAST, NOT_WORSE), gates, strict=True)] == [
        GateOutcome.INSUFFICIENT_EVIDENCE,
        GateOutcome.INSUFFICIENT_EVIDENCE,
    ]


@pytest.mark.parametrize(
    ("sentence", "changes", "reason"),
    [
        ("nothing stands against it", {}, None),
        ("there is no champion", {"champion": None, "comparable": False}, None),
        ("few units are left, and rows were taken out", {"overlap": 3, "units": 10}, "EvaluationOverlapsChampion"),
        ("rows were taken out, but enough are left", {"overlap": 3, "units": 100}, None),
        ("few units without any overlap are no block", {"units": 10}, None),
        ("labels follow the answers", {"independent_enough": False}, "LabelsDependOnChampion"),
    ],
)
def test_what_blocks_a_comparison(sentence: str, changes: dict[str, Any], reason: str | None) -> None:
    base: dict[str, Any] = {
        "champion": CHAMPION,
        "independent_enough": True,
        "comparable": True,
        "overlap": 0,
        "units": 100,
        "needed": 100,
    }
    assert blocking_reason(**{**base, **changes}) == reason, sentence


def test_the_confidence_of_the_gate_decides_its_bound() -> None:
    bounds = []
    for confidence in ("0.8", "0.95", "0.99"):
        demand = VersusChampion(regression_at_most="0.05", confidence=confidence)
        bounds.append(numbers(Gate(metric="accuracy", versus_champion=demand), evaluation()).bound)
    assert bounds == sorted(bounds, reverse=True)
    assert len(set(bounds)) == 3


def test_the_smallest_detectable_change_shrinks_with_more_units() -> None:
    small, large = numbers(NOT_WORSE, evaluation(rows=100)), numbers(NOT_WORSE, evaluation(rows=1000))
    assert 0 < large.minimum_detectable < small.minimum_detectable
