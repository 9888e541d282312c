"""Clocks that jump: what time it is held to be, and what an experiment does meanwhile."""

from __future__ import annotations

import json
from datetime import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.ab_experiment.world import STANDALONE, World, spec

from retrainer.ab_experiment.clock import STEPPED_BACK_SECONDS, moment
from retrainer.ab_experiment.ledger import load, replay

NOON = 1_795_262_400.0
HOUR = 3600.0


@pytest.mark.parametrize(
    ("sentence", "now", "ahead", "last", "at", "doubt"),
    [
        ("both clocks agree", NOON, 0.4, NOON - 5, NOON - 0.4, None),
        ("nobody says what the API server's says", NOON, None, NOON - 5, NOON, None),
        ("before the start there is no ledger", NOON, 0.0, 0.0, NOON, None),
        ("ours runs ahead: the API server's counts", NOON + HOUR, HOUR, NOON - 5, NOON, "hour or more ahead"),
        ("ours has gone back: the API server's counts", NOON - HOUR, -HOUR, NOON - 5, NOON, "behind the API server's"),
        ("the API server's runs ahead: ours counts", NOON, -HOUR - 1, NOON - 5, NOON, "hour or more behind"),
        ("the API server's has gone back: ours counts", NOON, HOUR, NOON - 5, NOON, "ahead of the API server's"),
        ("both have gone back: the ledger's last line", NOON - HOUR, 0.0, NOON, NOON, "has gone back to before"),
        ("ours has gone back, no other is known", NOON - HOUR, None, NOON, NOON, "2026-11-21 12:00:00"),
        ("two operators' clocks differ a little", NOON - 2, None, NOON, NOON, None),
        ("a second and a half between the clocks is nothing", NOON, -1.5, NOON - 5, NOON, None),
        ("a minute and a half is not", NOON, 90.0, NOON - 500, NOON - 90, "minutes ahead"),
    ],
)
def test_what_time_it_is(sentence, now, ahead, last, at, doubt):
    found = moment(now, ahead, last)
    assert found.at == pytest.approx(at, abs=0.002), sentence
    assert (found.doubt is None) if doubt is None else doubt in (found.doubt or ""), sentence


@settings(deadline=None)
@given(st.floats(0, 4e9), st.one_of(st.none(), st.floats(-1e8, 1e8)), st.integers(0, 4_000_000_000_000))
def test_time_never_goes_back_and_runs_ahead_only_with_every_clock(now, ahead, last_milliseconds):
    last = last_milliseconds / 1000
    found = moment(now, ahead, last)
    clocks = [now] if ahead is None else [now, now - ahead]
    assert found.at >= last
    assert found.at <= max(last, max(clocks))
    if found.doubt is None and ahead is not None:
        assert abs(ahead) <= 60
    if all(clock < last - STEPPED_BACK_SECONDS - 1 for clock in clocks):
        assert found.doubt is not None and found.at == last


def lines(world: World) -> list[dict]:
    return [json.loads(line) for line in world.lines]


def times(world: World) -> list[float]:
    return [datetime.fromisoformat(line["at"]).timestamp() for line in lines(world)]


def windows(world: World) -> list[dict]:
    return [line for line in lines(world) if line["kind"] == "window"]


def ticked(world: World, times: int, step: float = 2.5) -> World:
    for _ in range(times):
        world.tick(step)
    return world


def sound(world: World) -> None:
    """Lines never go back, no window is counted twice, none is counted before its time, and the replay is exact."""
    assert times(world) == sorted(times(world))
    numbers = [line["window"] for line in windows(world)]
    assert numbers == sorted(set(numbers))
    assert all(datetime.fromisoformat(line["end"]).timestamp() < world.now.timestamp() for line in windows(world))
    ledger = load(world.ledger, world.parsed)
    assert replay(ledger) == ledger.state


SLOW = {"candidate_rate": 0.72, "spec": spec(maximumDurationSeconds=3000, traffic=STANDALONE)}
"""An experiment that is undecided for a while."""


@pytest.mark.parametrize("jump", [HOUR, -HOUR], ids=["an hour ahead", "an hour back"])
def test_our_clock_jumps_and_the_experiment_goes_on_by_the_api_servers(jump):
    world = ticked(World(**SLOW), 8)
    step, counted = world.status["weightPercent"], world.status["windows"]["count"]
    world.clock_wrong = jump
    ticked(world, 8)
    assert "decision" not in world.status, "an hour is more than maximumDurationSeconds"
    assert world.status["weightPercent"] == world.routed_weight == step, "no weight is raised"
    assert world.status["windows"]["count"] > counted, "windows still count, and harm would be seen"
    assert all(line["weightPercent"] == step for line in windows(world)[counted:])
    condition = world.condition("SufficientData")
    assert condition["reason"] == "ClockDiffers" and "until the clock is set right" in condition["message"]
    sound(world)
    world.clock_wrong = 0.0
    ticked(world, 8)
    assert world.condition("SufficientData")["reason"] != "ClockDiffers"
    assert world.status["weightPercent"] > step
    assert [e.reason for e in world.events].count("ClockDiffers") == 1
    sound(world)


def test_the_api_servers_clock_jumps_ahead_and_ours_is_believed():
    world = ticked(World(**SLOW), 8)
    world.server_wrong = HOUR
    ticked(world, 8)
    assert "decision" not in world.status
    assert world.condition("SufficientData")["reason"] == "ClockDiffers"
    sound(world)


def test_both_clocks_go_back_and_nothing_is_counted_until_they_have_caught_up():
    world = ticked(World(**SLOW), 8)
    counted, step = world.status["windows"]["count"], world.status["weightPercent"]
    world.clock_wrong = world.server_wrong = -60.0
    ticked(world, 10)
    assert world.status["windows"]["count"] <= counted + 1
    assert world.status["weightPercent"] == step
    assert "gone back to before" in world.condition("SufficientData")["message"]
    assert times(world) == sorted(times(world))
    ticked(world, 20)
    assert world.condition("SufficientData")["reason"] != "ClockDiffers", "a minute later both have caught up"
    world.clock_wrong = world.server_wrong = 0.0
    ticked(world, 8)
    assert world.status["windows"]["count"] > counted
    sound(world)


def test_harm_stops_it_while_the_clock_is_wrong():
    world = ticked(World(**SLOW), 8)
    world.clock_wrong = HOUR
    world.candidate_rate = 0.1
    ticked(world, 24)
    assert world.status["decision"]["verdict"] == "KeepBaseline"
    assert world.routed_weight == 0
    sound(world)


@pytest.mark.parametrize(("action", "weight"), [("abort", 0), ("promote", 100)])
def test_a_persons_word_counts_while_the_clock_is_wrong(action, weight):
    world = ticked(World(**SLOW), 8)
    world.clock_wrong = -HOUR
    world.request(f"{action}/1")
    ticked(world, 2)
    assert world.routed_weight == weight
    sound(world)


def test_a_candidate_that_dies_while_the_clock_is_wrong_gets_no_users_and_no_window_is_mixed():
    world = ticked(World(**SLOW), 8)
    world.clock_wrong = -HOUR
    ticked(world, 2)
    world.candidate = type(world.candidate)(False, "Service tutor-r4 has no ready endpoints")
    ticked(world, 4)
    assert world.routed_weight == 0
    world.candidate = type(world.candidate)(True)
    ticked(world, 4)
    counted = world.status["windows"]["count"]
    ticked(world, 6)
    assert world.status["windows"]["count"] == counted, "no stretch begins by a clock that is wrong"
    world.clock_wrong = 0.0
    ticked(world, 8)
    assert world.status["windows"]["count"] > counted
    sound(world)


def test_with_clocks_that_differ_nothing_starts():
    world = ticked(World(clock_wrong=HOUR), 2)
    assert world.ledger is None
    condition = world.condition("Succeeded")
    assert condition["reason"] == "Starting" and "ahead of the API server's" in condition["message"]
    world.clock_wrong = 0.0
    ticked(world, 2)
    assert world.status["weightPercent"] == 10


def test_while_the_clock_is_wrong_the_status_is_not_written_at_every_look():
    world = ticked(World(**SLOW), 8)
    world.source_down = True
    world.clock_wrong = HOUR
    ticked(world, 2)
    before = world.writes
    for wrong in (3600.3, 3599.8, 3601.0):
        world.clock_wrong = wrong
        world.tick(1.0)
    assert world.writes == before
