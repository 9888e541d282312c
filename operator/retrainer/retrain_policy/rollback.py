"""A person's `rollback:<revision>`: the experiment ends first, the target gets ready, then it is champion."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from retrainer.api.v1alpha1.retrain_policy import PolicyReason, Revision
from retrainer.plan import Event
from retrainer.requests import Request, acknowledgement, pending_request
from retrainer.retrain_policy import children, revisions
from retrainer.retrain_policy import serving as builders
from retrainer.retrain_policy.arms import is_ready
from retrainer.retrain_policy.draft import Draft
from retrainer.retrain_policy.promotion import newcomer_given_up

_LOOK_SECONDS = 5.0


def rollback_requested(draft: Draft) -> Draft:
    """Rule: the request is acknowledged only when it is done or refused; until then the annotation is its memory."""
    request = pending_request(draft.facts.policy, ("rollback",))
    if request is None or not draft.record_usable or draft.record_changed:
        return draft
    refusal = _refusal(draft, request)
    if refusal is not None:
        return _acknowledged(draft).tell(
            Event("RequestRefused", f"request {_text(request)} is not executed: {refusal}", "Warning")
        )
    target = draft.record.find(int(request.argument or 0))
    assert target is not None
    if draft.record.champion is not None and draft.record.champion.revision == target.revision:
        return _acknowledged(draft)
    if draft.newcomer is not None:
        return _candidate_stopped(draft, draft.newcomer, request)
    return _returned(draft, target, request)


def _refusal(draft: Draft, request: Request) -> str | None:
    """Why it cannot be done at all."""
    argument = request.argument or ""
    if draft.spec.suspend:
        return "spec.suspend is set, and the route is left alone; set it to false first"
    if draft.spec.model.pin is not None:
        return f"spec.model.pin holds revision {draft.spec.model.pin}; change or remove it"
    if not argument.isdecimal():
        return "write rollback:<revision>/<id>, for example rollback:3/2026-11-21a"
    target = draft.record.find(int(argument))
    if target is None:
        return f"revision {argument} is not known; status.revisions lists what there is"
    is_champion = draft.record.champion is not None and draft.record.champion.revision == target.revision
    if not is_champion and not revisions.may_return(target):
        return f"revision {argument} was never champion (it is {target.state})"
    return None


def _candidate_stopped(draft: Draft, newcomer: Revision, request: Request) -> Draft:
    short = hashlib.sha256(request.id.encode()).hexdigest()[:8]
    wish = f"request {_text(request)}"
    return newcomer_given_up(draft, newcomer, f"rollback-{short}", wish, PolicyReason.ROLLED_BACK)


def _returned(draft: Draft, target: Revision, request: Request) -> Draft:
    """The target is champion as soon as it can answer."""
    if draft.serving is not None and not is_ready(draft, target.revision):
        name = children.serving_name(draft.facts.name, target.revision)
        deployment = draft.input.deployments.get(name)
        if deployment is not None and builders.has_stopped_progressing(deployment):
            message = f"request {_text(request)} is given up: Deployment {name} does not become available"
            return _acknowledged(draft).tell(Event("RequestRefused", message, "Warning"))
        waiting = f"request {_text(request)} waits until Deployment {name} is available"
        return replace(draft, warming=target.revision).note(waiting).look_in(_LOOK_SECONDS)
    record = revisions.returned(draft.record, target.revision, PolicyReason.ROLLED_BACK, draft.now)
    return _acknowledged(draft.with_record(record))


def _acknowledged(draft: Draft) -> Draft:
    return draft.with_status(last_handled_request=acknowledgement(draft.facts.policy))


def _text(request: Request) -> str:
    return f"{request.action}:{request.argument or ''}/{request.id}"
