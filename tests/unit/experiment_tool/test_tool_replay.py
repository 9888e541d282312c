"""A replay of outcomes: the operator's engine and rules, with the weights that were really applied."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from retrainer.ab_experiment.config import configure
from retrainer.experiment_tool.assumptions import assumptions
from retrainer.experiment_tool.looks import Look
from retrainer.experiment_tool.outcomes import LARGEST_NUMBER
from retrainer.experiment_tool.replaying import of_outcomes
from retrainer.statistics.metric import MetricState, fold
from retrainer.statistics.sample_ratio import Split
from retrainer.statistics.sums import ArmSums, binary
from retrainer.statistics.verdicts import find
from tests.unit.experiment_tool.tool_files import experiment, lines, primary_only, subject, write_lines


def looks(folder: Path, rows: list[Any], obj: dict[str, Any] | None = None, rate: float = 0.7) -> list[Look]:
    file = write_lines(folder / "outcomes.jsonl", rows)
    chosen = subject(folder, obj)
    return list(of_outcomes(chosen, assumptions(chosen, [f"likes={rate}"], []), file).looks)


def decisions(found: list[Look]) -> list[tuple[str, str] | None]:
    return [look.decision and (look.decision.verdict, look.decision.reason) for look in found]


def steady(windows: int, weight: int, likes: int, base: int, first: int = 0) -> list[Any]:
    """Windows of 1,000 units; percentages of likes in each arm."""
    rows: list[Any] = []
    candidates, baselines = 10 * weight, 1000 - 10 * weight
    for number in range(first, first + windows):
        rows += lines(
            number,
            weight,
            (round(candidates * likes / 100), candidates),
            (round(baselines * base / 100), baselines),
        )
    return rows


def test_simpsons_paradox_is_seen_through(tmp_path: Path):
    """The contract's number: 10 % likes at weight 10, 5 % at weight 90, in both arms: no effect, for any rate."""
    rows = [
        *lines(0, 10, (100, 1000), (900, 9000), "likes"),
        *lines(1, 90, (450, 9000), (50, 1000), "likes"),
    ]
    for rate in (0.1, 0.5, 0.9):
        last = looks(tmp_path, rows, primary_only(), rate)[-1]
        assert last.findings["likes"].estimate == pytest.approx(0, abs=1e-15)
        assert last.weight_percent == 90


def _arms(metric: str) -> tuple[ArmSums, ArmSums]:
    return (binary(400, 500), binary(350, 500)) if metric == "likes" else (binary(100, 500), binary(150, 500))


def test_effects_are_the_engines_to_the_last_bit(tmp_path: Path):
    rows = steady(3, 50, 80, 70)
    config = configure(subject(tmp_path).spec, {"likes": 0.7, "dislikes": 0.3})
    states = {m.name: MetricState() for m in config.metrics}
    split = Split()
    for look in looks(tmp_path, rows):
        for metric in config.metrics:
            arms = _arms(metric.name)
            states[metric.name] = fold(metric, states[metric.name], 0.5, *arms)
            assert look.findings[metric.name] == find(metric, states[metric.name])
        split = split.add(50, 500, 1000)
        assert look.split == split


def test_a_better_candidate_is_promoted_at_the_last_step_only(tmp_path: Path):
    early = looks(tmp_path, steady(6, 10, 90, 70))
    assert early[-1].findings["likes"].verdict == "Better"
    assert decisions(early) == [None] * 6
    late = looks(tmp_path, [*steady(6, 10, 90, 70), *steady(2, 50, 90, 70, first=6)])
    assert decisions(late)[-1] == ("PromoteCandidate", "CandidateBetter")


def test_harm_ends_it_at_any_step(tmp_path: Path):
    assert decisions(looks(tmp_path, steady(8, 10, 40, 70)))[-1] in (
        ("KeepBaseline", "PrimaryWorse"),
        ("KeepBaseline", "GuardrailWorse"),
    )


def test_an_effect_too_small_keeps_the_baseline(tmp_path: Path):
    assert decisions(looks(tmp_path, steady(8, 50, 70, 70)))[-1] == ("KeepBaseline", "EffectTooSmall")


def test_the_verdict_stays_while_later_windows_add_to_the_evidence(tmp_path: Path):
    found = looks(tmp_path, [*steady(3, 50, 90, 70), *steady(5, 50, 50, 70, first=3)])
    made = [d for d in decisions(found) if d]
    assert set(made) == {("PromoteCandidate", "CandidateBetter")}
    first = decisions(found).index(made[0])
    assert decisions(found)[first:] == made
    estimate = [look.findings["likes"].estimate or 0 for look in found]
    assert estimate[-1] < 0 < estimate[first]


@pytest.mark.parametrize(
    ("minimum", "first"),
    [(0, None), (6 * 3600, 5), (8 * 3600, 7)],
)
def test_nothing_is_promoted_before_the_minimum_duration(minimum: int, first: int | None, tmp_path: Path):
    """Windows of an hour: the look after window 5 is six hours after the start."""
    found = decisions(looks(tmp_path, steady(9, 50, 90, 70), experiment(minimumDurationSeconds=minimum)))
    index = next(i for i, decision in enumerate(found) if decision)
    assert index == first if first is not None else index < 3


def test_time_runs_out(tmp_path: Path):
    short = experiment(minimumDurationSeconds=0, maximumDurationSeconds=3 * 3600, minimumDetectableEffect="0.02")
    found = decisions(looks(tmp_path, steady(4, 50, 71, 70), short))
    assert found == [None, None, *[("Inconclusive", "MaximumDurationReached")] * 2]


def test_undecided_in_time_waits_for_a_person_where_that_is_asked_for(tmp_path: Path):
    held = experiment(maximumDurationSeconds=3 * 3600, minimumDetectableEffect="0.02", onInconclusive="Hold")
    assert decisions(looks(tmp_path, steady(5, 50, 71, 70), held)) == [None] * 5


def test_a_broken_split_blocks_the_promotion_and_is_shown(tmp_path: Path):
    rows = [row for n in range(8) for row in lines(n, 50, (280, 400), (390, 600))]
    found = looks(tmp_path, rows)
    assert found[-1].findings["likes"].verdict == "Better"
    assert found[-1].to_json()["sampleRatio"]["ok"] is False
    assert found[-1].to_json()["sampleRatio"]["observed"] == pytest.approx(0.4)
    assert decisions(found)[-1] is None


def test_too_few_units_at_the_last_step_hold(tmp_path: Path):
    ramp = {"steps": [{"weightPercent": 10}, {"weightPercent": 50, "minimumUnits": 5000}]}
    assert decisions(looks(tmp_path, steady(5, 50, 90, 70), experiment(ramp=ramp))) == [None] * 5


@pytest.mark.parametrize(("weight", "decided"), [(5, False), (49, False), (50, True), (90, True)])
def test_a_weight_that_is_not_on_the_ramp_stands_at_the_last_step_it_has_reached(
    weight: int, decided: bool, tmp_path: Path
):
    found = looks(tmp_path, steady(8, weight, 95, 65))
    assert (decisions(found)[-1] == ("PromoteCandidate", "CandidateBetter")) is decided


def test_weights_may_go_down_and_windows_may_be_left_out(tmp_path: Path):
    rows = [*steady(2, 50, 85, 70), *steady(2, 25, 85, 70, first=5), *steady(3, 50, 85, 70, first=9)]
    found = looks(tmp_path, rows)
    assert [look.window for look in found] == [0, 1, 5, 6, 9, 10, 11]
    assert dict(found[-1].split.units) == {25: (500, 2000), 50: (2500, 5000)}
    assert (found[2].start, found[2].end) == (5 * 3600, 6 * 3600)


def test_the_last_window_that_may_be_has_a_time(tmp_path: Path):
    rows = lines(LARGEST_NUMBER, 50, (50, 100), (50, 100))
    found = looks(tmp_path, rows, experiment(windowSeconds=86_400, maturitySeconds=2_592_000))
    assert found[0].window == LARGEST_NUMBER


def test_without_outcomes_of_a_guardrail_nothing_is_promoted(tmp_path: Path):
    rows = [row for row in steady(4, 50, 90, 70) if row["metric"] == "likes"]
    found = looks(tmp_path, rows)
    assert found[-1].findings["likes"].verdict == "Better"
    assert decisions(found)[-1] is None


def test_a_line_of_the_answer_has_the_contracts_fields(tmp_path: Path):
    answer = looks(tmp_path, steady(1, 10, 80, 70))[0].to_json()
    assert list(answer) == ["window", "weightPercent", "effects", "sampleRatio", "decision"]
    assert [list(effect) for effect in answer["effects"]] == [
        ["metric", "estimate", "lower", "upper", "evidence", "verdict"]
    ] * 2
    assert [effect["metric"] for effect in answer["effects"]] == ["likes", "dislikes"]
    assert list(answer["sampleRatio"]) == ["expected", "observed", "evidence", "ok"]
    assert answer["decision"] is None


def test_evidence_beyond_what_json_can_say_stays_a_number(tmp_path: Path):
    rows = [row for n in range(8) for row in lines(n, 50, (9500, 10000), (1000, 10000))]
    evidence = looks(tmp_path, rows)[-1].to_json()["effects"][0]["evidence"]
    assert 1e200 < evidence < float("inf")
