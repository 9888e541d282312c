"""Two policies that claim the same host and path at one gateway: the older route gets all of it (Gateway API, v1,
HTTPRouteRule: of equal matches the oldest route wins, then the first by namespace and name). Pure."""

from __future__ import annotations

from collections.abc import Iterable

from retrainer.api.v1alpha1.retrain_policy import PolicyReason
from retrainer.plan import Object
from retrainer.retrain_policy.draft import Draft

_LOOK_SECONDS = 30.0
"""Routes are not watched: somebody has to look whether the other one has gone."""


def rivals_of(policy: Object, others: Iterable[Object]) -> list[Object]:
    """Those of `others` (RetrainPolicies) that claim the same as this one; itself is none of them.

    Asked in every pass over every policy there is: most are told apart by their host names alone.
    """
    mine = _route(policy)
    if not mine:
        return []
    hosts = frozenset(mine.get("hostnames") or ())
    uid = policy["metadata"]["uid"]
    near = [other for other in others if _shares_host(other, hosts) and other["metadata"]["uid"] != uid]
    return [other for other in near if claims_the_same(policy, other)]


def claims_the_same(one: Object, other: Object) -> bool:
    """Whether two RetrainPolicies (plain objects) claim one host name and path at one gateway.

    Only equal claims count: of different ones the more specific wins, and both may be meant.
    """
    mine, theirs = _route(one), _route(other)
    if not mine or not theirs or _path(mine) != _path(theirs):
        return False
    if not _shares_host(other, frozenset(mine.get("hostnames") or ())):
        return False
    return any(_same_gateway(a, one, b, other) for a in mine["parentRefs"] for b in theirs["parentRefs"])


def route_unrivalled(draft: Draft) -> Draft:
    """Rule: a policy whose route gets no traffic, because another's claims the same and is older, says so."""
    for rival in draft.input.rivals:
        if rival.route is not None and _precedes(rival.route, draft.input.route):
            meta = rival.policy["metadata"]
            described = f"{meta['namespace']}/{meta['name']}"
            return draft.trouble(
                PolicyReason.INVALID,
                f"serving.httpRoute claims the same host name and path as RetrainPolicy {described}, whose route is "
                "older and gets all the traffic: give one of them another hostname or pathPrefix, or delete one",
            ).look_in(_LOOK_SECONDS)
    return draft


def _shares_host(policy: Object, hosts: frozenset[str]) -> bool:
    """Whether it names one of these host names, or none where there is none."""
    serving = policy["spec"].get("serving")
    if not serving:
        return False
    named = serving["httpRoute"].get("hostnames")
    return not hosts.isdisjoint(named) if named else not hosts


def _route(policy: Object) -> Object:
    return dict((policy["spec"].get("serving") or {}).get("httpRoute") or {})


def _path(route: Object) -> str:
    return str(route.get("pathPrefix") or "/").rstrip("/")


def _same_gateway(ref: Object, policy: Object, other_ref: Object, other: Object) -> bool:
    here = (ref.get("namespace") or policy["metadata"]["namespace"], ref["name"])
    there = (other_ref.get("namespace") or other["metadata"]["namespace"], other_ref["name"])
    listeners = {ref.get("sectionName"), other_ref.get("sectionName")}
    return here == there and (len(listeners) == 1 or None in listeners)


def _precedes(route: Object, ours: Object | None) -> bool:
    return ours is None or _age(route) < _age(ours)


def _age(route: Object) -> tuple[str, str, str]:
    """Times in RFC 3339 with whole seconds in UTC, as the API server writes them, sort as text."""
    meta = route["metadata"]
    return str(meta.get("creationTimestamp")), meta["namespace"], meta["name"]
