"""CRDs, and the operator's ServiceAccount and Role: taken from what the project ships, nothing of the demo's own."""

from __future__ import annotations

from pathlib import Path

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
    return [moved(obj, namespace) for obj in _shipped(_ACCESS_KINDS)]


def operator_deployment(namespace: str) -> Object:
    """The operator's Deployment of manifests/base, for this namespace. Raises FileNotFoundError without it."""
    (deployment,) = _shipped({"Deployment"})
    return moved(deployment, namespace)


def _shipped(kinds: set[str]) -> list[Object]:
    base = REPOSITORY / "manifests" / "base"
    found = [obj for path in sorted(base.glob("*.yaml")) for obj in read_manifest(path) if obj.get("kind") in kinds]
    missing = kinds - {obj["kind"] for obj in found}
    if missing:
        raise FileNotFoundError(f"{base} has no {', '.join(sorted(missing))}")
    return found


def moved(obj: Object, namespace: str) -> Object:
    """The object in another namespace; the ServiceAccounts that a binding names move with it."""
    copy: Object = {**obj, "metadata": {**obj["metadata"], "namespace": namespace}}
    if "subjects" in obj:
        copy["subjects"] = [{**s, "namespace": namespace} for s in obj["subjects"]]
    return copy
