"""PostgreSQL expressions that read one column: canonical text, time and document, and why it cannot be read.

Nothing here may raise for any content, because one bad row would end the whole statement: casts happen only
behind a test in the same CASE. The rules are those of `retrainer.feedback.quality`; PostgreSQL knows the types of
its columns, so much of what has to be tested elsewhere cannot occur. Needs PostgreSQL 13 or newer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from retrainer.feedback.quality import (
    KEY_CHARACTERS,
    LARGEST_FLOAT,
    LARGEST_QUALITY,
    SMALLEST_QUALITY,
    TEXT_CHARACTERS,
    Quarantine,
)

Kind = Literal[
    "text", "whole", "number", "boolean", "timestamptz", "timestamp", "date", "json", "jsonb", "bytes", "list"
]

_KINDS: dict[str, Kind] = {
    "int2": "whole", "int4": "whole", "int8": "whole", "numeric": "number", "float4": "number", "float8": "number",
    "bool": "boolean", "timestamptz": "timestamptz", "timestamp": "timestamp", "date": "date",
    "json": "json", "jsonb": "jsonb", "bytea": "bytes",
}  # fmt: skip


def kind_of(type_name: str) -> Kind:
    """Kind of a column by the name of its type in pg_type; everything else is read as text."""
    return "list" if type_name.startswith("_") else _KINDS.get(type_name, "text")


@dataclass(frozen=True)
class Value:
    """SQL of one value: `sql` has the type `kind`, `bad` is the reason it cannot be read (or NULL), if it has any."""

    sql: str
    kind: Kind
    bad: str | None = None


def code(reason: Quarantine) -> str:
    return f"'{reason.value}'"


_WRONG, _INFINITE, _LONG = code(Quarantine.WRONG_TYPE), code(Quarantine.NOT_FINITE), code(Quarantine.TOO_LONG)

_SURROGATE_PAIR = r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_BAD_ESCAPE = r"(^|[^\\])(\\\\)*\\u(0000|[dD][89a-fA-F])"
_STRINGS = r'"([^"\\]|\\.)*"'


def guarded_json(column: str) -> Value:
    """A json column as jsonb: json keeps texts that jsonb refuses (NUL, half a surrogate pair, enormous numbers)."""
    text = f"{column}::text"
    without_pairs = f"regexp_replace({text}, '{_SURROGATE_PAIR}', '', 'g')"
    without_strings = f"regexp_replace({text}, '{_STRINGS}', '\"\"', 'g')"
    bad = (
        f"CASE WHEN length({text}) > {TEXT_CHARACTERS} THEN {_LONG} "
        f"WHEN {without_pairs} ~ '{_BAD_ESCAPE}' THEN {code(Quarantine.NUL_TEXT)} "
        f"WHEN {without_strings} ~ '[eE][+]?[0-9]{{4}}' THEN {_INFINITE} END"
    )
    return Value(f"CASE WHEN ({bad}) IS NULL THEN {column}::jsonb END", "jsonb", bad)


def inside(value: Value, keys: tuple[str, ...], literal_list: str) -> Value:
    """What lies under the keys of a jsonb value; `literal_list` is the text[] of the keys."""
    return Value(f"({value.sql} #> {literal_list})", "jsonb", value.bad) if keys else value


def text(value: Value, limit: int, *, documents: bool = False) -> tuple[str, str]:
    """(canonical text or NULL, reason or NULL) of a scalar; with `documents` JSON documents are their text."""
    shown, bad = _text(value, documents)
    trimmed = f"NULLIF({shown}, '')"
    checks = [value.bad] if value.bad else []
    checks += [bad] if bad else []
    checks.append(f"CASE WHEN char_length({shown}) > {limit} THEN {_LONG} END")
    return trimmed, f"COALESCE({', '.join(checks)})"


NUMBER = r"^[-+]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][-+]?[0-9]{1,4})?$"


def number(value: Value) -> str:
    """The numeric that a scalar is or writes, exactly; NULL for everything else, as `quality.read_rating`."""
    shown, bad = text(value, KEY_CHARACTERS)
    return f"CASE WHEN ({bad}) IS NULL AND {shown} ~ '{NUMBER}' THEN ({shown})::numeric END"


def bounded(number: str) -> str:
    """A numeric as a float whose square neither overflows nor vanishes, as `quality.bounded`."""
    return (
        f"CASE WHEN abs({number}) < {SMALLEST_QUALITY}::numeric THEN 0::float8 "
        f"WHEN abs({number}) <= {LARGEST_QUALITY} THEN {number}::float8 END"
    )


def _text(value: Value, documents: bool) -> tuple[str, str | None]:
    sql = value.sql
    if value.kind == "number":
        infinite = f"{sql}::text IN ('NaN', 'Infinity', '-Infinity')"
        shown = f"CASE WHEN NOT {infinite} THEN trim_scale({sql}::numeric)::text END"
        return shown, f"CASE WHEN {infinite} THEN {_INFINITE} END"
    if value.kind == "jsonb":
        return _json_text(sql, documents)
    if value.kind in ("bytes", "list"):
        return "NULL::text", f"CASE WHEN {sql} IS NOT NULL THEN {_WRONG} END"
    return f"{sql}::text", None


def _json_text(sql: str, documents: bool) -> tuple[str, str]:
    plain = f"({sql} #>> '{{}}')"
    large = f"abs({plain}::numeric) > {LARGEST_FLOAT!r}::numeric"
    nested = f"WHEN 'object' THEN {sql}::text WHEN 'array' THEN {sql}::text " if documents else ""
    refused = "" if documents else f"WHEN 'object' THEN {_WRONG} WHEN 'array' THEN {_WRONG} "
    shown = (
        f"CASE jsonb_typeof({sql}) WHEN 'string' THEN {plain} WHEN 'boolean' THEN {plain} {nested}"
        f"WHEN 'number' THEN CASE WHEN NOT {large} THEN trim_scale({plain}::numeric)::text END END"
    )
    bad = f"CASE jsonb_typeof({sql}) {refused}WHEN 'number' THEN CASE WHEN {large} THEN {_INFINITE} END END"
    return shown, bad


def time(value: Value) -> tuple[str, str | None]:
    """(microseconds or NULL, reason or NULL); what is missing has neither. Bounds are tested by the caller."""
    sql = value.sql
    if value.kind in ("timestamptz", "timestamp", "date"):
        return _from_timestamp(sql)
    if value.kind in ("whole", "number"):
        return _from_number(f"{sql}::numeric", f"{sql}::text")
    if value.kind == "text":
        return _from_text(f"{sql}::text")
    if value.kind == "jsonb":
        return _from_json(value)
    return "NULL::bigint", f"CASE WHEN {sql} IS NOT NULL THEN {_WRONG} END"


def _from_timestamp(sql: str) -> tuple[str, str]:
    """Infinity and years beyond four digits have no microseconds that fit."""
    early, late = f"{sql} < '1970-01-01'", f"{sql} > '9999-12-31'"
    micros = (
        f"CASE WHEN NOT {early} AND NOT {late} THEN round(extract(epoch FROM {sql})::numeric * 1000000)::bigint END"
    )
    bad = (
        f"CASE WHEN {early} THEN {code(Quarantine.TIME_OUT_OF_RANGE)} "
        f"WHEN {late} THEN {code(Quarantine.FUTURE_TIME)} END"
    )
    return micros, bad


def _from_number(number: str, shown: str) -> tuple[str, str]:
    infinite = f"{shown} IN ('NaN', 'Infinity', '-Infinity')"
    absurd = f"abs({number}) >= 1e17::numeric"
    scale = (
        f"CASE WHEN abs({number}) < 1e11::numeric THEN 1000000 WHEN abs({number}) < 1e14::numeric THEN 1000 ELSE 1 END"
    )
    micros = f"CASE WHEN {infinite} THEN NULL WHEN {absurd} THEN NULL ELSE round({number} * {scale})::bigint END"
    bad = f"CASE WHEN {infinite} THEN {_INFINITE} WHEN {absurd} THEN {code(Quarantine.TIME_OUT_OF_RANGE)} END"
    return micros, bad


def _from_json(value: Value) -> tuple[str, str]:
    sql = value.sql
    plain = f"({sql} #>> '{{}}')"
    number, number_bad = _from_number(f"{plain}::numeric", "''")
    written, written_bad = _from_text(plain)
    other = f"CASE WHEN jsonb_typeof({sql}) <> 'null' THEN {_WRONG} END"
    micros = f"CASE jsonb_typeof({sql}) WHEN 'number' THEN {number} WHEN 'string' THEN {written} END"
    bad = f"CASE jsonb_typeof({sql}) WHEN 'number' THEN {number_bad} WHEN 'string' THEN {written_bad} ELSE {other} END"
    return micros, f"COALESCE({value.bad}, {bad})" if value.bad else bad


_TIME = (
    "^([0-9]{4})-([0-9]{2})-([0-9]{2})"
    "(?:[T ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:[.,]([0-9]{1,9}))?)?"
    " ?(Z|z|[+-][0-9]{2}(?::?[0-9]{2})?)?)?$"
)


def _from_text(sql: str) -> tuple[str, str]:
    """ISO text, or the digits of a number; the very form of `quality.read_time`, computed without any cast that
    could fail."""
    digits = f"{sql} ~ '^[0-9]{{9,16}}$'"
    number, _ = _from_number(f"{sql}::numeric", "''")
    micros = (
        f"CASE WHEN {digits} THEN {number} ELSE "
        f"(SELECT {_micros_of_match()} FROM (SELECT regexp_match({sql}, '{_TIME}') AS m OFFSET 0) f) END"
    )
    bad = f"CASE WHEN {sql} <> '' AND ({micros}) IS NULL THEN {_WRONG} END"
    return micros, bad


def _micros_of_match() -> str:
    """From the groups of `_TIME`; NULL for days, hours, minutes and seconds that do not exist."""
    part = {n: f"COALESCE(m[{i}], '0')::int" for i, n in enumerate(("y", "mo", "d", "h", "mi", "s"), start=1)}
    month_days = (
        f"(CASE WHEN {part['mo']} IN (4, 6, 9, 11) THEN 30 WHEN {part['mo']} <> 2 THEN 31 "
        f"WHEN {part['y']} % 4 = 0 AND ({part['y']} % 100 <> 0 OR {part['y']} % 400 = 0) THEN 29 ELSE 28 END)"
    )
    exists = (
        f"{part['y']} >= 1 AND {part['mo']} BETWEEN 1 AND 12 AND {part['d']} BETWEEN 1 AND {month_days} "
        f"AND {part['h']} < 24 AND {part['mi']} < 60 AND {part['s']} < 60"
    )
    days = f"(make_date({part['y']}, {part['mo']}, {part['d']}) - DATE '1970-01-01')::bigint"
    clock = f"(({part['h']} * 60 + {part['mi']}) * 60 + {part['s']})"
    fraction = "rpad(left(COALESCE(m[7], ''), 6), 6, '0')::bigint"
    zone = "rpad(replace(substr(m[8], 2), ':', ''), 4, '0')"
    minutes = f"(left({zone}, 2)::int * 60 + right({zone}, 2)::int)"
    offset = (
        "CASE WHEN m[8] IS NULL OR m[8] IN ('Z', 'z') THEN 0 "
        f"WHEN left(m[8], 1) = '-' THEN -{minutes} ELSE {minutes} END"
    )
    return f"CASE WHEN {exists} THEN ({days} * 86400 + {clock} - ({offset}) * 60) * 1000000 + {fraction} END"


def number_problem(value: Value) -> str:
    """Reason why a numeric feature cannot be read, as `check_feature`."""
    sql = value.sql
    if value.kind == "whole":
        return "NULL::text"
    if value.kind == "number":
        return f"CASE WHEN {sql}::text IN ('NaN', 'Infinity', '-Infinity') THEN {_INFINITE} END"
    if value.kind == "jsonb":
        _, bad = _json_text(sql, documents=False)
        typed = f"CASE WHEN jsonb_typeof({sql}) NOT IN ('number', 'null') THEN {_WRONG} ELSE {bad} END"
        return f"COALESCE({value.bad}, {typed})" if value.bad else typed
    return f"CASE WHEN {sql} IS NOT NULL THEN {_WRONG} END"


def document_size(sql: str) -> str:
    """Number of features of a jsonb list or object; NULL for anything else."""
    keys = f"(SELECT count(*)::int FROM jsonb_object_keys({sql}))"
    return f"CASE jsonb_typeof({sql}) WHEN 'array' THEN jsonb_array_length({sql}) WHEN 'object' THEN {keys} END"


def document_problem(value: Value, expected: int | None) -> str:
    """Reason why a document of features cannot be read, as `RowReader` has it."""
    sql = value.sql
    # strict: otherwise a filter looks into nested lists by itself
    item = f"CASE jsonb_typeof({sql}) WHEN 'array' THEN 'strict $[*]' ELSE 'strict $.*' END"
    wrong = _path_exists(sql, item, '@.type() != "number" && @.type() != "null"')
    infinite = _path_exists(sql, item, f"@ > {LARGEST_FLOAT!r} || @ < -{LARGEST_FLOAT!r}")
    miscounted = "" if expected is None else (
        f"WHEN ({document_size(sql)}) <> {expected} THEN {code(Quarantine.WRONG_FEATURE_COUNT)} "
    )  # fmt: skip
    bad = (
        f"CASE WHEN {sql} IS NULL OR jsonb_typeof({sql}) = 'null' THEN NULL "
        f"WHEN jsonb_typeof({sql}) NOT IN ('array', 'object') THEN {_WRONG} {miscounted}"
        f"WHEN {wrong} THEN {_WRONG} WHEN {infinite} THEN {_INFINITE} END"
    )
    return f"COALESCE({value.bad}, {bad})" if value.bad else bad


def _path_exists(sql: str, item: str, test: str) -> str:
    return f"jsonb_path_exists({sql}, ({item} || ' ? ({test})')::jsonpath)"
