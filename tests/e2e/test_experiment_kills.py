"""An operator that is killed before and after every write decides the same as one that is left alone."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from api_proxy import ApiProxy, Request, Script
from experiment_checks import (
    Sampler,
    assert_counted_once,
    assert_counts_are_the_records,
    assert_route_followed,
    decisions,
)
from experiment_crowd import BAD, GOOD, Trial
from experiment_operator import OperatorLife, PreparedOperator
from experiment_world import World, new_world
from loop_world import wait_until

from devcluster.cluster import Cluster

COURSES = {
    "ramp": ([("weight", 25, "Started"), ("weight", 50, "StepDone"), ("PromoteCandidate", 100, "CandidateBetter")]),
    "harm": ([("weight", 50, "Started"), ("KeepBaseline", 0, "GuardrailWorse")]),
}
"""One candidate is better and climbs to the end, the other is worse and is stopped at its only step."""
COLUMNS = "NAME VERDICT WEIGHT EFFECT INTERVAL EVIDENCE UNITS ETA REASON AGE"


class KillAtEveryWrite(Script):
    """Each write of each object is first lost with its sender, and when tried again carried out and not answered."""

    def __init__(self) -> None:
        self.operator: PreparedOperator | None = None
        self.kills: Counter[str] = Counter()
        self._lost: set[tuple[str, object]] = set()

    def before(self, request: Request) -> bool:
        if request.is_write and _key(request) not in self._lost:
            self._lost.add(_key(request))
            self._strike("before")
            return False
        return True

    def after(self, request: Request, status: int) -> bool:
        if request.is_write and status < 400 and _key(request) in self._lost:
            self._lost.remove(_key(request))
            self._strike("after")
            return False
        return True

    def _strike(self, moment: str) -> None:
        assert self.operator is not None
        self.operator.kill()
        self.kills[moment] += 1


def _key(request: Request) -> tuple[str, object]:
    return request.method, request.resource


def test_ramp_and_stop_are_the_same_when_the_operator_is_killed_before_and_after_every_write(
    cluster: Cluster, definitions: None, tmp_path: Path
) -> None:
    for name in ("calm", "stormy"):
        (tmp_path / name).mkdir()
    script = KillAtEveryWrite()
    proxy = ApiProxy(cluster, script).start()
    with new_world(cluster, tmp_path / "calm") as calm, new_world(cluster, tmp_path / "stormy") as stormy:
        undisturbed = OperatorLife(calm)
        killed = script.operator = PreparedOperator(stormy, server=proxy.url)
        try:
            undisturbed.start()
            _begin(calm)
            trials = _begin(stormy)
            samplers = [Sampler(stormy, name) for name in COURSES]
            for sampler in samplers:
                sampler.start()
            wait_until("both ends in spite of all kills", lambda: _are_over(stormy, killed), 330, every=0.02)
            for sampler in samplers:
                assert_route_followed(sampler.stop())
            wait_until("both ends undisturbed", lambda: _have_settled(calm), 60)
            _compare(calm, stormy, trials)
            _tell(script, proxy)
        finally:
            killed.stop()
            undisturbed.stop()
            proxy.stop()


def _begin(world: World) -> dict[str, Trial]:
    better, worse = ({"baseline": BAD, "candidate": GOOD}, {"baseline": GOOD, "candidate": BAD})
    only_step = {"steps": [{"weightPercent": 50, "minimumUnits": 30}]}
    return {
        "ramp": world.begin(world.trial("ramp", better)),
        "harm": world.begin(world.trial("harm", worse), ramp=only_step),
    }


def _are_over(world: World, operator: PreparedOperator) -> bool:
    if not operator.running:
        operator.start()
    return _have_settled(world)


def _have_settled(world: World) -> bool:
    """The verdicts are in the ledgers, on the statuses and on the routes."""
    for name in COURSES:
        told = decisions(world.ledger(name))
        if not told or told[-1][0] == "weight" or not world.status(name).get("decision"):
            return False
        if world.weight(name) != told[-1][1]:
            return False
    return True


def _compare(calm: World, stormy: World, trials: dict[str, Trial]) -> None:
    for name, course in COURSES.items():
        lines = stormy.ledger(name)
        assert decisions(lines) == decisions(calm.ledger(name)) == course
        assert_counted_once(lines)
        assert_counts_are_the_records(lines, trials[name])
        assert stormy.weight(name) == stormy.status(name)["weightPercent"] == course[-1][1]
    header = stormy.kubectl.run("get", "abexperiments", "--output=wide").splitlines()[0]
    assert header.split() == COLUMNS.split()


def _tell(script: KillAtEveryWrite, proxy: ApiProxy) -> None:
    """How often it was killed; every write that was carried out was somebody's last."""
    assert script.kills["after"] == len(proxy.writes)
    assert script.kills["before"] >= len(proxy.writes)
    print(f"\n{len(proxy.writes)} writes; killed {script.kills['before']} times before and")
    print(f"{script.kills['after']} times after one:")
    print("\n".join(f"  {write}" for write in proxy.writes))


pytestmark = pytest.mark.timeout(450)
