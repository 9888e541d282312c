"""When a source is read: on a new spec, a request, the interval; after a restart not before it is due."""

import asyncio
from datetime import UTC, datetime, timedelta

from retrainer.conditions import set_condition
from retrainer.feedback.summaries import Summary, Totals
from retrainer.feedback_source.observe import SOURCE, SourceObserver
from retrainer.feedback_source.readings import Reading

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


class FakeReadings:
    def __init__(self):
        self.asked = []
        self.answers = {}

    def has_answer(self, key, name):
        return name in self.answers

    def get(self, key, question, owner, max_age):
        self.asked.append((key, question, owner, max_age))
        return self.answers.get(question.name, Reading())


class FakeConnector:
    def __init__(self):
        self.calls = []

    def summarise(self, since, previous):
        self.calls.append((since, previous))
        return Summary(Totals(records=len(self.calls))), f"c{len(self.calls)}"


def source(*, request=None, generation=1, ready="True", last=NOW - timedelta(seconds=100), observed=1, **spec):
    status = {"observedGeneration": observed, "cursor": "from-status"}
    if last is not None:
        status["lastSyncTime"] = last.strftime("%Y-%m-%dT%H:%M:%SZ")
    status["conditions"] = set_condition([], "Ready", ready, "x", "", NOW, 1)
    annotations = {"retrainer.dev/request": request} if request else {}
    meta = {"namespace": "ns", "name": "a", "uid": "u", "generation": generation, "annotations": annotations}
    return {"metadata": meta, "spec": spec, "status": status}


def observe(obj, readings=None):
    readings = readings or FakeReadings()
    return asyncio.run(SourceObserver(readings, lambda: NOW).observe(obj)), readings


def test_a_suspended_source_is_not_read():
    seen, readings = observe(source(suspend=True))
    assert (seen.read, seen.error, readings.asked) == (None, None, [])


def test_after_a_restart_a_source_waits_until_it_is_due():
    seen, readings = observe(source())
    assert seen.due_in_seconds == 200.0
    assert readings.asked == []


def test_it_is_read_at_once_when_the_status_does_not_hold():
    for obj in (
        source(last=None),
        source(last=NOW - timedelta(seconds=300)),
        source(observed=None),
        source(generation=2),
        source(ready="False"),
        source(request="sync/1"),
        source(syncIntervalSeconds=60),
    ):
        seen, readings = observe(obj)
        assert seen.due_in_seconds is None
        ((key, _, owner, age),) = readings.asked
        assert (key, owner) == (("ns", "a"), (SOURCE, ("ns", "a")))
        assert age < float(obj["spec"].get("syncIntervalSeconds", 300))


def test_generation_and_request_make_new_questions_and_nothing_else_does():
    names = set()
    for obj in (source(generation=2), source(generation=3), source(request="sync/1"), source(request="sync/2")):
        _, readings = observe(obj)
        names.add(readings.asked[0][1].name)
    assert len(names) == 4
    one, two = (observe(source(last=None))[1].asked[0][1].name for _ in range(2))
    assert one == two


def test_answers_and_errors_are_passed_on():
    readings = FakeReadings()
    observer = SourceObserver(readings, lambda: NOW)
    obj = source(last=None)
    asyncio.run(observer.observe(obj))
    question = readings.asked[0][1]
    connector = FakeConnector()
    readings.answers[question.name] = Reading(value=question.ask(connector), age_seconds=7.0)
    seen = asyncio.run(observer.observe(obj))
    assert (seen.read.summary.totals.records, seen.read.cursor, seen.read.age_seconds) == (1, "c1", 7.0)


def test_a_look_continues_from_the_last_one_of_the_same_connector():
    readings = FakeReadings()
    observer = SourceObserver(readings, lambda: NOW)
    asyncio.run(observer.observe(source(last=None)))
    question = readings.asked[0][1]
    first, other = FakeConnector(), FakeConnector()
    question.ask(first)
    question.ask(first)
    question.ask(other)
    assert first.calls[0] == ("from-status", None)
    assert first.calls[1] == ("c1", Summary(Totals(records=1)))
    assert other.calls == [("from-status", None)]
    del first
    assert len(observer._known) == 1, "what a connector knew goes with it"
