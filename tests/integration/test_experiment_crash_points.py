"""Killed before every single API write of many kinds of course; in memory, but too many to be a unit test."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from routing_contract import inference_service, inference_status
from unit.ab_experiment.experiment_people import People
from unit.ab_experiment.test_experiment_crashes import (
    HARM,
    STEP,
    Watched,
    crash_points,
    finished,
    history,
    run_until_killed,
    said,
    short,
)
from unit.ab_experiment.test_experiment_modes import DISLIKES, ERRORS, LIKES
from unit.ab_experiment.world import ISTIO, POLICY, PUBLISHED, STANDALONE, spec

from retrainer.ab_experiment import ledger as ledger_module
from retrainer.ab_experiment.input import Readiness
from retrainer.ab_experiment.ledger import load, replay
from retrainer.plan import Ref
from retrainer.routing.inference_service import API_VERSION as KSERVE

RAMP = {"steps": [{"weightPercent": 25, "minimumUnits": 30}, {"weightPercent": 50, "minimumUnits": 60}]}
SETTLED = {"settleSeconds": 2}
SERVICE = Ref(KSERVE, "InferenceService", "ml", "tutor")


def course(traffic: dict[str, Any], **more: Any) -> dict[str, Any]:
    settings = {"ramp": RAMP, "minimumDurationSeconds": 10, "assignment": SETTLED, **more}
    return spec(traffic=traffic, **settings)


def served() -> Watched:
    arms = {arm: {"model": {"revision": number}} for arm, number in (("baseline", 3), ("candidate", 4))}
    world = Served(spec=course({"inferenceService": {"name": "tutor"}}, **arms))
    world.objects[SERVICE] = {**inference_service("ml"), "status": inference_status()}
    world.objects[SERVICE]["metadata"].update(uid="uid-of-users", resourceVersion="1", generation=1)
    return world


class Served(Watched):
    """KServe takes weights up by itself: what is asked for is what was announced."""

    def _merge(self, ref: Ref, patch: dict[str, Any]) -> None:
        super()._merge(ref, patch)
        asked = patch["spec"]["predictor"]["canaryTrafficPercent"]
        weight = 100 if asked is None else asked
        assert weight <= self.announced() or weight <= (self.status.get("weightPercent") or 0)


def harmful(world: Watched) -> Watched:
    world.baseline_rate, world.candidate_rate = 0.88, 0.55
    return world


def by_user() -> Watched:
    crowd = People(seed=7, votes=(0.7, 0.88), salt="autumn", users=4000)
    assignment = {"unit": "User", "salt": "autumn", "settleSeconds": 1}
    return Watched(spec=course(STANDALONE, metrics=[LIKES], assignment=assignment), people=crowd)


def three_scales() -> Watched:
    score = {"feedback": {"sourceRef": {"name": "chat"}, "signal": "stars", "value": "Score"}}
    stars = {"name": "stars", "role": "Guardrail", "goal": "Increase", "margin": "0.05", "source": score}
    crowd = People(seed=7, votes=(0.7, 0.88), missing_share=0.3)
    return Watched(spec=course(POLICY, metrics=[LIKES, stars, {**ERRORS, "margin": "4"}]), people=crowd)


AT_ONCE = {"a VirtualService", "a ConfigMap", "a ConfigMap, stopped", "users in a policy"}
"""What carries the weights here needs nobody's acceptance, so that the pass after the kill may be a step further:
the course is a moment faster, and not the same to the window."""

WORLDS: dict[str, Callable[[], Watched]] = {
    "a route of its own": lambda: Watched(spec=short(STANDALONE)),
    "a policy, stopped": lambda: Watched(spec=short(POLICY), **HARM),
    "a VirtualService": lambda: Watched(spec=course(ISTIO)),
    "a ConfigMap": lambda: Watched(spec=course(PUBLISHED)),
    "a ConfigMap, stopped": lambda: harmful(Watched(spec=course(PUBLISHED))),
    "an InferenceService": served,
    "an InferenceService, stopped": lambda: harmful(served()),
    "users on a route of their own": by_user,
    "users in a policy": lambda: Watched(
        spec=course(POLICY, metrics=[LIKES], assignment={"unit": "User", "salt": "autumn", "settleSeconds": 1}),
        people=People(seed=7, votes=(0.7, 0.88), salt="autumn", users=4000),
    ),
    "a canary": lambda: Watched(spec=course(STANDALONE, mode="Canary", metrics=[{**DISLIKES, "margin": "0.2"}])),
    "three scales": three_scales,
    "given up": lambda: Watched(spec=course(STANDALONE, metrics=[LIKES]), candidate_rate=0.7, seed=2),
    "out of time": lambda: Watched(spec=course(STANDALONE, maximumDurationSeconds=30), candidate_rate=0.74),
}


@pytest.mark.parametrize("name", WORLDS)
def test_killed_before_any_write_the_course_is_the_same(name, monkeypatch):
    monkeypatch.setattr(ledger_module, "KEPT_LINES", 6)
    undisturbed = finished(WORLDS[name]())
    points = 0
    for world in crash_points(WORLDS[name]()):
        points += 1
        finished(world)
        assert world.kill_before_write is None, "the kill happened"
        assert world.status["decision"]["verdict"] == undisturbed.status["decision"]["verdict"]
        assert world.routed_weight == undisturbed.routed_weight
        ledger = load(world.ledger, world.parsed)
        assert replay(ledger) == ledger.state
        assert ledger.state.count == world.status["windows"]["count"]
        numbers = [line["window"] for line in history(world) if line["kind"] == "window"]
        assert numbers == sorted(set(numbers))
        if name not in AT_ONCE:
            assert [said(line) for line in history(world)] == [said(line) for line in history(undisturbed)]
    assert points == undisturbed.writes >= 6


@pytest.mark.parametrize("down", [3.0, 17.0])
def test_an_operator_that_stays_away_for_a_while_decides_the_same(down):
    for world in crash_points(Watched(spec=short(POLICY))):
        run_until_killed(world)
        world.wait(down)
        finished(world)
        assert world.status["decision"]["verdict"] == "PromoteCandidate"
        assert world.status["weightPercent"] == 100
        numbers = [line["window"] for line in history(world) if line["kind"] == "window"]
        assert numbers == sorted(set(numbers))
        ledger = load(world.ledger, world.parsed)
        assert replay(ledger) == ledger.state


def with_a_candidate_that_dies(world: Watched) -> None:
    world.candidate = Readiness(world.now.timestamp() % 40 < 25, "Service tutor-r4 has no ready endpoints")


def with_a_hand_on_the_route(world: Watched) -> None:
    if world.route is not None and int(world.now.timestamp()) % 3 == 0:
        world.route["spec"]["rules"][0]["backendRefs"][0]["weight"] = 77
        world.route["metadata"]["generation"] += 1


DISTURBANCES = {"a dying candidate": with_a_candidate_that_dies, "a hand on the route": with_a_hand_on_the_route}


@pytest.mark.parametrize("disturb", DISTURBANCES.values(), ids=DISTURBANCES)
def test_killed_in_troubled_times_no_window_is_counted_twice_or_at_another_weight(disturb):
    class Troubled(Watched):
        def tick(self, seconds: float = 1.0) -> None:
            disturb(self)
            super().tick(seconds)

    for world in crash_points(Troubled(spec=course(STANDALONE, maximumDurationSeconds=120))):
        world.run(step=STEP)
        lines = [json.loads(line) for line in world.lines]
        numbers = [line["window"] for line in lines if line["kind"] == "window"]
        assert numbers == sorted(set(numbers))
        assert [line["at"] for line in lines] == sorted(line["at"] for line in lines)
        weight, applied = 0, False
        for line in lines:
            if line["kind"] == "weight":
                weight, applied = line["weightPercent"], False
            applied = applied or line["kind"] == "applied"
            if line["kind"] == "window" and applied and line["applied"] == _last(lines, line, "applied"):
                assert line["weightPercent"] == weight
        ledger = load(world.ledger, world.parsed)
        assert replay(ledger) == ledger.state


def _last(lines: list[dict[str, Any]], before: dict[str, Any], kind: str) -> str:
    return str([line["at"] for line in lines[: lines.index(before)] if line["kind"] == kind][-1])
