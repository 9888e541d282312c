"""Killed after any single write and started again, the operator brings a policy to the same end."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.unit.retrain_policy.policy_world import World, policy

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_VOLATILE = (
    "uid", "resourceVersion", "generation", "creationTimestamp", "observedGeneration", "retrainer.dev/content-digest",
)  # fmt: skip


def promoted(world: World) -> None:
    """A trigger fires, the run passes, the experiment is won, the old revision is retired."""
    world.count = 200
    world.rest()


def kept(world: World) -> None:
    """The experiment is lost."""
    world.count = 200
    world.until(lambda w: w.names("ABExperiment"))
    world.decide_experiment("tutor-2", "KeepBaseline", "PrimaryWorse")
    world.rest()


def gates_failed(world: World) -> None:
    """The gates stop the candidate."""
    world.count = 200
    world.until(lambda w: w.names("TrainingRun"))
    world.finish_run("tutor-2", "GatesFailed")
    world.rest()


def run_failed(world: World) -> None:
    """The run cannot train."""
    world.count = 200
    world.until(lambda w: w.names("TrainingRun"))
    world.finish_run("tutor-2", "OutOfMemory", "False", artifact=False)
    world.rest()


def requested(world: World) -> None:
    """A person asks for a run."""
    world.until(lambda w: w.status.get("observedGeneration"))
    world.request("run/monday")
    world.rest()


def rolled_back(world: World) -> None:
    """A person rolls back after a promotion."""
    world.count = 200
    world.until(lambda w: w.status.get("champion", {}).get("revision") == 2)
    world.count = 0
    world.rest()
    world.begun = world.writes
    world.request("rollback:1/tuesday")
    world.rest()


def rolled_back_during_an_experiment(world: World) -> None:
    """A person rolls back while revision 3 is compared with revision 2."""
    world.count = 200
    world.policy["spec"]["cooldownSeconds"] = 0
    world.until(lambda w: "tutor-3" in w.names("ABExperiment"))
    world.count = 0
    world.begun = world.writes
    world.request("rollback:1/tuesday")
    world.rest()


def experiment_deleted(world: World) -> None:
    """A person deletes the experiment."""
    world.count = 200
    world.until(lambda w: w.status.get("activeExperiment"))
    del world.objects["ABExperiment", "tutor-2"]
    world.rest()


def immediate(world: World) -> None:
    """A policy that promotes at once."""
    world.policy["spec"]["promotion"] = {"method": "Immediate"}
    promoted(world)


def first_champion(world: World) -> None:
    """A policy without any model."""
    world.policy["spec"]["model"] = {"name": "tutor"}
    promoted(world)


def template_changed(world: World) -> None:
    """The PodTemplate changes while an experiment is under way."""
    world.count = 200
    world.until(lambda w: w.names("ABExperiment"))
    world.need("PodTemplate", "server")["template"]["spec"]["containers"][0]["image"] = "server:2"
    world.rest()


def awaiting(world: World, promotion: str) -> None:
    """Revision 2 won, and a person is asked."""
    manual = {"method": "Immediate"} if promotion == "Immediate" else world.policy["spec"]["promotion"]
    world.policy["spec"]["promotion"] = {**manual, "approval": "Manual"}
    world.count = 200
    world.until(lambda w: w.names("TrainingRun"))
    world.count = 0
    world.rest()


def approved(world: World) -> None:
    """A person approves what won its experiment."""
    awaiting(world, "ABTest")
    world.begun = world.writes
    world.request("approve:tutor-2/monday")
    world.rest()


def approved_without_an_experiment(world: World) -> None:
    """A person approves what passed its gates."""
    awaiting(world, "Immediate")
    world.request("approve:tutor-2/monday")
    world.rest()


def refused(world: World) -> None:
    """A person refuses what won its experiment."""
    awaiting(world, "ABTest")
    world.request("reject:tutor-2/monday")
    world.rest()


def pinned(world: World) -> None:
    """A person pins the former champion."""
    world.count = 200
    world.until(lambda w: w.status.get("champion", {}).get("revision") == 2)
    world.count = 0
    world.rest()
    world.begun = world.writes
    world.policy["spec"]["model"]["pin"] = 1
    world.rest()


def pinned_during_an_experiment(world: World) -> None:
    """A person pins revision 1 while revision 3 is compared with revision 2."""
    world.count = 200
    world.policy["spec"]["cooldownSeconds"] = 0
    world.until(lambda w: "tutor-3" in w.names("ABExperiment"))
    world.count = 0
    world.begun = world.writes
    world.policy["spec"]["model"]["pin"] = 1
    world.rest()


def budget_spent(world: World) -> None:
    """A run, and a trigger that fires again at once, without cooldown."""
    world.policy["spec"].update(cooldownSeconds=0, budget={"runsPerWeek": 1})
    promoted(world)


STORIES = (
    promoted, kept, gates_failed, run_failed, requested, rolled_back, rolled_back_during_an_experiment,
    experiment_deleted, immediate, first_champion, template_changed, approved, approved_without_an_experiment, refused,
    pinned, pinned_during_an_experiment, budget_spent,
)  # fmt: skip


@pytest.mark.parametrize("story", STORIES, ids=lambda s: s.__name__)
def test_a_crash_after_any_write_changes_nothing_in_the_end(story: Callable[[World], None]) -> None:
    undisturbed = World(policy())
    story(undisturbed)
    expected, writes = end_of(undisturbed), undisturbed.writes
    assert writes > undisturbed.begun + 2
    for number in range(undisturbed.begun + 1, writes + 1):
        world = World(policy())
        world.crash_at = number
        story(world)
        assert end_of(world) == expected, f"crash after write {number}"
        assert max(world.created.values()) == 1, "something was made twice"


def test_two_crashes_change_nothing_either() -> None:
    undisturbed = World(policy())
    promoted(undisturbed)
    for first in range(1, undisturbed.writes, 3):
        world = World(policy())
        world.count = 200
        world.crash_at = first
        while world.crash_at == first and world.writes < first:
            world.play(1)
        world.crash_at = world.writes + 1
        world.rest()
        assert end_of(world) == end_of(undisturbed), f"crashes after write {first} and soon again"


def end_of(world: World) -> Any:
    """Everything that is left, without times and identities."""
    objects = {f"{kind} {name}": _plain(obj) for (kind, name), obj in world.objects.items()}
    return json.loads(_TIME.sub("then", json.dumps(objects, sort_keys=True)))


def _plain(part: Any) -> Any:
    if isinstance(part, dict):
        return {k: _plain(v) for k, v in part.items() if k not in _VOLATILE}
    return [_plain(p) for p in part] if isinstance(part, list) else part
