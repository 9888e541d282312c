"""What a decision about a FeedbackSource needs to know."""

from __future__ import annotations

from dataclasses import dataclass

from retrainer.feedback.errors import SourceError
from retrainer.feedback.summaries import Cursor, Summary
from retrainer.plan import Object

READY = "Ready"
DATA_TRUSTED = "DataTrusted"
REQUESTS = ("sync",)


@dataclass(frozen=True)
class SummaryRead:
    """A finished look at the source. `summary` is None when nothing changed since `cursor` was written."""

    summary: Summary | None
    cursor: Cursor
    age_seconds: float


@dataclass(frozen=True)
class SourceInput:
    """One pass's view of a source: at most one of `read`, `error` and `due_in_seconds` is set.

    None of them: a look is under way. `due_in_seconds`: what the status says is young enough until then.
    """

    obj: Object
    read: SummaryRead | None = None
    error: SourceError | None = None
    due_in_seconds: float | None = None
    name_conflict: str | None = None
