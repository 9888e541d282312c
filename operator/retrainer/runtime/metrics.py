"""What `/metrics` shows: how the controllers work, and how the models fare."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from retrainer.kube.cache import Cache
from retrainer.kube.client import Client
from retrainer.kube.resources import AB_EXPERIMENT, FEEDBACK_SOURCE, RETRAIN_POLICY, TRAINING_RUN


class Metrics:
    """Instruments of the controllers."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.reconciles = Counter(
            "retrainer_reconcile", "Passes, by kind and result.", ["kind", "result"], registry=self.registry
        )
        self.duration = Histogram(
            "retrainer_reconcile_duration_seconds",
            "Time of one pass.",
            ["kind"],
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
            registry=self.registry,
        )
        self.depth = Gauge("retrainer_queue_depth", "Keys that wait.", ["kind"], registry=self.registry)
        self.leader = Gauge("retrainer_leader", "1 while this process leads.", registry=self.registry)


class DomainCollector(Collector):
    """Gauges about the user's objects, read from the cache at each scrape."""

    def __init__(self, cache: Cache, client: Client) -> None:
        self._cache = cache
        self._client = client

    def collect(self) -> Iterator[GaugeMetricFamily]:
        yield self._positive_rate()
        yield self._gauge(
            "retrainer_champion_revision", "Revision in service.", RETRAIN_POLICY, "champion", "revision"
        )
        yield self._gauge(
            "retrainer_consecutive_failures", "Failed runs in a row.", RETRAIN_POLICY, "consecutiveFailures"
        )
        yield self._gauge(
            "retrainer_experiment_weight_percent", "Candidate's share.", AB_EXPERIMENT, "weightPercent"
        )
        yield self._gauge("retrainer_run_progress_percent", "Share done.", TRAINING_RUN, "progress", "percent")
        yield self._gauge("retrainer_records", "Readable records.", FEEDBACK_SOURCE, "summary", "records")
        yield self._gauge(
            "retrainer_quarantined_records", "Unreadable records.", FEEDBACK_SOURCE, "summary", "quarantined"
        )
        writes = GaugeMetricFamily("retrainer_api_writes", "Writes to the API server.", labels=["verb", "kind"])
        for (verb, kind), count in self._client.writes.items():
            writes.add_metric([verb, kind], count)
        yield writes

    def _gauge(self, name: str, text: str, resource: Any, *path: str) -> GaugeMetricFamily:
        family = GaugeMetricFamily(name, text, labels=["namespace", "name"])
        for obj in self._cache.all(resource):
            value: Any = obj.get("status") or {}
            for part in path:
                value = value.get(part) if isinstance(value, dict) else None
            if value is not None:
                family.add_metric([obj["metadata"]["namespace"], obj["metadata"]["name"]], float(value))
        return family

    def _positive_rate(self) -> GaugeMetricFamily:
        family = GaugeMetricFamily(
            "retrainer_positive_rate", "Share of approval.", labels=["namespace", "name", "signal"]
        )
        for obj in self._cache.all(FEEDBACK_SOURCE):
            meta = obj["metadata"]
            for signal in (obj.get("status") or {}).get("signals") or ():
                if signal.get("positiveRate") is not None:
                    family.add_metric([meta["namespace"], meta["name"], signal["name"]], float(signal["positiveRate"]))
        return family
