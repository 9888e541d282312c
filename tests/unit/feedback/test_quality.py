"""Reading single values: texts, numbers, times, JSON."""

import contextlib
import math
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrainer.feedback.quality import (
    BLOB,
    Unreadable,
    check_feature,
    clean_text,
    free_text,
    microseconds,
    read_document,
    read_time,
    scalar_text,
)

NOW = microseconds(datetime(2026, 11, 21, tzinfo=UTC))
MOMENT = 1_767_225_600_000_000


def reason(function, *arguments):
    with pytest.raises(Unreadable) as caught:
        function(*arguments)
    return caught.value.reason.value


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, None), ("", None), (b"", None), ("a", "a"), (b"\xc3\xa4", "ä"), (1, "1"), (1.0, "1"), (4.5, "4.5"),
     (-0.0, "0"), (True, "true"), (False, "false"), (Decimal("1.00"), "1"), (Decimal("1.50"), "1.5"),
     (Decimal("1E+3"), "1000"), (1e300, "1e+300"), (10**30, str(10**30)), (Decimal(0), "0"), (Decimal("100"), "100")],
)  # fmt: skip
def test_scalars_have_one_text(value, text):
    assert scalar_text(value, 100) == text


@pytest.mark.parametrize(
    ("value", "expected"),
    [("a\0", "NulText"), (b"\xff", "BrokenText"), ("\ud800", "BrokenText"), ("x" * 101, "TooLong"),
     (math.nan, "NotFinite"), (math.inf, "NotFinite"), (Decimal("NaN"), "NotFinite"), ({}, "WrongType"),
     ([], "WrongType"), (BLOB, "WrongType"), (memoryview(b"x"), "WrongType"), (10**100, "TooLong"),
     (Decimal("1E+10000"), "TooLong")],
)  # fmt: skip
def test_scalars_that_cannot_be_read(value, expected):
    assert reason(scalar_text, value, 100) == expected


def test_free_text_takes_json_documents():
    assert free_text({"b": [1], "a": "ä"}) == '{"a": "ä", "b": [1]}'
    assert free_text("x") == "x"


@pytest.mark.parametrize(
    "value",
    [1_767_225_600, 1_767_225_600.0, 1_767_225_600_000, 1_767_225_600_000_000, "1767225600", "2026-01-01",
     "2026-01-01T00:00", "2026-01-01 00:00:00", "2026-01-01T00:00:00Z", "2026-01-01T00:00:00z",
     "2026-01-01T01:00:00+01:00", "2026-01-01T01:00:00+0100", "2026-01-01T01:00:00+01", "2025-12-31T19:00:00-05",
     "2026-01-01T00:00:00.000000000Z", "2026-01-01 00:00:00,000 Z", b"2026-01-01", date(2026, 1, 1),
     datetime(2026, 1, 1), datetime(2026, 1, 1, tzinfo=UTC), Decimal(1_767_225_600)],
)  # fmt: skip
def test_one_moment_in_many_forms(value):
    assert read_time(value, NOW) == MOMENT


@pytest.mark.parametrize(
    ("value", "expected"),
    [(None, "MissingTime"), ("", "MissingTime"), (True, "WrongType"), ("soon", "WrongType"), ({}, "WrongType"),
     ("2026-1-1", "WrongType"), ("2026-01-01T1:00", "WrongType"), ("2026-01-01T00:00:00ZZ", "WrongType"),
     ("2026-01-01Z", "WrongType"), ("２０２６-01-01", "WrongType"), ("12345678", "WrongType"),
     (math.nan, "NotFinite"), (-math.inf, "NotFinite"), (10**17, "TimeOutOfRange"), (0, "TimeOutOfRange"),
     (-(10**30), "TimeOutOfRange"), (10**400, "TimeOutOfRange"),
     (Decimal("1E+400"), "TimeOutOfRange"), (date(1900, 1, 1), "TimeOutOfRange"), ("9999-12-31", "FutureTime"),
     ("x" * 2000, "TooLong"), ("2026\0", "NulText")],
)  # fmt: skip
def test_times_that_cannot_be_read(value, expected):
    assert reason(read_time, value, NOW) == expected


def test_the_clock_may_be_five_minutes_behind():
    assert read_time("2026-11-21T00:05:00Z", NOW)
    assert reason(read_time, "2026-11-21T00:05:00.000001Z", NOW) == "FutureTime"


ZONES = st.integers(-14 * 60, 14 * 60).map(lambda m: timezone(timedelta(minutes=m)))


@given(st.datetimes(datetime(1991, 1, 1), datetime(2026, 11, 1), timezones=ZONES))
def test_what_python_writes_is_read_back_exactly(moment):
    assert read_time(moment.isoformat(), NOW) == microseconds(moment)
    assert read_time(moment.isoformat(" "), NOW) == microseconds(moment)


@given(st.text(max_size=40))
def test_no_text_makes_the_reader_fail(text):
    for function in (lambda: read_time(text, NOW), lambda: read_document(text), lambda: clean_text(text, 30)):
        with contextlib.suppress(Unreadable):
            function()


@given(st.binary(max_size=40))
def test_no_bytes_make_the_reader_fail(raw):
    for function in (lambda: read_time(raw, NOW), lambda: read_document(raw), lambda: scalar_text(raw, 30)):
        with contextlib.suppress(Unreadable):
            function()


@pytest.mark.parametrize("text", ["NaN", "[NaN]", '{"a": Infinity}', "-Infinity", "{", "'a'", "[" * 100_000])
def test_what_the_standard_does_not_know_is_no_json(text):
    assert reason(read_document, text) == "WrongType"


def test_documents():
    assert read_document('{"a": [1, null]}') == {"a": [1, None]}
    assert read_document({"a": 1}) == {"a": 1}
    assert read_document("") is None
    assert reason(read_document, BLOB) == "WrongType"


@pytest.mark.parametrize("value", [None, 0, -1.5, 10**300, Decimal("2.5")])
def test_features_that_can_be_read(value):
    check_feature(value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [("1", "WrongType"), (True, "WrongType"), ([], "WrongType"), (math.nan, "NotFinite"), (math.inf, "NotFinite"),
     (10**400, "NotFinite"), (Decimal("NaN"), "NotFinite")],
)  # fmt: skip
def test_features_that_cannot(value, expected):
    assert reason(check_feature, value) == expected


def test_thousands_of_digits_are_too_long_and_not_an_error_of_the_interpreter():
    assert reason(scalar_text, 10**10_000, 100) == "TooLong"
