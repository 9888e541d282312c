"""Two policies that claim one host: the one whose route gets no traffic says so, until somebody gives it another."""

from __future__ import annotations

import json
from typing import Any

from loop_world import Feedback, feedback_source, pod_template, policy, volumes, wait_until
from operator_process import Kubectl, Operator

from devcluster.cluster import Cluster

DIGEST = "sha256:" + "ab" * 32


def claiming(name: str, host: str) -> dict[str, Any]:
    """A policy that serves its initial model under a host name."""
    made = policy(DIGEST, "2026-11-01T00:00:00+00:00")
    made["metadata"]["name"] = name
    made["spec"]["serving"]["httpRoute"]["hostnames"] = [host]
    return made


def reason(kubectl: Kubectl, name: str) -> str | None:
    conditions = kubectl.status("retrainpolicy", name).get("conditions") or []
    found = next((c for c in conditions if c["type"] == "Ready"), {})
    return found.get("reason")


def test_the_younger_route_is_told_and_another_host_name_is_the_remedy(
    cluster: Cluster, kubectl: Kubectl, operator: Operator
) -> None:
    host = f"{kubectl.namespace}.example"
    kubectl.apply(*volumes(), pod_template(), feedback_source())
    Feedback(cluster.volumes_dir(kubectl.namespace, "feedback") / "feedback.db")
    kubectl.apply(claiming("first", host))
    wait_until("the first has its route", lambda: kubectl.get("httproute", "first"))
    kubectl.apply(claiming("second", host))
    wait_until("the second is told", lambda: reason(kubectl, "second") == "InvalidConfiguration")
    conditions = {c["type"]: c for c in kubectl.status("retrainpolicy", "second")["conditions"]}
    assert conditions["Stalled"]["status"] == "True"
    assert f"RetrainPolicy {kubectl.namespace}/first" in conditions["Ready"]["message"]
    wait_until("the first is not", lambda: reason(kubectl, "first") == "Ready")
    other = {"spec": {"serving": {"httpRoute": {"hostnames": [f"other.{host}"]}}}}
    kubectl.run("patch", "retrainpolicy", "second", "--type=merge", "-p", json.dumps(other))
    wait_until("the second is ready", lambda: reason(kubectl, "second") == "Ready")
