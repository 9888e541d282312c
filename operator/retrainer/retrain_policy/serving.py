"""What runs a revision: Deployment and Service from the frozen PodTemplate (pure builders)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from retrainer.api.v1alpha1.retrain_policy import Revision, Serving
from retrainer.conditions import is_true
from retrainer.plan import Object
from retrainer.retrain_policy import children
from retrainer.retrain_policy.revisions import Template

TEMPLATE_ANNOTATION = "retrainer.dev/template-hash"
"""On a Deployment: hash of the PodTemplate that it was made from."""
_NOT_COPIED = ("argocd.argoproj.io/", "kubectl.kubernetes.io/last-applied-configuration")
_INSTANCE_LABEL = "app.kubernetes.io/instance"
"""Argo CD tracks by it: a child that carried it would be pruned."""
_SERVER_FIELDS = ("creationTimestamp", "name", "namespace", "generateName", "uid", "resourceVersion")


def freeze(pod_template: Object, port: int) -> Template:
    """The copy that revisions run from; its hash covers everything that reaches a pod, and the port."""
    template = pod_template.get("template") or {}
    pod = {"metadata": _pod_metadata(template.get("metadata") or {}), "spec": template.get("spec") or {}}
    canonical = json.dumps([pod, port], sort_keys=True, separators=(",", ":"))
    return Template(hashlib.sha256(canonical.encode()).hexdigest()[:16], pod, port)


def build_deployment(policy: Object, serving: Serving, revision: Revision, template: Template) -> Object:
    """The Deployment of one revision; `replicas` only where the spec sets them (an autoscaler may own them)."""
    name = policy["metadata"]["name"]
    selector = _selector(name, revision.revision)
    pod_metadata = dict(template.pod.get("metadata") or {})
    pod_metadata["labels"] = {**(pod_metadata.get("labels") or {}), **selector}
    spec: Object = {
        "selector": {"matchLabels": selector},
        "template": {"metadata": pod_metadata, "spec": _with_model(template.pod["spec"], revision)},
        "progressDeadlineSeconds": serving.progress_deadline_seconds,
        "revisionHistoryLimit": 2,
    }
    if serving.replicas is not None:
        spec["replicas"] = serving.replicas
    metadata = children.metadata(policy, children.serving_name(name, revision.revision), selector)
    metadata["annotations"] = {TEMPLATE_ANNOTATION: template.hash}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}


def build_service(policy: Object, revision: int, port: int) -> Object:
    """The Service of one revision."""
    name = policy["metadata"]["name"]
    selector = _selector(name, revision)
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": children.metadata(policy, children.serving_name(name, revision), selector),
        "spec": {
            "selector": selector,
            "ports": [{"name": "http", "port": port, "targetPort": port, "protocol": "TCP"}],
        },
    }


def is_available(deployment: Object) -> bool:
    """Whether the present generation is rolled out and enough of its pods are up."""
    status = deployment.get("status") or {}
    wanted = (deployment.get("spec") or {}).get("replicas", 1)
    return (
        status.get("observedGeneration", 0) >= deployment["metadata"].get("generation", 0)
        and is_true(status.get("conditions"), "Available")
        and status.get("updatedReplicas", 0) >= wanted
    )


def has_stopped_progressing(deployment: Object) -> bool:
    """Whether Kubernetes has given up on it (progressDeadlineSeconds)."""
    conditions = (deployment.get("status") or {}).get("conditions") or ()
    return any(
        c.get("type") == "Progressing" and c.get("reason") == "ProgressDeadlineExceeded" for c in conditions
    )


def up_to_date(found: Object, desired: Object) -> bool:
    """Whether the object says all that is desired; what others added or the API server defaulted is ignored."""
    meta, wanted = found["metadata"], desired["metadata"]
    return (
        covers(meta.get("labels"), wanted.get("labels", {}))
        and covers(meta.get("annotations"), wanted.get("annotations", {}))
        and covers(found.get("spec"), desired["spec"])
    )


def covers(found: Any, desired: Any) -> bool:
    """Whether `desired` is contained in `found`: named list items by name, other lists item by item."""
    if isinstance(desired, Mapping):
        if not desired:
            return found is None or isinstance(found, Mapping)
        return isinstance(found, Mapping) and all(covers(found.get(k), v) for k, v in desired.items())
    if isinstance(desired, list):
        return _covers_list(found or [], desired)
    return bool(found == desired)


def _covers_list(found: list[Any], desired: list[Any]) -> bool:
    if desired and all(isinstance(d, Mapping) and "name" in d for d in desired):
        by_name = {f.get("name"): f for f in found if isinstance(f, Mapping)}
        return all(covers(by_name.get(d["name"]), d) for d in desired)
    return len(found) == len(desired) and all(covers(f, d) for f, d in zip(found, desired, strict=True))


def _selector(policy: str, revision: int) -> dict[str, str]:
    return {children.POLICY_LABEL: policy, children.REVISION_LABEL: str(revision)}


def _pod_metadata(metadata: Object) -> Object:
    """Labels and annotations of the pods, without those that make other tools believe they own them."""
    cleaned = {k: v for k, v in metadata.items() if k not in _SERVER_FIELDS}
    for key in ("labels", "annotations"):
        if key in cleaned:
            cleaned[key] = {k: v for k, v in (cleaned[key] or {}).items() if _may_be_copied(k)}
    return cleaned


def _may_be_copied(key: str) -> bool:
    return key != _INSTANCE_LABEL and not key.startswith(_NOT_COPIED)


def _with_model(pod_spec: Object, revision: Revision) -> Object:
    """The pod spec with the model in every container's environment."""
    spec = dict(pod_spec)
    for key in ("initContainers", "containers"):
        if spec.get(key):
            spec[key] = [{**c, "env": _environment(c.get("env") or [], revision)} for c in spec[key]]
    return spec


def _environment(env: list[Object], revision: Revision) -> list[Object]:
    """Ours come first, so that $(MODEL_URI) can be used in the template's own entries."""
    ours: list[Object] = [
        {"name": "MODEL_URI", "value": revision.uri},
        {"name": "MODEL_DIGEST", "value": revision.digest},
        {"name": "MODEL_REVISION", "value": str(revision.revision)},
    ]
    names = {entry["name"] for entry in ours}
    return [*ours, *(e for e in env if e["name"] not in names)]
