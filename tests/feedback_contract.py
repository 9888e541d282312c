"""What every connector must do, whatever database is behind it; run against the real one of each.

A test module supplies a `World`; `CONTRACT` lists the functions to run with it.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import feedback_reference as reference
import pytest

from retrainer.api.v1alpha1.feedback_source import FeedbackSourceSpec
from retrainer.feedback.connectors.protocol import (
    Arm,
    Connector,
    CountQuery,
    OutcomeQuery,
    UnitDayQuery,
    Window,
)
from retrainer.feedback.errors import SchemaMismatch
from retrainer.feedback.mapping import Mapping, resolve
from retrainer.feedback.quality import microseconds
from retrainer.feedback.records import Quarantined, Record, RowReader

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
GOOD: dict[str, Any] = {
    "id": "r1", "created_at": "2026-11-20T10:00:00Z", "usr": "ann", "visit": None, "question": "what is 2+2?",
    "answer": "4", "model": "3", "variant": None, "subject": "maths", "rating": 1, "fix": None, "truth": None,
    "score": None, "guess": None, "pixels": "[1,2,3]",
}  # fmt: skip
COLUMNS = tuple(GOOD)


class Broken:
    """Bytes that are no UTF-8, stored as text."""


BROKEN = Broken()


def spec_for(source: dict[str, Any], **changes: Any) -> FeedbackSourceSpec:
    """The mapping of all of GOOD's columns; `changes` replace entries of `record` (None removes) or `signals`."""
    record: dict[str, Any] = {
        "id": "id", "time": "created_at", "unit": "usr", "session": "visit", "input": "question", "output": "answer",
        "model": "model", "variant": "variant", "segment": "subject", "correction": "fix", "prediction": "guess",
        "features": {"from": "pixels"},
        "labels": [{"name": "truth", "from": "truth"}, {"name": "score", "from": "score", "type": "Regression"}],
    }  # fmt: skip
    signals = changes.pop("signals", None) or [
        thumbs("rating"),
        {"name": "truth", "label": {}},
        {"name": "fix", "correction": {}},
    ]
    record = {k: v for k, v in (record | changes).items() if v is not None}
    return FeedbackSourceSpec.model_validate({**source, "record": record, "signals": signals})


def thumbs(column: str) -> dict[str, Any]:
    votes = {"positive": ["1", "up"], "neutral": ["0"], "negative": ["-1", "down"]}
    return {"name": "thumbs", "from": column, "thumbs": votes}


class World(Protocol):
    """One empty table in a real database."""

    kind: str

    def fill(self, rows: Sequence[dict[str, Any]], types: dict[str, str] | None = None) -> None:
        """Create the table anew with these rows; `types` override column types where the database has any."""
        ...

    def execute(self, sql: str) -> None: ...

    def insert(self, rows: Sequence[dict[str, Any]]) -> None: ...

    def source(self, query: str | None = None) -> dict[str, Any]:
        """The part of a spec that names the table, or a query."""
        ...

    def connector(self, spec: FeedbackSourceSpec, now: datetime = NOW) -> Connector: ...

    def raw(self, columns: Sequence[str]) -> list[tuple[Any, ...]]:
        """All rows, as the driver returns them."""
        ...


def read_rows(world: World, spec: FeedbackSourceSpec, features: int | None = 3) -> tuple[Mapping, list[Any]]:
    """The mapping, and every row read by the reference reader."""
    mapping = resolve(spec, COLUMNS)
    reader = RowReader(mapping, now=microseconds(NOW), expected_features=features)
    return mapping, [reader.read(row) for row in world.raw(reader.columns)]


@dataclass(frozen=True)
class Hostile:
    """A row that differs from GOOD, what it must be quarantined for, and where it can exist at all."""

    name: str
    changes: dict[str, Any]
    code: str | None = None
    only: str | None = None


OUT = "SignalOutOfRange|signal thumbs"
HOSTILE: tuple[Hostile, ...] = (
    Hostile("a good row", {}),
    Hostile("rating 7", {"rating": 7}, OUT),
    Hostile("rating as text 5", {"rating": "5"}, OUT),
    Hostile("rating 4.5", {"rating": 4.5}, OUT),
    Hostile("rating with a blank", {"rating": " 1"}, OUT),
    Hostile("rating NaN as text", {"rating": "NaN"}, OUT),
    Hostile("rating as word", {"rating": "up"}),
    Hostile("rating as text 1", {"rating": "1"}),
    Hostile("rating 1.0 is 1", {"rating": 1.0}, only="sqlite"),
    Hostile("no rating", {"rating": None}),
    Hostile("empty rating", {"rating": ""}),
    Hostile("infinite rating", {"rating": float("inf")}, "NotFinite|signal thumbs", "sqlite"),
    Hostile("bytes as rating", {"rating": b"\x01\x02"}, "WrongType|signal thumbs", "sqlite"),
    Hostile("no id", {"id": None}, "MissingId|id"),
    Hostile("empty id", {"id": ""}, "MissingId|id"),
    Hostile("long id", {"id": "x" * 257}, "TooLong|id"),
    Hostile("id at the limit", {"id": "y" * 256}),
    Hostile("broken id", {"id": BROKEN}, "BrokenText|id", "sqlite"),
    Hostile("NUL in id", {"id": "a\0b"}, "NulText|id", "sqlite"),
    Hostile("id outranks time", {"id": None, "created_at": None}, "MissingId|id"),
    Hostile("no time", {"created_at": None}, "MissingTime|time"),
    Hostile("empty time", {"created_at": ""}, "MissingTime|time"),
    Hostile("a word as time", {"created_at": "yesterday"}, "WrongType|time"),
    Hostile("February 30", {"created_at": "2026-02-30T00:00:00Z"}, "WrongType|time"),
    Hostile("February 29 of no leap year", {"created_at": "2026-02-29"}, "WrongType|time"),
    Hostile("February 29 of a leap year", {"created_at": "2024-02-29"}),
    Hostile("hour 24", {"created_at": "2026-01-01T24:00:00Z"}, "WrongType|time"),
    Hostile("second 60", {"created_at": "2026-01-01T10:00:60Z"}, "WrongType|time"),
    Hostile("month 13", {"created_at": "2026-13-01"}, "WrongType|time"),
    Hostile("year 0", {"created_at": "0000-01-01T00:00:00Z"}, "WrongType|time"),
    Hostile("text after the time", {"created_at": "2026-01-01T10:00:00Z!"}, "WrongType|time"),
    Hostile("newline after the time", {"created_at": "2026-01-01T10:00:00Z\n"}, "WrongType|time"),
    Hostile("date only", {"created_at": "2026-01-01"}),
    Hostile("no zone", {"created_at": "2026-01-01 10:00:00"}),
    Hostile("no seconds", {"created_at": "2026-01-01T10:00"}),
    Hostile("six digits and Z", {"created_at": "2026-01-01T10:00:00.123456Z"}),
    Hostile("three digits", {"created_at": "2026-01-01T10:00:00.123"}),
    Hostile("nine digits", {"created_at": "2026-01-01T10:00:00.123456789+00:00"}),
    Hostile("a zone ahead", {"created_at": "2026-01-01T10:00:00+02:00"}),
    Hostile("a zone behind, without colon", {"created_at": "2026-01-01 10:00:00 -0530"}),
    Hostile("seconds", {"created_at": 1_767_225_600}),
    Hostile("seconds as text", {"created_at": "1767225600"}),
    Hostile("fractional seconds", {"created_at": 1_767_225_600.25}, only="sqlite"),
    Hostile("milliseconds", {"created_at": 1_767_225_600_123}),
    Hostile("microseconds", {"created_at": 1_767_225_600_123_456}),
    Hostile("epoch 0", {"created_at": 0}, "TimeOutOfRange|time", "sqlite"),
    Hostile("minus one", {"created_at": -1}, "TimeOutOfRange|time", "sqlite"),
    Hostile("the smallest integer", {"created_at": -(2**63)}, "TimeOutOfRange|time", "sqlite"),
    Hostile("infinite time", {"created_at": float("inf")}, "NotFinite|time", "sqlite"),
    Hostile("1989", {"created_at": "1989-12-31T23:59:59Z"}, "TimeOutOfRange|time"),
    Hostile("year 9999", {"created_at": "9999-12-31T00:00:00Z"}, "FutureTime|time"),
    Hostile("an hour ahead", {"created_at": "2026-11-21T13:00:00Z"}, "FutureTime|time"),
    Hostile("a minute ahead", {"created_at": "2026-11-21T12:01:00Z"}),
    Hostile("long unit", {"usr": "u" * 1025}, "TooLong|unit"),
    Hostile("umlauts in unit", {"usr": "Jürgen 🙂"}),
    Hostile("broken unit", {"usr": BROKEN}, "BrokenText|unit", "sqlite"),
    Hostile("NUL in unit", {"usr": "ann\0"}, "NulText|unit", "sqlite"),
    Hostile("bytes as unit", {"usr": b"ann"}, "WrongType|unit", "sqlite"),
    Hostile("session instead of unit", {"usr": None, "visit": "v1"}),
    Hostile("input instead of unit", {"usr": "", "visit": None}),
    Hostile("nothing instead of unit", {"usr": None, "question": None}),
    Hostile("no input", {"question": None}),
    Hostile("long question", {"question": "q" * 1_000_001}, "TooLong|input"),
    Hostile("a long question within the limit", {"question": "ä" * 200_000}),
    Hostile("broken question", {"question": BROKEN}, "BrokenText|input", "sqlite"),
    Hostile("broken answer", {"answer": BROKEN}, "BrokenText|output", "sqlite"),
    Hostile("another model", {"model": "4", "variant": "baseline"}),
    Hostile("variant only", {"model": None, "variant": "candidate"}),
    Hostile("unknown model", {"model": "99"}),
    Hostile("a correction", {"fix": "5"}),
    Hostile("a correction per target", {"fix": '{"digit": 3}'}),
    Hostile("an empty object corrects nothing", {"fix": "{ }"}),
    Hostile("half an object is a text", {"fix": "{not json"}),
    Hostile("a label", {"truth": "7"}),
    Hostile("an empty label", {"truth": ""}),
    Hostile("a long label", {"truth": "7" * 1025}, "TooLong|label truth"),
    Hostile("a number as label", {"score": "3.5"}),
    Hostile("a number with exponent", {"score": "-1.5e3"}),
    Hostile("a word as number", {"score": "much"}, "WrongType|label score"),
    Hostile("two features", {"pixels": "[1,2]"}, "WrongFeatureCount|features"),
    Hostile("no features", {"pixels": None}),
    Hostile("JSON null as features", {"pixels": "null"}),
    Hostile("features by name", {"pixels": '{"a": 1, "b": 2, "c": -3.5}'}),
    Hostile("a missing feature", {"pixels": "[1, null, 3]"}),
    Hostile("a text among features", {"pixels": '[1, "2", 3]'}, "WrongType|features"),
    Hostile("a truth among features", {"pixels": "[1, true, 3]"}, "WrongType|features"),
    Hostile("a list among features", {"pixels": "[[1], 2, 3]"}, "WrongType|features"),
    Hostile("one number as features", {"pixels": "5"}, "WrongType|features"),
    Hostile("an enormous feature", {"pixels": "[1, 2, 1e999]"}, "NotFinite|features"),
    Hostile("an enormous negative feature", {"pixels": '{"a": 1, "b": 2, "c": -1e400}'}, "NotFinite|features"),
    Hostile("a small exponent", {"pixels": "[1e-3, 2E2, 3]"}),
    Hostile("NaN among features", {"pixels": "[1, NaN, 3]"}, "WrongType|features", "sqlite"),
    Hostile("no JSON", {"pixels": "1,2,3"}, "WrongType|features", "sqlite"),
    Hostile("an open list", {"pixels": "[1,2,3"}, "WrongType|features", "sqlite"),
    Hostile("two commas", {"pixels": "[1,,2,3]"}, "WrongType|features", "sqlite"),
    Hostile("broken features", {"pixels": BROKEN}, "BrokenText|features", "sqlite"),
    Hostile("NUL after features", {"pixels": "[1,2,3]\0"}, "NulText|features", "sqlite"),
    Hostile("bytes as features", {"pixels": b"[1,2,3]"}, "WrongType|features", "sqlite"),
)


def hostile_for(kind: str) -> list[Hostile]:
    return [h for h in HOSTILE if h.only in (None, kind)]


def hostile_rows(kind: str) -> list[dict[str, Any]]:
    """One row per case; ids are unique where the case is not about the id."""
    return [{**GOOD, "id": f"r{i}", **h.changes} for i, h in enumerate(hostile_for(kind))]


def the_reader_names_the_expected_reason(world: World) -> None:
    world.fill(hostile_rows(world.kind))
    _, read = read_rows(world, spec_for(world.source()))
    found = [r.code if isinstance(r, Quarantined) else None for r in read]
    wrong = [(h.name, h.code, f) for h, f in zip(hostile_for(world.kind), found, strict=True) if h.code != f]
    assert wrong == []


def hostile_rows_are_counted_as_the_reader_reads_them(world: World) -> None:
    world.fill(hostile_rows(world.kind))
    spec = spec_for(world.source())
    summary, _ = world.connector(spec).summarise(None, None)
    mapping, read = read_rows(world, spec)
    assert summary is not None
    assert reference.comparable(summary.totals) == reference.totals(read, mapping)
    assert sum(summary.totals.quarantine.values()) == sum(h.code is not None for h in hostile_for(world.kind))


def each_hostile_row_alone_agrees_with_the_reader(world: World) -> None:
    """Sums could hide two errors that cancel; here each row stands beside one good row only."""
    spec = spec_for(world.source())
    wrong = []
    for place, case in enumerate(hostile_for(world.kind)):
        world.fill([{**GOOD, "id": "good"}, {**GOOD, "id": f"r{place}", "usr": "bob", **case.changes}])
        summary, _ = world.connector(spec).summarise(None, None)
        mapping, read = read_rows(world, spec)
        assert summary is not None
        if reference.comparable(summary.totals) != reference.totals(read, mapping):
            wrong.append((case.name, dict(summary.totals.quarantine), [r for r in read if isinstance(r, Quarantined)]))
    assert wrong == []


def examples_name_the_id_and_never_the_content(world: World) -> None:
    world.fill([{**GOOD, "id": "id-17", "rating": "SECRET-CONTENT"}])
    summary, _ = world.connector(spec_for(world.source())).summarise(None, None)
    assert summary is not None
    assert summary.totals.examples == {OUT: "id-17"}
    assert "SECRET-CONTENT" not in repr(summary)


def scan_yields_what_the_reader_reads(world: World) -> None:
    world.fill(hostile_rows(world.kind))
    spec = spec_for(world.source())
    window = Window(datetime(1980, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC))
    rows = [r for b in world.connector(spec).scan(window, batch_rows=7) for r in b.to_pylist()]
    _, read = read_rows(world, spec)
    expected = {r.id: r for r in read if isinstance(r, Record)}
    found = {r["id"]: r for r in rows if r["quarantine"] is None}
    assert found.keys() == expected.keys()
    for name, record in expected.items():
        row = found[name]
        fields = ("unit", "session", "input", "output", "model", "variant", "segment")
        assert [row[f] for f in fields] == [getattr(record, f) for f in fields], name
        assert microseconds(row["time"]) == record.time, name
        assert (row["signal.thumbs"], row["signal.truth"], row["signal.fix"]) == record.votes, name


def scan_tells_the_quarantined_rows_of_the_window(world: World) -> None:
    world.fill(
        [
            {**GOOD, "id": "inside", "rating": 7},
            {**GOOD, "id": "outside", "rating": 7, "created_at": "2026-01-01T00:00:00Z"},
            {**GOOD, "id": "whenever", "created_at": "never"},
            {**GOOD, "id": "good"},
        ]
    )
    window = Window(datetime(2026, 11, 20, tzinfo=UTC), datetime(2026, 11, 21, tzinfo=UTC))
    rows = [r for b in world.connector(spec_for(world.source())).scan(window) for r in b.to_pylist()]
    assert {r["id"]: r["quarantine"] for r in rows} == {"inside": OUT, "whenever": "WrongType|time", "good": None}


def scan_gives_features_labels_and_answers_as_json(world: World) -> None:
    world.fill(
        [{**GOOD, "pixels": "[1, 2.5, null]", "truth": "7", "score": "1.5", "fix": '{"digit": 3}', "guess": "4"}]
    )
    window = Window(NOW - timedelta(days=30), NOW)
    (row,) = [r for b in world.connector(spec_for(world.source())).scan(window) for r in b.to_pylist()]
    assert row["features"].replace(".0", "") == '{"f0":1,"f1":2.5,"f2":null}'
    assert row["labels"] == '{"truth":"7","score":"1.5"}'
    assert row["correction"] == '{"digit":3}'
    assert row["prediction"] == '"4"'


def a_window_is_half_open(world: World) -> None:
    times = (
        "2026-11-19T23:59:59.999999Z",
        "2026-11-20T00:00:00Z",
        "2026-11-20T23:59:59.999999Z",
        "2026-11-21T00:00:00Z",
    )
    world.fill([{**GOOD, "id": str(i), "created_at": t} for i, t in enumerate(times)])
    window = Window(datetime(2026, 11, 20, tzinfo=UTC), datetime(2026, 11, 21, tzinfo=UTC))
    rows = [r for b in world.connector(spec_for(world.source())).scan(window) for r in b.to_pylist()]
    assert sorted(r["id"] for r in rows) == ["1", "2"]


def random_rows(seed: int, number: int) -> list[dict[str, Any]]:
    """Few users, questions and answers over a few days, so that votes repeat, with some bad rows."""
    chance = random.Random(seed)
    rows = []
    for i in range(number):
        when = NOW - timedelta(seconds=chance.randrange(0, 6 * 86_400))
        rows.append(
            {
                **GOOD,
                "id": f"{seed}-{i}",
                "created_at": when.isoformat(),
                "usr": chance.choice(["ann", "bob", "cid", "Dörte", None]),
                "visit": chance.choice(["v1", None]),
                "question": chance.choice(["q1", "q2", "q3", None]),
                "answer": chance.choice(["a", "b", None]),
                "model": chance.choice(["3", "4", None]),
                "variant": chance.choice(["baseline", "candidate", None]),
                "subject": chance.choice(["maths", "art", "Öl", None]),
                "rating": chance.choice(["1", "1", "0", "-1", None, "7"]),
                "fix": chance.choice([None, None, "x"]),
                "truth": chance.choice([None, None, "y"]),
                "pixels": chance.choice(["[1,2,3]", "[1,2,3]", None, "[1,2]"]),
            }
        )
    return rows


def _random_world(world: World, seed: int = 1, number: int = 300) -> tuple[FeedbackSourceSpec, Mapping, list[Any]]:
    world.fill(random_rows(seed, number))
    spec = spec_for(world.source())
    mapping, read = read_rows(world, spec)
    return spec, mapping, read


def summaries_agree_with_the_reference(world: World) -> None:
    spec, mapping, read = _random_world(world)
    summary, _ = world.connector(spec).summarise(None, None)
    assert summary is not None
    expected = reference.totals(read, mapping)
    assert reference.comparable(summary.totals) == expected
    assert summary.totals.superseded > 0 and expected.units > 4


def outcomes_agree_with_the_reference(world: World) -> None:
    spec, mapping, read = _random_world(world)
    connector = world.connector(spec)
    arms = (Arm("baseline", ("3", "sha256:aa"), ("baseline",)), Arm("candidate", ("4",), ("candidate",)))
    start = NOW - timedelta(days=3)
    for value in ("Positive", "Negative"):
        for since, as_of in ((None, None), (NOW - timedelta(days=4), NOW - timedelta(days=1)), (NOW, None)):
            query = OutcomeQuery("thumbs", value, start, start + timedelta(days=1), arms, since, as_of)
            assert connector.outcomes(query) == reference.outcomes(read, query, mapping)
    units = sum(o.units for o in connector.outcomes(query))
    assert units > 5


def windows_in_a_row_count_every_request_once(world: World) -> None:
    spec, _, _ = _random_world(world)
    connector = world.connector(spec)
    arms = (Arm("baseline", ("3",)), Arm("candidate", ("4",)))
    days = [NOW - timedelta(days=d) for d in range(7, -1, -1)]
    each = [connector.outcomes(OutcomeQuery("thumbs", "Positive", a, b, arms)) for a, b in itertools.pairwise(days)]
    whole = connector.outcomes(OutcomeQuery("thumbs", "Positive", days[0], days[-1], arms))
    for place in (0, 1):
        assert sum(w[place].units for w in each) == whole[place].units
        assert sum(w[place].total for w in each) == whole[place].total
        assert sum(w[place].responded for w in each) == whole[place].responded


def a_revote_in_a_later_window_counts_in_the_first_and_only_there(world: World) -> None:
    world.fill(
        [
            {**GOOD, "id": "a", "created_at": "2026-11-20T10:00:00Z", "rating": 1},
            {**GOOD, "id": "b", "created_at": "2026-11-20T11:00:00Z", "rating": -1},
        ]
    )
    connector = world.connector(spec_for(world.source()))
    ten, eleven, noon = (datetime(2026, 11, 20, h, tzinfo=UTC) for h in (10, 11, 12))
    first = OutcomeQuery("thumbs", "Positive", ten, eleven, (Arm("x", ("3",)),))
    (outcome,) = connector.outcomes(first)
    assert (outcome.units, outcome.responded, outcome.total) == (1, 1, 0.0)
    (before,) = connector.outcomes(OutcomeQuery("thumbs", "Positive", ten, eleven, first.arms, as_of=eleven))
    assert before.total == 1.0
    (later,) = connector.outcomes(OutcomeQuery("thumbs", "Positive", eleven, noon, first.arms))
    assert later.units == 0


def outcomes_that_are_asked_for_are_not_of_the_future_to_a_clock_that_went_back(world: World) -> None:
    """A window that is over is over, whatever the operator's clock says an hour later."""
    world.fill([{**GOOD, "id": "a", "created_at": "2026-11-20T10:00:00Z", "rating": 1}])
    ten, eleven = (datetime(2026, 11, 20, h, tzinfo=UTC) for h in (10, 11))
    query = OutcomeQuery("thumbs", "Positive", ten, eleven, (Arm("x", ("3",)),), as_of=eleven)
    for clock in (NOW, ten - timedelta(hours=1)):
        (outcome,) = world.connector(spec_for(world.source()), clock).outcomes(query)
        assert (outcome.units, outcome.responded, outcome.total) == (1, 1, 1.0)


def requests_without_input_never_supersede_one_another(world: World) -> None:
    """An application that stores features: one user, equal answers, different requests."""
    world.fill([{**GOOD, "id": str(i), "question": None, "answer": "7", "rating": 1} for i in range(5)])
    summary, _ = world.connector(spec_for(world.source())).summarise(None, None)
    assert summary is not None
    assert (summary.totals.records, summary.totals.superseded, summary.totals.units) == (5, 0, 1)


def counts_agree_with_the_reference(world: World) -> None:
    spec, mapping, read = _random_world(world)
    connector = world.connector(spec)
    for since in (None, NOW - timedelta(days=2)):
        for models in (None, ("4",)):
            for value, signal in (("Any", None), ("Any", "truth"), ("Positive", None), ("Negative", "thumbs")):
                query = CountQuery(NOW - timedelta(hours=5), since, value, signal, models)
                assert connector.count(query) == reference.count(read, query, mapping), query


def the_count_excludes_its_start_and_includes_its_end(world: World) -> None:
    world.fill([{**GOOD, "id": str(s), "usr": str(s), "created_at": f"2026-11-20T10:00:0{s}Z"} for s in (1, 2, 3)])
    connector = world.connector(spec_for(world.source()))
    second = datetime(2026, 11, 20, 10, 0, 2, tzinfo=UTC)
    assert connector.count(CountQuery(until=second)) == 2
    assert connector.count(CountQuery(until=second, since=second)) == 0
    assert connector.count(CountQuery(until=NOW, since=second)) == 1


def unit_days_agree_with_the_reference(world: World) -> None:
    spec, mapping, read = _random_world(world)
    connector = world.connector(spec)
    for models in (None, ("3",)):
        query = UnitDayQuery("thumbs", "2026-11-21", "2026-11-16", models)
        found = connector.unit_days(query)
        assert found == reference.unit_days(read, query, mapping)
        assert len(found) > 5
    assert connector.unit_days(UnitDayQuery("thumbs", "2026-11-16", "2026-11-15")) == []


def a_first_look_reports_columns_rows_and_the_newest_time(world: World) -> None:
    world.fill([{**GOOD, "id": "a"}, {**GOOD, "id": "b", "rating": 7, "created_at": "2026-11-20T11:00:00Z"}])
    facts = world.connector(spec_for(world.source())).probe()
    assert [c.name for c in facts.columns] == list(COLUMNS)
    assert facts.newest == datetime(2026, 11, 20, 10, tzinfo=UTC)
    assert facts.rows == 2


def an_empty_table_is_no_error(world: World) -> None:
    world.fill([])
    connector = world.connector(spec_for(world.source()))
    summary, cursor = connector.summarise(None, None)
    assert summary is not None
    assert (summary.totals.records, summary.totals.units, summary.totals.first) == (0, 0, None)
    assert len(cursor) <= 1024
    assert connector.probe().newest is None
    assert connector.outcomes(OutcomeQuery("thumbs", "Positive", NOW, NOW, (Arm("x", ("1",)),)))[0].units == 0


def queries_are_sources_too(world: World) -> None:
    _spec, mapping, read = _random_world(world)
    asked = spec_for(world.source("SELECT * FROM feedback -- a comment at the end"))
    summary, cursor = world.connector(asked).summarise(None, None)
    assert summary is not None
    assert reference.comparable(summary.totals) == reference.totals(read, mapping)
    again, _ = world.connector(asked).summarise(cursor, summary)
    assert again is None or reference.comparable(again.totals) == reference.comparable(summary.totals)


def a_join_that_repeats_rows_counts_them_once(world: World) -> None:
    world.fill([{**GOOD, "id": "a"}, {**GOOD, "id": "b", "question": None}])
    doubled = spec_for(world.source("SELECT * FROM feedback UNION ALL SELECT * FROM feedback"))
    summary, _ = world.connector(doubled).summarise(None, None)
    assert summary is not None
    assert summary.totals.records == 2
    assert summary.totals.signals["thumbs"].total == 2


def an_unknown_column_is_named_with_the_nearest(world: World) -> None:
    world.fill([GOOD])
    with pytest.raises(SchemaMismatch) as caught:
        world.connector(spec_for(world.source(), segment="subjct")).probe()
    assert (caught.value.column, caught.value.nearest) == ("subjct", "subject")
    assert "record.segment" in caught.value.message


def an_unknown_table_is_named_with_the_nearest(world: World) -> None:
    world.fill([GOOD])
    source = world.source()
    next(iter(source.values()))["table"] = "feedbak"
    with pytest.raises(SchemaMismatch) as caught:
        world.connector(spec_for(source)).summarise(None, None)
    assert caught.value.nearest == "feedback"


def an_unknown_signal_is_refused_with_those_that_exist(world: World) -> None:
    world.fill([GOOD])
    connector = world.connector(spec_for(world.source()))
    with pytest.raises(SchemaMismatch, match="thumbs, truth, fix"):
        connector.outcomes(OutcomeQuery("stars", "Positive", NOW, NOW, (Arm("x", ("1",)),)))


def values_may_lie_inside_json(world: World) -> None:
    payload = [
        '{"rating": {"value": 1}, "who": "ann"}',
        '{"rating": {"value": "down"}, "who": "bob"}',
        '{"rating": {"value": 5}, "who": "ann"}',
        '{"rating": {"value": [1]}, "who": "ann"}',
        '{"rating": {}, "who": 7}',
        '{"rating": null}',
        '{"rating": {"value": true}, "who": true}',
        '{"rating": {"value": 1.0}, "who": 1.0}',
        "null",
        None,
        '"just a text"',
        "[1, 2]",
    ]
    world.fill([{**GOOD, "id": str(i), "pixels": p} for i, p in enumerate(payload)])
    spec = spec_for(world.source(), features=None, unit="pixels.who", signals=[thumbs("pixels.rating.value")])
    summary, _ = world.connector(spec).summarise(None, None)
    mapping, read = read_rows(world, spec, None)
    assert summary is not None
    assert reference.comparable(summary.totals) == reference.totals(read, mapping)
    assert summary.totals.signals["thumbs"].positive == 2
    assert summary.totals.quarantine == {OUT: 2, "WrongType|signal thumbs": 1}


def features_may_lie_in_a_column_each(world: World) -> None:
    columns = [{"name": "score", "from": "score"}, {"name": "subject", "from": "subject", "type": "Categorical"}]
    world.fill([{**GOOD, "id": "a", "score": "x" if world.kind == "sqlite" else None}, {**GOOD, "id": "b"}])
    spec = spec_for(world.source(), features={"columns": columns}, labels=None, signals=[thumbs("rating")])
    summary, _ = world.connector(spec).summarise(None, None)
    mapping, read = read_rows(world, spec, None)
    assert summary is not None
    assert reference.comparable(summary.totals) == reference.totals(read, mapping)
    window = Window(NOW - timedelta(days=30), NOW)
    rows = [r for b in world.connector(spec).scan(window) for r in b.to_pylist() if r["id"] == "b"]
    assert rows[0]["features"] == '{"score":null,"subject":"maths"}'


def features_in_columns_do_not_hide_what_is_wrong_or_foreign_elsewhere(world: World) -> None:
    world.fill([{**GOOD, "id": "a", "usr": "Jürgen"}, {**GOOD, "id": "b", "rating": 7}])
    features = {"columns": [{"name": "score", "from": "score"}]}
    spec = spec_for(world.source(), features=features, labels=None, signals=[thumbs("rating")])
    summary, _ = world.connector(spec).summarise(None, None)
    assert summary is not None
    assert (summary.totals.records, dict(summary.totals.quarantine)) == (1, {OUT: 1})


Change = Callable[[World, random.Random, int], None]


def _insert(world: World, chance: random.Random, step: int) -> None:
    world.insert(random_rows(1000 + step, chance.randrange(1, 6)))


def _update(world: World, chance: random.Random, step: int) -> None:
    world.execute(f"UPDATE feedback SET rating = '-1' WHERE id = '1-{chance.randrange(60)}'")


def _delete(world: World, chance: random.Random, step: int) -> None:
    world.execute(f"DELETE FROM feedback WHERE id = '1-{chance.randrange(60)}'")


def _replace(world: World, chance: random.Random, step: int) -> None:
    """One row goes and another comes: the number of rows stays."""
    _delete(world, chance, step)
    world.insert(random_rows(2000 + step, 1))


def _nothing(world: World, chance: random.Random, step: int) -> None:
    pass


def incremental_summaries_equal_full_ones(world: World) -> None:
    """Whatever happens between two looks, continuing gives what reading everything gives."""
    spec, _, _ = _random_world(world, number=60)
    connector = world.connector(spec)
    summary, cursor = connector.summarise(None, None)
    chance = random.Random(7)
    for step in range(30):
        chance.choice((_insert, _insert, _update, _delete, _replace, _nothing))(world, chance, step)
        summary, cursor = connector.summarise(cursor, summary)
        full, _ = world.connector(spec).summarise(None, None)
        assert summary is not None and full is not None
        assert reference.comparable(summary.totals) == reference.comparable(full.totals), step
        assert len(cursor) <= 1024


def a_clock_that_goes_back_counts_nothing_twice(world: World) -> None:
    times = [NOW - timedelta(hours=h, minutes=30) for h in range(12)]
    world.fill(
        [{**GOOD, "id": str(i), "usr": f"u{i}", "created_at": t.isoformat()} for i, t in enumerate(reversed(times))]
    )
    spec = spec_for(world.source())
    summary, cursor = world.connector(spec, NOW).summarise(None, None)
    for minutes in (400, 200, 30, 0, 500):
        now = NOW + timedelta(minutes=minutes)
        summary, cursor = world.connector(spec, now).summarise(cursor, summary)
        full, _ = world.connector(spec, now).summarise(None, None)
        assert summary is not None and full is not None
        assert reference.comparable(summary.totals) == reference.comparable(full.totals), minutes


def a_row_of_the_future_counts_once_its_time_has_come(world: World) -> None:
    world.fill([{**GOOD, "id": "a"}, {**GOOD, "id": "b", "usr": "bob", "created_at": "2026-11-21T13:00:00Z"}])
    spec = spec_for(world.source())
    summary, cursor = world.connector(spec).summarise(None, None)
    assert summary is not None and summary.totals.quarantine == {"FutureTime|time": 1}
    later, cursor = world.connector(spec, NOW + timedelta(minutes=30)).summarise(cursor, summary)
    assert later is not None and later.totals.records == 1
    due, _ = world.connector(spec, NOW + timedelta(hours=2)).summarise(cursor, later)
    assert due is not None and (due.totals.records, dict(due.totals.quarantine)) == (2, {})


def another_spec_or_a_foreign_cursor_means_reading_everything(world: World) -> None:
    world.fill([GOOD])
    spec = spec_for(world.source())
    summary, cursor = world.connector(spec).summarise(None, None)
    other = spec_for(world.source(), unit=None)
    assert summary is not None
    renewed, changed = world.connector(other).summarise(cursor, summary)
    assert renewed is not None and renewed is not summary
    assert changed != cursor
    for nonsense in ("", "{", "[]", '{"f": 1}', "null", cursor[:-3]):
        again, _ = world.connector(spec).summarise(nonsense, summary)
        assert again is not None and again.totals == summary.totals


CONTRACT: tuple[Callable[[Any], None], ...] = (
    the_reader_names_the_expected_reason,
    hostile_rows_are_counted_as_the_reader_reads_them,
    each_hostile_row_alone_agrees_with_the_reader,
    examples_name_the_id_and_never_the_content,
    scan_yields_what_the_reader_reads,
    scan_tells_the_quarantined_rows_of_the_window,
    scan_gives_features_labels_and_answers_as_json,
    a_window_is_half_open,
    summaries_agree_with_the_reference,
    outcomes_agree_with_the_reference,
    windows_in_a_row_count_every_request_once,
    a_revote_in_a_later_window_counts_in_the_first_and_only_there,
    outcomes_that_are_asked_for_are_not_of_the_future_to_a_clock_that_went_back,
    requests_without_input_never_supersede_one_another,
    counts_agree_with_the_reference,
    the_count_excludes_its_start_and_includes_its_end,
    unit_days_agree_with_the_reference,
    a_first_look_reports_columns_rows_and_the_newest_time,
    an_empty_table_is_no_error,
    queries_are_sources_too,
    a_join_that_repeats_rows_counts_them_once,
    an_unknown_column_is_named_with_the_nearest,
    an_unknown_table_is_named_with_the_nearest,
    an_unknown_signal_is_refused_with_those_that_exist,
    values_may_lie_inside_json,
    features_may_lie_in_a_column_each,
    features_in_columns_do_not_hide_what_is_wrong_or_foreign_elsewhere,
    incremental_summaries_equal_full_ones,
    a_clock_that_goes_back_counts_nothing_twice,
    a_row_of_the_future_counts_once_its_time_has_come,
    another_spec_or_a_foreign_cursor_means_reading_everything,
)
