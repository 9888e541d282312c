"""What makes a single value unreadable: quarantine reasons, limits, and the reading of texts and times.

These are the rules of reading, applied to every record of every source. They are not the rules of training
(filters, caps, redaction), which would bias what triggers and experiments see.
"""

from __future__ import annotations

import json
import math
import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any


class Quarantine(StrEnum):
    """Why a record is set aside, counted and never used."""

    MISSING_ID = "MissingId"
    """No id: the record cannot be named."""
    MISSING_TIME = "MissingTime"
    """No time."""
    TIME_OUT_OF_RANGE = "TimeOutOfRange"
    """A time before 1990, or a number that is no time."""
    FUTURE_TIME = "FutureTime"
    """A time more than five minutes ahead."""
    SIGNAL_OUT_OF_RANGE = "SignalOutOfRange"
    """A vote that the signal does not list, or a rating outside its scale."""
    WRONG_TYPE = "WrongType"
    """A value of another kind than the field needs."""
    NUL_TEXT = "NulText"
    """A text with a NUL character."""
    BROKEN_TEXT = "BrokenText"
    """Bytes that are not UTF-8."""
    TOO_LONG = "TooLong"
    """A text beyond its limit."""
    WRONG_FEATURE_COUNT = "WrongFeatureCount"
    """More or fewer features than the other records have."""
    NOT_FINITE = "NotFinite"
    """NaN or infinity."""


class Unreadable(Exception):
    """A value cannot be read, for this reason."""

    def __init__(self, reason: Quarantine) -> None:
        super().__init__(reason.value)
        self.reason = reason


class Blob:
    """Stands for a value of bytes that are no text (an SQLite BLOB); there is one instance, `BLOB`."""


BLOB = Blob()

ID_CHARACTERS = 256
KEY_CHARACTERS = 1024
"""Unit, session, model, variant, segment, votes and labels."""
TEXT_CHARACTERS = 1_000_000
"""Input, output and JSON documents."""

EARLIEST_MICROSECONDS = 631_152_000_000_000
"""1990-01-01: nobody rated a model before; mostly epoch 0 and placeholder dates."""
CLOCK_SKEW_MICROSECONDS = 300_000_000
"""A record may be this far ahead of our clock."""
LARGEST_FLOAT = 1.7976931348623157e308
LARGEST_QUALITY = 10**15
"""Beyond this a quality or rating is no measurement; squares of what is left can be added up without overflow."""
SMALLEST_QUALITY = "1e-100"
"""What is nearer to 0 counts as 0: its square would vanish, which PostgreSQL treats as an error."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TIME = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})"
    r"(?:[T ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:[.,]([0-9]{1,9}))?)?"
    r" ?(Z|z|[+-][0-9]{2}(?::?[0-9]{2})?)?)?"
)
_DIGITS = re.compile(r"[0-9]{9,16}")
NUMBER = re.compile(r"[-+]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][-+]?[0-9]{1,4})?")


def clean_text(text: str | bytes, limit: int) -> str | None:
    """The text, or None where it is empty. Raises Unreadable: BrokenText, NulText, TooLong."""
    if isinstance(text, bytes):
        try:
            text = text.decode("utf-8")
        except UnicodeDecodeError:
            raise Unreadable(Quarantine.BROKEN_TEXT) from None
    elif not text.isascii() and any("\ud800" <= c <= "\udfff" for c in text):
        raise Unreadable(Quarantine.BROKEN_TEXT)
    if "\0" in text:
        raise Unreadable(Quarantine.NUL_TEXT)
    if len(text) > limit:
        raise Unreadable(Quarantine.TOO_LONG)
    return text or None


def scalar_text(value: Any, limit: int) -> str | None:
    """One value as text: whole numbers without a fraction, booleans as true and false.

    Raises Unreadable: WrongType for objects, lists and bytes; NotFinite; those of `clean_text`.
    """
    if value is None:
        return None
    if isinstance(value, str | bytes):
        return clean_text(value, limit)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float | Decimal):
        return clean_text(number_text(value), limit)
    if isinstance(value, dict | list | tuple | Blob | memoryview | bytearray):
        raise Unreadable(Quarantine.WRONG_TYPE)
    return clean_text(str(value), limit)


def number_text(value: int | float | Decimal) -> str:
    """A number as text: 1.0 is "1". Raises Unreadable: NotFinite; TooLong for thousands of digits."""
    if isinstance(value, int):
        if value.bit_length() > 4 * KEY_CHARACTERS:
            raise Unreadable(Quarantine.TOO_LONG)
        return str(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise Unreadable(Quarantine.NOT_FINITE)
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    if not value.is_finite():
        raise Unreadable(Quarantine.NOT_FINITE)
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def read_rating(value: Any) -> Decimal | None:
    """A rating: a number, or its text. Raises Unreadable WrongType, and as `scalar_text`."""
    text = scalar_text(value, KEY_CHARACTERS)
    if text is None:
        return None
    if not NUMBER.fullmatch(text):
        raise Unreadable(Quarantine.WRONG_TYPE)
    return Decimal(text)


def read_quality(value: Any) -> float | None:
    """A quality: a finite number, or its text; anything else is missing, for the rest of the record is sound."""
    try:
        number = read_rating(value)
    except Unreadable:
        return None
    return None if number is None else bounded(number)


def bounded(number: Decimal) -> float | None:
    """The number as it enters sums: None beyond LARGEST_QUALITY, 0 where it is next to 0."""
    size = number.copy_abs()  # abs() would round
    if size > LARGEST_QUALITY:
        return None
    return 0.0 if size < Decimal(SMALLEST_QUALITY) else float(number)


def free_text(value: Any) -> str | None:
    """Input or output: text, number, or a JSON document as its text. Raises Unreadable as `scalar_text`."""
    if isinstance(value, dict | list):
        return clean_text(json.dumps(value, sort_keys=True, ensure_ascii=False), TEXT_CHARACTERS)
    return scalar_text(value, TEXT_CHARACTERS)


def read_time(value: Any, now: int) -> int:
    """Microseconds since 1970, UTC, of a time stamp, ISO text, or number of seconds, milliseconds or microseconds.

    Times without a zone are UTC. `now` is in the same unit.
    Raises Unreadable: MissingTime, WrongType, NotFinite, TimeOutOfRange, FutureTime.
    """
    micros = _microseconds(value)
    if micros < EARLIEST_MICROSECONDS:
        raise Unreadable(Quarantine.TIME_OUT_OF_RANGE)
    if micros > now + CLOCK_SKEW_MICROSECONDS:
        raise Unreadable(Quarantine.FUTURE_TIME)
    return micros


def microseconds(moment: datetime) -> int:
    """Microseconds since 1970; a time without zone is UTC."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (aware - _EPOCH) // timedelta(microseconds=1)


def _microseconds(value: Any) -> int:
    if value is None:
        raise Unreadable(Quarantine.MISSING_TIME)
    if isinstance(value, datetime):
        return microseconds(value)
    if isinstance(value, date):
        return microseconds(datetime(value.year, value.month, value.day, tzinfo=UTC))
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        return _from_number(value)
    if isinstance(value, str | bytes):
        text = clean_text(value, KEY_CHARACTERS)
        if text is None:
            raise Unreadable(Quarantine.MISSING_TIME)
        return _from_text(text)
    raise Unreadable(Quarantine.WRONG_TYPE)


def _from_number(value: int | float | Decimal) -> int:
    """Seconds up to the year 5138, milliseconds up to 1e14, then microseconds: no real time is ambiguous."""
    if isinstance(value, Decimal) and not value.is_finite():
        raise Unreadable(Quarantine.NOT_FINITE)
    if isinstance(value, float) and not math.isfinite(value):
        raise Unreadable(Quarantine.NOT_FINITE)
    exact = Decimal(value)
    size = abs(exact)
    if size >= 10**17:
        raise Unreadable(Quarantine.TIME_OUT_OF_RANGE)
    factor = 1_000_000 if size < 10**11 else 1_000 if size < 10**14 else 1
    return round(exact * factor)


def _from_text(text: str) -> int:
    if _DIGITS.fullmatch(text):
        return _from_number(int(text))
    match = _TIME.fullmatch(text)
    if match is None:
        raise Unreadable(Quarantine.WRONG_TYPE)
    year, month, day, hour, minute, second = (int(part or 0) for part in match.groups()[:6])
    try:
        moment = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        raise Unreadable(Quarantine.WRONG_TYPE) from None
    fraction = int((match[7] or "").ljust(6, "0")[:6])
    return microseconds(moment) + fraction - _offset_minutes(match[8]) * 60_000_000


def _offset_minutes(zone: str | None) -> int:
    if not zone or zone in "Zz":
        return 0
    digits = zone[1:].replace(":", "").ljust(4, "0")
    minutes = int(digits[:2]) * 60 + int(digits[2:])
    return -minutes if zone[0] == "-" else minutes


def read_document(value: Any) -> Any:
    """A JSON column: parsed where it is text. Raises Unreadable: WrongType where it is no JSON, as `clean_text`."""
    if isinstance(value, str | bytes):
        text = clean_text(value, TEXT_CHARACTERS)
        return None if text is None else strict_json(text)
    if isinstance(value, Blob):
        raise Unreadable(Quarantine.WRONG_TYPE)
    return value


def strict_json(text: str) -> Any:
    """JSON as the standard has it: NaN and Infinity are no JSON. Raises Unreadable WrongType."""
    try:
        return _STRICT.decode(text)
    except (ValueError, RecursionError):
        raise Unreadable(Quarantine.WRONG_TYPE) from None


def _refuse_constant(name: str) -> Any:
    raise ValueError(name)


_STRICT = json.JSONDecoder(parse_constant=_refuse_constant)


def check_feature(value: Any) -> None:
    """A numeric feature: a finite number or missing. Raises Unreadable WrongType, NotFinite."""
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise Unreadable(Quarantine.WRONG_TYPE)
    # NaN lies in no interval as a float, and cannot be compared at all as a Decimal.
    if (isinstance(value, Decimal) and value.is_nan()) or not -LARGEST_FLOAT <= value <= LARGEST_FLOAT:
        raise Unreadable(Quarantine.NOT_FINITE)
