"""Deployments behind the development cluster's gateway: rolling, weights, headers."""

import math
from collections import Counter

import pytest
from integration.devcluster_support import Kubectl, eventually, request, route, web

from devcluster.cluster import Cluster


@pytest.fixture
def kubectl(cluster: Cluster, namespace: str) -> Kubectl:
    return Kubectl(cluster, namespace)


def test_a_deployment_becomes_available_and_rolls_without_a_lost_request(
    kubectl: Kubectl, cluster: Cluster, namespace: str
) -> None:
    host = f"{namespace}.example"
    kubectl.create(*web("tutor", "one", replicas=2), route("tutor", host, [("tutor", 1)]))
    kubectl("rollout", "status", "deployment/tutor", "--timeout=60s")
    eventually(lambda: request(cluster, host) == "one")

    kubectl("set", "env", "deployment/tutor", "ANSWER=two")
    answers: Counter[str] = Counter()

    def rolled() -> bool:
        answers.update(request(cluster, host) for _ in range(20))
        return len(kubectl.pods("app=tutor")) == 2 and request(cluster, host) == "two"

    eventually(rolled)
    assert set(answers) <= {"one", "two"}, answers


def test_the_gateway_honours_weights_and_headers(kubectl: Kubectl, cluster: Cluster, namespace: str) -> None:
    host, total, share = f"{namespace}.example", 2000, 0.2
    kubectl.create(
        *web("champion", "champion"),
        *web("candidate", "candidate"),
        route("split", host, [("champion", 80), ("candidate", 20)], header="candidate"),
    )
    for name in ("champion", "candidate"):
        kubectl("rollout", "status", f"deployment/{name}", "--timeout=60s")
    eventually(lambda: request(cluster, host) and request(cluster, host, {"x-arm": "b"}) == "candidate")

    answers = Counter(request(cluster, host) for _ in range(total))

    assert set(answers) == {"champion", "candidate"}
    tolerance = 4 * math.sqrt(total * share * (1 - share))
    assert abs(answers["candidate"] - total * share) <= tolerance
    assert {request(cluster, host, {"x-arm": "b"}) for _ in range(50)} == {"candidate"}
