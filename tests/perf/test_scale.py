"""How the operator carries 1,000 sources, 200 policies and 200 runs; figures are printed and held against a range file.

Jobs end at once (`instant-trainer.sh`), so that what is measured is the operator and the control plane.
"""

import json
import os
import sqlite3
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from crd.definitions import install
from loop_world import feedback_source, policy, run_spec, volumes, wait_until
from operator_process import Kubectl, Operator, install_access

from devcluster.cluster import Cluster
from devcluster.images import DEFAULT_IMAGES

SOURCES, POLICIES, RUNS = 1000, 200, 200
IMAGE = "retrainer/instant:1"
HERE = Path(__file__).parent
DIGEST = "sha256:" + "4a" * 32


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    images = {**DEFAULT_IMAGES, "retrainer/instant:*": ["sh", str(HERE / "instant-trainer.sh")]}
    started = Cluster.start(tmp_path_factory.mktemp("perf"), gateway=False, images=images)
    install(started.kubeconfig)
    yield started
    started.stop()


def test_a_thousand_sources_two_hundred_policies_two_hundred_runs(
    cluster: Cluster, namespace: str, tmp_path: Path
) -> None:
    kubectl = Kubectl(cluster, namespace)
    install_access(kubectl)
    kubectl.apply(*volumes())
    data = tmp_path / "data"
    data.mkdir()
    _small_database(data / "feedback.db")
    port = 18999
    operator = Operator(
        cluster, (namespace,), tmp_path, RETRAINER_DATA_ROOT=str(data), RETRAINER_HEALTH_PORT=str(port)
    )
    operator.start()
    try:
        figures = _measure(kubectl, operator, port)
    finally:
        operator.stop()
    print(json.dumps(figures, indent=2))
    ranges = json.loads((HERE / "ranges.json").read_text(encoding="utf-8"))
    for name, value in figures.items():
        if name in ranges:
            assert value <= ranges[name], f"{name}: {value} is above {ranges[name]}"


def _measure(kubectl: Kubectl, operator: Operator, port: int) -> dict[str, float]:
    wait_until("the operator leads", lambda: "retrainer_leader 1.0" in _get(port, "/metrics"), 60)
    figures = {"idleMegabytes": _resident(operator.pid)}
    sources = [_named(feedback_source(), f"source-{i}") for i in range(SOURCES)]
    figures["sourcesReadSeconds"] = _until_all(kubectl, sources, "feedbacksource", "Ready")
    policies = [_policy(i) for i in range(POLICIES)]
    figures["policiesReadySeconds"] = _until_all(kubectl, policies, "retrainpolicy", "Ready")
    before = _writes(port)
    runs = [_run(i) for i in range(RUNS)]
    figures["runsDoneSeconds"] = _until_all(kubectl, runs, "trainingrun", "Succeeded")
    figures["writesPerRun"] = round((_writes(port) - before) / RUNS, 2)
    figures.update(_job_delays(kubectl))
    figures["residentMegabytes"] = _resident(operator.pid)
    figures.update(_restart(operator, port))
    return figures


def _until_all(kubectl: Kubectl, objects: list[dict[str, Any]], kind: str, condition: str) -> float:
    """Create the objects; seconds until all of them have the condition True. Asked rarely: a list of all is dear."""
    started = time.monotonic()
    _create(kubectl, objects)
    wait_until(f"{kind} {condition}", lambda: _count(kubectl, kind, condition, "True") == len(objects), 600, every=3)
    seconds = round(time.monotonic() - started, 1)
    print(f"{len(objects)} {kind}: {seconds} s", flush=True)
    return seconds


def _restart(operator: Operator, port: int) -> dict[str, float]:
    """From the start of the process until every key was looked at once and nothing waits."""
    operator.stop()
    started = time.monotonic()
    operator.start()
    wait_until("leads again", lambda: "retrainer_leader 1.0" in _get(port, "/metrics"), 60)
    total = SOURCES + POLICIES + RUNS
    wait_until("settled", lambda: _passes(port) >= total and _depth(port) == 0, 120)
    return {"restartSettledSeconds": round(time.monotonic() - started, 1), "restartWrites": _writes(port)}


def _small_database(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(
            "CREATE TABLE feedback (id TEXT, created_at TEXT, unit TEXT, features TEXT, prediction TEXT, model TEXT,"
            " thumb INTEGER, correction TEXT, label TEXT)"
        )
        days = [f"2026-11-{1 + i % 20:02d}T00:00:00Z" for i in range(50)]
        rows = [(f"r{i}", day, f"u{i % 9}", "[1.0]", "1", "1", 1, None, "1") for i, day in enumerate(days)]
        connection.executemany("INSERT INTO feedback VALUES (?,?,?,?,?,?,?,?,?)", rows)
    os.utime(path, (time.time() - 60, time.time() - 60))


def _named(obj: dict[str, Any], name: str) -> dict[str, Any]:
    obj = json.loads(json.dumps(obj))
    obj["metadata"]["name"] = name
    obj["spec"]["syncIntervalSeconds"] = 300
    return obj


def _policy(index: int) -> dict[str, Any]:
    """Nothing to serve and nothing to do: it watches its triggers."""
    obj = policy(DIGEST, "2026-11-01T00:00:00+00:00")
    obj["metadata"]["name"] = f"policy-{index}"
    spec = obj["spec"]
    del spec["serving"]
    spec["promotion"] = {"method": "Immediate"}
    spec["triggers"] = [{"name": "volume", "newSamples": {"atLeast": 100_000}}]
    spec["sourceRefs"] = spec["training"]["data"]["sourceRefs"] = [{"name": f"source-{index}"}]
    return obj


def _run(index: int) -> dict[str, Any]:
    spec = run_spec("file:///models/", datetime.fromisoformat("2026-11-01T00:00:00+00:00"),
                    datetime.fromisoformat("2026-11-21T00:00:00+00:00"))  # fmt: skip
    spec["data"]["sourceRefs"] = [{"name": f"source-{index}"}]
    spec["gates"] = [{"metric": "mean(accuracy)", "atLeast": "0.5"}]
    claims = [{"claimName": name, "mountPath": f"/{name}"} for name in ("feedback", "models")]
    spec["job"] = {"image": IMAGE, "volumeClaims": claims}
    meta = {"name": f"run-{index}"}
    return {"apiVersion": "retrainer.dev/v1alpha1", "kind": "TrainingRun", "metadata": meta, "spec": spec}


def _create(kubectl: Kubectl, objects: list[dict[str, Any]]) -> None:
    for start in range(0, len(objects), 200):
        kubectl.run("create", "-f", "-", stdin=yaml.dump_all(objects[start : start + 200], Dumper=yaml.CSafeDumper))


def _count(kubectl: Kubectl, kind: str, condition: str, status: str) -> int:
    items = kubectl.list(kind)
    conditions = [(i.get("status") or {}).get("conditions") or [] for i in items]
    return sum(any(c["type"] == condition and c["status"] == status for c in found) for found in conditions)


def _job_delays(kubectl: Kubectl) -> dict[str, float]:
    """Seconds from the run's creation to its data Job's; the API server keeps whole seconds."""
    created = {r["metadata"]["name"]: r["metadata"]["creationTimestamp"] for r in kubectl.list("trainingrun")}
    delays = []
    for job in kubectl.list("job"):
        name = job["metadata"]["name"]
        if name.endswith("-data-1"):
            run = datetime.fromisoformat(created[name.removesuffix("-data-1")])
            delays.append((datetime.fromisoformat(job["metadata"]["creationTimestamp"]) - run).total_seconds())
    delays.sort()
    return {
        "jobCreatedP50Seconds": delays[len(delays) // 2],
        "jobCreatedP99Seconds": delays[int(len(delays) * 0.99)],
    }


def _get(port: int, path: str) -> str:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return str(answer.read().decode())
    except OSError:
        return ""


def _samples(port: int, name: str) -> list[tuple[str, float]]:
    lines = [line for line in _get(port, "/metrics").splitlines() if line.startswith(name + "{")]
    return [(line.rpartition(" ")[0], float(line.rpartition(" ")[2])) for line in lines]


def _writes(port: int) -> float:
    """All writes but those of the lease and of events."""
    samples = _samples(port, "retrainer_api_writes")
    return sum(n for label, n in samples if "Lease" not in label and "Event" not in label)


def _passes(port: int) -> float:
    return sum(n for _, n in _samples(port, "retrainer_reconcile_total"))


def _depth(port: int) -> float:
    return sum(n for _, n in _samples(port, "retrainer_queue_depth"))


def _resident(pid: int) -> float:
    text = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True, check=True).stdout
    return round(int(text) / 1024, 1)
