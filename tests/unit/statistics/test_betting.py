"""Formula 2: a fair game under the null, an exact product over units, and stakes that cannot ruin."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrainer.statistics import betting
from retrainer.statistics.betting import Cells

COUNTS = st.integers(0, 60)
WEIGHT = st.floats(0.02, 0.98)
UNIT = st.floats(0.01, 0.99)
DELTA = st.floats(-0.5, 0.5)
SIGN = st.sampled_from([1.0, -1.0])
ONE = np.ones(1)


def growth_of(cells: Cells, weight: float, mean: float, delta: float, sign: float, theta: float) -> float:
    growth = betting.log_growth(cells, weight, mean, delta * ONE, sign * ONE, theta * ONE)
    return float(growth[0, 0])


@settings(deadline=None)
@given(WEIGHT, UNIT, UNIT, st.floats(0, 0.5), DELTA, SIGN, st.floats(0.01, 20))
def test_one_unit_multiplies_capital_by_at_most_one_in_expectation_under_the_null(
    weight, mean, rate, towards, delta, sign, theta
):
    effect = delta - sign * towards
    p1 = rate + effect
    if not 0 <= p1 <= 1:
        return
    cells = {
        Cells(1, 0, 0, 0): weight * p1,
        Cells(0, 1, 0, 0): weight * (1 - p1),
        Cells(0, 0, 1, 0): (1 - weight) * rate,
        Cells(0, 0, 0, 1): (1 - weight) * (1 - rate),
    }
    expected = sum(p * math.exp(growth_of(cell, weight, mean, delta, sign, theta)) for cell, p in cells.items())
    assert expected <= 1 + 1e-9


@settings(deadline=None, max_examples=40)
@given(COUNTS, COUNTS, COUNTS, COUNTS, WEIGHT, UNIT, DELTA, SIGN, st.floats(0.01, 20))
def test_a_window_is_the_product_over_its_units_in_any_order(a, b, c, d, weight, mean, delta, sign, theta):
    whole = growth_of(Cells(a, b, c, d), weight, mean, delta, sign, theta)
    units = [Cells(1, 0, 0, 0)] * a + [Cells(0, 1, 0, 0)] * b + [Cells(0, 0, 1, 0)] * c + [Cells(0, 0, 0, 1)] * d
    single = {cell: growth_of(cell, weight, mean, delta, sign, theta) for cell in set(units)}
    assert math.isclose(whole, sum(single[u] for u in units), rel_tol=1e-9, abs_tol=1e-9)


@settings(deadline=None)
@given(WEIGHT, UNIT, DELTA, SIGN)
def test_no_single_unit_can_cost_more_than_the_safe_stake(weight, mean, delta, sign):
    for cell in (Cells(1, 0, 0, 0), Cells(0, 1, 0, 0), Cells(0, 0, 1, 0), Cells(0, 0, 0, 1)):
        assert growth_of(cell, weight, mean, delta, sign, 1e6) >= math.log(1 - betting.SAFE_STAKE) - 1e-9


def test_runs_of_a_simulation_are_independent_of_each_other():
    thetas = betting.bets(0.1, 0.5)
    deltas, signs = np.array([0.0, 0.1]), np.array([1.0, -1.0])
    counts = np.array([[3, 4, 5, 6], [30, 1, 2, 9]])
    weight, mean = np.array([0.1, 0.5]), np.array([0.4, 0.6])
    both = betting.log_growth(Cells(*counts.T), weight, mean, deltas, signs, thetas)
    assert both.shape == (2, 2, 7)
    for run in range(2):
        alone = betting.log_growth(Cells(*counts[run]), weight[run], mean[run], deltas, signs, thetas)
        assert np.allclose(both[run], alone)


def test_the_capital_is_mixed_by_the_prior():
    capital = np.log(np.arange(1.0, 8.0))
    assert math.isclose(math.exp(betting.log_evidence(capital)), float(np.sum(betting.PRIOR * np.arange(1, 8))))
    assert math.isclose(betting.PRIOR.sum(), 1.0)


def test_evidence_of_huge_capital_does_not_overflow():
    assert betting.log_evidence(np.full(7, 5000.0)) == pytest.approx(5000.0)


@pytest.mark.parametrize(("effect", "rate"), [(0.0, 0.5), (-0.1, 0.5), (0.1, 0.0), (0.1, 1.0)])
def test_stakes_outside_their_domain_are_refused(effect, rate):
    with pytest.raises(ValueError, match="positive effect"):
        betting.bets(effect, rate)


OUTCOME = st.floats(0, 1)


@settings(deadline=None, max_examples=60)
@given(WEIGHT, UNIT, OUTCOME, OUTCOME, st.floats(0, 1), st.floats(0, 1), DELTA, SIGN, st.floats(0.01, 20))
def test_one_unit_of_a_bounded_metric_multiplies_capital_by_at_most_one_under_the_null(
    weight, mean, low, high, chance1, chance0, delta, sign, theta
):
    """Outcomes take two values anywhere in [0, 1], with chances of their own in each arm."""
    effect = (chance1 - chance0) * (high - low)
    if sign * (effect - delta) > 0:
        return
    expected = 0.0
    for share, z, chance in ((weight, 1, chance1), (1 - weight, 0, chance0)):
        for probability, y in ((chance, high), (1 - chance, low)):
            x = (z - weight) * (y - mean)
            growth = betting.log_growth_bounded(
                betting.Moments(1, x, x * x), weight, mean, delta * ONE, sign * ONE, theta * ONE
            )
            expected += share * probability * math.exp(float(growth[0, 0]))
    assert expected <= 1 + 1e-9


@settings(deadline=None, max_examples=40)
@given(COUNTS, COUNTS, COUNTS, COUNTS, WEIGHT, UNIT, DELTA, SIGN, st.floats(1e-6, 20))
def test_the_bound_from_sums_never_exceeds_the_exact_product(a, b, c, d, weight, mean, delta, sign, theta):
    scores = ((1 - weight) * (1 - mean), -(1 - weight) * mean, -weight * (1 - mean), weight * mean)
    counts = (a, b, c, d)
    total = sum(n * x for n, x in zip(counts, scores, strict=True))
    squares = sum(n * x * x for n, x in zip(counts, scores, strict=True))
    moments = betting.Moments(sum(counts), total, squares)
    bound = betting.log_growth_bounded(moments, weight, mean, delta * ONE, sign * ONE, theta * ONE)
    assert bound[0, 0] <= growth_of(Cells(*counts), weight, mean, delta, sign, theta) + 1e-9


def test_small_stakes_lose_nothing_to_the_bound():
    exact = growth_of(Cells(60, 40, 40, 60), 0.5, 0.5, 0.0, 1.0, 1e-3)
    bound = betting.log_growth_bounded(betting.Moments(200, 10.0, 12.5), 0.5, 0.5, 0 * ONE, ONE, 1e-3 * ONE)
    assert float(bound[0, 0]) == pytest.approx(exact, rel=1e-6)


@pytest.mark.parametrize(("effect", "variance"), [(0.0, 0.1), (0.1, 0.0)])
def test_stakes_for_a_variance_outside_their_domain_are_refused(effect, variance):
    with pytest.raises(ValueError, match="variance"):
        betting.stakes(effect, variance)
