"""The world in which the story happens: a cluster, a gateway, the operator, the feedback volume."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from demo import access, operator_process
from demo.desk import Desk, FolderDesk
from demo.kube import MANIFESTS, Api, read_manifest
from demo.operator_process import OperatorProcess
from demo.sight import NAMESPACE
from devcluster import gateway
from devcluster.cluster import Cluster
from devcluster.errors import DevclusterError

TRAINER_IMAGE = "retrainer/trainer:0.1.0"
FEEDBACK_CLAIM = "feedback"
DEFAULT_STATE = Path(".demo")


class WorldError(Exception):
    """The world cannot be entered; the message names the remedy."""


@dataclass(frozen=True)
class Doors:
    """How to get in: for the people behind the gateway, and for the reader with kubectl."""

    gateway_url: str
    gateway_namespace: str
    gateway_name: str
    kubeconfig: Path | None
    """None: the one that kubectl uses by itself."""


class World(Protocol):
    """What the story needs of a world; `start` before, `stop` after, whatever happens in between."""

    doors: Doors
    desk: Desk
    greeting: str

    def start(self) -> None:
        """The cluster, up and empty."""

    async def install(self, api: Api) -> None:
        """CRDs, namespace, volumes, and the operator under its own Role."""

    def trouble(self) -> str | None:
        """Why nothing can go on, or None."""

    def where_to_look(self) -> list[str]:
        """Logs, for a person who wants to know more."""

    def how_to_stop(self) -> str:
        """What ends a kept world."""

    def stop(self) -> None:
        """End everything that was started."""


class DevclusterWorld:
    """A cluster of its own below a state directory; the operator is a process of this machine."""

    doors: Doors
    desk: Desk
    greeting = "Starting a Kubernetes control plane, a node and a gateway …"

    def __init__(self, state: Path, keep: bool) -> None:
        self._state = state
        self._keep = keep
        self._cluster: Cluster | None = None
        self._operator: OperatorProcess | None = None

    def start(self) -> None:
        """Ends an earlier demo of this state directory first. Raises WorldError with the remedy."""
        try:
            self._start_cluster()
        except DevclusterError as error:
            raise WorldError(str(error)) from error

    def _start_cluster(self) -> None:
        stop_kept(self._state)
        Cluster.purge_state(self._state / "cluster")
        self._state.mkdir(parents=True, exist_ok=True)
        (self._state / "operator.log").unlink(missing_ok=True)
        self._cluster = Cluster.start(self._state / "cluster", dies_with_parent=not self._keep)
        self.doors = Doors(self._cluster.gateway_url, gateway.NAMESPACE, gateway.NAME, self._cluster.kubeconfig)
        self.desk = FolderDesk(self._cluster.volumes_dir(NAMESPACE, FEEDBACK_CLAIM))

    async def install(self, api: Api) -> None:
        for obj in access.definitions():
            await api.apply(obj)
        for name in ("namespace.yaml", "volumes.yaml"):
            for obj in read_manifest(MANIFESTS / name):
                await api.apply(obj)
        for obj in access.operator_access(NAMESPACE):
            await api.apply(obj)
        await _until_bound(api, FEEDBACK_CLAIM)
        self._start_operator()

    def _start_operator(self) -> None:
        cluster = self._running
        identity = cluster.service_account_kubeconfig(
            NAMESPACE, access.SERVICE_ACCOUNT, self._state / "operator.kubeconfig"
        )
        settings = {
            "KUBECONFIG": str(identity),
            "RETRAINER_NAMESPACES": NAMESPACE,
            "RETRAINER_DATA_ROOT": str(cluster.volumes_dir(NAMESPACE, FEEDBACK_CLAIM)),
            "RETRAINER_TRAINER_IMAGE": TRAINER_IMAGE,
            "RETRAINER_BIND_ADDRESS": "127.0.0.1",
            "RETRAINER_HEALTH_PORT": "0",
        }
        self._operator = OperatorProcess.start(
            self._state / "operator.log", self._state / "operator.pid", settings, survives=self._keep
        )

    def trouble(self) -> str | None:
        if self._operator is not None and not self._operator.running:
            return "the operator ended by itself"
        return None

    def where_to_look(self) -> list[str]:
        logs = [self._state / "operator.log"]
        if self._cluster is not None:
            logs += [self._cluster.log(part) for part in ("agent", "control-plane", "contour", "envoy")]
        return [_shown(path) for path in logs]

    def how_to_stop(self) -> str:
        where = "" if self._state == DEFAULT_STATE else f" --state-dir {_shown(self._state)}"
        return f"{_shown(Path(sys.executable))} -m demo --stop{where}"

    def stop(self) -> None:
        if self._operator is not None:
            self._operator.stop()
            (self._state / "operator.pid").unlink(missing_ok=True)
        if self._cluster is not None:
            self._cluster.stop()

    @property
    def _running(self) -> Cluster:
        assert self._cluster is not None, "start the world first"
        return self._cluster


def stop_kept(state: Path) -> bool:
    """End a demo that was kept in this state directory; False where none was."""
    found = operator_process.stop_kept(state / "operator.pid")
    try:
        Cluster.attach(state / "cluster").stop()
    except DevclusterError:
        return found
    return True


@contextlib.contextmanager
def only_one(state: Path) -> Iterator[None]:
    """Holds the state directory, since a start ends whatever was kept in it. Raises WorldError where another runs."""
    state.mkdir(parents=True, exist_ok=True)
    with (state / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise WorldError(f"another demo runs in {_shown(state)}: wait for its end, or use --state-dir") from None
        yield


async def _until_bound(api: Api, claim: str) -> None:
    """The volume's folder is there once the claim is bound."""
    path = f"/api/v1/namespaces/{NAMESPACE}/persistentvolumeclaims/{claim}"
    async with asyncio.timeout(30):
        while (await api.get(path)).get("status", {}).get("phase") != "Bound":
            await asyncio.sleep(0.1)


def _shown(path: Path) -> str:
    """The path as short as it can be named from here."""
    return min(str(path), os.path.relpath(path), key=len)
