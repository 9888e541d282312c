"""What must hold of every experiment's ledger and route, however it was disturbed."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from experiment_crowd import Trial
from experiment_world import WINDOW_SECONDS, Object, World

SETTLE_SECONDS = 1
UNSEEN_SECONDS = 10
"""A disturbance of the route may be as much older than the look that found it."""


def seconds(text: str) -> float:
    """Seconds since the epoch."""
    return datetime.fromisoformat(text).timestamp()


def windows(lines: Sequence[Object]) -> list[Object]:
    return [line for line in lines if line["kind"] == "window"]


def decisions(lines: Sequence[Object]) -> list[tuple[str, int, str]]:
    """Every weight that was announced and the verdict, with the reason: what an experiment decided, without when."""
    told = [line for line in lines if line["kind"] in ("weight", "decision")]
    return [(line.get("verdict", "weight"), line["weightPercent"], line["reason"]) for line in told]


def assert_counted_once(lines: Sequence[Object]) -> None:
    """No window twice, all in order, and none left out but those in which the weight was not settled."""
    counted = windows(lines)
    numbers = [line["window"] for line in counted]
    assert numbers == sorted(set(numbers)), f"windows twice or out of order: {numbers}"
    times = [seconds(line["at"]) for line in lines]
    assert times == sorted(times), "lines go back in time"
    unsettled = list(_unsettled(lines))
    for missing, start in _left_out(counted):
        end = start + WINDOW_SECONDS
        is_transitional = any(begin < end and start < until for begin, until in unsettled)
        assert is_transitional, f"window {missing} was left out without a reason; unsettled: {unsettled}"


def _left_out(counted: Sequence[Object]) -> Iterator[tuple[int, float]]:
    """Number and start of the windows between those that were counted."""
    for before, after in pairwise(counted):
        for number in range(before["window"] + 1, after["window"]):
            yield number, seconds(before["start"]) + (number - before["window"]) * WINDOW_SECONDS


def _unsettled(lines: Sequence[Object]) -> Iterator[tuple[float, float]]:
    """When it was not certain that the announced weight was in force."""
    since: float | None = None
    for line in lines:
        at = seconds(line["at"])
        if line["kind"] in ("weight", "disturbed") and since is None:
            since = at - (UNSEEN_SECONDS if line["kind"] == "disturbed" else 0)
        if line["kind"] == "applied" and since is not None:
            yield since, math.ceil(at) + SETTLE_SECONDS
            since = None


def assert_counts_are_the_records(lines: Sequence[Object], trial: Trial) -> None:
    """The sums of every counted window are exactly the votes of its time, those that came in time."""
    for line in windows(lines):
        start, end = seconds(line["start"]), seconds(line["end"])
        for arm, revision in trial.revisions.items():
            n, likes = trial.records.count(revision, start, end)
            assert n, f"nobody voted in window {line['window']}"
            counted = {name: line["arms"][name][arm][:2] for name in ("likes", "dislikes")}
            expected = {"likes": [n, likes], "dislikes": [n, n - likes]}
            assert counted == expected, f"window {line['window']} ({line['start']}), {arm}: {counted}, not {expected}"


@dataclass(frozen=True)
class Sample:
    """One look: first at the route, then at the ledger, so that what the route says was announced before."""

    route: int | None
    announced: tuple[int, ...]
    decided: bool


class Sampler(threading.Thread):
    """Looks at route and ledger ten times a second, until it is stopped."""

    def __init__(self, world: World, name: str) -> None:
        super().__init__(daemon=True)
        self._world = world
        self._name = name
        self._end = threading.Event()
        self._is_complete = False
        self.samples: list[Sample] = []

    def run(self) -> None:
        ending = False
        while not ending:
            ending = self._end.wait(0.1)  # and one last look
            route = self._world.weight(self._name)
            told = decisions(self._world.ledger(self._name))
            decided = bool(told) and told[-1][0] != "weight"
            self.samples.append(Sample(route, tuple(weight for _, weight, _ in told), decided))
        self._is_complete = True

    def stop(self) -> list[Sample]:
        self._end.set()
        self.join(10)
        assert self._is_complete, "it stopped looking"
        return self.samples


def assert_route_followed(samples: Sequence[Sample]) -> None:
    """At no look did the route give the candidate more than the ledger had announced last, or a weight of its own."""
    assert samples
    for sample in samples:
        if sample.route:
            assert sample.announced, f"a route before its ledger: {sample}"
            assert sample.route in sample.announced, f"a weight that was never announced: {sample}"
            assert sample.route <= sample.announced[-1], f"more than was announced last: {sample}"
    last = samples[-1]
    assert last.route == last.announced[-1], f"the route does not say what the ledger says: {last}"
