"""People before an experiment: what they think of its arms, whom they reach, and the votes that they leave."""

from __future__ import annotations

import asyncio
import math
import sqlite3
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import aiohttp

GOOD, BAD = 0.95, 0.55
"""Shares of likes that a window of some dozens tells apart."""


class Records:
    """One feedback database: who answered when, and the thumb."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._open() as connection:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("CREATE TABLE feedback (id TEXT, created_at TEXT, model TEXT, thumb INTEGER)")
            connection.execute("CREATE INDEX at ON feedback (created_at)")

    def vote(self, model: int, thumbs: Sequence[int]) -> None:
        """Votes of this moment about one revision: 1 or -1 each."""
        with self._open() as connection:
            # Taken under the lock: who waits for it does not come late with an old time.
            connection.execute("BEGIN IMMEDIATE")
            now = _text(time.time())
            connection.executemany(
                "INSERT INTO feedback VALUES (?, ?, ?, ?)", [(uuid.uuid4().hex, now, str(model), t) for t in thumbs]
            )

    def count(self, model: int, start: float, end: float) -> tuple[int, int]:
        """Votes on one revision from `start` to before `end` (seconds since the epoch), and how many are likes."""
        query = (
            "SELECT count(*), coalesce(sum(thumb = 1), 0) FROM feedback "
            "WHERE model = ? AND created_at >= ? AND created_at < ?"
        )
        with self._open() as connection:
            votes, likes = connection.execute(query, (str(model), _text(start), _text(end))).fetchone()
        return int(votes), int(likes)

    def move_away(self) -> None:
        """The whole folder is gone for whoever knows its name; votes go on being recorded."""
        self._rename(self.path.parent.with_suffix(".away"))

    def bring_back(self) -> None:
        self._rename(self.path.parent.with_suffix(""))

    def _rename(self, folder: Path) -> None:
        with self._lock:
            self.path.parent.rename(folder)
            self.path = folder / self.path.name

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with self._lock, closing(sqlite3.connect(self.path, timeout=20)) as connection, connection:
            connection.execute("PRAGMA synchronous=OFF")
            yield connection


def _text(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds")


@dataclass
class Trial:
    """One experiment, and what the crowd thinks of its arms; `quality` may change while it runs."""

    name: str
    revisions: Mapping[str, int]
    records: Records
    quality: dict[str, float]
    rate: float
    _due: dict[str, float] = field(default_factory=dict)

    def take(self, what: str, amount: float) -> int:
        """Whole pieces of what has come together: shares are exact, and no test depends on luck."""
        total = self._due.get(what, 0.5) + amount
        self._due[what] = total - math.floor(total)
        return math.floor(total)

    def becomes(self, arm: str, quality: float) -> float:
        """From now on people like an arm this much; returns when, in seconds since the epoch."""
        self.quality[arm] = quality
        return time.time()

    def vote(self, arm: str, number: int) -> None:
        likes = self.take(f"{arm} likes", number * self.quality[arm])
        self.records.vote(self.revisions[arm], [1] * likes + [-1] * (number - likes))


class Crowd(threading.Thread):
    """People who vote on every trial, divided as its HTTPRoute says at that moment."""

    def __init__(self, weights: Callable[[], Mapping[str, int]]) -> None:
        super().__init__(daemon=True)
        self._weights = weights
        self._trials: list[Trial] = []
        self._end = threading.Event()

    def attend(self, trial: Trial) -> None:
        self._trials = [*self._trials, trial]

    def run(self) -> None:
        last = time.monotonic()
        while not self._end.wait(0.2):
            weights = self._weights()
            now = time.monotonic()
            for trial in self._trials:
                if trial.name in weights:
                    self._visit(trial, weights[trial.name], now - last)
            last = now

    def _visit(self, trial: Trial, weight: int, seconds: float) -> None:
        requests = trial.take("requests", trial.rate * seconds)
        candidate = min(requests, trial.take("candidate", requests * weight / 100))
        for arm, number in (("candidate", candidate), ("baseline", requests - candidate)):
            if number:
                trial.vote(arm, number)

    def stop(self) -> None:
        self._end.set()
        self.join(10)


class GatewayCrowd(threading.Thread):
    """People who send requests through the gateway and vote on the revision that answered."""

    def __init__(self, url: str, host: str, trial: Trial) -> None:
        super().__init__(daemon=True)
        self._url = url
        self._host = host
        self._trial = trial
        self._arms = {str(revision): arm for arm, revision in trial.revisions.items()}
        self._end = threading.Event()
        self.errors = 0

    def run(self) -> None:
        asyncio.run(self._send())

    async def _send(self) -> None:
        async with aiohttp.ClientSession(trust_env=False, timeout=aiohttp.ClientTimeout(total=5)) as session:
            begin, sent = time.monotonic(), 0
            async with asyncio.TaskGroup() as people:
                while not self._end.is_set():
                    for _ in range(round((time.monotonic() - begin) * self._trial.rate) - sent):
                        sent += 1
                        people.create_task(self._visit(session))
                    await asyncio.sleep(0.02)

    async def _visit(self, session: aiohttp.ClientSession) -> None:
        try:
            async with session.get(self._url, headers={"Host": self._host}) as response:
                arm = self._arms[await response.text()]
        except (aiohttp.ClientError, TimeoutError, KeyError):
            self.errors += 1
            return
        self._trial.vote(arm, 1)

    def stop(self) -> None:
        self._end.set()
        self.join(10)
