"""Published numbers: the table of the design, and worked examples of papers, books and other people's programs."""

from __future__ import annotations

import math

import numpy as np
import pytest

from retrainer.statistics import betting, events, fixed_horizon, msprt, overlap, power
from retrainer.statistics.mantel_haenszel import stratum_score
from retrainer.statistics.metric import MetricState, fold
from retrainer.statistics.overlap import Score
from retrainer.statistics.sums import ArmSums, binary
from retrainer.statistics.verdicts import find
from tests.unit.statistics.metric_worlds import ERRORS, outcomes


def six(value: float) -> str:
    """Six significant digits."""
    return f"{value:.5e}"


# The table of the design.


def test_the_two_sided_asymptotic_boundary_is_tuned_as_published():
    assert six(math.sqrt(overlap.tuning(0.05, 5000))) == six(0.0398401)


def test_the_two_sided_asymptotic_boundary_has_the_published_width():
    boundary = overlap.two_sided_boundary(10_000, overlap.tuning(0.05, 5000), 0.05)
    assert six(math.sqrt(0.25) * boundary / 10_000) == six(0.0153074)


FIRST = binary(100, 1000), binary(900, 9000)
SECOND = binary(450, 9000), binary(50, 1000)


def test_pooling_over_a_ramp_invents_a_difference_simpson():
    z = fixed_horizon.pooled_z(FIRST[0] + SECOND[0], FIRST[1] + SECOND[1])
    assert f"{z:.3f}" == "-10.738"
    # By hand: −.04 over the standard error of a pooled rate of .075 at 10,000 units per arm.
    assert six(z) == six(-0.04 / math.sqrt(0.075 * 0.925 * 2 / 10_000))


@pytest.mark.parametrize("mean", [0.0, 0.05, 0.0725, 0.1, 0.5, 1.0])
def test_the_overlap_score_sees_no_difference_there_whatever_the_mean(mean):
    score = overlap.window_score(*FIRST, 0.1, mean) + overlap.window_score(*SECOND, 0.9, mean)
    assert abs(score.estimate) < 1e-12


def test_the_mixture_sequential_test_gives_the_published_ratio_and_p_value():
    log_ratio = msprt.log_ratio(1000, 0.15, 1.0, 0.01)
    assert f"{math.exp(log_ratio):.3f}" == "44.328"
    assert f"{msprt.p_value([log_ratio]):.6f}" == "0.022559"
    # By hand: √(2/12) · exp(225/48).
    assert six(math.exp(log_ratio)) == six(math.sqrt(1 / 6) * math.exp(4.6875))


def test_a_single_bet_multiplies_to_the_published_e_value():
    growth = betting.log_growth(
        betting.Cells(60, 40, 40, 60), 0.5, 0.5, np.array([0.0]), np.array([1.0]), np.array([0.5])
    )
    assert six(math.exp(growth[0, 0])) == six(31.5462)
    # By hand: a unit wins or loses an eighth of the capital, 120 win and 80 lose.
    assert six(math.exp(growth[0, 0])) == six(1.125**120 * 0.875**80)


@pytest.mark.parametrize(("side", "expected"), [("Above", 6820.09), ("Both", 3410.09)])
def test_the_event_process_gives_the_published_e_value(side, expected):
    value = events.log_evidence(30, {0.1: 120}, events.mixture(0.5, side))
    assert six(math.exp(float(value))) == six(expected)


def test_the_chi_squared_of_kohavis_split():
    statistic, p = fixed_horizon.chi_squared_split(821_588, 815_482, 0.5)
    assert f"{statistic:.3f}" == "22.774"
    assert f"{p:.2e}" == "1.82e-06"


# The R reference values in the tests of confseq (Howard, Ramdas, McAuliffe, Sekhon): V* = V = 100, alpha 0.05, S = 10.


def test_the_normal_mixture_is_tuned_like_confseqs():
    assert f"{1 / overlap.tuning(0.05, 100):.5f}" == "12.60056"


def test_the_two_sided_normal_mixture_has_confseqs_bound():
    assert f"{overlap.two_sided_boundary(100, overlap.tuning(0.05, 100), 0.05):.5f}" == "30.35209"


def test_the_half_normal_mixture_has_confseqs_log_value():
    # confseq tunes the one-sided mixture to twice alpha.
    value = overlap.log_mixture_evidence(Score(10, 100, 1), 0.0, 0.10, 100)
    assert f"{value:.8f}" == "-0.06502391"


def test_the_half_normal_mixture_reaches_twenty_at_confseqs_bound():
    at_bound = overlap.log_mixture_evidence(Score(27.66071, 100, 1), 0.0, 0.10, 100)
    assert at_bound == pytest.approx(math.log(20), abs=1e-5)
    # The closed form of formula 1 lies a little above, never below.
    closed = overlap.one_sided_boundary(100, overlap.tuning(0.10, 100), 0.05)
    assert 27.66071 < closed < 27.66071 * 1.01


# R's mantelhaen.test on the data that its manual ships.

BERKELEY = [
    (512, 313, 89, 19),
    (353, 207, 17, 8),
    (120, 205, 202, 391),
    (138, 279, 131, 244),
    (53, 138, 94, 299),
    (22, 351, 24, 317),
]
"""Admitted and rejected men, admitted and rejected women, by department (Bickel, Hammel, O'Connell 1975)."""
RABBITS = [(0, 6, 0, 5), (3, 3, 0, 6), (6, 0, 2, 4), (5, 1, 6, 0), (2, 0, 5, 0)]
"""Cured and died at once treated, cured and died later treated, by dose (Agresti 1990, page 232)."""


def stratified(tables: list[tuple[int, int, int, int]]) -> Score:
    return sum((stratum_score(binary(a, a + b), binary(c, c + d)) for a, b, c, d in tables), Score())


def test_the_stratified_score_of_berkeleys_admissions():
    score = stratified(BERKELEY)
    assert f"{score.u**2 / score.v:.4f}" == "1.5246"
    assert f"{(abs(score.u) - 0.5) ** 2 / score.v:.4f}" == "1.4269"


def test_pooled_berkeley_seems_to_prefer_men_by_fourteen_points_and_stratified_it_does_not():
    men = binary(1198, 1198 + 1493)
    women = binary(557, 557 + 1278)
    assert f"{men.total / men.n - women.total / women.n:.4f}" == "0.1416"
    assert stratified(BERKELEY).estimate < 0


def test_the_stratified_score_of_agrestis_rabbits():
    score = stratified(RABBITS)
    corrected = (abs(score.u) - 0.5) ** 2 / score.v
    assert f"{corrected:.4f}" == "3.9286"
    assert f"{math.erfc(math.sqrt(corrected / 2)):.5f}" == "0.04747"


# Rate ratios.


def test_the_stratified_rate_ratio_of_trigeminal_neuralgia():
    """Deaths and person-years of men and women under and over 65 (Rothman & Monson 1973; Rothman, Greenland, Lash,
    "Modern epidemiology", 2008, page 264): 1.49571 over ages, as Stata's manual has it; the crude ratio is 1.099794."""
    state = MetricState()
    for men, years, women, womens_years in ((14, 1516, 10, 1701), (76, 949, 121, 2245)):
        state = fold(ERRORS, state, 0.5, ArmSums(years, float(men)), ArmSums(womens_years, float(women)))
    estimate = find(ERRORS, state).estimate
    assert estimate is not None and f"{1 + estimate:.5f}" == "1.49571"
    crude = (90 / (1516 + 949)) / (131 / (1701 + 2245))
    assert f"{crude:.6f}" == "1.099794"


# Fixed-horizon tests and sample sizes.


@pytest.mark.parametrize(
    ("first", "second", "t", "p"),
    [
        ((1, 2, 3), (1.1, 2.9, 4.2), -0.68649512735572582, 0.53619490753126731),
        ((1, 2, 3, 4), (1.1, 2.9, 4.2), -0.2108663315950719, 0.84354139131608286),
    ],
)
def test_welchs_test_gives_rs_values(first, second, t, p):
    result = fixed_horizon.welch(outcomes(*first), outcomes(*second))
    assert result.t == pytest.approx(t, rel=1e-10)
    assert result.p_value == pytest.approx(p, rel=1e-10)


def test_two_means_need_the_published_units():
    # Chow, Shao, Wang, "Sample size calculations in clinical research", 3.2.1: means 5 and 10, sd 10: 63 per arm.
    assert math.ceil(power.mean_units(100.0, 5.0, 0.05, 0.8) / 2) == 63


def test_two_proportions_need_the_published_units():
    # The same, 4.2.1: 65 % and 85 %, unpooled: 70 per arm.
    assert math.ceil(power.fixed_horizon_units(0.65, 0.20, 0.05, 0.8) / 2) == 70


def test_kohavis_rule_of_thumb_is_the_closed_form_rounded_up():
    # Kohavi, Tang, Xu, "Trustworthy online controlled experiments", 17: about 16 σ²/Δ² units per arm.
    assert power.mean_units(1.0, 1.0, 0.05, 0.8) / 2 == pytest.approx(16, rel=0.02)


def test_a_hazard_ratio_of_one_half_needs_the_published_events():
    # Schoenfeld 1983: 66 events for half the hazard, two-sided 5 %, power 80 %.
    assert math.ceil(power.event_count(math.log(0.5), 0.05, 0.8)) == 66
