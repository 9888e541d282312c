"""One metric of an experiment: what is fixed before the start, and what its windows add up to.

Everything inside is oriented so that larger is better: a metric that should decrease is entered as 1 − y
(exact, since outcomes are 0 or 1) and turned back for display. O(1) work and memory per window.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Literal

from retrainer.statistics import mantel_haenszel, overlap, power
from retrainer.statistics.overlap import Score
from retrainer.statistics.sums import ArmSums

GRID_REACH = 16
"""The interval is inverted on δ = −16 … 16 quarters of the effect."""
GRID = 2 * GRID_REACH + 1

RESPONSE_EFFECT = 0.05
"""Difference in response rates that its check is tuned to."""
RESPONSE_RATE = 0.5
"""Planned response rate; the widest, hence the most cautious stakes."""

Capital = tuple[tuple[float, ...], ...]
"""ln of the capital of each null and bet: (nulls, bets). Nulls: all δ with sign +, then all with sign −."""

_RATE_BOUNDS = (0.01, 0.99)
_BETS = 7


@dataclass(frozen=True)
class MetricPlan:
    """What is known about a metric before its first window; never changes afterwards.

    `effect` is d: the minimum detectable effect of the primary metric, the margin of a guardrail. `rate` is
    the planned rate of y. `alpha` is the error budget of Better and NotWorse, `alpha_worse` of Worse.
    """

    name: str
    role: Literal["Primary", "Guardrail"]
    goal: Literal["Increase", "Decrease"]
    missing: Literal["Exclude", "Zero"]
    effect: float
    rate: float
    alpha: float
    alpha_worse: float
    power: float

    def __post_init__(self) -> None:
        if not self.effect > 0:
            raise ValueError(f"metric {self.name}: the effect or margin must be above 0")
        if self.missing == "Zero" and self.goal == "Decrease":
            raise ValueError(f"metric {self.name}: missing: Zero would reward suppressing feedback")

    @property
    def alpha_small(self) -> float:
        """Error budget of TooSmall."""
        return self.alpha / 2

    @property
    def good_rate(self) -> float:
        """Planned rate of the better outcome."""
        rate = self.rate if self.goal == "Increase" else 1 - self.rate
        return power.clipped(rate, _RATE_BOUNDS)

    @property
    def equal_split_units(self) -> float:
        """Units at 50/50 for a verdict: the primary better by d, a guardrail unchanged and shown NotWorse."""
        change = self.effect if self.role == "Primary" else -self.effect
        fixed = power.fixed_horizon_units(self.good_rate, change, self.alpha, self.power)
        return fixed * power.ENGINE_FACTOR

    @property
    def planned_variance(self) -> float:
        """Planned ΣV of the scores, on the low side: the boundary is tuned to this."""
        rate = self.good_rate
        return self.equal_split_units / power.ENGINE_FACTOR / 4 * rate * (1 - rate)


@dataclass(frozen=True)
class MetricState:
    """Everything later windows need to know about the earlier ones (oriented: larger is better)."""

    candidate: ArmSums = ArmSums()
    baseline: ArmSums = ArmSums()
    overlap: Score = Score()
    strata: Score = Score()
    stratum: tuple[float, ArmSums, ArmSums] | None = None
    """Weight and sums of the stratum that is still being merged."""
    capital: Capital = ()
    response: Capital = ()

    @property
    def units(self) -> int:
        """Units with an outcome, both arms."""
        return self.candidate.n + self.baseline.n

    @property
    def missing(self) -> int:
        """Units without an outcome, both arms."""
        return self.candidate.missing + self.baseline.missing

    @property
    def mantel_haenszel(self) -> Score:
        """Score over all strata, the unfinished one included."""
        if self.stratum is None:
            return self.strata
        return self.strata + mantel_haenszel.stratum_score(self.stratum[1], self.stratum[2])


def fold(plan: MetricPlan, state: MetricState, weight: float, candidate: ArmSums, baseline: ArmSums) -> MetricState:
    """The state after one more window, in which the candidate's probability was `weight` throughout.

    `candidate` and `baseline` are raw sums of outcomes 0 or 1; raises ValueError for sums that are not.
    """
    for arm in (candidate, baseline):
        if not 0 <= arm.total <= arm.n or not math.isclose(arm.total, arm.squares, abs_tol=1e-9):
            raise ValueError(f"metric {plan.name}: outcomes must be 0 or 1, not {arm}")
    c, b = _oriented(plan, candidate), _oriented(plan, baseline)
    mean = _earlier_mean(plan, state)
    strata, stratum = _merge(state, weight, c, b)
    return replace(
        state,
        candidate=state.candidate + c,
        baseline=state.baseline + b,
        overlap=state.overlap + overlap.window_score(c, b, weight, mean),
        strata=strata,
        stratum=stratum,
        capital=_bet(plan, state.capital, weight, mean, c, b),
        response=_bet_on_response(state, weight, c, b),
    )


def _oriented(plan: MetricPlan, arm: ArmSums) -> ArmSums:
    if plan.missing == "Zero":
        return arm.with_missing_as_zero()
    return arm if plan.goal == "Increase" else arm.complement()


def _earlier_mean(plan: MetricPlan, state: MetricState) -> float:
    """Pooled mean of the earlier windows; known before this one, which is what makes the score fair."""
    if not state.units:
        return plan.good_rate
    return (state.candidate.total + state.baseline.total) / state.units


def _merge(
    state: MetricState, weight: float, candidate: ArmSums, baseline: ArmSums
) -> tuple[Score, tuple[float, ArmSums, ArmSums] | None]:
    """Strata closed so far, and the one that is still too small; strata depend on counts, never on outcomes."""
    strata, stratum = state.strata, state.stratum
    if stratum is not None and stratum[0] != weight:
        strata, stratum = strata + mantel_haenszel.stratum_score(stratum[1], stratum[2]), None
    if stratum is not None:
        candidate, baseline = stratum[1] + candidate, stratum[2] + baseline
    if candidate.n + baseline.n < mantel_haenszel.MINIMUM_STRATUM:
        return strata, (weight, candidate, baseline)
    return strata + mantel_haenszel.stratum_score(candidate, baseline), None


def _bet(
    plan: MetricPlan, capital: Capital, weight: float, mean: float, candidate: ArmSums, baseline: ArmSums
) -> Capital:
    """The capital of every null on the grid after this window."""
    import numpy as np

    from retrainer.statistics import betting

    deltas = np.array([grid_delta(plan, i) for i in range(GRID)] * 2)
    signs = np.array([1.0] * GRID + [-1.0] * GRID)
    growth = betting.log_growth(
        _cells(candidate, baseline), weight, mean, deltas, signs, betting.bets(plan.effect, plan.good_rate)
    )
    return _grown(capital, growth)


def _bet_on_response(state: MetricState, weight: float, candidate: ArmSums, baseline: ArmSums) -> Capital:
    """The capital staked on one arm getting feedback more, or less, often than the other."""
    import numpy as np

    from retrainer.statistics import betting

    exposures = state.candidate.exposures + state.baseline.exposures
    mean = state.units / exposures if exposures else RESPONSE_RATE
    cells = betting.Cells(candidate.n, candidate.missing, baseline.n, baseline.missing)
    thetas = betting.bets(RESPONSE_EFFECT, RESPONSE_RATE)
    growth = betting.log_growth(cells, weight, mean, np.zeros(2), np.array([1.0, -1.0]), thetas)
    return _grown(state.response, growth)


def _cells(candidate: ArmSums, baseline: ArmSums) -> Any:
    from retrainer.statistics import betting

    return betting.Cells(candidate.total, candidate.n - candidate.total, baseline.total, baseline.n - baseline.total)


def _grown(capital: Capital, growth: Any) -> Capital:
    rows = growth.tolist()
    before = capital or tuple((0.0,) * _BETS for _ in rows)
    return tuple(
        tuple(old + gained for old, gained in zip(olds, gains, strict=True))
        for olds, gains in zip(before, rows, strict=True)
    )


def grid_delta(plan: MetricPlan, index: int) -> float:
    """δ at an index of the grid; 0, ±d/2 and ±d are met exactly."""
    return (index - GRID_REACH) * plan.effect / 4


def state_to_json(state: MetricState) -> dict[str, Any]:
    """The state as plain JSON; floats survive the round trip bit for bit."""
    stratum = state.stratum
    return {
        "candidate": state.candidate.to_json(),
        "baseline": state.baseline.to_json(),
        "overlap": [state.overlap.u, state.overlap.v, state.overlap.h],
        "strata": [state.strata.u, state.strata.v, state.strata.h],
        "stratum": None if stratum is None else [stratum[0], stratum[1].to_json(), stratum[2].to_json()],
        "capital": [list(row) for row in state.capital],
        "response": [list(row) for row in state.response],
    }


def state_from_json(data: dict[str, Any]) -> MetricState:
    """Inverse of `state_to_json`; raises KeyError, TypeError or ValueError for anything else."""
    stratum = data["stratum"]
    return MetricState(
        candidate=ArmSums.from_json(data["candidate"]),
        baseline=ArmSums.from_json(data["baseline"]),
        overlap=Score(*(float(x) for x in data["overlap"])),
        strata=Score(*(float(x) for x in data["strata"])),
        stratum=stratum and (float(stratum[0]), ArmSums.from_json(stratum[1]), ArmSums.from_json(stratum[2])),
        capital=tuple(tuple(float(x) for x in row) for row in data["capital"]),
        response=tuple(tuple(float(x) for x in row) for row in data["response"]),
    )
