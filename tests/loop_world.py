"""A whole loop in one namespace, small enough for tests: real Jobs, real servers, a crowd that follows the route.

The crowd does what people behind a gateway would do, without the HTTP in between: it reads the weights of the
HTTPRoute and writes votes into the feedback database for the revision that a request would have reached. That
keeps the tests about the operator; the demo and `test_devcluster` send real requests through the real gateway.
"""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from operator_process import Kubectl
from sklearn.datasets import load_digits

from devcluster.cluster import Cluster

COLUMNS = "id, created_at, unit, features, prediction, model, thumb, correction, label"
SCHEMA = (
    "CREATE TABLE feedback (id TEXT PRIMARY KEY, created_at TEXT, unit TEXT, features TEXT, prediction TEXT, "
    "model TEXT, thumb INTEGER, correction TEXT, label TEXT)"
)
POLICY = "digits"
HISTORY = timedelta(days=3)


def wait_until(what: str, condition: Callable[[], Any], seconds: float = 60.0, every: float = 0.2) -> Any:
    """The first true value of `condition`, asked `every` so many seconds; fails naming `what` without one in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(every)
    raise AssertionError(f"not within {seconds:.0f} s: {what}")


class Feedback:
    """The feedback database of one namespace."""

    def __init__(self, path: Path, seed: int = 7) -> None:
        self.path = path
        self._rng = random.Random(seed)
        digits = load_digits()
        self._images, self._truths = digits.data, digits.target
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute(SCHEMA)

    def history(self, rows: int, right: float = 0.7, model: str = "1") -> None:
        """Votes of the past three days about the first revision, every row labelled independently."""
        now = datetime.now(UTC)
        moments = [now - HISTORY + HISTORY * (i + 0.5) / rows for i in range(rows)]
        self.add([self._row(moment, model, right) for moment in moments])

    def votes(self, number: int, model: str, right: float) -> None:
        """Votes of this moment about one revision."""
        now = datetime.now(UTC)
        self.add([self._row(now, model, right) for _ in range(number)])

    def add(self, rows: list[tuple[Any, ...]]) -> None:
        with closing(sqlite3.connect(self.path, timeout=20)) as connection, connection:
            connection.executemany(f"INSERT INTO feedback ({COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?)", rows)

    def like_rate(self, model: str) -> float:
        with closing(sqlite3.connect(self.path, timeout=20)) as connection:
            row = connection.execute("SELECT avg(thumb = 1) FROM feedback WHERE model = ?", (model,)).fetchone()
        return float(row[0])

    def _row(self, moment: datetime, model: str, right: float) -> tuple[Any, ...]:
        index = self._rng.randrange(len(self._images))
        truth = int(self._truths[index])
        correct = self._rng.random() < right
        answer = truth if correct else (truth + 1) % 10
        features = json.dumps([float(v) for v in self._images[index]])
        unit = f"user-{self._rng.randrange(400)}"
        correction = None if correct else str(truth)
        return (
            uuid.UUID(int=self._rng.getrandbits(128)).hex, moment.isoformat(), unit, features, str(answer), model,
            1 if correct else -1, correction, str(truth),
        )  # fmt: skip


class Crowd(threading.Thread):
    """People at `rate` requests per second, spread over the revisions as the HTTPRoute says at that moment."""

    def __init__(self, kubectl: Kubectl, feedback: Feedback, quality: dict[int, float], rate: float = 40.0) -> None:
        super().__init__(daemon=True)
        self._kubectl = kubectl
        self._feedback = feedback
        self._quality = quality
        self._rate = rate
        self._rng = random.Random(11)
        self._end = threading.Event()

    def run(self) -> None:
        last = time.monotonic()
        while not self._end.wait(0.5):
            weights = self.weights()
            now = time.monotonic()
            requests = round((now - last) * self._rate)
            last = now
            if not weights:
                continue
            chosen = self._rng.choices(list(weights), list(weights.values()), k=requests)
            for revision in set(chosen):
                self._feedback.votes(chosen.count(revision), str(revision), self._quality[revision])

    def weights(self) -> dict[int, int]:
        """Weight by revision, as the route says."""
        route = self._kubectl.get("httproute", POLICY)
        refs = route["spec"]["rules"][0]["backendRefs"] if route else []
        return {int(ref["name"].rpartition("-r")[2]): ref.get("weight", 1) for ref in refs}

    def stop(self) -> None:
        self._end.set()
        self.join(10)


def train_first_champion(folder: Path) -> dict[str, str]:
    """Run the trainer's two stages by hand on few images; returns digest and the folder of its output.

    The same code path as the operator's Jobs, without Kubernetes.
    """
    (folder / "data").mkdir(parents=True)
    feedback = Feedback(folder / "data" / "feedback.db", seed=3)
    start = datetime.now(UTC) - HISTORY - timedelta(days=2)
    feedback.add([feedback._row(start + timedelta(minutes=i), "0", 1.0) for i in range(120)])
    end = start + timedelta(days=1)
    spec = run_spec(f"file://{folder}/models/", start - timedelta(minutes=1), end)
    config = {
        "run": {"namespace": "by-hand", "name": "first", "uid": "by-hand"},
        "attempt": 1,
        "spec": spec,
        "sources": [{"name": "digits", "spec": feedback_source()["spec"]}],
    }
    (folder / "run.json").write_text(json.dumps(config), encoding="utf-8")
    data = _stage("data", folder, [])
    trained = _stage("train", folder, ["--snapshot-digest", data["dataset"]["digest"]])
    return {"digest": trained["artifact"]["digest"], "models": str(folder / "models"), "through": end.isoformat()}


def _stage(stage: str, folder: Path, extra: list[str]) -> dict[str, Any]:
    import os

    message = folder / f"{stage}.json"
    command = [sys.executable, "-m", "trainer", stage, "--config", str(folder / "run.json")]
    done = subprocess.run(
        [*command, "--workdir", str(folder / "work"), *extra],
        env={
            **os.environ,
            "RETRAINER_DATA_ROOT": str(folder / "data"),
            "TERMINATION_MESSAGE_PATH": str(message),
            "OMP_NUM_THREADS": "1",
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    assert done.returncode == 0, f"{stage}: {done.stdout[-2000:]} {done.stderr[-2000:]}"
    result: dict[str, Any] = json.loads(message.read_text(encoding="utf-8"))
    return result


def run_spec(output: str, start: datetime, end: datetime) -> dict[str, Any]:
    """A small TrainingRun's spec."""
    return {
        "model": POLICY,
        "data": {
            **data_selection(),
            "split": "Random",
            "window": {"from": _text(start), "to": _text(end)},
        },
        "method": {"xgboost": {"targets": [{"name": "digit"}], "trees": 5}},
        "output": {"uri": output},
    }


def data_selection() -> dict[str, Any]:
    return {"sourceRefs": [{"name": "digits"}], "minimumSamples": 50, "minimumUnits": 10}


def feedback_source() -> dict[str, Any]:
    """The FeedbackSource over `Feedback`."""
    return {
        "apiVersion": "retrainer.dev/v1alpha1",
        "kind": "FeedbackSource",
        "metadata": {"name": "digits"},
        "spec": {
            "syncIntervalSeconds": 10,
            "sqlite": {"path": "feedback.db", "table": "feedback"},
            "record": {
                "id": "id",
                "time": "created_at",
                "unit": "unit",
                "model": "model",
                "prediction": "prediction",
                "correction": "correction",
                "features": {"from": "features"},
                "labels": [{"name": "digit", "from": "label"}],
            },
            "signals": [
                {"name": "thumbs", "from": "thumb", "thumbs": {"positive": ["1"], "negative": ["-1"]}},
                {"name": "truth", "label": {}},
                {"name": "fix", "correction": {}},
            ],
        },
    }


def volumes() -> list[dict[str, Any]]:
    return [
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": name},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
        }
        for name in ("feedback", "models")
    ]


def pod_template() -> dict[str, Any]:
    """A server that only has to be ready; the crowd does not call it."""
    return {
        "apiVersion": "v1",
        "kind": "PodTemplate",
        "metadata": {"name": "server"},
        "template": {
            "spec": {
                "terminationGracePeriodSeconds": 1,
                "containers": [
                    {
                        "name": "server",
                        "image": "busybox:1",
                        "command": [sys.executable, "-m", "http.server", "8080", "--bind", "$(POD_IP)"],
                        "env": [{"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
                        "readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1},
                    }
                ],
            }
        },
    }


def policy(digest: str, through: str, **changes: Any) -> dict[str, Any]:
    """A policy that retrains at once, gates lightly and experiments briefly; `changes` replace parts of the spec."""
    feedback = {"sourceRef": {"name": "digits"}, "signal": "thumbs"}
    spec: dict[str, Any] = {
        "model": {
            "name": POLICY,
            "initial": {
                "uri": f"file:///models/artifacts/{digest.removeprefix('sha256:')}/",
                "digest": digest,
                "trainedThrough": _text(datetime.fromisoformat(through)),
            },
        },
        "sourceRefs": [{"name": "digits"}],
        "triggers": [{"name": "volume", "newSamples": {"atLeast": 100}}],
        "cooldownSeconds": 3600,
        "training": {
            "data": {**data_selection(), "windowDays": 7, "evaluationPercent": 25, "minimumPerClass": 3},
            "method": {"xgboost": {"targets": [{"name": "digit"}], "trees": 10}},
            "gates": [{"metric": "mean(accuracy)", "atLeast": "0.5"}],
            "job": {
                "volumeClaims": [
                    {"claimName": "feedback", "mountPath": "/feedback"},
                    {"claimName": "models", "mountPath": "/models"},
                ]
            },
            "output": {"uri": "file:///models/"},
        },
        "promotion": {
            "method": "ABTest",
            "experiment": {
                "ramp": {
                    "steps": [{"weightPercent": 25, "minimumUnits": 30}, {"weightPercent": 50, "minimumUnits": 60}]
                },
                "windowSeconds": 5,
                "maturitySeconds": 1,
                "minimumDetectableEffect": "0.2",
                "minimumDurationSeconds": 5,
                "maximumDurationSeconds": 600,
                "metrics": [
                    {
                        "name": "likes",
                        "role": "Primary",
                        "goal": "Increase",
                        "source": {"feedback": {**feedback, "value": "Positive"}},
                    },
                    {
                        "name": "dislikes",
                        "role": "Guardrail",
                        "goal": "Decrease",
                        "margin": "0.1",
                        "source": {"feedback": {**feedback, "value": "Negative"}},
                    },
                ],
            },
        },
        "serving": {
            "podTemplateRef": {"name": "server"},
            "replicas": 1,
            "port": 8080,
            "httpRoute": {"parentRefs": [{"name": "public", "namespace": "gateway-system"}], "hostnames": []},
            "progressDeadlineSeconds": 60,
            "retireAfterSeconds": 1,
        },
    }
    return {
        "apiVersion": "retrainer.dev/v1alpha1",
        "kind": "RetrainPolicy",
        "metadata": {"name": POLICY},
        "spec": {**spec, **changes},
    }


def furnish(cluster: Cluster, kubectl: Kubectl, champion: dict[str, str], rows: int = 400) -> Feedback:
    """Volumes with the first champion and a history, the FeedbackSource and the PodTemplate."""
    kubectl.apply(*volumes())
    for claim in ("feedback", "models"):
        wait_until(f"claim {claim} bound", lambda c=claim: kubectl.status("pvc", c).get("phase") == "Bound")
    shutil.copytree(champion["models"], cluster.volumes_dir(kubectl.namespace, "models"), dirs_exist_ok=True)
    feedback = Feedback(cluster.volumes_dir(kubectl.namespace, "feedback") / "feedback.db")
    feedback.history(rows)
    kubectl.apply(feedback_source(), pod_template())
    return feedback


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
