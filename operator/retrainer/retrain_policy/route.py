"""The policy's HTTPRoute: it has exactly one writer, and this is where its weights come from.

A suspended policy leaves it alone, with one exception (docs/decisions/0007): where its experiment gives the candidate
no traffic (a guardrail stopped it, it ended otherwise, it is gone, an arm broke), the route gives it none either.
"""

from __future__ import annotations

from dataclasses import replace

from retrainer.api.v1alpha1.ab_experiment import ABExperimentSpec, ABExperimentStatus, Decision
from retrainer.api.v1alpha1.retrain_policy import Serving
from retrainer.plan import Object
from retrainer.retrain_policy import children
from retrainer.retrain_policy.conflict import in_the_way, is_taken
from retrainer.retrain_policy.draft import Draft
from retrainer.retrain_policy.promotion import needs_approval
from retrainer.routing import httproute
from retrainer.routing.gateways import acceptance
from retrainer.routing.httproute import Backend

EXPERIMENT_LOOK_SECONDS = 5.0
_ROUTE_LOOK_SECONDS = 5.0


def route_applied(draft: Draft) -> Draft:
    """Rule: active experiment ? that experiment's weight : champion 100; drift is repaired."""
    serving, found = draft.serving, draft.input.route
    if serving is None:
        return _route_removed(draft)
    if draft.record.champion is None:
        return draft
    if draft.spec.suspend:
        return _stopped_while_suspended(draft, serving)
    if draft.hands_off:
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
    route, parents = draft.input.route, draft.serving.http_route.parent_refs
    if route is None:
        return f"the HTTPRoute {draft.facts.name} does not exist yet"
    said = acceptance(route, parents).message
    if said is None:
        return None
    was_ready = any(c.type == "Ready" and c.status == "True" for c in draft.facts.before.conditions)
    if was_ready and acceptance(_as_last_seen(route), parents).message is None:
        # Each change of a weight takes the gateway a moment; that alone does not make the policy unready.
        return None
    return said


def candidate_weight(draft: Draft) -> int:
    """The candidate's share in per cent, as its experiment wants it; 0 unless it can answer."""
    candidate = draft.candidate
    experiment = draft.input.experiments.get(draft.status.active_experiment or "")
    if candidate is None or not children.is_ours(experiment, draft.facts.policy):
        return 0
    assert experiment is not None
    status = ABExperimentStatus.model_validate(experiment.get("status") or {})
    name = children.serving_name(draft.facts.name, candidate.revision)
    if (status.decision is not None and _withheld(draft, status.decision)) or name not in draft.input.ready_services:
        return 0
    return status.weight_percent or 0


def _withheld(draft: Draft, decision: Decision) -> bool:
    """Whether an experiment that has ended leaves the candidate without traffic: it lost, or may not be promoted."""
    return decision.verdict != "PromoteCandidate" or needs_approval(draft) or draft.spec.model.pin is not None


def _stopped_while_suspended(draft: Draft, serving: Serving) -> Draft:
    """The one thing that reaches the route of a suspended policy: that its experiment's candidate gets nothing."""
    found, candidate, name = draft.input.route, draft.candidate, draft.status.active_experiment
    if name is None or candidate is None or found is None or is_taken(found, draft):
        return draft
    draft = draft.look_in(EXPERIMENT_LOOK_SECONDS)
    if candidate_weight(draft) > 0:
        return draft
    draft = draft.note(f"experiment {name} gives the candidate no traffic, and the route is kept to that")
    if children.serving_name(draft.facts.name, candidate.revision) not in httproute.services(found):
        return draft
    return replace(draft, applies=(*draft.applies, _desired(draft, serving)))


def _assigned_by_user(draft: Draft) -> bool:
    """Whether the active experiment's application names each user's arm in a header."""
    experiment = draft.input.experiments.get(draft.status.active_experiment or "")
    if not children.is_ours(experiment, draft.facts.policy):
        return False
    assert experiment is not None
    assignment = ABExperimentSpec.model_validate(experiment["spec"]).assignment
    return assignment is not None and assignment.unit == "User"


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
        by_header=_assigned_by_user(draft),
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
