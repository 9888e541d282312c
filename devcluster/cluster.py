"""A running cluster, as tests, the demo and the command line see it."""

import contextlib
import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from devcluster import build, gateway, kubeconfig, processes, rootless
from devcluster.errors import DevclusterError
from devcluster.images import DEFAULT_IMAGES
from devcluster.layout import Facts, Layout, Options

START_LIMIT = 180.0
STOP_LIMIT = 60.0
REPOSITORY = Path(__file__).resolve().parent.parent


class Cluster:
    """One cluster: etcd, API server, controller manager, a node and a gateway."""

    def __init__(self, layout: Layout, supervisor: "subprocess.Popen[bytes] | None" = None) -> None:
        self._layout = layout
        # Holds the pipe whose end stops the cluster (`dies_with_parent`).
        self._supervisor = supervisor

    @classmethod
    def start(
        cls,
        state_dir: Path,
        *,
        agent: bool = True,
        gateway: bool = True,
        images: Mapping[str, Sequence[str]] | None = None,
        pod_environment: Mapping[str, str] | None = None,
        dies_with_parent: bool = True,
    ) -> Self:
        """Build what is missing, start everything and wait until it is ready.

        `images` adds to the default table of image names and local commands; `pod_environment` is
        added to the environment of every container. Raises `DevclusterError` with the remedy.
        """
        layout = Layout(Path(state_dir).resolve())
        if _running_pid(layout):
            raise DevclusterError(f"a cluster already runs in {layout.state_dir}: `down` first, or attach to it")
        if rootless.is_needed():
            rootless.check()
        options = _options(agent, gateway, images or {}, pod_environment or {}, dies_with_parent)
        layout.create()
        layout.ready.unlink(missing_ok=True)
        options.write(layout.options)
        cluster = cls(layout, _start_supervisor(layout, dies_with_parent))
        try:
            cluster._wait_until_ready()
        except BaseException:
            cluster.stop()
            raise
        return cluster

    @classmethod
    def attach(cls, state_dir: Path) -> Self:
        """A cluster that somebody else started in this state directory."""
        layout = Layout(Path(state_dir).resolve())
        if not layout.ready.exists() or not _running_pid(layout):
            raise DevclusterError(f"no cluster runs in {layout.state_dir}: `python -m devcluster up`")
        return cls(layout)

    @property
    def state_dir(self) -> Path:
        return self._layout.state_dir

    @property
    def kubeconfig(self) -> Path:
        """Of the cluster's administrator."""
        return self._layout.kubeconfig

    @property
    def server(self) -> str:
        return self._facts.server

    @property
    def has_gateway(self) -> bool:
        return Options.read(self._layout.options).gateway

    @property
    def gateway_url(self) -> str:
        """Where Envoy listens once the first route exists."""
        return f"http://127.0.0.1:{self._facts.gateway_port}"

    def volumes_dir(self, namespace: str, claim: str) -> Path:
        """Directory behind a PersistentVolumeClaim; there once the claim is bound."""
        return self._layout.claim(namespace, claim)

    def log(self, part: str) -> Path:
        """Log of `control-plane`, `agent`, `contour`, `envoy` or `supervisor`."""
        return self._layout.logs / f"{part}.log"

    def service_account_kubeconfig(self, namespace: str, name: str, path: Path) -> Path:
        """Write a kubeconfig that acts as a ServiceAccount, with a token of eight hours."""
        body = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"audiences": [], "expirationSeconds": 8 * 3600},
        }
        answer = self._post(f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token", body)
        authority = self._layout.pki / "ca.crt"
        kubeconfig.write_token_kubeconfig(path, self.server, authority, answer["status"]["token"], namespace)
        return path

    def stop(self) -> None:
        """Stop everything that runs; the data stays."""
        pid = _running_pid(self._layout)
        if pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        if self._supervisor is not None:
            try:
                self._supervisor.wait(STOP_LIMIT)
            except subprocess.TimeoutExpired:
                self._supervisor.kill()
                self._supervisor.wait()
        elif pid and not _poll(lambda: not _is_supervisor(pid), STOP_LIMIT):
            os.kill(pid, signal.SIGKILL)

    @classmethod
    def stop_state(cls, state_dir: Path) -> bool:
        """Stop what runs in a state directory, ready or not; False when nothing does."""
        layout = Layout(Path(state_dir).resolve())
        running = _running_pid(layout) is not None
        cls(layout).stop()
        return running

    @staticmethod
    def purge_state(state_dir: Path) -> None:
        """Delete the data of a stopped cluster, and nothing that is not a cluster's."""
        layout = Layout(Path(state_dir).resolve())
        if layout.options.exists() and not _running_pid(layout):
            shutil.rmtree(layout.state_dir)

    @property
    def _facts(self) -> Facts:
        return Facts.read(self._layout.facts)

    def _wait_until_ready(self) -> None:
        supervisor = self._supervisor
        assert supervisor is not None
        _poll(lambda: self._layout.ready.exists() or supervisor.poll() is not None, START_LIMIT)
        if not self._layout.ready.exists():
            tail = processes.tail(self.log("supervisor"))
            raise DevclusterError(f"the cluster did not start; {self._layout.logs} says:\n{tail}")

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        pki = self._layout.pki
        context = ssl.create_default_context(cafile=str(pki / "ca.crt"))
        context.load_cert_chain(pki / "admin.crt", pki / "admin.key")
        request = urllib.request.Request(
            self.server + path, json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        # A proxy of the environment must not see requests to this machine.
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )
        try:
            with opener.open(request, timeout=30) as response:
                answer: dict[str, Any] = json.load(response)
                return answer
        except urllib.error.HTTPError as error:
            raise DevclusterError(f"POST {path}: {json.load(error).get('message')}") from None


def _options(
    agent: bool,
    with_gateway: bool,
    images: Mapping[str, Sequence[str]],
    pod_environment: Mapping[str, str],
    dies_with_parent: bool,
) -> Options:
    table = {**DEFAULT_IMAGES, **images}
    return Options(
        agent=agent,
        gateway=with_gateway,
        images={name: list(prefix) for name, prefix in table.items()},
        pod_environment=dict(pod_environment),
        control_plane_binary=str(build.control_plane()),
        contour_binary=str(build.contour()) if with_gateway else "",
        envoy_binary=str(gateway.envoy_binary()) if with_gateway else "",
        gateway_manifests=[str(p) for p in build.gateway_manifests()] if with_gateway else [],
        dies_with_parent=dies_with_parent,
        relayed=rootless.is_needed(),
    )


def _start_supervisor(layout: Layout, dies_with_parent: bool) -> "subprocess.Popen[bytes]":
    module = "devcluster.rootless" if rootless.is_needed() else "devcluster.supervisor"
    paths = [str(REPOSITORY), *filter(None, [os.environ.get("PYTHONPATH")])]
    with (layout.logs / "supervisor.log").open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", module, str(layout.state_dir)],
            stdin=subprocess.PIPE if dies_with_parent else subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            start_new_session=True,
        )


def _running_pid(layout: Layout) -> int | None:
    try:
        pid = int(layout.supervisor_pid.read_text())
    except (FileNotFoundError, ValueError):
        return None
    return pid if _is_supervisor(pid) else None


def _is_supervisor(pid: int) -> bool:
    """Whether the process is a supervisor and not a later one that got its number."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state != "Z" and b"devcluster.supervisor" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def _poll(condition: Callable[[], bool], limit: float) -> bool:
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return condition()
