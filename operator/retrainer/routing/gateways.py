"""What the gateways make of an HTTPRoute: every entry for our parentRef, at the route's present generation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from retrainer.api.v1alpha1.traffic import ParentRef
from retrainer.plan import Object

GROUP = "gateway.networking.k8s.io"


@dataclass(frozen=True)
class Acceptance:
    """Whether all our gateways have taken the route up; `message` says what is missing, None if nothing is.

    `refused` tells a gateway's refusal of this very generation from one that has not looked yet.
    """

    accepted: bool = False
    resolved: bool = False
    refused: bool = False
    message: str | None = "no gateway is named for the route"


def acceptance(route: Object, parent_refs: Sequence[ParentRef]) -> Acceptance:
    """What the gateways named by `parent_refs` say of the route."""
    if not parent_refs:
        return Acceptance()
    unaccepted = _complaints(route, parent_refs, "Accepted")
    unresolved = _complaints(route, parent_refs, "ResolvedRefs")
    complaints = sorted((*unaccepted, *unresolved), key=lambda c: not c.refusal)
    return Acceptance(
        accepted=not unaccepted,
        resolved=not unresolved,
        refused=any(c.refusal for c in complaints),
        message=complaints[0].text if complaints else None,
    )


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
