"""One metric of an experiment: `fold` adds a window to what the earlier ones add up to.

Everything inside is turned so that larger is better: a metric in [0, 1] that should decrease is entered as 1 − y,
an unbounded one as −y, and turned back for display. Events are counted as they are. O(1) work and memory per
window, whatever the age of the experiment.

Which formula scores a window depends on the data only through counts, never through outcomes:
- 2 (and 1, for the estimate) while the split among units with an outcome is known: none is missing, or `Zero`;
- 5 from the first window with a missing outcome on (`Exclude`), and for the first `CALIBRATION` outcomes of an
  unbounded metric without a planned variance;
- 3 for events.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from retrainer.statistics import mantel_haenszel, overlap
from retrainer.statistics.metric_plan import GRID as GRID
from retrainer.statistics.metric_plan import GRID_REACH as GRID_REACH
from retrainer.statistics.metric_plan import MetricPlan as MetricPlan
from retrainer.statistics.metric_plan import Scale as Scale
from retrainer.statistics.metric_plan import grid_delta as grid_delta
from retrainer.statistics.metric_state import MetricState as MetricState
from retrainer.statistics.metric_state import state_from_json as state_from_json
from retrainer.statistics.metric_state import state_to_json as state_to_json
from retrainer.statistics.sums import ArmSums

if TYPE_CHECKING:
    from retrainer.statistics.betting import Array

CALIBRATION = 100
"""Outcomes from which the variance of an unbounded metric is taken where none is planned."""
RESPONSE_EFFECT = 0.05
"""Difference in response rates that its check is tuned to."""
RESPONSE_RATE = 0.5
"""Planned response rate; the widest, hence the most cautious stakes."""

_ROUNDING = 1e-9


def fold(plan: MetricPlan, state: MetricState, weight: float, candidate: ArmSums, baseline: ArmSums) -> MetricState:
    """The state after one more window, in which the candidate's probability was `weight` in (0, 1) throughout.

    `candidate` and `baseline` are raw sums of outcomes; of `Events`, Σ events and the requests, or n = 0 where
    they are not counted. Raises ValueError for sums that outcomes of the plan's scale cannot have.

    An unbounded metric without a planned variance takes the pooled variance of its first outcomes for V*. A
    boundary is valid for any η fixed without looking at which arm an outcome came from, or before a stopping time
    after which only later outcomes enter. Here both hold as far as they must: the windows until then enter by
    formula 5, whose score is fair given the pooled outcomes (of which V* is a function), the later ones by
    formula 1.
    """
    if not 0 < weight < 1:
        raise ValueError(f"metric {plan.name}: weight must lie strictly between 0 and 1, not {weight}")
    for arm in (candidate, baseline):
        _check(plan, arm)
    if plan.scale == "Events":
        return _count_events(plan, state, weight, candidate, baseline)
    c, b = _oriented(plan, candidate), _oriented(plan, baseline)
    scored = _stratify(state, weight, c, b) if _by_strata(plan, state, c, b) else _score(plan, state, weight, c, b)
    return _tune(
        plan,
        replace(
            scored,
            candidate=state.candidate + c,
            baseline=state.baseline + b,
            response=_bet_on_response(state, weight, c, b),
        ),
    )


def _check(plan: MetricPlan, arm: ArmSums) -> None:
    if plan.scale == "Binary" and not (0 <= arm.total <= arm.n and math.isclose(arm.total, arm.squares, abs_tol=1e-9)):
        raise ValueError(f"metric {plan.name}: outcomes must be 0 or 1, not {arm}")
    slack = _ROUNDING * (1 + arm.n)
    if plan.scale == "Bounded" and not -slack <= arm.total - arm.squares <= arm.n / 4 + slack:
        raise ValueError(f"metric {plan.name}: outcomes must lie in [0, 1], not {arm}")
    if plan.scale == "Bounded" and not -slack <= arm.total <= arm.n + slack:
        raise ValueError(f"metric {plan.name}: outcomes must lie in [0, 1], not {arm}")
    if plan.scale == "Events" and arm.total < 0:
        raise ValueError(f"metric {plan.name}: there cannot be fewer than 0 events: {arm}")
    if plan.scale != "Events" and arm.total**2 > arm.n * arm.squares * (1 + _ROUNDING) + _ROUNDING:
        raise ValueError(f"metric {plan.name}: no outcomes have these sums: {arm}")


def _oriented(plan: MetricPlan, arm: ArmSums) -> ArmSums:
    if plan.missing == "Zero":
        return arm.with_missing_as_zero()
    if plan.goal == "Increase":
        return arm
    return arm.negated() if plan.scale == "Unbounded" else arm.complement()


def _by_strata(plan: MetricPlan, state: MetricState, candidate: ArmSums, baseline: ArmSums) -> bool:
    missing = state.missing + candidate.missing + baseline.missing
    return missing > 0 or _calibrating(plan, state)


def _calibrating(plan: MetricPlan, state: MetricState) -> bool:
    return plan.scale == "Unbounded" and plan.variance is None and state.tuned is None


def _tune(plan: MetricPlan, state: MetricState) -> MetricState:
    if not _calibrating(plan, state) or state.units < CALIBRATION:
        return state
    variance = (state.candidate + state.baseline).squares_about_mean / (state.units - 1)
    return replace(state, tuned=variance) if variance > 0 else state


def _score(plan: MetricPlan, state: MetricState, weight: float, candidate: ArmSums, baseline: ArmSums) -> MetricState:
    """With a window whose split is known: formula 1, and for outcomes in [0, 1] formula 2."""
    mean = _earlier_mean(plan, state)
    scored = replace(state, overlap=state.overlap + overlap.window_score(candidate, baseline, weight, mean))
    if plan.scale == "Unbounded":
        return scored
    return replace(scored, capital=_bet(plan, state.capital, weight, mean, candidate, baseline))


def _earlier_mean(plan: MetricPlan, state: MetricState) -> float:
    """Pooled mean of the earlier windows; known before this one, which is what makes the score fair."""
    if not state.units:
        return plan.good_rate
    return (state.candidate.total + state.baseline.total) / state.units


def _stratify(state: MetricState, weight: float, candidate: ArmSums, baseline: ArmSums) -> MetricState:
    """With a window whose split is not known: formula 5. Strata end by counts, never by outcomes."""
    strata, stratum = state.strata, state.stratum
    stratified = (state.stratified[0] + candidate, state.stratified[1] + baseline)
    if stratum is not None and stratum[0] != weight:
        strata, stratum = strata + mantel_haenszel.stratum_score(stratum[1], stratum[2]), None
    if stratum is not None:
        candidate, baseline = stratum[1] + candidate, stratum[2] + baseline
    if candidate.n + baseline.n < mantel_haenszel.MINIMUM_STRATUM:
        return replace(state, strata=strata, stratum=(weight, candidate, baseline), stratified=stratified)
    strata = strata + mantel_haenszel.stratum_score(candidate, baseline)
    return replace(state, strata=strata, stratum=None, stratified=stratified)


def _bet(
    plan: MetricPlan, capital: bytes, weight: float, mean: float, candidate: ArmSums, baseline: ArmSums
) -> bytes:
    """The capital of every null on the grid after this window."""
    from retrainer.statistics import betting

    assert plan.unit_variance is not None  # outcomes in [0, 1] have one
    deltas, signs, thetas = _nulls(plan.effect, plan.unit_variance)
    if plan.scale == "Binary":
        growth = betting.log_growth(_cells(candidate, baseline), weight, mean, deltas, signs, thetas)
    else:
        score = overlap.window_score(candidate, baseline, weight, mean)
        moments = betting.Moments(candidate.n + baseline.n, score.u, score.v)
        growth = betting.log_growth_bounded(moments, weight, mean, deltas, signs, thetas)
    return _grown(capital, growth)


@lru_cache(maxsize=64)
def _nulls(effect: float, variance: float) -> tuple[Array, Array, Array]:
    """δ (66,), signs (66,) and stakes (7,) of a metric's grid."""
    import numpy as np

    from retrainer.statistics import betting

    deltas = np.tile((np.arange(GRID) - GRID_REACH) * effect / 4, 2)
    return deltas, np.repeat([1.0, -1.0], GRID), betting.stakes(effect, variance)


def _bet_on_response(state: MetricState, weight: float, candidate: ArmSums, baseline: ArmSums) -> bytes:
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


def _grown(capital: bytes, growth: Array) -> bytes:
    import numpy as np

    before = np.frombuffer(capital, "<f8").reshape(growth.shape) if capital else np.zeros(growth.shape)
    return (before + growth).astype("<f8").tobytes()


def _count_events(
    plan: MetricPlan, state: MetricState, weight: float, candidate: ArmSums, baseline: ArmSums
) -> MetricState:
    """With a window of events: formula 3, at the split of the requests where they are counted."""
    import numpy as np

    from retrainer.statistics import rate_ratio

    state = replace(state, candidate=state.candidate + candidate, baseline=state.baseline + baseline)
    both = candidate.total + baseline.total
    share = _share_of_requests(weight, candidate, baseline)
    points = rate_ratio.nodes(math.log1p(plan.effect)).points
    before = np.frombuffer(state.ratios, "<f8") if state.ratios else np.zeros(len(points))
    growth = rate_ratio.log_likelihood(candidate.total, both, share, points)
    return replace(
        state,
        ratios=(before + growth).astype("<f8").tobytes(),
        rates=(state.rates[0] + candidate.total * (1 - share), state.rates[1] + baseline.total * share),
    )


def _share_of_requests(weight: float, candidate: ArmSums, baseline: ArmSums) -> float:
    """The candidate's share of the window's requests, or the weight where they are not counted.

    An arm without requests cannot have events, and then the other arm's say nothing (every factor is 1 at a
    share of 0 or 1). Events without requests mean that the two counters disagree: the weight is what is known.
    """
    requests = candidate.n + baseline.n
    if requests == 0 or (candidate.n == 0 and candidate.total > 0) or (baseline.n == 0 and baseline.total > 0):
        return weight
    return candidate.n / requests
