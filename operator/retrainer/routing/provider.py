"""Which objects carry an experiment's weights: the choice by spec.traffic, and all of them as one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from retrainer.api.v1alpha1.ab_experiment import ABExperimentSpec
from retrainer.api.v1alpha1.traffic import ParentRef, ServiceRef
from retrainer.plan import Object, Ref
from retrainer.routing.carrier import NOTHING, Carrier, Change, Subject
from retrainer.routing.config_map import ConfigMapCarrier
from retrainer.routing.httproute import HTTPRouteCarrier
from retrainer.routing.inference_service import InferenceServiceCarrier
from retrainer.routing.state import Arm, RouteState, together
from retrainer.routing.virtual_service import VirtualServiceCarrier

Seen = Mapping[Ref, Object | None]
"""The objects that `Routing.refs` names, as they were read."""


@dataclass(frozen=True)
class Routing:
    """Everything that carries one experiment's weights; how it is used is told in carrier.py."""

    carriers: tuple[Carrier, ...]
    services: Mapping[Arm, ServiceRef]

    @property
    def refs(self) -> tuple[Ref, ...]:
        """The objects to read."""
        return tuple(carrier.ref for carrier in self.carriers)

    @property
    def exclusive(self) -> bool:
        """Whether nobody else writes the weights: False for an InferenceService, which is a user's."""
        return not any(isinstance(carrier, InferenceServiceCarrier) for carrier in self.carriers)

    @property
    def standalone(self) -> bool:
        """Whether the experiment writes anything itself; False where its policy's route is all there is."""
        return not self.exclusive or any(carrier.owned for carrier in self.carriers)

    def change(self, seen: Seen, weight: int) -> Change:
        """What makes everything carry this weight."""
        changes = (carrier.change(seen.get(carrier.ref), weight) for carrier in self.carriers)
        return sum(changes, NOTHING)

    def observe(self, seen: Seen) -> RouteState:
        """What everything carries together."""
        return together(tuple(carrier.observe(seen.get(carrier.ref)) for carrier in self.carriers))

    def arm_problem(self, seen: Seen, arm: Arm) -> str | None:
        """Why an arm cannot answer, as far as the read objects tell; its Service is somebody else's to check."""
        problems = (carrier.arm_problem(seen.get(carrier.ref), arm) for carrier in self.carriers)
        return next((problem for problem in problems if problem), None)

    def foreign(self, seen: Seen, uid: str) -> str | None:
        """Which object that is not ours (not controlled by the owner of this uid) bears a name of ours."""
        for carrier in self.carriers:
            found = seen.get(carrier.ref) if carrier.owned else None
            if found is not None and not _controlled_by(found, uid):
                return f"{carrier.ref.kind} {carrier.ref.name} exists and is not ours"
        return None


def routing_of(
    experiment: Object,
    spec: ABExperimentSpec,
    *,
    owner: Object,
    labels: Mapping[str, str],
    parent_refs: Sequence[ParentRef] = (),
) -> Routing:
    """What carries this experiment's weights.

    `owner` and `labels` go on what it creates. `parent_refs` are the gateways of its policy's route, and matter
    only with traffic.policyRef. Raises ValueError where spec.traffic names none.
    """
    meta = experiment["metadata"]
    subject = Subject(meta["name"], meta["namespace"], owner, labels, spec)
    carriers: tuple[Carrier, ...] = (_main(subject, tuple(parent_refs)),)
    if subject.by_user and spec.traffic.config_map is None:
        carriers = (*carriers, ConfigMapCarrier(subject, f"{subject.name}-assignment"))
    return Routing(carriers, _services(spec))


def settle_seconds(spec: ABExperimentSpec) -> int:
    """For how long after a weight was applied it may not have reached all traffic."""
    assignment, traffic = spec.assignment, spec.traffic
    if assignment is not None and assignment.settle_seconds is not None:
        return assignment.settle_seconds
    if traffic.config_map is not None or (assignment is not None and assignment.unit == "User"):
        return 90
    if traffic.inference_service is not None:
        return 60
    return 10 if traffic.virtual_service is not None else 1


def _main(subject: Subject, parent_refs: tuple[ParentRef, ...]) -> Carrier:
    traffic = subject.spec.traffic
    if traffic.policy_ref is not None:
        return HTTPRouteCarrier.of_policy(subject, traffic.policy_ref.name, parent_refs)
    if traffic.http_route is not None:
        return HTTPRouteCarrier.standalone(subject, traffic.http_route)
    if traffic.virtual_service is not None:
        return VirtualServiceCarrier(subject, traffic.virtual_service)
    if traffic.inference_service is not None:
        return InferenceServiceCarrier(subject, traffic.inference_service.name)
    if traffic.config_map is not None:
        return ConfigMapCarrier(subject, traffic.config_map.name)
    raise ValueError("spec.traffic names nothing that carries the weights")


def _services(spec: ABExperimentSpec) -> dict[Arm, ServiceRef]:
    arms: tuple[tuple[Arm, ServiceRef | None], ...] = (
        ("baseline", spec.baseline.service_ref),
        ("candidate", spec.candidate.service_ref),
    )
    return {arm: service for arm, service in arms if service is not None}


def _controlled_by(found: Object, uid: str) -> bool:
    owners = found["metadata"].get("ownerReferences") or ()
    return any(o.get("controller") and o.get("uid") == uid for o in owners)
