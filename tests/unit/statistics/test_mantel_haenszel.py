"""Formula 5: the stratified score."""

from __future__ import annotations

import math
from itertools import combinations

import pytest

from retrainer.statistics.mantel_haenszel import stratum_score
from retrainer.statistics.overlap import Score
from retrainer.statistics.sums import ArmSums, binary


@pytest.mark.parametrize(("n1", "n0", "y"), [(2, 3, 2), (3, 3, 1), (1, 4, 3), (4, 2, 6)])
def test_expectation_and_variance_are_those_of_all_ways_to_assign_the_units(n1, n0, y):
    n = n1 + n0
    successes = set(range(y))
    scores = [
        stratum_score(binary(hits, n1), binary(y - hits, n0)).u
        for chosen in combinations(range(n), n1)
        for hits in [len(successes & set(chosen))]
    ]
    variance = stratum_score(binary(min(y, n1), n1), binary(y - min(y, n1), n0)).v
    assert sum(scores) / len(scores) == pytest.approx(0.0, abs=1e-12)
    assert sum(s * s for s in scores) / len(scores) == pytest.approx(variance)


def test_the_estimate_of_one_stratum_is_the_difference_of_its_rates():
    score = stratum_score(binary(30, 100), binary(40, 200))
    assert score.estimate == pytest.approx(0.30 - 0.20)


@pytest.mark.parametrize(
    ("candidate", "baseline"),
    [(binary(0, 0), binary(3, 9)), (binary(3, 9), binary(0, 0)), (binary(0, 0), binary(1, 1))],
)
def test_a_stratum_with_an_empty_arm_says_nothing(candidate, baseline):
    assert stratum_score(candidate, baseline) == Score()


def test_a_stratum_in_which_all_agree_adds_overlap_but_no_variance():
    score = stratum_score(binary(5, 5), binary(7, 7))
    assert score.v == 0 and score.h > 0 and math.isclose(score.u, 0)


@pytest.mark.parametrize("outcomes", [(1.0, 2.5, -3.0, 4.0, 4.0), (0.2, 0.9, 0.9, 0.1), (5.0, 5.0, 5.0)])
def test_for_any_outcomes_expectation_and_variance_are_those_of_all_ways_to_assign_the_units(outcomes):
    def arm(indices):
        values = [outcomes[i] for i in indices]
        return ArmSums(len(values), sum(values), sum(v * v for v in values))

    everybody = range(len(outcomes))
    scores = [
        stratum_score(arm(chosen), arm([i for i in everybody if i not in chosen]))
        for chosen in combinations(everybody, 2)
    ]
    assert sum(s.u for s in scores) / len(scores) == pytest.approx(0.0, abs=1e-12)
    assert sum(s.u**2 for s in scores) / len(scores) == pytest.approx(scores[0].v, abs=1e-12)
