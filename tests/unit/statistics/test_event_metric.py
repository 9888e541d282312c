"""A guardrail of events: verdicts, rate ratio, interval, and windows in which something is not counted."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrainer.statistics import events, rate_ratio
from retrainer.statistics.metric import MetricState, fold
from retrainer.statistics.sums import ArmSums
from retrainer.statistics.verdicts import find
from tests.unit.statistics.metric_worlds import ERRORS, folded, windows


def counted(candidate: int, baseline: int, n1: int = 1000, n0: int = 1000):
    return 0.5, ArmSums(n1, float(candidate)), ArmSums(n0, float(baseline))


@pytest.mark.parametrize(
    ("window", "verdict"),
    [
        (counted(100, 50), "Worse"),
        (counted(100, 100), "NotWorse"),
        (counted(6, 5), "Undecided"),
        (counted(0, 0), "Undecided"),
        (counted(0, 30), "NotWorse"),
        (counted(30, 0), "Worse"),
    ],
)
def test_events_are_worse_not_worse_or_undecided(window, verdict):
    assert find(ERRORS, folded(ERRORS, [window])).verdict == verdict


def test_the_rate_ratio_is_that_of_the_requests_not_of_the_weight():
    found = find(ERRORS, folded(ERRORS, [counted(20, 100, n1=1000, n0=5000)]))
    assert found.estimate == pytest.approx(0.0)
    assert found.lower < 0 < found.upper
    assert found.units == 6000


def test_without_requests_the_weight_is_what_is_known():
    found = find(ERRORS, folded(ERRORS, [(0.1, ArmSums(0, 30.0), ArmSums(0, 90.0))]))
    assert found.estimate == pytest.approx(2.0)
    assert found.verdict == "Worse"
    assert found.units == 120


def test_the_evidence_of_worse_is_the_published_one():
    state = folded(ERRORS, [(0.1, ArmSums(0, 30.0), ArmSums(0, 90.0))])
    log_margin = math.log1p(ERRORS.effect)
    evidence = rate_ratio.log_evidence(np.frombuffer(state.ratios), log_margin)
    assert f"{math.exp(evidence.above[rate_ratio.nodes(log_margin).none]):.2f}" == "6820.09"


@pytest.mark.parametrize(("candidate", "baseline"), [(10, 30), (60, 40), (300, 280)])
def test_the_evidence_of_not_worse_is_the_half_normal_below_the_margin(candidate, baseline):
    state = folded(ERRORS, [(0.25, ArmSums(0, float(candidate)), ArmSums(0, float(baseline)))])
    log_margin = math.log1p(ERRORS.effect)
    blend = events.mixture(rate_ratio.SCALE, "Below", log_margin)
    exact = float(events.log_evidence(candidate, {0.25: candidate + baseline}, blend, log_margin))
    assert find(ERRORS, state).log_evidence == pytest.approx(exact, abs=1e-9)


def test_an_arm_without_requests_says_nothing():
    state = folded(ERRORS, [counted(0, 30, n1=0, n0=1000)])
    found = find(ERRORS, state)
    assert (found.verdict, found.estimate) == ("Undecided", None)
    assert found.log_evidence == pytest.approx(0.0)
    assert (found.lower, found.upper) == (-1.0, None)


def test_events_of_an_arm_without_requests_are_weighed_by_the_weight():
    disagree = folded(ERRORS, [counted(30, 30, n1=0, n0=1000)])
    unknown = folded(ERRORS, [counted(30, 30, n1=0, n0=0)])
    assert disagree.ratios == unknown.ratios


def test_no_candidate_request_failing_bounds_the_ratio_from_above_only():
    found = find(ERRORS, folded(ERRORS, [counted(0, 200)]))
    assert found.lower == -1.0
    assert found.upper is not None and found.upper < 0
    assert found.estimate == -1.0


def test_no_baseline_request_failing_bounds_the_ratio_from_below_only():
    found = find(ERRORS, folded(ERRORS, [counted(200, 0)]))
    assert found.estimate is None
    assert found.lower > 1 and found.upper is None


@settings(max_examples=30, deadline=None)
@given(windows("Events"), st.sampled_from([0.013, 0.2, 0.5, 3.0]))
def test_the_interval_of_events_never_contradicts_the_verdict_and_holds_the_estimate_of_one_split(many, margin):
    plan = replace(ERRORS, effect=margin)
    found = find(plan, folded(plan, many))
    upper = math.inf if found.upper is None else found.upper
    if found.lower is None:
        assert found.verdict == "Undecided" and found.estimate is None
        return
    assert found.lower <= upper
    assert (found.verdict == "NotWorse") == (upper <= margin * (1 - 1e-12)) or upper == pytest.approx(margin)
    if found.verdict == "Worse":
        assert found.lower >= 0
    if found.verdict == "Undecided":
        assert found.lower <= 0
    alike = find(plan, folded(plan, [(0.5, replace(c, n=1000), replace(b, n=1000)) for _, c, b in many]))
    if alike.estimate is not None:
        assert alike.lower <= alike.estimate <= (math.inf if alike.upper is None else alike.upper)


@settings(max_examples=25, deadline=None)
@given(
    st.floats(0.02, 0.98),
    st.sampled_from([0.05, 0.5, 2.0]),
    st.floats(-1, 1),
    st.integers(0, 30),
    st.integers(0, 30),
    st.data(),
)
def test_one_more_event_multiplies_by_at_most_one_on_the_nulls_side(weight, margin, shift, candidate, baseline, data):
    log_margin = math.log1p(margin)
    where = rate_ratio.nodes(log_margin)
    before = rate_ratio.log_likelihood(candidate, candidate + baseline, weight, where.points)
    after = {z: before + rate_ratio.log_likelihood(z, 1, weight, where.points) for z in (0, 1)}
    now = rate_ratio.log_evidence(before, log_margin)
    then = {z: rate_ratio.log_evidence(likelihoods, log_margin) for z, likelihoods in after.items()}
    other = data.draw(st.integers(0, len(where.nulls) - 1))
    for side, sign in (("above", -1), ("below", 1)):
        for at in (where.none, where.margin, other):
            ratio = math.exp(where.nulls[at] + sign * abs(shift))
            chance = weight * ratio / (weight * ratio + 1 - weight)
            hit, miss = (math.exp(getattr(then[z], side)[at]) for z in (1, 0))
            expected, worth = chance * hit + (1 - chance) * miss, math.exp(getattr(now, side)[at])
            assert expected <= worth * (1 + 1e-9)
            if shift == 0:
                assert expected == pytest.approx(worth)


def test_every_null_has_a_mixture_of_its_own_that_sums_to_one():
    where = rate_ratio.nodes(math.log(1.5))
    evidence = rate_ratio.log_evidence(np.zeros(len(where.points)), math.log(1.5))
    assert np.allclose(evidence.above, 0.0) and np.allclose(evidence.below, 0.0)
    assert events.NODES >= 81


@pytest.mark.parametrize("log_margin", [0.0, -0.1, 4.0])
def test_nodes_for_a_margin_outside_their_reach_are_refused(log_margin):
    with pytest.raises(ValueError, match="log_margin"):
        rate_ratio.nodes(log_margin)


def test_a_window_of_events_costs_the_same_whatever_came_before():
    young = fold(ERRORS, MetricState(), *counted(3, 3))
    old = folded(ERRORS, [counted(k % 5, 3, n1=900 + k) for k in range(50)])
    assert len(young.ratios) == len(old.ratios)
