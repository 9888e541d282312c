"""Probes tell what is wrong; metrics are served beside them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import aiohttp
import pytest

from retrainer.runtime.health import Vital, problems, serve
from retrainer.runtime.metrics import Metrics

WELL = Vital("loop", lambda: None)
STUCK = Vital("loop", lambda: "no turn for 40 s")


def ask(paths: Sequence[str], alive: Sequence[Vital], ready: Sequence[Vital]) -> list[tuple[int, str]]:
    async def main() -> list[tuple[int, str]]:
        told: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        registry = Metrics().registry
        server = asyncio.create_task(serve("127.0.0.1", 0, registry, alive, ready, told.set_result))
        port = await asyncio.wait_for(told, 5)
        answers = []
        async with aiohttp.ClientSession() as session:
            for path in paths:
                async with session.get(f"http://127.0.0.1:{port}{path}") as response:
                    answers.append((response.status, await response.text()))
        server.cancel()
        await asyncio.gather(server, return_exceptions=True)
        return answers

    return asyncio.run(main())


def test_problems_are_named_and_the_well_is_not() -> None:
    assert problems([WELL, STUCK]) == ["loop: no turn for 40 s"]
    assert problems([]) == []


@pytest.mark.parametrize(
    ("alive", "ready", "expected"),
    [
        ([WELL], [WELL], [(200, "ok"), (200, "ok")]),
        ([WELL], [Vital("operator", lambda: "waiting to lead")], [(200, "ok"), (500, "operator: waiting to lead")]),
        ([STUCK], [WELL], [(500, "loop: no turn for 40 s"), (200, "ok")]),
        ([STUCK, STUCK], [], [(500, "loop: no turn for 40 s\nloop: no turn for 40 s"), (200, "ok")]),
    ],
)
def test_liveness_and_readiness_answer_each_for_itself(
    alive: list[Vital], ready: list[Vital], expected: list[tuple[int, str]]
) -> None:
    assert ask(["/healthz", "/readyz"], alive, ready) == expected


def test_a_probe_that_raises_is_a_failed_probe_and_not_a_hanging_one() -> None:
    def broken() -> str | None:
        raise RuntimeError

    ((status, _),) = ask(["/healthz"], [Vital("x", broken)], [])
    assert status == 500


def test_metrics_are_served_as_prometheus_reads_them() -> None:
    ((status, text),) = ask(["/metrics"], [], [])
    assert status == 200
    assert "# TYPE retrainer_reconcile_total counter" in text
    assert "# TYPE retrainer_reconcile_duration_seconds histogram" in text


def test_anything_else_is_not_found() -> None:
    ((status, _),) = ask(["/"], [], [])
    assert status == 404
