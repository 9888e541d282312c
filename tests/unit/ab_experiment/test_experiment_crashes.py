"""Killed before any API write: the same decisions, no window twice, never more weight than was announced."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import replace

import pytest
from unit.ab_experiment.world import POLICY, STANDALONE, Killed, World, spec

from retrainer.ab_experiment.decide import decide
from retrainer.ab_experiment.input import Readiness
from retrainer.ab_experiment.ledger import load, replay

RAMP = {"steps": [{"weightPercent": 25, "minimumUnits": 30}, {"weightPercent": 50, "minimumUnits": 60}]}
STEP = 2.5
"""Seconds between passes: windows of five seconds still see one pass inside each."""


class Watched(World):
    """Asserts after every write that the weight in force was announced in the ledger before."""

    def announced(self) -> int:
        return json.loads(self.ledger["data"]["state"])["state"]["weight"] if self.ledger else 0

    def _put_status(self, status):
        super()._put_status(status)
        assert (self.status.get("weightPercent") or 0) <= self.announced(), "status before ledger"

    def _apply_route(self, obj):
        super()._apply_route(obj)
        assert self.routed_weight <= min(self.announced(), self.status.get("weightPercent") or 0), "route before both"


def finished(world: Watched) -> Watched:
    """To the verdict, and two passes more."""
    world.run(step=STEP)
    for _ in range(2):
        world.tick(STEP)
    return world


def crash_points(world: Watched) -> Iterator[Watched]:
    """For every write of the whole course a world that is about to be killed before it."""
    after = 0
    while after < 2:
        after += bool(world.status.get("decision"))
        before = world.fork()
        world.tick(STEP)
        for write in range(before.writes, world.writes):
            point = before.fork()
            point.kill_before_write = write
            yield point


def short(traffic: dict) -> dict:
    return spec(traffic=traffic, ramp=RAMP, minimumDurationSeconds=10)


def history(world: World) -> list[dict]:
    return [json.loads(line) for line in world.lines]


def run_until_killed(world: World) -> None:
    """Pass after pass, without a restart."""
    while True:
        try:
            world.pass_once()
        except Killed:
            return
        if "policyRef" in world.spec["traffic"]:
            world.policy_writes_route()
        world.gateway_accepts()
        world.wait(STEP)


def said(line: dict) -> dict:
    """A line without its place, and without the moment at which it was written: stops are completed afterwards."""
    return {k: v for k, v in line.items() if k not in ("line", "previous", "at", "judged")}


HARM = {"baseline_rate": 0.88, "candidate_rate": 0.6}
SCENARIOS = {
    "promoted in a policy": {"spec": short(POLICY)},
    "stopped standalone": {"spec": short(STANDALONE), **HARM},
}
"""Many more: tests/integration/test_experiment_crash_points.py."""


@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS)
def test_killed_before_any_write_and_restarted_the_course_is_the_same(scenario):
    undisturbed = finished(Watched(**scenario))
    verdict = undisturbed.status["decision"]
    points = 0
    for world in crash_points(Watched(**scenario)):
        points += 1
        finished(world)
        assert world.kill_before_write is None, "the kill happened"
        assert world.status["decision"]["verdict"] == verdict["verdict"]
        assert world.routed_weight == undisturbed.routed_weight
        ledger = load(world.ledger, world.parsed)
        assert replay(ledger) == ledger.state
        assert [said(line) for line in history(world)] == [said(line) for line in history(undisturbed)]
        if verdict["verdict"] == "PromoteCandidate":
            assert history(world) == history(undisturbed)
            assert world.status == undisturbed.status
    assert points == undisturbed.writes


def test_a_stop_reaches_users_before_the_ledger_and_the_ledger_is_completed_later():
    world = Watched(spec=short(STANDALONE), baseline_rate=0.88, candidate_rate=0.6)
    total = finished(Watched(spec=short(STANDALONE), baseline_rate=0.88, candidate_rate=0.6))
    lines = history(total)
    assert lines[-1]["kind"] == "decision"
    while not world.status.get("decision"):
        before = world.writes
        world.tick(STEP)
    stop = list(range(before, world.writes))
    assert len(stop) == 3, "status, route, ledger"
    killed = Watched(spec=short(STANDALONE), baseline_rate=0.88, candidate_rate=0.6, kill_before_write=stop[2])
    run_until_killed(killed)
    assert killed.routed_weight == 0 and killed.status["decision"]["verdict"] == "KeepBaseline"
    assert history(killed)[-1]["kind"] != "decision"
    killed.pass_once()
    assert [said(line) for line in history(killed)] == [said(line) for line in lines]


def test_the_lower_of_ledger_and_status_is_the_weight_in_force():
    world = Watched(spec=spec(traffic=STANDALONE))
    for _ in range(40):
        world.tick()
    assert world.status["weightPercent"] == 25
    world.experiment["status"]["weightPercent"] = 10
    plan_weight = world.look()
    world.pass_once()
    assert plan_weight.obj["status"]["weightPercent"] == 10
    assert world.applied_routes[-1] == 10
    world.pass_once()
    assert world.routed_weight == 25


def test_a_ledger_behind_a_lowered_status_has_lost_no_window() -> None:
    """Candidate gone just as a window is due, and the write of the ledger fails after that of the status."""
    for second in range(8, 20):
        world = World()
        world.run(seconds=second, step=1.0)
        world.wait(5.0)
        world.candidate = Readiness(False, "Service tutor-r4 has no ready endpoints")
        world.kill_before_write = world.writes + 1
        with contextlib.suppress(Killed):
            world.pass_once()
        world.kill_before_write = None
        world.tick()
        assert world.status["weightPercent"] == 0
        assert "decision" not in world.status, world.status["decision"]


def test_a_person_is_asked_once_however_many_windows_are_caught_up_with() -> None:
    world = World(spec=spec(traffic=POLICY, onInconclusive="Hold", maximumDurationSeconds=60), candidate_rate=0.72)
    world.run(seconds=30, step=1.0)
    world.source_down = True
    for _ in range(8):
        world.wait(5.0)
    world.source_down = False
    world.tick()
    world.tick()
    assert [line["kind"] for line in history(world)].count("awaiting") == 1


def test_while_a_due_window_is_being_read_its_answer_is_waited_for_and_not_polled() -> None:
    world = World()
    world.run(seconds=10, step=1.0)
    world.wait(30.0)
    unread = replace(world.look(), readings={})
    assert decide(unread, world.now).requeue_after == 5
