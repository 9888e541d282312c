"""What counts of events prove: formula 3, its verdicts, and the rate ratio with its interval.

The null "the ratio is at most r₀" is tested by a half-normal mixture above r₀, "at least r₀" by one below it, at
every null of `rate_ratio.nodes`. The interval holds the nulls that neither rejects, at the error budget of the
verdict that each end supports (Worse below, NotWorse above), with ln E interpolated between neighbours. As 1 and
1 + margin are nulls themselves, it never contradicts the verdict.
"""

from __future__ import annotations

import math
from itertools import pairwise

from retrainer.statistics.metric_plan import MetricPlan
from retrainer.statistics.metric_state import MetricState
from retrainer.statistics.verdicts import Finding, Verdict


def find(plan: MetricPlan, state: MetricState) -> Finding:
    """Verdict on a guardrail of events; estimate and interval are rate ratio − 1.

    Without an event nothing is known. An end beyond a ratio of exp(±4) is −1 (none) below and None above.
    """
    import numpy as np

    from retrainer.statistics import rate_ratio

    count = state.candidate.total + state.baseline.total
    if not count or not state.ratios:
        return Finding("Undecided", None, None, None, 0.0, state.units)
    log_margin = math.log1p(plan.effect)
    where = rate_ratio.nodes(log_margin)
    evidence = rate_ratio.log_evidence(np.frombuffer(state.ratios, "<f8"), log_margin)
    points, above, below = where.nulls.tolist(), evidence.above.tolist(), evidence.below.tolist()
    worse, not_worse = above[where.none], below[where.margin]
    lower = _last_rejected(points, above, -math.log(plan.alpha_worse))
    upper = _last_rejected(points[::-1], below[::-1], -math.log(plan.alpha))
    return Finding(
        verdict=_verdict(plan, worse, not_worse),
        estimate=_estimate(state),
        lower=-1.0 if lower is None else math.expm1(lower),
        upper=None if upper is None else math.expm1(upper),
        log_evidence=not_worse,
        units=state.units or round(count),
    )


def _verdict(plan: MetricPlan, worse: float, not_worse: float) -> Verdict:
    if not_worse >= -math.log(plan.alpha):
        return "NotWorse"
    return "Worse" if worse >= -math.log(plan.alpha_worse) else "Undecided"


def _last_rejected(points: list[float], evidence: list[float], bar: float) -> float | None:
    """How far, in the order given, the nodes are rejected; ln E is taken to be linear between neighbours."""
    end = None
    for (here, rejected), (there, kept) in pairwise(zip(points, evidence, strict=True)):
        if rejected >= bar:
            end = there if kept >= bar else here + (there - here) * (rejected - bar) / (rejected - kept)
    return end


def _estimate(state: MetricState) -> float | None:
    """Stratified rate ratio Σ z(1 − w) / Σ (n − z)w, minus 1 (Mantel–Haenszel: Rothman, Greenland, Lash, "Modern
    epidemiology", 2008, chapter 15); None before the baseline has an event."""
    numerator, denominator = state.rates
    return numerator / denominator - 1 if denominator > 0 else None
