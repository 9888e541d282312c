"""PostgreSQL: every question is one read-only cursor in one repeatable-read transaction on one new connection.

A new connection per read costs milliseconds and buys a lot: rotated passwords and moved servers need no care, and
a read that hangs takes nothing with it.

Incremental scheme (`incremental`) for tables: an id cursor would lose rows that commit late, so rows are closed
by the oldest transaction that was still running at the last look (`pg_current_snapshot`'s xmin): whatever commits
later has a younger xmin. Rows of the last hour are left open as well, because applications fill in a vote on an
answer by UPDATE, soon after; an update or deletion of a closed row shows in the number of closed rows and leads to
a full read. Views, queries, foreign and partitioned tables show no xmin: they are read in full every time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from retrainer.api.v1alpha1.feedback_source import FeedbackSourceSpec, Postgres
from retrainer.feedback import batches, hosts
from retrainer.feedback.connectors import incremental, outcomes, postgres_connection, statements
from retrainer.feedback.connectors.postgres_connection import FIELD, catalogued, connection_parameters
from retrainer.feedback.connectors.postgres_rows import CanonicalRows, Names
from retrainer.feedback.connectors.postgres_scan import RowDecoder
from retrainer.feedback.connectors.postgres_values import kind_of
from retrainer.feedback.connectors.protocol import (
    ArmOutcome,
    ColumnFact,
    CountQuery,
    OutcomeQuery,
    SourceFacts,
    Timeouts,
    UnitDay,
    UnitDayQuery,
    Window,
)
from retrainer.feedback.credentials import Credentials
from retrainer.feedback.errors import SchemaMismatch, nearest_name
from retrainer.feedback.fingerprint import fingerprint
from retrainer.feedback.mapping import resolve
from retrainer.feedback.quality import microseconds
from retrainer.feedback.summaries import Cursor, Summary, Totals
from retrainer.feedback.watchdog import Watchdog

if TYPE_CHECKING:
    import psycopg
    import pyarrow as pa

_SAMPLE = 10_000
_FETCH = 10_000


class PostgresConnector:
    """See `Connector`."""

    def __init__(
        self,
        spec: FeedbackSourceSpec,
        credentials: Credentials,
        timeouts: Timeouts,
        clock: Callable[[], float] = time.time,
        resolver: hosts.Resolver = hosts.resolve,
    ) -> None:
        assert spec.postgres is not None
        self._spec = spec
        self._credentials = credentials
        self._timeouts = timeouts
        self._clock = clock
        self._resolver = resolver

    def probe(self) -> SourceFacts:
        with self._session() as session:
            canonical = session.rows.canonical(statements.Rows())
            newest = session.one(f"SELECT max(t) FROM ({canonical}) c WHERE reason IS NULL")
            rows = session.one(f"SELECT count(*) FROM {session.source} q")
        moment = None if newest is None else datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=int(newest))
        return SourceFacts(session.columns, moment, int(rows))

    def summarise(self, since: Cursor | None, previous: Summary | None) -> tuple[Summary | None, Cursor]:
        with self._session() as session:
            return incremental.summarise(
                session,
                since,
                previous,
                fingerprint=f"{fingerprint(self._spec)}.{session.file}",
                features=session.features,
                now=self._clock(),
            )

    def outcomes(self, query: OutcomeQuery) -> list[ArmOutcome]:
        with self._session(by=query.as_of or query.end) as session:
            sql = outcomes.statement(session.rows.canonical, query, session.mapping, session.names.literal)
            return outcomes.answer(query, session.all(sql))

    def count(self, query: CountQuery) -> int:
        with self._session() as session:
            canonical = session.rows.canonical(statements.count_rows(query))
            return int(session.one(statements.count(canonical, query, session.mapping, session.names.literal)))

    def unit_days(self, query: UnitDayQuery) -> list[UnitDay]:
        with self._session() as session:
            canonical = session.rows.canonical(statements.unit_day_rows(query))
            rows = session.all(statements.unit_days(canonical, query, session.mapping, session.names.literal))
        return [(statements.day_text(d), str(unit), float(mean), int(votes)) for d, unit, mean, votes in rows]

    def scan(self, window: Window, batch_rows: int = 10_000) -> Iterator[pa.RecordBatch]:
        with self._session() as session:
            signals = [s.name for s in session.mapping.signals]
            decoder = RowDecoder(session.mapping)
            sql = session.rows.scan(microseconds(window.start), microseconds(window.end))
            for raw in session.chunks(sql, batch_rows):
                yield batches.batch([decoder.decode(row) for row in raw], signals)

    def close(self) -> None:
        """Nothing is kept open between calls."""

    @contextmanager
    def _session(self, by: datetime | None = None) -> Iterator[_Session]:
        # A clock that has gone back would take the outcomes that are asked for for records of the future.
        now = self._clock() if by is None else max(self._clock(), by.timestamp())
        import psycopg

        assert self._spec.postgres is not None
        parameters = connection_parameters(self._credentials, self._timeouts, self._resolver)
        connection = postgres_connection.connect(parameters)
        watchdog = Watchdog(connection, self._timeouts.read)
        has_query = self._spec.postgres.query is not None
        try:
            yield _Session(self._spec, self._spec.postgres, connection, watchdog, now)
        except psycopg.Error as error:
            raise catalogued(error, has_query=has_query, late=watchdog.fired) from None
        except UnicodeDecodeError:
            raise SchemaMismatch(f"{FIELD}: the database holds text that is not in its own encoding") from None
        finally:
            watchdog.stop()
            connection.close()


class _Session:
    """One transaction: what the source looks like in it, and the SQL that reads it."""

    def __init__(
        self,
        spec: FeedbackSourceSpec,
        postgres: Postgres,
        connection: psycopg.Connection[tuple[Any, ...]],
        watchdog: Watchdog,
        now: float,
    ) -> None:
        self._connection = connection
        self._watchdog = watchdog
        self._now = now
        self.names = _names(connection)
        self.source, self.versioned, self.file = self._locate(postgres)
        described = self._describe(postgres)
        self.columns = tuple(ColumnFact(name, kind) for name, kind in described)
        self.mapping = resolve(spec, [name for name, _ in described])
        self.features: int | None = None
        self.features = self._usual_features(dict(described))
        self.rows = self._rows(dict(described))

    def one(self, sql: str) -> Any:
        return self.all(sql)[0][0]

    def all(self, sql: str) -> list[tuple[Any, ...]]:
        return [row for chunk in self.chunks(sql, _FETCH) for row in chunk]

    def chunks(self, sql: str, size: int) -> Iterator[list[tuple[Any, ...]]]:
        """Rows of a SELECT through a cursor of the server."""
        self._declare(sql)
        while rows := self._connection.execute(f"FETCH FORWARD {int(size)} FROM retrainer").fetchall():
            yield rows
            self._watchdog.restart()
        self._connection.execute("CLOSE retrainer")

    def stamp(self) -> str | None:
        """The server keeps no sign of "nothing changed" that can be trusted."""
        return None

    def mark(self, before: str | None) -> str | None:
        if not self.versioned:
            return None
        xid = int(self.one("SELECT pg_snapshot_xmin(pg_current_snapshot())::text"))
        time = int(self._now * 1e6) - statements.OPEN_MICROSECONDS
        if before is not None:
            xid, time = (max(pair) for pair in zip((xid, time), map(int, before.split(":")), strict=True))
        return f"{xid}:{time}"

    def check(self, mark: str) -> str:
        return str(self.one(self.rows.check(mark)))

    def totals(self, rows: statements.Rows, sets: statements.Sets) -> dict[str, Totals]:
        sql = statements.totals(self.rows.canonical(rows), self.mapping, self.names.literal, sets)
        found = self.all(sql)
        return {name: Totals.from_rows(found, name) for name in sets}

    def _declare(self, sql: str) -> None:
        # Binary parameters or results mean the extended protocol, which takes exactly one statement.
        with self._connection.cursor(binary=True) as cursor:
            cursor.execute(f"DECLARE retrainer NO SCROLL CURSOR FOR {sql}".encode())

    def _locate(self, postgres: Postgres) -> tuple[str, bool, str]:
        """(SQL of the source, whether its rows show xmin, name of its storage)."""
        if postgres.table is None:
            return f"({postgres.query}\n)", False, ""
        quoted = ".".join(self.names.identifier(part) for part in postgres.table.split("."))
        found = self._connection.execute(
            "SELECT relkind::text, COALESCE(pg_relation_filenode(oid), 0) FROM pg_catalog.pg_class "
            "WHERE oid = pg_catalog.to_regclass(%s)",
            (quoted,),
        ).fetchone()
        if found is None:
            raise self._unknown_table(postgres.table)
        return quoted, found[0] in ("r", "m"), str(found[1])

    def _unknown_table(self, table: str) -> SchemaMismatch:
        rows = self._connection.execute(
            "SELECT CASE WHEN pg_catalog.pg_table_is_visible(c.oid) THEN '' ELSE n.nspname || '.' END || c.relname "
            "FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "
            "WHERE c.relkind IN ('r', 'm', 'v', 'p', 'f') AND n.nspname NOT IN ('pg_catalog', 'information_schema') "
            "AND pg_catalog.has_table_privilege(c.oid, 'SELECT') LIMIT 1000"
        ).fetchall()
        near = nearest_name(table, [str(name) for (name,) in rows])
        hint = f'; did you mean "{near}"?' if near else ""
        return SchemaMismatch(f'{FIELD}.table: the database has no table "{table}"{hint}', nearest=near)

    def _describe(self, postgres: Postgres) -> list[tuple[str, str]]:
        """Names and types of the columns. A query is first prepared alone, so that what is no complete SELECT by
        itself cannot become one inside our parentheses."""
        self._declare(postgres.query if postgres.query is not None else f"SELECT * FROM {self.source}")
        described = self._connection.execute("FETCH 0 FROM retrainer").description or []
        self._connection.execute("CLOSE retrainer")
        codes = [column.type_code for column in described]
        rows = self._connection.execute("SELECT oid, typname FROM pg_catalog.pg_type WHERE oid = ANY(%s)", (codes,))
        types = {int(oid): str(name) for oid, name in rows.fetchall()}
        return [(column.name, types.get(column.type_code, "text")) for column in described]

    def _rows(self, types: dict[str, str]) -> CanonicalRows:
        return CanonicalRows(
            self.mapping,
            self.source,
            {name: kind_of(kind) for name, kind in types.items()},
            self.names,
            versioned=self.versioned,
            now=int(self._now * 1e6),
            expected_features=self.features,
        )

    def _usual_features(self, types: dict[str, str]) -> int | None:
        sql = self._rows(types).usual_features(_SAMPLE)
        found = self.all(sql) if sql is not None else []
        return int(found[0][0]) if found else None


def _names(connection: psycopg.Connection[Any]) -> Names:
    """The driver's own composition of names and texts."""
    from psycopg import sql

    def refuse_nul(text: str) -> str:
        if "\0" in text:
            raise SchemaMismatch("a name or value in the spec contains a NUL character")
        return text

    return Names(
        identifier=lambda name: sql.Identifier(refuse_nul(name)).as_string(connection),
        literal=lambda text: sql.Literal(refuse_nul(text)).as_string(connection),
    )
