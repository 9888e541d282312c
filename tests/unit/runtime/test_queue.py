"""Laws of the work queue: no key is lost, none is worked on twice at a time, failures back off."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrainer.runtime.queue import WorkQueue


def run(body: Callable[[WorkQueue[str]], Awaitable[Any]]) -> Any:
    async def main() -> Any:
        return await asyncio.wait_for(body(WorkQueue(random.Random(1))), 10)

    return asyncio.run(main())


async def take(queue: WorkQueue[str]) -> str:
    return await asyncio.wait_for(queue.get(), 1)


class TestAdding:
    def test_keys_come_in_the_order_in_which_they_were_added(self) -> None:
        async def body(queue: WorkQueue[str]) -> list[str]:
            for key in "abc":
                queue.add(key)
            return [await take(queue) for _ in "abc"]

        assert run(body) == ["a", "b", "c"]

    def test_a_key_that_waits_is_not_added_again(self) -> None:
        async def body(queue: WorkQueue[str]) -> int:
            queue.add("a")
            queue.add("a")
            return len(queue)

        assert run(body) == 1

    def test_a_key_added_while_it_is_worked_on_waits_until_that_is_done_and_then_comes_once(self) -> None:
        async def body(queue: WorkQueue[str]) -> tuple[int, int, str, int]:
            queue.add("a")
            key = await take(queue)
            queue.add("a")
            queue.add("a")
            during = len(queue)
            queue.done(key)
            after = len(queue)
            return during, after, await take(queue), len(queue)

        assert run(body) == (0, 1, "a", 0)

    def test_a_key_that_is_done_and_was_not_added_meanwhile_does_not_come_again(self) -> None:
        async def body(queue: WorkQueue[str]) -> int:
            queue.add("a")
            queue.done(await take(queue))
            return len(queue)

        assert run(body) == 0

    def test_a_worker_that_waits_is_woken(self) -> None:
        async def body(queue: WorkQueue[str]) -> str:
            waiting = asyncio.create_task(queue.get())
            await asyncio.sleep(0)
            queue.add("a")
            return await waiting

        assert run(body) == "a"

    def test_a_worker_that_is_cancelled_while_it_waits_takes_no_key_with_it(self) -> None:
        async def body(queue: WorkQueue[str]) -> str:
            waiting = asyncio.create_task(queue.get())
            await asyncio.sleep(0)
            queue.add("a")
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
            return await take(queue)

        assert run(body) == "a"


class TestDelays:
    def test_a_delayed_key_comes_after_its_delay(self) -> None:
        async def body(queue: WorkQueue[str]) -> tuple[int, float]:
            loop = asyncio.get_running_loop()
            started = loop.time()
            queue.add_after("a", 0.03)
            before = len(queue)
            await take(queue)
            return before, loop.time() - started

        before, waited = run(body)
        assert before == 0
        assert waited >= 0.03

    @pytest.mark.parametrize("delay", [0.0, -1.0])
    def test_no_delay_is_at_once(self, delay: float) -> None:
        async def body(queue: WorkQueue[str]) -> int:
            queue.add_after("a", delay)
            return len(queue)

        assert run(body) == 1

    @pytest.mark.parametrize("delays", [(0.01, 500.0), (500.0, 0.01)])
    def test_the_earliest_of_several_delays_counts(self, delays: tuple[float, float]) -> None:
        async def body(queue: WorkQueue[str]) -> str:
            for delay in delays:
                queue.add_after("a", delay)
            return await take(queue)

        assert run(body) == "a"

    def test_a_delayed_key_that_is_added_at_once_comes_at_once(self) -> None:
        async def body(queue: WorkQueue[str]) -> str:
            queue.add_after("a", 500.0)
            queue.add("a")
            return await take(queue)

        assert run(body) == "a"


class TestBackOff:
    def delays(self, failures: int) -> list[float]:
        async def body(queue: WorkQueue[str]) -> list[float]:
            return [queue.retry("a") for _ in range(failures)]

        return run(body)

    def test_delays_double_from_5_milliseconds_with_a_jitter_of_a_fifth(self) -> None:
        for number, delay in enumerate(self.delays(10)):
            assert 0.8 * 0.005 * 2**number <= delay <= 1.2 * 0.005 * 2**number

    def test_delays_end_at_about_1000_seconds_however_often_it_fails(self) -> None:
        assert all(800.0 <= delay <= 1200.0 for delay in self.delays(60)[20:])

    def test_jitter_keeps_two_keys_that_fail_together_apart(self) -> None:
        async def body(queue: WorkQueue[str]) -> set[float]:
            return {queue.retry(key) for key in "abcdefgh"}

        assert len(run(body)) == 8

    def test_success_begins_anew(self) -> None:
        async def body(queue: WorkQueue[str]) -> tuple[int, int, float]:
            for _ in range(8):
                queue.retry("a")
            failures = queue.failures("a")
            queue.forget("a")
            return failures, queue.failures("a"), queue.retry("a")

        failures, forgotten, delay = run(body)
        assert (failures, forgotten) == (8, 0)
        assert delay <= 0.006

    def test_keys_fail_each_for_itself(self) -> None:
        async def body(queue: WorkQueue[str]) -> tuple[int, int]:
            queue.retry("a")
            return queue.failures("a"), queue.failures("b")

        assert run(body) == (1, 0)

    def test_a_key_that_failed_comes_again(self) -> None:
        async def body(queue: WorkQueue[str]) -> str:
            queue.add("a")
            key = await take(queue)
            queue.retry(key)
            queue.done(key)
            return await take(queue)

        assert run(body) == "a"


Step = tuple[str, str]
STEPS = st.lists(
    st.tuples(st.sampled_from(["add", "later", "work", "fail", "pause"]), st.sampled_from(["a", "b", "c"])), max_size=60
)


@settings(max_examples=120, deadline=None)
@given(STEPS, st.integers(min_value=1, max_value=4))
def test_whatever_happens_no_key_is_worked_on_twice_at_a_time_and_none_is_lost(steps: list[Step], workers: int) -> None:
    """Law. After each `add` of a key there is a pass over it that began later; passes of one key never overlap."""
    asked: Counter[str] = Counter()
    begun_after: dict[str, int] = {}
    at_work: set[str] = set()
    overlaps: list[str] = []
    fails = iter([what == "fail" for what, _ in steps])

    async def worker(queue: WorkQueue[str]) -> None:
        while True:
            key = await queue.get()
            if key in at_work:
                overlaps.append(key)
            at_work.add(key)
            begun_after[key] = asked[key]
            await asyncio.sleep(0)
            at_work.discard(key)
            if next(fails, False):
                queue.retry(key)
            else:
                queue.forget(key)
            queue.done(key)

    async def main() -> None:
        queue: WorkQueue[str] = WorkQueue(random.Random(0))
        tasks = [asyncio.create_task(worker(queue)) for _ in range(workers)]
        for what, key in steps:
            if what == "pause":
                await asyncio.sleep(0)
            elif what == "later":
                asked[key] += 1
                queue.add_after(key, 0.0005)
            else:
                asked[key] += 1
                queue.add(key)

        async def settled() -> None:
            while any(begun_after.get(key, 0) < count for key, count in asked.items()) or at_work or len(queue):
                await asyncio.sleep(0.001)

        await asyncio.wait_for(settled(), 5)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(main())
    assert overlaps == []
    assert all(begun_after[key] == count for key, count in asked.items())
