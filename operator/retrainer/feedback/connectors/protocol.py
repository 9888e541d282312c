"""What every connector offers: the questions, their answers, and the protocol.

Connectors block; the operator calls them in worker threads (`retrainer.feedback_source.readings`), the trainer
directly. Whatever is asked, three rules hold: rows that cannot be read are quarantined and counted nowhere else;
of several votes on one thing (unit, input, output, signal) the latest counts; times are UTC.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal, Protocol

from retrainer.feedback.summaries import Cursor, Summary

if TYPE_CHECKING:
    import pyarrow as pa

VoteValue = Literal["Positive", "Negative", "Score"]


@dataclass(frozen=True)
class Timeouts:
    """Seconds: to connect, and for one whole read (the server's statement time-out and our own limit)."""

    connect: float = 5.0
    read: float = 30.0


@dataclass(frozen=True)
class ColumnFact:
    """A column and its type, in the words of the source."""

    name: str
    type: str


@dataclass(frozen=True)
class SourceFacts:
    """What a first look found. `newest` is the latest readable time; `rows` includes unreadable ones."""

    columns: tuple[ColumnFact, ...]
    newest: datetime | None
    rows: int | None


@dataclass(frozen=True)
class Arm:
    """One side of an experiment: a record belongs to it if its model is one of `models` (revision as text,
    digest), or else if its variant is one of `variants`."""

    name: str
    models: tuple[str, ...]
    variants: tuple[str, ...] = ()


@dataclass(frozen=True)
class OutcomeQuery:
    """Outcomes of the units that were first seen in [start, end).

    The outcome of a record is, with `signal`: 1 where its vote is what `value` says and else 0, or with Score the
    vote as a number from 0 to 1; with `quality`: that number of the record. Of several records of one request,
    that is one (unit, input, output), or one record where the input is unknown, the latest with an outcome counts.

    `unit` Request: a request of one arm counts in the window of its first record only, so that a later vote on it
    neither counts twice nor moves it. `unit` User: a user (record.unit; records without one are left out) counts
    once, in the window of the first record in either arm, for the arm of that record, with the mean outcome of the
    requests seen before the first record of another arm.

    `since` bounds how far back a first record is looked for (the start of the experiment; everything if None).
    Records at or after `as_of` are ignored.
    """

    signal: str | None
    value: VoteValue | None
    start: datetime
    end: datetime
    arms: tuple[Arm, ...]
    since: datetime | None = None
    as_of: datetime | None = None
    quality: str | None = None
    unit: Literal["Request", "User"] = "Request"


@dataclass(frozen=True)
class ArmOutcome:
    """`units` requests or users got answers of this arm, `responded` of them have an outcome; Σy and Σy² over
    those."""

    arm: str
    units: int
    responded: int
    total: float
    squares: float

    @property
    def missing(self) -> int:
        """Units without an outcome."""
        return self.units - self.responded


@dataclass(frozen=True)
class CountQuery:
    """How many votes lie in (since, until], the latest of each on one thing.

    `value` Any counts records that carry any signal (or `signal`, where named); Positive and Negative count
    votes of `signal`, or of the first signal with polarity. `models` restricts to records of those models.
    """

    until: datetime
    since: datetime | None = None
    value: Literal["Any", "Positive", "Negative"] = "Any"
    signal: str | None = None
    models: tuple[str, ...] | None = None


@dataclass(frozen=True)
class UnitDayQuery:
    """Votes per unit on the whole UTC days after `after_date` (all if None) and before `until_date`.

    `models` restricts to records of those models (the champion's revision and digest).
    """

    signal: str
    until_date: str
    after_date: str | None = None
    models: tuple[str, ...] | None = None


UnitDay = tuple[str, str, float, int]
"""Date (YYYY-MM-DD), unit, mean of positive / (positive + negative), number of those votes; ordered by date, then
unit.

Of several votes on one thing on one day the latest counts; a vote of a later day never changes a day that is over.
"""


@dataclass(frozen=True)
class Window:
    """Records with start ≤ time < end."""

    start: datetime
    end: datetime


class Connector(Protocol):
    """A source that can be asked. Every method raises only errors of `retrainer.feedback.errors`."""

    def probe(self) -> SourceFacts:
        """Reachable? Columns and types, newest record, number of rows."""
        ...

    def summarise(self, since: Cursor | None, previous: Summary | None) -> tuple[Summary | None, Cursor]:
        """Counts over the whole source, and how far it was read.

        `previous` is the summary that came with `since`; with both, only what changed is aggregated. Returns
        (previous, since), where `previous` may be None, if nothing at all changed.
        """
        ...

    def outcomes(self, query: OutcomeQuery) -> list[ArmOutcome]:
        """One answer per arm of the query, in its order."""
        ...

    def count(self, query: CountQuery) -> int: ...

    def unit_days(self, query: UnitDayQuery) -> list[UnitDay]: ...

    def scan(self, window: Window, batch_rows: int = 10_000) -> Iterator[pa.RecordBatch]:
        """Records of a window in the schema of `retrainer.feedback.batches`, in no particular order.

        Rows that cannot be read are included where their time lies in the window or is unreadable; only `id`
        (where readable) and `quarantine` are set in them.
        """
        ...

    def close(self) -> None: ...


def models_or_none(models: Sequence[str] | None) -> tuple[str, ...] | None:
    """An empty choice of models means no restriction was wanted."""
    return tuple(models) if models else None
