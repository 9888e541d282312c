"""Formulas 3 and 4: shares of events, and the split that was asked for."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrainer.statistics import events
from retrainer.statistics.sample_ratio import ALARM, Split


@settings(deadline=None)
@given(st.floats(0.02, 0.98), st.sampled_from(["Above", "Below", "Both"]), st.floats(0.05, 1.0), st.floats(-0.5, 0.7))
def test_one_event_multiplies_by_one_in_expectation_under_the_null_ratio(weight, side, scale, log_null):
    blend = events.mixture(scale, side, log_null)
    ratio = math.exp(log_null)
    chance = weight * ratio / (weight * ratio + 1 - weight)
    hit = math.exp(events.log_evidence(1, {weight: 1}, blend, log_null))
    miss = math.exp(events.log_evidence(0, {weight: 1}, blend, log_null))
    assert math.isclose(chance * hit + (1 - chance) * miss, 1.0, rel_tol=1e-9)


def test_without_events_there_is_no_evidence():
    assert float(events.log_evidence(0, {0.5: 0}, events.mixture(0.5, "Both"))) == pytest.approx(0.0)


def test_a_mixture_puts_all_its_weight_on_its_side():
    assert (events.mixture(0.5, "Above").log_ratios > 0).all()
    assert (events.mixture(0.5, "Below").log_ratios < 0).all()
    assert events.mixture(0.5, "Both").weights.sum() == pytest.approx(1.0)


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_events_at_a_weight_without_overlap_are_refused(weight):
    with pytest.raises(ValueError, match="strictly between"):
        events.log_evidence(1, {weight: 1}, events.mixture(0.5, "Both"))


def test_a_mixture_without_width_is_refused():
    with pytest.raises(ValueError, match="positive"):
        events.mixture(0.0, "Both")


def test_the_evidence_of_many_runs_is_computed_at_once():
    blend = events.mixture(0.1, "Both")
    both = events.log_evidence(np.array([50, 70]), {0.5: np.array([100, 100])}, blend)
    assert both[0] == pytest.approx(float(events.log_evidence(50, {0.5: 100}, blend)))
    assert both[1] == pytest.approx(float(events.log_evidence(70, {0.5: 100}, blend)))


WINDOWS = st.lists(
    st.tuples(st.sampled_from([5, 25, 50]), st.integers(0, 300), st.integers(0, 300)), min_size=1, max_size=8
)


@settings(deadline=None)
@given(WINDOWS)
def test_the_order_of_windows_does_not_matter_and_json_keeps_the_split(windows):
    forward, backward = Split(), Split()
    for weight, candidate, baseline in windows:
        forward = forward.add(weight, candidate, candidate + baseline)
    for weight, candidate, baseline in reversed(windows):
        backward = backward.add(weight, candidate, candidate + baseline)
    assert forward == backward
    assert Split.from_json(forward.to_json()) == forward
    assert forward.total == sum(c + b for _, c, b in windows)


def test_expected_and_observed_shares_are_over_all_weights():
    split = Split().add(10, 12, 100).add(50, 48, 100)
    assert split.expected == pytest.approx(0.3)
    assert split.observed == pytest.approx(0.3)
    assert split.candidate_at(50) == 48
    assert split.candidate_at(25) == 0


def test_nothing_seen_is_no_alarm_and_no_share():
    assert Split().ok
    assert Split().log_evidence() == 0.0
    assert math.isnan(Split().expected) and math.isnan(Split().observed)


def test_an_exact_split_is_no_alarm():
    assert Split().add(10, 1000, 10_000).add(50, 5000, 10_000).ok


def test_a_split_off_by_odds_of_one_point_one_is_found_over_a_ramp():
    split = Split()
    for weight, total in ((10, 4000), (25, 6000), (50, 10_000)):
        odds = 1.1 * weight / (100 - weight)
        split = split.add(weight, round(total * odds / (1 + odds)), total)
    assert math.exp(split.log_evidence()) > ALARM
    assert not split.ok


def test_a_split_by_chance_rarely_alarms():
    rng = random.Random(7)
    alarms = 0
    for _ in range(300):
        split = Split()
        for weight in (10, 25, 50):
            split = split.add(weight, sum(rng.random() < weight / 100 for _ in range(300)), 300)
        alarms += not split.ok
    assert alarms <= 2


def test_more_candidates_than_units_are_refused():
    with pytest.raises(ValueError, match="between 0 and 5"):
        Split().add(10, 6, 5)
