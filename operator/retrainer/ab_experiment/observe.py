"""Reads what a decision about an ABExperiment needs; decides nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from pydantic import ValidationError

from retrainer.ab_experiment.children import ledger_name
from retrainer.ab_experiment.counting import due_windows
from retrainer.ab_experiment.input import ExperimentInput, Readiness
from retrainer.ab_experiment.readings import ExperimentReadings
from retrainer.ab_experiment.sources import misfit, planned, source_names
from retrainer.ab_experiment.traffic import TrafficObserver
from retrainer.api.v1alpha1.ab_experiment import ABExperimentSpec
from retrainer.kube.cache import Cache, Key
from retrainer.kube.client import Client
from retrainer.kube.resources import CONFIG_MAP, FEEDBACK_SOURCE, RETRAIN_POLICY, Resource
from retrainer.plan import Object

UNKNOWN_ARM = Readiness(False, "the spec cannot be read")


@dataclass(frozen=True)
class ExperimentObserver:
    """Reads from the cache, and from the API server whatever the cache does not have or trims."""

    client: Client
    cache: Cache
    readings: ExperimentReadings
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    clock_ahead: Callable[[], float | None] = lambda: None
    """Seconds that our clock is ahead of the API server's, as far as its answers tell."""

    async def observe(self, obj: Object) -> ExperimentInput:
        """Everything about one experiment at this moment; raises ApiError without an answer."""
        key: Key = (obj["metadata"]["namespace"], obj["metadata"]["name"])
        try:
            spec = ABExperimentSpec.model_validate(obj["spec"])
        except ValidationError:  # `decide` says which field it is
            return ExperimentInput(obj, None, UNKNOWN_ARM, UNKNOWN_ARM, {})
        ledger, policy, sources = await asyncio.gather(
            self.client.get(CONFIG_MAP, key[0], ledger_name(obj)), self._policy(obj), self._sources(obj)
        )
        traffic = await TrafficObserver(self.client, self.cache).observe(obj, spec, policy)
        rates, variances = planned(spec, sources)
        ahead = self.clock_ahead()
        read = self.readings.read(key, obj, due_windows(obj, ledger, self.now(), ahead))
        return ExperimentInput(
            obj=obj,
            ledger=ledger,
            baseline=traffic.baseline,
            candidate=traffic.candidate,
            routed=traffic.routed,
            parent_refs=traffic.parent_refs,
            rates=rates,
            variances=variances,
            readings=read.windows,
            source_problem=read.problem,
            missing=_missing(spec, policy, sources),
            clock_ahead=ahead,
        )

    async def _policy(self, obj: Object) -> Object | None:
        reference = obj["spec"]["traffic"].get("policyRef")
        return await self._find(RETRAIN_POLICY, obj, reference["name"]) if reference else None

    async def _sources(self, obj: Object) -> Mapping[str, Object]:
        found = {name: await self._find(FEEDBACK_SOURCE, obj, name) for name in source_names(obj)}
        return {name: source for name, source in found.items() if source is not None}

    async def _find(self, resource: Resource, obj: Object, name: str) -> Object | None:
        key: Key = (obj["metadata"]["namespace"], name)
        cached = self.cache.get(resource, key)
        return cached if cached is not None else await self.client.get(resource, *key)


def _missing(spec: ABExperimentSpec, policy: Object | None, sources: Mapping[str, Object]) -> str | None:
    """The first reference that does not exist or does not fit, with the remedy."""
    reference = spec.traffic.policy_ref
    if reference is not None and policy is None:
        return f"RetrainPolicy {reference.name} (traffic.policyRef) does not exist; create it or name another"
    if reference is not None and not ((policy or {}).get("spec") or {}).get("serving"):
        return f"RetrainPolicy {reference.name} (traffic.policyRef) has no serving; add it or use traffic.httpRoute"
    return misfit(spec, sources)
