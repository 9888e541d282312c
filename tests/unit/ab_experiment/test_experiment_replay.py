"""Every line of a live ledger comes out again, bit for bit, from header, checkpoint and the lines before it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from unit.ab_experiment.experiment_people import People
from unit.ab_experiment.test_experiment_modes import ERRORS, LIKES, experiment
from unit.ab_experiment.world import POLICY, World, spec

from retrainer.ab_experiment.counting import Circumstances, judge, window_line
from retrainer.ab_experiment.input import ArmOutcomes
from retrainer.ab_experiment.ledger import Ledger, load, replay
from retrainer.ab_experiment.state import advance, seconds
from retrainer.ab_experiment.windows import Window
from retrainer.statistics.sums import ArmSums


def around(line: dict[str, Any]) -> Circumstances:
    """In what circumstances a line was judged, by what it says."""
    return Circumstances(
        now=seconds(line.get("judged", line["at"])),
        obstacle=line.get("obstacle"),
        held=line.get("held"),
        readable=line.get("readable", True),
        clock=line.get("clock"),
    )


def again(ledger: Ledger, line: dict[str, Any]) -> dict[str, Any]:
    """A window's line, made anew of its sums alone."""
    window = Window(
        line["window"],
        int(seconds(line["start"])),
        int(seconds(line["end"])),
        line["weightPercent"],
        seconds(line["applied"]),
    )
    reading = {
        name: ArmOutcomes(ArmSums.from_json(arms["candidate"]), ArmSums.from_json(arms["baseline"]))
        for name, arms in line["arms"].items()
    }
    made: dict[str, Any] = json.loads(json.dumps(window_line(ledger, window, reading, around(line))[0]))
    return made


def retraced(world: World) -> Iterator[tuple[dict[str, Any], Ledger]]:
    """Each line, and the ledger as it was before."""
    ledger = load(world.ledger, world.parsed)
    state = replay(replace(ledger, lines=()))
    for text in ledger.lines:
        line = json.loads(text)
        yield line, replace(ledger, state=state)
        state = advance(ledger.config, state, line)
    assert state == ledger.state


def three_metrics() -> dict[str, Any]:
    score = {"sourceRef": {"name": "chat"}, "signal": "stars", "value": "Score"}
    stars = {"name": "stars", "role": "Guardrail", "goal": "Increase", "margin": "0.05", "source": {"feedback": score}}
    return experiment(LIKES, stars, {**ERRORS, "margin": "2"})


COURSES = {
    "promoted": World(),
    "stopped": World(baseline_rate=0.88, candidate_rate=0.6),
    "given up": World(candidate_rate=0.7, seed=2),
    "out of time": World(spec=spec(maximumDurationSeconds=60), missing_share=1.0),
    "three scales": World(spec=three_metrics(), people=People(seed=7, votes=(0.7, 0.88), missing_share=0.3)),
    "source down at the end": World(spec=spec(maximumDurationSeconds=60, traffic=POLICY), candidate_rate=0.72),
}


@pytest.mark.parametrize("course", COURSES)
def test_every_line_and_the_verdict_come_out_again(course):
    world = COURSES[course].fork()
    if course == "source down at the end":
        world.run(seconds=30)
        world.source_down = True
    world.run()
    windows = verdicts = 0
    for line, ledger in retraced(world):
        if line["kind"] == "window":
            written = {k: v for k, v in line.items() if k not in ("line", "previous")}
            assert again(ledger, line) == written
            windows += 1
        if line["kind"] == "decision":
            outcome = judge(ledger, around(line))
            assert (outcome.action, outcome.reason.value) == (line["verdict"], line["reason"])
            assert line["message"].startswith(outcome.message)
            verdicts += 1
    assert windows == world.status["windows"]["count"] > 1
    assert verdicts == 1


def test_windows_counted_while_held_say_so():
    world = World()
    for _ in range(8):
        world.tick()
    world.request("pause/1")
    for _ in range(12):
        world.tick()
    held = [json.loads(line) for line in world.lines if '"held"' in line]
    assert held and all("resume" in line["held"] for line in held)
    assert all(line["rule"] == {"action": "Hold", "reason": "Paused"} for line in held)
