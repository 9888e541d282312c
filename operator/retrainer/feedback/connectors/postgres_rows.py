"""The canonical relation of a PostgreSQL source: two nested SELECTs, both fenced so that nothing is computed twice.

The inner one names the raw columns c0, c1 … and reads each field to a text `x_…` and a reason `b_…`; the outer one
picks the first reason in the order of `retrainer.feedback.records` and builds unit, identity and votes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from collections.abc import Mapping as Lookup
from dataclasses import dataclass
from decimal import Decimal

from retrainer.feedback.connectors import postgres_values as values
from retrainer.feedback.connectors.postgres_values import Kind, Value, code
from retrainer.feedback.connectors.statements import Rows
from retrainer.feedback.errors import SchemaMismatch
from retrainer.feedback.mapping import (
    ANSWER_FIELDS,
    KEY_FIELDS,
    NEGATIVE,
    NEUTRAL,
    POSITIVE,
    TEXT_FIELDS,
    Mapping,
    Path,
    Scale,
    SignalPath,
)
from retrainer.feedback.quality import (
    CLOCK_SKEW_MICROSECONDS,
    EARLIEST_MICROSECONDS,
    ID_CHARACTERS,
    KEY_CHARACTERS,
    TEXT_CHARACTERS,
    Quarantine,
)


@dataclass(frozen=True)
class Names:
    """How the driver writes names and texts into SQL."""

    identifier: Callable[[str], str]
    literal: Callable[[str], str]


@dataclass(frozen=True)
class _Check:
    """One step of reading: `bad` names the reason or NULL."""

    field: str
    bad: str


class CanonicalRows:
    """Builds the canonical relation over `source` (a quoted table, or a query in parentheses).

    `kinds` are those of the source's columns; `versioned` says that rows carry xmin. Marks are "xid:microseconds":
    closed are the rows that an older transaction wrote and whose time is older.
    """

    def __init__(
        self, mapping: Mapping, source: str, kinds: Lookup[str, Kind], names: Names, *, versioned: bool, now: int,
        expected_features: int | None,
    ) -> None:  # fmt: skip
        self._mapping = mapping
        self._source = source
        self._kinds = kinds
        self._names = names
        self._versioned = versioned
        self._now = now
        self._expected = expected_features
        self._columns = mapping.all_columns

    def canonical(self, rows: Rows) -> str:
        """See `retrainer.feedback.connectors.statements`."""
        mapping = self._mapping
        columns = [
            'x_id COLLATE "C" AS id',
            "t",
            f"{_unit(mapping)} AS unit",
            f"{_identity(mapping)} AS identity",
            *(f"{_mapped(mapping, name)} AS {name}" for name in ("segment", "model", "variant")),
            f"{self._reason()} AS reason",
            f"CASE WHEN {_closed(rows.old)} THEN 1 ELSE 0 END AS old",
            f"CASE WHEN {_closed(rows.closed)} THEN 1 ELSE 0 END AS closed",
            *(f"{self._vote(i, s)} AS s{i}" for i, s in enumerate(mapping.signals)),
            *([f"CASE WHEN {_mapped(mapping, 'unit')} IS NULL THEN 0 ELSE 1 END AS named"] if rows.named else []),
            *([f"{values.bounded('number')} AS number"] if rows.number else []),
        ]
        select = f"SELECT {', '.join(columns)} FROM ({self._read(rows)}) r WHERE "
        if rows.touched:
            return f"{select}NOT {_closed(rows.old)} UNION ALL {select}{self._touched(rows.old)}"
        bounds = [] if rows.since is None else [f"t >= {rows.since}"]
        bounds += [] if rows.until is None else [f"t < {rows.until}"]
        return select + (" AND ".join(bounds) or "true")

    def scan(self, since: int, until: int) -> str:
        """Canonical fields and raw JSON-like columns of rows whose time lies in [since, until) or is unreadable.

        Columns: id, t, unit, identity, session, input, output, model, variant, segment, reason, then one per
        signal, then the jsonb text of prediction, correction, labels, document and features, those that are mapped.
        """
        mapping = self._mapping
        fields = ("session", "input", "output", "model", "variant", "segment")
        columns = [
            "x_id", "t", _unit(mapping), _identity(mapping), *(_mapped(mapping, f) for f in fields), self._reason(),
            *(self._vote(i, s) for i, s in enumerate(mapping.signals)),
            *(f"to_jsonb({value.sql})::text" for value in self.documents()),
        ]  # fmt: skip
        where = f"t IS NULL OR (t >= {since} AND t < {until})"
        return f"SELECT {', '.join(columns)} FROM ({self._read(Rows())}) r WHERE {where}"

    def documents(self) -> Iterator[Value]:
        """Raw values behind `scan`'s last columns, in its order."""
        mapping = self._mapping
        yield from (self._value(mapping.fields[f]) for f in ANSWER_FIELDS if f in mapping.fields)
        yield from (self._value(x.path) for x in mapping.labels)
        if mapping.document is not None:
            yield self._document(mapping.document)
        yield from (self._value(f.path) for f in mapping.features)

    def check(self, mark: str) -> str:
        """Number of the closed rows: an update or a deletion takes a row out of them, and nothing adds one."""
        return f"SELECT count(*)::text FROM ({self._read(Rows())}) r WHERE {_closed(mark)}"

    def usual_features(self, sample: int) -> str | None:
        """The most common number of features among the first rows; None where they are no document."""
        if self._mapping.document is None:
            return None
        value = self._document(self._mapping.document)
        first = f"SELECT {values.document_size(value.sql)} AS n FROM ({self._raw()} LIMIT {sample}) r"
        return f"SELECT n FROM ({first}) s WHERE n IS NOT NULL GROUP BY n ORDER BY count(*) DESC, n LIMIT 1"

    def _raw(self) -> str:
        """Columns under short names; json is made jsonb here, once."""
        picked = []
        for index, column in enumerate(self._columns):
            name = f"q.{self._names.identifier(column)}"
            if self._kinds[column] == "json":
                guarded = values.guarded_json(name)
                picked += [f"{guarded.sql} AS c{index}", f"{guarded.bad} AS g{index}"]
            else:
                picked.append(f"{name} AS c{index}")
        if self._versioned:
            picked.append("q.xmin AS version")
        return f"SELECT {', '.join(picked)} FROM {self._source} q"

    def _read(self, rows: Rows) -> str:
        micros, bad = values.time(self._value(self._mapping.time))
        picked = [f"{micros} AS t", f"{bad or 'NULL::text'} AS b_time"]
        for name, path, limit, documents in _texts(self._mapping):
            shown, problem = values.text(self._value(path), limit, documents=documents)
            picked += [f"{shown} AS x_{name}", f"{problem} AS b_{name}"]
        for index, signal in enumerate(self._mapping.signals):
            if signal.path is not None and signal.scale is not None:
                picked.append(f"{values.number(self._value(signal.path))} AS r_signal{index}")
        if rows.number is not None:
            picked.append(f"{values.number(self._value(rows.number))} AS number")
        raw = f"{self._raw()}{self._raw_bound(rows)} OFFSET 0"
        if rows.among is not None:
            # Before anything else of a row is read; a CASE, because as a join it would be badly planned.
            early = f"SELECT r.*, {self._early_unit()} AS early FROM ({raw}) r OFFSET 0"
            raw = f"SELECT r.* FROM ({early}) r WHERE CASE WHEN early IN ({rows.among}) THEN true ELSE false END"
        return f"SELECT r.*, {', '.join(picked)} FROM ({raw}) r OFFSET 0"

    def _early_unit(self) -> str:
        """The unit out of the raw columns alone, as `_unit` has it."""
        limits = {"unit": KEY_CHARACTERS, "session": KEY_CHARACTERS, "input": TEXT_CHARACTERS, "id": ID_CHARACTERS}
        paths = self._mapping.fields | {"id": self._mapping.id}
        texts = {
            field: values.text(self._value(paths[field]), limit, documents=field == "input")[0]
            for field, limit in limits.items()
            if field in paths
        }
        return _unit_of(texts)

    def _raw_bound(self, rows: Rows) -> str:
        """The same time bound on the column itself, so that an index can serve it."""
        path = self._mapping.time
        if self._kinds[path.column] not in ("timestamptz", "timestamp") or rows.touched:
            return ""
        column, zone = f"q.{self._names.identifier(path.column)}", self._kinds[path.column]
        moment = "to_timestamp({} / 1000000.0)" + ("" if zone == "timestamptz" else " AT TIME ZONE 'UTC'")
        # One second wider than asked: to_timestamp works in floating point, and the exact bound follows.
        found = [] if rows.since is None else [f"{column} >= {moment.format(rows.since - 1_000_000)}"]
        found += [] if rows.until is None else [f"{column} < {moment.format(rows.until + 1_000_000)}"]
        return f" WHERE {' AND '.join(found)}" if found else ""

    def _value(self, path: Path) -> Value:
        index = self._columns.index(path.column)
        kind = self._kinds[path.column]
        if kind in ("json", "jsonb"):
            keys = ", ".join(self._names.literal(k) for k in path.keys)
            whole = Value(f"c{index}", "jsonb", f"g{index}" if kind == "json" else None)
            return values.inside(whole, path.keys, f"ARRAY[{keys}]::text[]")
        if path.keys:
            raise SchemaMismatch(
                f'{path.field}: column "{path.column}" is not of type json or jsonb, so nothing can be taken out of '
                f"it; change its type, or use a query that casts it",
                column=path.column,
            )
        return Value(f"c{index}", kind)

    def _document(self, path: Path) -> Value:
        value = self._value(path)
        if value.kind == "list":
            return Value(f"to_jsonb({value.sql})", "jsonb")
        if value.kind != "jsonb":
            raise SchemaMismatch(
                f'{path.field}: column "{path.column}" is neither json, jsonb nor an array; change its type, or use '
                f"a query that casts it",
                column=path.column,
            )
        return value

    def _reason(self) -> str:
        whens = " ".join(
            f"WHEN {c.bad} IS NOT NULL THEN {c.bad} || {self._names.literal('|' + c.field)}" for c in self._checks()
        )
        return f"CASE {whens} END"

    def _checks(self) -> Iterator[_Check]:
        """In the order of `RowReader`; every reason is a column of the inner SELECT or an expression over them."""
        mapping = self._mapping
        yield _Check("id", f"COALESCE(b_id, CASE WHEN x_id IS NULL THEN {code(Quarantine.MISSING_ID)} END)")
        yield _Check("time", self._time_problem())
        yield from (_Check(f, f"b_{f}") for f in (*KEY_FIELDS, *TEXT_FIELDS) if f in mapping.fields)
        for index, signal in enumerate(mapping.signals):
            if signal.path is not None and signal.scale is not None:
                yield _Check(f"signal {signal.name}", _rating_problem(index, signal.scale))
            elif signal.path is not None:
                listed = ", ".join(self._names.literal(text) for text, _ in signal.votes)
                unlisted = (
                    f"CASE WHEN x_signal{index} NOT IN ({listed}) THEN {code(Quarantine.SIGNAL_OUT_OF_RANGE)} END"
                )
                yield _Check(f"signal {signal.name}", f"COALESCE(b_signal{index}, {unlisted})")
        yield from (_Check(f, self._answer_problem(f)) for f in ANSWER_FIELDS if f in mapping.fields)
        for index, label in enumerate(mapping.labels):
            no_number = f"CASE WHEN x_label{index} !~ '{values.NUMBER}' THEN {code(Quarantine.WRONG_TYPE)} END"
            yield _Check(
                f"label {label.name}", f"COALESCE(b_label{index}, {no_number if label.regression else 'NULL'})"
            )
        if mapping.document is not None:
            yield _Check("features", values.document_problem(self._document(mapping.document), self._expected))
        for feature in mapping.features:
            yield _Check(f"feature {feature.name}", self._feature_problem(feature.path, feature.categorical))

    def _time_problem(self) -> str:
        return (
            f"COALESCE(b_time, CASE WHEN t IS NULL THEN {code(Quarantine.MISSING_TIME)} "
            f"WHEN t < {EARLIEST_MICROSECONDS} THEN {code(Quarantine.TIME_OUT_OF_RANGE)} "
            f"WHEN t > {self._now + CLOCK_SKEW_MICROSECONDS} THEN {code(Quarantine.FUTURE_TIME)} END)"
        )

    def _answer_problem(self, field: str) -> str:
        """Objects are answers, lists are not."""
        value = self._value(self._mapping.fields[field])
        if value.kind != "jsonb":
            return f"b_{field}"
        listed = f"CASE WHEN jsonb_typeof({value.sql}) = 'array' THEN {code(Quarantine.WRONG_TYPE)} END"
        return f"COALESCE(b_{field}, {listed})"

    def _feature_problem(self, path: Path, categorical: bool) -> str:
        value = self._value(path)
        return values.text(value, KEY_CHARACTERS)[1] if categorical else values.number_problem(value)

    def _vote(self, index: int, signal: SignalPath) -> str:
        if signal.scale is not None:
            return _rating(index, signal.scale)
        if signal.path is not None:
            votes = " ".join(f"WHEN {self._names.literal(text)} THEN {vote}" for text, vote in signal.votes)
            return f"CASE x_signal{index} {votes} END"
        if signal.kind == "correction":
            return "CASE WHEN x_correction !~ '^\\s*\\{\\s*\\}\\s*$' THEN 2 END"
        some = " OR ".join(f"x_label{i} IS NOT NULL" for i in range(len(self._mapping.labels))) or "false"
        return f"CASE WHEN {some} THEN 2 END"

    def _touched(self, old: str | None) -> str:
        """Old rows of the units of rows that are not old."""
        unit = _unit(self._mapping)
        fresh = f"SELECT {unit} FROM ({self._read(Rows())}) r WHERE NOT {_closed(old)} AND {self._reason()} IS NULL"
        return f"{_closed(old)} AND {unit} IN ({fresh})"


def _rating_problem(index: int, scale: Scale) -> str:
    """The text must be a number, and the number on the scale."""
    outside = f"r_signal{index} NOT BETWEEN {_exactly(scale.minimum)} AND {_exactly(scale.maximum)}"
    return (
        f"COALESCE(b_signal{index}, CASE WHEN x_signal{index} IS NOT NULL AND r_signal{index} IS NULL "
        f"THEN {code(Quarantine.WRONG_TYPE)} WHEN {outside} THEN {code(Quarantine.SIGNAL_OUT_OF_RANGE)} END)"
    )


def _rating(index: int, scale: Scale) -> str:
    number = f"r_signal{index}"
    whens = [f"WHEN {number} IS NULL THEN NULL"]
    if scale.positive_from is not None:
        whens.append(f"WHEN {number} >= {_exactly(scale.positive_from)} THEN {POSITIVE}")
    if scale.negative_up_to is not None:
        whens.append(f"WHEN {number} <= {_exactly(scale.negative_up_to)} THEN {NEGATIVE}")
    return f"CASE {' '.join(whens)} ELSE {NEUTRAL} END"


def _exactly(number: Decimal) -> str:
    return f"{number:f}::numeric"


def _closed(mark: str | None) -> str:
    """Rows whose transaction is older than the mark's; compared by age, which survives the wrap-around of xids.

    Rows without a readable time are never closed.
    """
    if mark is None:
        return "false"
    xid, time = (int(part) for part in mark.split(":"))
    return f"(age(version) > age(('{xid}'::xid8)::xid) AND COALESCE(t < {time}, false))"


def _texts(mapping: Mapping) -> Iterator[tuple[str, Path, int, bool]]:
    """(name, path, limit, whether JSON documents are allowed) of every value that is read as text."""
    yield "id", mapping.id, ID_CHARACTERS, False
    for field, path in mapping.fields.items():
        long = field in (*TEXT_FIELDS, *ANSWER_FIELDS)
        yield field, path, TEXT_CHARACTERS if long else KEY_CHARACTERS, long
    for index, signal in enumerate(mapping.signals):
        if signal.path is not None:
            yield f"signal{index}", signal.path, KEY_CHARACTERS, False
    for index, label in enumerate(mapping.labels):
        yield f"label{index}", label.path, KEY_CHARACTERS, False


def _mapped(mapping: Mapping, field: str) -> str:
    return f"x_{field}" if field in mapping.fields else "NULL::text"


def _unit(mapping: Mapping) -> str:
    return _unit_of({f: f"x_{f}" for f in ("unit", "session", "input") if f in mapping.fields} | {"id": "x_id"})


def _unit_of(texts: Lookup[str, str]) -> str:
    """The unit, given the SQL of those of the fields that are mapped."""
    stand_ins = {"unit": "{}", "session": "'session:' || {}", "input": "'input:' || md5({})", "id": "'record:' || {}"}
    return f"COALESCE({', '.join(form.format(texts[f]) for f, form in stand_ins.items() if f in texts)})"


def _identity(mapping: Mapping) -> str:
    if "input" not in mapping.fields:
        return "'record:' || x_id"
    answered = "COALESCE(md5(x_output), '')" if "output" in mapping.fields else "''"
    return f"CASE WHEN x_input IS NULL THEN 'record:' || x_id ELSE md5(x_input) || ':' || {answered} END"
