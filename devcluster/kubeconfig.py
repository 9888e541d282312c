"""Writes kubeconfig files. They are JSON, which is YAML too."""

import base64
import os
from pathlib import Path
from typing import Any

from devcluster.layout import write_json


def write_certificate_kubeconfig(path: Path, server: str, pki: Path, client: str) -> None:
    """Authenticate with the client certificate `<client>.crt` of the cluster's folder."""
    user = {
        "client-certificate-data": _encoded(pki / f"{client}.crt"),
        "client-key-data": _encoded(pki / f"{client}.key"),
    }
    _write(path, server, _encoded(pki / "ca.crt"), user)


def write_token_kubeconfig(path: Path, server: str, authority: Path, token: str, namespace: str) -> None:
    """Authenticate with a bearer token."""
    _write(path, server, _encoded(authority), {"token": token}, namespace)


def write_token_file_kubeconfig(
    path: Path, server: str, authority: Path, token_file: Path, namespace: str
) -> None:
    """Authenticate with a token that somebody else keeps fresh in a file."""
    _write(path, server, _encoded(authority), {"tokenFile": str(token_file)}, namespace)


def _encoded(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def _write(
    path: Path, server: str, authority: str, user: dict[str, Any], namespace: str = "default"
) -> None:
    name = "devcluster"
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": name, "cluster": {"server": server, "certificate-authority-data": authority}}
        ],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name, "namespace": namespace}}],
        "current-context": name,
    }
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
    write_json(path, document)
    path.chmod(0o600)
