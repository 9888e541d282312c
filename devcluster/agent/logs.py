"""The kubelet's HTTPS endpoint, as far as `kubectl logs` needs it."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

from aiohttp import web

from devcluster.agent.attempt import Attempt
from devcluster.layout import Facts
from devcluster.pki import KUBELET_CLIENT

PORT = 10250
CHUNK = 64 * 1024
FOLLOW_SECONDS = 0.1
Finder = Callable[[str, str, str, bool], Attempt | None]


def tls(pki: Path) -> ssl.SSLContext:
    """Only clients with a certificate of the cluster's authority get through the handshake."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(pki / "ca.crt"))
    context.load_cert_chain(pki / "kubelet.crt", pki / "kubelet.key")
    context.verify_mode = ssl.CERT_REQUIRED
    return context


async def serve(facts: Facts, pki: Path, find: Finder) -> web.AppRunner:
    """Listen on the node's address until the returned runner is cleaned up."""
    application = web.Application(middlewares=[_only_the_api_server])

    async def handle(request: web.Request) -> web.StreamResponse:
        return await _container_logs(request, find)

    application.router.add_get("/containerLogs/{namespace}/{pod}/{container}", handle)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, facts.node_address, PORT, ssl_context=tls(pki), reuse_address=True).start()
    return runner


@web.middleware
async def _only_the_api_server(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Every user with a certificate passes TLS; logs are only for the API server, which authorises."""
    certificate = request.transport.get_extra_info("peercert") if request.transport else None
    names = {value for part in (certificate or {}).get("subject", ()) for key, value in part}
    if KUBELET_CLIENT not in names:
        raise web.HTTPForbidden(text="only the API server may ask; use `kubectl logs`")
    return await handler(request)


async def _container_logs(request: web.Request, find: Finder) -> web.StreamResponse:
    query, path = request.query, request.match_info
    previous = query.get("previous") == "true"
    attempt = find(path["namespace"], path["pod"], path["container"], previous)
    if attempt is None:
        kind = "previous terminated" if previous else "running"
        text = f"{kind} container {path['container']!r} in pod {path['pod']!r} not found: waiting to start"
        raise web.HTTPBadRequest(text=text)
    response = web.StreamResponse(headers={"Content-Type": "text/plain"})
    await response.prepare(request)
    lines = query.get("tailLines")
    offset = tail_offset(attempt.log, int(lines)) if lines else 0
    limit = int(query["limitBytes"]) if "limitBytes" in query else None
    await _copy(response, attempt, offset, limit, query.get("follow") == "true")
    await response.write_eof()
    return response


async def _copy(
    response: web.StreamResponse, attempt: Attempt, offset: int, limit: int | None, follow: bool
) -> None:
    left = limit
    with attempt.log.open("rb") as file:
        file.seek(offset)
        while left is None or left > 0:
            # Asked before reading: what was written before the end is then read for certain.
            finished = attempt.is_finished
            data = file.read(CHUNK if left is None else min(CHUNK, left))
            if data:
                await response.write(data)
                left = None if left is None else left - len(data)
            elif finished or not follow:
                return
            else:
                await asyncio.sleep(FOLLOW_SECONDS)


def tail_offset(path: Path, lines: int) -> int:
    """Where the last `lines` lines of a file begin."""
    size = path.stat().st_size
    if lines <= 0:
        return size
    position, found = size, 0
    with path.open("rb") as file:
        while position > 0:
            start = max(0, position - CHUNK)
            file.seek(start)
            block = file.read(position - start)
            end = len(block) - 1 if position == size and block.endswith(b"\n") else len(block)
            while (index := block.rfind(b"\n", 0, end)) >= 0:
                found += 1
                if found == lines:
                    return start + index + 1
                end = index
            position = start
    return 0
