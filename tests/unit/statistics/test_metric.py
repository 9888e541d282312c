"""One metric over its windows: engines, orientation, merging, and a state that survives JSON."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from retrainer.statistics import mantel_haenszel, overlap
from retrainer.statistics.metric import (
    GRID_REACH,
    MetricPlan,
    MetricState,
    fold,
    grid_delta,
)
from retrainer.statistics.sums import ArmSums, binary
from retrainer.statistics.verdicts import engine, find, response_differs
from tests.unit.statistics.metric_worlds import LIKES, folded

DISLIKES = MetricPlan("dislikes", "Guardrail", "Decrease", "Exclude", 0.05, 0.3, 0.05, 0.025, 0.8)


def test_a_clear_gain_is_better_and_its_interval_holds_the_truth():
    state = folded(LIKES, [(0.5, binary(880, 1000), binary(700, 1000))])
    found = find(LIKES, state)
    assert found.verdict == "Better"
    assert 0 < found.lower < 0.18 < found.upper < 0.25
    assert found.estimate == pytest.approx(0.18)
    assert found.units == 2000


def test_a_clear_loss_is_worse_and_no_difference_is_too_small():
    assert find(LIKES, folded(LIKES, [(0.5, binary(600, 1000), binary(700, 1000))])).verdict == "Worse"
    assert find(LIKES, folded(LIKES, [(0.5, binary(700, 1000), binary(700, 1000))])).verdict == "TooSmall"


@pytest.mark.parametrize(
    ("candidate", "verdict"),
    [(200, "NotWorse"), (300, "NotWorse"), (400, "Worse"), (335, "Undecided")],
)
def test_a_guardrail_is_not_worse_worse_or_undecided(candidate, verdict):
    state = folded(DISLIKES, [(0.5, binary(candidate, 1000), binary(300, 1000))] * 2)
    assert find(DISLIKES, state).verdict == verdict


def test_nothing_seen_is_undecided_without_numbers():
    found = find(LIKES, MetricState())
    assert (found.verdict, found.estimate, found.lower, found.upper, found.units) == ("Undecided", None, None, None, 0)


def test_an_effect_beyond_the_grid_is_shown_by_the_asymptotic_interval():
    plan = replace(LIKES, effect=0.02)
    found = find(plan, folded(plan, [(0.5, binary(1760, 2000), binary(1400, 2000))]))
    assert found.verdict == "Better"
    assert 4 * 0.02 < found.lower < 0.18 < found.upper


def test_the_grid_meets_zero_half_and_whole_effects_exactly():
    assert grid_delta(LIKES, GRID_REACH) == 0
    assert grid_delta(LIKES, GRID_REACH + 4) == 0.1
    assert grid_delta(DISLIKES, GRID_REACH - 2) == -0.025


def test_the_first_missing_outcome_hands_the_verdict_to_the_stratified_score():
    first = fold(LIKES, MetricState(), 0.5, binary(880, 1000, missing=1), binary(700, 1000))
    assert engine(LIKES, first) == "MantelHaenszel"
    found = find(LIKES, first)
    assert found.verdict == "Better"
    expected = mantel_haenszel.stratum_score(binary(880, 1000), binary(700, 1000))
    assert found.estimate == pytest.approx(expected.estimate)
    half = overlap.half_width(expected, LIKES.alpha, LIKES.planned_variance)
    assert found.lower == pytest.approx(found.estimate - half)


def test_what_was_bet_before_the_first_missing_outcome_is_multiplied_not_added():
    complete = folded(LIKES, [(0.5, binary(110, 150), binary(105, 150))])
    assert engine(LIKES, complete) == "Betting"
    partial = fold(LIKES, complete, 0.5, binary(880, 1000, missing=1), binary(700, 1000))
    assert engine(LIKES, partial) == "MantelHaenszel"
    assert (partial.capital, partial.overlap) == (complete.capital, complete.overlap)
    fresh = mantel_haenszel.stratum_score(binary(880, 1000), binary(700, 1000))
    grown = overlap.log_mixture_evidence(fresh, 0.0, LIKES.alpha, LIKES.planned_variance)
    found = find(LIKES, partial)
    assert found.log_evidence == pytest.approx(find(LIKES, complete).log_evidence + grown)
    assert found.estimate == pytest.approx((complete.overlap + fresh).estimate)


def test_before_its_burn_in_the_stratified_score_can_only_lower_what_was_bet():
    complete = folded(LIKES, [(0.5, binary(110, 150), binary(95, 150))])
    before = find(LIKES, complete).log_evidence
    gain = fold(LIKES, complete, 0.5, binary(440, 499, missing=1), binary(300, 499))
    loss = fold(LIKES, complete, 0.5, binary(300, 499, missing=1), binary(440, 499))
    assert find(LIKES, gain).log_evidence == before
    assert find(LIKES, loss).log_evidence < before - 1


def test_the_stratified_score_is_silent_until_its_asymptotics_hold():
    found = find(LIKES, folded(LIKES, [(0.5, binary(440, 499, missing=1), binary(300, 499))]))
    assert (found.verdict, found.lower, found.upper) == ("Undecided", None, None)
    assert found.log_evidence == -math.inf


def test_counted_as_zero_a_missing_outcome_keeps_the_exact_engine():
    plan = replace(LIKES, missing="Zero")
    state = folded(plan, [(0.5, binary(300, 400, missing=600), binary(200, 400, missing=600))])
    assert engine(plan, state) == "Betting"
    assert find(plan, state).estimate == pytest.approx(0.1)
    assert state.units == 2000


def test_zero_is_refused_where_it_would_reward_suppressing_feedback():
    with pytest.raises(ValueError, match="suppressing"):
        replace(DISLIKES, missing="Zero")


def test_a_metric_without_an_effect_to_look_for_is_refused():
    with pytest.raises(ValueError, match="above 0"):
        replace(DISLIKES, effect=0.0)


@pytest.mark.parametrize("sums", [ArmSums(3, 4.0, 4.0), ArmSums(3, 2.0, 1.2), ArmSums(3, -1.0, 1.0)])
def test_outcomes_other_than_zero_and_one_are_refused(sums):
    with pytest.raises(ValueError, match="0 or 1"):
        fold(LIKES, MetricState(), 0.5, sums, binary(1, 2))


def test_small_windows_of_one_weight_are_merged_into_strata_of_fifty():
    windows = [(0.1, binary(2, 3, missing=1), binary(10, 17))] * 2
    state = folded(LIKES, windows)
    assert state.strata.h == 0 and state.stratum is not None
    third = fold(LIKES, state, 0.1, *windows[0][1:])
    merged = mantel_haenszel.stratum_score(binary(6, 9), binary(30, 51))
    assert third.stratum is None and third.strata == merged
    assert third.mantel_haenszel == merged


def test_a_stratum_ends_with_its_weight():
    state = folded(LIKES, [(0.1, binary(2, 3, missing=1), binary(10, 17)), (0.25, binary(4, 5), binary(9, 15))])
    assert state.strata == mantel_haenszel.stratum_score(binary(2, 3), binary(10, 17))
    assert state.stratum is not None and state.stratum[0] == 0.25


def test_the_mean_of_a_window_is_that_of_the_windows_before_it():
    first, second = (0.1, binary(8, 10), binary(45, 90)), (0.5, binary(30, 40), binary(20, 40))
    state = folded(LIKES, [first, second])
    by_hand = overlap.window_score(first[1], first[2], 0.1, 0.7) + overlap.window_score(
        second[1], second[2], 0.5, 53 / 100
    )
    assert state.overlap == by_hand


def test_a_difference_in_response_rates_is_noticed_and_an_equal_one_is_not():
    equal = folded(LIKES, [(0.5, binary(300, 700, missing=300), binary(300, 700, missing=300))])
    unequal = folded(LIKES, [(0.5, binary(300, 900, missing=100), binary(300, 700, missing=300))])
    assert not response_differs(LIKES, equal)
    assert response_differs(LIKES, unequal)
    assert not response_differs(LIKES, folded(LIKES, [(0.5, binary(3, 900), binary(3, 700))]))


def test_a_guardrail_is_planned_for_being_harmless_and_the_primary_for_being_better():
    assert DISLIKES.equal_split_units > LIKES.equal_split_units
    assert LIKES.planned_variance > 0
    assert DISLIKES.good_rate == pytest.approx(0.7)
