"""Operators for tests that need more of them, restart them often, or come between them and their API server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from loop_world import wait_until
from operator_process import Operator

from devcluster.cluster import Cluster

NURSERY = """
import os, signal, sys
import numpy, retrainer.feedback.connectors.sqlite, retrainer.runtime.operator
from retrainer.__main__ import main
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
for _ in sys.stdin:
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(2, 1)
        os._exit(main(["operator"]))
    print(child, flush=True)
"""


class Place(Protocol):
    """Where an operator works; SQLite sources lie below `folder`."""

    cluster: Cluster
    namespace: str
    folder: Path


class OperatorLife(Operator):
    """An operator with a name of its own, behind another address of the API server, or under another clock."""

    def __init__(
        self, place: Place, identity: str = "operator-under-test", server: str | None = None, **environment: str
    ) -> None:
        folder = place.folder / f"operator-{identity}"
        folder.mkdir(exist_ok=True)
        root = str(place.folder)
        environment = {"RETRAINER_LEASE_SECONDS": "15", "RETRAINER_DATA_ROOT": root, **environment}
        super().__init__(place.cluster, (place.namespace,), folder, **environment)
        self._identity = identity
        if server is not None:
            _redirect(Path(self._environment["KUBECONFIG"]), server)

    def start(self) -> None:
        self._process = self._run([sys.executable, "-m", "retrainer", "operator"])

    def wait_until_leading(self, seconds: float = 60.0) -> None:
        """Until the last life of this operator leads."""

        def leads() -> bool:
            last_life = self.log.read_text(encoding="utf-8").rpartition("probes and metrics on port")
            return bool(last_life[1]) and "leading; watching" in last_life[2]

        wait_until(f"{self._identity} leads", leads, seconds)

    def _run(self, command: list[str], **pipes: int) -> subprocess.Popen[bytes]:
        environment = {**self._environment, "POD_NAME": self._identity}
        with self.log.open("ab") as log:
            return subprocess.Popen(command, env=environment, **{"stdout": log, "stderr": log, **pipes})


class PreparedOperator(OperatorLife):
    """Restarts in a tenth of a second: each life is forked from a process that has imported everything already."""

    def __init__(self, *arguments: Any, **settings: str) -> None:
        super().__init__(*arguments, **settings)
        self._nursery: subprocess.Popen[bytes] | None = None
        self._life = 0

    def start(self) -> None:
        if self._nursery is None:
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
            self._nursery = self._run([sys.executable, "-c", NURSERY], **pipes)
        assert self._nursery.stdin is not None and self._nursery.stdout is not None
        self._nursery.stdin.write(b"\n")
        self._nursery.stdin.flush()
        self._life = int(self._nursery.stdout.readline())

    def kill(self) -> None:
        """SIGKILL; may be called from any thread, and does not wait."""
        with suppress(ProcessLookupError):
            os.kill(self._life, signal.SIGKILL)

    def stop(self) -> None:
        if self._life:
            self.kill()
            wait_until("the operator is dead", lambda: not self.running)
        if self._nursery is not None:
            self._nursery.communicate(timeout=10)

    @property
    def running(self) -> bool:
        return self._life > 0 and Path(f"/proc/{self._life}").exists()

    @property
    def pid(self) -> int:
        return self._life


def _redirect(kubeconfig: Path, server: str) -> None:
    document = json.loads(kubeconfig.read_text(encoding="utf-8"))
    for entry in document["clusters"]:
        entry["cluster"] = {"server": server}
    kubeconfig.write_text(json.dumps(document), encoding="utf-8")
