"""The plan that the Go program `controlplane` runs: flags of etcd, API server and controller manager."""

from pathlib import Path
from typing import Any

from devcluster import kubeconfig
from devcluster.layout import Facts, Layout, write_json
from devcluster.pki import KUBELET_CLIENT, Authority, create_service_account_key

ADMINISTRATORS = "system:masters"
SERVICE_RANGE = "10.0.0.0/24"
ISSUER = "https://kubernetes.default.svc"


def prepare(layout: Layout, facts: Facts) -> Path:
    """Write certificates, kubeconfigs and the plan; return the plan's path."""
    authority = Authority(layout.pki)
    names = ["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"]
    authority.issue_server("apiserver", ["127.0.0.1", "10.0.0.1"], names)
    authority.issue_server("kubelet", [facts.node_address], ["devcluster"])
    authority.issue_client("kubelet-client", KUBELET_CLIENT)
    authority.issue_client("admin", "devcluster-admin", ADMINISTRATORS)
    authority.issue_client("agent", "system:node:devcluster", ADMINISTRATORS)
    authority.issue_client("controller-manager", "system:kube-controller-manager")
    create_service_account_key(layout.pki)
    kubeconfig.write_certificate_kubeconfig(layout.kubeconfig, facts.server, layout.pki, "admin")
    manager_config = layout.pki / "controller-manager.kubeconfig"
    kubeconfig.write_certificate_kubeconfig(manager_config, facts.server, layout.pki, "controller-manager")
    path = layout.state_dir / "control-plane.json"
    write_json(path, _plan(layout, facts, manager_config))
    return path


def _plan(layout: Layout, facts: Facts, manager_config: Path) -> dict[str, Any]:
    return {
        "etcd": {
            "directory": str(layout.etcd),
            "clientURL": f"http://127.0.0.1:{facts.etcd_client_port}",
            "peerURL": f"http://127.0.0.1:{facts.etcd_peer_port}",
            "logFile": str(layout.logs / "etcd.log"),
        },
        "apiServer": _flags(_api_server_flags(layout, facts)),
        "apiServerAddress": f"127.0.0.1:{facts.api_port}",
        "controllerManager": _flags(_controller_manager_flags(layout, manager_config)),
    }


def _flags(values: dict[str, object]) -> list[str]:
    return [f"--{name}={value}" for name, value in values.items()]


def _api_server_flags(layout: Layout, facts: Facts) -> dict[str, object]:
    pki = layout.pki
    return {
        "etcd-servers": f"http://127.0.0.1:{facts.etcd_client_port}",
        "bind-address": "127.0.0.1",
        "advertise-address": "127.0.0.1",
        "secure-port": facts.api_port,
        "cert-dir": pki,
        "tls-cert-file": pki / "apiserver.crt",
        "tls-private-key-file": pki / "apiserver.key",
        "client-ca-file": pki / "ca.crt",
        "kubelet-certificate-authority": pki / "ca.crt",
        "kubelet-client-certificate": pki / "kubelet-client.crt",
        "kubelet-client-key": pki / "kubelet-client.key",
        "kubelet-preferred-address-types": "InternalIP",
        "service-cluster-ip-range": SERVICE_RANGE,
        "service-account-issuer": ISSUER,
        "service-account-key-file": pki / "service-account.key",
        "service-account-signing-key-file": pki / "service-account.key",
        "authorization-mode": "RBAC",
        "endpoint-reconciler-type": "none",
        "profiling": "false",
        # Connections end with the process; waiting for them only slows `down`.
        "shutdown-delay-duration": "0s",
    }


def _controller_manager_flags(layout: Layout, manager_config: Path) -> dict[str, object]:
    return {
        "kubeconfig": manager_config,
        "leader-elect": "false",
        "use-service-account-credentials": "true",
        "service-account-private-key-file": layout.pki / "service-account.key",
        "root-ca-file": layout.pki / "ca.crt",
        "secure-port": 0,
        "kube-api-qps": 200,
        "kube-api-burst": 400,
        # A laptop that slept, or a busy test machine, must not evict the pods of its only node.
        "node-monitor-grace-period": "5m",
    }
