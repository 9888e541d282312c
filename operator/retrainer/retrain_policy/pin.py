"""model.pin: while it is set its revision is champion, no run starts and nothing is promoted."""

from __future__ import annotations

from dataclasses import replace

from retrainer.api.v1alpha1.retrain_policy import PolicyReason, Revision
from retrainer.retrain_policy import children, revisions
from retrainer.retrain_policy import serving as builders
from retrainer.retrain_policy.arms import is_ready
from retrainer.retrain_policy.draft import Draft
from retrainer.retrain_policy.promotion import newcomer_given_up

_LOOK_SECONDS = 5.0


def pin_held(draft: Draft) -> Draft:
    """Rule: an experiment ends first, then the pinned revision gets ready, then it is champion."""
    pin = draft.spec.model.pin
    if pin is None or draft.spec.suspend or not draft.record_usable or draft.record_changed:
        return draft
    complaint = _complaint(draft, pin)
    if complaint is not None:
        return draft.trouble(PolicyReason.INVALID, f"spec.model.pin: {complaint}")
    if draft.newcomer is not None:
        return newcomer_given_up(draft, draft.newcomer, f"pin-{pin}", "spec.model.pin", PolicyReason.PINNED)
    target = draft.record.find(pin)
    if target is None or _is_champion(draft, pin):
        return draft
    if draft.serving is None or is_ready(draft, pin):
        return draft.with_record(revisions.returned(draft.record, pin, PolicyReason.PINNED, draft.now))
    return _waiting(draft, target)


def _complaint(draft: Draft, pin: int) -> str | None:
    """Why this revision cannot be pinned; then nothing starts and nothing is promoted, but nothing ends either."""
    target = draft.record.find(pin)
    if target is None:
        return f"revision {pin} is not known; status.revisions lists what there is"
    if _is_champion(draft, pin) or revisions.may_return(target):
        return None
    return f"revision {pin} was never champion (it is {target.state}); pin one that was, or remove the pin"


def _waiting(draft: Draft, target: Revision) -> Draft:
    """Its Deployment is being made; the champion serves meanwhile."""
    name = children.serving_name(draft.facts.name, target.revision)
    draft = replace(draft, warming=target.revision).look_in(_LOOK_SECONDS)
    deployment = draft.input.deployments.get(name)
    if deployment is not None and builders.has_stopped_progressing(deployment):
        return draft.trouble(
            PolicyReason.SERVING_NOT_READY,
            f"spec.model.pin: Deployment {name} does not become available (ProgressDeadlineExceeded); look at its "
            "pods, or pin another revision",
        )
    return draft.note(f"spec.model.pin waits until Deployment {name} is available")


def _is_champion(draft: Draft, number: int) -> bool:
    return draft.record.champion is not None and draft.record.champion.revision == number
