"""Standalone experiments in one namespace: two real servers behind real routes, records in SQLite, and a crowd.

Nothing is trained. Several experiments share the two Services, each with a route and revisions of its own, so that
one operator can be watched with many of them at once. The crowd follows the weights of the routes; where requests
matter, `GatewayCrowd` sends them through the gateway and the servers note what reached them.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import math
import os
import signal
import sqlite3
import ssl
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from loop_world import wait_until
from operator_process import Kubectl, Operator, install_access

from devcluster.cluster import Cluster

Object = dict[str, Any]
WINDOW_SECONDS = 5
MATURITY_SECONDS = 1
ARMS = {"baseline": 1, "candidate": 2}
"""The Services, and the revision that their servers name."""
GOOD, BAD = 0.95, 0.55
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

NURSERY = """
import os, signal, sys
import numpy, retrainer.feedback.connectors.sqlite, retrainer.runtime.operator
from retrainer.__main__ import main
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
for _ in sys.stdin:
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(2, 1)
        os._exit(main(["operator"]))
    print(child, flush=True)
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


class Records:
    """One feedback database: who answered when, and the thumb."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._open() as connection:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("CREATE TABLE feedback (id TEXT, created_at TEXT, model TEXT, thumb INTEGER)")
            connection.execute("CREATE INDEX at ON feedback (created_at)")

    def vote(self, model: int, thumbs: Sequence[int]) -> None:
        """Votes of this moment about one revision: 1 or -1 each."""
        with self._open() as connection:
            # Taken under the lock: who waits for it does not come late with an old time.
            connection.execute("BEGIN IMMEDIATE")
            now = _text(time.time())
            connection.executemany(
                "INSERT INTO feedback VALUES (?, ?, ?, ?)", [(uuid.uuid4().hex, now, str(model), t) for t in thumbs]
            )

    def count(self, model: int, start: float, end: float) -> tuple[int, int]:
        """Votes on one revision from `start` to before `end` (seconds since the epoch), and how many are likes."""
        query = (
            "SELECT count(*), coalesce(sum(thumb = 1), 0) FROM feedback "
            "WHERE model = ? AND created_at >= ? AND created_at < ?"
        )
        with self._open() as connection:
            votes, likes = connection.execute(query, (str(model), _text(start), _text(end))).fetchone()
        return int(votes), int(likes)

    def move_away(self) -> None:
        """The whole folder is gone for whoever knows its name; votes go on being recorded."""
        away = self.path.parent.with_suffix(".away")
        self.path.parent.rename(away)
        self.path = away / self.path.name

    def bring_back(self) -> None:
        here = self.path.parent.with_suffix("")
        self.path.parent.rename(here)
        self.path = here / self.path.name

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self.path, timeout=20)) as connection, connection:
            connection.execute("PRAGMA synchronous=OFF")
            yield connection


def _text(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds")


@dataclass
class Trial:
    """One experiment, and what the crowd thinks of its arms; `quality` may change while it runs."""

    name: str
    revisions: Mapping[str, int]
    records: Records
    quality: dict[str, float]
    rate: float
    _due: dict[str, float] = field(default_factory=dict)

    def take(self, what: str, amount: float) -> int:
        """Whole pieces of what has come together: shares are exact, and no test depends on luck."""
        total = self._due.get(what, 0.5) + amount
        self._due[what] = total - math.floor(total)
        return math.floor(total)

    def becomes(self, arm: str, quality: float) -> float:
        """From now on people like an arm this much; returns when, in seconds since the epoch."""
        self.quality[arm] = quality
        return time.time()

    def vote(self, arm: str, number: int) -> None:
        likes = self.take(f"{arm} likes", number * self.quality[arm])
        self.records.vote(self.revisions[arm], [1] * likes + [-1] * (number - likes))


class Crowd(threading.Thread):
    """People who vote on every trial, divided as its HTTPRoute says at that moment."""

    def __init__(self, weights: Callable[[], Mapping[str, int]]) -> None:
        super().__init__(daemon=True)
        self._weights = weights
        self._trials: list[Trial] = []
        self._end = threading.Event()

    def attend(self, trial: Trial) -> None:
        self._trials = [*self._trials, trial]

    def run(self) -> None:
        last = time.monotonic()
        while not self._end.wait(0.2):
            weights = self._weights()
            now = time.monotonic()
            for trial in self._trials:
                if trial.name in weights:
                    self._visit(trial, weights[trial.name], now - last)
            last = now

    def _visit(self, trial: Trial, weight: int, seconds: float) -> None:
        requests = trial.take("requests", trial.rate * seconds)
        candidate = min(requests, trial.take("candidate", requests * weight / 100))
        for arm, number in (("candidate", candidate), ("baseline", requests - candidate)):
            if number:
                trial.vote(arm, number)

    def stop(self) -> None:
        self._end.set()
        self.join(10)


class GatewayCrowd(threading.Thread):
    """People who send requests through the gateway and vote on the revision that answered."""

    def __init__(self, url: str, host: str, trial: Trial) -> None:
        super().__init__(daemon=True)
        self._url = url
        self._host = host
        self._trial = trial
        self._arms = {str(revision): arm for arm, revision in trial.revisions.items()}
        self._end = threading.Event()
        self.errors = 0

    def run(self) -> None:
        asyncio.run(self._send())

    async def _send(self) -> None:
        async with aiohttp.ClientSession(trust_env=False, timeout=aiohttp.ClientTimeout(total=5)) as session:
            begin, sent = time.monotonic(), 0
            async with asyncio.TaskGroup() as people:
                while not self._end.is_set():
                    for _ in range(round((time.monotonic() - begin) * self._trial.rate) - sent):
                        sent += 1
                        people.create_task(self._visit(session))
                    await asyncio.sleep(0.02)

    async def _visit(self, session: aiohttp.ClientSession) -> None:
        try:
            async with session.get(self._url, headers={"Host": self._host}) as response:
                arm = self._arms[await response.text()]
        except (aiohttp.ClientError, TimeoutError, KeyError):
            self.errors += 1
            return
        self._trial.vote(arm, 1)

    def stop(self) -> None:
        self._end.set()
        self.join(10)


class OperatorLife(Operator):
    """An operator with a name of its own, behind another address of the API server, or under another clock."""

    def __init__(
        self, world: World, identity: str = "operator-under-test", server: str | None = None, **environment: str
    ) -> None:
        folder = world.folder / f"operator-{identity}"
        folder.mkdir(exist_ok=True)
        root = str(world.folder)
        environment = {"RETRAINER_LEASE_SECONDS": "15", "RETRAINER_DATA_ROOT": root, **environment}
        super().__init__(world.cluster, (world.namespace,), folder, **environment)
        self._identity = identity
        if server is not None:
            _redirect(Path(self._environment["KUBECONFIG"]), server)

    def start(self) -> None:
        self._process = self._run([sys.executable, "-m", "retrainer", "operator"])

    def wait_until_leading(self, seconds: float = 60.0) -> None:
        """Until the last life of this operator leads."""

        def leads() -> bool:
            last_life = self.log.read_text(encoding="utf-8").rpartition("probes and metrics on port")
            return bool(last_life[1]) and "leading; watching" in last_life[2]

        wait_until(f"{self._identity} leads", leads, seconds)

    def _run(self, command: list[str], **pipes: int) -> subprocess.Popen[bytes]:
        environment = {**self._environment, "POD_NAME": self._identity}
        with self.log.open("ab") as log:
            return subprocess.Popen(command, env=environment, **{"stdout": log, "stderr": log, **pipes})


class PreparedOperator(OperatorLife):
    """Restarts in a tenth of a second: each life is forked from a process that has imported everything already."""

    def __init__(self, *arguments: Any, **settings: str) -> None:
        super().__init__(*arguments, **settings)
        self._nursery: subprocess.Popen[bytes] | None = None
        self._life = 0

    def start(self) -> None:
        if self._nursery is None:
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
            self._nursery = self._run([sys.executable, "-c", NURSERY], **pipes)
        assert self._nursery.stdin is not None and self._nursery.stdout is not None
        self._nursery.stdin.write(b"\n")
        self._nursery.stdin.flush()
        self._life = int(self._nursery.stdout.readline())

    def kill(self) -> None:
        """SIGKILL; may be called from any thread, and does not wait."""
        with suppress(ProcessLookupError):
            os.kill(self._life, signal.SIGKILL)

    def stop(self) -> None:
        if self._life:
            self.kill()
            wait_until("the operator is dead", lambda: not self.running)
        if self._nursery is not None:
            self._nursery.communicate(timeout=10)

    @property
    def running(self) -> bool:
        return self._life > 0 and Path(f"/proc/{self._life}").exists()

    @property
    def pid(self) -> int:
        return self._life


def _redirect(kubeconfig: Path, server: str) -> None:
    document = json.loads(kubeconfig.read_text(encoding="utf-8"))
    for entry in document["clusters"]:
        entry["cluster"] = {"server": server}
    kubeconfig.write_text(json.dumps(document), encoding="utf-8")


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
