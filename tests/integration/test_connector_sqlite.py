"""The contract of connectors, on a real SQLite file."""

import os
import sqlite3
import time
from contextlib import closing

import pytest
from feedback_contract import BROKEN, COLUMNS, CONTRACT, GOOD, NOW, Broken, spec_for
from feedback_numbers_contract import NUMBERS

from retrainer.feedback.connectors import sqlite
from retrainer.feedback.connectors.protocol import Timeouts
from retrainer.feedback.connectors.sqlite import SQLiteConnector
from retrainer.feedback.quality import BLOB


class SQLiteWorld:
    kind = "sqlite"

    def __init__(self, root):
        self.root = root
        self.file = root / "feedback.db"

    def fill(self, rows, types=None):
        with closing(sqlite3.connect(self.file)) as connection, connection:
            connection.execute("DROP TABLE IF EXISTS feedback")
            connection.execute(f"CREATE TABLE feedback ({', '.join(COLUMNS)})")
        self.insert(rows)

    def insert(self, rows):
        with closing(sqlite3.connect(self.file)) as connection, connection:
            for row in rows:
                marks = ", ".join("CAST(x'61ff62' AS TEXT)" if isinstance(row[c], Broken) else "?" for c in COLUMNS)
                values = [row[c] for c in COLUMNS if not isinstance(row[c], Broken)]
                connection.execute(f"INSERT INTO feedback VALUES ({marks})", values)

    def execute(self, sql):
        with closing(sqlite3.connect(self.file)) as connection, connection:
            connection.execute(sql)

    def source(self, query=None):
        return {"sqlite": {"path": "feedback.db", **({"query": query} if query else {"table": "feedback"})}}

    def connector(self, spec, now=NOW, timeouts=Timeouts()):  # noqa: B008
        return SQLiteConnector(spec, self.root, timeouts, clock=now.timestamp)

    def raw(self, columns):
        with closing(sqlite3.connect(self.file)) as connection:
            connection.text_factory = bytes
            kinds = ", ".join(f'typeof("{c}")' for c in columns)
            names = ", ".join(f'"{c}"' for c in columns)
            rows = connection.execute(f"SELECT {names}, {kinds} FROM feedback").fetchall()
        width = len(columns)
        return [tuple(BLOB if k == b"blob" else v for v, k in zip(r[:width], r[width:], strict=True)) for r in rows]


@pytest.fixture
def world(tmp_path):
    return SQLiteWorld(tmp_path)


@pytest.mark.parametrize("check", [*CONTRACT, *NUMBERS], ids=lambda c: c.__name__)
def test_contract(check, world):
    check(world)


def test_only_touched_units_are_aggregated_again(world, monkeypatch):
    world.fill([{**GOOD, "id": str(i), "usr": f"u{i % 10}"} for i in range(50)])
    connector = world.connector(spec_for(world.source()))
    summary, cursor = connector.summarise(None, None)
    world.insert([{**GOOD, "id": "new", "usr": "u3"}])
    asked = []
    totals = sqlite._Session.totals
    monkeypatch.setattr(sqlite._Session, "totals", lambda s, rows, sets: asked.append(rows) or totals(s, rows, sets))
    connector.summarise(cursor, summary)
    assert [(r.touched, r.old) for r in asked] == [(True, "50")]


def test_votes_filled_in_by_update_soon_after_the_answer_need_no_full_read(world, monkeypatch):
    today = {**GOOD, "id": "today", "usr": "new", "created_at": "2026-11-21T11:00:00Z", "rating": None}
    world.fill([*({**GOOD, "id": str(i), "usr": f"u{i}"} for i in range(20)), today])
    connector = world.connector(spec_for(world.source()))
    summary, cursor = connector.summarise(None, None)
    world.execute("UPDATE feedback SET rating = -1 WHERE id = 'today'")
    asked = []
    totals = sqlite._Session.totals
    monkeypatch.setattr(sqlite._Session, "totals", lambda s, rows, sets: asked.append(rows) or totals(s, rows, sets))
    again, _ = connector.summarise(cursor, summary)
    assert again.totals.signals["thumbs"].negative == 1
    assert [(r.touched, r.old) for r in asked] == [(True, "20")]


def test_an_unchanged_file_is_not_read(world):
    world.fill([GOOD])
    os.utime(world.file, (time.time() - 60, time.time() - 60))
    connector = SQLiteConnector(spec_for(world.source()), world.root, Timeouts())
    summary, cursor = connector.summarise(None, None)
    assert connector.summarise(cursor, summary) == (summary, cursor)
    assert connector.summarise(cursor, None) == (None, cursor)
    world.insert([{**GOOD, "id": "b", "question": "other"}])
    changed, _ = connector.summarise(cursor, summary)
    assert changed.totals.records == 2


def test_a_file_written_a_moment_ago_is_read_again_even_if_it_looks_the_same(world):
    world.fill([GOOD])
    connector = SQLiteConnector(spec_for(world.source()), world.root, Timeouts())
    summary, cursor = connector.summarise(None, None)
    before = world.file.stat()
    world.execute("UPDATE feedback SET rating = -1")
    os.utime(world.file, ns=(before.st_atime_ns, before.st_mtime_ns))
    changed, _ = connector.summarise(cursor, summary)
    assert changed.totals.signals["thumbs"].negative == 1


def test_an_update_in_place_is_noticed_although_the_number_of_rows_stays(world):
    world.fill([{**GOOD, "id": str(i), "usr": f"u{i}"} for i in range(20)])
    connector = world.connector(spec_for(world.source()))
    summary, cursor = connector.summarise(None, None)
    world.execute("UPDATE feedback SET rating = -1 WHERE id = '7'")
    changed, _ = connector.summarise(cursor, summary)
    assert changed.totals.signals["thumbs"].negative == 1


def test_views_and_tables_without_row_numbers_are_read_in_full(world):
    world.fill([GOOD])
    world.execute("CREATE VIEW seen AS SELECT * FROM feedback")
    world.execute(f"CREATE TABLE plain ({', '.join(COLUMNS)}, PRIMARY KEY (id)) WITHOUT ROWID")
    world.execute("INSERT INTO plain SELECT * FROM feedback")
    for table in ("seen", "plain"):
        connector = world.connector(spec_for({"sqlite": {"path": "feedback.db", "table": table}}))
        summary, cursor = connector.summarise(None, None)
        assert summary.base is None and summary.totals.records == 1
        world.execute("UPDATE feedback SET rating = -1")
        world.execute("UPDATE plain SET rating = -1")
        changed, _ = connector.summarise(cursor, summary)
        assert changed.totals.signals["thumbs"].negative == 1


def test_a_column_called_rowid_does_not_confuse_the_row_numbers(world):
    world.fill([GOOD])
    world.execute("ALTER TABLE feedback ADD COLUMN rowid TEXT DEFAULT 'x'")
    connector = world.connector(spec_for(world.source()))
    summary, cursor = connector.summarise(None, None)
    world.execute("INSERT INTO feedback SELECT 'z' || id, created_at, 'bob', visit, question, answer, model, variant, "
                  "subject, rating, fix, truth, score, guess, pixels, 'y' FROM feedback")  # fmt: skip
    changed, _ = connector.summarise(cursor, summary)
    assert changed.totals.units == 2


def test_a_writer_in_write_ahead_mode_is_followed(world):
    world.fill([GOOD])
    with closing(sqlite3.connect(world.file)) as writer:
        writer.execute("PRAGMA journal_mode = WAL")
        connector = world.connector(spec_for(world.source()))
        summary, cursor = connector.summarise(None, None)
        writer.execute(f"INSERT INTO feedback SELECT 'b', {', '.join(COLUMNS[1:])} FROM feedback")
        writer.execute("UPDATE feedback SET usr = 'bob' WHERE id = 'b'")
        writer.commit()
        changed, _ = connector.summarise(cursor, summary)
        assert (summary.totals.units, changed.totals.units) == (1, 2)


def test_broken_text_is_really_stored_broken(world):
    world.fill([{**GOOD, "usr": BROKEN}])
    assert world.raw(["usr"]) == [(b"a\xffb",)]
