"""Keeps one container of a pod going: start, watch, restart with back-off, stop."""

import asyncio
import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import aiohttp

from devcluster.agent.attempt import Attempt, Exit
from devcluster.agent.environment import ConfigProblem
from devcluster.agent.probes import Probing, Target
from devcluster.agent.rewriting import Rewriter
from devcluster.agent.status import (
    ContainerView,
    Running,
    State,
    Terminated,
    Waiting,
    should_restart,
    termination_reason,
)
from devcluster.api import ApiError, Object

# A kubelet waits 10 s to 5 min; here people and tests are waiting.
FIRST_BACK_OFF, LAST_BACK_OFF = 1.0, 30.0
FIRST_RETRY, LAST_RETRY = 0.1, 5.0
# A container that ran this long starts its back-off anew.
FORGIVEN_AFTER = 60.0
MESSAGE_LIMIT = 4096
FALLBACK_LIMIT = 2048


class Launcher(Protocol):
    """Starts processes for the containers of one pod."""

    async def launch(self, container: Object, directory: Path, attempt_number: int) -> Attempt:
        """Raises ConfigProblem while the container cannot start."""
        ...

    async def adopt(self, container: Object, attempt: Attempt) -> None: ...

    def rewriter(self, container: Object, attempt: Attempt) -> Rewriter: ...


class ContainerRunner:
    """The life of one container across all its starts."""

    def __init__(
        self,
        container: Object,
        directory: Path,
        restart_policy: str,
        address: str,
        launcher: Launcher,
        changed: Callable[[], None],
    ) -> None:
        self.container = container
        self.directory = directory
        self._policy = restart_policy
        self._address = address
        self._launcher = launcher
        self._changed = changed
        self._stopping = asyncio.Event()
        self._attempt: Attempt | None = None
        self._state: State = Waiting("ContainerCreating")
        self._last: Terminated | None = None
        self._started = self._ready = self._finished = False
        self._back_off = FIRST_BACK_OFF

    @property
    def name(self) -> str:
        return str(self.container["name"])

    def view(self) -> ContainerView:
        attempt = self._attempt
        return ContainerView(
            name=self.name,
            image=self.container["image"],
            state=self._state,
            last=self._last,
            restarts=attempt.number if attempt else 0,
            started=self._started,
            ready=self._ready,
            finished=self._finished,
            container_id=self._identity(attempt) if attempt else "",
        )

    def hold(self, reason: str) -> None:
        """Show why the container does not run yet."""
        if self._attempt is None:
            self._state = Waiting(reason)

    async def run(self) -> None:
        """Until the container will not be started again; adopts what an earlier agent started."""
        attempt = Attempt.latest(self.directory)
        if attempt is not None:
            await self._launcher.adopt(self.container, attempt)
        while True:
            if attempt is None:
                attempt = await self._start()
            if attempt is None:
                return
            ended = await self._follow(attempt)
            if self._stopping.is_set() or not should_restart(self._policy, ended.code):
                self._finished = True
                self._changed()
                return
            await self._pause(ended)
            attempt = None

    async def stop(self, grace: float) -> None:
        """End the container: hook, SIGTERM, and SIGKILL after `grace` seconds."""
        self._stopping.set()
        attempt = self._attempt
        if attempt is None or attempt.is_finished:
            return
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._ask_to_end(attempt), grace)
        if not attempt.is_finished:
            attempt.kill()
            await attempt.wait()

    def kill(self) -> None:
        """End the container at once."""
        self._stopping.set()
        if self._attempt is not None and not self._attempt.is_finished:
            self._attempt.kill()

    async def _ask_to_end(self, attempt: Attempt) -> None:
        hook = (self.container.get("lifecycle") or {}).get("preStop")
        if hook:
            await self._target(attempt).act(hook)
        attempt.terminate()
        await attempt.wait()

    async def _start(self) -> Attempt | None:
        """Try until the container can start; None when it is to stop first."""
        number = self._attempt.number + 1 if self._attempt else 0
        retry = FIRST_RETRY
        while not self._stopping.is_set():
            try:
                return await self._launcher.launch(self.container, self.directory, number)
            except (ApiError, aiohttp.ClientError, TimeoutError, OSError) as error:
                self._show(Waiting("CreateContainerConfigError", str(error)))
            except ConfigProblem as problem:
                self._show(Waiting(problem.reason, str(problem)))
                if problem.reason == "ErrImagePull":
                    await self._sleep(1.0)
                    self._show(Waiting("ImagePullBackOff", f"Back-off pulling image: {problem}"))
            await self._sleep(retry)
            retry = min(retry * 2, LAST_RETRY)
        return None

    async def _follow(self, attempt: Attempt) -> Exit:
        self._attempt = attempt
        if self._stopping.is_set():
            # Asked to stop while it was being started.
            attempt.kill()
        started = await attempt.running()
        self._started = "startupProbe" not in self.container
        self._ready = self._started and "readinessProbe" not in self.container
        self._show(Running(started))
        probing = asyncio.create_task(self._probe(attempt))
        try:
            ended = await attempt.wait()
        finally:
            probing.cancel()
        self._started = self._ready = False
        self._show(self._terminated(attempt, ended))
        return ended

    async def _probe(self, attempt: Attempt) -> None:
        if not any(f"{kind}Probe" in self.container for kind in ("startup", "readiness", "liveness")):
            return

        def on_change(started: bool, ready: bool) -> None:
            self._started, self._ready = started, ready
            self._changed()

        grace = float(self.container.get("terminationGracePeriodSeconds", 30))
        dead = asyncio.Event()
        await Probing(self.container, self._target(attempt), on_change, dead.set).run()
        if dead.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ask_to_end(attempt), grace)
            if not attempt.is_finished:
                attempt.kill()

    def _target(self, attempt: Attempt) -> Target:
        rewrite = self._launcher.rewriter(self.container, attempt)
        return Target(self.container, self._address, attempt.specification, rewrite)

    async def _pause(self, ended: Exit) -> None:
        """Wait before the next start: at once the first time, longer each time after."""
        self._last = self._state if isinstance(self._state, Terminated) else self._last
        if ended.finished - ended.started > FORGIVEN_AFTER:
            self._back_off = FIRST_BACK_OFF
        message = f"back-off {self._back_off:.0f}s restarting failed container={self.name}"
        self._show(Waiting("CrashLoopBackOff", message))
        await self._sleep(max(0.0, ended.finished + self._back_off - time.time()))
        self._back_off = min(self._back_off * 2, LAST_BACK_OFF)

    async def _sleep(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)

    def _show(self, state: State) -> None:
        self._state = state
        self._changed()

    def _terminated(self, attempt: Attempt, ended: Exit) -> Terminated:
        return Terminated(
            code=ended.code,
            reason=termination_reason(ended.code, ended.problem, ended.killed, ended.lost),
            message=ended.problem or self._message(attempt, ended.code),
            started=ended.started,
            finished=ended.finished,
            container_id=self._identity(attempt),
        )

    def _message(self, attempt: Attempt, code: int) -> str:
        text = _tail(attempt.termination_log, MESSAGE_LIMIT)
        fallback = self.container.get("terminationMessagePolicy") == "FallbackToLogsOnError"
        if not text and fallback and code != 0:
            text = "\n".join(_tail(attempt.log, FALLBACK_LIMIT).splitlines()[-80:])
        return text

    def _identity(self, attempt: Attempt) -> str:
        return f"devcluster://{self.directory.parent.parent.name}/{self.name}/{attempt.number}"


def _tail(path: Path, limit: int) -> str:
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - limit))
            return file.read(limit).decode(errors="replace")
    except FileNotFoundError:
        return ""
