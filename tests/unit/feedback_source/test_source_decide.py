"""What is said of a FeedbackSource, as a table of sentences."""

from datetime import UTC, datetime, timedelta

import pytest

from retrainer.api.v1alpha1.feedback_source import FeedbackSourceSpec, FeedbackSourceStatus, SourceReason
from retrainer.conditions import get_condition, is_true
from retrainer.feedback.errors import SchemaMismatch, SecretNotShared, TimedOut, Unauthorized, Unreachable
from retrainer.feedback.summaries import Counts, Summary, Totals
from retrainer.feedback_source.decide import decide
from retrainer.feedback_source.input import SourceInput, SummaryRead
from retrainer.feedback_source.report import counted, quarantined_share

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
REQUEST = "retrainer.dev/request"


def source(status=None, *, request=None, generation=1, **spec):
    return {
        "apiVersion": "retrainer.dev/v1alpha1",
        "kind": "FeedbackSource",
        "metadata": {
            "namespace": "ns", "name": "thumbs", "uid": "uid-1", "generation": generation,
            "annotations": {REQUEST: request} if request else {},
        },
        "spec": {
            "sqlite": {"path": "f.db", "table": "t"},
            "record": {"id": "id", "time": "at", "unit": "who"},
            "signals": [{"name": "thumbs", "from": "v", "thumbs": {"positive": ["1"], "negative": ["0"]}}],
            **spec,
        },
        "status": status or {},
    }  # fmt: skip


TOTALS = Totals(
    records=100, units=40, votes=103, first=1_790_000_000_000_000, last=1_790_100_000_000_000,
    signals={"thumbs": Counts(101, 87, 1, 13)},
    days={20_700: Counts(60, 50, 1, 9), 20_701: Counts(41, 37, 0, 4)},
    segments={"maths": Counts(50, 20, 0, 30), "art": Counts(51, 50, 1, 0), "one": Counts(1, 0, 0, 1)},
)  # fmt: skip


def read(totals=TOTALS, age=0.0, cursor="c1"):
    return SummaryRead(None if totals is None else Summary(totals), cursor, age)


def after(seen, now=NOW):
    """The status as it stands after the pass, and the plan."""
    plan = decide(seen, now)
    return (plan.status if plan.status is not None else seen.obj["status"]), plan


def ready(status):
    condition = get_condition(status.get("conditions"), "Ready")
    return condition["status"], condition["reason"]


@pytest.mark.parametrize(
    ("sentence", "seen", "expected"),
    [
        ("before the first look", SourceInput(source()), ("Unknown", "Syncing")),
        ("read", SourceInput(source(), read=read()), ("True", "Synced")),
        ("empty", SourceInput(source(), read=read(Totals())), ("True", "NoRecords")),
        (
            "only unreadable",
            SourceInput(source(), read=read(Totals(quarantine={"WrongType|id": 3}))),
            ("True", "NoRecords"),
        ),
        ("suspended", SourceInput(source(suspend=True)), ("Unknown", "Suspended")),
        ("away", SourceInput(source(), error=Unreachable("x")), ("False", "Unreachable")),
        ("late", SourceInput(source(), error=TimedOut("x")), ("False", "Unreachable")),
        ("refused", SourceInput(source(), error=Unauthorized("x")), ("False", "Unauthorized")),
        ("not shared", SourceInput(source(), error=SecretNotShared("x")), ("False", "SecretNotShared")),
        ("no such column", SourceInput(source(), error=SchemaMismatch("x")), ("False", "SchemaMismatch")),
    ],
)
def test_ready(sentence, seen, expected):
    status, _ = after(seen)
    assert ready(status) == expected, sentence
    assert expected[1] in {r.value for r in SourceReason}
    assert status["observedGeneration"] == 1
    FeedbackSourceStatus.model_validate(status)


@pytest.mark.parametrize(("error", "stalled"), [
    (Unreachable("x"), False), (TimedOut("x"), False), (Unauthorized("x"), True), (SecretNotShared("x"), True),
    (SchemaMismatch("x"), True),
])  # fmt: skip
def test_stalled_is_what_a_person_must_mend(error, stalled):
    status, plan = after(SourceInput(source(), error=error))
    assert is_true(status["conditions"], "Stalled") is stalled
    assert plan.requeue_after == 30.0
    assert [(e.type, e.reason) for e in plan.events] == [("Warning", error.reason.value)]
    mended, _ = after(SourceInput(source(status), read=read()), NOW + timedelta(minutes=1))
    assert get_condition(mended["conditions"], "Stalled") is None


def test_reconciling_ends_with_the_first_look():
    status, plan = after(SourceInput(source()))
    assert is_true(status["conditions"], "Reconciling") and plan.requeue_after is None
    status, _ = after(SourceInput(source(status), read=read()))
    assert get_condition(status["conditions"], "Reconciling") is None


def test_the_status_holds_the_counts():
    status, _ = after(SourceInput(source(), read=read()))
    assert status["cursor"] == "c1"
    assert status["lastSyncTime"] == "2026-11-21T12:00:00Z"
    assert status["summary"] == {
        "records": 100, "quarantined": 0, "superseded": 2, "units": 40,
        "firstTime": "2026-09-21T14:13:20Z", "lastTime": "2026-09-22T18:00:00Z",
    }  # fmt: skip
    assert status["signals"] == [
        {"name": "thumbs", "total": 101, "positive": 87, "neutral": 1, "negative": 13, "positiveRate": "0.870"}
    ]
    assert [d["date"] for d in status["daily"]] == ["2026-09-04", "2026-09-05"]
    assert [s["name"] for s in status["segments"]] == ["maths", "one", "art"]
    assert "100 records of 40 units, thumbs 0.870 positive" in get_condition(status["conditions"], "Ready")["message"]
    assert FeedbackSourceStatus.model_validate(status).signals[0].positive_rate == "0.870"


def test_the_message_says_that_no_unit_is_mapped():
    obj = source(record={"id": "id", "time": "at"})
    status, _ = after(SourceInput(obj, read=read()))
    assert "record.unit" in get_condition(status["conditions"], "Ready")["message"]


def test_an_unchanged_source_keeps_its_counts():
    status, _ = after(SourceInput(source(), read=read()))
    later, plan = after(SourceInput(source(status), read=read(None)), NOW + timedelta(seconds=301))
    assert plan.status is not None
    assert {k: later[k] for k in ("summary", "signals", "daily")} == {
        k: status[k] for k in ("summary", "signals", "daily")
    }
    assert later["lastSyncTime"] > status["lastSyncTime"]


def test_counts_that_vanish_leave_the_status():
    status, _ = after(SourceInput(source(), read=read(Totals(records=1, units=1, quarantine={"WrongType|id": 1}))))
    assert status["quarantine"]
    cleared, _ = after(SourceInput(source(status), read=read(Totals(records=2, units=1))))
    assert "quarantine" not in cleared


@pytest.mark.parametrize(("quarantined", "trusted"), [(0, "True"), (5, "True"), (6, "False"), (100, "False")])
def test_above_five_percent_the_data_is_not_trusted(quarantined, trusted):
    totals = Totals(
        records=95, units=9, quarantine={"SignalOutOfRange|signal thumbs": quarantined} if quarantined else {}
    )
    status, _ = after(SourceInput(source(), read=read(totals)))
    condition = get_condition(status["conditions"], "DataTrusted")
    assert condition["status"] == trusted
    assert condition["reason"] == ("Trusted" if trusted == "True" else "TooManyQuarantined")
    if trusted == "False":
        assert "SignalOutOfRange" in condition["message"] and "spec.record" in condition["message"]


def test_quarantine_is_reported_by_reason_with_id_and_field():
    totals = Totals(
        records=1,
        quarantine={"SignalOutOfRange|signal thumbs": 3, "SignalOutOfRange|signal x": 1, "MissingId|id": 9},
        examples={"SignalOutOfRange|signal thumbs": "17"},
    )
    report = counted(FeedbackSourceSpec.model_validate(source()["spec"]), totals)
    assert report["quarantine"] == [
        {"reason": "MissingId", "count": 9, "example": "id"},
        {"reason": "SignalOutOfRange", "count": 4, "example": "id 17, signal thumbs"},
    ]
    assert quarantined_share(totals) == 13 / 14
    assert quarantined_share(Totals()) == 0.0


def test_reports_are_bounded():
    totals = Totals(
        records=1, first=None, last=None,
        days={d: Counts(1, 1, 0, 0) for d in range(20_000, 20_100)},
        segments={f"s{i}" + "x" * 80: Counts(10, i % 10, 0, 10 - i % 10) for i in range(100)},
        quarantine={f"R{i}|f": 1 for i in range(50)},
        examples={f"R{i}|f": "i" * 256 for i in range(50)},
    )  # fmt: skip
    status, _ = after(SourceInput(source(), read=read(totals)))
    assert (len(status["daily"]), len(status["segments"]), len(status["quarantine"])) == (30, 20, 20)
    assert status["daily"][-1]["date"] == "2025-01-11"
    FeedbackSourceStatus.model_validate(status)


def test_nothing_is_written_when_only_the_time_of_the_last_look_moved():
    status, _ = after(SourceInput(source(), read=read()))
    assert decide(SourceInput(source(status), read=read()), NOW + timedelta(seconds=299)).status is None
    assert decide(SourceInput(source(status), read=read()), NOW + timedelta(seconds=300)).status is not None


def test_the_time_of_the_look_is_that_of_the_reading_not_of_the_pass():
    status, _ = after(SourceInput(source(), read=read(age=90.0)))
    assert status["lastSyncTime"] == "2026-11-21T11:58:30Z"


def test_the_same_pass_again_writes_and_tells_nothing():
    for seen in (
        SourceInput(source(), error=Unreachable("x")),
        SourceInput(source(suspend=True)),
        SourceInput(source()),
    ):
        status, first = after(seen)
        again = decide(SourceInput({**seen.obj, "status": status}, seen.read, seen.error), NOW + timedelta(hours=1))
        assert first.status is not None
        assert (again.status, again.events) == (None, ())


def test_the_next_look_is_at_the_interval_spread_by_the_uid():
    spread = set()
    for i in range(20):
        obj = source(syncIntervalSeconds=100)
        obj["metadata"]["uid"] = f"uid-{i}"
        spread.add(decide(SourceInput(obj, read=read(age=10.0)), NOW).requeue_after)
    assert all(90 <= s <= 100 for s in spread)
    assert len(spread) > 10


def test_a_source_that_is_not_due_is_left_alone_until_then():
    status, _ = after(SourceInput(source(), read=read()))
    plan = decide(SourceInput(source(status), due_in_seconds=77.0), NOW + timedelta(seconds=100))
    assert (plan.status, plan.requeue_after) == (None, 77.0)


def test_errors_keep_the_counts_of_the_last_look():
    status, _ = after(SourceInput(source(), read=read()))
    failed, _ = after(SourceInput(source(status), error=Unreachable("gone")))
    assert failed["summary"] == status["summary"]
    assert ready(failed) == ("False", "Unreachable")


def test_a_request_to_sync_is_acknowledged_with_the_look_it_asked_for():
    status, _ = after(SourceInput(source(), read=read()))
    asked = source(status, request="sync/1")
    waiting, plan = after(SourceInput(asked))
    assert plan.status is None and "lastHandledRequest" not in waiting
    done, _ = after(SourceInput(source(status, request="sync/1"), read=read()))
    assert done["lastHandledRequest"] == "sync/1"


@pytest.mark.parametrize("seen", [{}, {"read": read()}, {"due_in_seconds": 5.0}, {"error": Unreachable("x")}])
def test_a_request_that_is_not_understood_is_told_once_and_acknowledged(seen):
    status, _ = after(SourceInput(source(), read=read()))
    told, plan = after(SourceInput(source(status, request="explode/1"), **seen))
    assert [e.reason for e in plan.events if e.reason == "RequestRefused"] == ["RequestRefused"]
    assert told["lastHandledRequest"] == "explode/1"
    again = decide(SourceInput(source(told, request="explode/1"), **seen), NOW)
    assert [e for e in again.events if e.reason == "RequestRefused"] == []


def test_a_request_that_was_there_at_creation_is_acknowledged_without_an_event():
    status, plan = after(SourceInput(source(request="nonsense")))
    assert status["lastHandledRequest"] == "nonsense"
    assert plan.events == ()


def test_events_tell_transitions_only():
    status, first = after(SourceInput(source(), read=read()))
    assert [e.reason for e in first.events] == ["Synced"]
    status, second = after(SourceInput(source(status), read=read(cursor="c2")))
    assert second.events == ()
    status, third = after(SourceInput(source(status), error=Unreachable("gone")))
    assert [(e.type, e.reason) for e in third.events] == [("Warning", "Unreachable")]
    _, fourth = after(SourceInput(source(status), read=read()))
    assert [(e.type, e.reason) for e in fourth.events] == [("Normal", "Synced")]


def test_resuming_reads_again():
    status, _ = after(SourceInput(source(), read=read()))
    status, _ = after(SourceInput(source(status, suspend=True)))
    status, _ = after(SourceInput(source(status)))
    assert ready(status) == ("Unknown", "Syncing")


def test_a_spec_that_the_model_refuses_is_stalled_naming_the_field_and_not_its_value():
    status, plan = after(SourceInput(source(sqlite={"path": "f.db", "table": "t", "pasword": "hunter2"})))
    stalled = get_condition(status["conditions"], "Stalled")
    assert stalled["reason"] == "InvalidConfiguration" and "spec.sqlite.pasword" in stalled["message"]
    assert "hunter2" not in str(status)
    assert ready(status) == ("False", "InvalidConfiguration")
    assert [e.reason for e in plan.events] == ["InvalidConfiguration"]
    assert plan.requeue_after is None


def test_once_the_spec_is_mended_the_source_is_read_again_and_no_longer_stalled():
    broken, _ = after(SourceInput(source(sqlite={"path": 3, "table": "t"})))
    mended, _ = after(SourceInput(source(broken, generation=2), read=read()))
    assert ready(mended) == ("True", "Synced")
    assert get_condition(mended["conditions"], "Stalled") is None
    again = decide(SourceInput(source(broken, sqlite={"path": 3, "table": "t"})), NOW)
    assert again.status is None and again.events == ()
