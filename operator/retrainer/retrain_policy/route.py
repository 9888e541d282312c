"""The policy's HTTPRoute: it has exactly one writer, and this is where its weights come from."""

from __future__ import annotations

from dataclasses import replace

from retrainer.api.v1alpha1.ab_experiment import ABExperimentStatus
from retrainer.api.v1alpha1.retrain_policy import Serving
from retrainer.plan import Object
from retrainer.retrain_policy import children
from retrainer.retrain_policy.conflict import in_the_way, is_taken
from retrainer.retrain_policy.draft import Draft
from retrainer.routing import httproute
from retrainer.routing.httproute import Backend

EXPERIMENT_LOOK_SECONDS = 5.0
_ROUTE_LOOK_SECONDS = 5.0


def route_applied(draft: Draft) -> Draft:
    """Rule: active experiment ? that experiment's weight : champion 100; drift is repaired."""
    serving, found = draft.serving, draft.input.route
    if serving is None:
        return _route_removed(draft)
    if draft.hands_off or draft.record.champion is None:
        return draft
    if draft.record.template is None and draft.record_usable:
        return draft  # its Services cannot be made yet
    if found is not None and is_taken(found, draft):
        return in_the_way(draft, found)
    if draft.status.active_experiment is not None:
        draft = draft.look_in(EXPERIMENT_LOOK_SECONDS)
    desired = _desired(draft, serving)
    if httproute.up_to_date(found, desired):
        return draft
    if found is None:
        draft = replace(draft, creating=(*draft.creating, f"HTTPRoute {draft.facts.name}"))
    return replace(draft.look_in(_ROUTE_LOOK_SECONDS), applies=(*draft.applies, desired))


def complaint(draft: Draft) -> str | None:
    """What the gateways have against the route, if anything."""
    if draft.serving is None or draft.record.champion is None:
        return None
    parents = draft.serving.http_route.parent_refs
    state = httproute.observe(draft.input.route, parents)
    if state.accepted and state.resolved:
        return None
    was_ready = any(c.type == "Ready" and c.status == "True" for c in draft.facts.before.conditions)
    if was_ready and draft.input.route is not None:
        # Each change of a weight takes the gateway a moment; that alone does not make the policy unready.
        earlier = httproute.observe(_as_last_seen(draft.input.route), parents)
        return None if earlier.accepted and earlier.resolved else state.message
    return state.message


def candidate_weight(draft: Draft) -> int:
    """The candidate's share in per cent, as its experiment wants it; 0 unless it can answer."""
    candidate = draft.candidate
    experiment = draft.input.experiments.get(draft.status.active_experiment or "")
    if candidate is None or not children.is_ours(experiment, draft.facts.policy):
        return 0
    assert experiment is not None
    status = ABExperimentStatus.model_validate(experiment.get("status") or {})
    decided_against = status.decision is not None and status.decision.verdict != "PromoteCandidate"
    name = children.serving_name(draft.facts.name, candidate.revision)
    if decided_against or name not in draft.input.ready_services:
        return 0
    return status.weight_percent or 0


def _desired(draft: Draft, serving: Serving) -> Object:
    champion, candidate = draft.record.champion, draft.candidate
    assert champion is not None
    port = draft.record.template.port if draft.record.template else serving.port
    weight = candidate_weight(draft)
    under_comparison = draft.status.active_experiment is not None and candidate is not None
    backends = [
        Backend(
            children.serving_name(draft.facts.name, champion.revision),
            port,
            100 - weight,
            "baseline" if under_comparison else None,
        )
    ]
    if candidate is not None:
        name = children.serving_name(draft.facts.name, candidate.revision)
        backends.append(Backend(name, port, weight, "candidate"))
    return httproute.build(
        draft.facts.name,
        draft.facts.policy["metadata"]["namespace"],
        parent_refs=serving.http_route.parent_refs,
        hostnames=serving.http_route.hostnames,
        path_prefix=serving.http_route.path_prefix,
        backends=backends,
        owner=children.owner_reference(draft.facts.policy),
        labels=children.labels(draft.facts.name),
    )


def _as_last_seen(route: Object) -> Object:
    """The route as of the generation that its gateways last looked at."""
    seen = [
        int(condition.get("observedGeneration", 0))
        for parent in (route.get("status") or {}).get("parents") or ()
        for condition in parent.get("conditions") or ()
    ]
    return {**route, "metadata": {**route["metadata"], "generation": max(seen, default=0)}}


def _route_removed(draft: Draft) -> Draft:
    """spec.serving is gone: our route goes too, once no candidate is left."""
    found = draft.input.route
    if draft.hands_off or draft.candidate is not None or not children.is_ours(found, draft.facts.policy):
        return draft
    assert found is not None
    return replace(draft, deletes=(*draft.deletes, children.ref(found)))
