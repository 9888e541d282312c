"""Formula 6: how many units an experiment needs, from the closed form, the engine's factor and the ramp.

units = closed form of the fixed-horizon test × `ENGINE_FACTORS` × what the ramp loses (`ramp_units`). The engine's
factor is what looking all the time costs at 50/50: units by which 80 % of simulated runs had their verdict ÷ units
of the two-sided z-test with 80 % power. What the ramp loses follows from the scores' overlap, 4w(1−w) of a unit at ½,
and is not part of the factor: 5,000 units at 5 % first bring the whole to 2.0 at a base rate of 10 % and d = 2 points.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import NormalDist

ENGINE_FACTOR = 1.35
"""The factor of formula 2 for outcomes 0 or 1; simulated 1.30 to 1.36 for rates of 10 to 85 % (to 1.45 for a
guardrail at 10 %)."""

ENGINE_FACTORS: Mapping[str, float] = {
    "Binary": ENGINE_FACTOR,
    # The bound from sums costs up to a tenth more; simulated 1.36 to 1.55, if the planned variance is right.
    "Bounded": 1.5,
    # Formula 1's boundary, also formula 5's: simulated 1.41.
    "Unbounded": 1.45,
    # Simulated 1.41 to 1.62 for margins of 0.2 to 1; the mixture is wide for smaller ones (0.1: 1.82).
    "Events": 1.6,
}
"""Factor by scale of the metric."""

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
    regression model", 1983)."""
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
        raise ValueError("steps: a ramp needs at least one step")
    if any(not 0 < weight < 1 for weight, _ in steps):
        raise ValueError("steps: every weight must lie strictly between 0 and 1")
    needed, units = equal_split_units, 0.0
    for weight, minimum in steps[:-1]:
        seen = minimum / weight
        units += seen
        needed -= seen * 4 * weight * (1 - weight)
    weight, minimum = steps[-1]
    units += max(needed / (4 * weight * (1 - weight)), minimum / weight)
    return math.ceil(units)


def step_units(steps: Sequence[tuple[float, int]], units_needed: float, share: float = 0.10) -> tuple[int, ...]:
    """Minimum candidate units of each step of `User` units, (weight, minimum) as in `ramp_units`.

    A user counts once, so those seen in an early step are lost to the last one, where each would tell most (71 %
    of returning users fall into a first step at 5 %). The steps before the last therefore take, both arms
    together, at most `share` of `units_needed`; beyond that their minima are cut in proportion, never below 1.
    """
    if not steps:
        raise ValueError("steps: a ramp needs at least one step")
    if not 0 < share <= 1 or not units_needed > 0:
        raise ValueError(f"need 0 < share <= 1 and positive units_needed: {share}, {units_needed}")
    seen = sum(minimum / weight for weight, minimum in steps[:-1])
    cut = min(1.0, share * units_needed / seen) if seen > 0 else 1.0
    return (*(max(1, math.floor(minimum * cut)) for _, minimum in steps[:-1]), steps[-1][1])


def clipped(value: float, bounds: tuple[float, float]) -> float:
    """`value`, moved into the bounds."""
    return min(max(value, bounds[0]), bounds[1])
