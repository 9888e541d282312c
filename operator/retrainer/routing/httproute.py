"""HTTPRoute of the Gateway API: weights → the route to apply; an observed route → what its gateway carries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from retrainer.api.v1alpha1.traffic import ParentRef
from retrainer.plan import Object

API_VERSION = "gateway.networking.k8s.io/v1"
GROUP = "gateway.networking.k8s.io"
KIND = "HTTPRoute"
VARIANT_HEADER = "x-retrainer-variant"


@dataclass(frozen=True)
class Backend:
    """A Service and its share of the traffic; `variant` is told to it and to the client in a header."""

    service: str
    port: int
    weight: int
    variant: Literal["baseline", "candidate"] | None = None


@dataclass(frozen=True)
class RouteState:
    """What is known of a route: `weights` by Service, in per cent, and whether all our gateways carry them.

    `message` says in a sentence what is missing where `accepted` or `resolved` is False; `refused` tells a
    gateway's refusal of this very generation from one that has not looked yet.
    """

    weights: Mapping[str, int] = field(default_factory=dict)
    accepted: bool = False
    resolved: bool = False
    refused: bool = False
    message: str = "the HTTPRoute does not exist yet"

    def carries(self, weights: Mapping[str, int]) -> bool:
        """Whether every gateway has accepted exactly these weights (Services of weight 0 left out)."""
        wanted = {service: weight for service, weight in weights.items() if weight}
        return self.accepted and self.resolved and dict(self.weights) == wanted


ABSENT = RouteState()


def build(
    name: str,
    namespace: str,
    *,
    parent_refs: Sequence[ParentRef],
    backends: Sequence[Backend],
    hostnames: Sequence[str] | None = None,
    path_prefix: str = "/",
    owner: Object | None = None,
    labels: Mapping[str, str] | None = None,
) -> Object:
    """The HTTPRoute that splits one path among the backends; a backend of weight 0 is left out.

    `owner` is a complete controller ownerReference. Raises ValueError unless some backend has weight.
    """
    carrying = [b for b in backends if b.weight > 0]
    if not carrying or any(b.weight < 0 for b in backends):
        raise ValueError(f"a route needs backends with positive weight: {list(backends)}")
    metadata: Object = {"name": name, "namespace": namespace, "labels": dict(labels or {})}
    if owner is not None:
        metadata["ownerReferences"] = [dict(owner)]
    spec: Object = {
        "parentRefs": [_parent_ref(ref) for ref in parent_refs],
        "rules": [
            {
                "matches": [{"path": {"type": "PathPrefix", "value": path_prefix}}],
                "backendRefs": [_backend_ref(b) for b in carrying],
            }
        ],
    }
    if hostnames:
        spec["hostnames"] = list(hostnames)
    return {"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "spec": spec}


def observe(route: Object | None, parent_refs: Sequence[ParentRef]) -> RouteState:
    """What the gateways named by `parent_refs` make of the route, at its present generation."""
    if route is None:
        return ABSENT
    if not parent_refs:
        return RouteState(message="no gateway is named for the route")
    weights = _weights(route)
    unaccepted = _complaints(route, parent_refs, "Accepted")
    unresolved = _complaints(route, parent_refs, "ResolvedRefs")
    complaints = sorted((*unaccepted, *unresolved), key=lambda c: not c.refusal)
    return RouteState(
        weights=weights,
        accepted=not unaccepted,
        resolved=not unresolved,
        refused=any(c.refusal for c in complaints),
        message=complaints[0].text if complaints else f"every gateway carries {_described(weights)}",
    )


def up_to_date(route: Object | None, desired: Object) -> bool:
    """Whether the observed route says what `desired` says; fields that the API server defaulted are ignored."""
    if route is None:
        return False
    labels = (route.get("metadata") or {}).get("labels") or {}
    wanted_labels = desired["metadata"].get("labels") or {}
    spec, wanted = route.get("spec") or {}, desired["spec"]
    # A rule or host name added by hand is drift too; within them only the API server adds fields.
    same_fields = set(spec) == set(wanted) and all(
        set(rule) == set(wanted_rule) for rule, wanted_rule in zip(spec["rules"], wanted["rules"], strict=False)
    )
    return same_fields and _covers(spec, wanted) and _covers(labels, wanted_labels)


def _parent_ref(ref: ParentRef) -> Object:
    return ref.model_dump(by_alias=True, exclude_none=True)


def _backend_ref(backend: Backend) -> Object:
    entry: Object = {"name": backend.service, "port": backend.port, "weight": backend.weight}
    if backend.variant is not None:
        # `set`, not `add`: a client must not be able to send its own along.
        headers = {"set": [{"name": VARIANT_HEADER, "value": backend.variant}]}
        entry["filters"] = [
            {"type": "RequestHeaderModifier", "requestHeaderModifier": headers},
            {"type": "ResponseHeaderModifier", "responseHeaderModifier": headers},
        ]
    return entry


def _weights(route: Object) -> dict[str, int]:
    """Per cent by Service, if all rules agree on them; a route with a rule of another's making carries none."""
    splits = [_split(rule) for rule in (route.get("spec") or {}).get("rules") or ()]
    return splits[0] if splits and all(s == splits[0] for s in splits) else {}


def _split(rule: Object) -> dict[str, int]:
    shares: dict[str, int] = {}
    for ref in rule.get("backendRefs") or ():
        weight = int(ref.get("weight", 1))
        if weight:
            shares[ref["name"]] = shares.get(ref["name"], 0) + weight
    total = sum(shares.values())
    # Our weights are per cent; others, for example 1:1, count as what they amount to where that is whole.
    if total == 0 or any(share * 100 % total for share in shares.values()):
        return {}
    return {name: share * 100 // total for name, share in shares.items()}


@dataclass(frozen=True)
class _Complaint:
    text: str
    refusal: bool = False


def _complaints(route: Object, parent_refs: Sequence[ParentRef], condition_type: str) -> list[_Complaint]:
    """Why `condition_type` does not hold for this generation at all our gateways; empty when it does."""
    found = (_complaint(route, ref, condition_type) for ref in parent_refs)
    return [complaint for complaint in found if complaint]


def _complaint(route: Object, ref: ParentRef, condition_type: str) -> _Complaint | None:
    parents = (route.get("status") or {}).get("parents") or ()
    entries = [p for p in parents if _same_parent(p.get("parentRef") or {}, ref, route)]
    if not entries:
        return _Complaint(f"gateway {ref.name} has not looked at the route yet")
    complaints = (_entry_complaint(route, entry, ref.name, condition_type) for entry in entries)
    return next((c for c in complaints if c), None)


def _entry_complaint(route: Object, entry: Object, gateway: str, condition_type: str) -> _Complaint | None:
    """Several controllers may write an entry for one gateway; each must agree."""
    condition = next((c for c in entry.get("conditions") or () if c.get("type") == condition_type), None)
    if condition is None:
        return _Complaint(f"gateway {gateway} does not say {condition_type} yet")
    if condition.get("observedGeneration") != route["metadata"].get("generation"):
        return _Complaint(f"gateway {gateway} has not looked at the last change of the route yet")
    if condition.get("status") != "True":
        stated = f"{condition_type} is {condition.get('status')} ({condition.get('reason')})"
        return _Complaint(f"gateway {gateway}: {stated}", refusal=condition.get("status") == "False")
    return None


def _same_parent(observed: Object, ref: ParentRef, route: Object) -> bool:
    namespace = route["metadata"].get("namespace")
    return (
        observed.get("group", GROUP) == GROUP
        and observed.get("kind", "Gateway") == "Gateway"
        and observed.get("name") == ref.name
        and observed.get("namespace", namespace) == (ref.namespace or namespace)
        and observed.get("sectionName") == ref.section_name
        and observed.get("port") is None
    )


def _covers(observed: Any, desired: Any) -> bool:
    """Whether everything in `desired` is in `observed`; lists must have the same length."""
    if isinstance(desired, Mapping):
        return isinstance(observed, Mapping) and all(_covers(observed.get(k), v) for k, v in desired.items())
    if isinstance(desired, list):
        return (
            isinstance(observed, list)
            and len(observed) == len(desired)
            and all(_covers(o, d) for o, d in zip(observed, desired, strict=True))
        )
    return bool(observed == desired)


def _described(weights: Mapping[str, int]) -> str:
    return ", ".join(f"{weight} % {service}" for service, weight in weights.items()) or "no traffic of ours"
