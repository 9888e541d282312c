"""A work queue of keys: each key at most once in it, never worked on twice at a time, with back-off."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

_FIRST_DELAY_SECONDS = 0.005
_LONGEST_DELAY_SECONDS = 1000.0


class WorkQueue(Generic[K]):
    """Semantics of client-go's rate-limiting queue.

    A key added while it is worked on is worked on again afterwards; adding a waiting key changes nothing.
    """

    def __init__(self, rng: random.Random | None = None) -> None:
        self._ready: deque[K] = deque()
        self._dirty: set[K] = set()
        self._processing: set[K] = set()
        self._timers: dict[K, asyncio.TimerHandle] = {}
        self._failures: dict[K, int] = {}
        self._wake = asyncio.Event()
        self._rng = rng or random.Random()

    def __len__(self) -> int:
        return len(self._ready)

    def add(self, key: K) -> None:
        """Work on this key soon."""
        if key in self._dirty:
            return
        self._dirty.add(key)
        if key not in self._processing:
            self._ready.append(key)
            self._wake.set()

    def add_after(self, key: K, delay: float) -> None:
        """Work on this key in `delay` seconds, or earlier if asked earlier."""
        if delay <= 0:
            self.add(key)
            return
        loop = asyncio.get_running_loop()
        known = self._timers.get(key)
        if known is not None:
            if known.when() <= loop.time() + delay:
                return
            known.cancel()
        self._timers[key] = loop.call_later(delay, self._due, key)

    def retry(self, key: K) -> float:
        """Work on this key after an exponentially growing, jittered delay (5 ms to 1,000 s), which is returned."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        delay = min(_FIRST_DELAY_SECONDS * 2.0 ** min(failures, 30), _LONGEST_DELAY_SECONDS)
        delay *= self._rng.uniform(0.8, 1.2)
        self.add_after(key, delay)
        return delay

    def failures(self, key: K) -> int:
        """How often in a row this key has failed."""
        return self._failures.get(key, 0)

    def forget(self, key: K) -> None:
        """The key succeeded: its next failure starts with the shortest delay."""
        self._failures.pop(key, None)

    async def get(self) -> K:
        """The next key; call `done` when finished with it."""
        while not self._ready:
            self._wake.clear()
            await self._wake.wait()
        key = self._ready.popleft()
        self._dirty.discard(key)
        self._processing.add(key)
        return key

    def done(self, key: K) -> None:
        """Finished with this key; if it was added meanwhile, it waits again."""
        self._processing.discard(key)
        if key in self._dirty:
            self._ready.append(key)
            self._wake.set()

    def _due(self, key: K) -> None:
        self._timers.pop(key, None)
        self.add(key)
