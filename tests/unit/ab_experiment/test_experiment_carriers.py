"""Experiments on every provider of traffic: the same course, and what is peculiar to each."""

from __future__ import annotations

import json
from typing import Any

import pytest
from routing_contract import inference_service, inference_status
from unit.ab_experiment.world import ISTIO, POLICY, PUBLISHED, STANDALONE, Killed, World, spec

from retrainer.ab_experiment.input import Readiness
from retrainer.plan import Ref
from retrainer.routing.inference_service import API_VERSION as KSERVE

RAMP = {"steps": [{"weightPercent": 25, "minimumUnits": 30}, {"weightPercent": 50, "minimumUnits": 60}]}
SERVED = {"inferenceService": {"name": "tutor"}}
SERVICE = Ref(KSERVE, "InferenceService", "ml", "tutor")
USERS = {"unit": "User", "salt": "autumn"}


def world_on(traffic: dict[str, Any], unit: str = "Request", **more: Any) -> World:
    arms = {}
    if traffic is SERVED:
        arms = {arm: {"model": {"revision": number}} for arm, number in (("baseline", 3), ("candidate", 4))}
    assignment = {"unit": unit, "salt": "autumn", "settleSeconds": 2}
    settings = {"ramp": RAMP, "minimumDurationSeconds": 10, "assignment": assignment, **arms}
    world = World(spec=spec(traffic=traffic, **settings), **more)
    if traffic is SERVED:
        world.objects[SERVICE] = {**inference_service("ml"), "status": inference_status()}
        world.objects[SERVICE]["metadata"].update(uid="uid-of-users", resourceVersion="1", generation=1)
    return world


def after(world: World, ticks: int) -> World:
    for _ in range(ticks):
        world.tick(2.5)
    return world


CASES = {"httpRoute": STANDALONE, "virtualService": ISTIO, "configMap": PUBLISHED, "inferenceService": SERVED}


@pytest.mark.parametrize("traffic", CASES.values(), ids=CASES)
def test_a_better_candidate_gets_everything_on_any_provider(traffic):
    world = world_on(traffic).run()
    assert world.status["decision"]["verdict"] == "PromoteCandidate"
    after(world, 3)
    assert world.routed_weight == 100
    assert world.condition("RouteApplied")["status"] == "True"


@pytest.mark.parametrize("traffic", CASES.values(), ids=CASES)
def test_a_bad_candidate_gets_nothing_on_any_provider_and_the_ledger_is_whole(traffic):
    world = world_on(traffic, baseline_rate=0.88, candidate_rate=0.55).run()
    assert world.status["decision"]["verdict"] == "KeepBaseline"
    after(world, 3)
    assert world.routed_weight == 0
    lines = [json.loads(line) for line in world.lines]
    assert lines[-1]["kind"] == "decision"
    assert lines[-2]["kind"] == "window" and lines[-2]["rule"]["action"] == "KeepBaseline"
    assert sum(line["kind"] == "window" for line in lines) == world.status["windows"]["count"]


def test_a_stop_is_patched_into_a_users_object_before_the_ledger_is_written():
    world = world_on(SERVED, baseline_rate=0.88, candidate_rate=0.55)
    while not world.status.get("decision"):
        ledger = world.ledger
        world.tick(2.5)
    assert world.routed_weight == 0
    assert world.ledger == ledger, "not a byte of it before the users are safe"


def test_a_users_object_is_left_alone_once_the_verdict_is_carried_out():
    world = after(world_on(SERVED).run(), 4)
    assert world.condition("RouteApplied")["status"] == "True"
    patches = len(world.applied_routes)
    status = world.objects[SERVICE]["status"]["components"]["predictor"]
    status.update(latestCreatedRevision="tutor-predictor-00003", latestReadyRevision="tutor-predictor-00003")
    world.objects[SERVICE]["spec"]["predictor"]["canaryTrafficPercent"] = 7
    after(world, 4)
    assert len(world.applied_routes) == patches
    assert world.objects[SERVICE]["spec"]["predictor"]["canaryTrafficPercent"] == 7


def test_another_revision_in_the_candidates_place_ends_it_for_it_is_another_model():
    world = after(world_on(SERVED), 6)
    assert world.status["weightPercent"] > 0
    status = world.objects[SERVICE]["status"]["components"]["predictor"]
    status.update(latestCreatedRevision="tutor-predictor-00003", latestReadyRevision="tutor-predictor-00003")
    after(world, 2)
    assert world.status["decision"]["reason"] == "CandidateReplaced"
    assert world.status["decision"]["verdict"] == "Inconclusive"
    assert world.objects[SERVICE]["spec"]["predictor"]["canaryTrafficPercent"] == 0


def test_a_stop_that_a_crash_kept_from_a_users_object_reaches_it_with_the_next_pass():
    world = after(world_on(SERVED), 6)
    assert world.routed_weight > 0 and world.condition("RouteApplied")["status"] == "True"
    world.ledger = None
    world.kill_before_write = world.writes + 1
    with pytest.raises(Killed):
        world.pass_once()
    assert world.status["decision"]["reason"] == "LedgerLost" and world.routed_weight > 0
    after(world, 2)
    assert world.routed_weight == 0 and world.condition("RouteApplied")["status"] == "True"


def test_before_the_start_nothing_is_written_to_a_users_object():
    world = world_on(SERVED, candidate=Readiness(False, "revision tutor-predictor-00002 is not ready"))
    after(world, 3)
    assert world.applied_routes == []
    assert "not ready" in world.condition("Succeeded")["message"]


def published(world: World, name: str = "tutor-4-assignment") -> dict[str, str]:
    return dict(world.objects[Ref("v1", "ConfigMap", "ml", name)]["data"])


@pytest.mark.parametrize("traffic", [POLICY, STANDALONE, ISTIO], ids=["policy", "httpRoute", "virtualService"])
def test_with_users_the_application_is_told_weight_and_salt_too(traffic):
    world = after(world_on(traffic, "User"), 3)
    data = published(world)
    assert (data["salt"], data["unit"]) == ("autumn", "User")
    assert int(data["weightPercent"]) == world.status["weightPercent"] == world.routed_weight > 0
    world.run()
    after(world, 3)
    assert published(world)["weightPercent"] == "100"


def test_the_experiments_name_is_the_salt_where_none_is_given():
    world = after(World(spec=spec(traffic=PUBLISHED)), 2)
    assert published(world, "tutor-assignment")["salt"] == "tutor-4"
    assert world.ledger is not None and json.loads(world.ledger["data"]["header"])["salt"] == "tutor-4"


def test_an_assignment_that_was_edited_by_hand_is_put_right_and_its_windows_are_left_out():
    world = after(world_on(PUBLISHED), 6)
    counted = world.status["windows"]["count"]
    world.objects[Ref("v1", "ConfigMap", "ml", "tutor-assignment")]["data"]["weightPercent"] = "90"
    world.wait(2.5)
    after(world, 1)
    assert "RouteDisturbed" in [e.reason for e in world.events]
    assert int(published(world, "tutor-assignment")["weightPercent"]) == world.status["weightPercent"]
    assert world.status["windows"]["count"] <= counted + 1


def test_windows_wait_until_the_weight_has_settled():
    world = World(spec=spec(traffic=PUBLISHED, assignment={"settleSeconds": 40}, maximumDurationSeconds=3000))
    after(world, 16)
    assert world.condition("RouteApplied")["status"] == "True"
    assert world.status["windows"]["count"] == 0
    after(world, 8)
    first = next(json.loads(line) for line in world.lines if '"window"' in line and "arms" in line)
    assert first["start"] >= "2026-11-21T12:00:40" and first["window"] == 0
