"""`plan`: how many units, how many days, with what power; the operator's own plan, before there is an object."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from retrainer.ab_experiment.config import ExperimentConfig, configure, unit_of
from retrainer.experiment_tool.assumptions import Assumptions, configured
from retrainer.experiment_tool.subjects import Subject

DAY = 86_400
_LOWEST_POWER, _HIGHEST_POWER = 0.5, 0.999
"""Between these the closed form is meant to be used."""


@dataclass(frozen=True)
class StepPlan:
    """One step of the ramp: candidate units asked for, units of both arms that it takes, and days."""

    weight_percent: int
    minimum_units: int
    units: int
    days: float | None


@dataclass(frozen=True)
class Planned:
    """The plan of one experiment; `units_by_metric` is what each metric alone would need on this ramp
    (None where its spread is not known).

    `days` are None without a rate of units, `power_in_time` is the power reached by maximumDurationSeconds:
    None without a rate of units, 0 where it is below one half.
    """

    subject: Subject
    config: ExperimentConfig
    assumed: Assumptions
    units_per_day: float | None
    units_by_metric: Mapping[str, int | None]
    steps: tuple[StepPlan, ...]
    days: float | None
    power_in_time: float | None

    @property
    def feasible(self) -> bool | None:
        """Whether it can decide in time; None without a rate of units."""
        if self.units_per_day is None:
            return None
        return self.config.units_needed / self.units_per_day * DAY <= self.config.maximum_duration_seconds

    def to_json(self) -> dict[str, Any]:
        """The plan as plain JSON."""
        spec = self.subject.spec
        return {
            "experiment": self.subject.title,
            "mode": spec.mode,
            "unit": unit_of(spec),
            "alpha": float(spec.alpha),
            "power": float(spec.power),
            "minimumDetectableEffect": float(spec.minimum_detectable_effect),
            "unitsNeeded": self.config.units_needed,
            "unitsPerDay": self.units_per_day,
            "days": self.days,
            "feasible": self.feasible,
            "powerByMaximumDuration": self.power_in_time,
            "minimumDurationSeconds": self.config.minimum_duration_seconds,
            "maximumDurationSeconds": self.config.maximum_duration_seconds,
            "metrics": [self._metric(m.name) for m in self.config.metrics],
            "steps": [_step(step) for step in self.steps],
        }

    def _metric(self, name: str) -> dict[str, Any]:
        plan = next(m for m in self.config.metrics if m.name == name)
        return {
            "metric": name,
            "role": plan.role,
            "goal": plan.goal,
            "rate": self.assumed.rates[name].value,
            "rateOrigin": self.assumed.rates[name].origin,
            "effect": plan.effect,
            "unitsNeeded": self.units_by_metric[name],
        }


def _step(step: StepPlan) -> dict[str, Any]:
    return {
        "weightPercent": step.weight_percent,
        "minimumUnits": step.minimum_units,
        "units": step.units,
        "days": step.days,
    }


def plan(subject: Subject, assumed: Assumptions, units_per_day: float | None) -> Planned:
    """The plan; raises InputError where the spec cannot be carried out."""
    config = configured(subject, assumed)
    return Planned(
        subject=subject,
        config=config,
        assumed=assumed,
        units_per_day=units_per_day,
        units_by_metric={m.name: config.units_for([m]) if m.equal_split_units else None for m in config.metrics},
        steps=_steps(config, units_per_day),
        days=_days(config, units_per_day),
        power_in_time=None if units_per_day is None else _power_in_time(subject, assumed, units_per_day),
    )


def _days(config: ExperimentConfig, units_per_day: float | None) -> float | None:
    """Days until enough units are counted, or until the shortest duration allows a decision."""
    if units_per_day is None:
        return None
    return max(
        config.units_needed / units_per_day + config.maturity_seconds / DAY, config.minimum_duration_seconds / DAY
    )


def _steps(config: ExperimentConfig, units_per_day: float | None) -> tuple[StepPlan, ...]:
    """Units of both arms per step: the early ones their minimum, the last one what is left."""
    early = [round(step.minimum_units * 100 / step.weight) for step in config.steps[:-1]]
    units = [*early, config.units_needed - sum(early)]
    return tuple(
        StepPlan(step.weight, step.minimum_units, count, None if units_per_day is None else count / units_per_day)
        for step, count in zip(config.steps, units, strict=True)
    )


def _power_in_time(subject: Subject, assumed: Assumptions, units_per_day: float) -> float:
    """The largest power whose plan ends by maximumDurationSeconds; 0 where not even one half does."""
    available = units_per_day * subject.spec.maximum_duration_seconds / DAY

    def reached(wanted: float) -> bool:
        spec = subject.spec.model_copy(update={"power": repr(wanted)})
        return configure(spec, assumed.known_rates, assumed.variances).units_needed <= available

    if not reached(_LOWEST_POWER):
        return 0.0
    low, high = _LOWEST_POWER, _HIGHEST_POWER
    if reached(high):
        return high
    for _ in range(24):
        middle = (low + high) / 2
        low, high = (middle, high) if reached(middle) else (low, middle)
    return low
