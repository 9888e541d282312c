"""Workers: one object's errors are counted and backed off, and never stop the others."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

import pytest

from retrainer.kube.cache import Key
from retrainer.runtime.controller import Controller
from retrainer.runtime.lease import NotLeader
from retrainer.runtime.metrics import Metrics

A, B, C = ("team", "a"), ("team", "b"), ("team", "c")
Reconcile = Callable[[Key, int], Awaitable[float | None]]


class Passes:
    """A reconcile function that records its calls; `errors` holds what each key's next passes raise."""

    def __init__(self, errors: dict[Key, list[BaseException]] | None = None) -> None:
        self.calls: list[tuple[Key, int]] = []
        self.errors = errors or {}
        self.changed = asyncio.Event()

    async def __call__(self, key: Key, failures: int) -> float | None:
        self.calls.append((key, failures))
        self.changed.set()
        waiting = self.errors.get(key)
        if waiting:
            raise waiting.pop(0)
        return None

    async def until(self, count: int) -> None:
        while len(self.calls) < count:
            self.changed.clear()
            await self.changed.wait()


def work(
    reconcile: Reconcile,
    *keys: Key,
    until: Callable[[], Awaitable[None]],
    workers: int = 1,
    pass_timeout: float = 5.0,
    metrics: Metrics | None = None,
) -> Controller:
    """Run a controller over these keys until a condition holds."""

    async def main() -> Controller:
        controller = Controller("TrainingRun", reconcile, metrics or Metrics(), workers, pass_timeout)
        for key in keys:
            controller.queue.add(key)
        running = asyncio.create_task(controller.run())
        stop = asyncio.create_task(until())
        await asyncio.wait({running, stop}, return_when=asyncio.FIRST_COMPLETED, timeout=10)
        ended = running.done()
        running.cancel()
        stop.cancel()
        results = await asyncio.gather(running, stop, return_exceptions=True)
        if ended and isinstance(results[0], BaseException):
            raise results[0]
        return controller

    return asyncio.run(main())


def counted(metrics: Metrics, result: str) -> float:
    return (
        metrics.registry.get_sample_value("retrainer_reconcile_total", {"kind": "TrainingRun", "result": result}) or 0
    )


def test_a_pass_that_fails_is_tried_again_and_told_how_often_it_failed() -> None:
    passes = Passes({A: [OSError("x"), OSError("x")]})
    work(passes, A, until=lambda: passes.until(3))
    assert passes.calls == [(A, 0), (A, 1), (A, 2)]


def test_success_forgets_the_failures() -> None:
    passes = Passes({A: [OSError("x")]})

    async def until() -> None:
        await passes.until(2)
        await asyncio.sleep(0)

    assert work(passes, A, until=until).queue.failures(A) == 0


@pytest.mark.parametrize(
    "error", [ValueError("x"), OSError("x"), KeyError("x"), TimeoutError(), asyncio.CancelledError(), AssertionError()]
)
def test_an_object_whose_passes_always_fail_does_not_keep_others_waiting(error: BaseException) -> None:
    passes = Passes({A: [error] * 1000})

    async def until() -> None:
        while not {B, C} <= {key for key, _ in passes.calls} or passes.calls.count((A, 1)) == 0:
            await asyncio.sleep(0.001)

    work(passes, A, B, C, until=until)
    assert (A, 1) in passes.calls


def test_a_pass_that_hangs_is_ended_and_counted_as_an_error() -> None:
    async def hang(key: Key, failures: int) -> float | None:
        if key == A:
            await asyncio.Event().wait()
        return None

    metrics = Metrics()

    async def until() -> None:
        while counted(metrics, "error") < 1 or counted(metrics, "success") < 1:
            await asyncio.sleep(0.001)

    work(hang, A, B, until=until, pass_timeout=0.02, metrics=metrics)
    assert counted(metrics, "error") >= 1


def test_a_hanging_object_holds_one_worker_and_the_others_go_on() -> None:
    passes = Passes()

    async def reconcile(key: Key, failures: int) -> float | None:
        if key == A:
            await asyncio.Event().wait()
        return await passes(key, failures)

    work(reconcile, A, B, C, until=lambda: passes.until(2), workers=2)
    assert {key for key, _ in passes.calls} == {B, C}


def test_a_pass_may_ask_to_be_repeated_later() -> None:
    calls: list[Key] = []

    async def reconcile(key: Key, failures: int) -> float | None:
        calls.append(key)
        return 0.002

    async def until() -> None:
        while len(calls) < 3:
            await asyncio.sleep(0.001)

    work(reconcile, A, until=until)
    assert calls[:3] == [A, A, A]


def test_a_pass_that_asks_for_nothing_is_not_repeated() -> None:
    passes = Passes()

    async def until() -> None:
        await passes.until(1)
        await asyncio.sleep(0.02)

    work(passes, A, until=until)
    assert passes.calls == [(A, 0)]


def test_no_two_workers_are_at_one_object() -> None:
    at_work: list[Key] = []
    overlaps: list[Key] = []
    calls = 0

    async def reconcile(key: Key, failures: int) -> float | None:
        nonlocal calls
        calls += 1
        overlaps.extend(k for k in at_work if k == key)
        at_work.append(key)
        await asyncio.sleep(0.001)
        at_work.remove(key)
        return 0.0

    async def until() -> None:
        while calls < 30:
            await asyncio.sleep(0.001)

    work(reconcile, A, B, until=until, workers=4)
    assert overlaps == []


def test_a_process_that_no_longer_leads_stops_working() -> None:
    passes = Passes({A: [NotLeader("run out")]})
    with pytest.raises(ExceptionGroup) as ended:
        work(passes, A, until=lambda: passes.until(2))
    assert ended.group_contains(NotLeader)
    assert passes.calls == [(A, 0)]


def test_passes_are_counted_by_result_and_timed() -> None:
    metrics, passes = Metrics(), Passes({A: [OSError("x")]})

    async def until() -> None:
        while counted(metrics, "success") < 2:
            await asyncio.sleep(0.001)

    work(passes, A, B, until=until, metrics=metrics)
    assert (counted(metrics, "error"), counted(metrics, "success")) == (1, 2)
    labels = {"kind": "TrainingRun"}
    assert metrics.registry.get_sample_value("retrainer_reconcile_duration_seconds_count", labels) == 3
    assert metrics.registry.get_sample_value("retrainer_queue_depth", labels) == 0


def test_the_longest_pass_under_way_is_known_to_the_probe() -> None:
    seen: list[float] = []

    async def main() -> None:
        release = asyncio.Event()

        async def reconcile(key: Key, failures: int) -> float | None:
            await release.wait()
            return None

        controller = Controller("TrainingRun", reconcile, Metrics(), 2)
        seen.append(controller.longest_pass_seconds())
        controller.queue.add(A)
        running = asyncio.create_task(controller.run())
        while not controller.longest_pass_seconds():
            await asyncio.sleep(0.001)
        first = controller.longest_pass_seconds()
        await asyncio.sleep(0.01)
        seen.append(controller.longest_pass_seconds() - first)
        release.set()
        while controller.longest_pass_seconds():
            await asyncio.sleep(0.001)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(main())
    assert seen[0] == 0.0
    assert seen[1] >= 0.009


def test_only_errors_that_last_are_logged_as_warnings_and_say_where(caplog: pytest.LogCaptureFixture) -> None:
    passes = Passes({A: [OSError("disk"), OSError("disk"), OSError("disk")]})
    with caplog.at_level(logging.DEBUG, "retrainer.runtime.controller"):
        work(passes, A, until=lambda: passes.until(4))
    levels = [record.levelno for record in caplog.records]
    assert levels == [logging.DEBUG, logging.DEBUG, logging.WARNING]
    assert "TrainingRun team/a: OSError: disk" in caplog.text
