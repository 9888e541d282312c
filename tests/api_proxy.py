"""A reverse proxy between an operator and its API server: it sees every request, and a script may strike at any.

Runs in a thread with a loop of its own, so that it goes on while the operator is dead or stopped. Watches are passed
on as they come. Plain HTTP towards the operator, the cluster's TLS towards the API server.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
from aiohttp import web

from devcluster.cluster import Cluster

_WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "te", "upgrade", "host", "content-length"})
_UNCOUNTED = frozenset({"leases", "events"})
"""Who leads, and what is told to people, moves no traffic and counts nothing."""


@dataclass(frozen=True)
class Request:
    """One request of the operator."""

    method: str
    path: str
    query: str
    body: bytes
    moment: float = field(default_factory=time.monotonic)

    @cached_property
    def resource(self) -> tuple[str, str, str]:
        """Plural, name ("" for a list; of what is created: its own) and subresource ("" without)."""
        parts = urlsplit(self.path).path.strip("/").split("/")
        parts = parts[2:] if parts[0] == "api" else parts[3:]
        if parts[:1] == ["namespaces"] and len(parts) > 2:
            parts = parts[2:]
        plural, name, subresource = (*parts, "", "", "")[:3]
        if self.method == "POST" and self.body and not name:
            name = json.loads(self.body)["metadata"].get("name", "")
        return plural, name, subresource

    @property
    def is_write(self) -> bool:
        """Whether it changes something that counts: neither leases nor events."""
        return self.method in _WRITES and self.resource[0] not in _UNCOUNTED

    @property
    def is_watch(self) -> bool:
        return "watch" in parse_qs(self.query)

    def __str__(self) -> str:
        return f"{self.method} {'/'.join(part for part in self.resource if part)}"


class Script:
    """What happens at a request; the default lets everything pass. Called from the proxy's thread."""

    def before(self, request: Request) -> bool:
        """Called when a request has come; whether it is forwarded. If not, its connection is cut."""
        return True

    def after(self, request: Request, status: int) -> bool:
        """Called when the API server has answered; whether the operator gets the answer."""
        return True


class ApiProxy:
    """Start, give `url` to an operator, stop. `writes` are those that were forwarded and carried out."""

    def __init__(self, cluster: Cluster, script: Script | None = None) -> None:
        self.script = script or Script()
        self.writes: list[Request] = []
        self._server = cluster.server
        self._tls = ssl.create_default_context(cafile=str(cluster.state_dir / "pki" / "ca.crt"))
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._session: aiohttp.ClientSession | None = None
        self._runner: web.AppRunner | None = None
        self.url = ""

    def start(self) -> ApiProxy:
        self._thread.start()
        self._call(self._open())
        return self

    def stop(self) -> None:
        self._call(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def writes_since(self, moment: float) -> Sequence[Request]:
        """Writes that came after a moment of the monotonic clock."""
        return [w for w in self.writes if w.moment > moment]

    def _call(self, coroutine: Any) -> Any:
        future: Future[Any] = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        return future.result(20)

    async def _open(self) -> None:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=self._tls, limit=0),
            timeout=aiohttp.ClientTimeout(total=None, connect=10),
            auto_decompress=False,
            trust_env=False,
        )
        app = web.Application(client_max_size=16 * 1024 * 1024)
        app.router.add_route("*", "/{tail:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def _close(self) -> None:
        assert self._runner is not None and self._session is not None
        await self._runner.cleanup()
        await self._session.close()

    async def _handle(self, incoming: web.Request) -> web.StreamResponse:
        request = Request(incoming.method, incoming.path, incoming.query_string, await incoming.read())
        if not self.script.before(request):
            return _cut(incoming)
        # What has been forwarded is carried out and counted, even if the operator dies meanwhile.
        answer, answered = await asyncio.shield(asyncio.ensure_future(self._carry_out(incoming, request)))
        async with answer:
            return await _pass_on(incoming, answer, request.is_watch) if answered else _cut(incoming)

    async def _carry_out(self, incoming: web.Request, request: Request) -> tuple[aiohttp.ClientResponse, bool]:
        """The API server's answer, and whether the operator gets it."""
        answer = await self._forward(incoming, request)
        if request.is_write and answer.status < 400:
            self.writes.append(request)
        return answer, self.script.after(request, answer.status)

    async def _forward(self, incoming: web.Request, request: Request) -> aiohttp.ClientResponse:
        assert self._session is not None
        headers = {k: v for k, v in incoming.headers.items() if k.lower() not in _HOP_BY_HOP}
        url = f"{self._server}{incoming.raw_path}"
        return await self._session.request(request.method, url, headers=headers, data=request.body or None)


async def _pass_on(incoming: web.Request, answer: aiohttp.ClientResponse, endless: bool) -> web.StreamResponse:
    headers = {k: v for k, v in answer.headers.items() if k.lower() not in _HOP_BY_HOP}
    if not endless:
        return web.Response(status=answer.status, headers=headers, body=await answer.read())
    response = web.StreamResponse(status=answer.status, headers=headers)
    with suppress(ConnectionError):  # the operator may be dead by now
        await response.prepare(incoming)
        async for chunk in answer.content.iter_any():
            await response.write(chunk)
        await response.write_eof()
    return response


def _cut(incoming: web.Request) -> web.StreamResponse:
    """No answer: the connection ends."""
    if incoming.transport is not None:
        incoming.transport.abort()
    return web.Response(status=502)
