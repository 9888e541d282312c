"""Looks at the source of a FeedbackSource, without waiting for it; decides nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from weakref import WeakKeyDictionary

from retrainer.api.v1alpha1.kind import REQUEST_ANNOTATION
from retrainer.conditions import is_true
from retrainer.feedback.connectors.protocol import Connector
from retrainer.feedback.summaries import Cursor, Summary
from retrainer.feedback_source.input import READY, REQUESTS, SourceInput, SummaryRead
from retrainer.feedback_source.readings import Question, Readings
from retrainer.plan import Object
from retrainer.requests import pending_request

SOURCE = "feedbacksource"
"""Kind of the owner in wake-ups."""

_EARLY = 0.9
"""A pass comes at the interval, give or take: an answer this near to it is old enough to be read again."""


@dataclass(frozen=True)
class _Look:
    summary: Summary | None
    cursor: Cursor


@dataclass
class SourceObserver:
    """Remembers each connector's last summary, from which the next look continues; losing it costs a full read."""

    readings: Readings
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    _known: WeakKeyDictionary[Connector, _Look] = field(default_factory=WeakKeyDictionary)

    async def observe(self, obj: Object) -> SourceInput:
        """What is known of the source now; asks for a new look when it is due or requested."""
        if obj["spec"].get("suspend"):
            return SourceInput(obj)
        meta = obj["metadata"]
        key = (meta["namespace"], meta["name"])
        interval = float(obj["spec"].get("syncIntervalSeconds") or 300)
        question = self._question(obj)
        if not self.readings.has_answer(key, question.name):
            due = _due_in_seconds(obj, interval, self.clock())
            if due > 0:
                return SourceInput(obj, due_in_seconds=due)
        reading = self.readings.get(key, question, (SOURCE, key), interval * _EARLY)
        if reading.error is not None:
            return SourceInput(obj, error=reading.error)
        if reading.pending:
            return SourceInput(obj)
        look: _Look = reading.value
        return SourceInput(obj, read=SummaryRead(look.summary, look.cursor, reading.age_seconds))

    def _question(self, obj: Object) -> Question:
        """Another spec, or a request to sync, is another question: an old answer does not do for it."""
        meta = obj["metadata"]
        request = (meta.get("annotations") or {}).get(REQUEST_ANNOTATION)
        cursor = (obj.get("status") or {}).get("cursor")
        name = ("summary", meta["uid"], meta.get("generation"), request)
        return Question(name, partial(self._look, cursor))

    def _look(self, cursor: Cursor | None, connector: Connector) -> _Look:
        known = self._known.get(connector)
        since, previous = (known.cursor, known.summary) if known is not None else (cursor, None)
        summary, position = connector.summarise(since, previous)
        look = _Look(summary, position)
        self._known[connector] = look
        return look


def _due_in_seconds(obj: Object, interval: float, now: datetime) -> float:
    """After a restart: a source that was read properly, for this spec, is not due before its interval has passed."""
    status = obj.get("status") or {}
    last = status.get("lastSyncTime")
    asked = pending_request(obj, REQUESTS) is not None
    if not last or asked or status.get("observedGeneration") != obj["metadata"].get("generation"):
        return 0.0
    if not is_true(status.get("conditions"), READY):
        return 0.0
    return interval - (now - datetime.fromisoformat(str(last))).total_seconds()
