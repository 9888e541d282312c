"""Window arithmetic: numbers, transitional windows, and what is due."""

from __future__ import annotations

from itertools import islice

from hypothesis import given, settings
from hypothesis import strategies as st

from retrainer.ab_experiment.windows import (
    Stretch,
    Window,
    end_before,
    first_window_after,
    origin_after,
    uncounted,
)

MOMENT = st.floats(1_700_000_000, 1_900_000_000)


def test_windows_begin_on_a_whole_second_after_the_split_has_settled():
    assert origin_after(100.25, 1) == 102
    assert origin_after(100.0, 1) == 101
    assert origin_after(100.25, 90) == 191
    assert origin_after(100.25, 0) == 101


def test_windows_are_numbered_without_gaps_while_the_weight_is_constant():
    windows = list(islice(uncounted((Stretch(10, 99.5, 0),), 0, 101, 5), 3))
    assert windows == [
        Window(0, 101, 106, 10, 99.5),
        Window(1, 106, 111, 10, 99.5),
        Window(2, 111, 116, 10, 99.5),
    ]


def test_windows_of_a_closed_stretch_are_still_due_before_those_of_the_next():
    stretches = (Stretch(10, 99.5, 0, 3), Stretch(25, 120.0, 5))
    numbers = [(w.number, w.weight) for w in islice(uncounted(stretches, 1, 101, 5), 4)]
    assert numbers == [(1, 10), (2, 10), (5, 25), (6, 25)]


def test_a_stretch_that_is_counted_to_its_end_has_nothing_due():
    assert list(uncounted((Stretch(10, 99.5, 0, 3),), 3, 101, 5)) == []


def test_a_window_that_ends_exactly_at_the_announcement_counts():
    assert end_before(111.0, 101, 5) == 2
    assert end_before(110.99, 101, 5) == 1


def test_a_disturbance_before_the_first_window_leaves_none():
    assert end_before(50.0, 101, 5) == 0


@settings(deadline=None)
@given(MOMENT, st.floats(0, 500), st.floats(0, 100), st.integers(5, 600), st.integers(0, 100))
def test_no_counted_window_overlaps_a_change_of_weight(applied, until_announced, until_applied, length, settle):
    origin = origin_after(applied, settle)
    announced = applied + until_announced
    effective = announced + until_applied
    last = end_before(announced, origin, length)
    first = first_window_after(effective, settle, origin, length)
    if last > 0:
        assert origin + last * length <= announced
    assert origin + first * length >= effective + settle - 1e-3
    assert first >= last


@settings(deadline=None)
@given(MOMENT, st.floats(0, 500), st.integers(5, 600))
def test_at_most_two_windows_are_lost_to_a_change_that_takes_less_than_one(applied, until_announced, length):
    origin = origin_after(applied, 1)
    announced = origin + until_announced
    effective = announced + 0.5
    assert first_window_after(effective, 1, origin, length) - end_before(announced, origin, length) <= 2
