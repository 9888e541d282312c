"""What a FeedbackSource may not do with an SQLite file, each tried the way that breaks the naive reader."""

import os
import sqlite3
import time
from contextlib import closing

import pytest

from retrainer.api.v1alpha1.feedback_source import FeedbackSourceSpec
from retrainer.feedback.connectors import open_connector
from retrainer.feedback.connectors.protocol import Timeouts
from retrainer.feedback.errors import SchemaMismatch, SourceError, TimedOut, Unauthorized, Unreachable

SECRET = "pässword-0451"


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    with closing(sqlite3.connect(folder / "f.db")) as connection, connection:
        connection.execute("CREATE TABLE feedback (id, at, rating)")
        connection.execute("INSERT INTO feedback VALUES ('1', '2026-01-01', '1')")
    return folder


def connector(root, path="f.db", timeouts=Timeouts(), **source):  # noqa: B008
    source = source or {"table": "feedback"}
    spec = FeedbackSourceSpec.model_validate(
        {
            "sqlite": {"path": path, **source},
            "record": {"id": "id", "time": "at"},
            "signals": [{"name": "t", "from": "rating", "thumbs": {"positive": ["1"], "negative": ["0"]}}],
        }
    )
    return open_connector(spec, data_root=root, timeouts=timeouts)


def test_the_fixture_can_be_read(root):
    summary, _ = connector(root).summarise(None, None)
    assert summary.totals.records == 1


def test_the_naive_read_only_connection_really_allows_attach(root):
    """The reason for the authorizer: mode=ro creates a file elsewhere."""
    with closing(sqlite3.connect(f"file:{root}/f.db?mode=ro", uri=True)) as naive:
        naive.execute(f"ATTACH 'file:{root}/created.db?mode=rwc' AS other")
        naive.execute("CREATE TABLE other.x (a)")
    assert (root / "created.db").exists()


@pytest.mark.parametrize(
    "query",
    [
        "ATTACH 'file:{root}/stolen.db?mode=rwc' AS x",
        "SELECT 1) q; ATTACH 'file:{root}/stolen.db?mode=rwc' AS x; SELECT * FROM (SELECT 1",
        "INSERT INTO feedback VALUES (2, 2, 2)",
        "INSERT INTO feedback VALUES (2, 2, 2) RETURNING *",
        "DELETE FROM feedback",
        "DROP TABLE feedback",
        "CREATE TABLE stolen (a)",
        "PRAGMA writable_schema = 1",
        "PRAGMA query_only = OFF",
        "VACUUM INTO '{root}/stolen.db'",
        "SELECT load_extension('{root}/evil.so')",
        "SELECT * FROM feedback; SELECT 1",
        "SELECT * FROM feedback; DELETE FROM feedback",
        "SELECT * FROM pragma_database_list",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i AS id, 1 AS at, 1 AS rating FROM n",
        "",
        "SELECT",
        "SELECT * FROM feedback) --",
        "SELECT * FROM feedback /* open",
        "EXPLAIN SELECT 1",
        "COMMIT",
        "ROLLBACK",
    ],
)
def test_a_query_can_only_select(root, query):
    with pytest.raises((Unauthorized, SchemaMismatch)) as caught:
        connector(root, query=query.format(root=root) or " ").summarise(None, None)
    assert "spec.sqlite" in caught.value.message
    assert str(root) not in caught.value.message
    assert sorted(os.listdir(root)) == ["f.db"]
    summary, _ = connector(root).summarise(None, None)
    assert summary.totals.records == 1


def test_a_view_cannot_do_more_than_a_query(root):
    with closing(sqlite3.connect(root / "f.db")) as connection, connection:
        connection.execute("CREATE VIEW v AS SELECT id, at, load_extension('x') AS rating FROM feedback")
    with pytest.raises(SourceError):
        connector(root, table="v").summarise(None, None)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT a.id, a.at, sum(b.id + c.id + d.id) AS rating FROM big a, big b, big c, big d",
        "SELECT id, at, rating FROM big WHERE (SELECT count(*) FROM big a, big b, big c, big d) < 0",
    ],
)
def test_a_query_that_runs_for_ever_is_ended(root, query):
    with closing(sqlite3.connect(root / "f.db")) as connection, connection:
        connection.execute("CREATE TABLE big (id, at, rating)")
        connection.executemany("INSERT INTO big VALUES (?, '2026-01-01', '1')", [(i,) for i in range(2000)])
    before = time.monotonic()
    with pytest.raises(TimedOut):
        connector(root, query=query, timeouts=Timeouts(read=0.5)).summarise(None, None)
    assert time.monotonic() - before < 30


def test_a_text_cannot_be_built_up_to_fill_the_memory(root):
    query = "SELECT id, at, hex(zeroblob(100000000)) AS rating FROM feedback"
    with pytest.raises(SchemaMismatch, match="16 MiB"):
        connector(root, query=query).summarise(None, None)


@pytest.mark.parametrize(
    "path",
    [
        "../secret.db",
        "a/../../secret.db",
        "/etc/passwd",
        "{outside}/secret.db",
        ".",
        "",
        "/",
        "f.db/x",
        "./",
        "..",
        "f.db\0x",
    ],
)
def test_a_path_outside_the_data_root_is_refused(root, path):
    outside = root.parent
    with closing(sqlite3.connect(outside / "secret.db")) as connection, connection:
        connection.execute("CREATE TABLE feedback (id, at, rating)")
    with pytest.raises((Unauthorized, Unreachable)) as caught:
        connector(root, path=path.format(outside=outside) or " ").summarise(None, None)
    assert "spec.sqlite.path" in caught.value.message
    assert str(outside) not in caught.value.message


def test_an_absolute_path_below_the_data_root_is_the_same_file(root):
    summary, _ = connector(root, path=f"{root}/f.db").summarise(None, None)
    assert summary.totals.records == 1


def test_links_are_refused_wherever_they_lead(root):
    (root / "link.db").symlink_to(root / "f.db")
    (root.parent / "elsewhere").mkdir()
    (root / "folder").symlink_to(root.parent / "elsewhere")
    with closing(sqlite3.connect(root.parent / "elsewhere" / "f.db")) as connection, connection:
        connection.execute("CREATE TABLE feedback (id, at, rating)")
    for path in ("link.db", "folder/f.db"):
        with pytest.raises(Unauthorized, match="links"):
            connector(root, path=path).summarise(None, None)


def test_a_data_root_that_is_itself_reached_through_a_link_works(root):
    (root.parent / "alias").symlink_to(root)
    summary, _ = connector(root.parent / "alias").summarise(None, None)
    assert summary.totals.records == 1


def test_devices_and_pipes_are_no_files(root):
    os.mkfifo(root / "pipe")
    with pytest.raises(Unauthorized, match="regular file"):
        connector(root, path="pipe").summarise(None, None)


def test_without_a_data_root_no_file_is_read():
    with pytest.raises(Unauthorized, match="RETRAINER_DATA_ROOT"):
        connector(None).summarise(None, None)


def test_a_file_that_is_no_database_is_named_without_its_content(root):
    (root / "text.db").write_text(SECRET * 100)
    with pytest.raises(Unreachable) as caught:
        connector(root, path="text.db").summarise(None, None)
    assert SECRET not in caught.value.message
    assert "no SQLite database" in caught.value.message


def test_a_missing_file_is_unreachable_and_not_created(root):
    with pytest.raises(Unreachable, match="no such file"):
        connector(root, path="absent.db").summarise(None, None)
    assert not (root / "absent.db").exists()


def test_a_locked_file_is_unreachable(root):
    with closing(sqlite3.connect(root / "f.db", isolation_level=None)) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        with pytest.raises(Unreachable, match="locked"):
            connector(root, timeouts=Timeouts(read=0.2)).summarise(None, None)


def test_reading_changes_nothing(root):
    before = (root / "f.db").read_bytes()
    connector(root).summarise(None, None)
    connector(root).probe()
    assert (root / "f.db").read_bytes() == before
    assert os.listdir(root) == ["f.db"]


@pytest.mark.parametrize("query", ["SELECT * FROM nowhere", f"SELECT '{SECRET}' AS id FROM", "SELECT id FROM feedback"])
def test_errors_never_quote_query_or_data(root, query):
    with pytest.raises(SourceError) as caught:
        connector(root, query=query).summarise(None, None)
    assert SECRET not in caught.value.message and "nowhere" not in caught.value.message
    assert caught.value.__cause__ is None


def test_names_with_quotes_are_names(root):
    name = 'we"ird; DROP TABLE feedback; --'
    quoted = '"' + name.replace('"', '""') + '"'
    with closing(sqlite3.connect(root / "f.db")) as connection, connection:
        connection.execute(f"CREATE TABLE {quoted} (id, at, rating)")
        connection.execute(f"INSERT INTO {quoted} VALUES ('1', '2026-01-01', 'it''s')")
    spec = FeedbackSourceSpec.model_validate(
        {
            "sqlite": {"path": "f.db", "table": name},
            "record": {"id": "id", "time": "at"},
            "signals": [{"name": "o'clock", "from": "rating", "thumbs": {"positive": ["it's"], "negative": ["'"]}}],
        }
    )
    summary, _ = open_connector(spec, data_root=root).summarise(None, None)
    assert summary.totals.signals["o'clock"].positive == 1


def test_a_query_may_use_json_functions(root):
    """As ConPort's context.db needs: JSON values in a text column."""
    query = (
        "SELECT 'c' || f.id AS id, f.at, json_extract(j.value, '$.r') AS rating "
        'FROM feedback f, json_each(\'[{"r": 1}, {"r": 0}]\') j'
    )
    summary, _ = connector(root, query=query).summarise(None, None)
    assert summary.totals.votes == 2
