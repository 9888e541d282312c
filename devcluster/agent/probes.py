"""Startup, readiness and liveness probes, and the hooks that use the same actions."""

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp

from devcluster.agent.rewriting import Rewriter
from devcluster.api import Object


class Target:
    """The running container that is probed."""

    def __init__(self, container: Object, address: str, process: dict[str, Any], rewrite: Rewriter) -> None:
        self.address = address
        self._container = container
        self._process = process
        self._rewrite = rewrite

    async def act(self, action: Object) -> bool:
        """Do what a probe or hook says; True on success."""
        try:
            if "httpGet" in action:
                return await self._get(action["httpGet"])
            if "tcpSocket" in action:
                return await self._connect(action["tcpSocket"])
            if "exec" in action:
                return await self._execute(action["exec"]["command"])
            if "sleep" in action:
                await asyncio.sleep(action["sleep"]["seconds"])
                return True
        except (OSError, aiohttp.ClientError):
            return False
        return False

    def _port(self, port: int | str) -> int:
        named = {p.get("name"): p["containerPort"] for p in self._container.get("ports", [])}
        return int(named.get(port, port))

    async def _get(self, action: Object) -> bool:
        host = action.get("host") or self.address
        scheme = action.get("scheme", "HTTP").lower()
        url = f"{scheme}://{host}:{self._port(action['port'])}{action.get('path', '/')}"
        headers = {h["name"]: h["value"] for h in action.get("httpHeaders", [])}
        async with (
            aiohttp.ClientSession() as session,
            session.get(url, headers=headers, ssl=False, allow_redirects=False) as response,
        ):
            return 200 <= response.status < 400

    async def _connect(self, action: Object) -> bool:
        _, writer = await asyncio.open_connection(
            action.get("host") or self.address, self._port(action["port"])
        )
        writer.close()
        return True

    async def _execute(self, command: list[str]) -> bool:
        process = await asyncio.create_subprocess_exec(
            *[self._rewrite(part) for part in command],
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            env=self._process["env"],
            cwd=Path(self._process["cwd"]),
            start_new_session=True,
        )
        try:
            return await process.wait() == 0
        except asyncio.CancelledError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            raise


class Probing:
    """Runs the probes of one start of a container until it is cancelled."""

    def __init__(
        self,
        container: Object,
        target: Target,
        on_change: Callable[[bool, bool], None],
        on_dead: Callable[[], None],
    ) -> None:
        self._container = container
        self._target = target
        self._on_change = on_change
        self._on_dead = on_dead

    async def run(self) -> None:
        """Report `(started, ready)`; call `on_dead` when the container must be ended."""
        startup = self._container.get("startupProbe")
        readiness = self._container.get("readinessProbe")
        liveness = self._container.get("livenessProbe")
        if startup and not await self._until_started(startup):
            self._on_dead()
            return
        self._on_change(True, not readiness)
        await asyncio.gather(
            *([self._follow_readiness(readiness)] if readiness else []),
            *([self._follow_liveness(liveness)] if liveness else []),
        )

    async def _until_started(self, probe: Object) -> bool:
        failures = 0
        await asyncio.sleep(probe.get("initialDelaySeconds", 0))
        while failures < probe.get("failureThreshold", 3):
            if await self._once(probe):
                return True
            failures += 1
            await asyncio.sleep(probe.get("periodSeconds", 10))
        return False

    async def _follow_readiness(self, probe: Object) -> None:
        ready, streak = False, 0
        await asyncio.sleep(probe.get("initialDelaySeconds", 0))
        while True:
            streak = streak + 1 if await self._once(probe) != ready else 0
            if streak >= (probe.get("failureThreshold", 3) if ready else probe.get("successThreshold", 1)):
                ready, streak = not ready, 0
                self._on_change(True, ready)
            await asyncio.sleep(probe.get("periodSeconds", 10))

    async def _follow_liveness(self, probe: Object) -> None:
        failures = 0
        await asyncio.sleep(probe.get("initialDelaySeconds", 0))
        while True:
            failures = 0 if await self._once(probe) else failures + 1
            if failures >= probe.get("failureThreshold", 3):
                self._on_dead()
                return
            await asyncio.sleep(probe.get("periodSeconds", 10))

    async def _once(self, probe: Object) -> bool:
        try:
            return await asyncio.wait_for(self._target.act(probe), probe.get("timeoutSeconds", 1))
        except TimeoutError:
            return False
