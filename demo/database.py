"""The SQLite files below the feedback volume: the first images, the days of the history, the like rates.

Only the standard library, and no other module of the demo: on a cluster where the volume is not a folder of
this machine the same text runs inside a pod.
"""

from __future__ import annotations

import json
import sqlite3
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import sqrt
from pathlib import Path

BUSY_SECONDS = 10.0
_CREATE_IMAGES = "CREATE TABLE images (id TEXT PRIMARY KEY, created_at TEXT, features TEXT, label TEXT)"


@dataclass(frozen=True)
class Votes:
    """Thumbs up and down."""

    likes: int
    dislikes: int

    @property
    def total(self) -> int:
        return self.likes + self.dislikes

    @property
    def rate(self) -> float:
        """Share of likes; not a number without votes."""
        return self.likes / self.total if self.total else float("nan")

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval of the rate (Wilson 1927, eq. 1)."""
        n, z = self.total, 1.96
        if not n:
            return 0.0, 1.0
        centre = (self.rate + z * z / (2 * n)) / (1 + z * z / n)
        half = z * sqrt(self.rate * (1 - self.rate) / n + z * z / (4 * n * n)) / (1 + z * z / n)
        return centre - half, centre + half


def stamp(moment: datetime) -> str:
    """The text form of times in both files; its order is the order of time."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def write_first_images(path: Path, images: Sequence[tuple[Sequence[int], str]], start: datetime) -> None:
    """A new file with labelled images (pixels, digit), a minute apart from `start` on."""
    with closing(sqlite3.connect(path, timeout=BUSY_SECONDS)) as database, database:
        database.execute(_CREATE_IMAGES)
        rows = (
            (f"first-{n:03}", stamp(start + timedelta(minutes=n)), json.dumps(list(pixels)), digit)
            for n, (pixels, digit) in enumerate(images)
        )
        database.executemany("INSERT INTO images VALUES (?, ?, ?, ?)", rows)


def spread_over_days(path: Path, start: datetime, days: int) -> int:
    """Move the time stamps of all records to `days` whole days from `start` on, in their order.

    Everything else about them stays as it was recorded. Returns how many there are.
    """
    with closing(sqlite3.connect(path, timeout=BUSY_SECONDS)) as database, database:
        ids = [row[0] for row in database.execute("SELECT id FROM feedback ORDER BY created_at, id")]
        step = timedelta(days=days) / max(1, len(ids))
        moved = ((stamp(start + step * (n + 0.5)), identifier) for n, identifier in enumerate(ids))
        database.executemany("UPDATE feedback SET created_at = ? WHERE id = ?", moved)
        return len(ids)


def votes(path: Path, revision: int, since: datetime, until: datetime) -> Votes:
    """What people said about the answers of one revision that were given in [since, until)."""
    query = (
        "SELECT SUM(thumb = 1), SUM(thumb = -1) FROM feedback "
        "WHERE model_revision = ? AND created_at >= ? AND created_at < ?"
    )
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=BUSY_SECONDS)) as database:
        likes, dislikes = database.execute(query, (str(revision), stamp(since), stamp(until))).fetchone()
    return Votes(likes or 0, dislikes or 0)


def main(words: Sequence[str]) -> None:
    """`first-images FILE START PAIRS`, `spread FILE START DAYS` or `votes FILE REVISION SINCE UNTIL`; prints JSON."""
    question, path, *more = words[0], Path(words[1]), *words[2:]
    if question == "first-images":
        write_first_images(path, json.loads(more[1]), datetime.fromisoformat(more[0]))
    elif question == "spread":
        print(spread_over_days(path, datetime.fromisoformat(more[0]), int(more[1])))
    elif question == "votes":
        since, until = (datetime.fromisoformat(text) for text in more[1:])
        found = votes(path, int(more[0]), since, until)
        print(json.dumps([found.likes, found.dislikes]))
    else:
        raise SystemExit(f"unknown question {question!r}")


if __name__ == "__main__":
    main(sys.argv[1:])
