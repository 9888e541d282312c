"""Fixed-horizon tests, for planning and for comparison only: looked at repeatedly they promote useless models."""

from __future__ import annotations

import math

from retrainer.statistics.sums import ArmSums


def pooled_z(candidate: ArmSums, baseline: ArmSums) -> float:
    """Two-proportion z statistic with pooled variance; raises ValueError for an empty arm."""
    if candidate.n == 0 or baseline.n == 0:
        raise ValueError("both arms need units")
    rate = (candidate.total + baseline.total) / (candidate.n + baseline.n)
    variance = rate * (1 - rate) * (1 / candidate.n + 1 / baseline.n)
    difference = candidate.total / candidate.n - baseline.total / baseline.n
    return difference / math.sqrt(variance) if variance > 0 else 0.0


def chi_squared_split(candidate: int, baseline: int, weight: float) -> tuple[float, float]:
    """Pearson's χ² (one degree of freedom) of an observed split against `weight`, and its p-value."""
    total = candidate + baseline
    if total == 0 or not 0 < weight < 1:
        raise ValueError("need units, and a weight strictly between 0 and 1")
    statistic = (candidate - total * weight) ** 2 / (total * weight * (1 - weight))
    return statistic, math.erfc(math.sqrt(statistic / 2))
