"""When a run starts: asked for by a person, or because of triggers; announced first, created in the next pass."""

from __future__ import annotations

from dataclasses import replace

from retrainer.api.v1alpha1.retrain_policy import PendingRun
from retrainer.conditions import is_false, is_true
from retrainer.plan import Event
from retrainer.requests import Request, acknowledgement, pending_request
from retrainer.retrain_policy import budget, children, runs, strategy
from retrainer.retrain_policy.conflict import in_the_way
from retrainer.retrain_policy.draft import Draft, under_way
from retrainer.retrain_policy.triggers import evaluate as triggers
from retrainer.retrain_policy.wanted import source_names


def run_created(draft: Draft) -> Draft:
    """Rule: what an earlier pass announced is created; whoever repeats this lands on the same name."""
    pending = draft.facts.before.pending_run
    if pending is None or draft.spec.suspend or not draft.record_usable:
        return draft
    found = draft.input.runs.get(pending.name)
    if found is None and draft.spec.model.pin is not None:
        dropped = f"run {pending.name} is not created: spec.model.pin is set"
        return draft.with_status(pending_run=None).tell(Event("RunDropped", dropped, "Warning"))
    if found is not None and not children.is_ours(found, draft.facts.policy):
        return in_the_way(draft, found)
    if found is None and draft.troubles:
        return draft
    started = draft.with_status(pending_run=None, active_run=pending.name)
    if found is not None:
        return started
    run = runs.build_run(
        draft.facts.policy, pending, draft.record.champion, draft.now, draft.input.default_trainer_image
    )
    return replace(started, creates=(*started.creates, run))


def run_requested(draft: Draft) -> Draft:
    """Rule: a person's `run` overrides triggers, cooldown and budget; it waits only for the sources."""
    request = pending_request(draft.facts.policy, ("run",))
    if request is None or not draft.record_usable:
        return draft
    obstacle = _obstacle(draft)
    if obstacle is not None:
        return _acknowledged(draft, f"request run/{request.id} is not executed: {obstacle}")
    waiting = untrusted_sources(draft)
    if draft.troubles or draft.facts.first_pass or draft.record_changed or waiting:
        return draft.note(f"request run/{request.id} waits: {waiting}") if waiting else draft
    name = children.requested_run_name(draft.facts.name, request.id)
    if name in draft.input.runs:
        return _acknowledged(draft, f"request run/{request.id} was executed before, as run {name}")
    return _announced(draft, name, request)


def run_due(draft: Draft) -> Draft:
    """Rule: enough triggers have fired, the cooldown is over, the data is trusted, nothing is under way."""
    blocked = (
        draft.spec.suspend
        or draft.spec.model.pin is not None
        or draft.troubles
        or draft.facts.first_pass
        or draft.facts.was_under_way
        or under_way(draft.status)
        or draft.record_changed
        or not draft.record_usable
        or draft.warming is not None
    )
    if blocked or not triggers.reason_to_run(draft.spec, draft.status.triggers or ()):
        return draft
    if untrusted_sources(draft) is not None:
        return draft
    wait_until = draft.status.next_run_time
    if wait_until is not None and draft.now < wait_until:
        return draft.look_at(wait_until)
    number = draft.status.next_revision or draft.record.next_revision
    return _announced(draft, children.run_name(draft.facts.name, number), None)


def untrusted_sources(draft: Draft) -> str | None:
    """Why the feedback cannot be trusted at the moment, in a sentence; None when it can."""
    for name in source_names(draft.facts.policy):
        source = draft.input.sources.get(name)
        conditions = ((source or {}).get("status") or {}).get("conditions")
        if is_false(conditions, "DataTrusted"):
            return f"FeedbackSource {name} is not trusted (DataTrusted=False)"
        if not is_true(conditions, "Ready") or not is_true(conditions, "DataTrusted"):
            return f"FeedbackSource {name} is not ready"
    return None


def _announced(draft: Draft, name: str, request: Request | None) -> Draft:
    """The number is taken and the run written down, in record and status, before the run exists."""
    number = draft.status.next_revision or draft.record.next_revision
    fired = triggers.fired(draft.status.triggers or ())
    chosen = strategy.choose(
        draft.spec, draft.record.champion, draft.status.incremental_chain or 0, fired, draft.now
    )
    draft = draft.with_record(
        replace(draft.record, next_revision=max(draft.record.next_revision, number + 1))
    ).with_status(
        pending_run=PendingRun(name=name, revision=number, strategy=chosen),
        next_revision=number + 1,
        run_starts=budget.with_start(draft.status.run_starts or (), draft.now),
        triggers=triggers.after_start(draft.status.triggers or (), draft.spec, draft.now),
    )
    if request is not None:
        draft = draft.with_status(last_handled_request=acknowledgement(draft.facts.policy))
    return draft.look_in(0)


def _obstacle(draft: Draft) -> str | None:
    """What a person must wait for or change before asking for a run."""
    if draft.spec.suspend:
        return "spec.suspend is set"
    if draft.spec.model.pin is not None:
        return f"spec.model.pin holds revision {draft.spec.model.pin}; remove it first"
    if draft.status.active_run is not None or draft.status.pending_run is not None:
        run = draft.status.active_run or (draft.status.pending_run and draft.status.pending_run.name)
        return f"run {run} is under way"
    if draft.candidate is not None:
        return f"revision {draft.candidate.revision} is a candidate; one run and one experiment at a time"
    if draft.record.awaiting is not None:
        return f"revision {draft.record.awaiting.revision} awaits approval; approve or reject it first"
    return None


def _acknowledged(draft: Draft, message: str) -> Draft:
    """The request is done with, and the person is told."""
    return draft.with_status(last_handled_request=acknowledgement(draft.facts.policy)).tell(
        Event("RequestRefused", message, "Warning")
    )
