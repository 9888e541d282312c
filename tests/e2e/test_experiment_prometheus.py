"""A canary held against counters of a real Prometheus that is killed under way: it holds, catches up, stops harm."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from experiment_checks import assert_counted_once, decisions, seconds, windows
from experiment_crowd import Trial
from experiment_operator import OperatorLife
from experiment_world import Object, World, new_world
from loop_world import wait_until
from prometheus_server import Exporter, Prometheus, running_prometheus

from devcluster.cluster import Cluster

NAME = "counted"
ERRORS = {"baseline": 0.1, "candidate": 0.1}
HARMFUL = 0.6
SCRAPE_SECONDS = 1.3
"""A second, and what a busy machine adds to it."""


@dataclass
class CountedTrial(Trial):
    """Requests and errors are counted by one process per arm; `quality` is the share of errors."""

    exporters: dict[str, Exporter] = field(default_factory=dict)
    log: list[tuple[float, str, int]] = field(default_factory=list)

    def vote(self, arm: str, number: int) -> None:
        label = f'{{revision="{self.revisions[arm]}"}}'
        errors = self.take(f"{arm} errors", number * self.quality[arm])
        self.log.append((time.time(), arm, number))
        self.exporters[arm].rise({f"requests_total{label}": number, f"errors_total{label}": errors})

    def requests(self, arm: str, start: float, end: float) -> int:
        return sum(number for at, who, number in self.log if who == arm and start <= at < end)


def test_a_canary_is_held_while_prometheus_is_gone_and_stopped_when_errors_rise(
    cluster: Cluster, definitions: None, tmp_path: Path
) -> None:
    with (
        # The world last: its crowd counts on the exporters until it is stopped.
        running_prometheus(tmp_path, 2) as (prometheus, exporters),
        new_world(cluster, tmp_path) as world,
    ):
        operator = OperatorLife(world, RETRAINER_ALLOW_LOOPBACK="true")
        trial = _trial(world, exporters)
        try:
            operator.start()
            world.begin(trial, **_canary(prometheus))
            wait_until("two windows are counted", lambda: len(windows(world.ledger(NAME))) >= 2)
            prometheus.kill()
            _assert_held(world)
            before = len(windows(world.ledger(NAME)))
            gone = time.time()
            prometheus.start()
            wait_until("the windows since are counted", lambda: _counted_since(world, gone), 60)
            lines = world.ledger(NAME)
            assert len(windows(lines)) > before
            _assert_every_request_is_counted_once(lines, trial)
            trial.becomes("candidate", HARMFUL)
            wait_until("the verdict", lambda: world.status(NAME).get("decision"), 60)
            assert decisions(world.ledger(NAME))[-1] == ("KeepBaseline", 0, "GuardrailWorse")
            wait_until("no request for the candidate", lambda: world.weight(NAME) == 0)
        finally:
            operator.stop()


def _trial(world: World, exporters: list[Exporter]) -> CountedTrial:
    plain = world.trial(NAME, ERRORS)
    by_arm = dict(zip(ERRORS, exporters, strict=True))
    return CountedTrial(plain.name, plain.revisions, plain.records, plain.quality, plain.rate, exporters=by_arm)


def _canary(prometheus: Prometheus) -> Object:
    counters = {"url": prometheus.url, "query": "errors_total", "unitsQuery": "requests_total"}
    errors = {"name": "errors", "role": "Guardrail", "goal": "Decrease", "kind": "Events", "margin": "0.5"}
    return {
        "mode": "Canary",
        "ramp": {"steps": [{"weightPercent": 50, "minimumUnits": 30}]},
        "assignment": {"settleSeconds": 3},
        "maturitySeconds": 0,
        "minimumDurationSeconds": 600,
        "metrics": [{**errors, "source": {"prometheus": counters}}],
    }


def _assert_held(world: World) -> None:
    def refused() -> Object | None:
        condition = world.condition(NAME, "SufficientData")
        return condition if condition.get("reason") == "SourceUnavailable" else None

    condition = wait_until("the source is unavailable", refused, 60)
    assert "metric errors: no connection to the server" in condition["message"]
    assert (world.weight(NAME), world.status(NAME).get("decision")) == (50, None)


def _counted_since(world: World, moment: float) -> bool:
    return any(seconds(w["start"]) > moment for w in windows(world.ledger(NAME)))


def _assert_every_request_is_counted_once(lines: list[Object], trial: CountedTrial) -> None:
    """Over all windows; at their ends a scrape may be late by its interval."""
    assert_counted_once(lines)
    counted = windows(lines)
    start, end = seconds(counted[0]["start"]), seconds(counted[-1]["end"])
    for arm in ERRORS:
        found = sum(w["arms"]["errors"][arm][0] for w in counted)
        least = trial.requests(arm, start, end - SCRAPE_SECONDS)
        most = trial.requests(arm, start - SCRAPE_SECONDS, end)
        assert least <= found <= most, arm


pytestmark = pytest.mark.timeout(240)
