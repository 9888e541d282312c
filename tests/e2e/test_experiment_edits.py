"""What people and failures do to a running experiment: edited routes, ledgers and statuses, a source that is gone.

One operator and one world for all of them; the source goes away first, for that lasts ten windows.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from experiment_checks import (
    Sampler,
    assert_counted_once,
    assert_counts_are_the_records,
    decisions,
    seconds,
    windows,
)
from experiment_crowd import BAD, GOOD, Records, Trial
from experiment_operator import OperatorLife
from experiment_world import WINDOW_SECONDS, World, feedback_source, new_world
from loop_world import wait_until

from devcluster.cluster import Cluster

UNHURRIED = {
    "ramp": {"steps": [{"weightPercent": 25, "minimumUnits": 30}]},
    "minimumDetectableEffect": "0.02",
    "minimumDurationSeconds": 600,
}
"""Undecided for as long as nothing happens."""
HURRIED = {"ramp": UNHURRIED["ramp"], "minimumDurationSeconds": 60}
"""Promotes what is better after a minute, if it can read the outcomes then."""
REPAIRED_SECONDS = 10.0
OUTAGE_WINDOWS = 10
LEDGERS = ("recounted", "shortened", "deleted")


@dataclass
class Scene:
    """The world, its experiments, and the source of two of them, which is away."""

    world: World
    trials: dict[str, Trial]
    away: Records
    outage: Sampler


@pytest.fixture(scope="module")
def scene(cluster: Cluster, definitions: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("edits")
    with new_world(cluster, folder) as world:
        operator = OperatorLife(world)
        away = Records(folder / "away" / "feedback.db")
        world.kubectl.apply(feedback_source("away"))
        operator.start()
        trials = {name: _begin(world, name) for name in ("routed", "raised", *LEDGERS)}
        equal = world.trial("equal", {"baseline": GOOD, "candidate": GOOD}, records=away)
        better = world.trial("better", {"baseline": BAD, "candidate": GOOD}, records=away)
        trials |= {"equal": world.begin(equal, "away", **UNHURRIED), "better": world.begin(better, "away", **HURRIED)}
        wait_until("every experiment counts", lambda: all(windows(world.ledger(name)) for name in trials), 50)
        verdicts = {"likes": "Better", "dislikes": "NotWorse"}
        wait_until("the evidence is in", lambda: _verdicts(world, "better") == verdicts, 30)
        outage = Sampler(world, "better")
        away.move_away()
        outage.start()
        yield Scene(world, trials, away, outage)
        operator.stop()


def _verdicts(world: World, name: str) -> dict[str, str]:
    return {effect["metric"]: effect["verdict"] for effect in world.status(name)["effects"]}


def _begin(world: World, name: str) -> Trial:
    return world.begin(world.trial(name, {"baseline": GOOD, "candidate": GOOD}), **UNHURRIED)


def test_a_route_edited_by_hand_is_repaired_and_the_disturbed_windows_are_left_out(scene: Scene) -> None:
    to_candidate = {"matches": [{"path": {"value": "/"}}], "backendRefs": [{"name": "candidate", "port": 80}]}
    share = "/spec/rules/0/backendRefs"
    edits = {
        "other weights": [
            {"op": "replace", "path": f"{share}/0/weight", "value": 0},
            {"op": "replace", "path": f"{share}/1/weight", "value": 100},
        ],
        "another rule": [{"op": "add", "path": "/spec/rules/0", "value": to_candidate}],
        "no route": None,
    }
    spoilt = [_edit_route(scene.world, what, patch) for what, patch in edits.items()]
    last = windows(scene.world.ledger("routed"))[-1]["window"]
    wait_until("a window after the last repair", lambda: windows(scene.world.ledger("routed"))[-1]["window"] > last)
    lines = scene.world.ledger("routed")
    for begin, end in spoilt:
        for line in windows(lines):
            before, after = seconds(line["end"]) <= begin, seconds(line["start"]) >= end
            assert before or after, f"window {line['window']} was counted with an edited route"
    assert_counted_once(lines)
    assert_counts_are_the_records(lines, scene.trials["routed"])
    assert decisions(lines) == [("weight", 25, "Started")], "an edit is no reason to decide anything"


def _edit_route(world: World, what: str, patch: list[dict[str, object]] | None) -> tuple[float, float]:
    """Edit the route, wait for the repair and for its windows to count again; returns begin and end of the harm."""
    begin = time.time()
    if patch is None:
        world.kubectl.run("delete", "httproute", "routed")
    else:
        world.kubectl.run("patch", "httproute", "routed", "--type=json", f"--patch={json.dumps(patch)}")

    def repaired() -> bool:
        route = world.route("routed")
        return route is not None and len(route["spec"]["rules"]) == 1 and world.weight("routed") == 25

    wait_until(f"{what}: repaired", repaired, REPAIRED_SECONDS, every=0.05)
    end = time.time()
    print(f"\n{what}: repaired after {end - begin:.1f} s")

    def told() -> bool:
        kinds = [line["kind"] for line in world.ledger("routed") if seconds(line["at"]) >= begin]
        return kinds[-2:] == ["disturbed", "applied"]

    wait_until(f"{what}: the ledger knows of it", told, every=0.05)
    return begin, end


def test_a_ledger_edited_by_hand_ends_the_experiment_and_is_never_followed(scene: Scene) -> None:
    world = scene.world
    found = {name: world.ledger_data(name)["lines"] for name in LEDGERS}
    counted = windows(world.ledger("recounted"))[0]["arms"]["likes"]["candidate"]
    better = json.dumps([1000, 1000.0, 1000.0, 0], separators=(",", ":"))
    edited = {
        "recounted": found["recounted"].replace(json.dumps(counted, separators=(",", ":")), better),
        "shortened": "\n".join(found["shortened"].splitlines()[:-1]),
    }
    for name, lines in edited.items():
        assert lines != found[name]
        patch = json.dumps({"data": {"lines": lines}})
        world.kubectl.run("patch", "configmap", f"{name}-ledger", "--type=merge", f"--patch={patch}")
    world.kubectl.run("delete", "configmap", "deleted-ledger")
    for name in LEDGERS:
        decision = wait_until(f"{name}: the end", lambda n=name: world.status(n).get("decision"), REPAIRED_SECONDS)
        assert (decision["verdict"], decision["reason"]) == ("Inconclusive", "LedgerLost")
        wait_until(f"{name}: nobody reaches the candidate", lambda n=name: world.weight(n) == 0, REPAIRED_SECONDS)
        assert world.status(name)["weightPercent"] == 0
        succeeded = world.condition(name, "Succeeded")
        assert (succeeded["status"], succeeded["reason"]) == ("False", "LedgerLost")
        print(f"\n{name}: {succeeded['message']}")
        assert "LedgerLost" in {event["reason"] for event in world.events(name)}
    for name, lines in edited.items():
        assert world.ledger_data(name)["lines"] == lines, "evidence of what was done is left as it is"
    assert world.ledger_data("deleted") == {}, "counts are never made up again"


def test_a_weight_raised_by_hand_on_the_status_reaches_nobody(scene: Scene) -> None:
    world = scene.world
    sampler = Sampler(world, "raised")
    sampler.start()
    generation = (world.route("raised") or {})["metadata"]["generation"]
    patch = json.dumps({"status": {"weightPercent": 100}})
    world.kubectl.run("patch", "abexperiment", "raised", "--subresource=status", "--type=merge", f"--patch={patch}")
    wait_until("the status is as the ledger says", lambda: world.status("raised")["weightPercent"] == 25)
    assert {sample.route for sample in sampler.stop()} == {25}
    assert (world.route("raised") or {})["metadata"]["generation"] == generation
    assert decisions(world.ledger("raised")) == [("weight", 25, "Started")]


def test_ten_windows_without_the_source_hold_the_weight_and_are_caught_up_in_order_each_once(scene: Scene) -> None:
    world = scene.world
    since = {name: windows(world.ledger(name))[-1] for name in ("better", "equal")}
    over = {name: seconds(last["end"]) + (OUTAGE_WINDOWS + 1) * WINDOW_SECONDS for name, last in since.items()}
    wait_until("ten windows without the source", lambda: time.time() > max(over.values()), 80)
    for name, last in since.items():
        assert windows(world.ledger(name))[-1] == last, "nothing was counted meanwhile"
        assert not world.status(name).get("decision")
        condition = world.condition(name, "SufficientData")
        assert (condition["status"], condition["reason"]) == ("False", "SourceUnavailable")
    print(f"\n{world.condition('better', 'SufficientData')['message']}")
    assert {sample.route for sample in scene.outage.stop()} == {25}
    started = seconds(world.status("better")["startTime"])
    assert time.time() - started > HURRIED["minimumDurationSeconds"], "only the missing outcomes kept it from promoting"
    scene.away.bring_back()
    _assert_caught_up(scene, since["equal"]["window"] + OUTAGE_WINDOWS)


def _assert_caught_up(scene: Scene, until: int) -> None:
    world = scene.world
    decision = wait_until("promotion", lambda: world.status("better").get("decision"), 40)
    assert decision["verdict"] == "PromoteCandidate"
    wait_until("all windows", lambda: windows(world.ledger("equal"))[-1]["window"] >= until, 40)
    for name in ("better", "equal"):
        lines = world.ledger(name)
        numbers = [line["window"] for line in windows(lines)]
        assert numbers == list(range(len(numbers))), "each once, in order, none left out"
        assert_counted_once(lines)
        assert_counts_are_the_records(lines, scene.trials[name])
    assert decisions(world.ledger("equal")) == [("weight", 25, "Started")]


pytestmark = pytest.mark.timeout(240)
