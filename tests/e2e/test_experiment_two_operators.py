"""Two operators for one namespace: one writes, the other waits; one that sleeps through its lease writes no more."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from api_proxy import ApiProxy, Request, Script
from experiment_checks import (
    Sampler,
    assert_counted_once,
    assert_counts_are_the_records,
    assert_route_followed,
    decisions,
    windows,
)
from experiment_crowd import GOOD
from experiment_operator import OperatorLife
from experiment_world import World, new_world
from loop_world import wait_until

from devcluster.cluster import Cluster

NAME = "shared"
STEPS = [{"weightPercent": 25, "minimumUnits": 120}, {"weightPercent": 50, "minimumUnits": 60}]
"""The first takes three windows: there is time to hand over before the weight is raised."""


@dataclass
class StopBeforeRaising(Script):
    """Stops the operator while it waits for the answer upon which it would raise the weight of the route.

    A pass looks at the ledger and at the route. A second look at the route in the same pass is the last one
    before it is written.
    """

    operator: OperatorLife | None = None
    armed: bool = False
    stopped: bool = False
    asked_for_the_lease: bool = False
    _looks: int = 0
    _seen: list[str] = field(default_factory=list)

    def before(self, request: Request) -> bool:
        self.asked_for_the_lease |= request.resource[0] == "leases"
        if request.method == "GET" and request.resource[:2] == ("configmaps", f"{NAME}-ledger"):
            self._looks = 0
        if request.method == "GET" and request.resource[:2] == ("httproutes", NAME):
            self._looks += 1
            if self._looks == 2 and self.armed:
                self._stop()
        return True

    def _stop(self) -> None:
        assert self.operator is not None
        os.kill(self.operator.pid, signal.SIGSTOP)
        self.armed, self.stopped = False, True


def test_one_of_two_operators_writes_and_the_other_takes_over_when_it_is_killed_or_asleep(
    cluster: Cluster, definitions: None, tmp_path: Path
) -> None:
    proxies = {name: ApiProxy(cluster, StopBeforeRaising()).start() for name in ("first", "second")}
    with new_world(cluster, tmp_path) as world:
        first, second = (
            OperatorLife(world, name, proxy.url, RETRAINER_LEASE_SECONDS="5") for name, proxy in proxies.items()
        )
        sampler = Sampler(world, NAME)
        try:
            first.start()
            first.wait_until_leading()
            second.start()
            trial = world.trial(NAME, {"baseline": GOOD, "candidate": GOOD})
            world.begin(trial, ramp={"steps": STEPS}, minimumDetectableEffect="0.02", minimumDurationSeconds=600)
            sampler.start()
            _only_the_first_writes(world, proxies)
            _the_second_takes_over(world, first, second, proxies)
            first.start()
            _the_sleeper_writes_no_more(world, second, proxies["second"])
            assert_route_followed(sampler.stop())
            assert_counted_once(world.ledger(NAME))
            assert_counts_are_the_records(world.ledger(NAME), trial)
        finally:
            for operator in (first, second):
                operator.kill()
            for proxy in proxies.values():
                proxy.stop()


def _only_the_first_writes(world: World, proxies: dict[str, ApiProxy]) -> None:
    script = proxies["second"].script
    assert isinstance(script, StopBeforeRaising)
    wait_until("the second waits to lead", lambda: script.asked_for_the_lease)
    wait_until("a window is counted", lambda: windows(world.ledger(NAME)))
    assert len(proxies["first"].writes) >= 7, "ledger, route, status, and again"
    assert not proxies["second"].writes


def _the_second_takes_over(
    world: World, first: OperatorLife, second: OperatorLife, proxies: dict[str, ApiProxy]
) -> None:
    script = proxies["second"].script
    assert isinstance(script, StopBeforeRaising)
    script.operator, script.armed = second, True
    counted = len(windows(world.ledger(NAME)))
    first.kill()
    written = len(proxies["first"].writes)
    second.wait_until_leading(20)
    wait_until("the second counts", lambda: len(windows(world.ledger(NAME))) > counted)
    assert proxies["second"].writes
    assert len(proxies["first"].writes) == written


def _the_sleeper_writes_no_more(world: World, sleeper: OperatorLife, proxy: ApiProxy) -> None:
    """It falls asleep about to raise the weight to 50; when it wakes up, somebody has lowered it to 0."""
    script = proxy.script
    assert isinstance(script, StopBeforeRaising)
    wait_until("the second is stopped as it raises the weight", lambda: script.stopped, 40)
    assert (world.weight(NAME), world.status(NAME)["weightPercent"]) == (25, 50)
    wait_until("the first takes over and raises it", lambda: world.weight(NAME) == 50, 30)
    world.kubectl.run("annotate", "abexperiment", NAME, "retrainer.dev/request=abort/1")
    wait_until("the first has lowered it", lambda: world.weight(NAME) == 0)
    written = len(proxy.writes)
    os.kill(sleeper.pid, signal.SIGCONT)
    wait_until("the sleeper has noticed and ended", lambda: not sleeper.running, 20)
    assert [str(write) for write in proxy.writes[written:]] == []
    assert world.weight(NAME) == 0
    assert decisions(world.ledger(NAME))[-1] == ("KeepBaseline", 0, "ManualAbort")


pytestmark = pytest.mark.timeout(240)
