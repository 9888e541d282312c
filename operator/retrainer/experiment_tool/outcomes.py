"""Reads outcomes of windows, one JSON object per line; every line counts once, or is refused by its number."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from retrainer.experiment_tool.documents import text_of
from retrainer.experiment_tool.failure import InputError
from retrainer.statistics.metric import MetricPlan, MetricState, Scale, fold
from retrainer.statistics.sums import ArmSums

Arm = Literal["candidate", "baseline"]
ARMS: tuple[Arm, Arm] = ("candidate", "baseline")
LARGEST_COUNT = 10**12
LARGEST_NUMBER = 2_500_000
"""Of a window: with the longest windows its time can still be written, with the shortest it is 144 days away."""

EXAMPLE = (
    '{"window": 0, "weightPercent": 10, "metric": "likes", "arm": "candidate", "n": 100, "sum": 12, "sumSquares": 12}'
)
_OPTIONAL = "missing"


@dataclass(frozen=True)
class CountedWindow:
    """Outcomes of one window: by metric, then by arm."""

    number: int
    weight_percent: int
    arms: Mapping[str, Mapping[Arm, ArmSums]]


@dataclass(frozen=True)
class Outcomes:
    """All windows in the order of their numbers, and remarks about what they lack."""

    windows: tuple[CountedWindow, ...]
    remarks: tuple[str, ...]


@dataclass(frozen=True)
class _Row:
    """One line, read and found well-formed."""

    line: int
    window: int
    weight_percent: int
    metric: str
    arm: Arm
    sums: ArmSums


def outcomes_in(path: str, metrics: Sequence[MetricPlan]) -> Outcomes:
    """The windows of a file; raises InputError naming the line, the field and the remedy."""
    plans = {plan.name: plan for plan in metrics}
    rows = [_row(path, number, text, plans) for number, text in _lines(path)]
    if not rows:
        raise InputError(f"{path}: holds no outcomes; each line looks like {EXAMPLE}")
    by_window: dict[int, list[_Row]] = {}
    for row in rows:
        by_window.setdefault(row.window, []).append(row)
    windows = tuple(_window(path, by_window[number], plans) for number in sorted(by_window))
    return Outcomes(windows, tuple(_remarks(by_window, plans)))


def _lines(path: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(text_of(path).split("\n"), start=1):
        if line.strip():
            yield number, line


def _row(path: str, line: int, text: str, plans: Mapping[str, MetricPlan]) -> _Row:
    place = f"{path}: line {line}"
    try:
        # A repeated field would silently win over the first.
        found = json.loads(text, object_pairs_hook=_unique)
    except ValueError as error:
        raise InputError(f"{place}: {_syntax(error)}; a line looks like {EXAMPLE}") from error
    if not isinstance(found, dict):
        raise InputError(f"{place}: is no JSON object; a line looks like {EXAMPLE}")
    for name in found:
        if name not in _FIELDS:
            raise InputError(f"{place}: {name} is not a field here; known are {', '.join(_FIELDS)}")
    values = {name: _value(place, name, found) for name in _FIELDS}
    metric, arm = values["metric"], values["arm"]
    if metric not in plans:
        raise InputError(f"{place}: metric: the experiment has no {metric}; it has {', '.join(plans)}")
    row = _Row(line, values["window"], values["weightPercent"], metric, arm, _sums(place, values))
    _check_scale(place, plans[metric], row)
    return row


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a field is there twice; keep one")
    return found


def _syntax(error: ValueError) -> str:
    return f"is not valid JSON ({error.msg})" if isinstance(error, json.JSONDecodeError) else str(error)


def _whole(low: int, high: int) -> Callable[[Any], str | None]:
    def complaint(value: Any) -> str | None:
        # 100.0 is what some programs write for 100.
        whole = _number(value) is None and value == int(value)
        return None if whole and low <= value <= high else f"must be a whole number from {low} to {high}"

    return complaint


def _number(value: Any) -> str | None:
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return None if number else "must be a number, without quotes"


def _square(value: Any) -> str | None:
    return _number(value) or (None if value >= 0 else "must not be negative: it is a sum of squares")


def _text(value: Any) -> str | None:
    return None if isinstance(value, str) else "must be the name of a metric of the experiment, in quotes"


def _arm(value: Any) -> str | None:
    return None if value in ARMS else 'must be "candidate" or "baseline"'


_FIELDS: Mapping[str, Callable[[Any], str | None]] = {
    "window": _whole(0, LARGEST_NUMBER),
    "weightPercent": _whole(1, 99),
    "metric": _text,
    "arm": _arm,
    "n": _whole(0, LARGEST_COUNT),
    "sum": _number,
    "sumSquares": _square,
    _OPTIONAL: _whole(0, LARGEST_COUNT),
}
_COUNTS = frozenset({"window", "weightPercent", "n", _OPTIONAL})
_REMEDIES = {
    "weightPercent": "; it is the candidate's share that was really applied (at 0 and 100 there is nothing to compare: "
    "leave such windows out)",
    "n": "; it counts units with an outcome",
}


_SCALES: Mapping[Scale, str] = {
    "Binary": "outcomes of {name} are 0 or 1, so sum is how many of the n are 1, and sumSquares is the same number",
    "Bounded": "outcomes of {name} lie from 0 to 1, so 0 ≤ sumSquares ≤ sum ≤ n, and sum² ≤ n · sumSquares",
    "Unbounded": "no n outcomes of {name} have these sums; they are Σy and Σy², so sum² ≤ n · sumSquares",
    "Events": "sum is how many events of {name} there were; it cannot be negative",
}


def _value(place: str, name: str, found: Mapping[str, Any]) -> Any:
    if name not in found:
        if name == _OPTIONAL:
            return 0
        raise InputError(f"{place}: {name} is missing; a line looks like {EXAMPLE}")
    complaint = _FIELDS[name](found[name])
    if complaint:
        raise InputError(f"{place}: {name} {complaint}{_REMEDIES.get(name, '')}")
    return int(found[name]) if name in _COUNTS else found[name]


def _sums(place: str, values: Mapping[str, Any]) -> ArmSums:
    return ArmSums(values["n"], float(values["sum"]), float(values["sumSquares"]), values["missing"])


def _check_scale(place: str, plan: MetricPlan, row: _Row) -> None:
    """The engine's own check of an arm's sums, made here where the line is known."""
    try:
        fold(plan, MetricState(), row.weight_percent / 100, row.sums, ArmSums())
        possible = plan.scale != "Binary" or row.sums.total.is_integer()
    except ValueError:
        possible = False
    if not possible:
        raise InputError(f"{place}: sum, sumSquares: {_SCALES[plan.scale].format(name=plan.name)}")


def _window(path: str, rows: Sequence[_Row], plans: Mapping[str, MetricPlan]) -> CountedWindow:
    """One window from its lines; raises InputError where they contradict each other or one arm is absent."""
    first = rows[0]
    arms: dict[str, dict[Arm, ArmSums]] = {}
    lines: dict[tuple[str, Arm], int] = {}
    for row in rows:
        place = f"{path}: line {row.line}: window {row.window}"
        if row.weight_percent != first.weight_percent:
            raise InputError(
                f"{place}: weightPercent is {row.weight_percent}, but {first.weight_percent} in line {first.line}; a "
                "window has one weight (leave out windows in which it changed)"
            )
        earlier = lines.setdefault((row.metric, row.arm), row.line)
        if earlier != row.line:
            raise InputError(f"{place}: {row.metric} of the {row.arm} is in line {earlier} already; add them up")
        arms.setdefault(row.metric, {})[row.arm] = row.sums
    for metric, found in arms.items():
        absent = [arm for arm in ARMS if arm not in found]
        if absent:
            raise InputError(
                f"{path}: window {first.window}: {metric} of the {absent[0]} is missing; add its line (with n 0 if it "
                "had no units)"
            )
    none: Mapping[Arm, ArmSums] = {"candidate": ArmSums(), "baseline": ArmSums()}
    return CountedWindow(first.window, first.weight_percent, {name: arms.get(name, none) for name in plans})


def _remarks(by_window: Mapping[int, Sequence[_Row]], plans: Mapping[str, MetricPlan]) -> Iterator[str]:
    """What the file does not say of a window, and how that was taken."""
    for name in plans:
        without = [number for number, rows in by_window.items() if all(row.metric != name for row in rows)]
        if len(without) == len(by_window):
            yield f"no line is about {name}: it stays undecided"
        elif without:
            shown = ", ".join(str(number) for number in sorted(without)[:5]) + (", …" if len(without) > 5 else "")
            yield f"{name} has no line in {len(without)} windows ({shown}): counted there as no units"


