"""How a run ends, and how it begins again: the writes that close an attempt."""

from __future__ import annotations

from retrainer.api.v1alpha1.training_run import RunReason
from retrainer.conditions import get_condition
from retrainer.plan import Event, Plan, Ref
from retrainer.training_run.draft import CONDITIONS, DATA_READY, SUCCEEDED, TRAINED, Draft
from retrainer.training_run.failure import job_condition
from retrainer.training_run.input import RunInput, attempt_of, is_owned_by, parse_time

CONFLICT_SECONDS = 60.0
STOPPING_SECONDS = 5.0
_OF_AN_ATTEMPT = (
    "startTime",
    "completionTime",
    "durationSeconds",
    "stage",
    "dataset",
    "progress",
    "metrics",
    "gates",
    "artifact",
)


def stop(input: RunInput, draft: Draft, reason: RunReason, message: str) -> Plan:
    """End with Succeeded=False. The status comes first: a Job that is stopped must not look deleted by hand."""
    for type in (DATA_READY, TRAINED):
        condition = get_condition(draft.status["conditions"], type)
        if condition is not None and condition["status"] != "True":
            draft = draft.condition(type, "False", reason, message)
            break
    draft = draft.condition(SUCCEEDED, "False", reason, message).put(stage="Done", attempts=attempt_of(input.obj))
    draft = draft.settled() if reason is RunReason.CANCELLED else draft.stalled(reason, message)
    leftovers = unfinished_jobs(input)
    # completionTime says that nothing of the run is left; with a Job still to stop, a later pass writes it.
    draft = draft if leftovers else close(input, draft)
    return draft.plan(deletes=leftovers, status_first=True, requeue_after=STOPPING_SECONDS if leftovers else None)


def close(input: RunInput, draft: Draft) -> Draft:
    """With the times of the end."""
    draft = draft.put(
        stage="Done", attempts=attempt_of(input.obj), completionTime=draft.now.strftime("%Y-%m-%dT%H:%M:%SZ")
    )
    started = draft.status.get("startTime")
    if started is None:
        return draft
    return draft.put(durationSeconds=max(0, int((draft.now - parse_time(started)).total_seconds())))


def conflict(draft: Draft, message: str) -> Plan:
    """A name that a child needs is taken; looked at again, because its owner's changes do not wake us."""
    draft = draft.condition(SUCCEEDED, "Unknown", RunReason.NAME_CONFLICT, message)
    return draft.stalled(RunReason.NAME_CONFLICT, message).plan(requeue_after=CONFLICT_SECONDS)


def retry(input: RunInput, draft: Draft) -> Plan:
    """Begin the next attempt; its Jobs have other names."""
    attempt = attempt_of(input.obj) + 1
    draft = draft.drop(*_OF_AN_ATTEMPT).put(attempts=attempt).settled()
    for type in CONDITIONS:
        draft = draft.condition(type, "Unknown", RunReason.PENDING, f"attempt {attempt} has not started yet")
    event = Event("Retried", f"attempt {attempt} begins")
    return draft.plan(events=(event,), requeue_after=0.0)


def unfinished_jobs(input: RunInput) -> tuple[Ref, ...]:
    """Our Jobs of this attempt that still run and are not being deleted."""
    uid = input.obj["metadata"]["uid"]
    refs = []
    for job in input.jobs.values():
        if job is None or not is_owned_by(job, uid) or job["metadata"].get("deletionTimestamp"):
            continue
        if job_condition(job, "Complete") is None and job_condition(job, "Failed") is None:
            meta = job["metadata"]
            refs.append(Ref("batch/v1", "Job", meta["namespace"], meta["name"], meta["uid"]))
    return tuple(refs)
