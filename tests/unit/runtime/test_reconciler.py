"""What an error in a pass means for its object: look again, say so, or leave it to the next event."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from unit.kube.kube_fakes import FakeClient, child

from retrainer.kube.cache import Cache
from retrainer.kube.errors import ApiError, Conflict, NameConflict, NotFound, Refused
from retrainer.kube.resources import CONFIG_MAP, TRAINING_RUN
from retrainer.plan import Event, Object, Plan
from retrainer.runtime.lease import NotLeader
from retrainer.runtime.reconciler import Reconciler, Surroundings

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
KEY = ("team", "run")
SECRET = "password=hunter2"


@dataclass(frozen=True)
class Input:
    obj: Object
    name_conflict: str | None = None


def run_object(**more: object) -> Object:
    meta = {"namespace": "team", "name": "run", "uid": "owner-uid", "generation": 3}
    return {"apiVersion": "retrainer.dev/v1alpha1", "kind": "TrainingRun", "metadata": meta, "spec": {}, **more}


class World:
    """One object in API server and cache, and a decision that a test chooses."""

    def __init__(self, decide: Callable[[Input], Plan], *others: Object, obj: Object | None = None) -> None:
        self.client = FakeClient(obj or run_object(), *others)
        self.cache = Cache()
        self.inputs: list[Input] = []
        self.observe_error: Exception | None = None
        self._decide = decide
        self.leads = True
        self.catch_up()

    def catch_up(self) -> None:
        self.cache.put(TRAINING_RUN, self.live)

    @property
    def live(self) -> Object:
        return self.client.stored["retrainer.dev/v1alpha1", "TrainingRun", *KEY]

    def reconcile(self, failures: int = 0) -> float | None:
        around = Surroundings(self.client, self.cache, self._may_write, lambda: NOW)
        reconciler: Reconciler[Input] = Reconciler(TRAINING_RUN, around, self._observe, self._decided, "Succeeded")
        return asyncio.run(reconciler.reconcile(KEY, failures))

    def fails(self, error: type[Exception], failures: int = 0) -> None:
        with pytest.raises(error):
            self.reconcile(failures)

    def written(self) -> list[tuple[str, str]]:
        return [(verb, kind) for verb, kind, _ in self.client.log]

    def condition(self, type: str) -> Object | None:
        conditions = self.live.get("status", {}).get("conditions", ())
        return next((c for c in conditions if c["type"] == type), None)

    async def _observe(self, obj: Object) -> Input:
        if self.observe_error is not None:
            raise self.observe_error
        return Input(obj)

    def _decided(self, seen: Input, now: datetime) -> Plan:
        assert now == NOW
        self.inputs.append(seen)
        return self._decide(seen)

    async def _may_write(self) -> None:
        if not self.leads:
            raise NotLeader("run out")


def always(plan: Plan) -> Callable[[Input], Plan]:
    return lambda _: plan


STAGED = Plan(status={"stage": "Data"}, requeue_after=5.0)


class TestPass:
    def test_the_plan_is_carried_out_and_its_next_look_returned(self) -> None:
        world = World(always(STAGED))
        assert world.reconcile() == 5.0
        assert world.live["status"] == {"stage": "Data"}

    def test_the_cache_knows_the_written_status_at_once_so_that_the_next_pass_does_not_repeat_it(self) -> None:
        world = World(always(STAGED))
        world.reconcile()
        world.reconcile()
        assert world.written() == [("status", "TrainingRun")]
        assert world.inputs[1].obj["status"] == {"stage": "Data"}

    def test_an_unchanged_status_is_not_written(self) -> None:
        world = World(always(STAGED), obj=run_object(status={"stage": "Data"}))
        world.reconcile()
        assert world.written() == []

    def test_an_object_that_nobody_knows_is_left_alone(self) -> None:
        world = World(always(STAGED))
        world.cache.remove(TRAINING_RUN, world.live)
        assert world.reconcile() is None
        assert world.inputs == []

    def test_an_object_that_is_being_deleted_is_left_alone(self) -> None:
        deleted = run_object()
        deleted["metadata"]["deletionTimestamp"] = "2026-11-21T11:59:00Z"
        world = World(always(STAGED), obj=deleted)
        assert world.reconcile() is None
        assert world.written() == []


class TestConflict:
    def test_a_stale_object_is_refreshed_and_the_next_pass_succeeds(self) -> None:
        world = World(always(STAGED))
        world.client._store({**world.live, "spec": {"suspend": True}}, "somebody", "Update")
        world.fails(Conflict)
        assert world.reconcile() == 5.0
        assert world.inputs[-1].obj["spec"] == {"suspend": True}
        assert world.live["spec"] == {"suspend": True}

    def test_an_object_that_was_replaced_meanwhile_is_refreshed_to_its_successor(self) -> None:
        world = World(always(STAGED))
        successor = run_object()
        successor["metadata"]["uid"] = "successor"
        world.client._store(successor, "somebody", "Update")
        world.fails(Conflict)
        world.reconcile()
        assert world.inputs[-1].obj["metadata"]["uid"] == "successor"

    def test_a_child_that_conflicts_for_ever_backs_off_and_is_told(self) -> None:
        stale = child("ledger")
        stale["metadata"]["resourceVersion"] = "0"
        world = World(always(Plan(replaces=(stale,))), child("ledger"))
        world.fails(Conflict, failures=4)
        told = world.condition("Succeeded")
        assert told is not None and "409 Conflict" in told["message"]


class TestNameConflict:
    @staticmethod
    def decide(seen: Input) -> Plan:
        if seen.name_conflict is not None:
            stalled = {"stage": "Stalled", "message": seen.name_conflict}
            told = Event("NameConflict", seen.name_conflict, "Warning")
            return Plan(status=stalled, events=() if seen.obj.get("status") == stalled else (told,), requeue_after=1.0)
        return Plan(status={"stage": "Data"}, creates=(child("snapshot"),))

    def world(self) -> World:
        return World(self.decide, {**child("snapshot", owner=None), "data": {"mine": "1"}})

    def test_the_decision_is_asked_again_with_the_conflict_and_says_so_on_the_status(self) -> None:
        world = self.world()
        assert world.reconcile() == 60.0
        assert "ConfigMap snapshot exists" in world.live["status"]["message"]
        assert [seen.name_conflict is None for seen in world.inputs] == [True, False]
        assert ("create", "Event") in world.written()

    def test_the_users_object_stays_as_it_is(self) -> None:
        world = self.world()
        world.reconcile()
        live = world.client.live("ConfigMap", "snapshot")
        assert live is not None and live["data"] == {"mine": "1"} and "ownerReferences" not in live["metadata"]

    def test_while_it_lasts_nothing_more_is_written(self) -> None:
        world = self.world()
        world.reconcile()
        before = len(world.client.log)
        world.reconcile()
        assert world.written()[before:] == [("create", "ConfigMap")]  # refused by the server

    def test_when_the_name_is_free_the_pass_goes_on(self) -> None:
        world = self.world()
        world.reconcile()
        del world.client.stored["v1", "ConfigMap", "team", "snapshot"]
        world.reconcile()
        assert world.live["status"] == {"stage": "Data"}

    def test_what_the_second_decision_wants_to_create_is_not_created(self) -> None:
        def decide(seen: Input) -> Plan:
            return Plan(status={"stage": str(seen.name_conflict)}, creates=(child("snapshot"), child("other")))

        world = World(decide, child("snapshot", owner=None))
        world.reconcile()
        assert world.client.live("ConfigMap", "other") is None

    def test_a_record_that_was_written_first_is_not_overwritten_by_what_was_decided_without_it(self) -> None:
        def decide(seen: Input) -> Plan:
            before = dict(seen.obj.get("status") or {})
            if seen.name_conflict is not None:
                return Plan(status={**before, "stalled": True})
            return Plan(status={**before, "dataset": "frozen"}, status_first=True, creates=(child("snapshot"),))

        world = World(decide, child("snapshot", owner=None))
        world.fails(Conflict)
        assert world.live["status"] == {"dataset": "frozen"}
        world.reconcile()
        assert world.live["status"] == {"dataset": "frozen", "stalled": True}


class TestLastingErrors:
    ERRORS = (
        ApiError(500, "InternalError", "etcd is slow"),
        NotFound(404, "NotFound", "namespace team not found"),
        Refused(403, "Forbidden", "may not create jobs"),
        ValueError("spec.data.window: from must be before to"),
    )

    @pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
    @pytest.mark.parametrize("failures", range(4))
    def test_a_short_one_is_raised_for_back_off_and_not_told(self, error: Exception, failures: int) -> None:
        world = World(always(STAGED))
        world.observe_error = error
        world.fails(type(error), failures)
        assert world.written() == []

    @pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
    def test_one_that_lasts_is_told_on_the_main_condition(self, error: Exception) -> None:
        world = World(always(STAGED))
        world.observe_error = error
        world.fails(type(error), failures=4)
        told = world.condition("Succeeded")
        assert told is not None
        assert (told["status"], told["reason"], told["observedGeneration"]) == ("Unknown", "Error", 3)
        assert str(error) in told["message"]

    def test_only_a_refusal_needs_a_person(self) -> None:
        for error, stalled in zip(self.ERRORS, (False, False, True, False), strict=True):
            world = World(always(STAGED))
            world.observe_error = error
            world.fails(type(error), failures=4)
            assert (world.condition("Stalled") is not None) is stalled

    def test_the_rest_of_the_status_is_kept(self) -> None:
        world = World(always(STAGED), obj=run_object(status={"stage": "Data", "attempts": 2}))
        world.observe_error = ValueError("x")
        world.fails(ValueError, failures=4)
        assert (world.live["status"]["stage"], world.live["status"]["attempts"]) == ("Data", 2)

    def test_it_is_told_once_and_not_with_every_try(self) -> None:
        world = World(always(STAGED))
        world.observe_error = ValueError("x")
        for failures in range(4, 12):
            world.fails(ValueError, failures)
        assert world.written() == [("status", "TrainingRun")]

    def test_the_text_of_an_error_that_nobody_foresaw_is_not_shown(self) -> None:
        """It may quote anything: a driver's connection string, a record."""
        world = World(always(STAGED))
        world.observe_error = RuntimeError(SECRET)
        world.fails(RuntimeError, failures=4)
        told = world.condition("Succeeded")
        assert told is not None
        assert "RuntimeError" in told["message"] and SECRET not in str(world.live)

    def test_a_message_of_any_length_fits(self) -> None:
        world = World(always(STAGED))
        world.observe_error = ValueError("m" * 5000)
        world.fails(ValueError, failures=4)
        told = world.condition("Succeeded")
        assert told is not None and len(told["message"]) <= 500

    def test_an_error_that_cannot_be_told_hides_nothing(self) -> None:
        world = World(always(STAGED))
        world.observe_error = ValueError("x")
        world.client.fail["status", "TrainingRun"] = ApiError(500, "InternalError", "etcd is slow")
        world.fails(ValueError, failures=4)

    def test_an_object_that_is_gone_is_forgotten(self) -> None:
        world = World(always(STAGED))
        del world.client.stored["retrainer.dev/v1alpha1", "TrainingRun", "team", "run"]
        world.fails(NotFound, failures=4)
        assert world.reconcile() is None


class TestLeadership:
    def test_who_no_longer_leads_writes_nothing_and_says_so(self) -> None:
        world = World(always(Plan(status={"stage": "Data"}, creates=(child("snapshot"),))))
        world.leads = False
        world.fails(NotLeader, failures=9)
        assert world.written() == []

    def test_leadership_lost_between_an_error_and_telling_it_ends_the_pass(self) -> None:
        world = World(always(STAGED))
        world.observe_error = ValueError("x")
        world.leads = False
        world.fails(NotLeader, failures=4)
        assert world.written() == []


def test_children_that_were_written_are_in_the_cache_at_once() -> None:
    labels = {"retrainer.dev/owner-kind": "trainingrun", "retrainer.dev/owner-name": "run"}
    world = World(always(Plan(creates=(child("snapshot", **labels),))))
    world.reconcile()
    assert [c["metadata"]["name"] for c in world.cache.children(CONFIG_MAP, "trainingrun", KEY)] == ["snapshot"]


def test_a_name_conflict_names_what_to_do() -> None:
    assert "rename" in str(NameConflict("Job", "run-train-1"))


class TestTellingDoesNoHarm:
    def test_a_verdict_is_not_overturned_by_an_error_after_it(self) -> None:
        """A cancelled run whose Job cannot be deleted at the moment would come to life again."""
        verdict = {"type": "Succeeded", "status": "False", "reason": "Cancelled", "message": "m"}
        world = World(always(STAGED), obj=run_object(status={"conditions": [verdict]}))
        world.observe_error = ApiError(500, "InternalError", "etcd is slow")
        world.fails(ApiError, failures=4)
        assert world.live["status"] == {"conditions": [verdict]}
        assert world.written() == []

    def test_a_message_that_differs_with_every_try_does_not_end_the_back_off_with_every_try(self) -> None:
        world = World(always(STAGED))
        for failures in range(4, 64):
            world.observe_error = ValueError(f"read udp 10.0.0.5:{40_000 + failures}: i/o timeout")
            world.fails(ValueError, failures)
        assert world.written() == [("status", "TrainingRun")] * 4
        told = world.condition("Succeeded")
        assert told is not None and "40032" in told["message"]
