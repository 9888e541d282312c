"""Reads what a decision about an ABExperiment needs; decides nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from retrainer.ab_experiment.children import ledger_name
from retrainer.ab_experiment.counting import due_windows
from retrainer.ab_experiment.input import ExperimentInput, Readiness
from retrainer.ab_experiment.readings import ExperimentReadings
from retrainer.api.v1alpha1.traffic import ParentRef
from retrainer.kube.cache import Cache, Key
from retrainer.kube.client import Client
from retrainer.kube.readiness import has_ready_address, slices_of
from retrainer.kube.resources import (
    CONFIG_MAP,
    FEEDBACK_SOURCE,
    HTTP_ROUTE,
    RETRAIN_POLICY,
    SERVICE,
    Resource,
)
from retrainer.plan import Object


@dataclass(frozen=True)
class ExperimentObserver:
    """Reads from the cache, and from the API server whatever the cache does not have or trims."""

    client: Client
    cache: Cache
    readings: ExperimentReadings
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    async def observe(self, obj: Object) -> ExperimentInput:
        """Everything about one experiment at this moment; raises ApiError without an answer."""
        meta, spec = obj["metadata"], obj["spec"]
        namespace = meta["namespace"]
        policy, sources = await asyncio.gather(self._policy(obj), self._sources(obj))
        attachment = _attachment(obj, policy)
        ledger, route, baseline, candidate = await asyncio.gather(
            self.client.get(CONFIG_MAP, namespace, ledger_name(obj)),
            self._route(obj),
            self._arm(namespace, spec["baseline"]["serviceRef"]),
            self._arm(namespace, spec["candidate"]["serviceRef"]),
        )
        windows = due_windows(obj, ledger, self.now())
        read = self.readings.read((namespace, meta["name"]), obj, windows)
        return ExperimentInput(
            obj=obj,
            ledger=ledger,
            baseline=baseline,
            candidate=candidate,
            route=route,
            parent_refs=tuple(ParentRef.model_validate(ref) for ref in attachment.get("parentRefs", ())),
            rates=_rates(obj, sources),
            readings=read.windows,
            source_problem=read.problem,
            missing=_missing(obj, policy, sources),
        )

    async def _policy(self, obj: Object) -> Object | None:
        reference = obj["spec"]["traffic"].get("policyRef")
        return await self._find(RETRAIN_POLICY, obj, reference["name"]) if reference else None

    async def _sources(self, obj: Object) -> Mapping[str, Object]:
        names = {metric["source"]["feedback"]["sourceRef"]["name"] for metric in obj["spec"]["metrics"]}
        found = {name: await self._find(FEEDBACK_SOURCE, obj, name) for name in sorted(names)}
        return {name: source for name, source in found.items() if source is not None}

    async def _find(self, resource: Resource, obj: Object, name: str) -> Object | None:
        key: Key = (obj["metadata"]["namespace"], name)
        cached = self.cache.get(resource, key)
        return cached if cached is not None else await self.client.get(resource, *key)

    async def _route(self, obj: Object) -> Object | None:
        traffic = obj["spec"]["traffic"]
        name = (traffic.get("policyRef") or traffic.get("httpRoute"))["name"]
        return await self.client.get(HTTP_ROUTE, obj["metadata"]["namespace"], name)

    async def _arm(self, namespace: str, reference: Mapping[str, Any]) -> Readiness:
        name, port = reference["name"], reference["port"]
        service = self.cache.get(SERVICE, (namespace, name)) or await self.client.get(
            SERVICE, namespace, name
        )
        if service is None:
            return Readiness(False, f"Service {name} does not exist")
        if all(p.get("port") != port for p in service["spec"].get("ports") or ()):
            return Readiness(False, f"Service {name} has no port {port}")
        if not has_ready_address(await slices_of(self.client, self.cache, service)):
            return Readiness(False, f"Service {name} has no ready endpoints")
        return Readiness(True)


def _attachment(obj: Object, policy: Object | None) -> Mapping[str, Any]:
    """Where the gateways are named: in the experiment's own route or in the policy's serving."""
    own = obj["spec"]["traffic"].get("httpRoute")
    if own:
        return dict(own)
    serving = ((policy or {}).get("spec") or {}).get("serving") or {}
    return dict(serving.get("httpRoute") or {})


def _missing(obj: Object, policy: Object | None, sources: Mapping[str, Object]) -> str | None:
    """The first reference that does not exist or does not fit, with the remedy."""
    reference = obj["spec"]["traffic"].get("policyRef")
    if reference and policy is None:
        return (
            f"RetrainPolicy {reference['name']} (traffic.policyRef) does not exist; create it or name another"
        )
    if reference and not ((policy or {}).get("spec") or {}).get("serving"):
        return f"RetrainPolicy {reference['name']} (traffic.policyRef) has no serving; add it or use traffic.httpRoute"
    for metric in obj["spec"]["metrics"]:
        feedback = metric["source"]["feedback"]
        name, signal = feedback["sourceRef"]["name"], feedback["signal"]
        if name not in sources:
            return (
                f"FeedbackSource {name} (metric {metric['name']}) does not exist; create it or name another"
            )
        votes = [s["name"] for s in sources[name]["spec"]["signals"] if "thumbs" in s]
        if signal not in votes:
            known = ", ".join(votes) or "none"
            return f"FeedbackSource {name} has no signal {signal} with votes (metric {metric['name']}); it has: {known}"
    return None


def _rates(obj: Object, sources: Mapping[str, Object]) -> dict[str, float]:
    """The rate of each metric so far, from the counts on its source's status."""
    rates: dict[str, float] = {}
    for metric in obj["spec"]["metrics"]:
        feedback = metric["source"]["feedback"]
        status = (sources.get(feedback["sourceRef"]["name"]) or {}).get("status") or {}
        for counts in status.get("signals") or ():
            if counts["name"] == feedback["signal"] and counts["total"]:
                rates[metric["name"]] = counts[feedback["value"].lower()] / counts["total"]
    return rates
