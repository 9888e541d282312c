"""Looks at the source of a FeedbackSource, without waiting for it; decides nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

from retrainer.api.v1alpha1.kind import REQUEST_ANNOTATION
from retrainer.feedback.connectors.protocol import Connector
from retrainer.feedback.summaries import Cursor, Summary
from retrainer.feedback_source.input import SourceInput, SummaryRead
from retrainer.feedback_source.readings import Question, Readings, SourceKey
from retrainer.plan import Object

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
    """Remembers each source's last summary, from which the next look continues; losing it costs one full read."""

    readings: Readings
    _known: dict[SourceKey, _Look] = field(default_factory=dict)

    async def observe(self, obj: Object) -> SourceInput:
        """What is known of the source now; asks for a new look when it is due or requested."""
        if obj["spec"].get("suspend"):
            return SourceInput(obj)
        meta = obj["metadata"]
        key = (meta["namespace"], meta["name"])
        interval = float(obj["spec"].get("syncIntervalSeconds") or 300)
        reading = self.readings.get(key, self._question(key, obj), (SOURCE, key), interval * _EARLY)
        if reading.error is not None:
            return SourceInput(obj, error=reading.error)
        if reading.pending:
            return SourceInput(obj)
        look: _Look = reading.value
        return SourceInput(obj, read=SummaryRead(look.summary, look.cursor, reading.age_seconds))

    def _question(self, key: SourceKey, obj: Object) -> Question:
        """Another spec, or a request to sync, is another question: an old answer does not do for it."""
        meta = obj["metadata"]
        request = (meta.get("annotations") or {}).get(REQUEST_ANNOTATION)
        cursor = (obj.get("status") or {}).get("cursor")
        name = ("summary", meta["uid"], meta.get("generation"), request)
        return Question(name, partial(self._look, key, meta["uid"], cursor))

    def _look(self, key: SourceKey, uid: str, cursor: Cursor | None, connector: Connector) -> _Look:
        known = self._known.get(key)
        since, previous = (known.cursor, known.summary) if known is not None else (cursor, None)
        summary, position = connector.summarise(since, previous)
        look = _Look(summary, position)
        self._known[key] = look
        return look
