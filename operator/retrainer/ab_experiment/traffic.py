"""Reads what carries an experiment's weights, and whether its arms can answer; decides nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from retrainer.ab_experiment.children import routing_for
from retrainer.ab_experiment.input import Readiness
from retrainer.api.v1alpha1.ab_experiment import ABExperimentSpec
from retrainer.api.v1alpha1.traffic import ParentRef, ServiceRef
from retrainer.kube.cache import Cache
from retrainer.kube.client import Client
from retrainer.kube.readiness import has_ready_address, slices_of
from retrainer.kube.resources import SERVICE, resource_of
from retrainer.plan import Object, Ref
from retrainer.routing.provider import Routing
from retrainer.routing.state import Arm


@dataclass(frozen=True)
class Traffic:
    """What was read; see input.py."""

    routed: Mapping[Ref, Object | None]
    parent_refs: tuple[ParentRef, ...]
    baseline: Readiness
    candidate: Readiness


@dataclass(frozen=True)
class TrafficObserver:
    """Reads Services and their endpoints from the cache, what carries the weights from the API server."""

    client: Client
    cache: Cache

    async def observe(self, obj: Object, spec: ABExperimentSpec, policy: Object | None) -> Traffic:
        """Everything about the traffic of one experiment; raises ApiError without an answer."""
        parents = _parent_refs(spec, policy)
        routing = routing_for(obj, spec, parents)
        found = await asyncio.gather(*(self._get(ref) for ref in routing.refs))
        routed = dict(zip(routing.refs, found, strict=True))
        baseline, candidate = await asyncio.gather(
            self._arm(obj, routing, routed, "baseline"), self._arm(obj, routing, routed, "candidate")
        )
        return Traffic(routed, parents, baseline, candidate)

    async def _get(self, ref: Ref) -> Object | None:
        return await self.client.get(resource_of(ref.api_version, ref.kind), ref.namespace, ref.name)

    async def _arm(self, obj: Object, routing: Routing, routed: Mapping[Ref, Object | None], arm: Arm) -> Readiness:
        service = routing.services.get(arm)
        problem = await self._service_problem(obj["metadata"]["namespace"], service) if service else None
        problem = problem or routing.arm_problem(routed, arm)
        return Readiness(False, problem) if problem else Readiness(True)

    async def _service_problem(self, namespace: str, reference: ServiceRef) -> str | None:
        """Why the Service cannot answer."""
        name, port = reference.name, reference.port
        service = self.cache.get(SERVICE, (namespace, name)) or await self.client.get(SERVICE, namespace, name)
        if service is None:
            return f"Service {name} does not exist"
        if all(p.get("port") != port for p in service["spec"].get("ports") or ()):
            return f"Service {name} has no port {port}"
        if not has_ready_address(await slices_of(self.client, self.cache, service)):
            return f"Service {name} has no ready endpoints"
        return None


def _parent_refs(spec: ABExperimentSpec, policy: Object | None) -> tuple[ParentRef, ...]:
    """The gateways of the policy's route; an experiment's own route names its own."""
    if spec.traffic.policy_ref is None:
        return ()
    serving = ((policy or {}).get("spec") or {}).get("serving") or {}
    named = (serving.get("httpRoute") or {}).get("parentRefs") or ()
    return tuple(ParentRef.model_validate(ref) for ref in named)
