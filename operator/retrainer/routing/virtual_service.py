"""VirtualService of Istio (networking.istio.io/v1), owned by the experiment.

Istio takes a VirtualService up without saying so, unless istiod is told to write status (PILOT_ENABLE_STATUS); so an
object that says what was asked for counts as carried, unless its status objects, and assignment.settleSeconds
(10 s by default) covers the time until the proxies have it.
"""

from __future__ import annotations

from dataclasses import dataclass

from retrainer.api.v1alpha1.traffic import ServiceRef, StandaloneVirtualService
from retrainer.plan import Object, Ref
from retrainer.routing.carrier import NOTHING, Change, Subject
from retrainer.routing.comparison import covers
from retrainer.routing.headers import VARIANT_HEADER
from retrainer.routing.state import ARMS, Arm, RouteState, described, shares

API_VERSION = "networking.istio.io/v1"


@dataclass(frozen=True)
class VirtualServiceCarrier:
    """The experiment's VirtualService."""

    subject: Subject
    attachment: StandaloneVirtualService
    owned: bool = True

    @property
    def ref(self) -> Ref:
        """The VirtualService."""
        return Ref(API_VERSION, "VirtualService", self.subject.namespace, self.attachment.name)

    def desired(self, weight: int) -> Object:
        """The VirtualService at this candidate weight, 0 … 100."""
        spec: Object = {"hosts": list(self.attachment.hosts), "http": self._routes(weight)}
        if self.attachment.gateways:
            spec["gateways"] = list(self.attachment.gateways)
        metadata = self.subject.metadata(self.attachment.name)
        return {"apiVersion": API_VERSION, "kind": "VirtualService", "metadata": metadata, "spec": spec}

    def change(self, observed: Object | None, weight: int) -> Change:
        """Write it where it says anything else."""
        desired = self.desired(weight)
        return NOTHING if _up_to_date(observed, desired) else Change(applies=(desired,))

    def observe(self, observed: Object | None) -> RouteState:
        """What it says, and whether Istio objects."""
        name = self.attachment.name
        if observed is None:
            return RouteState(message=f"the VirtualService {name} does not exist yet")
        weight = next((w for w in _candidates(observed) if _up_to_date(observed, self.desired(w))), None)
        if weight is None:
            return RouteState(message=f"the VirtualService {name} was changed; it is being put right")
        objection = _objection(observed)
        message = objection or f"the VirtualService {name} says {described(shares(weight))}"
        fine = objection is None
        return RouteState(shares(weight), accepted=fine, resolved=fine, refused=not fine, message=message)

    def arm_problem(self, observed: Object | None, arm: Arm) -> str | None:
        """It knows nothing of the arms' health."""
        return None

    def _routes(self, weight: int) -> list[Object]:
        parts = shares(weight)
        paths = _paths(self.attachment.path_prefix)
        divided = {"match": paths, "route": [self._destination(arm, share) for arm, share in parts.items()]}
        if not self.subject.by_user or len(parts) < len(ARMS):
            return [divided]
        # Istio takes the first route that matches: the forced ones come before.
        forced = [
            {
                "match": [{**path, "headers": {VARIANT_HEADER: {"exact": arm}}} for path in paths],
                "route": [self._destination(arm, 100)],
            }
            for arm in ARMS
        ]
        return [*forced, divided]

    def _destination(self, arm: Arm, share: int) -> Object:
        service = self._service(arm)
        headers = {"set": {VARIANT_HEADER: arm}}
        return {
            # A short name is looked up in the VirtualService's own namespace, whatever the cluster's domain is.
            "destination": {"host": service.name, "port": {"number": service.port}},
            "weight": share,
            "headers": {"request": headers, "response": headers},
        }

    def _service(self, arm: Arm) -> ServiceRef:
        spec = self.subject.spec
        service = (spec.baseline if arm == "baseline" else spec.candidate).service_ref
        if service is None:
            raise ValueError(f"{arm}.serviceRef is needed with traffic.virtualService")
        return service


def _paths(prefix: str) -> list[Object]:
    """Whole segments, as the Gateway API means it: /v1 is not the beginning of /v10, which Istio's prefix would be."""
    stem = prefix.rstrip("/")
    if not stem:
        return [{"uri": {"prefix": "/"}}]
    return [{"uri": {"exact": stem}}, {"uri": {"prefix": f"{stem}/"}}]


def _up_to_date(observed: Object | None, desired: Object) -> bool:
    """Whether it says exactly this; a route, host or field added by hand is drift."""
    if observed is None:
        return False
    spec, wanted = observed.get("spec") or {}, desired["spec"]
    routes, wanted_routes = spec.get("http") or [], wanted["http"]
    same_fields = set(spec) == set(wanted) and [set(r) for r in routes] == [set(r) for r in wanted_routes]
    labels = observed["metadata"].get("labels") or {}
    return same_fields and covers(spec, wanted) and covers(labels, desired["metadata"]["labels"])


def _candidates(observed: Object) -> list[int]:
    """Candidate weights that its last route may stand for; which of them it really says is compared."""
    routes = (observed.get("spec") or {}).get("http") or [{}]
    given = [destination.get("weight") for destination in routes[-1].get("route") or ()]
    whole = [weight for weight in given if isinstance(weight, int) and 0 <= weight <= 100]
    return sorted({*whole, *(100 - weight for weight in whole)})


def _objection(observed: Object) -> str | None:
    """What Istio has against it, where it writes status: a condition that does not hold, or an analysis error."""
    status = observed.get("status") or {}
    for condition in status.get("conditions") or ():
        if condition.get("status") == "False":
            return f"Istio: {condition.get('type')} is False ({condition.get('reason') or 'no reason given'})"
    for message in status.get("validationMessages") or ():
        if message.get("level") in ("ERROR", 3):
            code = (message.get("type") or {}).get("code") or "an error"
            return f"Istio's analysis finds {code} in the VirtualService"
    return None
