"""Incremental summaries: aggregate again only the units that something happened to.

The identity of a vote contains its unit, so a summary is a sum over units (`Totals`). Rows are split by a *mark*
into closed ones and the rest; the totals of the closed rows are kept in memory (`Summary.base`). At the next look

    U       = units of the rows that are not closed by the old mark
    summary = base − (closed rows of U) + (all rows of U)

and the base moves to the new mark in the same way. Quarantined rows belong to no unit and are added one by one.
This is exact as long as no closed row was changed or removed, and that is *verified at every look*: the number
of rows closed by the old mark (and, where the database does not version its rows, a checksum of their contents)
must be what it was. If not, or after a restart, or once a day, or when the time comes of a row that was
quarantined because its time was ahead of the clock, everything is read.

What is saved is the sorting and counting of all rows, by far the largest part; the verification stays linear.
"""

from __future__ import annotations

from typing import Protocol

from retrainer.feedback.connectors.statements import EVERYTHING, Rows, Sets
from retrainer.feedback.quality import CLOCK_SKEW_MICROSECONDS
from retrainer.feedback.summaries import SEGMENT_LIMIT, Cursor, Position, Summary, Totals

FULL_EVERY_SECONDS = 86_400


class TotalsReader(Protocol):
    """One source within one consistent view (transaction) of it."""

    def stamp(self) -> str | None:
        """Equal stamps mean equal content; None where that cannot be told."""
        ...

    def mark(self, before: str | None) -> str | None:
        """Where the closed rows end now, never earlier than `before`: what the base has summed up stays closed even
        if the clock goes back. None where rows cannot be told apart (queries, views)."""
        ...

    def check(self, mark: str) -> str:
        """Number, and checksum where needed, of the rows closed by the mark."""
        ...

    def totals(self, rows: Rows, sets: Sets) -> dict[str, Totals]:
        """Totals of every set (conditions over the canonical relation) among those rows."""
        ...


def summarise(
    reader: TotalsReader,
    since: Cursor | None,
    previous: Summary | None,
    *,
    fingerprint: str,
    features: int | None,
    now: float,
) -> tuple[Summary | None, Cursor]:
    """See `Connector.summarise`; `now` is seconds since 1970."""
    position = Position.decode(since)
    stamp = reader.stamp()
    if position is not None and not _is_current(position, fingerprint, features, now):
        position = None
    if position is not None and since is not None and stamp is not None and stamp == position.stamp:
        return previous, since
    found = None
    if position is not None and previous is not None:
        found = _touched_units(reader, position, previous)
    full_at = position.full_at if found is not None and position is not None else int(now)
    summary, mark, check = found or _everything(reader)
    after = Position(
        fingerprint=fingerprint,
        full_at=full_at,
        mark=mark,
        check=check,
        stamp=stamp,
        expires=_expiry(summary.totals),
        features=features,
    )
    return summary, after.encode()


def _is_current(position: Position, fingerprint: str, features: int | None, now: float) -> bool:
    return (
        position.fingerprint == fingerprint
        and position.features == features
        and (position.expires is None or now < position.expires)
        and 0 <= now - position.full_at < FULL_EVERY_SECONDS
    )


def _everything(reader: TotalsReader) -> tuple[Summary, str | None, str | None]:
    mark = reader.mark(None)
    if mark is None:
        return Summary(reader.totals(Rows(), EVERYTHING)["all"]), None, None
    found = reader.totals(Rows(closed=mark), {**EVERYTHING, "base": "closed = 1"})
    if any(_too_many_segments(t) for t in found.values()):
        return Summary(found["all"]), None, None
    return Summary(found["all"], found["base"]), mark, reader.check(mark)


_TOUCHED: Sets = {
    "removed": "old = 1 AND reason IS NULL",
    "base": "closed = 1 AND (old = 0 OR reason IS NULL)",
    "all": "old = 0 OR reason IS NULL",
}


def _touched_units(reader: TotalsReader, position: Position, previous: Summary) -> tuple[Summary, str, str] | None:
    """None where this look must read everything."""
    old, base = position.mark, previous.base
    if old is None or base is None or reader.check(old) != position.check:
        return None
    mark = reader.mark(old)
    if mark is None:
        return None
    found = reader.totals(Rows(old=old, closed=mark, touched=True), _TOUCHED)
    if any(_too_many_segments(t) for t in found.values()):
        return None
    rest = base.minus(found["removed"])
    return Summary(rest.plus(found["all"]), rest.plus(found["base"])), mark, reader.check(mark)


def _too_many_segments(totals: Totals) -> bool:
    return len(totals.segments) > SEGMENT_LIMIT


def _expiry(totals: Totals) -> int | None:
    """When the first row with a future time becomes readable, seconds since 1970."""
    if totals.next_readable is None:
        return None
    return (totals.next_readable - CLOCK_SKEW_MICROSECONDS) // 1_000_000
