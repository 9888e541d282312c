"""The exact increase of a counter: every event once, whatever the scrapes, restarts and gaps."""

from __future__ import annotations

from itertools import accumulate, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrainer.prometheus.counters import History, Sample, Series, Span, increase, patience

FORGOTTEN = History({}, False)
NOTHING_BEFORE = History({}, True)
LABELS = {"__name__": "errors_total", "revision": "4"}
WINDOW = Span(start=1000.0, end=1060.0, applied=100.0)
FRESH = Span(start=1000.0, end=1060.0, applied=990.0)


def series(*samples: tuple[float, float]) -> Series:
    return Series(LABELS, tuple(Sample(*s) for s in samples))


def known(value: float) -> History:
    return History({series().identity: value}, True)


@pytest.mark.parametrize(
    ("sentence", "found", "span", "history", "expected"),
    [
        ("from the last sample before to the last one inside", [(995, 7), (1010, 8), (1055, 10), (1070, 99)], WINDOW,
         NOTHING_BEFORE, 3),
        ("samples at the very start and end belong to their windows", [(1000, 7), (1060, 9)], WINDOW, NOTHING_BEFORE,
         2),
        ("nothing happened", [(995, 7), (1010, 7)], WINDOW, NOTHING_BEFORE, 0),
        ("no sample inside: what happened is counted when samples resume", [(995, 7), (1100, 90)], WINDOW,
         NOTHING_BEFORE, 0),
        ("a restart continues from 0", [(995, 7), (1010, 9), (1020, 1), (1030, 4)], WINDOW, NOTHING_BEFORE, 6),
        ("two restarts", [(995, 7), (1010, 2), (1020, 1)], WINDOW, NOTHING_BEFORE, 3),
        ("a restart before the first sample inside", [(995, 7), (1010, 3)], WINDOW, NOTHING_BEFORE, 3),
        ("a counter born in the window counts from 0", [(1010, 3), (1020, 5)], WINDOW, NOTHING_BEFORE, 5),
        ("one not scraped for long continues from its last value", [(1010, 12), (1020, 15)], WINDOW, known(10), 5),
        ("one not scraped for long that restarted meanwhile", [(1010, 3)], WINDOW, known(10), 3),
        ("a server that lost its data does not count what was before", [(1010, 900), (1020, 905)], WINDOW, FORGOTTEN,
         5),
        ("a sample from before the weight is no base", [(985, 1), (1010, 50), (1020, 55)], FRESH, known(1), 5),
        ("a sample since the weight is one", [(991, 40), (1010, 50)], FRESH, known(1), 10),
        ("a counter born under the new weight counts from 0", [(1010, 3)], FRESH, NOTHING_BEFORE, 3),
    ],
)  # fmt: skip
def test_increase(
    sentence: str, found: list[tuple[float, float]], span: Span, history: History, expected: float
) -> None:
    assert increase(series(*found), span, history) == expected, sentence


STEPS = st.lists(st.integers(0, 20), min_size=2, max_size=60)


@settings(max_examples=60)
@given(STEPS, st.integers(1, 40), st.integers(0, 7), st.sets(st.integers(0, 59)), st.sets(st.integers(1, 59)))
def test_windows_in_a_row_count_every_event_once(
    steps: list[int], length: int, offset: int, unscraped: set[int], restarts: set[int]
) -> None:
    """Whatever is scraped when, the windows add up to what an unbroken look at the scraped samples shows."""
    counter, samples = 0, []
    for second, step in enumerate(steps):
        counter = step if second in restarts else counter + step
        if second == 0 or second not in unscraped:
            samples.append((1000.0 + 3 * second, float(counter)))
    total = sum(b - a if b >= a else b for (_, a), (_, b) in pairwise(samples))
    edges = range(1000 + offset, 1000 + 3 * len(steps) + length, length)
    counted = [increase(series(*samples), Span(a, a + length, 0.0), known(samples[0][1])) for a in edges]
    first = [s for s in samples if s[0] <= edges[0]]
    before = sum(b - a if b >= a else b for (_, a), (_, b) in pairwise(first))
    assert sum(counted) == total - before


@pytest.mark.parametrize(
    ("gaps", "seconds"),
    [([1.0] * 5, 10), ([15.0] * 5, 45), ([15.0, 15.0, 300.0], 45), ([60.0, 60.0], 180), ([200.0, 200.0], 300)],
)
def test_three_usual_gaps_are_waited_for_within_bounds(gaps: list[float], seconds: float) -> None:
    times = accumulate(gaps, initial=0.0)
    assert patience([series((0.0, 0.0), (1.0, 0.0)), series(*((t, 0.0) for t in times))]) == seconds


def test_without_two_samples_the_usual_gap_is_unknown() -> None:
    assert patience([]) == patience([series((1.0, 1.0))]) == 120
