"""CRDs, and the operator's ServiceAccount and Role: taken from what the project ships, nothing of the demo's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from demo.kube import Object, read_manifest

REPOSITORY = Path(__file__).resolve().parent.parent
SERVICE_ACCOUNT = "retrainer-operator"
_ACCESS_KINDS = {"ServiceAccount", "Role", "RoleBinding"}


def definitions() -> list[Object]:
    """The custom resource definitions of crds/."""
    paths = sorted((REPOSITORY / "crds").glob("retrainer.dev_*.yaml"))
    return [obj for path in paths for obj in read_manifest(path)]


def operator_access(namespace: str) -> list[Object]:
    """ServiceAccount, Role and RoleBinding of manifests/base, for this namespace.

    Raises FileNotFoundError where the manifests do not have all three.
    """
    base = REPOSITORY / "manifests" / "base"
    found = [obj for path in sorted(base.glob("*.yaml")) for obj in read_manifest(path)]
    access = [moved(obj, namespace) for obj in found if obj.get("kind") in _ACCESS_KINDS]
    missing = _ACCESS_KINDS - {obj["kind"] for obj in access}
    if missing:
        raise FileNotFoundError(f"{base} has no {', '.join(sorted(missing))}")
    return access


def moved(obj: Object, namespace: str) -> Object:
    """The object in another namespace; the ServiceAccounts that a binding names move with it."""
    copy: dict[str, Any] = {**obj, "metadata": {**obj["metadata"], "namespace": namespace}}
    if "subjects" in obj:
        copy["subjects"] = [{**s, "namespace": namespace} for s in obj["subjects"]]
    return copy
