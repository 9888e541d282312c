"""Experiments that cannot be carried out as they stand: names that are taken, specs that cannot be read."""

from __future__ import annotations

import json
from typing import Any

import pytest
from unit.ab_experiment.world import STANDALONE, START, World, spec

from retrainer.ab_experiment.counting import due_windows
from retrainer.ab_experiment.decide import decide
from retrainer.api.v1alpha1.ab_experiment import ABExperimentStatus
from retrainer.plan import Plan


def stalled(plan: Plan) -> dict[str, Any]:
    assert plan.status is not None
    return next(c for c in plan.status["conditions"] if c["type"] == "Stalled")


def after(world: World, ticks: int) -> World:
    for _ in range(ticks):
        world.tick(2.5)
    return world


def seize_ledger(world: World) -> None:
    meta = {"name": "tutor-4-ledger", "resourceVersion": "7"}
    world.ledger = {"kind": "ConfigMap", "metadata": meta, "data": {"a": "b"}}


def seize_route(world: World) -> None:
    """Somebody else's route, which sends other shares to the same Services."""
    shares = [("tutor-r3", 60), ("tutor-r4", 40)]
    rule = {"backendRefs": [{"name": name, "port": 8080, "weight": weight} for name, weight in shares]}
    world.route = {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": "tutor", "namespace": "ml", "generation": 1},
        "spec": {"rules": [rule]},
    }


SEIZED = {"ledger": seize_ledger, "route": seize_route}


@pytest.mark.parametrize("seize", SEIZED.values(), ids=SEIZED)
def test_an_experiment_in_a_name_conflict_can_be_aborted_and_touches_nothing(seize):
    world = World(spec=spec(traffic=STANDALONE))
    seize(world)
    world.tick()
    assert stalled(decide(world.look(), world.now))["reason"] == "NameConflict"
    world.request("abort/1")
    plan = decide(world.look(), world.now)
    assert (plan.creates, plan.applies, plan.replaces, plan.merges) == ((), (), (), ())
    assert stalled(plan)["reason"] == "NameConflict", "it stays so: the name is still taken"
    world.tick()
    decision = world.status["decision"]
    assert (decision["verdict"], decision["reason"]) == ("KeepBaseline", "ManualAbort")
    assert "exists and is not ours" in decision["message"]
    assert world.status["weightPercent"] == 0 and world.status["lastHandledRequest"] == "abort/1"
    assert [e.reason for e in world.events] == ["KeepBaseline"]
    settled = json.dumps(world.status)
    after(world, 2)
    assert json.dumps(world.status) == settled
    ABExperimentStatus.model_validate(world.status)


def test_other_requests_are_refused_while_a_name_is_taken():
    world = World(spec=spec(traffic=STANDALONE))
    seize_route(world)
    world.tick()
    world.request("promote/1")
    after(world, 2)
    assert "decision" not in world.status
    assert [e.reason for e in world.events] == ["RequestRefused"]


def test_a_request_that_git_brought_along_is_not_carried_out():
    world = World(spec=spec(traffic=STANDALONE))
    seize_route(world)
    world.request("abort/from-git")
    after(world, 2)
    assert "decision" not in world.status and world.status["lastHandledRequest"] == "abort/from-git"


def test_while_another_owns_the_route_no_window_counts_and_afterwards_it_goes_on():
    world = after(World(spec=spec(traffic=STANDALONE)), 7)
    counted, ours = world.status["windows"]["count"], world.route
    assert counted > 0
    seize_route(world)
    after(world, 8)
    kinds = [json.loads(line)["kind"] for line in world.lines]
    assert kinds.count("disturbed") == 1
    assert ours is not None
    world.route = ours
    after(world, 1)
    assert world.status["windows"]["count"] <= counted + 1, "what was divided meanwhile is not counted"
    world.run()
    assert world.status["decision"]["verdict"] == "PromoteCandidate"
    assert not any(c["type"] == "Stalled" for c in world.status["conditions"])


def test_after_an_abort_during_a_conflict_the_ledger_is_completed_once_the_name_is_free():
    world = after(World(spec=spec(traffic=STANDALONE)), 5)
    ours = world.route
    seize_route(world)
    after(world, 1)
    world.request("abort/1")
    after(world, 1)
    assert ours is not None
    world.route = ours
    after(world, 3)
    assert json.loads(world.lines[-1])["reason"] == "ManualAbort"
    assert world.routed_weight == 0 and world.condition("RouteApplied")["status"] == "True"


REFUSED = {
    "a field of another version": ({"shape": "round"}, "spec.shape"),
    "a value that is none": ({"windowSeconds": "much"}, "spec.windowSeconds"),
    "a list that is too long": ({"metrics": [spec()["metrics"][0]] * 9}, "spec.metrics"),
}


@pytest.mark.parametrize(("overrides", "field"), REFUSED.values(), ids=REFUSED)
def test_a_spec_that_the_model_refuses_is_stalled_and_names_the_field(overrides, field):
    world = World()
    seen = world.look()
    seen.obj["spec"].update(overrides)
    plan = decide(seen, START)
    assert stalled(plan)["reason"] == "InvalidConfiguration"
    assert field in stalled(plan)["message"]
    assert "much" not in json.dumps(plan.status) and "round" not in json.dumps(plan.status)
    assert (plan.creates, plan.applies, plan.replaces) == ((), (), ())
    assert plan.requeue_after == 60.0


def test_a_running_experiment_whose_spec_cannot_be_read_any_more_holds_and_can_be_aborted():
    world = after(World(), 5)
    world.experiment["spec"]["shape"] = "round"
    assert due_windows(world.experiment, world.ledger, world.now) == ()
    seen_before = json.dumps(world.ledger)
    plan = decide(_unreadable(world), world.now)
    assert plan.status is not None and plan.status["weightPercent"] == 10
    world.experiment["status"] = plan.status
    world.request("abort/1")
    plan = decide(_unreadable(world), world.now)
    assert plan.status is not None
    assert plan.status["decision"]["reason"] == "ManualAbort" and plan.status["weightPercent"] == 0
    assert json.dumps(world.ledger) == seen_before


def _unreadable(world: World) -> Any:
    """What is observed of a spec that cannot be read: the object alone."""
    from retrainer.ab_experiment.input import ExperimentInput, Readiness

    return ExperimentInput(world.experiment, None, Readiness(False, "x"), Readiness(False, "x"), {})
