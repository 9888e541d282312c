"""An experiment that cannot be carried out as it stands: what it says, and what a person can still ask of it."""

from __future__ import annotations

from datetime import datetime

from pydantic import ValidationError

from retrainer.ab_experiment.input import ExperimentInput
from retrainer.ab_experiment.report import SAID, TO_BE_CARRIED_OUT, awaiting_decision, decided
from retrainer.api.v1alpha1.ab_experiment import ExperimentReason as Reason
from retrainer.conditions import set_condition, set_stalled, timestamp, truncate
from retrainer.plan import Event, Object, Plan
from retrainer.requests import acknowledgement, pending_request, refused_request

STALLED_SECONDS = 60.0
"""Between looks at what a person must mend."""
REQUESTS = frozenset({"abort"})


def stall(seen: ExperimentInput, reason: Reason, message: str, now: datetime) -> Plan:
    """Stalled, with the remedy; the only request that is carried out is `abort`, which takes all weight away."""
    status, events = dict(seen.obj.get("status") or {}), _complaints(seen)
    generation = seen.obj["metadata"].get("generation")
    status["observedGeneration"] = generation
    status.setdefault("weightPercent", 0)
    if not status.get("decision") and pending_request(seen.obj, REQUESTS):
        events = (*events, _abort(status, message, now, generation))
    handled = acknowledgement(seen.obj)
    if handled is not None:
        status["lastHandledRequest"] = handled
    status["conditions"] = set_stalled(status.get("conditions"), reason.value, message, now, generation)
    return Plan(status=status, status_first=True, events=events, requeue_after=STALLED_SECONDS)


def _abort(status: Object, why: str, now: datetime, generation: int | None) -> Event:
    message = truncate(f"aborted by request, while it could not be carried out: {why}", SAID)
    decision = {
        "verdict": "KeepBaseline",
        "reason": Reason.MANUAL_ABORT.value,
        "message": message,
        "time": timestamp(now),
    }
    status.update(decision=decision, weightPercent=0)
    status.pop("paused", None)
    conditions = status.get("conditions")
    for type_, value, because, text in (decided(decision), awaiting_decision(None), TO_BE_CARRIED_OUT):
        conditions = set_condition(conditions, type_, value, because.value, text, now, generation)
    status["conditions"] = conditions
    return Event("KeepBaseline", message, "Warning")


def _complaints(seen: ExperimentInput) -> tuple[Event, ...]:
    complaint = refused_request(seen.obj, REQUESTS)
    return (Event("RequestRefused", complaint, "Warning"),) if complaint else ()


def unreadable(error: ValidationError) -> str:
    """Which field of the spec this operator does not accept, and why; never what it says."""
    first = error.errors(include_input=False, include_url=False)[0]
    field = ".".join(str(part) for part in ("spec", *first["loc"]))
    return f"{field}: {first['msg']}; write a spec that this operator understands"
