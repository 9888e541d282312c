"""Starting, listing and ending: what the operator does around its controllers."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from types import SimpleNamespace
from typing import Any

import pytest

from retrainer.kube.errors import ApiError, NotFound
from retrainer.kube.resources import JOB, TRAINING_RUN, Resource
from retrainer.plan import Object
from retrainer.runtime import operator as module
from retrainer.runtime.lease import NotLeader
from retrainer.runtime.operator import _endless, _Operator, _wait_for_kinds
from retrainer.runtime.watches import CHILD_SELECTOR, CHILDREN, OURS
from retrainer.settings import Settings


def obj(resource: Resource, name: str, namespace: str = "a", version: int = 1) -> Object:
    meta = {"namespace": namespace, "name": name, "uid": f"{namespace}-{name}", "resourceVersion": str(version)}
    return {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": meta}


class Lists:
    """A client that lists."""

    def __init__(self, *objects: Object) -> None:
        self.objects = list(objects)
        self.asked: list[tuple[str, str | None, str | None]] = []
        self.errors: list[Exception] = []

    async def list(self, resource: Resource, namespace: str, selector: str | None = None) -> list[Object]:
        self.asked.append((resource.plural, namespace, selector))
        if self.errors:
            raise self.errors.pop(0)
        return [o for o in self.objects if o["kind"] == resource.kind and o["metadata"]["namespace"] == namespace]


class Woken:
    """Wiring that remembers."""

    def __init__(self) -> None:
        self.enqueued: list[tuple[str, tuple[str, str]]] = []
        self.gone: list[str] = []

    def enqueue(self, resource: Resource, key: tuple[str, str]) -> None:
        self.enqueued.append((resource.kind, key))

    def changed(self, resource: Resource, gone: Object, deleted: bool) -> None:
        assert deleted
        self.gone.append(gone["metadata"]["name"])


def operator(namespaces: str = "a") -> Any:
    return _Operator(Settings.from_environment({"RETRAINER_NAMESPACES": namespaces, "RETRAINER_RESYNC_SECONDS": "1"}))


class TestBarrier:
    def test_every_kind_is_listed_once_in_every_namespace_children_by_label_and_before_ours(self) -> None:
        client = Lists()
        asyncio.run(operator("a,b")._list_everything(client, Woken()))
        order = [*CHILDREN, *OURS]
        for namespace in ("a", "b"):
            asked = [(plural, selector) for plural, where, selector in client.asked if where == namespace]
            assert asked == [(r.plural, CHILD_SELECTOR if r in CHILDREN else None) for r in order]

    def test_what_exists_is_in_the_cache_and_ours_wait_to_be_looked_at(self) -> None:
        one, woken = operator(), Woken()
        asyncio.run(one._list_everything(Lists(obj(TRAINING_RUN, "run"), obj(JOB, "job")), woken))
        assert one._cache.get(JOB, ("a", "job")) is not None
        assert woken.enqueued == [("TrainingRun", ("a", "run"))]

    def test_what_went_while_a_watch_was_broken_is_dropped_and_told(self) -> None:
        one, woken = operator(), Woken()
        one._cache.put(JOB, obj(JOB, "gone"))
        asyncio.run(one._list_everything(Lists(obj(JOB, "job")), woken))
        assert one._cache.get(JOB, ("a", "gone")) is None
        assert woken.gone == ["gone"]

    def test_a_namespace_that_is_not_listed_now_keeps_its_objects(self) -> None:
        one = operator("a")
        one._cache.put(JOB, obj(JOB, "job", namespace="b"))
        asyncio.run(one._list_everything(Lists(), Woken()))
        assert one._cache.get(JOB, ("b", "job")) is not None


def sleepless(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Sleeping takes no time and is remembered."""
    slept: list[float] = []
    yield_once = asyncio.sleep

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        await yield_once(0)

    monkeypatch.setattr(module.asyncio, "sleep", sleep)
    return slept


async def during(endless: Coroutine[Any, Any, Any], enough: Any) -> None:
    task = asyncio.create_task(endless)
    for _ in range(10_000):
        if enough() or task.done():
            break
        await asyncio.sleep(0)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


class TestResync:
    def test_it_goes_on_after_an_api_server_that_did_not_answer(self, monkeypatch: pytest.MonkeyPatch) -> None:
        sleepless(monkeypatch)
        client, woken = Lists(obj(TRAINING_RUN, "run")), Woken()
        client.errors.append(ApiError(0, "NoAnswer", "down"))
        asyncio.run(during(operator()._resync(client, woken), lambda: woken.enqueued))
        assert woken.enqueued

    def test_it_comes_at_jittered_times_about_as_often_as_set(self, monkeypatch: pytest.MonkeyPatch) -> None:
        slept = sleepless(monkeypatch)
        asyncio.run(during(operator()._resync(Lists(), Woken()), lambda: len([s for s in slept if s]) >= 5))
        pauses = [s for s in slept if s]
        assert all(0.8 <= pause <= 1.2 for pause in pauses)
        assert len(set(pauses)) > 1


class TestWaitingForKinds:
    def test_it_waits_until_every_definition_is_there(self, monkeypatch: pytest.MonkeyPatch) -> None:
        slept = sleepless(monkeypatch)
        client = Lists()
        client.errors = [NotFound(404, "NotFound", ""), NotFound(404, "NotFound", "")]
        asyncio.run(_wait_for_kinds(client, ("a",)))
        assert len(slept) == 2
        assert [plural for plural, _, _ in client.asked[-4:]] == [r.plural for r in OURS]

    def test_a_refusal_is_not_waited_for(self) -> None:
        client = Lists()
        client.errors = [ApiError(403, "Forbidden", "may not list")]
        with pytest.raises(ApiError, match="Forbidden"):
            asyncio.run(_wait_for_kinds(client, ("a",)))


class TestEnding:
    def test_a_part_that_may_not_end_and_does_is_an_error(self) -> None:
        async def part() -> None:
            return None

        with pytest.raises(RuntimeError, match="watches ended"):
            asyncio.run(_endless("watches", part()))

    def supervise(self, monkeypatch: pytest.MonkeyPatch, work: Any, stop: bool = False) -> int:
        one = operator()

        async def forever(*_: Any) -> None:
            await asyncio.Event().wait()

        monkeypatch.setattr(one, "_serve", forever)
        monkeypatch.setattr(one, "_work", work)

        async def main() -> int:
            if stop:
                asyncio.get_running_loop().call_soon(one._stopped.set)
            code: int = await asyncio.wait_for(one._supervise(None, None, SimpleNamespace()), 5)
            return code

        return asyncio.run(main())

    def test_told_to_stop_it_ends_with_0_and_its_parts_are_cancelled(self, monkeypatch: pytest.MonkeyPatch) -> None:
        cancelled = []

        async def work(*_: Any) -> None:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.append(True)
                raise

        assert self.supervise(monkeypatch, work, stop=True) == 0
        assert cancelled == [True]

    @pytest.mark.parametrize("error", [None, RuntimeError("worker ended")])
    def test_a_part_that_ends_with_or_without_an_error_ends_the_process_with_1(
        self, error: Exception | None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def work(*_: Any) -> None:
            if error is not None:
                raise error

        assert self.supervise(monkeypatch, work) == 1
        assert "work ended" in caplog.text

    def test_of_a_group_the_log_tells_what_each_part_ended_with(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """By itself a group says "2 sub-exceptions", and nobody knows why the process ended."""
        workers = ExceptionGroup("unhandled", [NotLeader("the lease a/x has run out")] * 2)

        async def work(*_: Any) -> None:
            raise ExceptionGroup("unhandled", [workers, RuntimeError("lease ended")])

        assert self.supervise(monkeypatch, work) == 1
        assert "work ended: NotLeader: the lease a/x has run out; RuntimeError: lease ended" in caplog.text


class TestLiveness:
    def test_a_loop_that_turns_is_alive_and_one_that_stands_still_is_not(self, monkeypatch: pytest.MonkeyPatch) -> None:
        one = operator()
        assert one._stall() is None
        monkeypatch.setattr(module.time, "monotonic", lambda: one._heartbeat + 31)
        assert one._stall() == "no turn of the event loop for 31 s"

    def test_a_stuck_pass_is_told_by_kind(self) -> None:
        stuck = SimpleNamespace(longest_pass_seconds=lambda: 301.0)
        well = SimpleNamespace(longest_pass_seconds=lambda: 2.0)
        vitals = module._pass_vitals(SimpleNamespace(controllers={TRAINING_RUN: stuck, JOB: well}))
        assert [(v.name, v.problem()) for v in vitals] == [("TrainingRun", "a pass lasts 301 s"), ("Job", None)]
