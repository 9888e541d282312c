"""SQLite: a file below the data root, opened read-only under an authorizer and a time limit.

What was broken in trials and is closed here: `mode=ro` still lets a query ATTACH (and so create) another file:
the authorizer allows SELECT, READ and FUNCTION only; a query may run for ever: a progress handler ends it; a view
in a hostile file may call functions: `trusted_schema` is off; a text may be built up to fill the memory: lengths
are limited.

Incremental scheme (`incremental`): the closed rows are those before the first row (by row number) of the last hour,
because applications fill in a vote on an answer by UPDATE, soon after. SQLite keeps no row versions, so number and
checksum of the closed rows' mapped contents are verified at every look. A file that did not change at all since the
last look (inode, size, times, change counter, write-ahead log) is not read.

A look holds a shared lock. A writer in the default journal mode waits for it; one that uses a write-ahead log
(PRAGMA journal_mode = WAL) does not.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from retrainer.api.v1alpha1.feedback_source import FeedbackSourceSpec, SQLite
from retrainer.feedback import batches
from retrainer.feedback.connectors import incremental, outcomes, statements
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
from retrainer.feedback.connectors.sqlite_rows import (
    CanonicalRows,
    identifier,
    install,
    literal,
    source_value,
    usual_features,
)
from retrainer.feedback.errors import SchemaMismatch, SourceError, TimedOut, Unauthorized, Unreachable, nearest_name
from retrainer.feedback.fingerprint import fingerprint
from retrainer.feedback.mapping import Mapping, resolve
from retrainer.feedback.paths import checked_file
from retrainer.feedback.quality import microseconds
from retrainer.feedback.records import RowReader
from retrainer.feedback.summaries import Cursor, Summary, Totals

if TYPE_CHECKING:
    import pyarrow as pa

_LARGEST_VALUE = 16 * 1024 * 1024
_SAMPLE = 10_000
_QUIET_SECONDS = 2.0
"""A file written within this long before a look may be written again within the same clock tick."""
_ALLOWED = frozenset({sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION})
_REFUSED_FUNCTIONS = frozenset({"load_extension", "fts3_tokenizer", "readfile", "writefile", "edit"})
_FIELD = "spec.sqlite"


class SQLiteConnector:
    """See `Connector`. Every call opens the file anew: another file may have taken its place."""

    def __init__(
        self,
        spec: FeedbackSourceSpec,
        data_root: Path | None,
        timeouts: Timeouts,
        clock: Callable[[], float] = time.time,
    ) -> None:
        assert spec.sqlite is not None
        self._spec = spec
        self._sqlite = spec.sqlite
        self._data_root = data_root
        self._timeouts = timeouts
        self._clock = clock

    def probe(self) -> SourceFacts:
        with self._session() as session:
            newest = session.one(
                f"SELECT max(t) FROM ({session.rows.canonical(statements.Rows())}) c WHERE reason IS NULL"
            )
            rows = session.one(f"SELECT count(*) FROM {session.source} q")
        moment = None if newest is None else datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=int(newest))
        return SourceFacts(session.columns, moment, int(rows))

    def summarise(self, since: Cursor | None, previous: Summary | None) -> tuple[Summary | None, Cursor]:
        with self._session() as session:
            return incremental.summarise(
                session,
                since,
                previous,
                fingerprint=fingerprint(self._spec),
                features=session.features,
                now=self._clock(),
            )

    def outcomes(self, query: OutcomeQuery) -> list[ArmOutcome]:
        with self._session(by=query.as_of or query.end) as session:
            sql = outcomes.statement(session.rows.canonical, query, session.mapping, literal)
            return outcomes.answer(query, session.all(sql))

    def count(self, query: CountQuery) -> int:
        with self._session() as session:
            canonical = session.rows.canonical(statements.count_rows(query))
            return int(session.one(statements.count(canonical, query, session.mapping, literal)))

    def unit_days(self, query: UnitDayQuery) -> list[UnitDay]:
        with self._session() as session:
            canonical = session.rows.canonical(statements.unit_day_rows(query))
            rows = session.all(statements.unit_days(canonical, query, session.mapping, literal))
        return [(statements.day_text(day), str(unit), float(mean), int(n)) for day, unit, mean, n in rows]

    def scan(self, window: Window, batch_rows: int = 10_000) -> Iterator[pa.RecordBatch]:
        with self._session() as session:
            signals = [s.name for s in session.mapping.signals]
            sql = session.rows.scan(microseconds(window.start), microseconds(window.end))
            cursor = session.connection.execute(sql)
            while raw := cursor.fetchmany(batch_rows):
                session.restart_clock()
                read = [session.reader.read([source_value(v) for v in row]) for row in raw]
                yield batches.batch(read, signals)

    def close(self) -> None:
        """Nothing is kept open between calls."""

    @contextmanager
    def _session(self, by: datetime | None = None) -> Iterator[_Session]:
        # A clock that has gone back would take the outcomes that are asked for for records of the future.
        now = self._clock() if by is None else max(self._clock(), by.timestamp())
        path = checked_file(self._data_root, self._sqlite.path, f"{_FIELD}.path")
        session: _Session | None = None
        try:
            session = _Session(self._spec, self._sqlite, path, self._timeouts.read, now)
            yield session
        except sqlite3.Error as error:
            raise _catalogued(error, self._sqlite) from None
        finally:
            if session is not None:
                session.connection.close()


class _Session:
    """One read transaction on one file."""

    def __init__(self, spec: FeedbackSourceSpec, sqlite: SQLite, path: Path, seconds: float, now: float) -> None:
        self._seconds = seconds
        self._path = path
        self._stamp = content_stamp(path, now)
        self.connection = _open(path, seconds)
        try:
            self.restart_clock()
            self.connection.set_progress_handler(self._is_late, 10_000)
            self.connection.execute("BEGIN")
            self.columns, rowid = _describe(self.connection, sqlite)
            self.source = identifier(sqlite.table) if sqlite.table else f"({sqlite.query}\n)"
            self.mapping: Mapping = resolve(spec, [c.name for c in self.columns])
            self.features = self._usual_features()
            moment = int(now * 1e6)
            self.rows = CanonicalRows(self.mapping, self.source, rowid, now=moment, expected_features=self.features)
            self.reader = RowReader(self.mapping, now=moment, expected_features=self.features)
            # Features in columns and qualities are checked in SQL; the function gets the other columns only.
            without = replace(self.mapping, features=(), qualities=())
            install(self.connection, without, RowReader(without, now=moment, expected_features=self.features))
        except BaseException:
            self.connection.close()
            raise

    def restart_clock(self) -> None:
        self._deadline = time.monotonic() + self._seconds

    def _is_late(self) -> int:
        return 1 if time.monotonic() > self._deadline else 0

    def _usual_features(self) -> int | None:
        sql = usual_features(self.mapping, self.source, _SAMPLE)
        found = None if sql is None else self.connection.execute(sql).fetchone()
        return None if found is None else int(found[0])

    def one(self, sql: str) -> Any:
        return self.connection.execute(sql).fetchone()[0]

    def all(self, sql: str) -> list[tuple[Any, ...]]:
        return self.connection.execute(sql).fetchall()

    def stamp(self) -> str | None:
        return self._stamp

    def mark(self, before: str | None) -> str | None:
        sql = self.rows.mark()
        return None if sql is None else str(max(int(self.one(sql)), int(before or 0)))

    def check(self, mark: str) -> str:
        return str(self.one(self.rows.check(mark)))

    def totals(self, rows: statements.Rows, sets: statements.Sets) -> dict[str, Totals]:
        sql = statements.totals(self.rows.canonical(rows), self.mapping, literal, sets)
        found = self.all(sql)
        return {name: Totals.from_rows(found, name) for name in sets}


def content_stamp(path: Path, now: float) -> str | None:
    """Equal for equal contents; None while the file is so fresh that a later write might not show.

    `now` is seconds since 1970. Size and times of file and write-ahead log, inode, the file's change counter and
    the log's salts.
    """
    parts: list[str] = []
    for file, offset, length in ((path, 24, 4), (path.with_name(path.name + "-wal"), 16, 8)):
        try:
            with file.open("rb") as opened:
                opened.seek(offset)
                header = opened.read(length).hex()
            facts = file.stat()
        except FileNotFoundError:
            parts.append("-")
            continue
        except OSError:
            return None
        if now - facts.st_mtime < _QUIET_SECONDS:
            return None
        parts.append(f"{facts.st_ino}.{facts.st_size}.{facts.st_mtime_ns}.{header}")
    return "/".join(parts)


def _open(path: Path, seconds: float) -> sqlite3.Connection:
    uri = f"file:{quote(str(path))}?mode=ro"
    connection = sqlite3.connect(
        uri, uri=True, isolation_level=None, check_same_thread=False, timeout=min(5.0, seconds)
    )
    connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
    for table in ("json_each", "json_tree"):
        # Built on first use with a CREATE that the authorizer would refuse.
        connection.execute(f"SELECT 1 FROM {table}('[]')")
    for pragma in ("query_only = ON", "trusted_schema = OFF", "mmap_size = 0"):
        connection.execute(f"PRAGMA {pragma}")
    connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LARGEST_VALUE)
    connection.setlimit(sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 1000)
    return connection


def _describe(connection: sqlite3.Connection, sqlite: SQLite) -> tuple[tuple[ColumnFact, ...], str | None]:
    """Columns of the table or query, and the name of the row number where rows have one.

    From here on the connection obeys the authorizer; the user's query is prepared only after that.
    """
    if sqlite.table is None:
        connection.set_authorizer(_authorize)
        # Alone first: what is no complete SELECT by itself must not become one inside our parentheses.
        alone = connection.execute(f"SELECT * FROM ({sqlite.query}\n) q LIMIT 0")
        return tuple(ColumnFact(d[0], "") for d in alone.description), None
    found = connection.execute("SELECT name, type, sql FROM sqlite_master WHERE type IN ('table', 'view')").fetchall()
    entry = next((e for e in found if e[0].casefold() == sqlite.table.casefold()), None)
    if entry is None:
        near = nearest_name(sqlite.table, [e[0] for e in found])
        hint = f'; did you mean "{near}"?' if near else ""
        raise SchemaMismatch(f'{_FIELD}.table: the file has no table "{sqlite.table}"{hint}', nearest=near)
    rows = connection.execute("SELECT name, type FROM pragma_table_info(?)", (sqlite.table,)).fetchall()
    columns = tuple(ColumnFact(str(name), str(kind)) for name, kind in rows)
    rowid = _rowid(connection, entry[1], str(entry[2]), sqlite.table, columns)
    connection.set_authorizer(_authorize)
    return columns, rowid


def _rowid(
    connection: sqlite3.Connection, kind: str, created: str, table: str, columns: tuple[ColumnFact, ...]
) -> str | None:
    """Name of the row number; None for views, virtual tables and tables WITHOUT ROWID."""
    if kind != "table" or created.lstrip().upper().startswith("CREATE VIRTUAL"):
        return None
    taken = {c.name.casefold() for c in columns}
    name = next((n for n in ("rowid", "_rowid_", "oid") if n not in taken), None)
    if name is None:
        return None
    try:
        connection.execute(f"SELECT {name} FROM {identifier(table)} LIMIT 0")
    except sqlite3.OperationalError:
        return None
    return name


def _authorize(action: int, first: str | None, second: str | None, *_: object) -> int:
    if action == sqlite3.SQLITE_FUNCTION and (second or "").casefold() in _REFUSED_FUNCTIONS:
        return sqlite3.SQLITE_DENY
    return sqlite3.SQLITE_OK if action in _ALLOWED else sqlite3.SQLITE_DENY


_FILE_TROUBLE = {
    sqlite3.SQLITE_CANTOPEN: "the file cannot be opened; check its permissions (and those of its folder, if it "
    "uses a write-ahead log)",
    sqlite3.SQLITE_NOTADB: "the file is no SQLite database",
    sqlite3.SQLITE_CORRUPT: "the file is damaged",
    sqlite3.SQLITE_BUSY: "the file is locked by a writer",
    sqlite3.SQLITE_LOCKED: "the file is locked by a writer",
    sqlite3.SQLITE_READONLY: "the file needs recovery; open it once with the application that writes it",
}


def _catalogued(error: sqlite3.Error, sqlite: SQLite) -> SourceError:
    """Our words for SQLite's; its own text may quote the query or the data."""
    code = getattr(error, "sqlite_errorcode", None)
    primary = code & 0xFF if isinstance(code, int) else None
    if primary == sqlite3.SQLITE_INTERRUPT:
        return TimedOut(f"{_FIELD}: not read within the time limit; ask for less, or index the table")
    if primary == sqlite3.SQLITE_AUTH:
        return Unauthorized(f"{_FIELD}.query: only a single SELECT without side effects is allowed")
    if primary in _FILE_TROUBLE:
        return Unreachable(f"{_FIELD}.path: {_FILE_TROUBLE[primary]}")
    if primary == sqlite3.SQLITE_TOOBIG:
        return SchemaMismatch(f"{_FIELD}: a value is larger than 16 MiB")
    if primary == sqlite3.SQLITE_IOERR:
        return Unreachable(f"{_FIELD}.path: the file cannot be read")
    if sqlite.query is not None:
        return SchemaMismatch(
            f"{_FIELD}.query: SQLite refuses it; it must be one SELECT statement over existing tables"
        )
    return SchemaMismatch(f"{_FIELD}.table: SQLite cannot read it")
