"""How a candidate goes live: made ready, compared in an experiment or not, promoted or rejected."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from retrainer.api.v1alpha1.ab_experiment import AB_EXPERIMENT, ABExperimentStatus
from retrainer.api.v1alpha1.kind import API_VERSION, REQUEST_ANNOTATION
from retrainer.api.v1alpha1.retrain_policy import ChampionStatus, PolicyReason, Revision
from retrainer.plan import Object
from retrainer.retrain_policy import children, revisions
from retrainer.retrain_policy import serving as builders
from retrainer.retrain_policy.arms import is_ready
from retrainer.retrain_policy.conflict import in_the_way, is_taken
from retrainer.retrain_policy.draft import Draft

_CANDIDATE_LOOK_SECONDS = 5.0


def build_experiment(policy: Object, champion: ChampionStatus, candidate: Revision, port: int) -> Object:
    """The comparison of candidate and champion on the policy's own route.

    Without assignment.salt the experiment's name is the salt, so that each revision divides the users anew.
    """
    meta = policy["metadata"]
    promotion = policy["spec"]["promotion"]
    spec = {
        **promotion["experiment"],
        "mode": "Canary" if promotion.get("method") == "Canary" else "ABTest",
        "baseline": _arm(meta["name"], champion.revision, champion.uri, champion.digest, port),
        "candidate": _arm(meta["name"], candidate.revision, candidate.uri, candidate.digest, port),
        "traffic": {"policyRef": {"name": meta["name"]}},
    }
    name = children.experiment_name(meta["name"], candidate.revision)
    labels = {children.REVISION_LABEL: str(candidate.revision)}
    return {
        "apiVersion": API_VERSION,
        "kind": AB_EXPERIMENT.kind,
        "metadata": children.metadata(policy, name, labels),
        "spec": spec,
    }


def experiment_concluded(draft: Draft) -> Draft:
    """Rule: what the experiment decided is recorded; one that was deleted counts for the champion."""
    name, candidate = draft.status.active_experiment, draft.candidate
    if name is None or draft.spec.suspend or not draft.record_usable:
        return draft
    if candidate is None:
        return draft.with_status(active_experiment=None)
    experiment = draft.input.experiments.get(name)
    if not children.is_ours(experiment, draft.facts.policy):
        return rejected(draft, candidate, PolicyReason.EXPERIMENT_DELETED)
    assert experiment is not None
    decision = ABExperimentStatus.model_validate(experiment.get("status") or {}).decision
    if decision is None:
        return draft if draft.serving is not None else experiment_aborted(draft, experiment, "serving-removed")
    if decision.verdict != "PromoteCandidate":
        return rejected(draft, candidate, decision.reason)
    if draft.spec.model.pin is not None:
        return draft.note(f"revision {candidate.revision} won, and waits until spec.model.pin is valid or removed")
    if needs_approval(draft):
        return _held(draft, candidate, decision.reason)
    if draft.serving is not None and not is_ready(draft, candidate.revision):
        waiting = f"revision {candidate.revision} won, and waits until it is available"
        return draft.note(waiting).look_in(_CANDIDATE_LOOK_SECONDS)
    return promoted(draft, candidate)


def candidate_brought_up(draft: Draft) -> Draft:
    """Rule: a candidate that is available goes into its experiment, or live at once; one that is not, not."""
    candidate = draft.candidate
    if candidate is None or draft.hands_off or not draft.record_usable or draft.status.active_experiment:
        return draft
    if draft.spec.model.pin is not None:
        return draft.note(f"revision {candidate.revision} waits until spec.model.pin is valid or removed")
    if draft.serving is None:
        return _without_serving(draft, candidate)
    if is_ready(draft, candidate.revision):
        return _with_ready_candidate(draft, candidate)
    left = _time_left(draft, candidate)
    if left is not None and left <= timedelta(0):
        return rejected(draft, candidate, PolicyReason.CANDIDATE_NOT_READY)
    seconds = _CANDIDATE_LOOK_SECONDS if left is None else left.total_seconds()
    return draft.look_in(min(_CANDIDATE_LOOK_SECONDS, seconds))


def needs_approval(draft: Draft) -> bool:
    """Whether a person decides before a candidate becomes champion, the first one included."""
    return draft.spec.promotion.approval == "Manual"


def experiment_aborted(draft: Draft, experiment: Object, why: str) -> Draft:
    """Ask the experiment to end, by the request a person would write; it decides, and we look again."""
    draft = draft.look_in(_CANDIDATE_LOOK_SECONDS)
    if (experiment.get("status") or {}).get("observedGeneration") is None:
        # A request that is there when an object is first seen is not executed.
        return draft.look_in(1)
    request = f"abort/{why}"
    annotations = experiment["metadata"].get("annotations") or {}
    if annotations.get(REQUEST_ANNOTATION) == request:
        return draft
    patch = {"metadata": {"annotations": {REQUEST_ANNOTATION: request}}}
    return replace(draft, merges=(*draft.merges, (children.ref(experiment), patch)))


def newcomer_given_up(draft: Draft, newcomer: Revision, abort_id: str, wish: str, reason: str) -> Draft:
    """It is rejected; its experiment, if there is one under way, decides first, whatever it decides."""
    experiment = draft.input.experiments.get(draft.status.active_experiment or "")
    if children.is_ours(experiment, draft.facts.policy):
        assert experiment is not None
        if not (experiment.get("status") or {}).get("decision"):
            waiting = f"{wish} waits until experiment {draft.status.active_experiment} has ended"
            return experiment_aborted(draft, experiment, abort_id).note(waiting)
    return rejected(draft, newcomer, reason)


def promoted(draft: Draft, candidate: Revision) -> Draft:
    """The candidate is champion; Deployments and route follow once that is written."""
    record = revisions.promoted(draft.record, candidate.revision, PolicyReason.PROMOTED.value, draft.now)
    return draft.with_record(record).with_status(active_experiment=None)


def rejected(draft: Draft, candidate: Revision, reason: str) -> Draft:
    """It never becomes champion."""
    record = revisions.rejected(draft.record, candidate.revision, str(reason), draft.now)
    return draft.with_record(record).with_status(active_experiment=None)


def _arm(policy: str, revision: int, uri: str, digest: str, port: int) -> Object:
    return {
        "serviceRef": {"name": children.serving_name(policy, revision), "port": port},
        "model": {"revision": revision, "uri": uri, "digest": digest},
    }


def _held(draft: Draft, candidate: Revision, reason: str) -> Draft:
    """A person decides; the experiment is over, and the champion has all the traffic (docs/decisions/0008)."""
    record = revisions.awaiting(draft.record, candidate.revision, reason, draft.now)
    return draft.with_record(record).with_status(active_experiment=None)


def _at_once(draft: Draft, candidate: Revision) -> Draft:
    if needs_approval(draft):
        return _held(draft, candidate, PolicyReason.GATES_PASSED.value)
    return promoted(draft, candidate)


def _without_serving(draft: Draft, candidate: Revision) -> Draft:
    if draft.spec.promotion.method == "Immediate" or draft.record.champion is None:
        return _at_once(draft, candidate)
    return draft.trouble(
        PolicyReason.INVALID,
        f"spec.promotion.method {draft.spec.promotion.method} needs spec.serving: set it, or use method Immediate",
    )


def _with_ready_candidate(draft: Draft, candidate: Revision) -> Draft:
    champion = draft.record.champion
    if draft.spec.promotion.method == "Immediate" or champion is None:
        return _at_once(draft, candidate)
    if not is_ready(draft, champion.revision):
        waiting = f"the experiment waits until the champion, revision {champion.revision}, is available"
        return draft.note(waiting).look_in(_CANDIDATE_LOOK_SECONDS)
    name = children.experiment_name(draft.facts.name, candidate.revision)
    found = draft.input.experiments.get(name)
    if found is not None and is_taken(found, draft):
        return in_the_way(draft, found)
    started = draft.with_status(active_experiment=name)
    if found is not None:
        return started
    if draft.troubles:
        return draft
    port = draft.record.template.port if draft.record.template else 0
    experiment = build_experiment(draft.facts.policy, champion, candidate, port)
    return replace(started, creates=(*started.creates, experiment))


def _time_left(draft: Draft, candidate: Revision) -> timedelta | None:
    """Time until the candidate must be available; None while it has no Deployment.

    It counts from the Deployment where that is later than the revision: a suspended policy makes none.
    """
    deployment = draft.input.deployments.get(children.serving_name(draft.facts.name, candidate.revision))
    if deployment is None or draft.serving is None:
        return None
    if builders.has_stopped_progressing(deployment):
        return timedelta(0)
    created = datetime.fromisoformat(deployment["metadata"]["creationTimestamp"])
    start = max(created, candidate.time)
    return start + timedelta(seconds=draft.serving.progress_deadline_seconds) - draft.now
