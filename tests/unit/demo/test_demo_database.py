"""The demo's own work on the SQLite files."""

import json
import math
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from demo import database
from demo.database import Votes

START = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def feedback(tmp_path: Path) -> Path:
    path = tmp_path / "feedback.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE feedback (id TEXT, created_at TEXT, model_revision TEXT, thumb INTEGER)")
        rows = [
            (f"r{n}", database.stamp(START + timedelta(days=30, seconds=n)), str(1 + n % 2), 1 if n % 4 else -1)
            for n in range(100)
        ]
        connection.executemany("INSERT INTO feedback VALUES (?, ?, ?, ?)", rows)
    return path


def _times(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT created_at FROM feedback ORDER BY CAST(substr(id, 2) AS INTEGER)")
        return [row[0] for row in rows]


def test_records_are_spread_evenly_over_whole_days_in_their_order(feedback: Path) -> None:
    assert database.spread_over_days(feedback, START, 4) == 100
    times = _times(feedback)
    assert times == sorted(times)
    assert [sum(t.startswith(f"2026-03-0{day}") for t in times) for day in (1, 2, 3, 4)] == [25, 25, 25, 25]


def test_moving_time_changes_nothing_else(feedback: Path) -> None:
    before = database.votes(feedback, 1, START, START + timedelta(days=60))
    database.spread_over_days(feedback, START, 4)
    assert database.votes(feedback, 1, START, START + timedelta(days=4)) == before


def test_votes_are_those_of_one_revision_in_a_span(feedback: Path) -> None:
    begin = START + timedelta(days=30)
    assert database.votes(feedback, 1, begin, begin + timedelta(seconds=100)) == Votes(25, 25)
    assert database.votes(feedback, 2, begin, begin + timedelta(seconds=100)) == Votes(50, 0)
    assert database.votes(feedback, 2, begin, begin + timedelta(seconds=10)) == Votes(5, 0)
    assert database.votes(feedback, 3, begin, begin + timedelta(seconds=100)) == Votes(0, 0)


def test_an_unvoted_record_is_no_vote(feedback: Path) -> None:
    with closing(sqlite3.connect(feedback)) as connection, connection:
        connection.execute("UPDATE feedback SET thumb = NULL WHERE model_revision = '1'")
    assert database.votes(feedback, 1, START, START + timedelta(days=60)).total == 0


def test_first_images_are_written_with_features_as_json(tmp_path: Path) -> None:
    path = tmp_path / "archive.db"
    database.write_first_images(path, [((1, 2), "7"), ((3, 4), "8")], START)
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT created_at, features, label FROM images ORDER BY id").fetchall()
    assert [(json.loads(f), label) for _, f, label in rows] == [([1, 2], "7"), ([3, 4], "8")]
    assert [t for t, _, _ in rows] == ["2026-03-01T00:00:00.000000Z", "2026-03-01T00:01:00.000000Z"]


def test_rate_and_interval_of_votes() -> None:
    rate = Votes(70, 30)
    assert rate.rate == 0.7
    assert rate.interval == pytest.approx((0.6042, 0.7811), abs=1e-4)


def test_no_votes_have_no_rate_and_every_interval() -> None:
    assert math.isnan(Votes(0, 0).rate)
    assert Votes(0, 0).interval == (0.0, 1.0)
