"""What the windows of a metric prove: verdict, e-value and an interval that never contradicts the verdict.

Which engine speaks depends on the scale and on counts alone: formula 2 for outcomes in [0, 1] while none is
missing, formula 5 from the first missing one on, formula 1 for unbounded outcomes, formula 3 for events
(`event_verdicts`). Where formula 2 has bet before the first missing outcome, its e-value stays what it was and
is multiplied by that of a fresh half-normal mixture over formula 5's scores: one process stopped, another begun,
hence one test at α. Where it has not, formula 5 speaks in formula 1's boundary. An unbounded metric's scores,
of whichever formula, add up in one boundary.

Error budget: Better and NotWorse at α one-sided, Worse at α/(1 + number of guardrails), TooSmall at α/2. The
lower end of the interval is therefore a bound at α, the upper end one at the budget of the verdict that it can
support; each end alone is valid at every look.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from retrainer.statistics import overlap, power
from retrainer.statistics.metric_plan import GRID, GRID_REACH, MetricPlan, grid_delta
from retrainer.statistics.metric_state import MetricState
from retrainer.statistics.overlap import Score

Verdict = Literal["Better", "Worse", "TooSmall", "NotWorse", "Undecided"]
Engine = Literal["Betting", "MantelHaenszel", "Overlap", "Events"]


@dataclass(frozen=True)
class Finding:
    """What is shown of a metric, candidate minus baseline in the metric's own direction; None is not known yet.

    Of events: the rate ratio minus 1. `log_evidence` is ln of the e-value of Better (primary) or NotWorse
    (guardrail). `units` have an outcome; of events the requests, or the events where requests are not counted.
    """

    verdict: Verdict
    estimate: float | None
    lower: float | None
    upper: float | None
    log_evidence: float
    units: int


def engine(plan: MetricPlan, state: MetricState) -> Engine:
    """The engine in charge of the next window's verdict, given the earlier ones."""
    if plan.scale == "Events":
        return "Events"
    if plan.missing == "Exclude" and state.missing:
        return "MantelHaenszel"
    return "Overlap" if plan.scale == "Unbounded" else "Betting"


def find(plan: MetricPlan, state: MetricState) -> Finding:
    """Verdict, estimate, interval and evidence of a metric at this look."""
    if plan.scale == "Events":
        from retrainer.statistics import event_verdicts

        return event_verdicts.find(plan, state)
    evidence = _evidence(plan, state)
    verdict = _verdict(plan, evidence)
    lower, upper = _ordered(verdict, *_interval(plan, state, evidence))
    estimate = _estimate(plan, state)
    if plan.goal == "Decrease":
        lower, upper = _negative(upper), _negative(lower)
        estimate = _negative(estimate)
    return Finding(
        verdict=verdict,
        estimate=estimate,
        lower=lower,
        upper=upper,
        log_evidence=evidence.above[GRID_REACH if plan.role == "Primary" else _MARGIN],
        units=state.units,
    )


def _estimate(plan: MetricPlan, state: MetricState) -> float | None:
    """Overlap-weighted mean effect. With a split far from the weight it can leave the range of the effect."""
    estimate = state.score.estimate
    if math.isnan(estimate):
        return None
    return estimate if plan.scale == "Unbounded" else power.clipped(estimate, (-1.0, 1.0))


def response_differs(plan: MetricPlan, state: MetricState) -> bool:
    """Whether the arms provably get feedback at different rates (two-sided at α); False without exposures."""
    if not state.response or not state.missing:
        return False
    either_way = sum(math.exp(min(e, _HUGE)) for e in _log_mixed(state.response, 2)) / 2
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


def _by_score_alone(plan: MetricPlan, state: MetricState) -> bool:
    """Whether formula 1's boundary is all there is: nothing was bet, or cannot be."""
    return plan.scale == "Unbounded" or (engine(plan, state) == "MantelHaenszel" and not state.bet_upon)


def _evidence(plan: MetricPlan, state: MetricState) -> _Evidence:
    if _by_score_alone(plan, state):
        return _score_evidence(plan, state)
    bets = _betting_evidence(state.capital)
    if engine(plan, state) == "Betting":
        return bets
    fresh = _fresh_evidence(plan, state)
    return _Evidence(
        tuple(bet + new for bet, new in zip(bets.above, fresh.above, strict=True)),
        tuple(bet + new for bet, new in zip(bets.below, fresh.below, strict=True)),
    )


def _score_evidence(plan: MetricPlan, state: MetricState) -> _Evidence:
    """Formula 1's boundary at each δ, as the e-value that reaches 1/α where it is crossed."""
    if not _trusted(plan, state):
        return _Evidence((-math.inf,) * GRID, (-math.inf,) * GRID)
    score, mirrored, planned = state.score, _mirrored(state.score), _planned_variance(plan, state)
    deltas = [grid_delta(plan, i) for i in range(GRID)]
    return _Evidence(
        tuple(overlap.log_evidence(score, d, plan.alpha, planned) for d in deltas),
        tuple(overlap.log_evidence(mirrored, -d, _level_below(plan, i), planned) for i, d in enumerate(deltas)),
    )


def _fresh_evidence(plan: MetricPlan, state: MetricState) -> _Evidence:
    """Half-normal mixture over the scores since the first missing outcome. Before the burn-in at most 1, which
    an e-value may always be lowered to."""
    score, mirrored, planned = state.mantel_haenszel, _mirrored(state.mantel_haenszel), plan.planned_variance
    most = math.inf if overlap.burnt_in(*state.stratified) else 0.0
    deltas = [grid_delta(plan, i) for i in range(GRID)]
    above = (overlap.log_mixture_evidence(score, d, plan.alpha, planned) for d in deltas)
    below = (
        overlap.log_mixture_evidence(mirrored, -d, _level_below(plan, i), planned) for i, d in enumerate(deltas)
    )
    return _Evidence(tuple(min(most, e) for e in above), tuple(min(most, e) for e in below))


def _betting_evidence(capital: bytes) -> _Evidence:
    if not capital:
        return _Evidence((0.0,) * GRID, (0.0,) * GRID)
    mixed = _log_mixed(capital, 2 * GRID)
    return _Evidence(mixed[:GRID], mixed[GRID:])


def _log_mixed(capital: bytes, nulls: int) -> tuple[float, ...]:
    """ln of the e-value of each null."""
    import numpy as np

    from retrainer.statistics import betting

    return tuple(betting.log_evidence(np.frombuffer(capital, "<f8").reshape(nulls, -1)).tolist())


def _trusted(plan: MetricPlan, state: MetricState) -> bool:
    """Whether formula 1's asymptotics hold, and its boundary is tuned."""
    if plan.scale != "Unbounded":
        return overlap.burnt_in(state.candidate, state.baseline)
    known = plan.variance is not None or state.tuned is not None
    return known and overlap.many_units(state.candidate, state.baseline)


def _planned_variance(plan: MetricPlan, state: MetricState) -> float:
    return plan.planned_variance if state.tuned is None else plan.planned_variance_at(state.tuned)


def _interval(plan: MetricPlan, state: MetricState, evidence: _Evidence) -> tuple[float | None, float | None]:
    if _by_score_alone(plan, state):
        return _score_interval(plan, state)
    if not state.units:
        return None, None
    return _grid_lower(plan, state, evidence.above), _grid_upper(plan, state, evidence.below)


def _ordered(verdict: Verdict, lower: float | None, upper: float | None) -> tuple[float | None, float | None]:
    """The ends in order. Where every effect is rejected the units cannot have been split as was asked for (the
    sample ratio says so, and blocks promotion); then the end that the verdict rests on is shown alone."""
    if lower is None or upper is None or lower <= upper:
        return lower, upper
    return (lower, lower) if verdict in ("Better", "NotWorse") else (upper, upper)


def _score_interval(plan: MetricPlan, state: MetricState) -> tuple[float | None, float | None]:
    score = state.score
    if score.h <= 0 or not _trusted(plan, state):
        return None, None
    planned = _planned_variance(plan, state)
    lower = score.estimate - overlap.half_width(score, plan.alpha, planned)
    worse = score.estimate + overlap.half_width(score, plan.alpha_worse, planned)
    if plan.role == "Guardrail":
        return lower, worse
    small = score.estimate + overlap.half_width(score, plan.alpha_small, planned)
    # Below 0 only with the verdict Worse, below d only with TooSmall, though their budgets differ.
    return lower, worse if worse < 0 else max(small, 0.0)


def _grid_lower(plan: MetricPlan, state: MetricState, above: tuple[float, ...]) -> float:
    """Largest δ for which "at most δ" is rejected; formula 1 where that lies beyond the grid."""
    bar = -math.log(plan.alpha)
    rejected = [i for i in range(GRID) if above[i] >= bar]
    if not rejected:
        return max(-1.0, min(grid_delta(plan, 0), _fallback(plan, state, state.score, plan.alpha)))
    last = rejected[-1]
    if last == GRID - 1:
        return max(grid_delta(plan, last), min(1.0, _fallback(plan, state, state.score, plan.alpha)))
    share = (above[last] - bar) / (above[last] - above[last + 1])
    return grid_delta(plan, last) + share * plan.effect / 4


def _grid_upper(plan: MetricPlan, state: MetricState, below: tuple[float, ...]) -> float:
    """Smallest δ for which "at least δ" is rejected; formula 1 where that lies beyond the grid."""
    mirrored = _mirrored(state.score)
    rejected = [i for i in range(GRID) if below[i] >= -math.log(_level_below(plan, i))]
    if not rejected:
        level = _level_below(plan, GRID - 1)
        return min(1.0, max(grid_delta(plan, GRID - 1), -_fallback(plan, state, mirrored, level)))
    first = rejected[0]
    bar = -math.log(_level_below(plan, first))
    if first == 0:
        return min(grid_delta(plan, 0), max(-1.0, -_fallback(plan, state, mirrored, plan.alpha_worse)))
    if below[first - 1] >= bar:
        return grid_delta(plan, first)
    share = (below[first] - bar) / (below[first] - below[first - 1])
    return grid_delta(plan, first) - share * plan.effect / 4


def _fallback(plan: MetricPlan, state: MetricState, score: Score, level: float) -> float:
    """Formula 1's lower bound of a score; −inf until its asymptotics can be trusted."""
    if score.h <= 0 or not _trusted(plan, state):
        return -math.inf
    return score.estimate - overlap.half_width(score, level, _planned_variance(plan, state))


def _mirrored(score: Score) -> Score:
    return Score(-score.u, score.v, score.h)


def _negative(value: float | None) -> float | None:
    return None if value is None else -value
