"""What is there for comparison only: z, Welch's t, χ² and the mixture sequential test."""

from __future__ import annotations

import math

import numpy as np
import pytest

from retrainer.statistics import msprt
from retrainer.statistics.fixed_horizon import chi_squared_split, pooled_z, welch
from retrainer.statistics.sums import binary
from tests.unit.statistics.metric_worlds import outcomes


def test_welch_and_z_agree_on_many_units_of_equal_variance():
    candidate, baseline = binary(5300, 10_000), binary(5100, 10_000)
    assert welch(candidate, baseline).t == pytest.approx(pooled_z(candidate, baseline), rel=1e-3)
    assert welch(candidate, baseline).degrees == pytest.approx(19_998, rel=1e-4)


def test_welchs_degrees_of_freedom_fall_to_the_arm_that_varies():
    steady = outcomes(*([1.0, 1.0001] * 50))
    assert welch(outcomes(1.0, 5.0, 9.0), steady).degrees == pytest.approx(2.0, rel=1e-3)


@pytest.mark.parametrize(
    ("candidate", "baseline", "named"),
    [(outcomes(1.0), outcomes(1.0, 2.0), "two units"), (outcomes(1.0, 1.0), outcomes(2.0, 2.0), "variance")],
)
def test_welch_outside_its_domain_is_refused(candidate, baseline, named):
    with pytest.raises(ValueError, match=named):
        welch(candidate, baseline)


def test_comparisons_need_units_in_both_arms():
    with pytest.raises(ValueError, match="both arms"):
        pooled_z(binary(0, 0), binary(1, 2))
    with pytest.raises(ValueError, match="units"):
        chi_squared_split(0, 0, 0.5)


def test_no_variance_is_no_difference():
    assert pooled_z(binary(0, 5), binary(0, 9)) == 0.0


@pytest.mark.parametrize(
    ("units", "variance", "mixing", "named"),
    [(-1, 1.0, 1.0, "units"), (10, 0.0, 1.0, "variance"), (10, 1.0, 0.0, "mixing_variance")],
)
def test_the_mixture_sequential_test_outside_its_domain_is_refused(units, variance, mixing, named):
    with pytest.raises(ValueError, match=named):
        msprt.log_ratio(units, 0.1, variance, mixing)


def test_the_mixture_ratio_is_the_integral_over_the_normal():
    points, lengths = np.polynomial.hermite_e.hermegauss(120)
    theta = 0.1 * points
    n, difference, variance = 200, 0.21, 1.3
    likelihood = np.exp(n * (difference * theta - theta**2 / 2) / (2 * variance))
    expected = float(lengths @ likelihood / lengths.sum())
    assert math.exp(msprt.log_ratio(n, difference, variance, 0.01)) == pytest.approx(expected, rel=1e-9)


def test_an_always_valid_p_value_never_rises_again():
    assert msprt.p_value([]) == 1.0
    assert msprt.p_value([-2.0]) == 1.0
    assert msprt.p_value([-2.0, math.log(50), 0.0]) == pytest.approx(0.02)
