"""Objects of others that bear a name of ours are never taken over, changed or deleted."""

import copy
from dataclasses import replace
from typing import Any

import pytest

from retrainer.retrain_policy.decide import decide
from tests.unit.retrain_policy.policy_world import World


def foreign(kind: str, name: str) -> dict[str, Any]:
    """Somebody else's object, with labels copied from ours."""
    versions = {"Deployment": "apps/v1", "Service": "v1", "HTTPRoute": "gateway.networking.k8s.io/v1"}
    return {
        "apiVersion": versions.get(kind, "retrainer.dev/v1alpha1"),
        "kind": kind,
        "metadata": {
            "name": name,
            "namespace": "chat",
            "labels": {"retrainer.dev/managed-by": "retrainer", "retrainer.dev/revision": "1"},
        },
        "spec": {"theirs": True},
    }


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("Deployment", "tutor-r1"),
        ("Service", "tutor-r1"),
        ("HTTPRoute", "tutor"),
        ("TrainingRun", "tutor-2"),
        ("ABExperiment", "tutor-2"),
        ("Deployment", "tutor-r2"),
    ],
)
def test_it_is_left_as_it_is_and_the_policy_says_so(kind: str, name: str) -> None:
    world = World()
    world.count = 200
    theirs = copy.deepcopy(world.put(foreign(kind, name)))
    for _ in range(25):
        world.step()
        world.roll_out()
        for run in [r for n, r in world.objects.items() if n[0] == "TrainingRun"]:
            if run["spec"] != {"theirs": True} and "status" not in run:
                world.finish_run(run["metadata"]["name"])
    found = world.need(kind, name)
    assert found["spec"] == theirs["spec"]
    assert found["metadata"] == theirs["metadata"]
    stalled = world.condition("Stalled")
    assert stalled["reason"] == "NameConflict"
    assert f"{kind} {name} exists and does not belong to this policy" in stalled["message"]
    assert world.step().requeue_after is not None, "nobody tells us when a foreign object goes"


def test_when_the_object_goes_the_policy_goes_on() -> None:
    world = World()
    world.count = 200
    world.put(foreign("TrainingRun", "tutor-2"))
    world.play(4)
    assert world.condition("Stalled")["status"] == "True"
    del world.objects["TrainingRun", "tutor-2"]
    world.until(lambda w: w.status.get("champion", {}).get("revision") == 2)
    assert world.condition("Stalled") == {}


def test_a_conflict_that_only_carrying_out_found_is_told_and_nothing_else_is_claimed() -> None:
    world = World()
    world.count = 200
    world.step()
    world.step()
    told = replace(world.observe(), name_conflict="TrainingRun tutor-2 exists and does not belong to this object")
    plan = decide(told, world.now)
    assert (plan.creates, plan.applies, plan.replaces, plan.deletes) == ((), (), (), ())
    assert plan.status is not None
    assert plan.status["pendingRun"]["name"] == "tutor-2"
    assert "activeRun" not in plan.status
    stalled = next(c for c in plan.status["conditions"] if c["type"] == "Stalled")
    assert "TrainingRun tutor-2" in stalled["message"]
    assert [e.reason for e in plan.events].count("NameConflict") == 1


def test_serving_of_another_policy_is_not_retired() -> None:
    world = World()
    theirs = world.put(foreign("Deployment", "tutor-r9"))
    world.rest()
    assert world.get("Deployment", "tutor-r9") is theirs
