"""The operator as a process under its own ServiceAccount and Role, for tests that start, kill and restart it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from devcluster.cluster import Cluster

REPOSITORY = Path(__file__).resolve().parent.parent
SERVICE_ACCOUNT = "retrainer-operator"


class Kubectl:
    """kubectl as the administrator, in one namespace."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.namespace = namespace
        self._command = ["kubectl", "--kubeconfig", str(cluster.kubeconfig), "--namespace", namespace]

    def run(self, *arguments: str, stdin: str | None = None, check: bool = True) -> str:
        """Standard output; raises AssertionError with kubectl's words when it fails and `check` is set."""
        done = subprocess.run(
            [*self._command, *arguments], input=stdin, capture_output=True, text=True, check=False, timeout=60
        )
        assert not check or done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr}"
        return done.stdout

    def apply(self, *objects: dict[str, Any]) -> str:
        return self.run("apply", "-f", "-", stdin=yaml.safe_dump_all(objects))

    def get(self, kind: str, name: str) -> dict[str, Any] | None:
        text = self.run("get", kind, name, "--output=json", "--ignore-not-found")
        found: dict[str, Any] | None = json.loads(text) if text.strip() else None
        return found

    def list(self, kind: str, selector: str = "") -> list[dict[str, Any]]:
        text = self.run("get", kind, "--output=json", f"--selector={selector}")
        items: list[dict[str, Any]] = json.loads(text)["items"]
        return items

    def status(self, kind: str, name: str) -> dict[str, Any]:
        found = self.get(kind, name)
        status: dict[str, Any] = (found or {}).get("status") or {}
        return status


def install_access(kubectl: Kubectl, account_namespace: str | None = None) -> None:
    """ServiceAccount, Role and RoleBinding of manifests/base, in the namespace of `kubectl`.

    With `account_namespace` the Role is bound to the ServiceAccount there: one operator for several namespaces.
    """
    files = sorted((REPOSITORY / "manifests" / "base").glob("*.yaml"))
    for document in (d for path in files for d in yaml.safe_load_all(path.read_text(encoding="utf-8"))):
        if document["kind"] in ("ServiceAccount", "Role", "RoleBinding"):
            document["metadata"].pop("namespace", None)
            for subject in document.get("subjects", ()):
                subject["namespace"] = account_namespace or kubectl.namespace
            kubectl.apply(document)


class Operator:
    """Start, kill, restart; the log of all lives is one file."""

    def __init__(self, cluster: Cluster, namespaces: tuple[str, ...], folder: Path, **settings: str) -> None:
        self.log = folder / "operator.log"
        kubeconfig = folder / "operator.kubeconfig"
        cluster.service_account_kubeconfig(namespaces[0], SERVICE_ACCOUNT, kubeconfig)
        self._environment = {
            **os.environ,
            "KUBECONFIG": str(kubeconfig),
            "RETRAINER_NAMESPACES": ",".join(namespaces),
            "RETRAINER_BIND_ADDRESS": "127.0.0.1",
            "RETRAINER_HEALTH_PORT": "0",
            "RETRAINER_LEASE_SECONDS": "5",
            **settings,
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "retrainer", "operator"],
                env={**self._environment, "POD_NAME": "operator-under-test"},
                stdout=output,
                stderr=output,
            )

    def kill(self) -> None:
        """SIGKILL: nothing is cleaned up."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(15)
            except subprocess.TimeoutExpired:
                self.kill()
            self._process = None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid
