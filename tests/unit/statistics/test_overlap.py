"""Formula 1: scores, the boundary and its inverse."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrainer.statistics import overlap
from retrainer.statistics.overlap import Score
from retrainer.statistics.sums import ArmSums, binary

ARM = st.tuples(st.integers(0, 400), st.integers(0, 400)).map(lambda t: binary(min(t), max(t)))
WEIGHT = st.floats(0.01, 0.99)
MEAN = st.floats(0, 1)


@settings(deadline=None)
@given(ARM, ARM, WEIGHT, MEAN)
def test_the_window_score_is_the_sum_over_its_units(candidate, baseline, weight, mean):
    score = overlap.window_score(candidate, baseline, weight, mean)
    units = [((1 - weight) * (y - mean)) for y in _outcomes(candidate)]
    units += [(-weight * (y - mean)) for y in _outcomes(baseline)]
    assert math.isclose(score.u, sum(units), abs_tol=1e-8)
    assert math.isclose(score.v, sum(x * x for x in units), abs_tol=1e-8)
    assert math.isclose(score.h, len(units) * weight * (1 - weight), abs_tol=1e-9)


def _outcomes(arm: ArmSums) -> list[int]:
    return [1] * int(arm.total) + [0] * int(arm.n - arm.total)


@settings(deadline=None)
@given(WEIGHT, MEAN, st.floats(0.01, 0.99), st.floats(-0.5, 0.5))
def test_the_expected_score_of_a_unit_is_effect_times_overlap_whatever_the_mean(weight, mean, rate, effect):
    treated = weight * (1 - weight) * (rate + effect - mean)
    untreated = (1 - weight) * -weight * (rate - mean)
    assert math.isclose(treated + untreated, effect * weight * (1 - weight), abs_tol=1e-12)


@pytest.mark.parametrize("weight", [0.0, 1.0, -0.1, 1.5])
def test_a_weight_without_overlap_is_refused(weight):
    with pytest.raises(ValueError, match="strictly between 0 and 1"):
        overlap.window_score(binary(1, 2), binary(1, 2), weight, 0.5)


@pytest.mark.parametrize(("alpha", "variance"), [(0.0, 1.0), (1.0, 1.0), (0.05, 0.0), (0.05, math.nan)])
def test_tuning_outside_its_domain_is_refused(alpha, variance):
    with pytest.raises(ValueError, match="alpha"):
        overlap.tuning(alpha, variance)


@settings(deadline=None)
@given(
    st.floats(0.001, 500),
    st.floats(0.1, 500),
    st.floats(1, 2000),
    st.sampled_from([0.05, 0.025, 0.01]),
    st.floats(1, 500),
)
def test_the_e_value_reaches_one_over_alpha_exactly_where_the_bound_passes_the_effect(u, v, h, alpha, planned):
    score = Score(u, v, h)
    lower = score.estimate - overlap.half_width(score, alpha, planned)
    if abs(lower) < 1e-9:
        return
    reached = overlap.log_evidence(score, 0.0, alpha, planned) >= -math.log(alpha)
    assert reached == (lower > 0)


def test_an_estimate_on_the_nulls_side_is_no_evidence():
    assert overlap.log_evidence(Score(-3, 10, 100), 0.0, 0.05, 50) == -math.inf


def test_without_overlap_the_interval_is_infinite_and_the_estimate_unknown():
    assert overlap.half_width(Score(), 0.05, 50) == math.inf
    assert math.isnan(Score().estimate)


def test_the_boundary_is_narrowest_near_the_planned_variance():
    widths = {
        planned: overlap.one_sided_boundary(1000, overlap.tuning(0.05, planned), 0.05)
        for planned in (10, 1000, 100_000)
    }
    assert min(widths, key=widths.__getitem__) == 1000


@pytest.mark.parametrize(
    ("candidate", "baseline", "ready"),
    [
        (binary(100, 500), binary(100, 500), True),
        (binary(100, 499), binary(100, 500), False),
        (binary(49, 500), binary(100, 500), False),
        (binary(100, 500), binary(451, 500), False),
    ],
)
def test_the_asymptotics_wait_for_units_events_and_non_events_of_both_arms(candidate, baseline, ready):
    assert overlap.burnt_in(candidate, baseline) is ready


@settings(deadline=None, max_examples=50)
@given(st.floats(-60, 60), st.floats(0, 300), st.floats(0.01, 8), st.sampled_from([0.05, 0.01]), st.floats(10, 500))
def test_the_half_normal_mixture_gains_nothing_in_expectation_from_a_fair_score(u, v, step, alpha, planned):
    now = overlap.log_mixture_evidence(Score(u, v, 1), 0.0, alpha, planned)
    up, down = (
        overlap.log_mixture_evidence(Score(u + s, v + step**2, 1), 0.0, alpha, planned) for s in (step, -step)
    )
    assert (math.exp(up - now) + math.exp(down - now)) / 2 <= 1 + 1e-9


@settings(deadline=None, max_examples=50)
@given(st.floats(0.1, 500), st.floats(0.1, 500), st.sampled_from([0.05, 0.025]), st.floats(1, 500))
def test_the_half_normal_mixture_is_never_less_than_the_boundarys_e_value(u, v, alpha, planned):
    score = Score(u, v, 1)
    mixture = overlap.log_mixture_evidence(score, 0.0, alpha, planned)
    assert mixture >= overlap.log_evidence(score, 0.0, alpha, planned) - 1e-9


def test_the_half_normal_mixture_starts_at_one_and_does_not_break_off_far_below():
    assert overlap.log_mixture_evidence(Score(), 0.0, 0.05, 50) == pytest.approx(0.0)
    around = [overlap.log_mixture_evidence(Score(-u, 1.0, 1), 0.0, 0.05, 0.1) for u in (12.6, 12.7, 1e4)]
    assert around[0] > around[1] > around[2] > -20
    near, far = (overlap._log_two_phi_over_density(x) for x in (-11.999999, -12.000001))
    assert near == pytest.approx(far, abs=1e-5)


def test_units_without_bounds_need_no_events_for_the_asymptotics():
    assert overlap.many_units(binary(0, 500), binary(0, 500))
    assert not overlap.many_units(binary(0, 500), binary(0, 499))
