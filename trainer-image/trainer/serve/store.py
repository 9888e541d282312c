"""Records in SQLite: one writer thread per server, one transaction for all that waited, nothing lost after the answer.

Several servers and readers share the file: write-ahead log, a busy time-out, and a commit that is on disk
before anybody is told."""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BUSY_SECONDS = 10.0
MOST_PER_COMMIT = 500

_CREATE = (
    "CREATE TABLE IF NOT EXISTS feedback ("
    "id TEXT PRIMARY KEY, created_at TEXT NOT NULL, unit TEXT, features TEXT NOT NULL, prediction TEXT NOT NULL, "
    "model_revision TEXT NOT NULL, model_digest TEXT NOT NULL, thumb INTEGER, correction TEXT, label TEXT)",
    "CREATE INDEX IF NOT EXISTS feedback_created_at ON feedback (created_at)",
)
_INSERT = (
    "INSERT INTO feedback (id, created_at, unit, features, prediction, model_revision, model_digest) "
    "VALUES (?, ?, ?, ?, ?, ?, ?)"
)
# What is not given stays as it is, so that a vote and a later label do not erase each other.
_UPDATE = (
    "UPDATE feedback SET thumb = COALESCE(?, thumb), correction = COALESCE(?, correction), "
    "label = COALESCE(?, label) WHERE id = ?"
)


class StoreUnavailable(Exception):
    """Nothing was recorded: the database is locked for too long, full, or gone."""


@dataclass(frozen=True)
class Prediction:
    """One answer, as it is recorded; `features` and structured values are JSON texts."""

    id: str
    created_at: str
    unit: str | None
    features: str
    prediction: str
    revision: str
    digest: str


@dataclass(frozen=True)
class Vote:
    """What a person says of an answer; None leaves what was said before."""

    id: str
    thumb: int | None
    correction: str | None
    label: str | None


@dataclass(frozen=True)
class _Job:
    sql: str
    rows: Sequence[tuple[Any, ...]]
    done: asyncio.Future[int]
    loop: asyncio.AbstractEventLoop


class Store:
    """The records of one server process."""

    def __init__(self, path: Path) -> None:
        """Opens (and creates) the database. Raises StoreUnavailable."""
        self._path = path
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._prepare()
        self._thread = threading.Thread(target=self._work, name="store", daemon=True)
        self._thread.start()

    def _prepare(self) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            connection = self._connect()
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                for statement in _CREATE:
                    connection.execute(statement)
            finally:
                connection.close()
        except (sqlite3.Error, OSError) as error:
            raise StoreUnavailable(f"the feedback database cannot be opened ({type(error).__name__})") from None

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=BUSY_SECONDS, isolation_level=None)
        connection.execute("PRAGMA synchronous = FULL")
        return connection

    async def add(self, predictions: Sequence[Prediction]) -> None:
        """Record answers; returns when they are on disk. Raises StoreUnavailable."""
        rows = [(p.id, p.created_at, p.unit, p.features, p.prediction, p.revision, p.digest) for p in predictions]
        await self._submit(_INSERT, rows)

    async def vote(self, vote: Vote) -> bool:
        """Record feedback; False where no answer has this id. Raises StoreUnavailable."""
        return await self._submit(_UPDATE, [(vote.thumb, vote.correction, vote.label, vote.id)]) > 0

    async def _submit(self, sql: str, rows: Sequence[tuple[Any, ...]]) -> int:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[int] = loop.create_future()
        self._jobs.put(_Job(sql, rows, done, loop))
        # A client that goes away must not cancel what others in the same transaction wait for.
        return await asyncio.shield(done)

    def close(self) -> None:
        """Write what waits, then stop."""
        self._jobs.put(None)
        self._thread.join()

    def _work(self) -> None:
        connection = self._connect()
        open_for_more = True
        while open_for_more:
            batch, open_for_more = self._next_batch()
            if batch:
                _finish(batch, _commit(connection, batch))
        connection.close()

    def _next_batch(self) -> tuple[list[_Job], bool]:
        """All that gathered while the last transaction was written: that is what makes commits cheap."""
        batch: list[_Job] = []
        job = self._jobs.get()
        while job is not None:
            batch.append(job)
            if len(batch) >= MOST_PER_COMMIT:
                return batch, True
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                return batch, True
        return batch, False


def _commit(connection: sqlite3.Connection, batch: Sequence[_Job]) -> list[int] | StoreUnavailable:
    """Rows changed per job; or the error that undid all of them."""
    try:
        connection.execute("BEGIN IMMEDIATE")
        counts = [connection.executemany(job.sql, job.rows).rowcount for job in batch]
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        return StoreUnavailable(f"the feedback database refuses to write ({type(error).__name__})")
    return counts


def _finish(batch: Sequence[_Job], outcome: list[int] | StoreUnavailable) -> None:
    for place, job in enumerate(batch):
        result = outcome if isinstance(outcome, StoreUnavailable) else outcome[place]
        try:
            job.loop.call_soon_threadsafe(_resolve, job.done, result)
        except RuntimeError:
            continue  # the loop is closed: its client is gone, the record is not


def _resolve(done: asyncio.Future[int], result: int | StoreUnavailable) -> None:
    if done.done():
        return
    if isinstance(result, StoreUnavailable):
        done.set_exception(result)
    else:
        done.set_result(result)
