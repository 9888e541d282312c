"""The contract of connectors, and what is peculiar to PostgreSQL, on a real server."""

import psycopg
import pytest
from feedback_contract import COLUMNS, CONTRACT, GOOD, NOW, spec_for
from feedback_numbers_contract import NUMBERS
from feedback_reference import comparable
from postgres_server import PASSWORD, running_server

from retrainer.feedback.connectors.postgres import PostgresConnector
from retrainer.feedback.connectors.protocol import Timeouts
from retrainer.feedback.credentials import Credentials
from retrainer.feedback.errors import SchemaMismatch

SECRET = {"connectionSecretRef": {"name": "feedback-db", "key": "dsn"}}


class PostgresWorld:
    kind = "postgres"

    def __init__(self, server):
        self.server = server
        self.admin = psycopg.connect(server.admin, autocommit=True)

    def fill(self, rows, types=None):
        kinds = dict.fromkeys(COLUMNS, "text") | {"pixels": "jsonb"} | (types or {})
        self.execute("DROP TABLE IF EXISTS feedback CASCADE")
        self.execute(f"CREATE TABLE feedback ({', '.join(f'{n} {k}' for n, k in kinds.items())})")
        self.execute("GRANT SELECT ON feedback TO reader")
        self.insert(rows)

    def insert(self, rows):
        with self.admin.cursor() as cursor:
            marks = ", ".join(["%s"] * len(COLUMNS))
            values = [[None if row[c] is None else str(row[c]) for c in COLUMNS] for row in rows]
            cursor.executemany(f"INSERT INTO feedback VALUES ({marks})", values)

    def execute(self, sql):
        self.admin.execute(sql)

    def source(self, query=None):
        return {"postgres": {**SECRET, **({"query": query} if query else {"table": "feedback"})}}

    def connector(self, spec, now=NOW, timeouts=Timeouts()):  # noqa: B008
        credentials = Credentials(self.server.dsn(), ("127.0.0.1",))
        return PostgresConnector(spec, credentials, timeouts, clock=now.timestamp)

    def raw(self, columns):
        # JSON as text: parsed by the driver, a JSON string could not be told from a text.
        shown = (f"{c}::text" if c == "pixels" else c for c in columns)
        return self.admin.execute(f"SELECT {', '.join(shown)} FROM feedback").fetchall()


@pytest.fixture(scope="module")
def server():
    with running_server() as running:
        with psycopg.connect(running.admin, autocommit=True) as admin:
            admin.execute(f"CREATE ROLE reader LOGIN PASSWORD '{PASSWORD}'")
        yield running


@pytest.fixture
def world(server):
    world = PostgresWorld(server)
    yield world
    world.admin.close()


@pytest.mark.parametrize("check", [*CONTRACT, *NUMBERS], ids=lambda c: c.__name__)
def test_contract(check, world):
    check(world)


def _times(world):
    """Time of each readable row by id, and the quarantine, as the connector sees them."""
    connector = world.connector(spec_for(world.source(), features=None))
    summary, _ = connector.summarise(None, None)
    with connector._session() as session:
        from retrainer.feedback.connectors.statements import Rows

        rows = session.all(f"SELECT id, t, reason FROM ({session.rows.canonical(Rows())}) c")
    assert summary is not None
    return {r[0]: r[1] for r in rows if r[2] is None}, {r[0]: r[2] for r in rows if r[2] is not None}


MOMENT = 1_767_225_600_000_000  # 2026-01-01T00:00:00Z


@pytest.mark.parametrize(
    ("kind", "values", "readable", "bad"),
    [
        (
            "timestamptz",
            {"a": "2026-01-01T02:00:00+02", "b": "2026-01-01T00:00:00.000001Z", "inf": "infinity", "minf": "-infinity",
             "far": "294276-12-31 23:59:59Z", "bc": "4713-01-01 00:00:00 BC", "old": "1970-01-01T00:00:00Z"},
            {"a": MOMENT, "b": MOMENT + 1},
            {"inf": "FutureTime|time", "minf": "TimeOutOfRange|time", "far": "FutureTime|time",
             "bc": "TimeOutOfRange|time", "old": "TimeOutOfRange|time"},
        ),
        ("timestamp", {"a": "2026-01-01 00:00:00", "inf": "infinity"}, {"a": MOMENT}, {"inf": "FutureTime|time"}),
        ("date", {"a": "2026-01-01", "inf": "infinity"}, {"a": MOMENT}, {"inf": "FutureTime|time"}),
        (
            "bigint",
            {"s": "1767225600", "ms": "1767225600000", "us": "1767225600000000", "zero": "0",
             "huge": "9223372036854775807", "tiny": "-9223372036854775808"},
            {"s": MOMENT, "ms": MOMENT, "us": MOMENT},
            {"zero": "TimeOutOfRange|time", "huge": "TimeOutOfRange|time", "tiny": "TimeOutOfRange|time"},
        ),
        (
            "double precision",
            {"s": "1767225600.5", "nan": "NaN", "inf": "Infinity", "huge": "1e300"},
            {"s": MOMENT + 500_000},
            {"nan": "NotFinite|time", "inf": "NotFinite|time", "huge": "TimeOutOfRange|time"},
        ),
        ("numeric", {"s": "1767225600.000001", "nan": "NaN"}, {"s": MOMENT + 1}, {"nan": "NotFinite|time"}),
        ("boolean", {"a": "true"}, {}, {"a": "WrongType|time"}),
        (
            "jsonb",
            {"s": "1767225600", "t": '"2026-01-01T00:00:00Z"', "w": '"soon"', "n": "null", "o": "{}", "l": "1e300"},
            {"s": MOMENT, "t": MOMENT},
            {"w": "WrongType|time", "n": "MissingTime|time", "o": "WrongType|time", "l": "TimeOutOfRange|time"},
        ),
    ],
)  # fmt: skip
def test_times_of_every_column_type(world, kind, values, readable, bad):
    world.fill([{**GOOD, "id": i, "created_at": v} for i, v in values.items()], {"created_at": kind})
    assert _times(world) == (readable, bad)


@pytest.mark.parametrize(
    ("kind", "values", "votes", "bad"),
    [
        ("smallint", {"a": "1", "b": "-1", "c": "7", "d": None}, (1, 1), "SignalOutOfRange|signal thumbs"),
        ("numeric", {"a": "1.000", "b": "-1.0", "c": "NaN"}, (1, 1), "NotFinite|signal thumbs"),
        ("real", {"a": "1", "b": "-1", "c": "Infinity"}, (1, 1), "NotFinite|signal thumbs"),
        ("double precision", {"a": "1", "b": "-1", "c": "4.5"}, (1, 1), "SignalOutOfRange|signal thumbs"),
        ("varchar(8)", {"a": "up", "b": "down", "c": "UP"}, (1, 1), "SignalOutOfRange|signal thumbs"),
        ("jsonb", {"a": "1.0", "b": '"down"', "c": "[1]"}, (1, 1), "WrongType|signal thumbs"),
        ("bytea", {"c": "x"}, (0, 0), "WrongType|signal thumbs"),
        ("integer[]", {"c": "{1,2}"}, (0, 0), "WrongType|signal thumbs"),
    ],
)
def test_votes_of_every_column_type(world, kind, values, votes, bad):
    world.fill([{**GOOD, "id": i, "usr": i, "rating": v} for i, v in values.items()], {"rating": kind})
    summary, _ = world.connector(spec_for(world.source())).summarise(None, None)
    counts = summary.totals.signals["thumbs"]
    assert (counts.positive, counts.negative) == votes
    assert summary.totals.quarantine == {bad: 1}


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (r'{"who": "a\u0000b"}', "NulText|unit"),
        (r'{"who": "a\\u0000b"}', None),
        (r'{"who": "a\ud83d\ude42b"}', None),
        (r'{"who": "a\ud83db"}', "NulText|unit"),
        ('{"who": 1e400000}', "NotFinite|unit"),
        ('{"who": "1e400000"}', None),
        ('{"other": "1e40000"}', None),
        ('{"who": 5}', None),
        ('{"who": {}}', "WrongType|unit"),
    ],
)
def test_json_columns_hold_what_jsonb_would_refuse_and_end_no_statement(world, text, code):
    world.fill([{**GOOD, "id": "x", "pixels": text}, {**GOOD, "id": "good", "pixels": "{}"}], {"pixels": "json"})
    spec = spec_for(world.source(), unit="pixels.who", features=None)
    summary, _ = world.connector(spec).summarise(None, None)
    assert dict(summary.totals.quarantine) == ({code: 1} if code else {})


def test_features_may_be_an_array_column(world):
    rows = [{**GOOD, "id": "a", "pixels": "{1,2,3}"}, {**GOOD, "id": "b", "pixels": "{1,NaN,3}"},
            {**GOOD, "id": "c", "pixels": "{1,2}"}, {**GOOD, "id": "d", "pixels": "{4,5,6}"}]  # fmt: skip
    world.fill(rows, {"pixels": "double precision[]"})
    summary, _ = world.connector(spec_for(world.source())).summarise(None, None)
    assert summary.totals.quarantine == {"WrongType|features": 1, "WrongFeatureCount|features": 1}


def test_feature_columns_of_every_type(world):
    world.fill(
        [{**GOOD, "id": "a", "score": "1.5"}, {**GOOD, "id": "b", "score": "NaN", "usr": "b"}],
        {"score": "double precision"},
    )
    features = {"columns": [{"name": "s", "from": "score"}, {"name": "m", "from": "subject", "type": "Categorical"}]}
    summary, _ = world.connector(spec_for(world.source(), features=features, labels=None)).summarise(None, None)
    assert summary.totals.quarantine == {"NotFinite|feature s": 1}


@pytest.mark.parametrize(
    ("changes", "field"),
    [({"unit": "usr.name"}, "record.unit"), ({"features": {"from": "usr"}}, "record.features.from")],
)
def test_nothing_is_taken_out_of_a_text_column(world, changes, field):
    world.fill([GOOD])
    with pytest.raises(SchemaMismatch, match="json") as caught:
        world.connector(spec_for(world.source(), **changes)).summarise(None, None)
    assert caught.value.message.startswith(field)


def test_a_row_that_commits_late_is_not_lost_although_its_id_is_older(world):
    """Two writers: the one with the lower id commits after we looked."""
    world.fill([{**GOOD, "id": "0", "usr": "zero"}])
    early = psycopg.connect(world.server.admin)
    columns = ", ".join(["%s"] * len(COLUMNS))
    late_row = [None if v is None else str(v) for v in {**GOOD, "id": "1", "usr": "late"}.values()]
    early.execute(f"INSERT INTO feedback VALUES ({columns})", late_row)
    world.insert([{**GOOD, "id": "2", "usr": "prompt"}])
    connector = world.connector(spec_for(world.source()))
    summary, cursor = connector.summarise(None, None)
    assert summary.totals.units == 2
    early.commit()
    early.close()
    again, _ = connector.summarise(cursor, summary)
    assert again.totals.units == 3


def test_old_rows_that_commit_late_are_not_lost_either(world):
    """As above, with times long before the open day, and in a subtransaction."""
    old = {**GOOD, "created_at": "2026-01-01T00:00:00Z"}
    world.fill([{**old, "id": "0", "usr": "zero"}])
    early = psycopg.connect(world.server.admin)
    columns = ", ".join(["%s"] * len(COLUMNS))
    with early.transaction(), early.transaction():
        row = [None if v is None else str(v) for v in {**old, "id": "1", "usr": "late"}.values()]
        early.execute(f"INSERT INTO feedback VALUES ({columns})", row)
        world.insert([{**old, "id": "2", "usr": "prompt"}])
        connector = world.connector(spec_for(world.source()))
        summary, cursor = connector.summarise(None, None)
        assert summary.totals.units == 2
    early.close()
    again, cursor = connector.summarise(cursor, summary)
    assert again.totals.units == 3
    full, _ = connector.summarise(None, None)
    assert comparable(full.totals) == comparable(again.totals)


def test_votes_filled_in_by_update_soon_after_the_answer_need_no_full_read(world, monkeypatch):
    rows = [{**GOOD, "id": str(i), "usr": f"u{i}", "created_at": "2026-10-01T00:00:00Z"} for i in range(20)]
    today = {**GOOD, "id": "today", "usr": "new", "created_at": "2026-11-21T11:00:00Z", "rating": None}
    world.fill([*rows, today])
    connector = world.connector(spec_for(world.source()))
    summary, cursor = connector.summarise(None, None)
    world.execute("UPDATE feedback SET rating = '-1' WHERE id = 'today'")
    from retrainer.feedback.connectors import postgres

    asked = []
    totals = postgres._Session.totals
    monkeypatch.setattr(postgres._Session, "totals", lambda s, rows, sets: asked.append(rows) or totals(s, rows, sets))
    again, _ = connector.summarise(cursor, summary)
    assert again.totals.signals["thumbs"].negative == 1
    assert [r.touched for r in asked] == [True]


def test_an_update_of_an_old_row_leads_to_a_full_read(world):
    rows = [{**GOOD, "id": str(i), "usr": f"u{i}", "created_at": "2026-10-01T00:00:00Z"} for i in range(20)]
    world.fill(rows)
    connector = world.connector(spec_for(world.source()))
    summary, cursor = connector.summarise(None, None)
    world.execute("UPDATE feedback SET rating = '-1' WHERE id = '3'")
    again, _ = connector.summarise(cursor, summary)
    assert again.totals.signals["thumbs"].negative == 1


def test_a_truncated_and_refilled_table_is_read_anew(world):
    old = {**GOOD, "created_at": "2026-10-01T00:00:00Z"}
    world.fill([old])
    connector = world.connector(spec_for(world.source()))
    summary, cursor = connector.summarise(None, None)
    world.execute("TRUNCATE feedback")
    world.insert([{**old, "rating": "-1"}])
    again, _ = connector.summarise(cursor, summary)
    assert again.totals.signals["thumbs"].negative == 1


@pytest.mark.parametrize(
    "define",
    [
        "CREATE VIEW seen AS SELECT * FROM feedback",
        "CREATE MATERIALIZED VIEW seen AS SELECT * FROM feedback",
        "CREATE TABLE seen (LIKE feedback) PARTITION BY LIST (model); "
        "CREATE TABLE seen_3 PARTITION OF seen FOR VALUES IN ('3'); INSERT INTO seen SELECT * FROM feedback",
    ],
)
def test_views_and_partitioned_tables_are_sources(world, define):
    world.fill([GOOD])
    world.execute("DROP TABLE IF EXISTS seen CASCADE")
    world.execute(define)
    world.execute("GRANT SELECT ON seen TO reader")
    connector = world.connector(spec_for({"postgres": {**SECRET, "table": "public.seen"}}))
    summary, cursor = connector.summarise(None, None)
    again, _ = connector.summarise(cursor, summary)
    assert summary.totals.records == again.totals.records == 1


def test_names_are_quoted_whatever_they_are(world):
    name = 'we"ird; DROP TABLE feedback; --'
    world.fill([GOOD])
    quoted = '"' + name.replace('"', '""') + '"'
    world.execute(f"DROP TABLE IF EXISTS {quoted}")
    world.execute(f'CREATE TABLE {quoted} (id text, created_at text, "order" text, rating text)')
    world.execute(f"INSERT INTO {quoted} VALUES ('1', '2026-11-20', 'u''%s\\', '1')")
    world.execute(f"GRANT SELECT ON {quoted} TO reader")
    spec = spec_for(
        {"postgres": {**SECRET, "table": name}}, unit="order", session=None, input=None, output=None, model=None,
        variant=None, segment=None, correction=None, prediction=None, features=None, labels=None,
        signals=[{"name": "o'brien\\", "from": "rating", "thumbs": {"positive": ["1", "it's\\"], "negative": ["%s"]}}],
    )  # fmt: skip
    summary, _ = world.connector(spec).summarise(None, None)
    assert summary.totals.signals["o'brien\\"].positive == 1
    assert world.raw(["id"]) == [("r1",)]
    world.execute(f"DROP TABLE {quoted}")


def test_a_role_with_its_own_settings_changes_nothing(world):
    world.fill([GOOD])
    world.execute("ALTER ROLE reader SET standard_conforming_strings = off")
    world.execute("ALTER ROLE reader SET timezone = 'Asia/Tokyo'")
    world.execute("ALTER ROLE reader SET datestyle = 'German'")
    try:
        times, bad = _times(world)
        world.fill([{**GOOD, "created_at": "2026-01-01 00:00:00"}], {"created_at": "timestamp"})
        plain, _ = _times(world)
    finally:
        world.execute("ALTER ROLE reader RESET ALL")
    assert times == {"r1": 1_795_168_800_000_000}
    assert bad == {}
    assert plain == {"r1": MOMENT}
