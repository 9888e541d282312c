"""An operator that is killed before and after every write of a ramp decides the same as one that is left alone."""

from __future__ import annotations

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
from experiment_world import BAD, GOOD, OperatorLife, PreparedOperator, Trial, World, new_world
from loop_world import wait_until

from devcluster.cluster import Cluster

NAME = "ramp"
COLUMNS = "NAME VERDICT WEIGHT EFFECT INTERVAL EVIDENCE UNITS ETA REASON AGE"


class KillAtEveryWrite(Script):
    """Each write of each object is first lost with its sender, and when tried again carried out and not answered."""

    def __init__(self) -> None:
        self.operator: PreparedOperator | None = None
        self.kills: list[str] = []
        self._lost: set[tuple[str, object]] = set()

    def before(self, request: Request) -> bool:
        if request.is_write and _key(request) not in self._lost:
            self._lost.add(_key(request))
            self._strike(f"before {request}")
            return False
        return True

    def after(self, request: Request, status: int) -> bool:
        if request.is_write and status < 400 and _key(request) in self._lost:
            self._lost.remove(_key(request))
            self._strike(f"after {request}")
            return False
        return True

    def _strike(self, moment: str) -> None:
        assert self.operator is not None
        self.operator.kill()
        self.kills.append(moment)


def _key(request: Request) -> tuple[str, object]:
    return request.method, request.resource


def test_a_ramp_decides_the_same_when_the_operator_is_killed_before_and_after_every_write(
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
            trial, sampler = _begin(stormy), Sampler(stormy, NAME)
            sampler.start()
            wait_until("promotion in spite of all kills", lambda: _is_over(stormy, killed), 280, every=0.02)
            assert_route_followed(sampler.stop())
            wait_until("promotion of the undisturbed", lambda: _has_settled(calm), 60)
            _compare(calm, stormy, trial, script, proxy)
        finally:
            killed.stop()
            undisturbed.stop()
            proxy.stop()


def _begin(world: World) -> Trial:
    return world.begin(world.trial(NAME, {"baseline": BAD, "candidate": GOOD}))


def _is_over(world: World, operator: PreparedOperator) -> bool:
    if not operator.running:
        operator.start()
    return _has_settled(world)


def _has_settled(world: World) -> bool:
    """The verdict is in the ledger, on the status and on the route."""
    told = decisions(world.ledger(NAME))
    decided = bool(told) and told[-1][1] == 100 and bool(world.status(NAME).get("decision"))
    return decided and world.weight(NAME) == 100


def _compare(calm: World, stormy: World, trial: Trial, script: KillAtEveryWrite, proxy: ApiProxy) -> None:
    lines = stormy.ledger(NAME)
    assert decisions(lines) == decisions(calm.ledger(NAME))
    assert [weight for _, weight, _ in decisions(lines)] == [25, 50, 100]
    assert_counted_once(lines)
    assert_counts_are_the_records(lines, trial)
    assert stormy.weight(NAME) == stormy.status(NAME)["weightPercent"] == 100
    before = [kill for kill in script.kills if kill.startswith("before")]
    after = [kill for kill in script.kills if kill.startswith("after")]
    assert len(after) == len(proxy.writes), "every write that was carried out was a kill's"
    print(f"\n{len(proxy.writes)} writes; killed {len(before)} times before and {len(after)} times after one:")
    print("\n".join(f"  {write}" for write in proxy.writes))
    header = stormy.kubectl.run("get", "abexperiments", "--output=wide").splitlines()[0]
    assert header.split() == COLUMNS.split()


pytestmark = pytest.mark.timeout(400)
