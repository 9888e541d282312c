"""What is known about a metric before its first window; never changes afterwards."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from retrainer.statistics import power

Scale = Literal["Binary", "Bounded", "Unbounded", "Events"]

GRID_REACH = 16
"""The interval is inverted on δ = −16 … 16 quarters of the effect."""
GRID = 2 * GRID_REACH + 1

_LARGEST_MARGIN = 50.0
"""Ratios up to exp(4) = 54.6 are kept (`rate_ratio.REACH`)."""
_RATE_BOUNDS = (0.01, 0.99)


@dataclass(frozen=True)
class MetricPlan:
    """A metric of an experiment, in numbers.

    - `scale` of the outcome y: `Binary` 0 or 1, `Bounded` anywhere in [0, 1], `Unbounded` any number, `Events`
      counts of events of which only the share per arm is judged.
    - `effect` is d, the minimum detectable effect of the primary metric or the margin of a guardrail, in units
      of y; of `Events` the tolerated relative increase (0.5: half as many again).
    - `rate` is the planned mean of y; of `Events` the planned events per unit of traffic.
    - `variance` is the planned variance of y. None: p(1−p) for `Binary` (always) and `Bounded`; for `Unbounded`
      the first outcomes tell (see `metric.fold`).
    - `alpha` is the error budget of Better and NotWorse, `alpha_worse` that of Worse.

    Raises ValueError naming the argument that lies outside its domain.
    """

    name: str
    role: Literal["Primary", "Guardrail"]
    goal: Literal["Increase", "Decrease"]
    missing: Literal["Exclude", "Zero"]
    effect: float
    rate: float
    alpha: float
    alpha_worse: float
    power: float
    scale: Scale = "Binary"
    variance: float | None = None

    def __post_init__(self) -> None:
        if not 0 < self.effect < math.inf:
            raise ValueError(f"metric {self.name}: the effect or margin must be above 0")
        if not (0 < self.alpha < 1 and 0 < self.alpha_worse < 1):
            raise ValueError(f"metric {self.name}: alpha and alpha_worse must lie strictly between 0 and 1")
        if not math.isfinite(self.rate):
            raise ValueError(f"metric {self.name}: rate must be a finite number, not {self.rate}")
        if self.variance is not None and not 0 < self.variance < math.inf:
            raise ValueError(f"metric {self.name}: variance must be above 0, not {self.variance}")
        if self.missing == "Zero" and self.goal == "Decrease":
            raise ValueError(f"metric {self.name}: missing: Zero would reward suppressing feedback")
        if self.scale == "Events" and (self.role, self.goal) != ("Guardrail", "Decrease"):
            raise ValueError(f"metric {self.name}: scale Events is for a role Guardrail with the goal Decrease")
        if self.scale == "Events" and not self.effect <= _LARGEST_MARGIN:
            raise ValueError(f"metric {self.name}: the margin of events must be at most {_LARGEST_MARGIN:g}")
        if self.scale == "Events" and not self.rate > 0:
            raise ValueError(f"metric {self.name}: rate must be above 0 events per unit, not {self.rate}")

    @property
    def alpha_small(self) -> float:
        """Error budget of TooSmall."""
        return self.alpha / 2

    @property
    def good_rate(self) -> float:
        """Planned mean of the outcome, turned so that larger is better."""
        if self.scale == "Events":
            return self.rate
        if self.scale == "Unbounded":
            return self.rate if self.goal == "Increase" else -self.rate
        return power.clipped(self.rate if self.goal == "Increase" else 1 - self.rate, _RATE_BOUNDS)

    @property
    def unit_variance(self) -> float | None:
        """Planned variance of y; None where it is not known (`Unbounded` without a plan) or has no meaning."""
        if self.scale in ("Unbounded", "Events"):
            return self.variance
        rate = self.good_rate
        return rate * (1 - rate) if self.scale == "Binary" or self.variance is None else self.variance

    @property
    def equal_split_units(self) -> float:
        """Units at 50/50 for a verdict: the primary better by d, a guardrail unchanged and shown NotWorse.

        0 where nothing can be said (`Unbounded` with an unknown variance): such a metric does not decide the
        length that is planned.
        """
        return self._fixed_horizon_units * power.ENGINE_FACTORS[self.scale]

    @property
    def _fixed_horizon_units(self) -> float:
        if self.scale == "Events":
            return power.event_count(math.log1p(self.effect), self.alpha, self.power) / self.rate
        if self.scale == "Unbounded" or (self.scale == "Bounded" and self.variance is not None):
            return 0.0 if self.variance is None else self._units_at(self.variance)
        change = self.effect if self.role == "Primary" else -self.effect
        return power.fixed_horizon_units(self.good_rate, change, self.alpha, self.power)

    def _units_at(self, variance: float) -> float:
        return power.mean_units(variance, self.effect, self.alpha, self.power)

    @property
    def planned_variance(self) -> float:
        """V*: planned ΣV of the scores, on the low side; the boundary of formula 1 is narrowest there.

        Raises ValueError where the variance of y is not known.
        """
        if self.unit_variance is None:
            raise ValueError(f"metric {self.name}: variance is not known")
        return self._fixed_horizon_units / 4 * self.unit_variance

    def planned_variance_at(self, variance: float) -> float:
        """V* if the variance of y is `variance` > 0."""
        return self._units_at(variance) / 4 * variance


def grid_delta(plan: MetricPlan, index: int) -> float:
    """δ at an index of the grid; 0, ±d/2 and ±d are met exactly."""
    return (index - GRID_REACH) * plan.effect / 4
