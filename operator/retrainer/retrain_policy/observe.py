"""Reads what a decision about a RetrainPolicy needs; decides nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from retrainer.kube.cache import Cache, Key
from retrainer.kube.client import Client
from retrainer.kube.readiness import ready_services
from retrainer.kube.resources import (
    AB_EXPERIMENT,
    CONFIG_MAP,
    DEPLOYMENT,
    FEEDBACK_SOURCE,
    HTTP_ROUTE,
    POD_TEMPLATE,
    RETRAIN_POLICY,
    SERVICE,
    TRAINING_RUN,
    Resource,
    resource_of,
)
from retrainer.plan import Object, Ref
from retrainer.retrain_policy import children
from retrainer.retrain_policy.input import PolicyInput, Rival
from retrainer.retrain_policy.readings import PolicyReadings
from retrainer.retrain_policy.rivals import rivals_of
from retrainer.retrain_policy.wanted import source_names, wanted_names, wanted_readings

_WATCHED = (TRAINING_RUN, AB_EXPERIMENT, DEPLOYMENT, SERVICE)


@dataclass(frozen=True)
class PolicyObserver:
    """Reads from the cache, and from the API server whatever the cache does not have or trims."""

    client: Client
    cache: Cache
    readings: PolicyReadings
    default_trainer_image: str
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    async def observe(self, obj: Object) -> PolicyInput:
        """Everything about one policy at this moment; raises ApiError when the API server does not answer."""
        meta = obj["metadata"]
        key = (meta["namespace"], meta["name"])
        champion, found, sources, template, rivals = await asyncio.gather(
            self.client.get(CONFIG_MAP, key[0], children.champion_name(key[1])),
            self._children(obj, key),
            self._sources(key[0], source_names(obj)),
            self._pod_template(obj),
            self._rivals(obj),
        )
        wanted = wanted_readings(obj, sources, self.now())
        return PolicyInput(
            obj=obj,
            champion=champion,
            runs=found[TRAINING_RUN],
            experiments=found[AB_EXPERIMENT],
            deployments=found[DEPLOYMENT],
            services=found[SERVICE],
            ready_services=ready_services(self.cache, children.OWNER_KIND, key),
            route=found[HTTP_ROUTE].get(key[1]),
            rivals=rivals,
            pod_template=template,
            sources=sources,
            readings=self.readings.answers(key, wanted, sources),
            default_trainer_image=self.default_trainer_image,
        )

    async def _children(self, obj: Object, key: Key) -> dict[Resource, dict[str, Object]]:
        found: dict[Resource, dict[str, Object]] = {HTTP_ROUTE: {}}
        for resource in _WATCHED:
            known = self.cache.children(resource, children.OWNER_KIND, key)
            found[resource] = {child["metadata"]["name"]: child for child in known}
        missing = [ref for ref in wanted_names(obj) if ref.name not in found[resource_of(ref.api_version, ref.kind)]]
        live = await asyncio.gather(*(self._live(ref) for ref in missing))
        for ref, child in zip(missing, live, strict=True):
            if child is not None:
                found[resource_of(ref.api_version, ref.kind)][ref.name] = child
        return found

    async def _live(self, ref: Ref) -> Object | None:
        return await self.client.get(resource_of(ref.api_version, ref.kind), ref.namespace, ref.name)

    async def _sources(self, namespace: str, names: tuple[str, ...]) -> Mapping[str, Object]:
        found: dict[str, Object] = {}
        for name in names:
            source = self.cache.get(FEEDBACK_SOURCE, (namespace, name))
            source = source or await self.client.get(FEEDBACK_SOURCE, namespace, name)
            if source is not None:
                found[name] = source
        return found

    async def _rivals(self, obj: Object) -> tuple[Rival, ...]:
        """Usually none: only for those that claim the same a route is read."""
        found = []
        for policy in rivals_of(obj, self.cache.all(RETRAIN_POLICY)):
            meta = policy["metadata"]
            route = await self.client.get(HTTP_ROUTE, meta["namespace"], meta["name"])
            found.append(Rival(policy, route))
        return tuple(found)

    async def _pod_template(self, obj: Object) -> Object | None:
        serving = obj["spec"].get("serving")
        if not serving:
            return None
        return await self.client.get(POD_TEMPLATE, obj["metadata"]["namespace"], serving["podTemplateRef"]["name"])
