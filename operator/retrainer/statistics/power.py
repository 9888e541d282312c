"""Formula 6: how many units an experiment needs, from the closed form and the engine's factor."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

ENGINE_FACTOR = 1.35
"""Units to a verdict with the betting engine at 50/50 ÷ units of the fixed-horizon two-sided z-test."""

_RATE_BOUNDS = (0.01, 0.99)
_POWER_BOUNDS = (0.5, 0.999)


def fixed_horizon_units(rate: float, effect: float, alpha: float, power: float) -> float:
    """Units, both arms of an equal split, for `power` at a change from `rate` to `rate` + `effect`
    (two-sided z-test at `alpha`): 2·(z₁₋α/₂ + z_power)²·(p(1−p) + q(1−q))/effect²."""
    if effect == 0 or not 0 < alpha < 1:
        raise ValueError(f"need an effect other than 0 and 0 < alpha < 1: {effect}, {alpha}")
    p = clipped(rate, _RATE_BOUNDS)
    q = clipped(p + effect, _RATE_BOUNDS)
    return 2 * _quantiles(alpha, power) ** 2 * (p * (1 - p) + q * (1 - q)) / effect**2


def mean_units(variance: float, effect: float, alpha: float, power: float) -> float:
    """Units, both arms of an equal split, for `power` at a change `effect` of a mean whose outcomes have
    `variance` in both arms (two-sided z-test at `alpha`): 4·(z₁₋α/₂ + z_power)²·variance/effect²."""
    if effect == 0 or not variance > 0:
        raise ValueError(f"need an effect other than 0 and a positive variance: {effect}, {variance}")
    return 4 * _quantiles(alpha, power) ** 2 * variance / effect**2


def event_count(log_ratio: float, alpha: float, power: float) -> float:
    """Events, both arms of an equal split, for `power` at a rate ratio of exp(`log_ratio`) (two-sided z-test of
    ln r at `alpha`): 4·(z₁₋α/₂ + z_power)²/(ln r)² (Schoenfeld, "Sample-size formula for the proportional-hazards
    regression model", 1983, equation 1)."""
    if log_ratio == 0:
        raise ValueError("need a log_ratio other than 0")
    return 4 * _quantiles(alpha, power) ** 2 / log_ratio**2


def _quantiles(alpha: float, power: float) -> float:
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie strictly between 0 and 1, not {alpha}")
    return NormalDist().inv_cdf(1 - alpha / 2) + NormalDist().inv_cdf(clipped(power, _POWER_BOUNDS))


def ramp_units(equal_split_units: float, steps: Sequence[tuple[float, int]]) -> int:
    """Units of both arms that carry as much information as `equal_split_units` at 50/50.

    `steps` are (weight, minimum candidate units). A unit at weight w tells 4w(1−w) of what one at ½ tells;
    steps before the last bring their minimum, the last one the rest.
    """
    if not steps:
        raise ValueError("a ramp needs at least one step")
    needed, units = equal_split_units, 0.0
    for weight, minimum in steps[:-1]:
        seen = minimum / weight
        units += seen
        needed -= seen * 4 * weight * (1 - weight)
    weight, minimum = steps[-1]
    units += max(needed / (4 * weight * (1 - weight)), minimum / weight)
    return math.ceil(units)


def clipped(value: float, bounds: tuple[float, float]) -> float:
    """`value`, moved into the bounds."""
    return min(max(value, bounds[0]), bounds[1])
