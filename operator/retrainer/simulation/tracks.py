"""The evidence on one metric in many runs: array twins of `statistics.metric.fold` and `statistics.verdicts.find`.

Only the nulls that a verdict (or the coverage of the true effect) needs are followed, not the whole grid of the
displayed interval; the bets come from `statistics.betting` itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields

import numpy as np

from retrainer.simulation.boundary import Scores, Strata, burnt_in, log_evidence, no_scores
from retrainer.simulation.rules import BETTER, NOT_WORSE, TOO_SMALL, UNDECIDED, WORSE, Codes
from retrainer.simulation.sums import BASELINE, CANDIDATE, Bools, Floats, Ints, Sums, nothing, oriented
from retrainer.statistics import betting
from retrainer.statistics.metric import MetricPlan


@dataclass(frozen=True)
class Null:
    """A hypothesis: sign +1 rejects "the effect is at most δ", −1 "at least δ", each at its error budget."""

    delta: float
    sign: float
    level: float
    verdict: int
    """Code of what the rejection proves; UNDECIDED for a null that is only watched."""


def nulls_of(plan: MetricPlan, truth: float | None = None) -> tuple[Null, ...]:
    """What a metric is tested for, the first that is proven first; with `truth` (larger is better) the two ends of
    its interval at the true effect too."""
    if plan.role == "Primary":
        wanted = [
            Null(0.0, 1.0, plan.alpha, BETTER),
            Null(0.0, -1.0, plan.alpha_worse, WORSE),
            Null(plan.effect, -1.0, plan.alpha_small, TOO_SMALL),
        ]
    else:
        wanted = [
            Null(-plan.effect, 1.0, plan.alpha, NOT_WORSE),
            Null(-plan.effect / 2, -1.0, plan.alpha_worse, WORSE),
        ]
    if truth is not None:
        upper = plan.alpha_worse if plan.role == "Guardrail" or truth <= 0 else plan.alpha_small
        wanted += [Null(truth, 1.0, plan.alpha, UNDECIDED), Null(truth, -1.0, upper, UNDECIDED)]
    return tuple(wanted)


@dataclass
class Track:
    """A binary metric in every run."""

    plan: MetricPlan
    nulls: tuple[Null, ...]
    seen: Sums
    strata: Strata
    capital: Floats
    deltas: Floats = field(init=False)
    signs: Floats = field(init=False)

    def __post_init__(self) -> None:
        self.deltas = np.array([n.delta for n in self.nulls])
        self.signs = np.array([n.sign for n in self.nulls])
        self.stakes = betting.bets(self.plan.effect, self.plan.good_rate)
        self.bars = np.array([-math.log(n.level) for n in self.nulls])

    def add(self, weight: Floats, sums: Sums, counted: Bools) -> None:
        """One more window, in the runs that counted it."""
        sums = oriented(self.plan, sums).where(counted)
        if self.plan.missing == "Exclude":
            self.strata.add(weight, sums, counted)
        self.capital += betting.log_growth(
            betting.Cells(
                sums.total[:, CANDIDATE],
                sums.n[:, CANDIDATE] - sums.total[:, CANDIDATE],
                sums.total[:, BASELINE],
                sums.n[:, BASELINE] - sums.total[:, BASELINE],
            ),
            weight,
            self._earlier_mean(),
            self.deltas,
            self.signs,
            self.stakes,
        )
        self.seen = self.seen + sums

    def _earlier_mean(self) -> Floats:
        units = self.seen.n.sum(axis=1)
        mean: Floats = np.where(units > 0, self.seen.total.sum(axis=1) / np.maximum(units, 1), self.plan.good_rate)
        return mean

    def rejected(self) -> Bools:
        """Which nulls are rejected at this look: (runs, nulls)."""
        rejected: Bools = self._evidence() >= self.bars
        return rejected

    def _evidence(self) -> Floats:
        evidence: Floats = betting.log_evidence(self.capital)
        missing = self.seen.missing.sum(axis=1) > 0
        if self.plan.missing != "Exclude" or not missing.any():
            return evidence
        return np.where(missing[:, None], self._score_evidence(), evidence)

    def _score_evidence(self) -> Floats:
        scores, ready = self.strata.scores, burnt_in(self.seen)
        columns = [self._one_score(scores, null) for null in self.nulls]
        return np.where(ready[:, None], np.stack(columns, axis=-1), -np.inf)

    def _one_score(self, scores: Scores, null: Null) -> Floats:
        turned = scores if null.sign > 0 else scores.mirrored
        return log_evidence(turned, null.sign * null.delta, null.level, self.plan.planned_variance)

    def take(self, runs: Ints) -> None:
        """Keep only these runs."""
        self.seen = self.seen.take(runs)
        self.capital = self.capital[runs]
        self.strata = Strata(
            Scores(*(getattr(self.strata.closed, f.name)[runs] for f in fields(Scores))),
            self.strata.open.take(runs),
            self.strata.weight[runs],
        )


def start(plan: MetricPlan, runs: int, truth: float | None = None) -> Track:
    """The track before the first window."""
    nulls = nulls_of(plan, truth)
    strata = Strata(no_scores(runs), nothing(runs), np.full(runs, np.nan))
    return Track(plan, nulls, nothing(runs), strata, np.zeros((runs, len(nulls), len(betting.PRIOR))))


def verdicts(nulls: tuple[Null, ...], rejected: Bools) -> Codes:
    """The verdict in every run: the first null, in their order, that is rejected."""
    codes = np.full(len(rejected), UNDECIDED, np.int8)
    for i in reversed(range(len(nulls))):
        if nulls[i].verdict != UNDECIDED:
            codes[rejected[:, i]] = nulls[i].verdict
    return codes
