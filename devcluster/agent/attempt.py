"""One start of a container: its directory, its process, its end. Everything survives the agent."""

import asyncio
import contextlib
import dataclasses
import json
import marshal
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from devcluster.agent import shim
from devcluster.layout import write_json

SHIM = Path(shim.__file__)
# How long a freshly started shim may take to write its first file on a busy machine.
SHIM_LIMIT = 20.0


@dataclasses.dataclass(frozen=True)
class Exit:
    """How a container ended; times in seconds since the epoch."""

    code: int
    started: float
    finished: float
    problem: str = ""
    killed: bool = False
    lost: bool = False


class Attempt:
    """The `number`-th start of a container, counted from 0."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.number = int(directory.name)
        self.log = directory / "log"
        self.termination_log = directory / "termination-log"
        self._shim: subprocess.Popen[bytes] | None = None

    @classmethod
    def latest(cls, container: Path) -> Self | None:
        """The last attempt that an agent, perhaps an earlier one, has begun."""
        numbers = [int(p.name) for p in container.glob("[0-9]*") if p.name.isdigit()]
        return cls(container / str(max(numbers))) if numbers else None

    @classmethod
    def at(cls, container: Path, number: int) -> Self:
        """A new attempt; makes its directory."""
        directory = container / str(number)
        directory.mkdir(parents=True)
        attempt = cls(directory)
        attempt.termination_log.touch()
        attempt.log.touch(mode=0o600)
        return attempt

    def start(self, argv: Sequence[str], environment: Mapping[str, str], cwd: Path, lifeline: int) -> None:
        """Hand the container to a shim of its own."""
        spec = {"argv": list(argv), "env": dict(environment), "cwd": str(cwd), "log": str(self.log)}
        path = self.directory / "spec"
        path.touch(mode=0o600)
        path.write_bytes(marshal.dumps(spec))
        with (self.directory / "shim.log").open("wb") as output:
            self._shim = subprocess.Popen(
                [sys.executable, "-I", "-S", str(SHIM), str(self.directory), str(lifeline)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=[lifeline],
                start_new_session=True,
            )

    async def running(self) -> float:
        """Wait until the process exists; returns when it was started."""
        begun = self.directory.stat().st_mtime
        while True:
            identity = self._read("process.json")
            if identity:
                return float(identity["startedAt"])
            is_hopeless = self._shim is not None and self._shim.poll() is not None
            if is_hopeless or time.time() > begun + SHIM_LIMIT:
                return begun
            await asyncio.sleep(0.01)

    async def wait(self) -> Exit:
        """Wait for the end, also when an earlier agent started it."""
        identity = self._read("process.json")
        if identity and not self._read("exit.json"):
            await _until_gone(identity["shim"], identity["shimStart"])
        if self._shim is not None:
            self._shim.wait()
        return self._exit()

    @property
    def specification(self) -> dict[str, Any]:
        """What was executed: `argv`, `env` and `cwd`."""
        specification: dict[str, Any] = marshal.loads((self.directory / "spec").read_bytes())
        return specification

    @property
    def is_finished(self) -> bool:
        return (self.directory / "exit.json").exists()

    def terminate(self) -> None:
        """SIGTERM to the container's first process, as a kubelet does."""
        self._signal(os.kill, signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL to the whole process group; remembered, because it is not a lack of memory."""
        write_json(self.directory / "killed.json", {"by": "the agent"})
        self._signal(os.killpg, signal.SIGKILL)

    def _signal(self, send: Any, number: int) -> None:
        identity = self._read("process.json")
        # The shim reaps the process: while it lives, the number belongs to nobody else.
        if identity and _lives(identity["shim"], identity["shimStart"]):
            with contextlib.suppress(ProcessLookupError):
                send(identity["pid"], number)

    def _exit(self) -> Exit:
        killed = (self.directory / "killed.json").exists()
        found = self._read("exit.json")
        if found is None:
            at = self.directory.stat().st_mtime
            return Exit(137, at, at, "its process is gone without an exit status", killed=True, lost=True)
        problem = self.directory / "problem"
        return Exit(
            code=found["code"],
            started=found["startedAt"],
            finished=found["finishedAt"],
            problem=problem.read_text() if problem.exists() else "",
            killed=killed,
        )

    def _read(self, name: str) -> dict[str, Any] | None:
        try:
            value: dict[str, Any] = json.loads((self.directory / name).read_text())
        except FileNotFoundError:
            return None
        return value


def _lives(pid: int, start: int) -> bool:
    try:
        return shim.start_time(pid) == start
    except OSError:
        return False


async def _until_gone(pid: int, start: int) -> None:
    """Wait for a process that need not be a child."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    gone = asyncio.Event()
    loop = asyncio.get_running_loop()
    try:
        # Checked after opening: from here on the number cannot change its owner.
        if _lives(pid, start):
            loop.add_reader(descriptor, gone.set)
            await gone.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
