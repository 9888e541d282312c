"""One pod on this node, from its first container to its final deletion."""

import asyncio
import contextlib
import shutil
import sys
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import aiohttp

from devcluster.agent.attempt import Attempt
from devcluster.agent.container import ContainerRunner, Launcher
from devcluster.agent.status import (
    OUR_CONDITIONS,
    ContainerView,
    PodView,
    phase,
    pod_status,
)
from devcluster.api import Api, ApiError, Object

# Endpoints and gateways need this long to notice that a pod is not ready any more.
DRAIN_SECONDS = 1.0
RETRY_SECONDS = 0.5


class PodWorker:
    """Runs one pod. The API server is told of every change, later if it cannot be told now."""

    def __init__(
        self,
        pod: Object,
        address: str,
        node_address: str,
        directory: Path,
        api: Api,
        on_ended: Callable[["PodWorker"], None],
    ) -> None:
        self._on_ended = on_ended
        self.pod = pod
        self.address = address
        self.directory = directory
        self._node_address = node_address
        self._api = api
        self._started = time.time()
        self._changed = asyncio.Event()
        self._deleted = asyncio.Event()
        self._gone = False
        self._reason = self._message = ""
        self._terminating = self._ended = False
        self._written: Object | None = None
        self._init: list[ContainerRunner] = []
        self._main: list[ContainerRunner] = []

    @property
    def uid(self) -> str:
        return str(self.pod["metadata"]["uid"])

    @property
    def key(self) -> tuple[str, str]:
        return self.pod["metadata"]["namespace"], self.pod["metadata"]["name"]

    def observe(self, pod: Object) -> None:
        """The API server's latest word on this pod."""
        self.pod = pod
        if pod["metadata"].get("deletionTimestamp"):
            self._deleted.set()

    def disappear(self) -> None:
        """The object is gone, with or without us: nothing may be left running."""
        self._gone = True
        for runner in self._runners:
            runner.kill()
        self._deleted.set()

    async def run(self, launcher: Launcher) -> None:
        """Until the pod is deleted."""
        self.observe(self.pod)
        if self.pod.get("status", {}).get("phase") not in {"Succeeded", "Failed"}:
            await self._live(launcher)
        await self._deleted.wait()
        await self._confirm_deletion()

    def log_of(self, container: str, previous: bool) -> Attempt | None:
        """The attempt whose log is asked for."""
        directory = self.directory / "containers" / container
        latest = Attempt.latest(directory)
        if latest is None or not previous:
            return latest
        return Attempt(directory / str(latest.number - 1)) if latest.number else None

    @property
    def _runners(self) -> list[ContainerRunner]:
        return self._init + self._main

    async def _live(self, launcher: Launcher) -> None:
        self._create_runners(launcher)
        writing = asyncio.create_task(self._write_changes())
        containers = asyncio.create_task(self._run_containers())
        deleted = asyncio.create_task(self._deleted.wait())
        try:
            await asyncio.wait(
                {containers, deleted}, timeout=self._deadline(), return_when=asyncio.FIRST_COMPLETED
            )
            if not containers.done():
                await self._end(self._deleted.is_set())
            await containers
        finally:
            for task in (writing, containers, deleted):
                task.cancel()
            # One that was writing is overtaken by the final status.
            await asyncio.gather(writing, return_exceptions=True)
        await self._flush()
        self._on_ended(self)

    def _create_runners(self, launcher: Launcher) -> None:
        spec = self.pod["spec"]
        policy = spec.get("restartPolicy", "Always")
        grace = {"terminationGracePeriodSeconds": spec.get("terminationGracePeriodSeconds", 30)}

        def runner(container: Object, restart_policy: str) -> ContainerRunner:
            folder = self.directory / "containers" / container["name"]
            return ContainerRunner(
                {**grace, **container}, folder, restart_policy, self.address, launcher, self._changed.set
            )

        # An init container is repeated until it succeeds, whatever the policy for the others.
        init_policy = "Never" if policy == "Never" else "OnFailure"
        self._init = [runner(c, init_policy) for c in spec.get("initContainers", [])]
        self._main = [runner(c, policy) for c in spec["containers"]]
        for waiting in self._init[1:] + (self._main if self._init else []):
            waiting.hold("PodInitializing")

    async def _run_containers(self) -> None:
        for runner in self._init:
            await runner.run()
            if not runner.view().finished or runner.view().failed:
                return
        await asyncio.gather(*(runner.run() for runner in self._main))

    def _deadline(self) -> float | None:
        seconds = self.pod["spec"].get("activeDeadlineSeconds")
        return None if seconds is None else max(0.0, self._started + seconds - time.time())

    async def _end(self, deletion: bool) -> None:
        """Take the pod out of service, then end its containers within the grace period."""
        grace = float(self.pod["spec"].get("terminationGracePeriodSeconds", 30))
        if deletion:
            grace = float(self.pod["metadata"].get("deletionGracePeriodSeconds", grace))
        else:
            self._reason = "DeadlineExceeded"
            self._message = "Pod was active on the node longer than the specified deadline"
        was_ready = all(c.ready for c in self._view().main)
        self._terminating = True
        self._changed.set()
        if was_ready and grace > 0 and not self._gone and self._is_served():
            await asyncio.sleep(min(DRAIN_SECONDS, grace))
        await asyncio.gather(*(runner.stop(0.0 if self._gone else grace) for runner in self._runners))
        self._ended = True

    def _is_served(self) -> bool:
        """A pod of a Job takes no requests and needs not wait for routes to change."""
        owners = self.pod["metadata"].get("ownerReferences", [])
        return not any(owner["kind"] == "Job" for owner in owners)

    def _view(self) -> PodView:
        def views(runners: list[ContainerRunner]) -> list[ContainerView]:
            return [runner.view() for runner in runners]

        return PodView(
            init=views(self._init),
            main=views(self._main),
            address=self.address,
            node_address=self._node_address,
            started=self._started,
            terminating=self._terminating,
            ended=self._ended,
            reason=self._reason,
            message=self._message,
        )

    async def _write_changes(self) -> None:
        while True:
            self._changed.clear()
            try:
                await self._write()
            except (ApiError, aiohttp.ClientError, TimeoutError) as error:
                _complain(f"status of {'/'.join(self.key)}: {error}")
                await asyncio.sleep(RETRY_SECONDS)
                self._changed.set()
            await self._changed.wait()

    async def _write(self) -> None:
        """Patch the status where it differs from what was written last."""
        view = self._view()
        status = pod_status(view, self._previous_conditions(), time.time())
        if self._gone or status == self._written:
            return
        namespace, name = self.key
        body = {"metadata": {"uid": self.uid}, "status": status}
        try:
            await self._api.merge(f"/api/v1/namespaces/{namespace}/pods/{name}/status", body)
        except ApiError as error:
            if error.status not in {404, 409}:
                raise
        self._written = status

    def _previous_conditions(self) -> list[Object]:
        """Others' conditions as observed; ours as written, because observations come later."""
        observed = self.pod.get("status", {}).get("conditions") or []
        if self._written is None:
            return list(observed)
        ours = [c for c in self._written["conditions"] if c["type"] in OUR_CONDITIONS]
        return [c for c in observed if c["type"] not in OUR_CONDITIONS] + ours

    async def _flush(self) -> None:
        """Write the last status for certain: a Job's result depends on it."""
        while not self._gone and phase(self._view()) in {"Succeeded", "Failed"}:
            if await _succeeds(self._write()):
                return
            await asyncio.sleep(RETRY_SECONDS)

    async def _confirm_deletion(self) -> None:
        """The last step of a deletion is the node's; without it namespaces never end."""
        namespace, name = self.key
        options = {"gracePeriodSeconds": 0, "preconditions": {"uid": self.uid}}
        while not self._gone:
            if await _succeeds(self._api.delete(f"/api/v1/namespaces/{namespace}/pods/{name}", options)):
                return
            await asyncio.sleep(RETRY_SECONDS)

    def clean_up(self) -> None:
        """Remove the pod's files."""
        shutil.rmtree(self.directory, ignore_errors=True)


async def _succeeds(call: Coroutine[Any, Any, Any]) -> bool:
    """False where trying again makes sense."""
    try:
        await call
    except ApiError as error:
        if error.status in {404, 409}:
            return True
        _complain(str(error))
        return False
    except (aiohttp.ClientError, TimeoutError) as error:
        _complain(repr(error))
        return False
    return True


def _complain(text: str) -> None:
    with contextlib.suppress(OSError):
        print(text, file=sys.stderr, flush=True)
