"""Totals add up, and cursors are short, opaque and forgiving."""

from hypothesis import given
from hypothesis import strategies as st

from retrainer.feedback.summaries import CURSOR_LIMIT, Counts, Position, Totals

NUMBERS = st.integers(0, 1000)
COUNTS = st.builds(Counts, NUMBERS, NUMBERS, NUMBERS, NUMBERS)
TOTALS = st.builds(
    Totals,
    records=NUMBERS,
    units=NUMBERS,
    votes=NUMBERS,
    first=st.none() | NUMBERS,
    last=st.none() | NUMBERS,
    signals=st.dictionaries(st.sampled_from("ab"), COUNTS),
    days=st.dictionaries(st.integers(1, 5), COUNTS.filter(lambda c: c != Counts())),
    segments=st.dictionaries(st.sampled_from("xyz"), COUNTS.filter(lambda c: c != Counts())),
    quarantine=st.dictionaries(st.sampled_from(["A|x", "B|y"]), st.integers(1, 9)),
    examples=st.dictionaries(st.sampled_from(["A|x", "B|y"]), st.text(max_size=3)),
    next_readable=st.none() | NUMBERS,
)


def counts_of(totals):
    signals = {k: v for k, v in totals.signals.items() if v != Counts()}
    return (totals.records, totals.units, totals.votes, signals, totals.days, totals.segments, totals.quarantine)


@given(TOTALS, TOTALS)
def test_adding_is_commutative(a, b):
    assert a.plus(b) == b.plus(a)


@given(TOTALS, TOTALS, TOTALS)
def test_adding_is_associative(a, b, c):
    assert a.plus(b).plus(c) == a.plus(b.plus(c))


@given(TOTALS, TOTALS)
def test_what_is_added_can_be_taken_away(a, b):
    assert counts_of(a.plus(b).minus(b)) == counts_of(a)


@given(TOTALS, TOTALS)
def test_first_and_last_span_both(a, b):
    times = [t for t in (a.first, b.first) if t is not None]
    assert a.plus(b).first == (min(times) if times else None)
    assert a.minus(b).first == a.first


def test_the_rate_leaves_out_the_neutral():
    assert Counts(10, 3, 6, 1).rate == 0.75
    assert Counts(6, 0, 6, 0).rate is None


def test_rows_of_the_push_down_become_totals():
    rows = [
        ("all", "records", None, 3, 0, 0, 0, 5, 9, None),
        ("all", "units", None, 2, 0, 0, 0, None, None, None),
        ("all", "votes", None, 4, 0, 0, 0, None, None, None),
        ("all", "votes", None, 1, 0, 0, 0, None, None, None),
        ("all", "signal", "t", 3, 2, 0, 1, None, None, None),
        ("all", "day", "20000", 3, 2, 0, 1, None, None, None),
        ("all", "segment", "s", 3, 2, 0, 1, None, None, None),
        ("all", "quarantine", "FutureTime|time", 1, 0, 0, 0, 77, None, "id-1"),
        ("base", "records", None, 99, 0, 0, 0, 1, 1, None),
    ]
    totals = Totals.from_rows(rows)
    assert (totals.records, totals.units, totals.votes, totals.first, totals.last) == (3, 2, 5, 5, 9)
    assert totals.days == {20000: Counts(3, 2, 0, 1)}
    assert (totals.quarantine, totals.examples) == ({"FutureTime|time": 1}, {"FutureTime|time": "id-1"})
    assert totals.next_readable == 77
    assert totals.superseded == 2
    assert Totals.from_rows(rows, "base").records == 99


POSITIONS = st.builds(
    Position,
    fingerprint=st.text("0123456789abcdef.", min_size=1, max_size=40),
    full_at=st.integers(0, 2**40),
    mark=st.none() | st.text(max_size=2000),
    check=st.none() | st.text("0123456789:", max_size=60),
    stamp=st.none() | st.text("0123456789./-", max_size=120),
    expires=st.none() | st.integers(0, 2**40),
    features=st.none() | st.integers(0, 10**6),
)


@given(POSITIONS)
def test_a_cursor_is_short_and_comes_back_but_for_a_mark_that_is_too_long(position):
    cursor = position.encode()
    assert len(cursor) <= CURSOR_LIMIT
    back = Position.decode(cursor)
    assert back is not None
    if back != position:
        assert back.mark is None and len(position.mark) > 100


@given(st.text(max_size=50))
def test_a_foreign_cursor_is_none(text):
    found = Position.decode(text)
    assert found is None or isinstance(found, Position)
