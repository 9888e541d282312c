"""The operator's settings: environment variables, read once into one typed object."""

from __future__ import annotations

import math
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Settings:
    """Each field names its environment variable; the defaults suit the manifests in `manifests/base`."""

    namespaces: tuple[str, ...]
    """RETRAINER_NAMESPACES: namespaces to watch, separated by commas; the pod's own if unset."""
    lease_namespace: str
    """RETRAINER_LEASE_NAMESPACE: where the leader's Lease lies; the first watched namespace if unset."""
    lease_name: str
    """RETRAINER_LEASE_NAME: `retrainer-operator` if unset."""
    lease_seconds: int
    """RETRAINER_LEASE_SECONDS: how long a leader may be silent before another takes over; 15 if unset."""
    identity: str
    """POD_NAME, or host name and process id: who holds the Lease."""
    data_root: Path | None
    """RETRAINER_DATA_ROOT: folder below which SQLite sources may lie; without it they are refused."""
    trainer_image: str
    """RETRAINER_TRAINER_IMAGE: image of runs that name none."""
    bind_address: str
    """RETRAINER_BIND_ADDRESS: where probes and metrics are served; all addresses if unset."""
    health_port: int
    """RETRAINER_HEALTH_PORT: /healthz, /readyz and /metrics; 8080 if unset, 0 picks a free one."""
    source_timeout_seconds: float
    """RETRAINER_SOURCE_TIMEOUT_SECONDS: hard limit of one read of a source; 30 if unset."""
    resync_seconds: float
    """RETRAINER_RESYNC_SECONDS: every object is looked at this often without any event; 300 if unset."""
    allow_loopback: bool
    """RETRAINER_ALLOW_LOOPBACK: `true` where Prometheus without a token may be on this machine itself, as on a
    developer's; in a cluster that would be the operator's own pod."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Settings:
        """Raises ValueError naming the variable when a value cannot be used."""
        namespaces = tuple(n.strip() for n in environment.get("RETRAINER_NAMESPACES", "").split(",") if n.strip())
        namespaces = namespaces or (_own_namespace(environment),)
        root = environment.get("RETRAINER_DATA_ROOT")
        return cls(
            namespaces=namespaces,
            lease_namespace=environment.get("RETRAINER_LEASE_NAMESPACE") or namespaces[0],
            lease_name=environment.get("RETRAINER_LEASE_NAME", "retrainer-operator"),
            lease_seconds=int(_number(environment, "RETRAINER_LEASE_SECONDS", 15, minimum=2)),
            identity=environment.get("POD_NAME") or f"{socket.gethostname()}-{os.getpid()}",
            data_root=Path(root) if root else None,
            trainer_image=environment.get("RETRAINER_TRAINER_IMAGE", "retrainer/trainer:0.1.0"),
            bind_address=environment.get("RETRAINER_BIND_ADDRESS", "0.0.0.0"),
            health_port=int(_number(environment, "RETRAINER_HEALTH_PORT", 8080, minimum=0)),
            source_timeout_seconds=_number(environment, "RETRAINER_SOURCE_TIMEOUT_SECONDS", 30, minimum=0.1),
            resync_seconds=_number(environment, "RETRAINER_RESYNC_SECONDS", 300, minimum=1),
            allow_loopback=_truth(environment, "RETRAINER_ALLOW_LOOPBACK"),
        )


def _own_namespace(environment: Mapping[str, str]) -> str:
    if environment.get("POD_NAMESPACE"):
        return environment["POD_NAMESPACE"]
    mounted = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
    return mounted.read_text(encoding="utf-8").strip() if mounted.exists() else "default"


def _truth(environment: Mapping[str, str], name: str) -> bool:
    text = environment.get(name, "") or "false"
    if text not in ("true", "false"):
        raise ValueError(f"{name} must be true or false, not {text!r}")
    return text == "true"


def _number(environment: Mapping[str, str], name: str, default: float, minimum: float) -> float:
    text = environment.get(name, "")
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{name} must be a number, not {text!r}")
    if value < minimum:
        raise ValueError(f"{name} must be at least {minimum:g}")
    return value
