"""The order of a plan's writes, and that nothing is written by a process that no longer leads."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest
from unit.kube.kube_fakes import FakeClient, child

from retrainer.kube.carry_out import carry_out
from retrainer.kube.errors import ApiError, Conflict, NameConflict
from retrainer.plan import Event, Object, Plan, Ref

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
ABOUT: Object = {
    "apiVersion": "retrainer.dev/v1alpha1",
    "kind": "TrainingRun",
    "metadata": {"namespace": "team", "name": "run", "uid": "owner-uid"},
    "spec": {},
}


class NotLeader(Exception):
    """As the lease raises it."""


async def always() -> None:
    """May write."""


def everything(**more: object) -> Plan:
    replaced = child("ledger")
    return Plan(
        status={"stage": "Data"},
        creates=(child("job", kind="Job"),),
        applies=(child("server", kind="Deployment"),),
        replaces=({**replaced, "data": {"line": "2"}},),
        merges=((Ref("batch/v1", "Job", "team", "other"), {"spec": {"suspend": True}}),),
        deletes=(Ref("apps/v1", "Deployment", "team", "old", "uid-old"),),
        events=(Event("Started", "the data stage begins"),),
        **more,  # type: ignore[arg-type]
    )


def world() -> FakeClient:
    return FakeClient(ABOUT, child("ledger"), child("other", kind="Job"), child("old", kind="Deployment"))


def run(client: FakeClient, plan: Plan, may_write=always) -> list[Object]:
    written: list[Object] = []
    about = client.stored["retrainer.dev/v1alpha1", "TrainingRun", "team", "run"]
    asyncio.run(carry_out(client, about, plan, NOW, written.append, may_write))
    return written


def verbs(client: FakeClient) -> list[str]:
    return [verb if kind != "Event" else "event" for verb, kind, _ in client.log]


def test_children_come_before_the_status_and_deletions_and_events_after_it() -> None:
    """The status may tell of a child only when it exists; an interrupted pass finds the child again by its name."""
    client = world()
    run(client, everything())
    assert verbs(client) == ["create", "create", "replace", "status", "merge", "delete", "event"]


def test_a_status_that_must_precede_its_effect_is_written_first() -> None:
    client = world()
    run(client, everything(status_first=True))
    assert verbs(client)[:2] == ["status", "create"]
    assert verbs(client).count("status") == 1


def test_an_empty_plan_writes_nothing() -> None:
    client = world()
    assert run(client, Plan(requeue_after=5.0)) == []
    assert client.log == []


def test_the_cache_is_told_every_object_that_was_written() -> None:
    written = run(world(), everything())
    assert [(o["kind"], o["metadata"]["name"]) for o in written] == [
        ("Job", "job"),
        ("Deployment", "server"),
        ("ConfigMap", "ledger"),
        ("TrainingRun", "run"),
        ("Job", "other"),
    ]


@pytest.mark.parametrize("allowed", range(6))
def test_leadership_is_asked_before_each_write_and_ends_the_pass_there(allowed: int) -> None:
    client = world()
    asked = iter(range(100))

    async def may_write() -> None:
        if next(asked) >= allowed:
            raise NotLeader

    with pytest.raises(NotLeader):
        run(client, everything(), may_write)
    order = ["job", "server", "ledger", "run", "other", "old"]
    assert {name for _, _, name in client.log} == set(order[:allowed])


def test_a_name_conflict_ends_the_pass_before_the_status() -> None:
    client = FakeClient(ABOUT, child("job", owner=None, kind="Job"))
    with pytest.raises(NameConflict):
        run(client, Plan(status={"stage": "Data"}, creates=(child("job", kind="Job"),)))
    assert "status" not in verbs(client)


def test_a_ledger_that_somebody_else_wrote_is_a_conflict_and_the_status_is_not_written() -> None:
    client = world()
    stale = child("ledger")
    stale["metadata"]["resourceVersion"] = "0"
    with pytest.raises(Conflict):
        run(client, Plan(status={"windows": {"count": 2}}, replaces=(stale,)))
    assert verbs(client) == ["replace"]


def test_an_event_that_cannot_be_written_fails_nothing() -> None:
    client = world()
    client.fail["create", "Event"] = ApiError(403, "Forbidden", "no")
    run(client, Plan(status={"stage": "Data"}, events=(Event("A", "a"), Event("B", "b"))))
    assert verbs(client) == ["status", "event"]


def test_events_are_about_the_object_as_it_was_written() -> None:
    client = world()
    run(client, Plan(status={"stage": "Data"}, events=(Event("Started", "go"),)))
    told = next(obj for key, obj in client.stored.items() if key[1] == "Event")
    live = client.stored["retrainer.dev/v1alpha1", "TrainingRun", "team", "run"]
    assert told["involvedObject"]["resourceVersion"] == live["metadata"]["resourceVersion"]
