"""newSamples: enough new feedback since the champion's data set."""

from __future__ import annotations

import json

from retrainer.api.v1alpha1.retrain_policy import NewSamples, TriggerState
from retrainer.retrain_policy.input import CountRead, ReadFailed
from retrainer.retrain_policy.triggers.result import Answer, Question


def evaluate(settings: NewSamples, question: Question) -> Answer:
    """Fired when at least `atLeast` records are later than what the champion's snapshot looked at."""
    threshold = str(settings.at_least)
    reading = question.reading
    if isinstance(reading, ReadFailed):
        return Answer(TriggerState.UNKNOWN, f"new feedback cannot be counted: {reading.reason}", None, threshold)
    if not isinstance(reading, CountRead) or reading.wanted.revision != _revision(question):
        return _as_before(settings, question, threshold)
    kind = {"Any": "", "Positive": "positive ", "Negative": "negative "}[settings.value or "Any"]
    message = f"{reading.count} new {kind}records {_since(question)}; {threshold} are wanted"
    state = TriggerState.FIRED if reading.count >= settings.at_least else TriggerState.QUIET
    return Answer(state, message, str(reading.count), threshold, _memory(settings, question))


def _as_before(settings: NewSamples, question: Question, threshold: str) -> Answer:
    """Nothing was read in this pass: what was said last still stands."""
    last = question.previous
    if last is None or last.memory != _memory(settings, question):
        return Answer(TriggerState.UNKNOWN, "new feedback was not counted yet", None, threshold)
    return Answer(last.state, last.message, last.observed, threshold, last.memory)


def _memory(settings: NewSamples, question: Question) -> str:
    """What the count answers: one about another champion, or under other settings, says nothing."""
    asked = {"revision": _revision(question), "value": settings.value or "Any", "atLeast": settings.at_least}
    return json.dumps(asked)


def _revision(question: Question) -> int | None:
    return question.champion.revision if question.champion else None


def _since(question: Question) -> str:
    if question.champion is None:
        return "in all (there is no champion yet)"
    return f"since the data set of revision {question.champion.revision}"
