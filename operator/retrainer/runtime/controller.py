"""Workers that take keys from a queue and run passes; every result is counted, nothing ends a worker."""

from __future__ import annotations

import asyncio
import logging
import time
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path

from retrainer.kube.cache import Key
from retrainer.runtime.lease import NotLeader
from retrainer.runtime.metrics import Metrics
from retrainer.runtime.queue import WorkQueue

_log = logging.getLogger(__name__)


class Controller:
    """One kind's queue and workers."""

    def __init__(
        self,
        kind: str,
        reconcile: Callable[[Key, int], Awaitable[float | None]],
        metrics: Metrics,
        workers: int,
        pass_timeout_seconds: float = 120.0,
    ) -> None:
        self.kind = kind
        self.queue: WorkQueue[Key] = WorkQueue()
        self._reconcile = reconcile
        self._metrics = metrics
        self._workers = workers
        self._pass_timeout = pass_timeout_seconds
        self._busy_since: dict[int, float] = {}
        metrics.depth.labels(kind).set_function(lambda: len(self.queue))

    async def run(self) -> None:
        """Work for ever; raises when a worker ends, which must end the process."""
        async with asyncio.TaskGroup() as group:
            for number in range(self._workers):
                group.create_task(self._work(number), name=f"{self.kind}-{number}")

    def longest_pass_seconds(self) -> float:
        """How long the longest pass under way has lasted (for the liveness probe)."""
        now = time.monotonic()
        return max((now - since for since in self._busy_since.values()), default=0.0)

    async def _work(self, number: int) -> None:
        while True:
            key = await self.queue.get()
            self._busy_since[number] = time.monotonic()
            try:
                await self._one(key)
            finally:
                self._busy_since.pop(number, None)
                self.queue.done(key)

    async def _one(self, key: Key) -> None:
        result = "success"
        with self._metrics.duration.labels(self.kind).time():
            try:
                async with asyncio.timeout(self._pass_timeout):
                    after = await self._uncancelled(key)
            except NotLeader:
                raise
            except Exception as error:  # whatever one object does, the others go on
                result = "error"
                delay = self.queue.retry(key)
                level = logging.WARNING if self.queue.failures(key) > 2 else logging.DEBUG
                _log.log(level, "%s %s/%s: %s; again in %.2f s", self.kind, *key, _describe(error), delay)
            else:
                self.queue.forget(key)
                if after is not None:
                    self.queue.add_after(key, after)
        self._metrics.reconciles.labels(self.kind, result).inc()


    async def _uncancelled(self, key: Key) -> float | None:
        """A cancellation from inside a pass is an error of it; only one from outside may end the worker.

        A task group takes a worker that ends cancelled for one that was told to end, and would not notice.
        """
        task = asyncio.current_task()
        assert task is not None
        try:
            return await self._reconcile(key, self.queue.failures(key))
        except asyncio.CancelledError:
            if task.cancelling():
                raise
            raise RuntimeError("something that the pass waited for was cancelled") from None


def _describe(error: Exception) -> str:
    """Kind, text and place of an error; the text of a driver's error never gets here (it is mapped before)."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "retrainer" in frame.filename]
    place = f" (at {Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {error}"[:500] + place
