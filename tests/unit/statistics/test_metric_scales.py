"""Laws that hold for a metric of any scale: folding, splitting, turning around, interval and verdict agree."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrainer.statistics import betting, overlap, rate_ratio
from retrainer.statistics.metric import MetricState, fold, state_from_json, state_to_json
from retrainer.statistics.overlap import Score
from retrainer.statistics.sums import ArmSums, binary
from retrainer.statistics.verdicts import engine, find
from tests.unit.statistics.metric_worlds import (
    ERRORS,
    LATENCY,
    LIKES,
    SCORE,
    clear,
    folded,
    guardrail,
    outcomes,
    windows,
    with_missing,
)

PLANS = {plan.scale: plan for plan in (LIKES, SCORE, LATENCY, ERRORS)}
SCALES = st.sampled_from(sorted(PLANS))
FEW = settings(max_examples=20, deadline=None)


@FEW
@given(st.data(), SCALES, st.integers(0, 5), st.integers(0, 6))
def test_a_state_that_was_stored_goes_on_as_if_never_stored(data, scale, cut, first):
    plan, many = PLANS[scale], data.draw(windows(scale))
    if scale != "Events":
        many = with_missing(many, first)
    stored = json.loads(json.dumps(state_to_json(folded(plan, many[:cut]))))
    assert folded(plan, many[cut:], state_from_json(stored)) == folded(plan, many)


@pytest.mark.parametrize("plan", PLANS.values(), ids=list(PLANS))
def test_the_stored_state_is_small_whatever_the_age(plan):
    arm = ArmSums(1234, 617.123456789, 617.123456789 if plan.scale != "Unbounded" else 5e8, 0)
    many = [(0.5, arm, arm)] * 30
    if plan.scale == "Binary":
        many = [clear(617, 599)] * 30
    assert len(json.dumps(state_to_json(folded(plan, many)))) < 8192


def earlier_means(many, prior: float) -> list[float]:
    means, total, n = [], 0.0, 0
    for _, candidate, baseline in many:
        means.append(total / n if n else prior)
        total, n = total + candidate.total + baseline.total, n + candidate.n + baseline.n
    return means


@FEW
@given(windows("Binary"))
def test_binary_windows_folded_one_by_one_are_the_product_over_all_units(many):
    capital = np.zeros(7)
    for (w, c, b), mean in zip(many, earlier_means(many, LIKES.good_rate), strict=True):
        cells = betting.Cells(c.total, c.n - c.total, b.total, b.n - b.total)
        thetas = betting.bets(LIKES.effect, LIKES.rate)
        capital += betting.log_growth(cells, w, mean, np.zeros(1), np.ones(1), thetas)[0]
    assert find(LIKES, folded(LIKES, many)).log_evidence == pytest.approx(
        float(betting.log_evidence(capital)), abs=1e-9
    )


@FEW
@given(windows("Bounded"))
def test_bounded_windows_folded_one_by_one_are_the_sum_over_all(many):
    capital = np.zeros(7)
    for (w, c, b), mean in zip(many, earlier_means(many, SCORE.good_rate), strict=True):
        score = overlap.window_score(c, b, w, mean)
        loss = max(-x for x in ((1 - w) * (1 - mean), -(1 - w) * mean, -w * (1 - mean), w * mean))
        for j, theta in enumerate(betting.stakes(SCORE.effect, 0.1)):
            stake = min(theta, 0.9 / loss)
            risk = stake * loss
            capital[j] += stake * score.u + stake**2 * score.v * (math.log(1 - risk) + risk) / risk**2
    assert find(SCORE, folded(SCORE, many)).log_evidence == pytest.approx(
        float(betting.log_evidence(capital)), abs=1e-6
    )


@FEW
@given(windows("Unbounded"))
def test_unbounded_windows_with_a_planned_variance_add_up_their_scores(many):
    plan = replace(LATENCY, variance=200.0**2)
    total = Score()
    for (w, c, b), mean in zip(many, earlier_means(many, 800.0), strict=True):
        score = overlap.window_score(c, b, w, mean)
        total = total + Score(-score.u, score.v, score.h)
    state = folded(plan, many)
    for name in ("u", "v", "h"):
        assert getattr(state.score, name) == pytest.approx(getattr(total, name), rel=1e-6, abs=1e-3)


@FEW
@given(windows("Events"))
def test_windows_of_events_folded_one_by_one_are_the_likelihood_of_all(many):
    points = rate_ratio.nodes(math.log1p(ERRORS.effect)).points
    expected = np.zeros(len(points))
    for _, c, b in many:
        share = c.n / (c.n + b.n)
        expected += c.total * points - (c.total + b.total) * np.log(share * np.exp(points) + 1 - share)
    kept = np.frombuffer(folded(ERRORS, many).ratios)
    assert np.allclose(kept, expected, atol=1e-8)


def turned(plan, many):
    """The metric and its windows in the other direction: 1 − y, or −y without bounds."""
    goal = "Decrease" if plan.goal == "Increase" else "Increase"
    if plan.scale == "Unbounded":
        other = [(w, c.negated(), b.negated()) for w, c, b in many]
        return replace(plan, goal=goal, rate=-plan.rate), other
    return replace(plan, goal=goal, rate=1 - plan.rate), [(w, c.complement(), b.complement()) for w, c, b in many]


@FEW
@given(st.data(), st.sampled_from(["Binary", "Bounded", "Unbounded"]), st.integers(0, 6), st.booleans())
def test_a_metric_that_should_decrease_is_the_mirror_image_of_one_that_should_increase(data, scale, first, harm):
    plan = guardrail(PLANS[scale]) if harm else PLANS[scale]
    many = with_missing(data.draw(windows(scale)), first)
    other_plan, other = turned(plan, many)
    one, two = find(plan, folded(plan, many)), find(other_plan, folded(other_plan, other))
    assert one.verdict == two.verdict
    assert one.log_evidence == pytest.approx(two.log_evidence, abs=1e-6)
    for here, there in ((one.estimate, two.estimate), (one.lower, two.upper), (one.upper, two.lower)):
        assert (here is None) == (there is None)
        assert here is None or here == pytest.approx(-there, rel=1e-6, abs=1e-6)


@settings(max_examples=40, deadline=None)
@given(st.data(), st.sampled_from(["Binary", "Bounded", "Unbounded"]), st.integers(0, 6), st.integers(0, 3))
def test_the_interval_never_contradicts_the_verdict_on_a_primary(data, scale, first, others):
    plan = replace(PLANS[scale], alpha_worse=LIKES.alpha / (1 + others))
    found = find(plan, folded(plan, with_missing(data.draw(windows(scale)), first)))
    if found.lower is None or found.upper is None:
        assert found.verdict == "Undecided"
        return
    worst, best = found.lower, found.upper
    if plan.goal == "Decrease":
        worst, best = -found.upper, -found.lower
    assert found.lower <= found.upper
    assert worst >= 0 if found.verdict == "Better" else worst <= 0
    if found.verdict == "Worse":
        assert best <= 0
    if found.verdict == "TooSmall":
        assert best <= plan.effect
    if found.verdict == "Undecided":
        assert best >= plan.effect * (1 - 1e-9)


@settings(max_examples=40, deadline=None)
@given(st.data(), st.sampled_from(["Binary", "Bounded", "Unbounded"]), st.integers(0, 6))
def test_the_interval_never_contradicts_the_verdict_on_a_guardrail(data, scale, first):
    plan = guardrail(PLANS[scale])
    found = find(plan, folded(plan, with_missing(data.draw(windows(scale)), first)))
    if found.lower is None or found.upper is None:
        assert found.verdict == "Undecided"
        return
    worst, best = (found.lower, found.upper) if plan.goal == "Increase" else (-found.upper, -found.lower)
    if found.verdict == "NotWorse":
        assert worst >= -plan.effect
    else:
        assert worst <= -plan.effect * (1 - 1e-9)
    if found.verdict == "Worse":
        assert best <= -plan.effect / 2
    if found.verdict == "Undecided":
        assert best >= -plan.effect / 2 * (1 + 1e-9)


@FEW
@given(windows("Binary"), st.sampled_from(["Primary", "Guardrail"]))
def test_the_bound_for_bounded_outcomes_never_exceeds_the_exact_product_on_outcomes_0_and_1(many, role):
    exact, bound = replace(LIKES, role=role), replace(LIKES, role=role, scale="Bounded")
    above = find(exact, folded(exact, many)).log_evidence
    assert find(bound, folded(bound, many)).log_evidence <= above + 1e-9


def test_the_engine_follows_from_the_scale_and_the_missing_outcomes():
    start = MetricState()
    assert [engine(p, start) for p in (LIKES, SCORE, LATENCY, ERRORS)] == ["Betting", "Betting", "Overlap", "Events"]
    for plan in (LIKES, SCORE, LATENCY):
        missing = fold(plan, start, 0.5, outcomes(1.0, missing=1), outcomes(0.0))
        assert engine(plan, missing) == "MantelHaenszel"


def test_a_split_far_from_the_weight_shows_no_effect_beyond_what_rates_can_differ_by():
    half = binary(150, 600)
    found = find(LIKES, folded(LIKES, [(0.1, half, half)]))
    assert found.estimate == found.lower == found.upper == -1.0
    other = find(LIKES, folded(LIKES, [(0.1, half.complement(), half.complement())]))
    assert other.lower <= other.estimate <= other.upper <= 1.0


@pytest.mark.parametrize(
    ("plan", "likes", "verdict"),
    [(LIKES, 0, "Better"), (LIKES, 400, "Worse"), (guardrail(LIKES), 0, "NotWorse")],
)
def test_where_a_broken_split_rejects_every_effect_the_end_of_the_verdict_is_shown_alone(plan, likes, verdict):
    """Of 400 units at 10 % none was the candidate's; then as many of either arm."""
    equal = (0.1, binary(150, 600, missing=1), binary(150, 600))
    found = find(plan, folded(plan, [(0.1, binary(0, 0), binary(likes, 400)), equal]))
    assert found.verdict == verdict
    assert found.lower == found.upper
    assert found.lower > 0 if verdict != "Worse" else found.upper < 0


LATENCIES = outcomes(*(800.0 + 20 * k for k in range(-10, 11)))


def slower_by(milliseconds: float, times: int) -> ArmSums:
    arm = outcomes(*(800.0 + milliseconds + 20 * k for k in range(-10, 11)))
    return ArmSums(arm.n * times, arm.total * times, arm.squares * times)


@pytest.mark.parametrize(
    ("change", "verdict"), [(-60, "Better"), (60, "Worse"), (0, "TooSmall"), (-38, "Better"), (-2, "TooSmall")]
)
def test_a_quality_without_bounds_gets_the_verdicts_of_its_direction(change, verdict):
    state = folded(LATENCY, [(0.5, slower_by(change, 30), slower_by(0, 30))] * 3)
    found = find(LATENCY, state)
    assert found.verdict == verdict
    assert found.estimate == pytest.approx(change, abs=0.5)
    assert found.lower < change < found.upper


def test_a_quality_is_not_judged_before_five_hundred_units_per_arm():
    state = folded(LATENCY, [(0.5, slower_by(-400, 23), slower_by(0, 24))])
    assert state.candidate.n == 483
    found = find(LATENCY, state)
    assert (found.verdict, found.lower, found.log_evidence) == ("Undecided", None, -math.inf)
    assert found.estimate == pytest.approx(-400)


def test_the_first_outcomes_of_a_quality_tell_its_variance_whatever_mean_was_planned():
    lost = replace(LATENCY, rate=0.0)
    many = [(0.5, slower_by(-30, 30), slower_by(0, 30))] * 4
    state = folded(lost, many)
    assert state.tuned == pytest.approx((LATENCIES.squares_about_mean / 21) + 15**2, rel=0.01)
    assert find(lost, state).verdict == find(LATENCY, folded(LATENCY, many)).verdict == "Better"


def test_calibration_waits_for_a_hundred_outcomes_that_differ():
    few = folded(LATENCY, [(0.5, slower_by(0, 2), slower_by(0, 2))])
    assert few.tuned is None and few.overlap == Score()
    constant = ArmSums(600, 600 * 5.0, 600 * 25.0)
    alike = folded(LATENCY, [(0.5, constant, constant)])
    assert alike.tuned is None
    assert find(LATENCY, alike).verdict == "Undecided"


def test_a_missing_outcome_does_not_throw_away_what_a_quality_has_shown():
    plan = replace(LATENCY, variance=120.0**2)
    before = folded(plan, [(0.5, slower_by(-20, 30), slower_by(0, 30))])
    after = fold(plan, before, 0.5, replace(slower_by(-20, 30), missing=5), slower_by(0, 30))
    assert after.overlap == before.overlap
    assert after.score.h == pytest.approx(2 * before.score.h)
    narrower, wider = find(plan, after), find(plan, before)
    assert narrower.upper - narrower.lower < wider.upper - wider.lower


@pytest.mark.parametrize(
    ("plan", "arm"),
    [
        (SCORE, ArmSums(3, 4.0, 4.0)),
        (SCORE, ArmSums(3, 2.0, 2.5)),
        (SCORE, ArmSums(3, -0.5, 1.0)),
        (SCORE, ArmSums(4, 2.0, 0.5)),
        (LATENCY, ArmSums(2, 10.0, 1.0)),
        (LATENCY, ArmSums(0, 1.0, 1.0)),
        (ERRORS, ArmSums(2, -1.0, 0.0)),
    ],
)
def test_sums_that_no_outcomes_of_the_scale_have_are_refused(plan, arm):
    with pytest.raises(ValueError, match=plan.name):
        fold(plan, MetricState(), 0.5, arm, ArmSums())


@pytest.mark.parametrize("weight", [0.0, 1.0, -0.5, math.nan])
@pytest.mark.parametrize("plan", PLANS.values(), ids=list(PLANS))
def test_a_window_at_a_weight_without_overlap_is_refused(plan, weight):
    with pytest.raises(ValueError, match="weight"):
        fold(plan, MetricState(), weight, ArmSums(), ArmSums())


@pytest.mark.parametrize(
    ("plan", "change", "named"),
    [
        (LIKES, {"effect": math.inf}, "effect"),
        (LIKES, {"alpha": 1.0}, "alpha"),
        (LIKES, {"alpha_worse": 0.0}, "alpha_worse"),
        (LATENCY, {"rate": math.nan}, "rate"),
        (LATENCY, {"variance": 0.0}, "variance"),
        (LATENCY, {"missing": "Zero"}, "suppressing"),
        (ERRORS, {"role": "Primary"}, "Events"),
        (ERRORS, {"goal": "Increase"}, "Events"),
        (ERRORS, {"rate": 0.0}, "rate"),
        (ERRORS, {"effect": 60.0}, "margin"),
    ],
)
def test_a_plan_outside_its_domain_is_refused_by_the_name_of_the_argument(plan, change, named):
    with pytest.raises(ValueError, match=named):
        replace(plan, **change)


def test_units_are_planned_for_every_scale():
    known = replace(LATENCY, variance=120.0**2)
    assert LATENCY.equal_split_units == 0.0
    assert known.equal_split_units == pytest.approx(1.45 * 4 * (1.959964 + 0.841621) ** 2 * 120**2 / 40**2, rel=1e-6)
    assert SCORE.equal_split_units == pytest.approx(1.5 * 4 * (1.959964 + 0.841621) ** 2 * 0.1 / 0.1**2, rel=1e-6)
    unknown = replace(SCORE, variance=None)
    assert unknown.equal_split_units == pytest.approx(LIKES.equal_split_units * 1.5 / 1.35)
    by_count = 1.6 * 4 * (1.959964 + 0.841621) ** 2 / math.log(1.5) ** 2
    assert ERRORS.equal_split_units == pytest.approx(by_count / 0.01, rel=1e-6)


def test_the_planned_variance_of_a_quality_is_not_invented():
    with pytest.raises(ValueError, match="variance"):
        _ = LATENCY.planned_variance
    assert LATENCY.planned_variance_at(100.0) == replace(LATENCY, variance=100.0).planned_variance


def test_before_anything_was_seen_no_scale_shows_numbers():
    for plan in PLANS.values():
        found = find(plan, MetricState())
        assert (found.verdict, found.estimate, found.lower, found.upper) == ("Undecided", None, None, None)
