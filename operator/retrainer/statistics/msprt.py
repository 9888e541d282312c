"""The mixture sequential probability ratio test of two means, for comparison only.

Johari, Koomen, Pekelis, Walsh, "Peeking at A/B tests" (KDD 2017), the mixture ratio of two streams of normal
outcomes; theory: Johari, Pekelis, Walsh, "Always valid inference" (arXiv 1512.04922). It is right for pairs of
outcomes of constant variance and base rate at a constant split; on pooled data of a ramp with a drifting base rate
it is as wrong as any test of pooled data, hence it never decides here.
"""

from __future__ import annotations

import math


def log_ratio(units: int, difference: float, variance: float, mixing_variance: float) -> float:
    """ln Λ of the two-sided test of equal means, `units` n per arm, difference of their means θ̂:
    Λ = √(2σ²/(2σ² + nτ²)) · exp(n²τ²θ̂²/(4σ²(2σ² + nτ²))).

    `variance` σ² of one outcome; `mixing_variance` τ² of the normal over the difference. Raises ValueError for
    negative units or a variance that is not positive.
    """
    if units < 0 or not variance > 0 or not mixing_variance > 0:
        raise ValueError(
            "need units of 0 or more, a positive variance and a positive mixing_variance: "
            f"{units}, {variance}, {mixing_variance}"
        )
    spread = 2 * variance + units * mixing_variance
    exponent = units**2 * mixing_variance * difference**2 / (4 * variance * spread)
    return math.log(2 * variance / spread) / 2 + exponent


def p_value(log_ratios: list[float]) -> float:
    """The always-valid p-value after these looks: min(1, 1/max Λ); 1 before the first."""
    return min(1.0, math.exp(-max(log_ratios, default=0.0)))
