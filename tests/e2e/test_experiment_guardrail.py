"""A candidate that starts to do harm gets no more requests, through the real gateway."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from experiment_checks import assert_counted_once, assert_counts_are_the_records, decisions, seconds, windows
from experiment_crowd import GOOD, GatewayCrowd
from experiment_operator import OperatorLife
from experiment_world import WINDOW_SECONDS, Object, World, new_world
from loop_world import wait_until

from devcluster.cluster import Cluster

NAME = "harmful"
HARMFUL = 0.2
REQUESTS_PER_SECOND = 60.0
SETTINGS = {
    "ramp": {"steps": [{"weightPercent": 50, "minimumUnits": 30}]},
    "maturitySeconds": 0,
    "minimumDetectableEffect": "0.02",
    "minimumDurationSeconds": 600,
}
"""It would go on for long if nothing happened."""


def test_a_breached_guardrail_takes_every_request_from_the_candidate_within_one_window_and_three_seconds(
    cluster: Cluster, definitions: None, tmp_path: Path
) -> None:
    """Harm begins as a window begins, and one window of it is enough: measured from the first harmful answer."""
    with new_world(cluster, tmp_path) as world:
        operator = OperatorLife(world)
        trial = world.trial(NAME, {"baseline": GOOD, "candidate": GOOD}, REQUESTS_PER_SECOND)
        crowd = GatewayCrowd(cluster.gateway_url, world.host(NAME), trial)
        try:
            operator.start()
            world.begin(trial, follow=False, **SETTINGS)
            wait_until("the gateway serves both", lambda: world.condition(NAME, "RouteApplied").get("status") == "True")
            crowd.start()
            harmless = wait_until("a window without harm", lambda: windows(world.ledger(NAME)))
            assert len(world.requests("candidate")) > 50
            wait_until("a window begins", lambda: _into_window(harmless[-1]) < 0.3, every=0.05)
            breach = trial.becomes("candidate", HARMFUL)
            wait_until("the verdict", lambda: world.status(NAME).get("decision"), 40)
            _assert_stopped(world, breach)
            assert_counts_are_the_records(world.ledger(NAME), trial)
            assert crowd.errors == 0, "nobody was left without an answer"
        finally:
            crowd.stop()
            operator.stop()


def _into_window(earlier: Object) -> float:
    """Seconds since the present window began, as an earlier one tells."""
    return (time.time() - seconds(earlier["start"])) % WINDOW_SECONDS


def _assert_stopped(world: World, breach: float) -> None:
    limit = breach + WINDOW_SECONDS + 3
    wait_until("later requests", lambda: world.requests("baseline")[-1] > limit + 2)
    last = world.requests("candidate")[-1]
    print(f"\nthe last request on the candidate came {last - breach:.2f} s after its first harmful answer")
    assert last <= limit
    lines = world.ledger(NAME)
    assert (world.weight(NAME), world.status(NAME)["weightPercent"]) == (0, 0)
    assert decisions(lines)[-1] == ("KeepBaseline", 0, "GuardrailWorse")
    assert world.condition(NAME, "GuardrailsPassed")["status"] == "False"
    assert_counted_once(lines)


pytestmark = pytest.mark.timeout(180)
