"""Where everything of one cluster lives below its state directory, and the facts its parts share."""

import dataclasses
import json
import os
from pathlib import Path
from typing import Any, Self


@dataclasses.dataclass(frozen=True)
class Layout:
    """Names of files and folders; creates nothing."""

    state_dir: Path

    @property
    def pki(self) -> Path:
        return self.state_dir / "pki"

    @property
    def logs(self) -> Path:
        return self.state_dir / "logs"

    @property
    def pods(self) -> Path:
        return self.state_dir / "pods"

    @property
    def volumes(self) -> Path:
        return self.state_dir / "volumes"

    @property
    def etcd(self) -> Path:
        return self.state_dir / "etcd"

    @property
    def sockets(self) -> Path:
        return self.state_dir / "sockets"

    @property
    def kubeconfig(self) -> Path:
        return self.state_dir / "kubeconfig"

    @property
    def options(self) -> Path:
        """What the caller asked for."""
        return self.state_dir / "options.json"

    @property
    def facts(self) -> Path:
        """Addresses and ports; there as soon as they are chosen."""
        return self.state_dir / "facts.json"

    @property
    def ready(self) -> Path:
        """There while the whole cluster is ready."""
        return self.state_dir / "ready"

    @property
    def supervisor_pid(self) -> Path:
        return self.state_dir / "supervisor.pid"

    def claim(self, namespace: str, name: str) -> Path:
        """Directory behind a PersistentVolumeClaim."""
        return self.volumes / namespace / name

    def create(self) -> None:
        for folder in (self.pki, self.logs, self.pods, self.volumes, self.etcd, self.sockets):
            folder.mkdir(parents=True, exist_ok=True)
        # Secrets of pods and the cluster's keys lie below.
        self.state_dir.chmod(0o700)


class _Document:
    """A frozen dataclass that is kept as a JSON file."""

    @classmethod
    def read(cls, path: Path) -> Self:
        return cls(**json.loads(path.read_text()))

    def write(self, path: Path) -> None:
        write_json(path, dataclasses.asdict(self))  # type: ignore[call-overload]


@dataclasses.dataclass(frozen=True)
class Options(_Document):
    """What the caller of `Cluster.start` asked for."""

    agent: bool
    gateway: bool
    images: dict[str, list[str]]
    pod_environment: dict[str, str]
    control_plane_binary: str
    contour_binary: str
    envoy_binary: str
    gateway_manifests: list[str]
    dies_with_parent: bool
    # Ordinary users run it in namespaces and reach it through a relay.
    relayed: bool


@dataclasses.dataclass(frozen=True)
class Facts(_Document):
    """Addresses and ports of a running cluster."""

    api_port: int
    etcd_client_port: int
    etcd_peer_port: int
    gateway_port: int
    xds_port: int
    contour_health_port: int
    contour_metrics_port: int
    contour_debug_port: int
    pod_range: int

    @property
    def ports(self) -> list[int]:
        return [value for name, value in dataclasses.asdict(self).items() if name.endswith("_port")]

    @property
    def server(self) -> str:
        return f"https://127.0.0.1:{self.api_port}"

    @property
    def node_address(self) -> str:
        """The first address of the pod range belongs to the node itself."""
        return f"10.244.{self.pod_range}.1"


def write_json(path: Path, value: Any) -> None:
    """Replace a file in one step, so that readers never see half of it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(value, indent=1))
    temporary.replace(path)
