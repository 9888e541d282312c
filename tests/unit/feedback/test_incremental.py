"""The algorithm of incremental summaries, on rows in a list: every history ends where reading everything ends."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrainer.feedback.connectors.incremental import FULL_EVERY_SECONDS, summarise
from retrainer.feedback.summaries import SEGMENT_LIMIT, Counts, Position, Totals

NOW = 1_790_000_000.0


class ListReader:
    """Rows (number, unit, bad) in order of number; closed by a mark are the numbers up to it."""

    def __init__(self, rows, *, stamp=None, markable=True, open_rows=0):
        self.rows = rows
        self.open_rows = open_rows
        self.markable = markable
        self._stamp = stamp
        self.looks = []

    def stamp(self):
        return self._stamp

    def mark(self, before):
        if not self.markable:
            return None
        last = max((r[0] for r in self.rows), default=0) - self.open_rows
        return str(max(last, int(before or 0)))

    def check(self, mark):
        closed = [r for r in self.rows if r[0] <= int(mark)]
        return f"{len(closed)}:{hash(tuple(closed))}"

    def totals(self, rows, sets):
        self.looks.append("touched" if rows.touched else "full")
        old = {r for r in self.rows if rows.old is not None and r[0] <= int(rows.old)}
        closed = {r for r in self.rows if rows.closed is not None and r[0] <= int(rows.closed)}
        fresh = {unit for number, unit, bad in set(self.rows) - old if not bad}
        seen = [r for r in self.rows if not rows.touched or r not in old or r[1] in fresh]
        keep = {
            "all": lambda r: not rows.touched or r not in old or not r[2],
            "base": lambda r: r in closed and (r not in old or not r[2]),
            "removed": lambda r: r in old and not r[2],
        }
        return {name: _totals([r for r in seen if keep[name](r)]) for name in sets}


def _totals(rows):
    good = [r for r in rows if not r[2]]
    bad = [r for r in rows if r[2]]
    units = {r[1] for r in good}
    return Totals(
        records=len(units), units=len(units), votes=len(good),
        signals={"t": Counts(len(units), len(units), 0, 0)},
        segments={u: Counts(1, 1, 0, 0) for u in units},
        quarantine={"X|y": len(bad)} if bad else {},
    )  # fmt: skip


def look(reader, cursor=None, previous=None, now=NOW, fingerprint="f", features=None):
    return summarise(reader, cursor, previous, fingerprint=fingerprint, features=features, now=now)


ROWS = st.lists(st.tuples(st.sampled_from("abcde"), st.booleans()), max_size=6)


@settings(max_examples=150)
@given(st.lists(st.tuples(ROWS, st.booleans(), st.integers(0, 5)), max_size=6))
def test_continuing_equals_reading_everything(history):
    rows, cursor, summary, number = [], None, None, 0
    for added, change, open_rows in history:
        if change and rows:
            number_, unit, bad = rows[0]
            rows = [(number_, "changed" if unit != "changed" else "again", bad), *rows[1:]]
        for unit, bad in added:
            number += 1
            rows.append((number, unit, bad))
        summary, cursor = look(ListReader(rows, open_rows=open_rows), cursor, summary)
        assert summary.totals == _totals(rows)


ROWS_NOW = [(1, "a", False), (2, "b", False), (3, "a", True)]


def test_new_rows_lead_to_a_look_at_their_units_only():
    summary, cursor = look(ListReader(ROWS_NOW))
    reader = ListReader([*ROWS_NOW, (4, "a", False)])
    again, _ = look(reader, cursor, summary)
    assert reader.looks == ["touched"]
    assert again.totals.votes == 3


@pytest.mark.parametrize(
    ("sentence", "changes"),
    [
        ("after a restart", {"previous": None}),
        ("another mapping", {"fingerprint": "g"}),
        ("another number of features", {"features": 5}),
        ("a day later", {"now": NOW + FULL_EVERY_SECONDS}),
        ("a clock that went back", {"now": NOW - 10}),
        ("no cursor", {"cursor": None}),
    ],
)
def test_everything_is_read(sentence, changes):
    summary, cursor = look(ListReader(ROWS_NOW))
    reader = ListReader(ROWS_NOW)
    look(reader, **{"cursor": cursor, "previous": summary, **changes})
    assert reader.looks == ["full"], sentence


def test_a_changed_closed_row_leads_to_a_full_look():
    summary, cursor = look(ListReader(ROWS_NOW))
    reader = ListReader([(1, "z", False), *ROWS_NOW[1:]])
    again, _ = look(reader, cursor, summary)
    assert reader.looks == ["full"]
    assert again.totals == _totals(reader.rows)


def test_nothing_is_read_while_the_stamp_stays():
    summary, cursor = look(ListReader(ROWS_NOW, stamp="s1"))
    reader = ListReader(ROWS_NOW, stamp="s1")
    assert look(reader, cursor, summary) == (summary, cursor)
    assert look(reader, cursor, None) == (None, cursor)
    assert reader.looks == []
    look(ListReader(ROWS_NOW, stamp="s2"), cursor, summary)


def test_without_marks_every_look_is_full():
    reader = ListReader(ROWS_NOW, markable=False)
    summary, cursor = look(reader)
    again, _ = look(reader, cursor, summary)
    assert reader.looks == ["full", "full"]
    assert again.totals == summary.totals and summary.base is None


def test_the_daily_full_look_is_counted_from_the_last_one():
    summary, cursor = look(ListReader(ROWS_NOW))
    summary, cursor = look(ListReader(ROWS_NOW), cursor, summary, now=NOW + FULL_EVERY_SECONDS - 1)
    assert Position.decode(cursor).full_at == int(NOW)
    summary, cursor = look(ListReader(ROWS_NOW), cursor, summary, now=NOW + FULL_EVERY_SECONDS + 1)
    assert Position.decode(cursor).full_at == int(NOW + FULL_EVERY_SECONDS + 1)


def test_too_many_segments_are_summarised_in_full_every_time():
    rows = [(i, f"u{i}", False) for i in range(SEGMENT_LIMIT + 5)]
    reader = ListReader(rows)
    summary, cursor = look(reader)
    assert summary.base is None
    look(reader, cursor, summary)
    assert "touched" not in reader.looks


def test_a_cursor_holds_no_content():
    _, cursor = look(ListReader([(1, "ann@example.com", False)]))
    assert "ann" not in cursor
    assert set(json.loads(cursor)) <= {"f", "a", "m", "c", "s", "e", "n"}
