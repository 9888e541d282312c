"""Clusters of ordinary users: a user and network namespace, and a relay out of it.

Only root may add pod addresses, and inside a user namespace everybody is root. What runs there is
reached through Unix sockets, which network namespaces do not separate: a process outside listens
on 127.0.0.1 at the same ports as the servers inside, so kubeconfigs are valid on both sides.
Run as `python -m devcluster.rootless STATE_DIR`: starts the supervisor inside and relays outside.
"""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from devcluster import processes
from devcluster.errors import DevclusterError
from devcluster.layout import Facts, Layout
from devcluster.ports import choose_facts

CHUNK = 256 * 1024
ENTER = ["unshare", "--user", "--map-root-user", "--net", "--"]
# Every namespace has all ranges for itself.
INSIDE_POD_RANGE = 0
Connector = Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def is_needed() -> bool:
    return os.geteuid() != 0


def check() -> None:
    """Raise when this machine does not let ordinary users make namespaces."""
    try:
        command = [*ENTER, "ip", "link", "set", "lo", "up"]
        completed = subprocess.run(command, capture_output=True, text=True, check=False)
        problem = completed.stderr.strip() if completed.returncode else ""
    except FileNotFoundError:
        problem = "`unshare` (util-linux) is missing"
    if problem:
        raise DevclusterError(
            f"without root the cluster needs user namespaces, and they are refused here ({problem}). "
            "Run it with `sudo`, or set KUBECONFIG to a cluster of your own"
        )


def relayed_ports(facts: Facts) -> list[int]:
    return [facts.api_port, facts.gateway_port]


async def serve_inside(layout: Layout, facts: Facts) -> list[asyncio.Server]:
    """Unix sockets that lead to the servers in the namespace."""
    servers = []
    for port in relayed_ports(facts):
        path = _socket(layout, port)
        path.unlink(missing_ok=True)
        with _short_name(path) as name:
            server = await asyncio.start_unix_server(_relay_to(_tcp(port)), name)
        servers.append(server)
    return servers


async def run_outside(layout: Layout) -> int:
    """Start the supervisor in namespaces of its own, relay until it ends; returns its exit status."""
    # The ports must be free on both sides, and inside every port is.
    facts = choose_facts(layout, INSIDE_POD_RANGE)
    facts.write(layout.facts)
    servers = [
        await asyncio.start_server(_relay_to(_unix(_socket(layout, port))), "127.0.0.1", port)
        for port in relayed_ports(facts)
    ]
    inside = _start_inside(layout)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, inside.terminate)
    status = await processes.ended(inside)
    for server in servers:
        server.close()
    return status


def _start_inside(layout: Layout) -> "subprocess.Popen[bytes]":
    """Inherits standard input: its end is what tells the supervisor that its caller is gone."""
    return subprocess.Popen([*ENTER, sys.executable, "-m", "devcluster.supervisor", str(layout.state_dir)])


def _tcp(port: int) -> Connector:
    return lambda: asyncio.open_connection("127.0.0.1", port)


def _unix(path: Path) -> Connector:
    async def connect() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        with _short_name(path) as name:
            return await asyncio.open_unix_connection(name)

    return connect


def _relay_to(connect: Connector) -> Handler:
    # The event loop knows its tasks only weakly, and a connection that is held back by a slow
    # reader is known to nobody else: without this it would be collected in the middle.
    open_connections: set[asyncio.Task[None] | None] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        open_connections.add(task)
        try:
            await relay(reader, writer)
        finally:
            open_connections.discard(task)

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await connect()
        except OSError:
            writer.close()
            return
        await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))
        for end in (writer, far_writer):
            end.close()

    return handle


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
    except OSError:
        writer.close()


def _socket(layout: Layout, port: int) -> Path:
    return layout.sockets / f"{port}.sock"


class _short_name:
    """Socket names are limited to 108 bytes: name the folder by an open descriptor instead."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> str:
        self._folder = os.open(self._path.parent, os.O_PATH | os.O_DIRECTORY)
        return f"/proc/self/fd/{self._folder}/{self._path.name}"

    def __exit__(self, *_: object) -> None:
        os.close(self._folder)


if __name__ == "__main__":
    sys.exit(asyncio.run(run_outside(Layout(Path(sys.argv[1])))))
