"""Standalone experiments in one namespace: two real servers behind real routes, records in SQLite, and a crowd.

Nothing is trained. Several experiments share the two Services, each with a route and revisions of its own, so that
one operator can be watched with many of them at once. The crowd follows the weights of the routes; where requests
matter, `GatewayCrowd` sends them through the gateway and the servers note what reached them.
"""

from __future__ import annotations

import http.client
import json
import ssl
import sys
import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from experiment_crowd import Crowd, Records, Trial
from operator_process import Kubectl, install_access

from devcluster.cluster import Cluster

Object = dict[str, Any]
WINDOW_SECONDS = 5
MATURITY_SECONDS = 1
ARMS = {"baseline": 1, "candidate": 2}
"""The Services, and the revision that their servers name."""
SERVER = """
import http.server, os, time
log = open(os.environ["REQUEST_LOG"], "a")
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    def do_GET(self):
        if self.path != "/ready":
            log.write(f"{time.time()}\\n")
            log.flush()
        body = os.environ["MODEL_REVISION"].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer((os.environ["POD_IP"], 8080), Handler).serve_forever()
"""


class Api:
    """The API server as its administrator, several hundred requests per second (kubectl: ten)."""

    def __init__(self, cluster: Cluster) -> None:
        pki = cluster.state_dir / "pki"
        self._context = ssl.create_default_context(cafile=str(pki / "ca.crt"))
        self._context.load_cert_chain(pki / "admin.crt", pki / "admin.key")
        self._address = urlsplit(cluster.server)
        self._threads = threading.local()

    def get(self, path: str) -> Object | None:
        """The answer, or None where there is no such object."""
        for attempt in (1, 2):
            try:
                connection = self._connection()
                connection.request("GET", path)
                response = connection.getresponse()
                body = response.read()
                break
            except (http.client.HTTPException, OSError):
                self._threads.connection = None
                if attempt == 2:
                    raise
        assert response.status in (200, 404), f"GET {path}: {response.status} {body[:200]!r}"
        return json.loads(body) if response.status == 200 else None

    def _connection(self) -> http.client.HTTPSConnection:
        connection: http.client.HTTPSConnection | None = getattr(self._threads, "connection", None)
        if connection is None:
            host, port = self._address.hostname or "", self._address.port
            connection = http.client.HTTPSConnection(host, port, context=self._context, timeout=10)
            self._threads.connection = connection
        return connection


class World:
    """A namespace with both servers ready, feedback and a crowd; experiments are added by name."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self.cluster = cluster
        self.folder = folder
        self.namespace = f"test-{uuid.uuid4().hex[:8]}"
        self.kubectl = Kubectl(cluster, self.namespace)
        self.api = Api(cluster)
        self.records = Records(folder / "shared" / "feedback.db")
        self.crowd = Crowd(self.weights)
        self._trials = 0

    def furnish(self) -> None:
        """Everything that has to be there before an operator starts."""
        self.kubectl.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}})
        install_access(self.kubectl)
        self.kubectl.apply(
            feedback_source("shared"),
            *(o for arm in ARMS for o in arm_objects(arm, self.request_log(arm))),
        )
        for arm in ARMS:
            self.kubectl.run("rollout", "status", f"deployment/{arm}", "--timeout=60s")
        self.crowd.start()

    def request_log(self, arm: str) -> Path:
        """Where an arm's server writes the time of each request."""
        return self.folder / f"{arm}.requests"

    def requests(self, arm: str) -> list[float]:
        """When requests reached the server of an arm, in seconds since the epoch."""
        path = self.request_log(arm)
        return [float(line) for line in path.read_text(encoding="utf-8").split()] if path.exists() else []

    def trial(
        self, name: str, quality: Mapping[str, float], rate: float = 40.0, records: Records | None = None
    ) -> Trial:
        """People's opinion of a new experiment, with revisions that no other experiment of this world has."""
        revisions = {arm: revision + 10 * self._trials for arm, revision in ARMS.items()}
        self._trials += 1
        return Trial(name, revisions, records or self.records, dict(quality), rate)

    def begin(self, trial: Trial, source: str = "shared", follow: bool = True, **changes: Any) -> Trial:
        """Create the experiment; `changes` replace parts of its spec. The crowd attends it if `follow` is set."""
        if follow:
            self.crowd.attend(trial)
        self.kubectl.apply(experiment(trial, self.host(trial.name), source, **changes))
        return trial

    def host(self, name: str) -> str:
        """The host name of an experiment's route; two routes for one host would be at odds."""
        return f"{name}.{self.namespace}.example"

    def route(self, name: str) -> Object | None:
        return self.api.get(f"{self._routes}/{name}")

    def weight(self, name: str) -> int | None:
        """The candidate's share on the route; None without a route."""
        route = self.route(name)
        return None if route is None else candidate_share(route)

    def weights(self) -> dict[str, int]:
        """The candidate's share by experiment, as the routes say."""
        found = self.api.get(self._routes) or {}
        return {route["metadata"]["name"]: candidate_share(route) for route in found["items"]}

    def status(self, name: str) -> Object:
        found = self.api.get(f"/apis/retrainer.dev/v1alpha1/namespaces/{self.namespace}/abexperiments/{name}")
        status: Object = (found or {}).get("status") or {}
        return status

    def condition(self, name: str, type_: str) -> Object:
        return next((c for c in self.status(name).get("conditions", ()) if c["type"] == type_), {})

    def ledger_data(self, name: str) -> dict[str, str]:
        found = self.api.get(f"/api/v1/namespaces/{self.namespace}/configmaps/{name}-ledger")
        data: dict[str, str] = (found or {}).get("data") or {}
        return data

    def ledger(self, name: str) -> list[Object]:
        """The lines of the ledger, in order; empty without one."""
        return [json.loads(line) for line in self.ledger_data(name).get("lines", "").splitlines() if line]

    def events(self, name: str) -> list[Object]:
        return [e for e in self.kubectl.list("event") if e["involvedObject"]["name"] == name]

    def stop(self) -> None:
        if self.crowd.is_alive():
            self.crowd.stop()
        self.kubectl.run("delete", "namespace", self.namespace, "--wait=false", check=False)

    @property
    def _routes(self) -> str:
        return f"/apis/gateway.networking.k8s.io/v1/namespaces/{self.namespace}/httproutes"


@contextmanager
def new_world(cluster: Cluster, folder: Path) -> Iterator[World]:
    """A furnished world, gone at the end."""
    world = World(cluster, folder)
    try:
        world.furnish()
        yield world
        assert world.crowd.is_alive(), "the crowd stopped voting"
    finally:
        world.stop()


def candidate_share(route: Object) -> int:
    """Per cent of the requests that the rule for everybody sends to the candidate."""
    refs = route["spec"]["rules"][-1].get("backendRefs") or []
    shares = {ref["name"]: ref.get("weight", 1) for ref in refs}
    total = sum(shares.values())
    return round(100 * shares.get("candidate", 0) / total) if total else 0


def feedback_source(name: str) -> Object:
    return {
        "apiVersion": "retrainer.dev/v1alpha1",
        "kind": "FeedbackSource",
        "metadata": {"name": name},
        "spec": {
            "syncIntervalSeconds": 3600,
            "sqlite": {"path": f"{name}/feedback.db", "table": "feedback"},
            "record": {"id": "id", "time": "created_at", "model": "model"},
            "signals": [{"name": "thumbs", "from": "thumb", "thumbs": {"positive": ["1"], "negative": ["-1"]}}],
        },
    }


def experiment(trial: Trial, host: str, source: str, **changes: Any) -> Object:
    """Small steps, short windows, one primary and one guardrail metric."""

    def metric(name: str, value: str, **more: str) -> Object:
        feedback = {"sourceRef": {"name": source}, "signal": "thumbs", "value": value}
        return {"name": name, "source": {"feedback": feedback}, **more}

    spec: Object = {
        arm: {"serviceRef": {"name": arm, "port": 80}, "model": {"revision": trial.revisions[arm]}} for arm in ARMS
    }
    spec |= {
        "traffic": {
            "httpRoute": {
                "name": trial.name,
                "parentRefs": [{"name": "public", "namespace": "gateway-system"}],
                "hostnames": [host],
            }
        },
        "ramp": {"steps": [{"weightPercent": 25, "minimumUnits": 30}, {"weightPercent": 50, "minimumUnits": 60}]},
        "windowSeconds": WINDOW_SECONDS,
        "maturitySeconds": MATURITY_SECONDS,
        "minimumDetectableEffect": "0.2",
        "minimumDurationSeconds": 0,
        "maximumDurationSeconds": 900,
        "metrics": [
            metric("likes", "Positive", role="Primary", goal="Increase"),
            metric("dislikes", "Negative", role="Guardrail", goal="Decrease", margin="0.1"),
        ],
    }
    return {
        "apiVersion": "retrainer.dev/v1alpha1",
        "kind": "ABExperiment",
        "metadata": {"name": trial.name},
        "spec": {**spec, **changes},
    }


def arm_objects(name: str, log: Path) -> tuple[Object, Object]:
    """The server of one arm, and its Service."""
    environment = [
        {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "MODEL_REVISION", "value": str(ARMS[name])},
        {"name": "REQUEST_LOG", "value": str(log)},
    ]
    container = {
        "name": "server",
        "image": "busybox:1",
        "command": [sys.executable, "-c", SERVER],
        "env": environment,
        "readinessProbe": {"httpGet": {"port": 8080, "path": "/ready"}, "periodSeconds": 1},
    }
    template = {
        "metadata": {"labels": {"app": name}},
        "spec": {"terminationGracePeriodSeconds": 1, "containers": [container]},
    }
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": name}}, "template": template},
    }
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": {"app": name}, "ports": [{"port": 80, "targetPort": 8080}]},
    }
    return deployment, service
