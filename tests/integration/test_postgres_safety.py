"""What a FeedbackSource may not do with a PostgreSQL server, each tried the way that breaks the naive reader."""

import contextlib
import socket
import threading
import time
import traceback
from datetime import UTC, datetime

import psycopg
import pytest
from postgres_server import PASSWORD, running_server

from retrainer.api.v1alpha1.feedback_source import FeedbackSourceSpec
from retrainer.feedback.connectors.postgres import PostgresConnector
from retrainer.feedback.connectors.postgres_connection import connection_parameters
from retrainer.feedback.connectors.protocol import Timeouts, Window
from retrainer.feedback.credentials import Credentials
from retrainer.feedback.errors import SchemaMismatch, SourceError, TimedOut, Unauthorized, Unreachable

LOOPBACK = ("127.0.0.1", "localhost")
QUICK = Timeouts(connect=2, read=2)


@pytest.fixture(scope="module")
def server():
    with running_server() as running:
        with psycopg.connect(running.admin, autocommit=True) as admin:
            admin.execute(f"CREATE ROLE reader LOGIN PASSWORD '{PASSWORD}'")
            admin.execute("CREATE TABLE feedback (id text, at timestamptz, rating text)")
            admin.execute("INSERT INTO feedback VALUES ('1', '2026-01-01', '1')")
            # More than it should have: the reader must be harmless even so.
            admin.execute("GRANT ALL ON feedback TO reader")
            admin.execute("GRANT CREATE ON SCHEMA public TO reader")
        yield running


@pytest.fixture
def admin(server):
    with psycopg.connect(server.admin, autocommit=True) as connection:
        yield connection


def connector(dsn, hosts=LOOPBACK, timeouts=Timeouts(), **source):  # noqa: B008
    spec = FeedbackSourceSpec.model_validate(
        {
            "postgres": {
                "connectionSecretRef": {"name": "db", "key": "dsn"},
                **(source or {"table": "feedback"}),
            },
            "record": {"id": "id", "time": "at"},
            "signals": [{"name": "t", "from": "rating", "thumbs": {"positive": ["1"], "negative": ["0"]}}],
        }
    )
    return PostgresConnector(spec, Credentials(dsn, hosts), timeouts)


def caught(reader):
    with pytest.raises(SourceError) as error:
        reader.summarise(None, None)
    shown = error.value.message + "".join(traceback.format_exception(error.value))
    assert PASSWORD not in shown
    return error.value


def test_the_fixture_can_be_read(server):
    summary, _ = connector(server.dsn()).summarise(None, None)
    assert summary.totals.records == 1


def test_the_naive_read_only_transaction_really_is_escaped(server, admin):
    """The reason for cursors and the extended protocol."""
    with psycopg.connect(server.dsn(), autocommit=True) as naive:
        naive.execute("BEGIN READ ONLY")
        naive.execute("SELECT 1; COMMIT; BEGIN READ WRITE; CREATE TABLE escaped (a int); COMMIT")
    assert admin.execute("SELECT to_regclass('escaped') IS NOT NULL").fetchone() == (True,)
    admin.execute("DROP TABLE escaped")


@pytest.mark.parametrize(
    "query",
    [
        "SELECT 1; COMMIT; BEGIN READ WRITE; CREATE TABLE stolen (a int); COMMIT",
        "SELECT 1) q; COMMIT; BEGIN READ WRITE; CREATE TABLE stolen (a int); COMMIT; SELECT * FROM (SELECT 1",
        "SELECT id, at, rating FROM feedback) q), w AS (DELETE FROM feedback RETURNING 1), "
        "z AS (SELECT * FROM (SELECT 1",
        "SELECT id, at, rating FROM feedback) q --",
        "SELECT id, at, rating FROM feedback /* open",
        "WITH w AS (INSERT INTO feedback VALUES ('2', now(), '1') RETURNING *) SELECT * FROM w",
        "INSERT INTO feedback VALUES ('2', now(), '1') RETURNING *",
        "DELETE FROM feedback RETURNING *",
        "CREATE TABLE stolen AS SELECT 1",
        "SELECT * INTO stolen FROM feedback",
        "COMMIT",
        "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE",
        "COPY feedback TO PROGRAM 'touch /tmp/stolen'",
        "DO $$ BEGIN CREATE TABLE stolen (a int); END $$",
        "SELECT id, at, rating FROM feedback FOR UPDATE",
        "SELECT pg_read_file('/etc/passwd') AS id, now() AS at, '1' AS rating",
        "SELECT lo_import('/etc/passwd')::text AS id, now() AS at, '1' AS rating",
        "SELECT set_config('transaction_read_only', 'off', false) AS id, now() AS at, '1' AS rating",
        "SELECT nextval('numbers')::text AS id, now() AS at, '1' AS rating",
        "SELECT",
        ";",
        "SELECT id, at, rating FROM feedback;",
    ],
)
def test_a_query_can_only_select(server, admin, query):
    admin.execute("CREATE SEQUENCE IF NOT EXISTS numbers")
    admin.execute("GRANT ALL ON SEQUENCE numbers TO reader")
    with contextlib.suppress(Unauthorized, SchemaMismatch):
        connector(server.dsn(), query=query).summarise(None, None)
    assert admin.execute("SELECT to_regclass('stolen')").fetchone() == (None,)
    assert admin.execute("SELECT count(*) FROM feedback").fetchone() == (1,)
    assert admin.execute("SELECT last_value, is_called FROM numbers").fetchone() == (1, False)


def test_a_function_that_writes_is_refused(server, admin):
    admin.execute(
        "CREATE OR REPLACE FUNCTION sneaky() RETURNS text LANGUAGE sql AS "
        "$$ INSERT INTO feedback VALUES ('9', now(), '1') RETURNING id $$"
    )
    error = caught(connector(server.dsn(), query="SELECT sneaky() AS id, now() AS at, '1' AS rating"))
    assert isinstance(error, Unauthorized)
    assert admin.execute("SELECT count(*) FROM feedback").fetchone() == (1,)


def test_a_query_that_runs_for_ever_is_ended_by_the_server(server):
    before = time.monotonic()
    error = caught(
        connector(server.dsn(), timeouts=Timeouts(connect=5, read=1),
                  query="SELECT id, at, rating FROM feedback, pg_sleep(60)")
    )  # fmt: skip
    assert isinstance(error, TimedOut)
    assert time.monotonic() - before < 20


def test_a_query_that_switches_the_time_limit_off_is_ended_by_us(server):
    before = time.monotonic()
    query = (
        "SELECT id, at, rating FROM feedback, (SELECT set_config('statement_timeout', '0', false)) s, "
        "generate_series(1, 3) g, pg_sleep(g * 20)"
    )
    error = caught(connector(server.dsn(), timeouts=Timeouts(connect=5, read=1), query=query))
    assert isinstance(error, TimedOut)
    assert time.monotonic() - before < 20


def test_a_statement_that_we_gave_up_ends_on_the_server_too(server, admin):
    query = (
        "SELECT id, at, rating FROM feedback, (SELECT set_config('statement_timeout', '0', false)) s, "
        "generate_series(1, 3) g, pg_sleep(g * 30)"
    )
    caught(connector(server.dsn(), timeouts=Timeouts(connect=5, read=1), query=query))
    running = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'reader' AND query LIKE '%pg_sleep(g * 30)%'"
    deadline = time.monotonic() + 20
    while admin.execute(running).fetchone() != (0,):
        assert time.monotonic() < deadline, "the server still works on it"


def test_a_locked_table_does_not_hold_us_up(server, admin):
    with psycopg.connect(server.admin) as locker:
        locker.execute("LOCK TABLE feedback IN ACCESS EXCLUSIVE MODE")
        assert isinstance(caught(connector(server.dsn(), timeouts=QUICK)), TimedOut)


@pytest.mark.parametrize(
    "prepare",
    [
        "CREATE ROLE mighty LOGIN SUPERUSER PASSWORD '{p}'",
        "CREATE ROLE mighty LOGIN PASSWORD '{p}' IN ROLE pg_read_server_files",
        "CREATE ROLE mighty LOGIN PASSWORD '{p}' IN ROLE pg_execute_server_program",
        "CREATE ROLE mighty LOGIN PASSWORD '{p}' IN ROLE pg_write_server_files",
        "CREATE ROLE mighty LOGIN NOINHERIT PASSWORD '{p}' IN ROLE pg_read_server_files",
        "CREATE ROLE mighty LOGIN NOINHERIT PASSWORD '{p}' IN ROLE postgres",
        "CREATE ROLE between IN ROLE pg_read_server_files; CREATE ROLE mighty LOGIN PASSWORD '{p}' IN ROLE between",
    ],
)
def test_a_role_that_may_do_too_much_is_refused(server, admin, prepare):
    for role in ("mighty", "between"):
        admin.execute(f"DROP ROLE IF EXISTS {role}")
    admin.execute(prepare.format(p=PASSWORD))
    admin.execute("GRANT SELECT ON feedback TO mighty")
    try:
        error = caught(connector(server.dsn("mighty")))
        assert isinstance(error, Unauthorized) and "superuser" in error.message
    finally:
        admin.execute("REVOKE ALL ON feedback FROM mighty")


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda s: s.dsn("reader", "wrong"), Unauthorized),
        (lambda s: s.dsn("nobody", "x"), Unauthorized),
        (lambda s: f"postgresql://reader@127.0.0.1:{s.port}/postgres", Unauthorized),
        (lambda s: s.dsn(database="absent"), SchemaMismatch),
        (lambda s: f"postgresql://reader:{PASSWORD}@127.0.0.1:1/postgres", Unreachable),
        (lambda s: s.dsn() + "?sslmode=require", Unreachable),
    ],
)
def test_a_refused_connection_says_whether_a_person_must_act(server, make, kind):
    assert type(caught(connector(make(server), timeouts=QUICK))) is kind


def test_a_table_that_may_not_be_read(server, admin):
    admin.execute("CREATE TABLE IF NOT EXISTS hidden (id text, at timestamptz, rating text)")
    error = caught(connector(server.dsn(), table="hidden"))
    assert isinstance(error, Unauthorized) and "GRANT" in error.message


@pytest.fixture
def silent_port():
    """A server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=8) as listener:
        held = []

        def accept():
            try:
                while True:
                    held.append(listener.accept()[0])
            except OSError:
                return

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
    for connection in held:
        connection.close()


def test_a_server_that_accepts_and_never_answers_is_unreachable_in_time(silent_port):
    before = time.monotonic()
    error = caught(connector(f"postgresql://reader:{PASSWORD}@127.0.0.1:{silent_port}/x", timeouts=QUICK))
    assert isinstance(error, Unreachable)
    assert time.monotonic() - before < 10


class Freezer:
    """A relay to the server that stops relaying the server's answers after so many bytes."""

    def __init__(self, port, after):
        self._after = after
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._port = port
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        client = self._listener.accept()[0]
        upstream = socket.create_connection(("127.0.0.1", self._port))
        threading.Thread(target=self._pump, args=(client, upstream, None), daemon=True).start()
        self._pump(upstream, client, self._after)

    @staticmethod
    def _pump(source, target, limit):
        passed = 0
        try:
            while data := source.recv(65536):
                passed += len(data)
                if limit is None or passed <= limit:
                    target.sendall(data)
        except OSError:
            return


@pytest.mark.parametrize("after", [400, 1000])
def test_a_server_that_falls_silent_later_is_given_up(server, after):
    relay = Freezer(server.port, after)
    dsn = f"postgresql://reader:{PASSWORD}@127.0.0.1:{relay.port}/postgres?sslmode=disable"
    before = time.monotonic()
    assert isinstance(caught(connector(dsn, timeouts=QUICK)), Unreachable)
    assert time.monotonic() - before < 20


@pytest.mark.parametrize(
    ("dsn", "hosts"),
    [
        ("postgresql://u:{p}@127.0.0.1/x", ("db.chat.svc",)),
        ("postgresql://u:{p}@db.chat.svc/x?host=127.0.0.1", ("db.chat.svc",)),
        ("postgresql://u:{p}@db.chat.svc/x?hostaddr=127.0.0.1", ("db.chat.svc",)),
        ("host=db.chat.svc hostaddr=127.0.0.1 user=u password={p}", ("db.chat.svc",)),
        ("postgresql://u:{p}@db.chat.svc,evil.example/x", ("db.chat.svc",)),
        ("host=db.chat.svc,127.0.0.1 user=u password={p}", ("db.chat.svc",)),
        ("host=/var/run/postgresql user=u password={p}", ("db.chat.svc", "/var/run/postgresql")),
        ("postgresql://u:{p}@%2Fvar%2Frun%2Fpostgresql/x", ("db.chat.svc",)),
        ("user=u password={p} dbname=x", ("db.chat.svc",)),
        ("postgresql:///x?user=u&password={p}", ("db.chat.svc",)),
        ("host=db.chat.svc service=other user=u password={p}", ("db.chat.svc",)),
        ("host=db.chat.svc user=u password={p} options='-c default_transaction_read_only=off'", ("db.chat.svc",)),
        ("host=db.chat.svc user=u passfile=/etc/passwd", ("db.chat.svc",)),
        ("host=db.chat.svc user=u password={p} sslkey=/etc/ssl/private/key", ("db.chat.svc",)),
        ("host=db.chat.svc user=u password={p} sslrootcert=/etc/passwd", ("db.chat.svc",)),
        ("host=db.chat.svc port=5432,5433 user=u password={p}", ("db.chat.svc",)),
        ("host=169.254.169.254 user=u password={p}", ("169.254.169.254",)),
        ("host=[fe80::1] user=u password={p}", ("db.chat.svc",)),
        ("{p}", ("db.chat.svc",)),
        ("host={p} with words", ("db.chat.svc",)),
        ("mysql://u:{p}@db.chat.svc/x", ("db.chat.svc",)),
        ("", ("db.chat.svc",)),
    ],
)
def test_a_connection_string_that_leads_elsewhere_is_refused_without_being_quoted(dsn, hosts):
    credentials = Credentials(dsn.format(p=PASSWORD), hosts)
    with pytest.raises(Unauthorized) as error:
        connection_parameters(credentials, QUICK, lambda host, port: [host if host[0].isdigit() else "203.0.113.7"])
    shown = error.value.message + "".join(traceback.format_exception(error.value))
    assert PASSWORD not in shown
    assert "evil" not in error.value.message


def test_the_address_that_was_checked_is_the_one_that_is_used():
    credentials = Credentials("postgresql://u:p@a.svc,b.svc:5433/x?sslmode=require", ("a.svc", "b.svc"))
    found = connection_parameters(
        credentials, QUICK, lambda host, port: {"a.svc": ["10.0.0.1", "10.0.0.2"], "b.svc": ["10.0.0.3"]}[host]
    )
    assert (found["host"], found["hostaddr"], found["port"]) == (
        "a.svc,a.svc,b.svc", "10.0.0.1,10.0.0.2,10.0.0.3", "5432,5432,5433",
    )  # fmt: skip
    assert found["sslmode"] == "require"
    assert "default_transaction_read_only=on" in found["options"]


def test_a_name_that_moves_between_check_and_use_gains_nothing(server, silent_port):
    """The resolver answers once; were the name looked up again, this would hang or go elsewhere."""
    answers = iter([["127.0.0.1"]])
    spec = FeedbackSourceSpec.model_validate(
        {
            "postgres": {"connectionSecretRef": {"name": "db", "key": "dsn"}, "table": "feedback"},
            "record": {"id": "id", "time": "at"},
            "signals": [{"name": "t", "from": "rating", "thumbs": {"positive": ["1"], "negative": ["0"]}}],
        }
    )
    credentials = Credentials(server.dsn(host="name.that.does.not.exist"), ("name.that.does.not.exist", "127.0.0.1"))
    reader = PostgresConnector(spec, credentials, QUICK, resolver=lambda host, port: next(answers))
    summary, _ = reader.summarise(None, None)
    assert summary.totals.records == 1


def test_the_session_is_read_only_and_bounded(server):
    with connector(server.dsn())._session() as session:
        shown = {
            name: session._connection.execute(f"SHOW {name}").fetchone()[0]
            for name in (
                "transaction_read_only",
                "default_transaction_read_only",
                "statement_timeout",
                "application_name",
            )
        }
    assert shown == {
        "transaction_read_only": "on", "default_transaction_read_only": "on", "statement_timeout": "30s",
        "application_name": "retrainer",
    }  # fmt: skip


def test_no_connection_is_left_behind(server, admin):
    def connected():
        return {pid for (pid,) in admin.execute("SELECT pid FROM pg_stat_activity WHERE usename = 'reader'")}

    before = connected()
    reader = connector(server.dsn())
    reader.summarise(None, None)
    caught(connector(server.dsn(), table="absent"))
    year = Window(datetime(2025, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC))
    assert [b.num_rows for b in reader.scan(year)] == [1]
    abandoned = reader.scan(year)
    next(abandoned)
    abandoned.close()
    deadline = time.monotonic() + 10
    while connected() - before:
        assert time.monotonic() < deadline, "a connection stayed open"
