"""Formula 6 and the sums: how many units, and what counts as one."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrainer.statistics import power
from retrainer.statistics.sums import ArmSums, binary


def test_the_closed_form_is_the_textbook_one():
    # 2·(1.959964 + 0.841621)²·(.1·.9 + .12·.88)/.02²
    assert power.fixed_horizon_units(0.10, 0.02, 0.05, 0.8) == pytest.approx(7676.2, abs=1)


def test_a_ramp_that_starts_low_needs_twice_the_fixed_horizon():
    fixed = power.fixed_horizon_units(0.10, 0.02, 0.05, 0.8)
    steps = [(0.05, 250), (0.25, 1250), (0.5, 100)]
    assert power.ramp_units(fixed * power.ENGINE_FACTOR, steps) / fixed == pytest.approx(2.04, abs=0.01)


def test_an_equal_split_needs_what_it_needs():
    assert power.ramp_units(1000.0, [(0.5, 10)]) == 1000


def test_the_last_step_brings_its_minimum_even_when_the_ramp_told_enough():
    assert power.ramp_units(10.0, [(0.1, 100), (0.5, 200)]) == 1000 + 400


def test_a_ramp_without_steps_is_refused():
    with pytest.raises(ValueError, match="at least one step"):
        power.ramp_units(10.0, [])


@settings(deadline=None)
@given(st.floats(0, 1), st.floats(0.001, 0.5), st.floats(0.5, 1.0))
def test_every_rate_and_power_gives_a_finite_plan(rate, effect, wanted):
    units = power.fixed_horizon_units(rate, effect, 0.05, wanted)
    assert math.isfinite(units) and units > 0


@pytest.mark.parametrize(("effect", "alpha"), [(0.0, 0.05), (0.1, 0.0), (0.1, 1.0)])
def test_a_plan_outside_its_domain_is_refused(effect, alpha):
    with pytest.raises(ValueError, match="effect"):
        power.fixed_horizon_units(0.5, effect, alpha, 0.8)


def test_smaller_effects_and_more_power_need_more_units():
    base = power.fixed_horizon_units(0.5, 0.1, 0.05, 0.8)
    assert power.fixed_horizon_units(0.5, 0.05, 0.05, 0.8) > base
    assert power.fixed_horizon_units(0.5, 0.1, 0.05, 0.9) > base


def test_sums_add_up_and_turn_around():
    arm = binary(3, 10, missing=2) + binary(1, 5)
    assert arm == ArmSums(15, 4.0, 4.0, 2)
    assert arm.complement() == ArmSums(15, 11.0, 11.0, 2)
    assert arm.with_missing_as_zero() == ArmSums(17, 4.0, 4.0, 0)
    assert arm.exposures == 17
    assert ArmSums.from_json(arm.to_json()) == arm


@pytest.mark.parametrize("counts", [(5, 4), (-1, 4)])
def test_more_successes_than_units_are_refused(counts):
    with pytest.raises(ValueError, match="between 0 and n"):
        binary(*counts)


def test_negative_counts_are_refused():
    with pytest.raises(ValueError, match="negative"):
        ArmSums(-1, 0, 0)


@pytest.mark.parametrize("sums", [(1, math.nan, 1.0), (1, 1.0, math.inf)])
def test_sums_that_are_not_numbers_are_refused(sums):
    with pytest.raises(ValueError, match="finite"):
        ArmSums(*sums)


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.tuples(st.sampled_from([0.05, 0.1, 0.25]), st.integers(1, 5000)), max_size=3),
    st.floats(100, 1e6),
    st.sampled_from([0.1, 0.3]),
)
def test_early_steps_of_users_take_a_tenth_of_the_plan_and_are_never_raised(early, needed, share):
    steps = [*early, (0.5, 200)]
    minima = power.step_units(steps, needed, share)
    assert minima[-1] == 200
    assert all(1 <= cut <= asked for cut, (_, asked) in zip(minima, steps, strict=True))
    seen = sum(cut / weight for cut, (weight, _) in zip(minima[:-1], early, strict=True))
    least = sum(1 / weight for weight, _ in early)
    assert seen <= max(share * needed, least) + least


def test_early_steps_within_their_share_stay_as_they_are():
    assert power.step_units([(0.05, 250), (0.5, 100)], 50_000) == (250, 100)
    assert power.step_units([(0.05, 250), (0.25, 1250), (0.5, 100)], 20_000) == (50, 250, 100)
    assert power.step_units([(0.5, 100)], 10.0) == (100,)


@pytest.mark.parametrize(
    ("steps", "needed", "share", "named"),
    [([], 10.0, 0.1, "steps"), ([(0.5, 1)], 0.0, 0.1, "units_needed"), ([(0.5, 1)], 10.0, 0.0, "share")],
)
def test_step_units_outside_their_domain_are_refused(steps, needed, share, named):
    with pytest.raises(ValueError, match=named):
        power.step_units(steps, needed, share)


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_a_ramp_with_a_step_without_overlap_is_refused(weight):
    with pytest.raises(ValueError, match="steps"):
        power.ramp_units(10.0, [(weight, 1), (0.5, 1)])


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: power.mean_units(0.0, 1.0, 0.05, 0.8), "variance"),
        (lambda: power.mean_units(1.0, 0.0, 0.05, 0.8), "effect"),
        (lambda: power.mean_units(1.0, 1.0, 0.0, 0.8), "alpha"),
        (lambda: power.event_count(0.0, 0.05, 0.8), "log_ratio"),
        (lambda: power.event_count(0.4, 1.0, 0.8), "alpha"),
    ],
)
def test_closed_forms_outside_their_domain_are_refused(call, named):
    with pytest.raises(ValueError, match=named):
        call()
