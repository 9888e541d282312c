"""Formula 6 and the sums: how many units, and what counts as one."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrainer.statistics import power
from retrainer.statistics.fixed_horizon import chi_squared_split, pooled_z
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


def test_comparisons_need_units_in_both_arms():
    with pytest.raises(ValueError, match="both arms"):
        pooled_z(binary(0, 0), binary(1, 2))
    with pytest.raises(ValueError, match="units"):
        chi_squared_split(0, 0, 0.5)


def test_no_variance_is_no_difference():
    assert pooled_z(binary(0, 5), binary(0, 9)) == 0.0
