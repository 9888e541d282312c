"""The canonical relation of an SQLite source, and the functions that its SQL calls.

SQLite has no types worth the name and no way to tell broken UTF-8, so the *readability* of a row is decided by
the very code that reads single rows (`RowReader`, as an SQL function), except for rows that plain SQL can prove to be
in order (`sqlite_proofs`), which is nearly all of them and twenty times faster. Everything that is counted,
grouped or compared is plain SQL. Texts are handed to functions as bytes, because SQLite's own conversion of a
broken text would end the whole statement; a BLOB is handed over as the text "blob".
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Callable
from math import ceil, floor
from typing import Any

from retrainer.feedback.connectors import sqlite_proofs as proofs
from retrainer.feedback.connectors.statements import OPEN_MICROSECONDS, Rows
from retrainer.feedback.errors import SchemaMismatch
from retrainer.feedback.mapping import NEGATIVE, NEUTRAL, POSITIVE, TEXT_FIELDS, Mapping, Path, Scale, SignalPath
from retrainer.feedback.quality import (
    BLOB,
    LARGEST_FLOAT,
    LARGEST_QUALITY,
    Unreadable,
    number_text,
    read_quality,
    read_rating,
    read_time,
)
from retrainer.feedback.records import RowReader, digest

FUNCTION_ARGUMENTS = 120
"""SQLite allows 127."""


def identifier(name: str) -> str:
    """A quoted name. SQLite's driver offers no composition; a doubled quote is the whole rule."""
    if "\0" in name:
        raise SchemaMismatch("a name in the spec contains a NUL character")
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A quoted text; SQLite knows no other escape than the doubled quote."""
    if "\0" in text:
        raise SchemaMismatch("a value in the spec contains a NUL character")
    return "'" + text.replace("'", "''") + "'"


def source_value(value: Any) -> Any:
    """What a raw value means that crossed over as `_handed`: bytes are text, the text "blob" is a BLOB."""
    return BLOB if isinstance(value, str) else value


def handed(column: str) -> str:
    """SQL that hands a column to a function of ours, or to a scan."""
    name = f"q.{identifier(column)}"
    return f"CASE typeof({name}) WHEN 'text' THEN CAST({name} AS BLOB) WHEN 'blob' THEN 'blob' ELSE {name} END"


def install(connection: sqlite3.Connection, mapping: Mapping, reader: RowReader) -> None:
    """Define retrainer_reason, _time, _vote, _quality, _number, _digest and _crc; `reader` reads `mapping`'s rows."""
    far_future = 2**62

    def reason(*values: Any) -> str | None:
        return reader.reason([source_value(v) for v in values])

    def time(value: Any) -> int | None:
        try:
            return read_time(source_value(value), far_future)
        except Unreadable:
            return None

    def vote(index: int, value: Any) -> int | None:
        scale = mapping.signals[index].scale
        try:
            number = read_rating(source_value(value))
        except Unreadable:
            return None
        return None if scale is None or number is None else scale.vote(number)

    _define(connection, "retrainer_vote", 2, vote)
    _define(connection, "retrainer_quality", 1, lambda value: read_quality(source_value(value)))
    _define(connection, "retrainer_reason", len(mapping.columns), reason)
    _define(connection, "retrainer_time", 1, time)
    _define(connection, "retrainer_number", 1, _number)
    _define(connection, "retrainer_digest", 1, _digest)
    _define(connection, "retrainer_crc", 1, zlib.crc32)


def _define(connection: sqlite3.Connection, name: str, arguments: int, function: Callable[..., Any]) -> None:
    connection.create_function(name, arguments, function, deterministic=True)


def _number(value: float) -> str | None:
    try:
        return number_text(value)
    except Unreadable:
        return None


def _digest(value: bytes | None) -> str | None:
    return None if value is None else digest(value.decode("utf-8", "replace"))


class CanonicalRows:
    """Builds the canonical relation over `source` (a quoted table, or a query in parentheses).

    `rowid` is the name of the row number where rows have one; marks are row numbers.
    """

    def __init__(
        self, mapping: Mapping, source: str, rowid: str | None, *, now: int, expected_features: int | None
    ) -> None:
        if len(mapping.columns) > FUNCTION_ARGUMENTS:
            raise SchemaMismatch(f"record: more than {FUNCTION_ARGUMENTS} columns beside features are mapped")
        self._mapping = mapping
        self._source = source
        self._rowid = rowid
        self._now = now
        self._expected = expected_features

    def canonical(self, rows: Rows) -> str:
        """See `retrainer.feedback.connectors.statements`."""
        mapping = self._mapping
        columns = [
            f"{_text(mapping.id)} AS id",
            f"{self._time()} AS t",
            f"{self._unit()} AS unit",
            f"{self._identity()} AS identity",
            *(f"{self._field(name)} AS {name}" for name in ("segment", "model", "variant")),
            f"{self._reason()} AS reason",
            f"{self._closed(rows.old)} AS old",
            f"{self._closed(rows.closed)} AS closed",
            *(f"{self._vote(i, s)} AS s{i}" for i, s in enumerate(mapping.signals)),
            *([f"CASE WHEN {self._field('unit')} IS NULL THEN 0 ELSE 1 END AS named"] if rows.named else []),
            *([f"{_quality(rows.number)} AS number"] if rows.number else []),
        ]
        select = f"SELECT {', '.join(columns)} FROM {self._source} q WHERE "
        if rows.touched:
            return f"{select}NOT {self._closed(rows.old)} UNION ALL {select}{self._touched(rows.old)}"
        return select + self._between(rows.since, rows.until)

    def check(self, mark: str) -> str:
        """Number and checksum of the closed rows: what is mapped of them, and their row numbers."""
        names = [f"q.{identifier(c)}" for c in (*self._mapping.columns, *self._mapping.feature_columns)]
        content = "||','||".join([f"q.{self._rowid}", *(f"quote({n})" for n in names)])
        return (
            f"SELECT count(*) || ':' || COALESCE(SUM(retrainer_crc(CAST({content} AS BLOB))), 0) "
            f"FROM {self._source} q WHERE {self._closed(mark)}"
        )

    def scan(self, since: int, until: int) -> str:
        """The raw columns that `RowReader` wants, of rows whose time lies in [since, until) or is unreadable."""
        columns = self._mapping.all_columns
        time = self._time()
        where = f"{time} IS NULL OR ({time} >= {since} AND {time} < {until})"
        return f"SELECT {', '.join(handed(c) for c in columns)} FROM {self._source} q WHERE {where}"

    def mark(self) -> str | None:
        """The last row number before the first row of the last hour; the very last where that would leave much open.

        Row numbers follow time only in tables that are appended to.
        """
        if self._rowid is None:
            return None
        recent = f"CASE WHEN {self._time()} >= {self._now - OPEN_MICROSECONDS} THEN q.{self._rowid} END"
        ends = f"SELECT MIN({recent}) - 1 AS early, COALESCE(MAX(q.{self._rowid}), 0) AS late FROM {self._source} q"
        return f"SELECT CASE WHEN early >= late * 3 / 4 THEN early ELSE late END FROM ({ends}) e"

    def _touched(self, old: str | None) -> str:
        """Old rows of the units of rows that are not old."""
        fresh = (
            f"SELECT {self._unit()} FROM {self._source} q WHERE NOT {self._closed(old)} AND {self._reason()} IS NULL"
        )
        return f"{self._closed(old)} AND {self._unit()} IN ({fresh})"

    def _closed(self, mark: str | None) -> str:
        return "0" if mark is None else f"(q.{self._rowid} <= {int(mark)})"

    def _time(self) -> str:
        path = self._mapping.time
        if path.keys:
            return f"retrainer_time({_bytes(_value(path))})"
        return proofs.time(f"q.{identifier(path.column)}", f"retrainer_time({handed(path.column)})")

    def _between(self, since: int | None, until: int | None) -> str:
        """since ≤ time < until, with the time computed once."""
        if since is not None and until is not None:
            return f"{self._time()} BETWEEN {since} AND {until - 1}"
        if since is not None:
            return f"{self._time()} >= {since}"
        return "1" if until is None else f"{self._time()} < {until}"

    def _field(self, name: str) -> str:
        path = self._mapping.fields.get(name)
        return "NULL" if path is None else _text(path)

    def _unit(self) -> str:
        session, text = self._field("session"), self._field("input")
        choices = [
            self._field("unit"),
            f"'session:' || {session}",
            f"'input:' || retrainer_digest({_bytes(text)})",
            f"'record:' || {_text(self._mapping.id)}",
        ]
        return f"COALESCE({', '.join(choices)})"

    def _identity(self) -> str:
        record = f"'record:' || {_text(self._mapping.id)}"
        if "input" not in self._mapping.fields:
            return record
        asked, answered = self._field("input"), self._field("output")
        both = f"retrainer_digest({_bytes(asked)}) || ':' || COALESCE(retrainer_digest({_bytes(answered)}), '')"
        return f"CASE WHEN {asked} IS NULL THEN {record} ELSE {both} END"

    def _reason(self) -> str:
        read = f"retrainer_reason({', '.join(handed(c) for c in self._mapping.columns)})"
        proof = self._proof()
        checks = [read if proof is None else f"CASE WHEN {proof} THEN NULL ELSE {read} END"]
        for feature in self._mapping.features:
            checks.append(_feature_check(feature.name, feature.path, feature.categorical))
        return checks[0] if len(checks) == 1 else f"COALESCE({', '.join(checks)})"

    def _proof(self) -> str | None:
        """SQL that is true only for rows that `RowReader` finds readable; None where there is no such SQL."""
        mapping = self._mapping
        paths = [mapping.id, mapping.time, *mapping.fields.values(), *(x.path for x in mapping.labels)]
        paths += [s.path for s in mapping.signals if s.path is not None]
        if any(p.keys for p in paths):
            return None
        known = [
            proofs.time_in_range(self._time(), self._now),
            proofs.identifier(_column(mapping.id)),
            *(proofs.scalar(_column(p)) for n, p in mapping.fields.items() if n not in TEXT_FIELDS),
            *(proofs.text(_column(p)) for n, p in mapping.fields.items() if n in TEXT_FIELDS),
            *(
                proofs.number(_column(x.path)) if x.regression else proofs.scalar(_column(x.path))
                for x in mapping.labels
            ),
        ]
        for signal in mapping.signals:
            if signal.path is not None and signal.scale is not None:
                known.append(proofs.whole_within(_column(signal.path), signal.scale.minimum, signal.scale.maximum))
            elif signal.path is not None:
                listed = ", ".join(literal(text) for text, _ in signal.votes)
                known.append(f"COALESCE({_text(signal.path)} IN ({listed}), {_column(signal.path)} IS NULL)")
        if mapping.document is not None:
            if mapping.document.keys or self._expected is None:
                return None
            known.append(proofs.number_list(_column(mapping.document), self._expected))
        return " AND ".join(known)

    def _vote(self, index: int, signal: SignalPath) -> str:
        if signal.path is not None and signal.scale is not None:
            return _rating(index, signal.path, signal.scale)
        if signal.path is not None:
            votes = " ".join(f"WHEN {literal(text)} THEN {vote}" for text, vote in signal.votes)
            return f"CASE {_text(signal.path)} {votes} END"
        if signal.kind == "correction":
            path = self._mapping.fields.get("correction")
            value = "NULL" if path is None else _text(path)
            empty = f"CASE WHEN json_valid({value}) THEN json({value}) = '{{}}' ELSE 0 END"
            return f"CASE WHEN {value} IS NOT NULL AND NOT {empty} THEN 2 END"
        some = " OR ".join(f"{_text(x.path)} IS NOT NULL" for x in self._mapping.labels) or "0"
        return f"CASE WHEN {some} THEN 2 END"


def _value(path: Path) -> str:
    """SQL of the raw value at a path: a column, or what lies inside its JSON."""
    column = f"q.{identifier(path.column)}"
    if not path.keys:
        return column
    inside = literal(_json_path(path))
    valid = f"typeof({column}) = 'text' AND json_valid({column})"
    kind = f"json_type({column}, {inside})"
    return (
        f"CASE WHEN {valid} THEN CASE {kind} WHEN 'true' THEN 'true' WHEN 'false' THEN 'false' "
        f"ELSE json_extract({column}, {inside}) END END"
    )


def _column(path: Path) -> str:
    return f"q.{identifier(path.column)}"


def _json_path(path: Path) -> str:
    if any('"' in key for key in path.keys):
        raise SchemaMismatch(f"{path.field}: a key of a JSON path must not contain quotes")
    return "$" + "".join(f"[{k}]" if k.isdecimal() else f'."{k}"' for k in path.keys)


def _text(path: Path) -> str:
    """SQL of the canonical text at a path (as `scalar_text`); NULL where empty or no scalar."""
    value = _value(path)
    return (
        f"CASE typeof({value}) WHEN 'real' THEN retrainer_number({value}) WHEN 'blob' THEN NULL "
        f"ELSE NULLIF(CAST({value} AS TEXT), '') END"
    )


def _bytes(value: str) -> str:
    return f"CASE typeof({value}) WHEN 'text' THEN CAST({value} AS BLOB) ELSE {value} END"


def _rating(index: int, path: Path, scale: Scale) -> str:
    """SQL of a rating's vote: plain for whole numbers, which most are."""
    value = _value(path)
    whole = proofs.whole(value)
    whens = [] if scale.positive_from is None else [f"WHEN {whole} >= {ceil(scale.positive_from)} THEN {POSITIVE}"]
    whens += [] if scale.negative_up_to is None else [f"WHEN {whole} <= {floor(scale.negative_up_to)} THEN {NEGATIVE}"]
    return (
        f"CASE WHEN {value} IS NULL THEN NULL WHEN {whole} IS NULL THEN retrainer_vote({index}, {_handed(path)}) "
        f"{' '.join(whens)} ELSE {NEUTRAL} END"
    )


def _quality(path: Path) -> str:
    """SQL of the number at a path, as `read_quality`."""
    value = _value(path)
    whole = proofs.whole(value)
    small = f"{whole} BETWEEN {-LARGEST_QUALITY} AND {LARGEST_QUALITY}"
    return f"CASE WHEN {small} THEN CAST({whole} AS REAL) ELSE retrainer_quality({_handed(path)}) END"


def _handed(path: Path) -> str:
    return _bytes(_value(path)) if path.keys else handed(path.column)


def _feature_check(name: str, path: Path, categorical: bool) -> str:
    """Reason of one feature column; the same rules as `check_feature` and `scalar_text`, for hundreds of columns."""
    value = _value(path)
    wrong, infinite = literal(f"WrongType|feature {name}"), literal(f"NotFinite|feature {name}")
    if categorical:
        return f"CASE typeof({value}) WHEN 'blob' THEN {wrong} END"
    outside = f"NOT {value} BETWEEN {-LARGEST_FLOAT!r} AND {LARGEST_FLOAT!r}"
    return (
        f"CASE WHEN typeof({value}) IN ('text', 'blob') THEN {wrong} "
        f"WHEN typeof({value}) = 'real' AND {outside} THEN {infinite} END"
    )


def usual_features(mapping: Mapping, source: str, sample: int) -> str | None:
    """The most common number of features among the first rows; None where they are no JSON document."""
    if mapping.document is None:
        return None
    value = _value(mapping.document)
    size = (
        f"CASE WHEN typeof({value}) = 'text' AND json_valid({value}) THEN CASE json_type({value}) "
        f"WHEN 'array' THEN json_array_length({value}) "
        f"WHEN 'object' THEN (SELECT count(*) FROM json_each({value})) END END"
    )
    first = f"SELECT {size} AS n FROM {source} q LIMIT {sample}"
    return f"SELECT n FROM ({first}) s WHERE n IS NOT NULL GROUP BY n ORDER BY count(*) DESC, n LIMIT 1"
