"""promotion.approval Manual: a revision that won waits for a person's `approve:<run>` or `reject:<run>`."""

from __future__ import annotations

from retrainer.api.v1alpha1.ab_experiment import ABExperimentStatus
from retrainer.api.v1alpha1.kind import REQUEST_ANNOTATION
from retrainer.api.v1alpha1.retrain_policy import PolicyReason, Revision, RevisionState
from retrainer.plan import Event
from retrainer.requests import Request, acknowledgement, pending_request
from retrainer.retrain_policy import children
from retrainer.retrain_policy import serving as builders
from retrainer.retrain_policy.arms import is_ready
from retrainer.retrain_policy.draft import Draft
from retrainer.retrain_policy.promotion import needs_approval, promoted, rejected

ACTIONS = ("approve", "reject")
_LOOK_SECONDS = 5.0


def approval_decided(draft: Draft) -> Draft:
    """Rule: a person's word is carried out; a policy that no longer asks for one promotes what waited."""
    if not draft.record_usable or draft.record_changed:
        return draft
    request = pending_request(draft.facts.policy, ACTIONS)
    if request is not None:
        return _answered(draft, request)
    awaiting = draft.record.awaiting
    if awaiting is None or needs_approval(draft) or _is_closed(draft):
        return draft
    if _is_available(draft, awaiting):
        return promoted(draft, awaiting)
    return draft.note(f"revision {awaiting.revision} waits until it is available").look_in(_LOOK_SECONDS)


def question(draft: Draft, revision: Revision) -> str:
    """What a person is asked, with the numbers that speak for the revision, and how to answer."""
    run = revision.training_run
    name = children.experiment_name(draft.facts.name, revision.revision)
    experiment = draft.input.experiments.get(name)
    evidence = f"its gates passed ({_metrics(revision)})"
    if revision.reason != PolicyReason.GATES_PASSED:
        evidence = f"experiment {name} ended with {revision.reason}"
        if experiment is not None and children.is_ours(experiment, draft.facts.policy):
            decision = ABExperimentStatus.model_validate(experiment.get("status") or {}).decision
            evidence += f": {decision.message}" if decision is not None else ""
    return (
        f"revision {revision.revision} waits for a person, without traffic; annotate {REQUEST_ANNOTATION} with "
        f"approve:{run}/<id> or reject:{run}/<id>; {evidence}"
    )


def _answered(draft: Draft, request: Request) -> Draft:
    awaiting = draft.record.awaiting
    if awaiting is None or awaiting.training_run != request.argument or _is_closed(draft):
        return _acknowledged(draft) if _was_done(draft, request) else _refused(draft, request, _refusal(draft, request))
    if request.action == "reject":
        return _acknowledged(rejected(draft, awaiting, PolicyReason.NOT_APPROVED))
    if _is_available(draft, awaiting):
        return _acknowledged(promoted(draft, awaiting))
    name = children.serving_name(draft.facts.name, awaiting.revision)
    deployment = draft.input.deployments.get(name)
    if deployment is not None and builders.has_stopped_progressing(deployment):
        return _refused(draft, request, f"Deployment {name} does not become available; it still awaits approval")
    return draft.note(f"request {_text(request)} waits until Deployment {name} is available").look_in(_LOOK_SECONDS)


def _was_done(draft: Draft, request: Request) -> bool:
    """Whether the record holds the answer already: the process died before it was acknowledged."""
    found = next((r for r in draft.record.revisions if r.training_run == request.argument), None)
    if found is None or found.training_run is None:
        return False
    if request.action == "approve":
        return found.state is RevisionState.CHAMPION
    return found.state is RevisionState.REJECTED and found.reason == PolicyReason.NOT_APPROVED


def _refusal(draft: Draft, request: Request) -> str:
    if draft.spec.suspend:
        return "spec.suspend is set; set it to false first"
    if draft.spec.model.pin is not None:
        return f"spec.model.pin holds revision {draft.spec.model.pin}; remove it first"
    if request.argument is None:
        return f"write {request.action}:<run>/<id>, for example {request.action}:{draft.facts.name}-2/2026-11-21a"
    candidate = draft.candidate
    if candidate is not None and candidate.training_run == request.argument:
        return f"revision {candidate.revision} has not won yet"
    awaiting = draft.record.awaiting
    known = "nothing does" if awaiting is None else f"run {awaiting.training_run} does"
    return f"run {request.argument} does not await approval; {known}"


def _is_closed(draft: Draft) -> bool:
    return draft.spec.suspend or draft.spec.model.pin is not None


def _is_available(draft: Draft, revision: Revision) -> bool:
    return draft.serving is None or is_ready(draft, revision.revision)


def _metrics(revision: Revision) -> str:
    return ", ".join(f"{m.name} {m.value}" for m in revision.metrics or ()) or "it has no metrics"


def _refused(draft: Draft, request: Request, why: str) -> Draft:
    message = f"request {_text(request)} is not executed: {why}"
    return _acknowledged(draft).tell(Event("RequestRefused", message, "Warning"))


def _acknowledged(draft: Draft) -> Draft:
    return draft.with_status(last_handled_request=acknowledgement(draft.facts.policy))


def _text(request: Request) -> str:
    return f"{request.action}{':' + request.argument if request.argument else ''}/{request.id}"
