"""`plan` for people: what was assumed, what it takes, and what to change where it cannot work."""

from __future__ import annotations

import math
from collections.abc import Iterator

from retrainer.ab_experiment.config import unit_of
from retrainer.experiment_tool.assumptions import Rate
from retrainer.experiment_tool.planning import DAY, Planned
from retrainer.experiment_tool.tables import number, percent, span, table
from retrainer.statistics.metric import MetricPlan

_ORIGINS = {
    "Given": "",
    "Opposite": " (at most: the opposite votes)",
    "Unknown": " (unknown: assumed)",
}


def plan_text(planned: Planned) -> str:
    """Some lines, a table of metrics and one of steps, and what follows."""
    parts = [_head(planned), _metrics(planned), _steps(planned), "\n".join(_conclusions(planned))]
    notes = "\n".join(_notes(planned))
    return "\n\n".join([*parts, notes] if notes else parts)


def _head(planned: Planned) -> str:
    spec = planned.subject.spec
    return (
        f"{planned.subject.title}: {spec.mode}, unit {unit_of(spec)}, alpha {spec.alpha}, power {spec.power}, "
        f"at most {span(spec.maximum_duration_seconds)}"
    )


def _metrics(planned: Planned) -> str:
    rows = []
    for metric in planned.config.metrics:
        needed = planned.units_by_metric[metric.name]
        alone = "unknown" if needed is None else f"{needed:,}"
        rate = _spread(metric) if metric.scale == "Unbounded" else _rate(planned.assumed.rates[metric.name])
        rows.append([metric.name, metric.role, metric.goal, rate, number(metric.effect), alone])
    return table(["metric", "role", "goal", "rate", "effect or margin", "units needed"], rows, left=4)


def _rate(rate: Rate) -> str:
    return f"{number(rate.value, 4)}{_ORIGINS[rate.origin]}"


def _spread(metric: MetricPlan) -> str:
    return "–" if metric.variance is None else f"deviation {number(math.sqrt(metric.variance))}"


def _steps(planned: Planned) -> str:
    rows = [
        [
            f"{step.weight_percent} %",
            f"{step.minimum_units:,}",
            f"{step.units:,}",
            "–" if step.days is None else number(step.days),
        ]
        for step in planned.steps
    ]
    return table(["weight", "candidate units, at least", "units, both arms", "days"], rows)


def _conclusions(planned: Planned) -> Iterator[str]:
    yield f"units needed   {planned.config.units_needed:,}"
    if planned.units_per_day is None or planned.days is None:
        yield "days           unknown: give --units-per-day"
        return
    shortest = planned.config.minimum_duration_seconds / DAY
    bound = "  (minimumDurationSeconds)" if planned.days == shortest else ""
    yield f"days           {number(planned.days)} at {number(planned.units_per_day, 9)} units a day{bound}"
    wanted = float(planned.subject.spec.power)
    yield f"power          {percent(wanted)} then; {_in_time(planned)} by maximumDurationSeconds"
    yield f"feasible       {'yes' if planned.feasible else 'no'}"


def _in_time(planned: Planned) -> str:
    reached = planned.power_in_time or 0.0
    if reached == 0:
        return "less than 50 %"
    return "more than 99.9 %" if reached >= 0.999 else percent(reached)


def _notes(planned: Planned) -> Iterator[str]:
    spec = planned.subject.spec
    if planned.feasible is False:
        yield (
            "It would probably end Inconclusive. Raise minimumDetectableEffect or the guardrails' margins, raise "
            "maximumDurationSeconds, lower minimumUnits of the early steps, or get more feedback per request."
        )
    unknown = [name for name, needed in planned.units_by_metric.items() if needed is None]
    if unknown:
        yield f"Without its spread {unknown[0]} does not count in the plan: give --deviation {unknown[0]}=…"
    if unit_of(spec) == "User":
        yield "Units are users, each counted once: --units-per-day means users who come for the first time that day."
