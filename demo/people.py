"""Simulated people: they send images through the gateway and press thumbs, and nothing else.

A person knows the digit in the image. Thumbs up when the answer is right; thumbs down, with the true digit as
correction, when it is wrong. For a random share of the requests, chosen before the answer is known, somebody
labels the image independently: the audit that makes a fair comparison of two models possible.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from demo.digits import Image

REVISION_HEADER = "x-retrainer-revision"
THINKING_SECONDS = (0.1, 0.8)
"""How long a person looks at an answer. Less than the experiment's maturitySeconds, or votes come too late."""
MOST_AT_ONCE = 64
REQUEST_SECONDS = 10.0


@dataclass(frozen=True)
class Visit:
    """One person sends one image."""

    image: Image
    unit: str
    audited: bool
    """Whether somebody labels this image independently of the answer."""
    thinking: float = 0.0
    """Seconds between answer and vote."""


def history_visits(images: Sequence[Image], units: int, audited: float, chance: random.Random) -> Iterator[Visit]:
    """Each image once, from a random one of `units` people, without thinking: time is made up afterwards."""
    for image in images:
        yield Visit(image, f"person-{chance.randrange(units):04}", chance.random() < audited)


def live_visits(images: Sequence[Image], audited: float, chance: random.Random) -> Iterator[Visit]:
    """Images drawn with replacement, for ever; every visitor is a new one."""
    number = 0
    while True:
        number += 1
        thinking = chance.uniform(*THINKING_SECONDS)
        yield Visit(chance.choice(images), f"visitor-{number:06}", chance.random() < audited, thinking)


def vote(visit: Visit, answer: str) -> dict[str, Any]:
    """What this person says about the answer."""
    said: dict[str, Any] = {"thumb": 1 if answer == visit.image.digit else -1}
    if answer != visit.image.digit:
        said["correction"] = visit.image.digit
    if visit.audited:
        said["label"] = visit.image.digit
    return said


@dataclass
class Tally:
    """What the people have seen so far."""

    sent: int = 0
    failed: int = 0
    likes: Counter[str] = field(default_factory=Counter)
    dislikes: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)

    @property
    def answered(self) -> Counter[str]:
        """Answers by revision."""
        return self.likes + self.dislikes


class Crowd:
    """People in front of one gateway; `url` is its address."""

    def __init__(self, url: str) -> None:
        self.tally = Tally()
        self._url = url
        self._session: aiohttp.ClientSession | None = None
        self._seats = asyncio.Semaphore(MOST_AT_ONCE)

    async def __aenter__(self) -> Crowd:
        # Proxies of the environment are ignored: the traffic stays on this machine.
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=MOST_AT_ONCE),
            timeout=aiohttp.ClientTimeout(total=REQUEST_SECONDS),
            trust_env=False,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session:
            await self._session.close()

    async def send(self, visits: Iterator[Visit], per_second: float) -> None:
        """All visits, at a steady rate; returns when the last person has voted."""
        async with asyncio.TaskGroup() as people:
            async for visit in _paced(visits, per_second):
                await self._seats.acquire()
                people.create_task(self._visit(visit))

    @contextlib.asynccontextmanager
    async def in_background(self, visits: Iterator[Visit], per_second: float) -> AsyncIterator[None]:
        """Visits keep coming while the block runs; at its end nobody new arrives, and the last ones vote."""
        closed = asyncio.Event()
        task = asyncio.create_task(self.send(_while_open(closed, visits), per_second))
        try:
            yield
            closed.set()
            await task
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def knock(self) -> bool:
        """Whether a model answers behind the gateway."""
        try:
            async with self._open.get(f"{self._url}/readyz") as response:
                return response.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False

    async def _visit(self, visit: Visit) -> None:
        try:
            self.tally.sent += 1
            await self._ask_and_vote(visit)
        except (aiohttp.ClientError, TimeoutError, KeyError, IndexError, ValueError) as error:
            self.tally.failed += 1
            self.tally.errors[f"{type(error).__name__}: {error}"[:120]] += 1
        finally:
            self._seats.release()

    async def _ask_and_vote(self, visit: Visit) -> None:
        body = {"instances": [list(visit.image.pixels)], "unit": visit.unit}
        async with self._open.post(f"{self._url}/v1/predict", json=body) as response:
            response.raise_for_status()
            revision = response.headers[REVISION_HEADER]
            said = (await response.json())["predictions"][0]
        answer = str(said["prediction"])
        await asyncio.sleep(visit.thinking)
        feedback = {"id": said["id"], **vote(visit, answer)}
        async with self._open.post(f"{self._url}/v1/feedback", json=feedback) as response:
            response.raise_for_status()
        counter = self.tally.likes if answer == visit.image.digit else self.tally.dislikes
        counter[revision] += 1

    @property
    def _open(self) -> aiohttp.ClientSession:
        assert self._session is not None, "use `async with Crowd(...)`"
        return self._session


def _while_open(closed: asyncio.Event, visits: Iterator[Visit]) -> Iterator[Visit]:
    for visit in visits:
        if closed.is_set():
            return
        yield visit


async def _paced(visits: Iterator[Visit], per_second: float) -> AsyncIterator[Visit]:
    """The visits at their times; those that are late come at once."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    for number, visit in enumerate(visits):
        delay = start + number / per_second - loop.time()
        if delay > 0:
            await asyncio.sleep(delay)
        yield visit
