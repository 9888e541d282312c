"""Sums of one window of many runs: the array twin of `statistics.sums`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retrainer.statistics.metric import MetricPlan

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Codes = NDArray[np.int8]

CANDIDATE = 0
BASELINE = 1


@dataclass(frozen=True)
class Sums:
    """Outcomes of both arms, each array (runs, 2) with the candidate first; see `statistics.sums.ArmSums`."""

    n: Floats
    total: Floats
    squares: Floats
    missing: Floats

    def __add__(self, other: Sums) -> Sums:
        return Sums(
            self.n + other.n,
            self.total + other.total,
            self.squares + other.squares,
            self.missing + other.missing,
        )

    @property
    def exposures(self) -> Floats:
        """Units that got an answer, with or without an outcome: (runs, 2)."""
        return self.n + self.missing

    @property
    def units(self) -> Floats:
        """Units with an outcome, both arms: (runs,)."""
        units: Floats = self.n.sum(axis=1)
        return units

    @property
    def means(self) -> Floats:
        """Pooled mean of each run (runs,); 0 without units."""
        units = self.units
        means: Floats = np.where(units > 0, self.total.sum(axis=1) / np.maximum(units, 1), 0.0)
        return means

    def where(self, counted: Bools) -> Sums:
        """With nothing in the runs that do not count this window."""
        mask = counted[:, None]
        return Sums(self.n * mask, self.total * mask, self.squares * mask, self.missing * mask)

    def take(self, runs: Ints) -> Sums:
        """Only these runs."""
        return Sums(self.n[runs], self.total[runs], self.squares[runs], self.missing[runs])


def nothing(runs: int) -> Sums:
    """Sums over no window."""
    zero = np.zeros((runs, 2))
    return Sums(zero, zero, zero, zero)


def oriented(plan: MetricPlan, sums: Sums) -> Sums:
    """Turned so that larger is better, and with missing outcomes as 0 where the plan says so."""
    if plan.missing == "Zero":
        return Sums(sums.exposures, sums.total, sums.squares, np.zeros_like(sums.n))
    if plan.goal == "Increase":
        return sums
    if plan.scale == "Unbounded":
        return Sums(sums.n, -sums.total, sums.squares, sums.missing)
    squares = np.maximum(sums.n - 2 * sums.total + sums.squares, 0.0)
    return Sums(sums.n, sums.n - sums.total, squares, sums.missing)
