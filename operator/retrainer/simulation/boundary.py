"""Array twins of formula 1's boundary (`statistics.overlap`) and formula 5's strata (`statistics.mantel_haenszel`)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from retrainer.simulation.sums import BASELINE, CANDIDATE, Bools, Floats, Sums
from retrainer.statistics import overlap
from retrainer.statistics.mantel_haenszel import MINIMUM_STRATUM


@dataclass(frozen=True)
class Scores:
    """Array twin of `overlap.Score`: Σx, Σx² and the overlap of every run, each (runs,)."""

    u: Floats
    v: Floats
    h: Floats

    def __add__(self, other: Scores) -> Scores:
        return Scores(self.u + other.u, self.v + other.v, self.h + other.h)

    @property
    def mirrored(self) -> Scores:
        """Of −x."""
        return Scores(-self.u, self.v, self.h)


def no_scores(runs: int) -> Scores:
    """Sums over no window."""
    return Scores(np.zeros(runs), np.zeros(runs), np.zeros(runs))


def stratum_scores(sums: Sums) -> Scores:
    """One stratum of every run; see `mantel_haenszel.stratum_score`."""
    n1, n0 = sums.n[:, CANDIDATE], sums.n[:, BASELINE]
    n, y = n1 + n0, sums.total.sum(axis=1)
    usable = (n >= 2) & (n1 > 0) & (n0 > 0)
    size = np.where(usable, n, 2.0)
    squares = np.maximum(sums.squares.sum(axis=1) - y**2 / size, 0.0)
    return Scores(
        np.where(usable, sums.total[:, CANDIDATE] - n1 * y / size, 0.0),
        np.where(usable, n1 * n0 * squares / (size * (size - 1)), 0.0),
        np.where(usable, n1 * n0 / size, 0.0),
    )


def log_evidence(scores: Scores, effect: float, alpha: float, planned_variance: float) -> Floats:
    """Array twin of `overlap.log_evidence`."""
    excess = scores.u - effect * scores.h
    eta_squared = overlap.tuning(alpha, planned_variance)
    spread = scores.v * eta_squared + 1
    exponent = np.maximum(excess, 0.0) ** 2 * eta_squared / (2 * spread)
    with np.errstate(divide="ignore"):
        growth = exponent + np.log(-np.expm1(-exponent))
    evidence: Floats = np.where(excess > 0, math.log(2) + growth - np.log(spread) / 2, -np.inf)
    return evidence


def burnt_in(sums: Sums, *, binary: bool = True) -> Bools:
    """Array twin of `overlap.burnt_in`."""
    enough = sums.n >= overlap.BURN_IN_UNITS
    if binary:
        enough &= (sums.total >= overlap.BURN_IN_EVENTS) & (sums.n - sums.total >= overlap.BURN_IN_EVENTS)
    both: Bools = np.all(enough, axis=1)
    return both


@dataclass
class Strata:
    """Formula 5 of every run; windows of one weight are merged until they are large enough."""

    closed: Scores
    open: Sums
    weight: Floats
    """Of the open stratum; NaN where there is none."""

    def add(self, weight: Floats, sums: Sums, counted: Bools) -> None:
        """One more window in the runs that counted it."""
        ends = counted & ~np.isnan(self.weight) & (self.weight != weight)
        self.closed = self.closed + _kept(stratum_scores(self.open), ends)
        merged = self.open.where(~ends) + sums.where(counted)
        full = counted & (merged.n.sum(axis=1) >= MINIMUM_STRATUM)
        self.closed = self.closed + _kept(stratum_scores(merged), full)
        self.open = merged.where(~full)
        self.weight = np.where(full, np.nan, np.where(counted, weight, self.weight))

    @property
    def scores(self) -> Scores:
        """Over all strata, the unfinished one included."""
        return self.closed + stratum_scores(self.open)


def _kept(scores: Scores, mask: Bools) -> Scores:
    return Scores(scores.u * mask, scores.v * mask, scores.h * mask)
