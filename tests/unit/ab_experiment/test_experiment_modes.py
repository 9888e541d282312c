"""Whole courses of every kind of experiment: canaries, users, ratings, latencies, errors, futility."""

from __future__ import annotations

import json
from typing import Any

import pytest
from unit.ab_experiment.experiment_people import People
from unit.ab_experiment.world import STANDALONE, World, spec

from retrainer.ab_experiment.ledger import load, replay

CHAT = {"sourceRef": {"name": "chat"}}
PROMETHEUS = {"url": "http://prometheus:9090", "query": "errors_total", "unitsQuery": "requests_total"}
RAMP = {"steps": [{"weightPercent": 25, "minimumUnits": 60}, {"weightPercent": 50, "minimumUnits": 200}]}
ERRORS = {"name": "errors", "role": "Guardrail", "goal": "Decrease", "margin": "0.5", "kind": "Events",
          "source": {"prometheus": PROMETHEUS}}  # fmt: skip
LIKES = {"name": "likes", "role": "Primary", "goal": "Increase",
         "source": {"feedback": {**CHAT, "signal": "thumbs", "value": "Positive"}}}  # fmt: skip
DISLIKES = spec()["metrics"][0]


def experiment(*metrics: dict[str, Any], **more: Any) -> dict[str, Any]:
    return spec(metrics=list(metrics), traffic=STANDALONE, ramp=RAMP, **more)


def people(**more: Any) -> People:
    return People(seed=7, votes=(0.7, 0.88), **more)


def decided(world: World) -> str:
    """The verdict's reason; the ledger must replay to it."""
    ledger = load(world.ledger, world.parsed)
    assert replay(ledger) == ledger.state
    assert world.ledger is not None and json.loads(world.lines[-1])["kind"] == "decision"
    return str(world.status["decision"]["reason"])


def message(world: World) -> str:
    return str(world.status["decision"]["message"])


def test_a_canary_that_is_harmless_passes_with_its_planned_units():
    world = World(spec=experiment(DISLIKES, mode="Canary"), candidate_rate=0.72).run()
    assert decided(world) == "CanaryPassed"
    assert world.status["decision"]["verdict"] == "PromoteCandidate"
    counted, needed = map(int, world.status["plan"]["progress"].split("/"))
    assert counted >= needed > 500
    assert world.status["effects"][0]["metric"] == "dislikes"


def test_a_canary_waits_for_its_planned_units_and_says_so():
    world = World(spec=experiment(DISLIKES, mode="Canary"), candidate_rate=0.95)
    while "planned units are in" not in world.condition("Succeeded")["message"] if world.status else True:
        world.tick(2.5)
        assert "decision" not in world.status
    assert world.condition("GuardrailsPassed")["status"] == "True"
    assert world.status["plan"]["estimatedCompletionTime"] > "2026-11-21T12:00:00Z"


def test_a_canary_that_does_harm_is_stopped():
    world = World(spec=experiment(DISLIKES, mode="Canary"), candidate_rate=0.4).run()
    assert decided(world) == "GuardrailWorse"


def test_errors_that_double_stop_even_a_better_candidate():
    crowd = people(errors=(0.04, 0.30))
    world = World(spec=experiment(LIKES, ERRORS), people=crowd).run()
    assert decided(world) == "GuardrailWorse"
    condition = world.condition("GuardrailsPassed")
    assert condition["message"].startswith("errors +") and " %" in condition["message"]
    assert "e-value" in message(world)


def test_errors_as_before_let_a_better_candidate_pass_once_that_is_known():
    crowd = people(errors=(0.2, 0.2))
    world = World(spec=experiment(LIKES, ERRORS, maximumDurationSeconds=1200), people=crowd).run(seconds=1300)
    assert decided(world) == "CandidateBetter"
    effect = next(e for e in world.status["effects"] if e["metric"] == "errors")
    assert effect["verdict"] == "NotWorse" and float(effect["upper"]) < 0.5
    assert effect["interval"].endswith("%]")


def test_a_canary_of_errors_alone_counts_the_requests_of_prometheus():
    crowd = people(errors=(0.2, 0.2))
    world = World(spec=experiment(ERRORS, mode="Canary", maximumDurationSeconds=1200), people=crowd).run(seconds=1300)
    assert decided(world) == "CanaryPassed"
    assert world.status["sampleRatio"]["ok"] is True


def test_better_ratings_are_promoted():
    score = {**LIKES, "name": "stars", "source": {"feedback": {**CHAT, "signal": "stars", "value": "Score"}}}
    world = World(spec=experiment(score), people=people(scores=(0.55, 0.75))).run()
    assert decided(world) == "CandidateBetter"
    assert 0.1 < float(world.status["effects"][0]["estimate"]) < 0.3


@pytest.mark.parametrize(
    ("latencies", "reason"), [((200.0, 150.0), "CandidateBetter"), ((200.0, 260.0), "PrimaryWorse")]
)
def test_a_latency_is_compared_in_its_own_unit(latencies, reason):
    latency = {"name": "latency", "role": "Primary", "goal": "Decrease",
               "source": {"feedback": {**CHAT, "quality": "latency"}}}  # fmt: skip
    world = World(
        spec=experiment(latency, minimumDetectableEffect="20", maximumDurationSeconds=1200),
        people=people(latencies=latencies),
    ).run(seconds=1300)
    assert decided(world) == reason
    estimate = float(world.status["effects"][0]["estimate"])
    assert abs(estimate - (latencies[1] - latencies[0])) < 15


def test_a_candidate_that_is_no_better_is_given_up_before_the_end():
    world = World(spec=experiment(LIKES), candidate_rate=0.70, seed=2).run()
    assert decided(world) == "EffectTooSmall"
    assert world.status["weightPercent"] == 0


def by_user(**more: Any) -> dict[str, Any]:
    return experiment(LIKES, assignment={"unit": "User", "salt": "autumn", "settleSeconds": 1}, **more)


def test_users_are_counted_once_and_keep_their_arm():
    world = World(spec=by_user(), people=people(salt="autumn", users=4000))
    world.run()
    assert decided(world) == "CandidateBetter"
    assert world.people is not None
    seen = {r.user for r in world.people.requests}
    assert world.status["effects"][0]["units"] < len(seen) < len(world.people.requests)


def test_the_plan_of_users_counts_new_ones_and_says_when_there_are_too_few():
    world = World(spec=by_user(minimumDetectableEffect="0.03"), people=people(salt="autumn", users=600))
    for _ in range(20):
        world.tick(2.5)
    early = world.status["plan"]["unitsPerDay"]
    for _ in range(20):
        world.tick(2.5)
    assert world.status["plan"]["feasible"] is False
    assert world.status["plan"]["unitsPerDay"] < early, "fewer and fewer are new"


def test_who_was_first_seen_while_the_weight_changed_is_never_counted():
    world = World(spec=by_user(), people=people(salt="autumn", users=4000)).run()
    assert world.people is not None
    lines = [json.loads(line) for line in world.lines]
    counted = sum(sum(arm[0] for arm in line["arms"]["likes"].values()) for line in lines if line["kind"] == "window")
    transitional = {r.user for r in world.people.requests if r.time < world.people.requests[0].time + 5}
    assert transitional, "somebody came before the first window"
    assert counted + len(transitional) <= len({r.user for r in world.people.requests})
