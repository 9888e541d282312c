"""Gauges about the user's objects are read from the cache at each scrape."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from retrainer.kube.cache import Cache
from retrainer.kube.resources import AB_EXPERIMENT, FEEDBACK_SOURCE, RETRAIN_POLICY, TRAINING_RUN, Resource
from retrainer.runtime.metrics import DomainCollector

PLACE = {"namespace": "team", "name": "x"}


def scrape(*objects: tuple[Resource, Any], writes: dict[tuple[str, str], int] | None = None) -> CollectorRegistry:
    cache = Cache()
    for resource, status in objects:
        meta = {**PLACE, "uid": resource.kind, "resourceVersion": "1"}
        cache.put(resource, {"apiVersion": "", "kind": resource.kind, "metadata": meta, "status": status})
    registry = CollectorRegistry()
    client: Any = SimpleNamespace(writes=Counter(writes or {}))
    registry.register(DomainCollector(cache, client))
    return registry


@pytest.mark.parametrize(
    ("resource", "status", "metric", "value"),
    [
        (RETRAIN_POLICY, {"champion": {"revision": 4}}, "retrainer_champion_revision", 4.0),
        (RETRAIN_POLICY, {"consecutiveFailures": 2}, "retrainer_consecutive_failures", 2.0),
        (AB_EXPERIMENT, {"weightPercent": 25}, "retrainer_experiment_weight_percent", 25.0),
        (TRAINING_RUN, {"progress": {"percent": 60}}, "retrainer_run_progress_percent", 60.0),
        (FEEDBACK_SOURCE, {"summary": {"records": 10, "quarantined": 3}}, "retrainer_records", 10.0),
        (FEEDBACK_SOURCE, {"summary": {"records": 10, "quarantined": 3}}, "retrainer_quarantined_records", 3.0),
    ],
)
def test_a_gauge_shows_a_field_of_the_status(resource: Resource, status: Any, metric: str, value: float) -> None:
    assert scrape((resource, status)).get_sample_value(metric, PLACE) == value


def test_zero_is_shown_and_absent_is_not() -> None:
    assert scrape((AB_EXPERIMENT, {"weightPercent": 0})).get_sample_value(
        "retrainer_experiment_weight_percent", PLACE
    ) == pytest.approx(0.0)
    for status in ({}, None, {"weightPercent": None}):
        assert scrape((AB_EXPERIMENT, status)).get_sample_value("retrainer_experiment_weight_percent", PLACE) is None


def test_the_rate_of_approval_is_shown_per_signal() -> None:
    signals = [{"name": "thumbs", "positiveRate": "0.871"}, {"name": "truth"}]
    registry = scrape((FEEDBACK_SOURCE, {"signals": signals}))
    assert registry.get_sample_value("retrainer_positive_rate", {**PLACE, "signal": "thumbs"}) == 0.871
    assert registry.get_sample_value("retrainer_positive_rate", {**PLACE, "signal": "truth"}) is None


def test_writes_are_shown_by_verb_and_kind() -> None:
    registry = scrape(writes={("create", "Job"): 3})
    assert registry.get_sample_value("retrainer_api_writes", {"verb": "create", "kind": "Job"}) == 3.0


def test_an_empty_cluster_can_be_scraped() -> None:
    assert b"retrainer_positive_rate" in generate_latest(scrape())
