"""A small asynchronous client of the Kubernetes API that speaks plain dictionaries."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Self

import aiohttp

Object = dict[str, Any]
MERGE_PATCH = "application/merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"
# The API server asks to come back later while it is overloaded or takes in a new kind.
TOO_MANY_REQUESTS = 429
BUSY_RETRIES, BUSY_SECONDS = 100, 0.1
# One watch event may carry an object of 1.5 MiB.
READ_BUFFER = 4 * 1024 * 1024


class ApiError(Exception):
    """The API server's answer to a request that it did not carry out."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.status = status
        self.reason = reason


class Api:
    """Requests as the holder of one of the cluster's client certificates."""

    def __init__(self, server: str, pki: Path, client: str) -> None:
        context = ssl.create_default_context(cafile=str(pki / "ca.crt"))
        context.load_cert_chain(pki / f"{client}.crt", pki / f"{client}.key")
        self._server = server
        self._context = context
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            self._server,
            connector=aiohttp.TCPConnector(ssl=self._context, limit=0),
            timeout=aiohttp.ClientTimeout(total=30),
            read_bufsize=READ_BUFFER,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session:
            await self._session.close()

    async def get(self, path: str, **query: str) -> Object:
        return await self._request("GET", path, query=query)

    async def create(self, path: str, body: Object) -> Object:
        return await self._request("POST", path, body)

    async def merge(self, path: str, body: Object) -> Object:
        """JSON merge patch; the only kind of patch that replaces a pod's list of addresses."""
        return await self._request("PATCH", path, body, content_type=MERGE_PATCH)

    async def apply(self, path: str, body: Object) -> Object:
        """Server-side apply."""
        query = {"fieldManager": "devcluster", "force": "true"}
        return await self._request("PATCH", path, body, content_type=APPLY_PATCH, query=query)

    async def delete(self, path: str, options: Object | None = None) -> Object:
        return await self._request("DELETE", path, options)

    async def is_ready(self) -> bool:
        """Whether the API server has finished starting."""
        try:
            async with self._open.get("/readyz") as response:
                return response.status == 200
        except aiohttp.ClientError:
            return False

    async def watch(self, path: str, resource_version: str, **query: str) -> AsyncIterator[Object]:
        """Events from `resource_version` on, until the server ends the watch."""
        parameters = {
            **query,
            "watch": "true",
            "resourceVersion": resource_version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": "600",
        }
        timeout = aiohttp.ClientTimeout(total=None, sock_read=660)
        async with self._open.get(path, params=parameters, timeout=timeout) as response:
            await _check(response)
            async for line in response.content:
                event: Object = json.loads(line)
                if event["type"] == "ERROR":
                    status = event["object"]
                    raise ApiError(status.get("code", 500), status.get("reason", ""), status.get("message", ""))
                yield event

    @property
    def _open(self) -> aiohttp.ClientSession:
        assert self._session is not None, "use `async with Api(...)`"
        return self._session

    async def _request(
        self,
        method: str,
        path: str,
        body: Object | None = None,
        content_type: str = "application/json",
        query: dict[str, str] | None = None,
    ) -> Object:
        headers = {"Content-Type": content_type}
        data = None if body is None else json.dumps(body)
        for _ in range(BUSY_RETRIES):
            async with self._open.request(method, path, data=data, headers=headers, params=query) as response:
                if response.status != TOO_MANY_REQUESTS:
                    await _check(response)
                    answer: Object = await response.json()
                    return answer
            await asyncio.sleep(BUSY_SECONDS)
        raise ApiError(TOO_MANY_REQUESTS, "TooManyRequests", f"{method} {path}: the API server stays busy")


async def _check(response: aiohttp.ClientResponse) -> None:
    if response.status < 400:
        return
    text = await response.text()
    try:
        status = json.loads(text)
    except ValueError:
        status = {}
    raise ApiError(response.status, status.get("reason", ""), status.get("message", text[:500]))
