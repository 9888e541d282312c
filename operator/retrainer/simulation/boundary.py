"""Array twins of formula 1's boundary (`statistics.overlap`) and formula 5's strata (`statistics.mantel_haenszel`)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import log_ndtr

from retrainer.simulation.sums import BASELINE, CANDIDATE, Bools, Floats, Ints, Sums, nothing
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

    def where(self, mask: Bools) -> Scores:
        """With nothing in the other runs."""
        return Scores(self.u * mask, self.v * mask, self.h * mask)

    def take(self, runs: Ints) -> Scores:
        """Only these runs."""
        return Scores(self.u[runs], self.v[runs], self.h[runs])


def no_scores(runs: int) -> Scores:
    """Sums over no window."""
    return Scores(np.zeros(runs), np.zeros(runs), np.zeros(runs))


def window_scores(sums: Sums, weight: Floats, mean: Floats) -> Scores:
    """One window of every run by formula 1; see `overlap.window_score`."""
    about = sums.total - mean[:, None] * sums.n
    squares = sums.squares - 2 * mean[:, None] * sums.total + mean[:, None] ** 2 * sums.n
    return Scores(
        (1 - weight) * about[:, CANDIDATE] - weight * about[:, BASELINE],
        (1 - weight) ** 2 * squares[:, CANDIDATE] + weight**2 * squares[:, BASELINE],
        sums.units * weight * (1 - weight),
    )


def stratum_scores(sums: Sums) -> Scores:
    """One stratum of every run by formula 5; see `mantel_haenszel.stratum_score`."""
    n1, n0 = sums.n[:, CANDIDATE], sums.n[:, BASELINE]
    n, y = sums.units, sums.total.sum(axis=1)
    usable = (n >= 2) & (n1 > 0) & (n0 > 0)
    size = np.where(usable, n, 2.0)
    squares = np.maximum(sums.squares.sum(axis=1) - y**2 / size, 0.0)
    scores = Scores(sums.total[:, CANDIDATE] - n1 * y / size, n1 * n0 * squares / (size * (size - 1)), n1 * n0 / size)
    return scores.where(usable)


def log_evidence(scores: Scores, effect: float, alpha: float, planned_variance: Floats | float) -> Floats:
    """Array twin of `overlap.log_evidence`."""
    excess = scores.u - effect * scores.h
    eta_squared = overlap.tuning(alpha, 1.0) / planned_variance
    spread = scores.v * eta_squared + 1
    exponent = np.maximum(excess, 0.0) ** 2 * eta_squared / (2 * spread)
    with np.errstate(divide="ignore"):
        growth = exponent + np.log(-np.expm1(-exponent))
    evidence: Floats = np.where(excess > 0, math.log(2) + growth - np.log(spread) / 2, -np.inf)
    return evidence


def log_mixture_evidence(scores: Scores, effect: float, alpha: float, planned_variance: float) -> Floats:
    """Array twin of `overlap.log_mixture_evidence`."""
    eta_squared = overlap.tuning(alpha, planned_variance)
    spread = scores.v * eta_squared + 1
    x = (scores.u - effect * scores.h) * np.sqrt(eta_squared / spread)
    evidence: Floats = math.log(2) + log_ndtr(x) + x**2 / 2 - np.log(spread) / 2
    return evidence


def many_units(sums: Sums) -> Bools:
    """Array twin of `overlap.many_units`."""
    both: Bools = np.all(sums.n >= overlap.BURN_IN_UNITS, axis=1)
    return both


def burnt_in(sums: Sums) -> Bools:
    """Array twin of `overlap.burnt_in`."""
    events, others = sums.total >= overlap.BURN_IN_EVENTS, sums.n - sums.total >= overlap.BURN_IN_EVENTS
    enough: Bools = many_units(sums) & np.all(events & others, axis=1)
    return enough


@dataclass
class Strata:
    """Formula 5 of every run; windows of one weight are merged until they are large enough."""

    closed: Scores
    open: Sums
    weight: Floats
    """Of the open stratum; NaN where there is none."""
    stratified: Sums
    """All that was ever added."""

    def add(self, weight: Floats, sums: Sums, here: Bools) -> None:
        """One more window, in the runs in which formula 5 scores it."""
        self.stratified = self.stratified + sums.where(here)
        ends = here & ~np.isnan(self.weight) & (self.weight != weight)
        self.closed = self.closed + stratum_scores(self.open).where(ends)
        merged = self.open.where(~ends) + sums.where(here)
        full = here & (merged.units >= MINIMUM_STRATUM)
        self.closed = self.closed + stratum_scores(merged).where(full)
        self.open = merged.where(~full)
        self.weight = np.where(full, np.nan, np.where(here, weight, self.weight))

    @property
    def scores(self) -> Scores:
        """Over all strata, the unfinished one included."""
        return self.closed + stratum_scores(self.open)

    def take(self, runs: Ints) -> Strata:
        """Only these runs."""
        return Strata(self.closed.take(runs), self.open.take(runs), self.weight[runs], self.stratified.take(runs))


def no_strata(runs: int) -> Strata:
    """Before the first window."""
    return Strata(no_scores(runs), nothing(runs), np.full(runs, np.nan), nothing(runs))
