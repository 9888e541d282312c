"""Fixed-horizon tests, for planning and for comparison only: looked at repeatedly they promote useless models."""

from __future__ import annotations

import math
from dataclasses import dataclass

from retrainer.statistics.sums import ArmSums


@dataclass(frozen=True)
class Welch:
    """Welch's test: statistic, Welch–Satterthwaite degrees of freedom, two-sided p-value."""

    t: float
    degrees: float
    p_value: float


def pooled_z(candidate: ArmSums, baseline: ArmSums) -> float:
    """Two-proportion z statistic with pooled variance; raises ValueError for an empty arm."""
    if candidate.n == 0 or baseline.n == 0:
        raise ValueError("both arms need units")
    rate = (candidate.total + baseline.total) / (candidate.n + baseline.n)
    variance = rate * (1 - rate) * (1 / candidate.n + 1 / baseline.n)
    difference = candidate.total / candidate.n - baseline.total / baseline.n
    return difference / math.sqrt(variance) if variance > 0 else 0.0


def welch(candidate: ArmSums, baseline: ArmSums) -> Welch:
    """Difference of two means with unequal variances (Welch, "The generalization of 'Student's' problem when
    several different population variances are involved", 1947; degrees of freedom: Satterthwaite 1946).

    Raises ValueError unless both arms have two units and one of them some variance.
    """
    if min(candidate.n, baseline.n) < 2:
        raise ValueError("candidate and baseline need at least two units each")
    parts = [arm.squares_about_mean / (arm.n - 1) / arm.n for arm in (candidate, baseline)]
    if not sum(parts) > 0:
        raise ValueError("candidate and baseline have no variance")
    from scipy.special import stdtr

    t = (candidate.total / candidate.n - baseline.total / baseline.n) / math.sqrt(sum(parts))
    degrees = sum(parts) ** 2 / (parts[0] ** 2 / (candidate.n - 1) + parts[1] ** 2 / (baseline.n - 1))
    return Welch(t, degrees, float(2 * stdtr(degrees, -abs(t))))


def chi_squared_split(candidate: int, baseline: int, weight: float) -> tuple[float, float]:
    """Pearson's χ² (one degree of freedom) of an observed split against `weight`, and its p-value."""
    total = candidate + baseline
    if total == 0 or not 0 < weight < 1:
        raise ValueError("need units, and a weight strictly between 0 and 1")
    statistic = (candidate - total * weight) ** 2 / (total * weight * (1 - weight))
    return statistic, math.erfc(math.sqrt(statistic / 2))
