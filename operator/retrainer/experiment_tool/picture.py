"""What a plot shows, as plain numbers: chosen here, so that it can be tested without drawing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from retrainer.ab_experiment import words
from retrainer.experiment_tool.looks import Look
from retrainer.statistics.metric import MetricPlan

_UNITS = ((2 * 86_400, 86_400, "days"), (2 * 3_600, 3_600, "hours"), (120, 60, "minutes"), (0, 1, "seconds"))
_LONGEST_NAME = 36
_VERDICTS = {
    "PromoteCandidate": "promote the candidate",
    "KeepBaseline": "keep the baseline",
    "Inconclusive": "inconclusive",
}


@dataclass(frozen=True)
class Band:
    """One metric over time; `lower`, `estimate` and `upper` are None while they are not known.

    `bar` is the effect that matters: minimumDetectableEffect of the primary, the margin of a guardrail (as harm).
    `low` … `high` are the ends of the axis: intervals that are wider are cut. `shown` writes a value on it.
    """

    heading: str
    bar: float
    bar_label: str
    shown: Callable[[float], str]
    times: tuple[float, ...]
    estimate: tuple[float | None, ...]
    lower: tuple[float | None, ...]
    upper: tuple[float | None, ...]
    low: float
    high: float


@dataclass(frozen=True)
class Picture:
    """Everything that is drawn; times in `unit`s since the first window began.

    `weights` are (from, to, per cent) of windows that follow each other; `units` those of both arms so far.
    """

    title: str
    subtitle: str
    unit: str
    bands: tuple[Band, ...]
    weights: tuple[tuple[float, float, int], ...]
    times: tuple[float, ...]
    units: tuple[int, ...]
    units_needed: int
    decided: float | None


def picture(name: str, looks: Sequence[Look], metrics: Sequence[MetricPlan]) -> Picture:
    """The picture of some looks (at least one), in their order."""
    origin = looks[0].start
    length, unit = _unit(looks[-1].end - origin)
    times = tuple((look.end - origin) / length for look in looks)
    decided = next((t for t, look in zip(times, looks, strict=True) if look.decision), None)
    return Picture(
        title=f"{name}: {_verdict(looks[-1])}",
        subtitle=_subtitle(next((look for look in looks if look.decision), looks[-1]), metrics[0]),
        unit=unit,
        bands=tuple(_band(plan, looks, times) for plan in metrics),
        weights=tuple(_weights(looks, origin, length)),
        times=times,
        units=tuple(look.split.total for look in looks),
        units_needed=looks[-1].units_needed,
        decided=decided,
    )


def _unit(seconds: float) -> tuple[int, str]:
    return next((length, name) for least, length, name in _UNITS if seconds >= least)


def _weights(looks: Sequence[Look], origin: float, length: int) -> Iterator[tuple[float, float, int]]:
    """Windows of one weight as one piece; between pieces lie windows that were left out."""
    first = looks[0]
    for look, following in zip(looks, (*looks[1:], None), strict=True):
        if following is None or following.start != look.end or following.weight_percent != look.weight_percent:
            yield (first.start - origin) / length, (look.end - origin) / length, look.weight_percent
            first = following or look


def shortened(name: str) -> str:
    """A long name, cut to what fits beside a legend."""
    return name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 1] + "…"


def _verdict(last: Look) -> str:
    if last.decision is None:
        return "no verdict yet"
    return f"{_VERDICTS[last.decision.verdict]} ({last.decision.reason})"


def _subtitle(look: Look, plan: MetricPlan) -> str:
    """The effect in the operator's words, at the verdict or else at the last look."""
    found = look.findings[plan.name]
    return f"{words.effect(plan, found)} {'at the verdict' if look.decision else 'so far'}: {found.verdict}"


def _band(plan: MetricPlan, looks: Sequence[Look], times: tuple[float, ...]) -> Band:
    found = [look.findings[plan.name] for look in looks]
    good = 1 if plan.goal == "Increase" else -1
    primary = plan.role == "Primary"
    bar = good * plan.effect * (1 if primary else -1)
    estimate = tuple(f.estimate for f in found)
    lower, upper = tuple(f.lower for f in found), tuple(f.upper for f in found)
    low, high = _axis(bar, estimate, lower, upper)
    shown = _percent if plan.scale == "Events" else words.signed
    return Band(
        heading=f"{shortened(plan.name)}: {plan.role.lower()}, {'higher' if good > 0 else 'lower'} is better",
        bar=bar,
        bar_label=f"{'smallest effect' if primary else 'margin'} {shown(bar)}",
        shown=shown,
        times=times,
        estimate=estimate,
        lower=lower,
        upper=upper,
        low=low,
        high=high,
    )


def _percent(value: float) -> str:
    return words.change(value) if value else "0"


_Series = Sequence[float | None]


def _axis(bar: float, estimate: _Series, lower: _Series, upper: _Series) -> tuple[float, float]:
    """Ends that hold zero, the bar, the later half of the estimates and, unless it is very wide, the last interval."""
    later = [abs(x) for x in estimate[len(estimate) // 2 :] if x is not None]
    reach = max(2.5 * abs(bar), 1.5 * max(later, default=0.0))
    ends = [x for x in (lower[-1], upper[-1]) if x is not None]
    cut = [min(max(x, -2 * reach), 2 * reach) for x in ends]
    low, high = min(-reach, *cut, 0.0), max(reach, *cut, 0.0)
    room = 0.05 * (high - low)
    return low - room, high + room
