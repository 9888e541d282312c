"""The law of the fast path: what plain SQL proves readable, the reader reads; and both tell the same time."""

import math
import sqlite3

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrainer.feedback.connectors import sqlite_proofs as proofs
from retrainer.feedback.quality import (
    EARLIEST_MICROSECONDS,
    Unreadable,
    clean_text,
    read_document,
    read_rating,
    read_time,
    scalar_text,
)

CONNECTION = sqlite3.connect(":memory:", check_same_thread=False)
FUTURE = 2**62

USUAL = (
    r"[12][0-9]{3}-[0-3][0-9]-[0-4][0-9][T ][0-3][0-9]:[0-9]{2}:[0-9]{2}(\.[0-9]{0,7})?"
    r"(Z|\+00:00|\+0100)?"
)
TEXTS = st.one_of(
    st.text(max_size=30),
    st.text("0123456789-:T Z+.", min_size=8, max_size=30),
    st.from_regex(USUAL, fullmatch=True),
    st.text("[]0123456789,. -e", max_size=20),
    st.datetimes().map(lambda d: d.isoformat()),
)  # fmt: skip
VALUES = st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1), st.floats(), TEXTS, st.binary(max_size=12))


def ask(sql, value):
    """`value` is the column x; bytes are stored as text, broken or not."""
    if isinstance(value, bytes):
        return CONNECTION.execute(f"SELECT {sql} FROM (SELECT CAST(? AS TEXT) AS x)", (value,)).fetchone()[0]
    return CONNECTION.execute(f"SELECT {sql} FROM (SELECT ? AS x)", (value,)).fetchone()[0]


def storable(value):
    # SQLite keeps NaN as NULL: no reader ever meets it.
    if isinstance(value, float) and math.isnan(value):
        return False
    return not (isinstance(value, str) and any("\ud800" <= c <= "\udfff" for c in value))


@settings(max_examples=150)
@given(VALUES.filter(storable))
def test_a_proved_scalar_is_read(value):
    if ask(proofs.scalar("x"), value):
        scalar_text(value, 1024)
    if ask(proofs.identifier("x"), value):
        assert scalar_text(value, 256) is not None
    if ask(proofs.text("x"), value):
        scalar_text(value, 1_000_000)


SCALES = st.tuples(st.decimals(-5, 5, places=1), st.decimals(-5, 5, places=1))


@settings(max_examples=80)
@given(st.one_of(st.none(), st.integers(-7, 7), VALUES.filter(storable)), SCALES)
def test_a_proved_rating_is_on_its_scale(value, scale):
    if ask(proofs.whole_within("x", *scale), value):
        number = read_rating(value)
        assert number is None or scale[0] <= number <= scale[1]


@settings(max_examples=150)
@given(VALUES.filter(storable))
def test_a_proved_list_of_numbers_is_read(value):
    if ask(proofs.number_list("x", 3), value) and value is not None:
        found = read_document(value)
        assert isinstance(found, list) and len(found) == 3
        assert all(isinstance(n, int | float) and not isinstance(n, bool) for n in found)


@settings(max_examples=300)
@given(VALUES.filter(storable))
def test_sql_and_python_tell_the_same_time_or_sql_leaves_it_to_python(value):
    found = ask(proofs.time("x", "'otherwise'"), value)
    if found == "otherwise":
        return
    if found >= EARLIEST_MICROSECONDS:
        assert found == read_time(value, FUTURE)
    else:
        with pytest.raises(Unreadable, match="TimeOutOfRange"):
            read_time(value, FUTURE)


@pytest.mark.parametrize("text", ["2026-01-01T00:00:00", "2026-01-01 23:59:59Z", "2024-02-29T10:00:00.123456+00:00"])
def test_the_usual_forms_take_the_fast_path(text):
    assert ask(proofs.time("x", "'otherwise'"), text) == read_time(text, FUTURE)


@pytest.mark.parametrize(
    "text", ["2026-02-30T00:00:00", "2026-01-01T24:00:00", "2026-01-01T00:00:00Z\0", "2026-01-01T00:00:00+01:00"]
)
def test_doubtful_forms_do_not(text):
    assert ask(proofs.time("x", "'otherwise'"), text) == "otherwise"


@pytest.mark.parametrize(
    ("value", "proved"),
    [("[1,2,3]", 1), ("[1.5, -2, 0]", 1), (None, 1), ("[1,2]", 0), ("[1,2,[3]]", 0), ("[1e5,2,3]", 0), ("{}", 0),
     ("[1,2,3]\0", 0), ("[1,2,null]", 0), ("5", 0), ("[1,,3]", 0)],
)  # fmt: skip
def test_lists_of_plain_numbers_are_proved(value, proved):
    assert ask(proofs.number_list("x", 3), value) == proved


def test_the_time_bounds_are_those_of_the_reader():
    now = 1_790_000_000_000_000
    for micros in (631_152_000_000_000, now + 300_000_000):
        assert ask(proofs.time_in_range("x", now), micros) == 1
    for micros in (631_151_999_999_999, now + 300_000_001, None):
        assert ask(proofs.time_in_range("x", now), micros) == 0


def test_clean_text_and_plain_text_agree_on_the_empty_text():
    assert ask(proofs.plain_text("x"), "") == 1
    assert clean_text("", 10) is None
