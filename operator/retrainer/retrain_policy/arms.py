"""The revisions that run: their Deployments and Services, the frozen template, and retirement."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from retrainer.api.v1alpha1.retrain_policy import RevisionState, Serving
from retrainer.plan import Object
from retrainer.retrain_policy import children
from retrainer.retrain_policy import serving as builders
from retrainer.retrain_policy.conflict import in_the_way, is_taken
from retrainer.retrain_policy.draft import Draft

_LINGERING = (RevisionState.RETIRED, RevisionState.ROLLED_BACK)


def is_ready(draft: Draft, revision: int) -> bool:
    """Whether this revision's Deployment is available and its Service has somebody to send requests to."""
    name = children.serving_name(draft.facts.name, revision)
    deployment = draft.input.deployments.get(name)
    return (
        deployment is not None
        and children.is_ours(deployment, draft.facts.policy)
        and builders.is_available(deployment)
        and name in draft.input.ready_services
    )


def template_frozen(draft: Draft) -> Draft:
    """Rule: a changed PodTemplate is taken over, but never while a candidate is compared with the champion."""
    pod_template, serving = draft.input.pod_template, draft.serving
    if serving is None or pod_template is None or draft.spec.suspend or not draft.record_usable:
        return draft
    if draft.record.template is not None and (draft.candidate is not None or _warms_up(draft)):
        return draft
    fresh = builders.freeze(pod_template, serving.port)
    if draft.record.template is not None and draft.record.template.hash == fresh.hash:
        return draft
    return draft.with_record(replace(draft.record, template=fresh))


def arms_applied(draft: Draft) -> Draft:
    """Rule: champion, newcomer and the target of a rollback or a pin run; drift is repaired."""
    serving, template = draft.serving, draft.record.template
    if draft.hands_off or serving is None or template is None:
        return draft
    for number in _running(draft):
        revision = draft.record.find(number)
        if revision is None:
            continue
        deployment = builders.build_deployment(draft.facts.policy, serving, revision, template)
        service = builders.build_service(draft.facts.policy, number, template.port)
        draft = _applied(draft, draft.input.deployments.get(deployment["metadata"]["name"]), deployment)
        draft = _applied(draft, draft.input.services.get(service["metadata"]["name"]), service)
    return draft


def arms_retired(draft: Draft) -> Draft:
    """Rule: what no longer runs goes, after its time, and never while a route still names it."""
    if draft.hands_off or not draft.record_usable:
        return draft
    if draft.serving is None and draft.candidate is not None:
        return draft
    named = _named_by_routes(draft)
    for obj in _own_serving(draft):
        number = children.revision_of(obj)
        if number is None or obj["metadata"]["name"] in named or obj["metadata"].get("deletionTimestamp"):
            continue
        leaving = _leaves_at(draft, number)
        if leaving is None:
            continue
        if leaving <= draft.now:
            draft = replace(draft, deletes=(*draft.deletes, children.ref(obj)))
        else:
            draft = draft.look_at(leaving)
    return draft


def _warms_up(draft: Draft) -> bool:
    """Whether the target of a rollback or pin is coming up; one that failed may need another template."""
    if draft.warming is None:
        return False
    deployment = draft.input.deployments.get(children.serving_name(draft.facts.name, draft.warming))
    return deployment is None or not builders.has_stopped_progressing(deployment)


def _running(draft: Draft) -> list[int]:
    """The champion first: it serves everybody."""
    numbers = [draft.record.champion.revision] if draft.record.champion else []
    numbers += [draft.newcomer.revision] if draft.newcomer else []
    numbers += [draft.warming] if draft.warming is not None else []
    return list(dict.fromkeys(numbers))


def _applied(draft: Draft, found: Object | None, desired: Object) -> Draft:
    if found is not None and is_taken(found, draft):
        return in_the_way(draft, found)
    if found is not None and builders.up_to_date(found, desired):
        return draft
    if found is None:
        described = f"{desired['kind']} {desired['metadata']['name']}"
        draft = replace(draft, creating=(*draft.creating, described))
    return replace(draft, applies=(*draft.applies, desired))


def _leaves_at(draft: Draft, number: int) -> datetime | None:
    """When this revision's Deployment goes; None while it is needed."""
    serving: Serving | None = draft.serving
    if serving is None:
        return draft.now
    if number in _running(draft):
        return None
    revision = draft.record.find(number)
    if revision is None or revision.state not in _LINGERING:
        return draft.now
    return revision.time + timedelta(seconds=serving.retire_after_seconds)


def _named_by_routes(draft: Draft) -> set[str]:
    """Services that get traffic, by the route as it is or as this pass leaves it."""
    if draft.serving is None:
        return set()
    routes = [draft.input.route, *(o for o in draft.applies if o["kind"] == "HTTPRoute")]
    return {
        backend["name"]
        for route in routes
        if route is not None
        for rule in (route.get("spec") or {}).get("rules") or ()
        for backend in rule.get("backendRefs") or ()
    }


def _own_serving(draft: Draft) -> Iterable[Object]:
    objects = (*draft.input.deployments.values(), *draft.input.services.values())
    return (o for o in objects if children.is_ours(o, draft.facts.policy))
