"""The number table of the design and of the papers it cites, to six significant digits."""

from __future__ import annotations

import math

import numpy as np
import pytest

from retrainer.statistics import betting, events, fixed_horizon, overlap
from retrainer.statistics.sums import binary

SIX = 5e-6


def close(value: float, expected: float, digits: float = SIX) -> bool:
    return math.isclose(value, expected, rel_tol=digits)


def test_the_two_sided_asymptotic_boundary_is_tuned_as_published():
    rho = math.sqrt(overlap.tuning(0.05, 5000))
    assert f"{rho:.7f}" == "0.0398401"


def test_the_two_sided_asymptotic_boundary_has_the_published_width():
    boundary = overlap.two_sided_boundary(10_000, overlap.tuning(0.05, 5000), 0.05)
    assert f"{math.sqrt(0.25) * boundary / 10_000:.7f}" == "0.0153074"


FIRST = binary(100, 1000), binary(900, 9000)
SECOND = binary(450, 9000), binary(50, 1000)


def test_pooling_over_a_ramp_invents_a_difference_simpson():
    z = fixed_horizon.pooled_z(FIRST[0] + SECOND[0], FIRST[1] + SECOND[1])
    assert close(z, -10.73850, 1e-5)


@pytest.mark.parametrize("mean", [0.0, 0.05, 0.0725, 0.1, 0.5, 1.0])
def test_the_overlap_score_sees_no_difference_there_whatever_the_mean(mean):
    score = overlap.window_score(*FIRST, 0.1, mean) + overlap.window_score(*SECOND, 0.9, mean)
    assert abs(score.estimate) < 1e-12


def test_a_single_bet_multiplies_to_the_published_e_value():
    growth = betting.log_growth(
        betting.Cells(60, 40, 40, 60), 0.5, 0.5, np.array([0.0]), np.array([1.0]), np.array([0.5])
    )
    assert f"{math.exp(growth[0, 0]):.4f}" == "31.5462"


@pytest.mark.parametrize(("side", "expected"), [("Above", "6820.09"), ("Both", "3410.09")])
def test_the_event_process_gives_the_published_e_value(side, expected):
    value = events.log_evidence(30, {0.1: 120}, events.mixture(0.5, side))
    assert f"{math.exp(float(value)):.2f}" == expected


def test_the_chi_squared_of_kohavis_split():
    statistic, p = fixed_horizon.chi_squared_split(821_588, 815_482, 0.5)
    assert f"{statistic:.3f}" == "22.774"
    assert f"{p:.2e}" == "1.82e-06"
