"""Plain SQL that proves a value readable, so that most rows never reach a Python function.

The law, tested with arbitrary values: a proof that holds implies that `RowReader` reads the value. A proof that
does not hold says nothing; then the reader decides. Every argument is the SQL of a raw column.
"""

from __future__ import annotations

from decimal import Decimal
from math import ceil, floor

from retrainer.feedback.quality import CLOCK_SKEW_MICROSECONDS, EARLIEST_MICROSECONDS

_PLAIN_CHARACTERS = 256
"""Longer texts go to the reader; within the limit of every field."""


def plain_text(value: str, limit: int = _PLAIN_CHARACTERS) -> str:
    """A text of printable ASCII: no NUL (it would end GLOB, but then the lengths differ), no broken bytes."""
    return (
        f"(typeof({value}) = 'text' AND {value} NOT GLOB '*[^ -~]*' "
        f"AND length(CAST({value} AS BLOB)) = length({value}) AND length({value}) <= {limit})"
    )


def identifier(value: str) -> str:
    """A whole number, or a plain text that is not empty."""
    return f"(typeof({value}) = 'integer' OR ({plain_text(value)} AND {value} <> ''))"


def scalar(value: str) -> str:
    """Nothing, a whole number, or a plain text."""
    return f"(typeof({value}) IN ('null', 'integer') OR {plain_text(value)})"


def number(value: str) -> str:
    """Nothing, or a whole number."""
    return f"(typeof({value}) IN ('null', 'integer'))"


def whole_within(value: str, minimum: Decimal, maximum: Decimal) -> str:
    """Nothing, or a whole number on a scale, written as a number or as a text."""
    return f"({value} IS NULL OR COALESCE({whole(value)} BETWEEN {ceil(minimum)} AND {floor(maximum)}, 0))"


def whole(value: str) -> str:
    """The whole number that a value is, or that a text of at most 15 digits writes; NULL for everything else."""
    digits = (
        f"{value} NOT GLOB '*[^0-9]*' AND length({value}) BETWEEN 1 AND 15 "
        f"AND length(CAST({value} AS BLOB)) = length({value})"
    )
    return (
        f"CASE typeof({value}) WHEN 'integer' THEN {value} "
        f"WHEN 'text' THEN CASE WHEN {digits} THEN CAST({value} AS INTEGER) END END"
    )


def text(value: str) -> str:
    """As `scalar`, for free text."""
    return f"(typeof({value}) IN ('null', 'integer') OR {plain_text(value, 100_000)})"


def number_list(value: str, length: int) -> str:
    """Nothing, or a JSON list of that many plain numbers: no letters, so no exponent, word or nested name."""
    return (
        f"(typeof({value}) = 'null' OR (typeof({value}) = 'text' AND {value} NOT GLOB '*[^]0-9., [-]*' "
        f"AND length(CAST({value} AS BLOB)) = length({value}) AND length({value}) <= 100000 "
        f"AND substr({value}, 1, 1) = '[' AND instr(substr({value}, 2), '[') = 0 "
        # In a CASE, because the terms of an AND are evaluated in any order, and this one may raise.
        f"AND CASE WHEN json_valid({value}) THEN json_array_length({value}) = {length} ELSE 0 END))"
    )


def time_in_range(time: str, now: int) -> str:
    """The bounds of `read_time` on microseconds."""
    return f"COALESCE({time} BETWEEN {EARLIEST_MICROSECONDS} AND {now + CLOCK_SKEW_MICROSECONDS}, 0)"


_DATE_TIME = "[12][0-9][0-9][0-9]-[01][0-9]-[0-3][0-9][T ][0-2][0-9]:[0-5][0-9]:[0-5][0-9]"
_FRACTION = "[0-9]" * 6
_ENDINGS = ("", "Z", "+00:00")


def time(value: str, otherwise: str) -> str:
    """Microseconds of the usual forms (whole numbers; ISO text in UTC with 0 or 6 digits), else `otherwise`.

    SQLite reads February 30 as March 2 and knows an hour 24, so the date it understood must be the one written.
    """
    bounded = f"{value} > {-(10**17)} AND {value} < {10**17}"
    whole = (
        f"CASE WHEN abs({value}) < {10**11} THEN {value} * 1000000 WHEN abs({value}) < {10**14} "
        f"THEN {value} * 1000 ELSE {value} END"
    )
    start = f"substr({value}, 1, 19)"
    seconds = f"CAST(strftime('%s', {start}) AS INTEGER) * 1000000"
    # Only with a modifier are the parts made anew from the moment that was understood.
    understood = (
        f"strftime('%Y-%m-%d%H:%M:%S', {start}, '+0 seconds') = substr({value}, 1, 10) || substr({value}, 12, 8)"
    )
    plain = " OR ".join(f"{value} GLOB '{_DATE_TIME}{e}'" for e in _ENDINGS)
    exact = " OR ".join(f"{value} GLOB '{_DATE_TIME}.{_FRACTION}{e}'" for e in _ENDINGS)
    clean = f"typeof({value}) = 'text' AND length(CAST({value} AS BLOB)) = length({value}) AND {understood}"
    return (
        f"CASE WHEN typeof({value}) = 'integer' AND {bounded} THEN {whole} "
        f"WHEN {clean} AND ({exact}) THEN {seconds} + CAST(substr({value}, 21, 6) AS INTEGER) "
        f"WHEN {clean} AND ({plain}) THEN {seconds} "
        f"ELSE {otherwise} END"
    )
