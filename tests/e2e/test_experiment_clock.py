"""An operator whose clock jumps an hour ahead, and an hour back, promotes nothing by it and goes on afterwards.

A real process under `libfaketime` (Debian: faketime), which changes what the operator takes for the time of day while
it runs. The monotonic clock, on which asyncio and the lease rely, does not jump in reality either.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from experiment_checks import (
    Sampler,
    assert_counted_once,
    assert_counts_are_the_records,
    assert_route_followed,
    decisions,
    windows,
)
from experiment_crowd import BAD, GOOD
from experiment_operator import OperatorLife
from experiment_world import World, new_world
from loop_world import wait_until

from devcluster.cluster import Cluster

NAME = "timeless"
HOUR = 3600
MAXIMUM_SECONDS = 600
"""Far less than the jump: by the wrong clock the experiment would be over, or its minimum duration."""


class Clock:
    """The operator's clock: right, or wrong by so many seconds."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "clock"
        self.set(0)

    def set(self, seconds: int) -> None:
        """Takes effect at once, in one step."""
        fresh = self._file.with_suffix(".new")
        fresh.write_text(f"{seconds:+d}\n", encoding="utf-8")
        fresh.replace(self._file)

    @property
    def environment(self) -> dict[str, str]:
        library = subprocess.run(
            ["faketime", "-f", "+0", "printenv", "LD_PRELOAD"], capture_output=True, text=True, check=True
        )
        return {
            "LD_PRELOAD": library.stdout.strip(),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }


def test_a_clock_that_jumps_an_hour_ahead_and_back_promotes_nothing_and_counts_no_window_twice(
    cluster: Cluster, definitions: None, tmp_path: Path
) -> None:
    clock = Clock(tmp_path)
    with new_world(cluster, tmp_path) as world:
        operator = OperatorLife(world, **clock.environment)
        sampler = Sampler(world, NAME)
        try:
            operator.start()
            operator.wait_until_leading()
            trial = world.trial(NAME, {"baseline": BAD, "candidate": GOOD})
            world.begin(trial, maximumDurationSeconds=MAXIMUM_SECONDS)
            sampler.start()
            wait_until("the first weight is in force", lambda: _kinds(world)[-1:] == ["applied"], every=0.05)
            for jump in (HOUR, -HOUR):
                clock.set(jump)
                _nothing_but_counting(world, jump)
            clock.set(0)
            wait_until("promotion by the right clock", lambda: world.weight(NAME) == 100, 60)
            lines = world.ledger(NAME)
            assert [weight for _, weight, _ in decisions(lines)] == [25, 50, 100]
            assert_route_followed(sampler.stop())
            assert_counted_once(lines)
            assert_counts_are_the_records(lines, trial)
            assert world.condition(NAME, "SufficientData")["status"] == "True"
        finally:
            operator.stop()


def _nothing_but_counting(world: World, jump: int) -> None:
    """Windows that are over by both clocks are counted; the weight stays, though the evidence for more is in."""
    counted = len(windows(world.ledger(NAME)))
    wait_until(f"windows at {jump:+d} s", lambda: len(windows(world.ledger(NAME))) >= counted + 2, 40)
    assert world.weight(NAME) == 25
    assert not world.status(NAME).get("decision")
    condition = world.condition(NAME, "SufficientData")
    assert (condition["status"], condition["reason"]) == ("False", "ClockDiffers")
    print(f"\n{jump:+d} s: {condition['message']}")


def _kinds(world: World) -> list[str]:
    return [line["kind"] for line in world.ledger(NAME)]


pytestmark = pytest.mark.timeout(180)
