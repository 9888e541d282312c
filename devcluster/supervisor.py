"""The process that runs one cluster: starts its parts in order, revives them, stops them together.

Run as `python -m devcluster.supervisor STATE_DIR` by `Cluster.start`. With `dies_with_parent` its
standard input is a pipe from the caller: when the caller ends, however it ends, the pipe closes
and the cluster stops.
"""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from devcluster import control_plane, gateway, network, processes, rootless
from devcluster.api import Api, ApiError
from devcluster.errors import DevclusterError
from devcluster.layout import Facts, Layout, Options
from devcluster.ports import choose_facts, last_facts

PATIENCE = 10.0
NODE = "/api/v1/nodes/devcluster"
Starter = Callable[[], subprocess.Popen[bytes]]


class Supervisor:
    """Owns the child processes of one cluster."""

    def __init__(self, layout: Layout, options: Options, facts: Facts) -> None:
        self.layout = layout
        self.options = options
        self.facts = facts
        self.stopping = asyncio.Event()
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        # Every container's shim holds the reading end; when this process is gone, they all end.
        self._lifeline, self._lifeline_writer = os.pipe()

    async def run(self) -> None:
        """Start, stay until asked to stop or until the control plane is lost, stop."""
        try:
            start = asyncio.create_task(self._start())
            stop = asyncio.create_task(self.stopping.wait())
            await asyncio.wait({start, stop}, return_when=asyncio.FIRST_COMPLETED)
            if start.done():
                start.result()
                self.layout.ready.write_text(str(os.getpid()))
            await self._until_told_or_lost(stop)
            start.cancel()
        finally:
            self.layout.ready.unlink(missing_ok=True)
            await self._stop()

    async def _until_told_or_lost(self, stop: "asyncio.Task[bool]") -> None:
        await asyncio.wait({stop, *self._tasks}, return_when=asyncio.FIRST_COMPLETED)
        for task in self._tasks:
            if task.done():
                task.result()

    async def _start(self) -> None:
        plan = control_plane.prepare(self.layout, self.facts)
        self._keep("control-plane", lambda: self._start_control_plane(plan), revive=False)
        async with Api(self.facts.server, self.layout.pki, "admin") as api:
            await self._wait("control-plane", _until_ready(api))
            if self.options.agent:
                self._keep("agent", self._start_agent)
            if self.options.gateway:
                await self._start_gateway(api)
            if self.options.agent:
                await self._wait("agent", _until_node_ready(api))

    async def _start_gateway(self, api: Api) -> None:
        layout, options, facts = self.layout, self.options, self.facts
        await self._wait("control-plane", gateway.install(api, options.gateway_manifests, facts))
        self._keep("contour", lambda: gateway.start_contour(layout, options, facts))
        await self._wait("contour", gateway.until_contour_serves(facts))
        self._keep("envoy", lambda: gateway.start_envoy(layout, options, facts))
        await self._wait("contour", gateway.until_programmed(api))

    def _start_control_plane(self, plan: Path) -> subprocess.Popen[bytes]:
        return processes.start(
            [self.options.control_plane_binary, plan], self.layout.logs / "control-plane.log"
        )

    def _start_agent(self) -> subprocess.Popen[bytes]:
        return processes.start(
            [sys.executable, "-m", "devcluster.agent", self.layout.state_dir, str(self._lifeline)],
            self.layout.logs / "agent.log",
            pass_fds=[self._lifeline],
        )

    def _keep(self, name: str, starter: Starter, revive: bool = True) -> None:
        self._children[name] = starter()
        self._tasks.append(asyncio.create_task(self._watch(name, starter, revive)))

    async def _watch(self, name: str, starter: Starter, revive: bool) -> None:
        while True:
            started = time.monotonic()
            code = await processes.ended(self._children[name])
            if not revive:
                raise DevclusterError(f"{name} ended with {code}:\n{self._tail(name)}")
            print(f"{name} ended with {code}; starting it again", file=sys.stderr, flush=True)
            # One that ends at once is not started in a tight loop.
            await asyncio.sleep(max(0.0, 1.0 - (time.monotonic() - started)))
            self._children[name] = starter()

    async def _wait(self, name: str, what: Awaitable[None], limit: float = 120.0) -> None:
        try:
            await asyncio.wait_for(what, limit)
        except TimeoutError:
            raise DevclusterError(f"{name} is not ready after {limit:.0f} s:\n{self._tail(name)}") from None

    def _tail(self, name: str) -> str:
        return processes.tail(self.layout.logs / f"{name}.log")

    async def _stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        for name in ("agent", "envoy", "contour", "control-plane"):
            child = self._children.get(name)
            if child is not None:
                await processes.stop(child, PATIENCE)
            if name == "agent":
                os.close(self._lifeline_writer)


async def _until_ready(api: Api) -> None:
    while not await api.is_ready():
        await asyncio.sleep(0.05)


async def _until_node_ready(api: Api) -> None:
    while True:
        try:
            conditions = (await api.get(NODE)).get("status", {}).get("conditions", [])
        except ApiError as error:
            if error.status != 404:
                raise
            conditions = []
        if any(c["type"] == "Ready" and c["status"] == "True" for c in conditions):
            return
        await asyncio.sleep(0.05)


async def serve(layout: Layout) -> None:
    """Run the cluster of this state directory until told to stop."""
    options = Options.read(layout.options)
    last = last_facts(layout)
    number, claim = network.claim_pod_range(last.pod_range if last else None)
    with claim:
        network.add_address(number)
        try:
            facts = choose_facts(layout, number)
            facts.write(layout.facts)
            supervisor = Supervisor(layout, options, facts)
            _listen_for_the_end(supervisor.stopping, options.dies_with_parent)
            relays = await rootless.serve_inside(layout, facts) if options.relayed else []
            await supervisor.run()
            for relay in relays:
                relay.close()
        finally:
            network.remove_address(number)


def _listen_for_the_end(stopping: asyncio.Event, dies_with_parent: bool) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    if dies_with_parent:
        descriptor = sys.stdin.fileno()

        def closed() -> None:
            loop.remove_reader(descriptor)
            stopping.set()

        # Nothing is ever written to the pipe: readable means that the other end is closed.
        loop.add_reader(descriptor, closed)


def main() -> int:
    layout = Layout(Path(sys.argv[1]))
    layout.supervisor_pid.write_text(str(os.getpid()))
    try:
        asyncio.run(serve(layout))
    except DevclusterError as error:
        print(f"devcluster: {error}", file=sys.stderr)
        return 1
    finally:
        layout.supervisor_pid.unlink(missing_ok=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
