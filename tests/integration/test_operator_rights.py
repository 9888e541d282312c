"""What the operator's ServiceAccount may do, and that objects of others are never touched."""

import json
from typing import Any

import pytest
from loop_world import Feedback, feedback_source, pod_template, policy, volumes, wait_until
from operator_process import SERVICE_ACCOUNT, Kubectl, Operator

from devcluster.cluster import Cluster

DIGEST = "sha256:" + "ab" * 32


@pytest.mark.parametrize(
    ("verb", "resource", "allowed"),
    [
        ("list", "trainingruns.retrainer.dev", True),
        ("create", "jobs.batch", True),
        ("get", "secrets", True),
        ("list", "secrets", False),
        ("watch", "secrets", False),
        ("create", "secrets", False),
        ("create", "pods", False),
        ("create", "pods/exec", False),
        ("delete", "namespaces", False),
        ("create", "rolebindings.rbac.authorization.k8s.io", False),
        ("*", "*", False),
    ],
)
def test_the_service_account_may(cluster: Cluster, kubectl: Kubectl, verb: str, resource: str, allowed: bool) -> None:
    user = f"system:serviceaccount:{kubectl.namespace}:{SERVICE_ACCOUNT}"
    answer = kubectl.run("auth", "can-i", verb, resource, f"--as={user}", check=False).strip()
    assert answer.startswith("yes") == allowed


def test_the_role_has_no_wildcard(kubectl: Kubectl) -> None:
    role = kubectl.get("role", SERVICE_ACCOUNT)
    assert role is not None
    for rule in role["rules"]:
        assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]], rule


@pytest.mark.parametrize("kind", ["configmap", "deployment", "httproute"])
def test_an_object_of_a_user_with_a_name_of_ours_is_left_alone(
    cluster: Cluster, kubectl: Kubectl, operator: Operator, kind: str
) -> None:
    theirs = _theirs(kind)
    kubectl.apply(theirs)
    before = kubectl.get(kind, theirs["metadata"]["name"])
    kubectl.apply(*volumes(), pod_template(), feedback_source())
    Feedback(cluster.volumes_dir(kubectl.namespace, "feedback") / "feedback.db")
    kubectl.apply(policy(DIGEST, "2026-11-01T00:00:00+00:00"))
    stalled = wait_until("the policy says so", lambda: _condition(kubectl, "Stalled"), 30)
    assert stalled["reason"] == "NameConflict"
    assert theirs["metadata"]["name"] in stalled["message"]
    after = kubectl.get(kind, theirs["metadata"]["name"])
    assert _substance(after) == _substance(before)
    kubectl.run("delete", "retrainpolicy", "digits", "--wait=true")
    assert kubectl.get(kind, theirs["metadata"]["name"]) is not None, "nor is it deleted with the policy"


def _theirs(kind: str) -> dict[str, Any]:
    if kind == "configmap":
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "digits-champion"}, "data": {"a": "b"}}
    if kind == "httproute":
        return {
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "HTTPRoute",
            "metadata": {"name": "digits"},
            "spec": {"parentRefs": [{"name": "elsewhere"}], "rules": [{"backendRefs": [{"name": "mine", "port": 80}]}]},
        }
    labels = {"app": "mine"}
    container = {"name": "mine", "image": "busybox:1", "command": ["sleep", "3600"]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "digits-r1"},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    }


def _substance(obj: dict[str, Any] | None) -> str:
    """What a user cares about: everything but status and bookkeeping."""
    assert obj is not None
    meta = {k: obj["metadata"].get(k) for k in ("name", "labels", "ownerReferences", "uid")}
    return json.dumps({"metadata": meta, "spec": obj.get("spec"), "data": obj.get("data")}, sort_keys=True)


def _condition(kubectl: Kubectl, kind: str) -> dict[str, Any] | None:
    conditions = kubectl.status("retrainpolicy", "digits").get("conditions") or []
    return next((c for c in conditions if c["type"] == kind and c["status"] == "True"), None)

