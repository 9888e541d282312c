"""Decides what happens to a TrainingRun: data Job, training Job, gates. `_RULES` reads from top to bottom."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from pydantic import ValidationError

from retrainer.api.v1alpha1.training_run import RunReason, TrainingRunSpec
from retrainer.conditions import is_false, is_true
from retrainer.plan import Event, Plan
from retrainer.requests import pending_request, refused_request
from retrainer.training_run import ending
from retrainer.training_run.draft import DATA_READY, SUCCEEDED, Draft
from retrainer.training_run.failure import job_condition, why_failed
from retrainer.training_run.input import RunInput, Stage
from retrainer.training_run.launch import launch
from retrainer.training_run.record import record
from retrainer.training_run.recover import recover, told_result
from retrainer.training_run.step import Step
from retrainer.training_run.watch import watch

REQUESTS = ("cancel", "retry")


def decide(input: RunInput, now: datetime) -> Plan:
    """What to do about this run now; pure, and safe to repeat or to be interrupted after any write."""
    if input.obj["metadata"].get("deletionTimestamp"):
        return Plan()
    draft = Draft.open(input.obj, now)
    plan = next(plan for rule in _RULES if (plan := rule(input, draft)) is not None)
    return _tell_refusal(input, plan)


def _ended(input: RunInput, draft: Draft) -> Plan | None:
    """A run that ended stays ended until a retry is asked for; a Job of it that still runs is stopped."""
    if not _has_ended(draft):
        return None
    leftovers = ending.unfinished_jobs(input)
    if leftovers:
        return Plan(deletes=leftovers, requeue_after=ending.STOPPING_SECONDS)
    request = pending_request(input.obj, REQUESTS)
    if request is not None and request.action == "retry" and is_false(draft.before.get("conditions"), SUCCEEDED):
        return ending.retry(input, draft)
    if draft.before.get("completionTime") is None:
        draft = ending.close(input, draft)
    return draft.plan()


def _cancelled(input: RunInput, draft: Draft) -> Plan | None:
    """A person asked to stop."""
    request = pending_request(input.obj, REQUESTS)
    if request is None or request.action != "cancel":
        return None
    return ending.stop(input, draft, RunReason.CANCELLED, f"cancelled by request {request.id}")


def _conflicting(input: RunInput, draft: Draft) -> Plan | None:
    """A write of this pass met an object that is not ours; it is left alone."""
    return ending.conflict(draft, input.name_conflict) if input.name_conflict else None


def _at_work(input: RunInput, draft: Draft) -> Plan:
    """The stage that is due: the data stage until its result is recorded, then the training."""
    try:
        spec = TrainingRunSpec.model_validate(input.obj.get("spec") or {})
    except ValidationError as error:
        return ending.stop(input, draft, RunReason.INVALID_CONFIGURATION, _unreadable(error))
    is_frozen = is_true(draft.before.get("conditions"), DATA_READY)
    return _advance(Step(input, spec, Stage.TRAINING if is_frozen else Stage.DATA), draft)


_RULES: tuple[Callable[[RunInput, Draft], Plan | None], ...] = (_ended, _cancelled, _conflicting, _at_work)


def _advance(step: Step, draft: Draft) -> Plan:
    """Launch the stage's Job, watch it, or draw the conclusion from its end."""
    job, name = step.job_of(step.stage), step.name_of(step.stage)
    if job is None and not draft.knows_job(name):
        return launch(step, draft)
    if job is not None:
        if step.is_foreign(job):
            text = f"Job {name} exists and does not belong to this run; rename or delete it, or rename the run"
            return ending.conflict(draft, text)
        draft = draft.with_job(step.stage.value, name)
        if job_condition(job, "Failed"):
            failure = why_failed(job, step.stage, step.pods_of(job), step.spec)
            return ending.stop(step.input, draft, failure.reason, failure.message)
        if not job_condition(job, "Complete"):
            return watch(step, draft, job)
        result = told_result(step, job)
        if result is not None:
            return record(step, draft, result)
    recovered = recover(step, draft)
    return recovered if isinstance(recovered, Plan) else record(step, draft, recovered)


def _has_ended(draft: Draft) -> bool:
    conditions = draft.before.get("conditions")
    return is_true(conditions, SUCCEEDED) or is_false(conditions, SUCCEEDED)


def _unreadable(error: ValidationError) -> str:
    first = error.errors(include_input=False, include_url=False)[0]
    field = ".".join(str(part) for part in first["loc"])
    return f"spec.{field}: {first['msg']}; create a run with a spec that this operator understands"


def _tell_refusal(input: RunInput, plan: Plan) -> Plan:
    """A request that is not executed is told, with the write that acknowledges it."""
    text = refused_request(input.obj, REQUESTS) or _untimely(input)
    if text is None or plan.status is None:
        return plan
    return replace(plan, events=(*plan.events, Event("RequestRefused", text, "Warning")))


def _untimely(input: RunInput) -> str | None:
    """Why a well-formed request comes at the wrong time."""
    request = pending_request(input.obj, REQUESTS)
    if request is None:
        return None
    conditions = (input.obj.get("status") or {}).get("conditions")
    if is_true(conditions, SUCCEEDED):
        return f"{request.action}: the run has succeeded; create another run to train again"
    if request.action == "cancel" and is_false(conditions, SUCCEEDED):
        return "cancel: the run has ended already"
    if request.action == "retry" and not is_false(conditions, SUCCEEDED):
        return "retry: the run has not ended yet; cancel it first, or wait"
    return None
