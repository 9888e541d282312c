"""Real requests through a real gateway: who may choose an arm, and what servers and clients are told of it."""

from __future__ import annotations

import http.client
import json
import math
from collections import Counter
from typing import Any
from urllib.parse import urlsplit

import pytest
from integration.devcluster_support import Kubectl, container, eventually
from routing_contract import GATEWAY

from devcluster.cluster import Cluster
from retrainer.api.v1alpha1.traffic import ParentRef
from retrainer.routing.gateways import acceptance
from retrainer.routing.httproute import Backend, build

HEADER = "x-retrainer-variant"
ECHO = f"""
import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    def do_GET(self):
        body = (os.environ["ARM"] + " " + str(self.headers.get("{HEADER}"))).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer((os.environ["POD_IP"], 8080), Handler).serve_forever()
"""
Answer = tuple[str, str, str | None]
"""The arm that answered, the variant that it was told, and the one that the client was told."""
TRUE = {("baseline", "baseline", "baseline"), ("candidate", "candidate", "candidate")}


def server(arm: str) -> list[dict[str, Any]]:
    """A Deployment that says which arm it is and what header it got, and its Service."""
    address = {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}
    probe = {"tcpSocket": {"port": 8080}, "periodSeconds": 1}
    main = container("python", "-c", ECHO, env=[address, {"name": "ARM", "value": arm}], readinessProbe=probe)
    template = {"metadata": {"labels": {"app": arm}}, "spec": {"containers": [main]}}
    spec = {"selector": {"matchLabels": {"app": arm}}, "template": template}
    behind = {"selector": {"app": arm}, "ports": [{"port": 8080}]}
    return [
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": arm}, "spec": spec},
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": arm}, "spec": behind},
    ]


class Gateway:
    """The route of one namespace at a weight, and requests through it."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.kubectl, self.namespace = Kubectl(cluster, namespace), namespace
        self.host = f"{namespace}.example"
        self._address = str(urlsplit(cluster.gateway_url).netloc)
        for arm in ("baseline", "candidate"):
            self.kubectl.create(*server(arm))
        for arm in ("baseline", "candidate"):
            self.kubectl("rollout", "status", f"deployment/{arm}", "--timeout=60s")

    def carry(self, weight: int, by_header: bool) -> None:
        """Apply the route and wait until requests are divided so."""
        backends = (
            Backend("baseline", 8080, 100 - weight, "baseline"),
            Backend("candidate", 8080, weight, "candidate"),
        )
        parents = (ParentRef.model_validate(GATEWAY),)
        route = build(
            "tutor", self.namespace, parent_refs=parents, backends=backends, hostnames=[self.host], by_header=by_header
        )
        self.kubectl("apply", "--server-side", "-f", "-", text=json.dumps(route))
        eventually(lambda: acceptance(self.kubectl.get("httproute", "tutor"), parents).message is None)
        # The split moves a moment after the gateway's word.
        arms = {arm for arm, share in (("baseline", 100 - weight), ("candidate", weight)) if share}
        eventually(lambda: {a[0] for a in self.ask(40)} == arms)
        if by_header and len(arms) == 2:
            eventually(lambda: all({a[0] for a in self.ask(20, variant=arm)} == {arm} for arm in arms))

    def ask(self, times: int, variant: str | None = None) -> Counter[Answer]:
        """Answers to so many requests, each naming the variant if one is given."""
        connection = http.client.HTTPConnection(self._address, timeout=10)
        headers = {"Host": self.host, **({HEADER: variant} if variant else {})}
        found: Counter[Answer] = Counter()
        for _ in range(times):
            connection.request("GET", "/", headers=headers)
            response = connection.getresponse()
            arm, _, told = response.read().decode().partition(" ")
            found[arm, told, response.getheader(HEADER)] += 1
        connection.close()
        return found


@pytest.fixture
def gateway(cluster: Cluster, namespace: str) -> Gateway:
    return Gateway(cluster, namespace)


def candidates(answers: Counter[Answer]) -> int:
    return sum(count for (arm, _, _), count in answers.items() if arm == "candidate")


def near(count: int, total: int, share: float) -> bool:
    """Within four standard deviations of a binomial."""
    return abs(count - total * share) <= 4 * math.sqrt(total * share * (1 - share))


def test_users_reach_the_arm_that_is_named_and_everybody_is_told_the_truth(gateway: Gateway) -> None:
    gateway.carry(20, by_header=True)
    for arm in ("baseline", "candidate"):
        assert set(gateway.ask(200, variant=arm)) == {(arm, arm, arm)}
    divided = gateway.ask(1000)
    assert set(divided) == TRUE and near(candidates(divided), 1000, 0.2)
    unknown = gateway.ask(1000, variant="somethingelse")
    assert set(unknown) == TRUE and near(candidates(unknown), 1000, 0.2)


@pytest.mark.parametrize("wish", ["candidate", "baseline"])
def test_in_request_mode_nobody_chooses_an_arm_and_a_false_header_does_not_reach_the_server(
    gateway: Gateway, wish: str
) -> None:
    gateway.carry(20, by_header=False)
    answers = gateway.ask(1000, variant=wish)
    assert set(answers) == TRUE, "the server and the client are told the true arm"
    assert near(candidates(answers), 1000, 0.2)


@pytest.mark.parametrize(("weight", "left"), [(0, "baseline"), (100, "candidate")])
def test_an_arm_without_weight_cannot_be_chosen_even_by_header(gateway: Gateway, weight: int, left: str) -> None:
    gateway.carry(50, by_header=True)
    gateway.carry(weight, by_header=True)
    for wish in ("baseline", "candidate", None):
        assert set(gateway.ask(100, variant=wish)) == {(left, left, left)}
