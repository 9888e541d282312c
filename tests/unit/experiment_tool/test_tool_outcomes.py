"""Lines of outcomes: each counts once, or is refused with its number, its field and the remedy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from retrainer.experiment_tool.failure import InputError
from retrainer.experiment_tool.outcomes import EXAMPLE, Outcomes, outcomes_in
from retrainer.statistics.metric import MetricPlan
from retrainer.statistics.sums import ArmSums
from tests.unit.experiment_tool.tool_files import line, lines, write_lines


def plan(name: str, **overrides: Any) -> MetricPlan:
    values: dict[str, Any] = {
        "role": "Primary",
        "goal": "Increase",
        "missing": "Exclude",
        "effect": 0.1,
        "rate": 0.5,
        "alpha": 0.05,
        "alpha_worse": 0.025,
        "power": 0.8,
    }
    return MetricPlan(name=name, **{**values, **overrides})


LIKES = plan("likes")
DISLIKES = plan("dislikes", role="Guardrail", goal="Decrease")
STARS = plan("stars", scale="Bounded")
LATENCY = plan("latency", scale="Unbounded", goal="Decrease")
ERRORS = plan("errors", scale="Events", role="Guardrail", goal="Decrease")
ALL = (LIKES, DISLIKES, STARS, LATENCY, ERRORS)
GOOD = line(0, 10, "likes", "candidate", 100, 12)
OTHER = line(0, 10, "likes", "baseline", 900, 100)


def read(folder: Path, rows: list[Any], metrics: tuple[MetricPlan, ...] = ALL) -> Outcomes:
    return outcomes_in(write_lines(folder / "outcomes.jsonl", rows), metrics)


def test_the_example_in_messages_is_a_good_line(tmp_path: Path):
    window = read(tmp_path, [EXAMPLE, OTHER], (LIKES,)).windows[0]
    assert window.arms["likes"]["candidate"] == ArmSums(100, 12.0, 12.0)
    assert json.loads(EXAMPLE) == GOOD


def test_windows_are_ordered_and_every_line_is_in_one(tmp_path: Path):
    rows = [*lines(7, 25, (3, 5), (40, 60)), *lines(2, 10, (1, 2), (10, 20))]
    windows = read(tmp_path, rows[::-1], (LIKES, DISLIKES)).windows
    assert [(w.number, w.weight_percent) for w in windows] == [(2, 10), (7, 25)]
    assert windows[1].arms["dislikes"]["baseline"] == ArmSums(60, 20.0, 20.0)


def test_missing_outcomes_are_kept(tmp_path: Path):
    rows = [{**GOOD, "missing": 7}, OTHER]
    assert read(tmp_path, rows, (LIKES,)).windows[0].arms["likes"]["candidate"].missing == 7


def test_empty_lines_and_whole_numbers_with_a_point_are_fine(tmp_path: Path):
    rows = ["", {**GOOD, "n": 100.0, "window": 0.0}, "  ", OTHER]
    assert read(tmp_path, rows, (LIKES,)).windows[0].arms["likes"]["candidate"].n == 100


def test_outcomes_of_any_scale_are_read(tmp_path: Path):
    rows = []
    for metric, total, squares in (("stars", 3.5, 2.75), ("latency", -3.0, 99.0), ("errors", 120, 120)):
        for arm in ("candidate", "baseline"):
            rows.append({**line(0, 50, metric, arm, 10, total), "sumSquares": squares})
    assert read(tmp_path, rows).windows[0].arms["errors"]["candidate"].total == 120


WRONG: list[tuple[str, Any, tuple[str, ...]]] = [
    ("no JSON", "{", ("is not valid JSON", EXAMPLE)),
    ("a list", "[1]", ("is no JSON object", EXAMPLE)),
    ("a field given twice", '{"window": 1, "window": 2}', ("a field is there twice", "keep one")),
    ("an unknown field", {**GOOD, "weight": 10}, ("weight is not a field here", "weightPercent")),
    ("no weight", {k: v for k, v in GOOD.items() if k != "weightPercent"}, ("weightPercent is missing",)),
    ("a window below 0", {**GOOD, "window": -1}, ("window must be a whole number from 0",)),
    ("a window in words", {**GOOD, "window": "first"}, ("window must be a whole number",)),
    ("true as a number", {**GOOD, "n": True}, ("n must be a whole number", "units with an outcome")),
    ("a weight of nothing", {**GOOD, "weightPercent": 0}, ("weightPercent must be", "leave such windows out")),
    ("a weight of everything", {**GOOD, "weightPercent": 100}, ("weightPercent must be", "from 1 to 99")),
    ("a share as weight", {**GOOD, "weightPercent": 0.1}, ("weightPercent must be a whole number",)),
    ("another metric", {**GOOD, "metric": "clicks"}, ("metric: the experiment has no clicks; it has likes",)),
    ("a metric without a name", {**GOOD, "metric": None}, ("metric must be the name",)),
    ("a third arm", {**GOOD, "arm": "control"}, ('arm must be "candidate" or "baseline"',)),
    ("half a unit", {**GOOD, "n": 0.5}, ("n must be a whole number",)),
    ("no number", '{"window":0,"weightPercent":10,"metric":"likes","arm":"candidate","n":1,"sum":NaN,"sumSquares":1}',
     ("sum must be a number",)),
    ("a sum in quotes", {**GOOD, "sum": "12"}, ("sum must be a number, without quotes",)),
    ("negative squares", {**GOOD, "sumSquares": -1}, ("sumSquares must not be negative",)),
    ("negative missing", {**GOOD, "missing": -1}, ("missing must be a whole number from 0",)),
    ("more likes than units", {**GOOD, "sum": 101, "sumSquares": 101}, ("outcomes of likes are 0 or 1",)),
    ("squares unlike the sum", {**GOOD, "sumSquares": 13}, ("sumSquares is the same number",)),
    ("half a like", {**GOOD, "sum": 0.5, "sumSquares": 0.5}, ("sum is how many of the n are 1",)),
    ("six stars of five", {**line(0, 10, "stars", "candidate", 1, 1.2), "sumSquares": 1.44}, ("lie from 0 to 1",)),
    ("too little spread", {**line(0, 10, "latency", "candidate", 2, 10), "sumSquares": 1}, ("sum² ≤ n · sumSquares",)),
    ("fewer than no errors", {**line(0, 10, "errors", "candidate", 2, -1), "sumSquares": 1}, ("cannot be negative",)),
]  # fmt: skip


@pytest.mark.parametrize(("sentence", "row", "words"), WRONG, ids=[sentence for sentence, _, _ in WRONG])
def test_a_bad_line_is_refused_by_number(sentence: str, row: Any, words: tuple[str, ...], tmp_path: Path):
    with pytest.raises(InputError) as error:
        read(tmp_path, [OTHER, "", row])
    message = str(error.value)
    assert "outcomes.jsonl: line 3: " in message
    assert [word for word in words if word not in message] == []


CONTRADICTIONS = [
    ("the same arm twice", [GOOD, OTHER, GOOD], ("line 3", "in line 1 already", "add them up")),
    ("two weights in one window", [GOOD, {**OTHER, "weightPercent": 25}], ("line 2", "but 10 in line 1", "one weight")),
    ("only one arm", [GOOD], ("window 0", "likes of the baseline is missing", "with n 0")),
    ("nothing", ["", " "], ("holds no outcomes",)),
]


@pytest.mark.parametrize(("sentence", "rows", "words"), CONTRADICTIONS, ids=[c[0] for c in CONTRADICTIONS])
def test_lines_that_contradict_each_other_are_refused(
    sentence: str, rows: list[Any], words: tuple[str, ...], tmp_path: Path
):
    with pytest.raises(InputError) as error:
        read(tmp_path, rows)
    assert [word for word in words if word not in str(error.value)] == []


def test_metrics_without_lines_are_remarked_upon(tmp_path: Path):
    rows = [*lines(0, 10, (1, 2), (3, 4), "likes", "dislikes"), *lines(3, 10, (1, 2), (3, 4), "likes")]
    remarks = read(tmp_path, rows, (LIKES, DISLIKES, STARS)).remarks
    assert remarks == (
        "dislikes has no line in 1 windows (3): counted there as no units",
        "no line is about stars: it stays undecided",
    )
