"""Probes and metrics over HTTP: /healthz, /readyz, /metrics."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest

LONGEST_PASS_SECONDS = 300.0
"""A pass that lasts longer than this is stuck: its own time-outs are far below."""


@dataclass(frozen=True)
class Vital:
    """One thing that must be well; `problem` says what is wrong, or None."""

    name: str
    problem: Callable[[], str | None]


def problems(vitals: Sequence[Vital]) -> list[str]:
    """What is wrong, one line each."""
    return [f"{vital.name}: {found}" for vital in vitals if (found := vital.problem()) is not None]


async def serve(
    host: str,
    port: int,
    registry: CollectorRegistry,
    alive: Sequence[Vital],
    ready: Sequence[Vital],
    announce: Callable[[int], None],
) -> None:
    """Serve for ever. `announce` is told the port, which matters when `port` is 0."""

    def probe(vitals: Sequence[Vital]) -> Callable[[web.Request], asyncio.Future[web.Response]]:
        async def handler(_: web.Request) -> web.Response:
            found = problems(vitals)
            return web.Response(text="\n".join(found) or "ok", status=500 if found else 200)

        return handler  # type: ignore[return-value]

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(registry), content_type="text/plain")

    app = web.Application()
    app.router.add_get("/healthz", probe(alive))
    app.router.add_get("/readyz", probe(ready))
    app.router.add_get("/metrics", metrics)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        sockets = runner.addresses
        announce(int(sockets[0][1]) if sockets else port)
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()
