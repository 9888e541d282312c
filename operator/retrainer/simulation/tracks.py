"""The evidence on one metric in many runs: array twins of `statistics.metric.fold` and `statistics.verdicts.find`.

Only the nulls that a verdict needs are followed, not the whole grid of the displayed interval; bets, stakes and
mixtures come from `statistics` itself. A test holds these twins against `fold` and `find`.
"""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np

from retrainer.simulation import boundary
from retrainer.simulation.boundary import Scores, no_scores, no_strata
from retrainer.simulation.nulls import Null, bars, nulls_of
from retrainer.simulation.sums import BASELINE, CANDIDATE, Bools, Floats, Ints, Sums, nothing, oriented
from retrainer.statistics import betting, events, rate_ratio
from retrainer.statistics.metric import CALIBRATION, MetricPlan


class Track(Protocol):
    """The evidence on one metric in every run."""

    nulls: tuple[Null, ...]

    def add(self, weight: Floats, sums: Sums, counted: Bools) -> None:
        """One more window at the candidate's probability `weight` (runs,), in the runs that counted it."""

    def evidence(self) -> Floats:
        """ln of the e-value against each null at this look: (runs, nulls)."""

    def take(self, runs: Ints) -> None:
        """Keep only these runs."""


def start(plan: MetricPlan, runs: int, truth: float | None = None) -> Track:
    """The track before the first window; `truth` as in `nulls.nulls_of`."""
    nulls = nulls_of(plan, truth)
    if plan.scale == "Events":
        return EventTrack(plan, nulls, runs)
    return ScoreTrack(plan, nulls, runs) if plan.scale == "Unbounded" else BetTrack(plan, nulls, runs)


def rejected(track: Track) -> Bools:
    """Which nulls are rejected at this look: (runs, nulls)."""
    over: Bools = track.evidence() >= bars(track.nulls)
    return over


class BetTrack:
    """Outcomes in [0, 1]: formula 2, from the first missing outcome on formula 5."""

    def __init__(self, plan: MetricPlan, nulls: tuple[Null, ...], runs: int) -> None:
        if plan.unit_variance is None:
            raise ValueError(f"metric {plan.name}: outcomes in [0, 1] have a variance")
        self.plan, self.nulls = plan, nulls
        self.deltas, self.signs = np.array([n.delta for n in nulls]), np.array([n.sign for n in nulls])
        self.stakes = betting.stakes(plan.effect, plan.unit_variance)
        self.seen, self.strata = nothing(runs), no_strata(runs)
        self.capital = np.zeros((runs, len(nulls), len(self.stakes)))

    def add(self, weight: Floats, sums: Sums, counted: Bools) -> None:
        sums = oriented(self.plan, sums).where(counted)
        unknown = (self.seen.missing + sums.missing).sum(axis=1) > 0
        if unknown.any():
            self.strata.add(weight, sums, counted & unknown)
        if not unknown.all():
            self.capital += self._growth(weight, sums.where(~unknown))
        self.seen = self.seen + sums

    def _growth(self, weight: Floats, sums: Sums) -> Floats:
        mean = _earlier_mean(self.plan, self.seen)
        if self.plan.scale == "Bounded":
            score = boundary.window_scores(sums, weight, mean)
            moments = betting.Moments(sums.units, score.u, score.v)
            return betting.log_growth_bounded(moments, weight, mean, self.deltas, self.signs, self.stakes)
        failures = sums.n - sums.total
        cells = betting.Cells(
            sums.total[:, CANDIDATE], failures[:, CANDIDATE], sums.total[:, BASELINE], failures[:, BASELINE]
        )
        return betting.log_growth(cells, weight, mean, self.deltas, self.signs, self.stakes)

    def evidence(self) -> Floats:
        bets: Floats = betting.log_evidence(self.capital)
        unknown = self.seen.missing.sum(axis=1) > 0
        if not unknown.any():
            return bets
        bet_upon = self.seen.units > self.strata.stratified.units
        after = np.where(bet_upon[:, None], bets + self._fresh(), self._score_alone())
        evidence: Floats = np.where(unknown[:, None], after, bets)
        return evidence

    def _score_alone(self) -> Floats:
        columns = _boundaries(self.nulls, self.strata.scores, self.plan.planned_variance)
        return np.where(boundary.burnt_in(self.seen)[:, None], columns, -np.inf)

    def _fresh(self) -> Floats:
        scores, planned = self.strata.scores, self.plan.planned_variance
        columns = [
            boundary.log_mixture_evidence(_turned(scores, n), n.sign * n.delta, n.level, planned) for n in self.nulls
        ]
        most = np.where(boundary.burnt_in(self.strata.stratified), np.inf, 0.0)
        return np.minimum(np.stack(columns, axis=-1), most[:, None])

    def take(self, runs: Ints) -> None:
        self.seen, self.strata, self.capital = self.seen.take(runs), self.strata.take(runs), self.capital[runs]


class ScoreTrack:
    """Unbounded outcomes: formula 1, and formula 5 until the variance is known or once outcomes are missing."""

    def __init__(self, plan: MetricPlan, nulls: tuple[Null, ...], runs: int) -> None:
        self.plan, self.nulls = plan, nulls
        self.seen, self.strata, self.scores = nothing(runs), no_strata(runs), no_scores(runs)
        known = math.nan if plan.variance is None else plan.variance
        self.variance = np.full(runs, known)

    def add(self, weight: Floats, sums: Sums, counted: Bools) -> None:
        sums = oriented(self.plan, sums).where(counted)
        stratified = np.isnan(self.variance) | ((self.seen.missing + sums.missing).sum(axis=1) > 0)
        self.strata.add(weight, sums, counted & stratified)
        scores = boundary.window_scores(sums, weight, _earlier_mean(self.plan, self.seen))
        self.scores = self.scores + scores.where(counted & ~stratified)
        self.seen = self.seen + sums
        self._tune()

    def _tune(self) -> None:
        units = self.seen.units
        about = self.seen.squares.sum(axis=1) - self.seen.total.sum(axis=1) ** 2 / np.maximum(units, 1)
        seen = np.maximum(about, 0.0) / np.maximum(units - 1, 1)
        tunes = np.isnan(self.variance) & (units >= CALIBRATION) & (seen > 0)
        self.variance = np.where(tunes, seen, self.variance)

    def evidence(self) -> Floats:
        known = ~np.isnan(self.variance)
        planned = self.plan.planned_variance_at(1.0) * np.where(known, self.variance, 1.0) ** 2
        columns = _boundaries(self.nulls, self.scores + self.strata.scores, planned)
        evidence: Floats = np.where((known & boundary.many_units(self.seen))[:, None], columns, -np.inf)
        return evidence

    def take(self, runs: Ints) -> None:
        self.seen, self.strata = self.seen.take(runs), self.strata.take(runs)
        self.scores, self.variance = self.scores.take(runs), self.variance[runs]


class EventTrack:
    """Events: formula 3, at the split of the requests where they are counted."""

    def __init__(self, plan: MetricPlan, nulls: tuple[Null, ...], runs: int) -> None:
        self.nulls = nulls
        blends = [events.mixture(rate_ratio.SCALE, "Above" if n.sign > 0 else "Below", n.delta) for n in nulls]
        # A row for each null: itself, then the nodes of its mixture.
        self.points = np.stack([np.append(n.delta, b.log_ratios) for n, b in zip(nulls, blends, strict=True)])
        self.shares = np.stack([b.weights for b in blends])
        self.likelihoods = np.zeros((runs, *self.points.shape))

    def add(self, weight: Floats, sums: Sums, counted: Bools) -> None:
        sums = sums.where(counted)
        requests = sums.units
        astray = np.any((sums.n == 0) & (sums.total > 0), axis=1)
        observed = np.divide(sums.n[:, CANDIDATE], requests, out=np.array(weight, float), where=requests > 0)
        share = np.where(astray, weight, observed)
        both = sums.total.sum(axis=1)[:, None, None]
        odds = np.log1p(share[:, None, None] * np.expm1(self.points))
        self.likelihoods += sums.total[:, CANDIDATE, None, None] * self.points - both * odds

    def evidence(self) -> Floats:
        ratios = self.likelihoods[:, :, 1:] - self.likelihoods[:, :, :1]
        top = ratios.max(axis=2)
        evidence: Floats = np.log(np.sum(self.shares * np.exp(ratios - top[:, :, None]), axis=2)) + top
        return evidence

    def take(self, runs: Ints) -> None:
        self.likelihoods = self.likelihoods[runs]


def _earlier_mean(plan: MetricPlan, seen: Sums) -> Floats:
    mean: Floats = np.where(seen.units > 0, seen.means, plan.good_rate)
    return mean


def _turned(scores: Scores, null: Null) -> Scores:
    return scores if null.sign > 0 else scores.mirrored


def _boundaries(nulls: tuple[Null, ...], scores: Scores, planned: Floats | float) -> Floats:
    """Formula 1's boundary at each null: (runs, nulls)."""
    columns = [boundary.log_evidence(_turned(scores, n), n.sign * n.delta, n.level, planned) for n in nulls]
    return np.stack(columns, axis=-1)
