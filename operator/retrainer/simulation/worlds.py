"""Ramps, experiments, base rates and ways to come and to answer, from which the scenarios are put together."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from retrainer.ab_experiment.config import ExperimentConfig, Step
from retrainer.simulation.outcomes import Moment, Rate
from retrainer.simulation.sums import Floats
from retrainer.statistics.metric import MetricPlan

WINDOW_UNITS = 200
"""Units of both arms in a window."""
WINDOW_SECONDS = 10
WINDOWS = 100
"""Counted windows: 20,000 units."""
ALPHA = 0.05
POWER = 0.8

Ramp = tuple[tuple[int, int], ...]
"""Weight in per cent and candidate units of each step."""

RAMPS: dict[str, Ramp] = {
    "50/50": ((50, 100),),
    # 200 units at 5 %, a few windows at 25 %, then 50 %.
    "fast5": ((5, 10), (25, 150), (50, 100)),
    # 5,000 units at 10 or 5 %, 5,000 at 25 %, then 50 %.
    "slow10": ((10, 500), (25, 1250), (50, 100)),
    "slow5": ((5, 250), (25, 1250), (50, 100)),
    # For a weight that reacts to outcomes instead of rising.
    "adaptive": ((10, 1), (25, 1), (50, 1), (75, 1), (90, 1)),
}


def primary(rate: float = 0.1, effect: float = 0.02, guardrails: int = 1) -> MetricPlan:
    """Likes, to increase by `effect`."""
    return MetricPlan("likes", "Primary", "Increase", "Exclude", effect, rate, ALPHA, ALPHA / (1 + guardrails), POWER)


def guardrail(rate: float = 0.05, margin: float = 0.02, guardrails: int = 1) -> MetricPlan:
    """Dislikes, which must not rise by `margin`."""
    worse = ALPHA / (1 + guardrails)
    return MetricPlan("dislikes", "Guardrail", "Decrease", "Exclude", margin, rate, ALPHA, worse, POWER)


def experiment(
    ramp: str | Ramp, *metrics: MetricPlan, windows: int = WINDOWS, maturity_seconds: int = 0
) -> ExperimentConfig:
    """An experiment that ends after so many counted windows, if nothing ends it before."""
    steps = RAMPS[ramp] if isinstance(ramp, str) else ramp
    lost = 0 if ramp == "adaptive" else (len(steps) - 1) * (1 + maturity_seconds // WINDOW_SECONDS)
    return ExperimentConfig(
        steps=tuple(Step(weight, minimum) for weight, minimum in steps),
        metrics=metrics,
        units_metric=metrics[0].name,
        window_seconds=WINDOW_SECONDS,
        maturity_seconds=maturity_seconds,
        settle_seconds=1,
        minimum_duration_seconds=0,
        maximum_duration_seconds=1 + (windows + lost) * WINDOW_SECONDS + maturity_seconds,
    )


def always(units: float = WINDOW_UNITS) -> Callable[[int], float]:
    """As many units in every window."""
    return lambda window: units


def returning(users: float, visits: float, spread: float = 1.0) -> Callable[[int], float]:
    """New users of each window among `users`, who come back: per window each is seen with a rate of mean `visits`
    that is gamma distributed with shape `spread`, so the eager ones are all seen at first and few are new later."""

    def unseen(windows: float) -> float:
        return float((1 + visits * windows / spread) ** -spread)

    return lambda window: users * (unseen(window) - unseen(window + 1))


def drifting(start: float = 0.05, end: float = 0.15, windows: int = WINDOWS) -> Rate:
    """A base rate that moves steadily, while the weight rises too."""
    return lambda moment: start + (end - start) * min(moment.window / windows, 1.0)


def cycling(middle: float = 0.1, swing: float = 0.05, period: float = 24) -> Rate:
    """A base rate with a daily cycle."""
    return lambda moment: middle + swing * math.sin(2 * math.pi * moment.window / period)


def jumping(*rates: float) -> Rate:
    """A base rate that is another one at each step of the ramp."""

    def rate(moment: Moment) -> Floats:
        of_step: Floats = np.array(rates)[moment.step]
        return of_step

    return rate


def known_by(maturity_seconds: float, mean_delay_seconds: float) -> float:
    """Share of a window's outcomes known at its counting, if they are exponentially delayed."""
    length = WINDOW_SECONDS / mean_delay_seconds
    return 1 - math.exp(-maturity_seconds / mean_delay_seconds) * -math.expm1(-length) / length
