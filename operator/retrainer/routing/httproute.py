"""HTTPRoute of the Gateway API: weights → the route to apply; an observed route → what its gateways carry.

One route has one writer: its policy, or the experiment that owns it. A backend of weight 0 is left out, and there is
no session persistence (it overrides weights, and few gateways have it). For `User` units, while both arms have
weight, a rule per arm matches the header `x-retrainer-variant` exactly; the Gateway API prefers a rule with more
matching headers, wherever it stands. In Request mode there is none: any client could choose its arm.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from retrainer.api.v1alpha1.traffic import ParentRef, ServiceRef, StandaloneRoute
from retrainer.plan import Object, Ref
from retrainer.routing.carrier import NOTHING, Change, Subject
from retrainer.routing.comparison import covers
from retrainer.routing.gateways import GROUP, acceptance
from retrainer.routing.headers import VARIANT_HEADER
from retrainer.routing.state import Arm, RouteState, described, shares

API_VERSION = f"{GROUP}/v1"
KIND = "HTTPRoute"


@dataclass(frozen=True)
class Backend:
    """A Service and its share of the traffic; `variant` is told to it and to the client in a header."""

    service: str
    port: int
    weight: int
    variant: Arm | None = None


@dataclass(frozen=True)
class HTTPRouteCarrier:
    """The experiment's own route, or its policy's (`attachment` None), which only the policy writes."""

    subject: Subject
    name: str
    parent_refs: tuple[ParentRef, ...]
    attachment: StandaloneRoute | None = None

    @classmethod
    def standalone(cls, subject: Subject, attachment: StandaloneRoute) -> HTTPRouteCarrier:
        """The route that the experiment owns."""
        return cls(subject, attachment.name, tuple(attachment.parent_refs), attachment)

    @classmethod
    def of_policy(cls, subject: Subject, policy: str, parent_refs: tuple[ParentRef, ...]) -> HTTPRouteCarrier:
        """The policy's route, which bears its name; `parent_refs` are the policy's gateways."""
        return cls(subject, policy, parent_refs)

    @property
    def owned(self) -> bool:
        """Whether the experiment owns it."""
        return self.attachment is not None

    @property
    def ref(self) -> Ref:
        """The route."""
        return Ref(API_VERSION, KIND, self.subject.namespace, self.name)

    def desired(self, weight: int) -> Object:
        """The route at this candidate weight, 0 … 100; raises ValueError for a route that is not ours."""
        if self.attachment is None:
            raise ValueError("the policy writes its own route")
        return build(
            self.name,
            self.subject.namespace,
            parent_refs=self.parent_refs,
            hostnames=self.attachment.hostnames,
            path_prefix=self.attachment.path_prefix,
            backends=arms(self.subject, weight),
            by_header=self.subject.by_user,
            owner=self.subject.owner,
            labels=self.subject.labels,
        )

    def change(self, observed: Object | None, weight: int) -> Change:
        """Write our own where it says anything else."""
        if self.attachment is None:
            return NOTHING
        desired = self.desired(weight)
        return NOTHING if up_to_date(observed, desired) else Change(applies=(desired,))

    def observe(self, observed: Object | None) -> RouteState:
        """What the gateways carry."""
        if observed is None:
            return RouteState(message=f"the HTTPRoute {self.name} does not exist yet")
        gateways = acceptance(observed, self.parent_refs)
        weights = self._weights(observed)
        return RouteState(
            weights=weights,
            accepted=gateways.accepted,
            resolved=gateways.resolved,
            refused=gateways.refused,
            message=gateways.message or f"every gateway carries {described(weights)}",
        )

    def arm_problem(self, observed: Object | None, arm: Arm) -> str | None:
        """A route knows nothing of the arms' health."""
        return None

    def _weights(self, observed: Object) -> dict[Arm, int]:
        """The arms' shares, if the rules are such as we write for some weight; otherwise nothing is believed."""
        rules = (observed.get("spec") or {}).get("rules") or ()
        undivided = [rule for rule in rules if not _names_header(rule)]
        given = _shares(undivided[0], self.subject) if len(undivided) == 1 else {}
        if not given:
            return {}
        expected = forced_rules(arms(self.subject, given.get("candidate", 0)), "") if self.subject.by_user else []
        forced = [rule for rule in rules if _names_header(rule)]
        same = len(forced) == len(expected) and all(map(_same_forced, forced, expected))
        return given if same else {}


def arms(subject: Subject, weight: int) -> tuple[Backend, ...]:
    """The experiment's backends at this candidate weight, the one of weight 0 left out.

    Raises ValueError where an arm has no Service.
    """
    services = {"baseline": subject.spec.baseline.service_ref, "candidate": subject.spec.candidate.service_ref}
    found = []
    for arm, share in shares(weight).items():
        service = services[arm]
        if service is None:
            raise ValueError(f"{arm}.serviceRef is needed where a route divides the traffic")
        found.append(Backend(service.name, service.port, share, arm))
    return tuple(found)


def build(
    name: str,
    namespace: str,
    *,
    parent_refs: Sequence[ParentRef],
    backends: Sequence[Backend],
    hostnames: Sequence[str] | None = None,
    path_prefix: str = "/",
    by_header: bool = False,
    owner: Object | None = None,
    labels: Mapping[str, str] | None = None,
) -> Object:
    """The HTTPRoute that splits one path among the backends; a backend of weight 0 is left out.

    `by_header`: a request that names a variant in its header gets it, while both have weight. `owner` is a
    complete controller ownerReference. Raises ValueError unless some backend has weight.
    """
    carrying = [b for b in backends if b.weight > 0]
    if not carrying or any(b.weight < 0 for b in backends):
        raise ValueError(f"a route needs backends with positive weight: {list(backends)}")
    metadata: Object = {"name": name, "namespace": namespace, "labels": dict(labels or {})}
    if owner is not None:
        metadata["ownerReferences"] = [dict(owner)]
    divided = {"matches": [_path(path_prefix)], "backendRefs": [_backend_ref(b) for b in carrying]}
    forced = forced_rules(carrying, path_prefix) if by_header else []
    spec: Object = {"parentRefs": [_parent_ref(ref) for ref in parent_refs], "rules": [*forced, divided]}
    if hostnames:
        spec["hostnames"] = list(hostnames)
    return {"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "spec": spec}


def forced_rules(backends: Sequence[Backend], path_prefix: str) -> list[Object]:
    """The rules by which a request chooses its variant; none where there is nothing to choose."""
    named = [b for b in backends if b.variant is not None and b.weight > 0]
    if len(named) < 2:
        return []
    return [
        {
            "matches": [{**_path(path_prefix), "headers": [_header(b)]}],
            "backendRefs": [_backend_ref(replace(b, weight=100))],
        }
        for b in named
    ]


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
    return same_fields and covers(spec, wanted) and covers(labels, wanted_labels)


def services(route: Object) -> frozenset[str]:
    """Names of the Services that the route sends anything to, by any rule."""
    rules = (route.get("spec") or {}).get("rules") or ()
    return frozenset(ref["name"] for rule in rules for ref in rule.get("backendRefs") or () if ref.get("weight", 1))


def _parent_ref(ref: ParentRef) -> Object:
    return ref.model_dump(by_alias=True, exclude_none=True)


def _path(prefix: str) -> Object:
    return {"path": {"type": "PathPrefix", "value": prefix}}


def _header(backend: Backend) -> Object:
    return {"type": "Exact", "name": VARIANT_HEADER, "value": backend.variant}


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


def _names_header(rule: Object) -> bool:
    return any(match.get("headers") for match in rule.get("matches") or ())


def _same_forced(rule: Object, expected: Object) -> bool:
    """Whether a rule sends exactly this header to exactly this Service; its path is the route's business."""
    headers = [match.get("headers") for match in rule.get("matches") or ()]
    refs, wanted = rule.get("backendRefs") or (), expected["backendRefs"]
    return (
        covers(headers, [expected["matches"][0]["headers"]])
        and [(r.get("name"), r.get("port")) for r in refs] == [(w["name"], w["port"]) for w in wanted]
    )


def _shares(rule: Object, subject: Subject) -> dict[Arm, int]:
    """Per cent by arm; nothing where anybody else gets a share, or the shares are not whole."""
    spec = subject.spec
    services: tuple[tuple[Arm, ServiceRef | None], ...] = (
        ("baseline", spec.baseline.service_ref),
        ("candidate", spec.candidate.service_ref),
    )
    both: dict[tuple[str, int], Arm] = {(s.name, s.port): arm for arm, s in services if s is not None}
    given: dict[Arm, int] = {}
    for ref in rule.get("backendRefs") or ():
        weight = int(ref.get("weight", 1))
        arm = both.get((ref.get("name"), ref.get("port")))
        if weight and arm is None:
            return {}
        if weight and arm is not None:
            given[arm] = given.get(arm, 0) + weight
    total = sum(given.values())
    # Our weights are per cent; others, for example 1:1, count as what they amount to where that is whole.
    if total == 0 or any(share * 100 % total for share in given.values()):
        return {}
    return {arm: share * 100 // total for arm, share in given.items()}
