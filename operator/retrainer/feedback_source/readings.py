"""Readings from sources: asked for and never awaited, so that no source can hold up a pass.

`get` returns at once what is known: a value with its age, an error of the catalogue, or nothing yet. What is
missing or stale is read in the background: one read at a time per source, each with the connector's own hard
time-outs, in threads that only readings use; a source whose read outlives even those gets no second thread before
the first has ended. When a read ends, the object that asked is woken. What is kept here is a cache of the outside:
losing it costs a read and decides nothing. Sources that nobody asks for any more are forgotten.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol

from retrainer.feedback.errors import SourceError, TimedOut, Unreachable

_log = logging.getLogger(__name__)

SourceKey = Hashable
"""What is read: (namespace, name) of a FeedbackSource, or an Endpoint of Prometheus."""


class Source(Protocol):
    """What is opened and asked; each kind of source has questions of its own."""

    def close(self) -> None: ...


_THREADS = 32
_KEPT_PER_SOURCE = 64
_RETRY_SECONDS = 5.0
"""A failed read is not repeated sooner, whoever asks."""
_FORGOTTEN_AFTER_SECONDS = 2 * 86_400.0
"""Longer than the longest syncIntervalSeconds."""
_GRACE_SECONDS = 5.0
"""What a read may take beyond the connector's own limit."""


@dataclass(frozen=True)
class Question:
    """What is asked of a source: `ask` is called with it as it was opened, in a thread; `name` identifies the
    answer."""

    name: Hashable
    ask: Callable[[Any], Any] = field(compare=False)


@dataclass(frozen=True)
class Reading:
    """What is known now. `value` and `error` are both None while nothing has been read yet."""

    value: Any = None
    error: SourceError | None = None
    age_seconds: float = 0.0

    @property
    def pending(self) -> bool:
        return self.value is None and self.error is None


@dataclass(frozen=True)
class Opened:
    """How to open a source now; another `fingerprint` means spec or credentials changed."""

    fingerprint: Hashable
    open: Callable[[], Source]


Owner = tuple[str, tuple[str, str]]
"""Whom to wake: kind (lower case) and key."""


class _Source:
    def __init__(self) -> None:
        self.fingerprint: Hashable = None
        self.connector: Source | None = None
        self.answers: OrderedDict[Hashable, tuple[Reading, float]] = OrderedDict()
        self.waiting: OrderedDict[Hashable, tuple[Question, set[Owner]]] = OrderedDict()
        self.worker: asyncio.Task[None] | None = None
        self.running: Future[Any] | None = None
        self.asked_at = 0.0


class Readings:
    """Answers of all sources. `load` says how to open a source and raises SourceError where that is impossible."""

    def __init__(
        self,
        load: Callable[[SourceKey], Awaitable[Opened]],
        wake: Callable[[Owner], None],
        timeout_seconds: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._load = load
        self._wake = wake
        self._timeout = timeout_seconds
        self._monotonic = monotonic
        self._sources: dict[SourceKey, _Source] = {}
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="source")

    def get(self, key: SourceKey, question: Question, owner: Owner, max_age_seconds: float | None) -> Reading:
        """What is known of `question`; a read is started when there is no answer younger than `max_age_seconds`
        (None: an answer never ages, as that of a closed window)."""
        source = self._sources.get(key) or self._admit(key)
        source.asked_at = self._monotonic()
        known = source.answers.get(question.name)
        if known is not None:
            source.answers.move_to_end(question.name)  # what is still asked for is forgotten last
            reading, at = known
            age = self._monotonic() - at
            limit = _RETRY_SECONDS if reading.error is not None else max_age_seconds
            if limit is not None and age >= limit:
                self._ask(key, source, question, owner)
            return Reading(reading.value, reading.error, age)
        self._ask(key, source, question, owner)
        return Reading()

    def has_answer(self, key: SourceKey, name: Hashable) -> bool:
        """Whether anything is known of that question, however old."""
        source = self._sources.get(key)
        return source is not None and name in source.answers

    async def close(self) -> None:
        """Stop all reads; threads end with their connectors' time-outs."""
        for source in self._sources.values():
            if source.worker is not None:
                source.worker.cancel()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _admit(self, key: SourceKey) -> _Source:
        """A new source; the moment to forget those that are gone."""
        limit = self._monotonic() - _FORGOTTEN_AFTER_SECONDS
        for other in [k for k, s in self._sources.items() if s.asked_at < limit and not s.waiting]:
            connector = self._sources.pop(other).connector
            if connector is not None:
                self._threads.submit(connector.close)
        self._sources[key] = source = _Source()
        return source

    def _ask(self, key: SourceKey, source: _Source, question: Question, owner: Owner) -> None:
        if question.name in source.waiting:
            source.waiting[question.name][1].add(owner)
            return
        source.waiting[question.name] = (question, {owner})
        if source.worker is None or source.worker.done():
            source.worker = asyncio.get_running_loop().create_task(self._work(key, source))

    async def _work(self, key: SourceKey, source: _Source) -> None:
        """Answer what waits, one question after another."""
        while source.waiting:
            name = next(iter(source.waiting))
            reading = await self._read(key, source, source.waiting[name][0])
            _, owners = source.waiting.pop(name)
            source.answers[name] = (reading, self._monotonic())
            source.answers.move_to_end(name)
            while len(source.answers) > _KEPT_PER_SOURCE:
                source.answers.popitem(last=False)
            for owner in owners:
                self._wake(owner)

    async def _read(self, key: SourceKey, source: _Source, question: Question) -> Reading:
        if source.running is not None and not source.running.done():
            return Reading(error=TimedOut("an earlier read of the source has still not ended"))
        try:
            async with asyncio.timeout(self._timeout + _GRACE_SECONDS):
                connector = await self._connector(key, source)
                source.running = self._threads.submit(question.ask, connector)
                return Reading(value=await asyncio.wrap_future(source.running))
        except SourceError as error:
            return Reading(error=error)
        except TimeoutError:
            return Reading(error=TimedOut(f"no answer within {self._timeout:.0f} s"))
        except Exception as error:  # a driver's own error text may quote data: only its type is logged
            shown = "/".join(key) if isinstance(key, tuple) else key
            _log.error("reading source %s failed: %s", shown, type(error).__name__)
            return Reading(error=Unreachable("the source could not be read because of an internal error"))

    async def _connector(self, key: SourceKey, source: _Source) -> Source:
        opened = await self._load(key)
        if source.connector is None or source.fingerprint != opened.fingerprint:
            if source.connector is not None:
                self._threads.submit(source.connector.close)
                source.answers.clear()
            source.connector = await asyncio.get_running_loop().run_in_executor(self._threads, opened.open)
            source.fingerprint = opened.fingerprint
        return source.connector
