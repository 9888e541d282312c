"""What to say of a FeedbackSource after a look at its source, and when to look again. Pure."""

from __future__ import annotations

import zlib
from datetime import datetime, timedelta
from typing import Any

from pydantic import ValidationError

from retrainer.api.v1alpha1.feedback_source import FeedbackSourceSpec, SourceReason
from retrainer.conditions import (
    Conditions,
    ConditionStatus,
    changed,
    drop_condition,
    get_condition,
    is_false,
    set_condition,
    set_reconciling,
    set_settled,
    set_stalled,
    timestamp,
)
from retrainer.feedback.errors import SchemaMismatch, SourceError, Unauthorized
from retrainer.feedback_source.input import DATA_TRUSTED, READY, REQUESTS, SourceInput, SummaryRead
from retrainer.feedback_source.report import counted, quarantined_share
from retrainer.plan import Event, Plan
from retrainer.requests import acknowledgement, refused_request

MOST_QUARANTINED = 0.05
"""Above this share of unreadable records the rest is not trusted either."""
QUIET_SECONDS = 300
"""When only the time of the last look would change, it is written at most this often."""
RETRY_SECONDS = 30.0


def decide(seen: SourceInput, now: datetime) -> Plan:
    """The status, and the next look; see the reasons in `SourceReason`."""
    try:
        spec = FeedbackSourceSpec.model_validate(seen.obj["spec"])
    except ValidationError as error:
        return _invalid(seen, _unreadable(error), now)
    before: dict[str, Any] = dict(seen.obj.get("status") or {})
    generation = seen.obj["metadata"].get("generation")
    status = {**before, "observedGeneration": generation}
    refusal = refused_request(seen.obj, REQUESTS)
    acknowledged = acknowledgement(seen.obj)
    if acknowledged is not None and (refusal is not None or not _looks(seen, spec, before)):
        status["lastHandledRequest"] = acknowledged
    if spec.suspend:
        status["conditions"] = _suspended(before, now, generation)
        after: float | None = None
    elif seen.error is not None:
        status["conditions"] = _failed(before, seen.error, now, generation)
        after = min(RETRY_SECONDS, float(spec.sync_interval_seconds))
    elif seen.read is not None:
        status = _read(spec, status, seen.read, now, generation)
        after = _next_look(spec, seen.read, str(seen.obj["metadata"].get("uid", "")))
    else:
        status["conditions"] = _waiting(before, now, generation)
        after = seen.due_in_seconds
    events = _events(before, status)
    if refusal:
        events = (*events, Event("RequestRefused", refusal, "Warning"))
    return Plan(status=_worth_writing(before, status, now), events=events, requeue_after=after)


def _invalid(seen: SourceInput, message: str, now: datetime) -> Plan:
    """Nothing is read until somebody changes the spec; the counts of the last look stay."""
    before: dict[str, Any] = dict(seen.obj.get("status") or {})
    generation = seen.obj["metadata"].get("generation")
    reason = SourceReason.INVALID.value
    conditions = set_condition(before.get("conditions"), READY, "False", reason, message, now, generation)
    status = {
        **before,
        "observedGeneration": generation,
        "conditions": set_stalled(conditions, reason, message, now, generation),
    }
    acknowledged = acknowledgement(seen.obj)
    if acknowledged is not None:
        status["lastHandledRequest"] = acknowledged
    return Plan(status=None if status == before else status, events=_events(before, status))


def _unreadable(error: ValidationError) -> str:
    """Which field, and why; never what it says, which may be a secret."""
    first = error.errors(include_input=False, include_url=False)[0]
    field = ".".join(str(part) for part in ("spec", *first["loc"]))
    return f"{field}: {first['msg']}; write a spec that this operator understands"


def _looks(seen: SourceInput, spec: FeedbackSourceSpec, before: dict[str, Any]) -> bool:
    """A look is under way; a request to sync is acknowledged with the look that it asked for."""
    undecided = seen.read is None and seen.error is None and seen.due_in_seconds is None
    return undecided and not spec.suspend and before.get("observedGeneration") is not None


def _read(
    spec: FeedbackSourceSpec, status: dict[str, Any], read: SummaryRead, now: datetime, generation: int | None
) -> dict[str, Any]:
    """Counts and conditions; with an unchanged source the counts on the status stand."""
    looked = now - timedelta(seconds=read.age_seconds)
    status = {**status, "lastSyncTime": timestamp(looked), "cursor": read.cursor}
    if read.summary is not None:
        kept = {k: v for k, v in status.items() if k not in ("summary", "signals", "daily", "segments", "quarantine")}
        status = {**kept, **counted(spec, read.summary.totals)}
    records = int((status.get("summary") or {}).get("records", 0))
    conditions = set_settled(status.get("conditions"))
    if records:
        message = _sentence(spec, status)
        conditions = _set(conditions, READY, "True", SourceReason.SYNCED, message, now, generation)
    else:
        message = "the source can be read but holds no readable record yet"
        conditions = _set(conditions, READY, "True", SourceReason.NO_RECORDS, message, now, generation)
    if read.summary is not None:
        conditions = _trust(conditions, quarantined_share(read.summary.totals), status, now, generation)
    return {**status, "conditions": conditions}


def _trust(
    conditions: Conditions, share: float, status: dict[str, Any], now: datetime, generation: int | None
) -> Conditions:
    quarantined = int((status.get("summary") or {}).get("quarantined", 0))
    if share <= MOST_QUARANTINED:
        message = f"{quarantined} quarantined ({share:.1%}); at most {MOST_QUARANTINED:.0%} are tolerated"
        return _set(conditions, DATA_TRUSTED, "True", SourceReason.TRUSTED, message, now, generation)
    reasons = ", ".join(f"{q['reason']} {q['count']}" for q in status.get("quarantine", ())[:3])
    message = (
        f"{quarantined} records ({share:.1%}) cannot be read: {reasons}; policies wait until at most "
        f"{MOST_QUARANTINED:.0%} are: correct the mapping in spec.record and spec.signals, or the records"
    )
    return _set(conditions, DATA_TRUSTED, "False", SourceReason.TOO_MANY_QUARANTINED, message, now, generation)


def _failed(before: dict[str, Any], error: SourceError, now: datetime, generation: int | None) -> Conditions:
    """The counts of the last look stay; what a person must mend is also Stalled, and looked at again all the same."""
    conditions = _set(before.get("conditions"), READY, "False", error.reason, error.message, now, generation)
    if isinstance(error, SchemaMismatch | Unauthorized):
        return set_stalled(conditions, error.reason.value, error.message, now, generation)
    return drop_condition(conditions, "Stalled", "Reconciling")


def _suspended(before: dict[str, Any], now: datetime, generation: int | None) -> Conditions:
    message = "spec.suspend is set: nothing is read"
    conditions = set_settled(before.get("conditions"))
    return _set(conditions, READY, "Unknown", SourceReason.SUSPENDED, message, now, generation)


def _waiting(before: dict[str, Any], now: datetime, generation: int | None) -> Conditions:
    """While the first look is under way; later looks change nothing until they are done."""
    known = get_condition(before.get("conditions"), READY)
    if known is not None and known.get("reason") != SourceReason.SUSPENDED.value:
        return [dict(c) for c in before.get("conditions") or ()]
    message = "the source is being read"
    conditions = _set(before.get("conditions"), READY, "Unknown", SourceReason.SYNCING, message, now, generation)
    return set_reconciling(conditions, SourceReason.SYNCING.value, message, now, generation)


def _set(
    conditions: Any, kind: str, status: ConditionStatus, reason: SourceReason, message: str, now: datetime,
    generation: int | None,
) -> Conditions:  # fmt: skip
    return set_condition(conditions, kind, status, reason.value, message, now, generation)


def _sentence(spec: FeedbackSourceSpec, status: dict[str, Any]) -> str:
    summary = status["summary"]
    rates = [f"{s['name']} {s['positiveRate']} positive" for s in status.get("signals", ()) if "positiveRate" in s]
    sentence = ", ".join([f"{summary['records']} records of {summary['units']} units", *rates])
    if spec.record.unit is None:
        sentence += "; no record.unit is mapped: session, input or the record itself stand in for the person"
    return sentence


def _next_look(spec: FeedbackSourceSpec, read: SummaryRead, uid: str) -> float:
    """At the interval, spread by a tenth so that a thousand sources are not read in the same second."""
    spread = 1.0 + (zlib.crc32(uid.encode()) % 1000) / 10_000
    return max(1.0, spec.sync_interval_seconds * spread - read.age_seconds)


def _worth_writing(before: dict[str, Any], status: dict[str, Any], now: datetime) -> dict[str, Any] | None:
    if status == before:
        return None
    last = before.get("lastSyncTime")
    only_time = {**status, "lastSyncTime": last} == before if last else False
    if only_time and (now - datetime.fromisoformat(str(last))).total_seconds() < QUIET_SECONDS:
        return None
    return status


def _events(before: dict[str, Any], status: dict[str, Any]) -> tuple[Event, ...]:
    """Told when a condition changes, not at every look."""
    events = []
    for kind in (READY, DATA_TRUSTED):
        condition = get_condition(status.get("conditions"), kind)
        if condition is None or not changed(before.get("conditions"), status["conditions"], kind):
            continue
        if kind == DATA_TRUSTED and condition["status"] == "True" and not is_false(before.get("conditions"), kind):
            continue  # trusted from the first look on is not worth a line
        bad = condition["status"] == "False"
        if condition["reason"] != SourceReason.SYNCING.value:
            events.append(Event(condition["reason"], condition["message"], "Warning" if bad else "Normal"))
    return tuple(events)
