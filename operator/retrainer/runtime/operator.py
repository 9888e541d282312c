"""Starts everything in the right order and ends the process when any part of it ends."""

from __future__ import annotations

import asyncio
import logging
import random
import signal
import time
from collections.abc import Coroutine
from typing import Any

import kopf

from retrainer.kube.cache import Cache
from retrainer.kube.client import Client
from retrainer.kube.errors import ApiError, NotFound
from retrainer.kube.resources import Resource
from retrainer.runtime.assembly import Assembly
from retrainer.runtime.health import LONGEST_PASS_SECONDS, Vital, serve
from retrainer.runtime.lease import LeaderLease
from retrainer.runtime.metrics import DomainCollector, Metrics
from retrainer.runtime.watches import CHILDREN, OURS, build_registry, build_settings, key_of, selector_for
from retrainer.runtime.wiring import Wiring
from retrainer.settings import Settings

_log = logging.getLogger(__name__)

_STANDBY, _LEADING = "waiting to lead", "leading"
_READY_STAGES = (_STANDBY, _LEADING)


def run(settings: Settings) -> int:
    """Run the operator until it is told to stop (returns 0) or a part of it ends (returns 1)."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    for name in ("kopf", "httpx", "asyncio"):
        logging.getLogger(name).setLevel(logging.WARNING)
    return asyncio.run(_Operator(settings).run())


class _Operator:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._cache = Cache()
        self._metrics = Metrics()
        self._stage = "starting"
        self._heartbeat = time.monotonic()
        self._stopped = asyncio.Event()

    async def run(self) -> int:
        self._listen_to_signals()
        client = await Client.connect()
        settings = self._settings
        lease = LeaderLease(
            client, settings.lease_namespace, settings.lease_name, settings.identity, settings.lease_seconds
        )
        self._metrics.leader.set_function(lambda: float(lease.held))
        self._metrics.registry.register(DomainCollector(self._cache, client))
        assembly = Assembly(settings, client, self._cache, self._metrics, lease.check)
        try:
            return await self._supervise(client, lease, assembly)
        finally:
            await assembly.close()
            try:
                await lease.release()
            except ApiError as error:
                _log.warning("lease not released: %s", error)
            await client.close()

    def _listen_to_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for signum in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(signum, self._stopped.set)

    async def _supervise(self, client: Client, lease: LeaderLease, assembly: Assembly) -> int:
        """Every part runs for ever: the first that ends, ends the process, and Kubernetes starts it anew."""
        parts: dict[str, Coroutine[Any, Any, Any]] = {
            "stop": self._stopped.wait(),
            "health": self._serve(assembly),
            "heartbeat": self._beat(),
            "work": self._work(client, lease, assembly),
        }
        tasks = {asyncio.create_task(part, name=name) for name, part in parts.items()}
        done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        code = 0
        for task in done:
            if task.get_name() != "stop":
                code = 1
                _log.error("%s ended: %s", task.get_name(), _described(task.exception()))
        return code

    async def _work(self, client: Client, lease: LeaderLease, assembly: Assembly) -> None:
        self._stage = "waiting for the custom resource definitions"
        await _wait_for_kinds(client, self._settings.namespaces)
        wiring = Wiring(self._cache, assembly.controllers)
        assembly.connect(wiring)
        watching = kopf.operator(
            registry=build_registry(self._cache, wiring.changed),
            settings=build_settings(),
            namespaces=self._settings.namespaces,
            standalone=True,
        )
        async with asyncio.TaskGroup() as group:
            group.create_task(_endless("watches", watching), name="watches")
            self._stage = "reading what exists"
            await self._list_everything(client, wiring)
            # kopf has started and taken the signals for itself; a clean stop is ours.
            self._listen_to_signals()
            self._stage = _STANDBY
            await lease.acquire()
            _log.info("leading; watching %s", ", ".join(self._settings.namespaces))
            self._stage = _LEADING
            group.create_task(_endless("lease", lease.keep()), name="lease")
            group.create_task(self._resync(client, wiring), name="resync")
            for controller in assembly.controllers.values():
                group.create_task(controller.run(), name=controller.kind)

    async def _list_everything(self, client: Client, wiring: Wiring) -> None:
        """The barrier: before the first pass the cache knows every object that exists."""
        for namespace in self._settings.namespaces:
            for resource in (*CHILDREN, *OURS):
                await self._list_and_prune(client, wiring, resource, namespace)

    async def _list_and_prune(self, client: Client, wiring: Wiring, resource: Resource, namespace: str) -> None:
        """LIST one resource; objects deleted while a watch was broken are found here."""
        before = self._cache.uids(resource, namespace)
        objects = await client.list(resource, namespace, selector_for(resource))
        for obj in objects:
            self._cache.put(resource, obj)
            if resource in OURS:
                wiring.enqueue(resource, key_of(obj))
        for dropped in self._cache.prune(resource, [key_of(obj) for obj in objects], before):
            wiring.changed(resource, dropped, True)

    async def _resync(self, client: Client, wiring: Wiring) -> None:
        """Every few minutes, at a jittered time, look at everything even if no event came."""
        rng = random.Random()
        while True:
            await asyncio.sleep(self._settings.resync_seconds * rng.uniform(0.8, 1.2))
            try:
                await self._list_everything(client, wiring)
            except ApiError as error:
                _log.warning("resync failed and is tried again: %s", error)

    async def _beat(self) -> None:
        while True:
            self._heartbeat = time.monotonic()
            await asyncio.sleep(1)

    async def _serve(self, assembly: Assembly) -> None:
        settings = self._settings
        alive = (Vital("event loop", self._stall), *_pass_vitals(assembly))
        # A standby is ready too: it has read everything and takes over as soon as the lease is free.
        ready = (Vital("operator", lambda: None if self._stage in _READY_STAGES else self._stage),)
        await serve(
            settings.bind_address,
            settings.health_port,
            self._metrics.registry,
            alive,
            ready,
            lambda port: _log.info("probes and metrics on port %d", port),
        )

    def _stall(self) -> str | None:
        silent = time.monotonic() - self._heartbeat
        return f"no turn of the event loop for {silent:.0f} s" if silent > 30 else None


def _described(error: BaseException | None) -> str:
    """What each part of a group ended with; a group by itself says only how many they were."""
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(dict.fromkeys(_described(part) for part in error.exceptions))
    return "without an error" if error is None else f"{type(error).__name__}: {error}"


def _pass_vitals(assembly: Assembly) -> list[Vital]:
    def stuck(resource: Resource) -> str | None:
        longest = assembly.controllers[resource].longest_pass_seconds()
        return f"a pass lasts {longest:.0f} s" if longest > LONGEST_PASS_SECONDS else None

    return [Vital(r.kind, lambda r=r: stuck(r)) for r in assembly.controllers]  # type: ignore[misc]


async def _wait_for_kinds(client: Client, namespaces: tuple[str, ...]) -> None:
    """kopf does not watch kinds that appear later, so it is started when they are there."""
    told = False
    while True:
        try:
            for resource in OURS:
                await client.list(resource, namespaces[0])
            return
        except NotFound:
            if not told:
                _log.warning("the custom resource definitions are not installed; waiting for them")
                told = True
            await asyncio.sleep(2)


async def _endless(name: str, part: Coroutine[Any, Any, Any]) -> None:
    """A part that may not end; ending without an error is one."""
    await part
    raise RuntimeError(f"{name} ended")


