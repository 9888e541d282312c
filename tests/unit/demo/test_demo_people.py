"""The simulated people: what they send and what they say; a tiny model server on loopback stands in."""

import asyncio
import itertools
import random
import time
from typing import Any

import pytest
from aiohttp import web

from demo.digits import Image
from demo.people import Crowd, Visit, history_visits, live_visits, vote

IMAGES = [Image((n,), str(n % 10)) for n in range(200)]


@pytest.mark.parametrize(
    ("answer", "audited", "said"),
    [
        ("7", False, {"thumb": 1}),
        ("1", False, {"thumb": -1, "correction": "7"}),
        ("7", True, {"thumb": 1, "label": "7"}),
        ("1", True, {"thumb": -1, "correction": "7", "label": "7"}),
    ],
)
def test_a_right_answer_is_liked_and_a_wrong_one_corrected(answer: str, audited: bool, said: dict[str, Any]) -> None:
    assert vote(Visit(Image((0,), "7"), "anna", audited), answer) == said


def test_the_audit_is_decided_before_the_answer_is_known() -> None:
    visits = list(history_visits(IMAGES, 50, 0.6, random.Random(1)))
    assert 0.5 < sum(v.audited for v in visits) / len(visits) < 0.7
    assert all("label" in vote(v, "x") for v in visits if v.audited)
    assert not any("label" in vote(v, "x") for v in visits if not v.audited)


def test_the_history_shows_each_image_once_from_a_bounded_number_of_people() -> None:
    visits = list(history_visits(IMAGES, 50, 0.6, random.Random(1)))
    assert [v.image for v in visits] == IMAGES
    assert 1 < len({v.unit for v in visits}) <= 50
    assert not any(v.thinking for v in visits)


def test_live_visitors_are_new_and_their_images_drawn_with_replacement() -> None:
    visits = list(itertools.islice(live_visits(IMAGES[:5], 0.6, random.Random(1)), 100))
    assert len({v.unit for v in visits}) == 100
    assert {v.image for v in visits} == set(IMAGES[:5])
    assert all(0 < v.thinking < 1 for v in visits)


def test_the_same_seed_makes_the_same_people() -> None:
    def first(seed: int) -> list[Visit]:
        return list(itertools.islice(live_visits(IMAGES, 0.6, random.Random(seed)), 20))

    assert first(1) == first(1)
    assert first(1) != first(2)


class FakeServer:
    """Answers every image with its pixel modulo 10, but 3 where it should say 2; knows what people said."""

    def __init__(self) -> None:
        self.feedback: list[dict[str, Any]] = []
        self.units: list[str] = []
        self.broken = False

    async def predict(self, request: web.Request) -> web.Response:
        body = await request.json()
        if self.broken:
            return web.json_response({"error": "no model"}, status=503)
        self.units.append(body["unit"])
        digit = body["instances"][0][0] % 10
        prediction = {"id": f"r{len(self.units)}", "prediction": "3" if digit == 2 else str(digit)}
        return web.json_response({"predictions": [prediction]}, headers={"x-retrainer-revision": "1"})

    async def take(self, request: web.Request) -> web.Response:
        self.feedback.append(await request.json())
        return web.json_response({})

    async def ready(self, request: web.Request) -> web.Response:
        return web.json_response({})


async def _with_server(server: FakeServer, act: Any) -> Crowd:
    app = web.Application()
    app.router.add_post("/v1/predict", server.predict)
    app.router.add_post("/v1/feedback", server.take)
    app.router.add_get("/readyz", server.ready)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        async with Crowd(f"http://127.0.0.1:{runner.addresses[0][1]}") as crowd:
            await act(crowd)
            return crowd
    finally:
        await runner.cleanup()


def test_everybody_asks_and_votes_once() -> None:
    server = FakeServer()

    async def act(crowd: Crowd) -> None:
        assert await crowd.knock()
        await crowd.send(history_visits(IMAGES, 50, 0.6, random.Random(1)), per_second=5000)

    tally = asyncio.run(_with_server(server, act)).tally
    assert (tally.sent, tally.failed) == (200, 0)
    assert (tally.likes["1"], tally.dislikes["1"]) == (180, 20)
    assert tally.answered == {"1": 200}
    assert len({f["id"] for f in server.feedback}) == 200
    assert sorted(f["correction"] for f in server.feedback if "correction" in f) == ["2"] * 20


def test_a_failed_request_is_counted_and_no_vote_follows() -> None:
    server = FakeServer()
    server.broken = True

    async def act(crowd: Crowd) -> None:
        await crowd.send(iter([Visit(IMAGES[0], "anna", False)]), per_second=100)

    tally = asyncio.run(_with_server(server, act)).tally
    assert (tally.sent, tally.failed) == (1, 1)
    assert not server.feedback
    assert len(tally.errors) == 1


def test_nobody_behind_the_gateway_is_no_answer() -> None:
    async def act() -> bool:
        async with Crowd("http://127.0.0.1:9") as crowd:
            return await crowd.knock()

    assert asyncio.run(act()) is False


def test_the_rate_is_kept() -> None:
    server = FakeServer()

    async def act(crowd: Crowd) -> None:
        await crowd.send(iter([Visit(IMAGES[0], "anna", False)] * 21), per_second=100)

    begin = time.monotonic()
    asyncio.run(_with_server(server, act))
    assert time.monotonic() - begin >= 0.2


def test_at_the_end_the_last_visitors_still_vote() -> None:
    server = FakeServer()
    visits = (Visit(IMAGES[0], "anna", False, thinking=0.1) for _ in itertools.count())

    async def act(crowd: Crowd) -> None:
        async with crowd.in_background(visits, per_second=200):
            while len(server.units) < 20:
                await asyncio.sleep(0.01)

    tally = asyncio.run(_with_server(server, act)).tally
    assert len(server.feedback) == len(server.units) == tally.sent
    assert tally.failed == 0
