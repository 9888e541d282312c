"""What the windows of a metric prove: verdict, e-value and an interval that never contradicts the verdict.

Which engine speaks depends on the data alone: formula 2 while no outcome is missing, formula 5 in formula 1's
boundary from the first missing one on. Error budget: Better and NotWorse at α one-sided, Worse at
α/(1 + number of guardrails), TooSmall at α/2. The lower end of the interval is therefore a bound at α, the
upper end one at the budget of the verdict that it can support; each end alone is valid at every look.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from retrainer.statistics import overlap
from retrainer.statistics.metric import GRID, GRID_REACH, Capital, MetricPlan, MetricState, grid_delta
from retrainer.statistics.overlap import Score

Verdict = Literal["Better", "Worse", "TooSmall", "NotWorse", "Undecided"]


@dataclass(frozen=True)
class Finding:
    """What is shown of a metric, candidate minus baseline in the metric's own direction; None is not known yet.

    `log_evidence` is ln of the e-value of Better (primary) or NotWorse (guardrail).
    """

    verdict: Verdict
    estimate: float | None
    lower: float | None
    upper: float | None
    log_evidence: float
    units: int


def engine(plan: MetricPlan, state: MetricState) -> Literal["Betting", "MantelHaenszel"]:
    """The engine in charge of the verdict."""
    return "MantelHaenszel" if plan.missing == "Exclude" and state.missing else "Betting"


def find(plan: MetricPlan, state: MetricState) -> Finding:
    """Verdict, estimate, interval and evidence of a metric at this look."""
    evidence = _evidence(plan, state)
    lower, upper = _interval(plan, state, evidence)
    estimate = _estimate(plan, state)
    if plan.goal == "Decrease":
        lower, upper = _negative(upper), _negative(lower)
        estimate = _negative(estimate)
    return Finding(
        verdict=_verdict(plan, evidence),
        estimate=estimate,
        lower=lower,
        upper=upper,
        log_evidence=evidence.above[GRID_REACH if plan.role == "Primary" else _MARGIN],
        units=state.units,
    )


def response_differs(plan: MetricPlan, state: MetricState) -> bool:
    """Whether the arms provably get feedback at different rates (two-sided at α); False without exposures."""
    if not state.response or not state.missing:
        return False
    either_way = sum(math.exp(min(e, _HUGE)) for e in _log_mixed(state.response)) / 2
    return either_way >= 1 / plan.alpha


@dataclass(frozen=True)
class _Evidence:
    """ln e-values on the grid: `above` against "at most δ" at α, `below` against "at least δ"."""

    above: tuple[float, ...]
    below: tuple[float, ...]


_HUGE = 700.0
"""ln of a number near the largest float."""
_HALF_MARGIN = GRID_REACH - 2
_MARGIN = GRID_REACH - 4
_EFFECT = GRID_REACH + 4


def _verdict(plan: MetricPlan, evidence: _Evidence) -> Verdict:
    """The verdict on the primary, or on a guardrail; the first that is proven, in this order."""
    if plan.role == "Guardrail":
        if evidence.above[_MARGIN] >= -math.log(plan.alpha):
            return "NotWorse"
        return "Worse" if evidence.below[_HALF_MARGIN] >= -math.log(plan.alpha_worse) else "Undecided"
    if evidence.above[GRID_REACH] >= -math.log(plan.alpha):
        return "Better"
    if evidence.below[GRID_REACH] >= -math.log(plan.alpha_worse):
        return "Worse"
    return "TooSmall" if evidence.below[_EFFECT] >= -math.log(plan.alpha_small) else "Undecided"


def _level_below(plan: MetricPlan, index: int) -> float:
    """Error budget of rejecting "at least δ": that of the verdict which the rejection supports."""
    return plan.alpha_worse if plan.role == "Guardrail" or index <= GRID_REACH else plan.alpha_small


def _evidence(plan: MetricPlan, state: MetricState) -> _Evidence:
    if engine(plan, state) == "Betting":
        return _betting_evidence(state.capital)
    if not overlap.burnt_in(state.candidate, state.baseline):
        return _Evidence((-math.inf,) * GRID, (-math.inf,) * GRID)
    score, mirrored = state.mantel_haenszel, _mirrored(state.mantel_haenszel)
    planned = plan.planned_variance
    deltas = [grid_delta(plan, i) for i in range(GRID)]
    return _Evidence(
        tuple(overlap.log_evidence(score, d, plan.alpha, planned) for d in deltas),
        tuple(overlap.log_evidence(mirrored, -d, _level_below(plan, i), planned) for i, d in enumerate(deltas)),
    )


def _betting_evidence(capital: Capital) -> _Evidence:
    if not capital:
        return _Evidence((0.0,) * GRID, (0.0,) * GRID)
    mixed = _log_mixed(capital)
    return _Evidence(mixed[:GRID], mixed[GRID:])


def _log_mixed(capital: Capital) -> tuple[float, ...]:
    """ln of the e-value of each null."""
    import numpy as np

    from retrainer.statistics import betting

    return tuple(betting.log_evidence(np.array(capital)).tolist())


def _estimate(plan: MetricPlan, state: MetricState) -> float | None:
    score = state.overlap if engine(plan, state) == "Betting" else state.mantel_haenszel
    return None if math.isnan(score.estimate) else score.estimate


def _interval(plan: MetricPlan, state: MetricState, evidence: _Evidence) -> tuple[float | None, float | None]:
    if engine(plan, state) == "MantelHaenszel":
        return _score_interval(plan, state)
    if not state.units:
        return None, None
    return _grid_lower(plan, state, evidence.above), _grid_upper(plan, state, evidence.below)


def _score_interval(plan: MetricPlan, state: MetricState) -> tuple[float | None, float | None]:
    score = state.mantel_haenszel
    if score.h <= 0 or not overlap.burnt_in(state.candidate, state.baseline):
        return None, None
    lower = score.estimate - overlap.half_width(score, plan.alpha, plan.planned_variance)
    worse = score.estimate + overlap.half_width(score, plan.alpha_worse, plan.planned_variance)
    if plan.role == "Guardrail":
        return lower, worse
    small = score.estimate + overlap.half_width(score, plan.alpha_small, plan.planned_variance)
    # Below 0 only with the verdict Worse, below d only with TooSmall, though their budgets differ.
    return lower, worse if worse < 0 else max(small, 0.0)


def _grid_lower(plan: MetricPlan, state: MetricState, above: tuple[float, ...]) -> float:
    """Largest δ for which "at most δ" is rejected; formula 1 where that lies beyond the grid."""
    bar = -math.log(plan.alpha)
    rejected = [i for i in range(GRID) if above[i] >= bar]
    if not rejected:
        return max(-1.0, min(grid_delta(plan, 0), _fallback(plan, state, state.overlap, plan.alpha)))
    last = rejected[-1]
    if last == GRID - 1:
        return max(grid_delta(plan, last), _fallback(plan, state, state.overlap, plan.alpha))
    share = (above[last] - bar) / (above[last] - above[last + 1])
    return grid_delta(plan, last) + share * plan.effect / 4


def _grid_upper(plan: MetricPlan, state: MetricState, below: tuple[float, ...]) -> float:
    """Smallest δ for which "at least δ" is rejected; formula 1 where that lies beyond the grid."""
    mirrored = _mirrored(state.overlap)
    rejected = [i for i in range(GRID) if below[i] >= -math.log(_level_below(plan, i))]
    if not rejected:
        level = _level_below(plan, GRID - 1)
        return min(1.0, max(grid_delta(plan, GRID - 1), -_fallback(plan, state, mirrored, level)))
    first = rejected[0]
    bar = -math.log(_level_below(plan, first))
    if first == 0:
        return min(grid_delta(plan, 0), -_fallback(plan, state, mirrored, plan.alpha_worse))
    if below[first - 1] >= bar:
        return grid_delta(plan, first)
    share = (below[first] - bar) / (below[first] - below[first - 1])
    return grid_delta(plan, first) - share * plan.effect / 4


def _fallback(plan: MetricPlan, state: MetricState, score: Score, level: float) -> float:
    """Formula 1's lower bound of a score; −inf until its asymptotics can be trusted."""
    if score.h <= 0 or not overlap.burnt_in(state.candidate, state.baseline):
        return -math.inf
    return score.estimate - overlap.half_width(score, level, plan.planned_variance)


def _mirrored(score: Score) -> Score:
    return Score(-score.u, score.v, score.h)


def _negative(value: float | None) -> float | None:
    return None if value is None else -value
