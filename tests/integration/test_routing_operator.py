"""The operator, under its own Role, shifts traffic through every provider: start, drift, stop, promotion, hand-back.

One operator for all experiments, which start together; each test then does something to one of them.
"""

from __future__ import annotations

import json
import sqlite3
import subprocess
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from integration.routing_bench import install_everything
from loop_world import wait_until
from operator_process import Kubectl, Operator, install_access
from routing_contract import GATEWAY, inference_service, inference_status, kserve_acts, spec

from devcluster.cluster import Cluster

Object = dict[str, Any]
KINDS = {
    "httpRoute": "httproute",
    "virtualService": "virtualservice",
    "inferenceService": "inferenceservice",
    "configMap": "configmap",
}
CASES = [(provider, unit) for provider in KINDS for unit in ("Request", "User")]
STORIES = ("promoted", "aborted", "broken")
EVERY_CASE = pytest.mark.parametrize("case", CASES, ids="-".join)


class Scene:
    """One experiment `<story>-<case>` with its arms; what carries its weights bears the same name."""

    def __init__(self, kubectl: Kubectl, story: str, provider: str, unit: str) -> None:
        self.kubectl, self.provider, self.unit = kubectl, provider, unit
        self.kind = KINDS[provider]
        self.name = f"{story}-{provider}-{unit}".lower()

    def objects(self) -> list[Object]:
        """What a person applies."""
        model = {arm: {"model": {"revision": revision}} for arm, revision in (("baseline", 3), ("candidate", 4))}
        if self.provider == "inferenceService":
            isvc = inference_service(self.kubectl.namespace)
            isvc["metadata"]["name"] = self.name
            return [isvc, self._experiment(model)]
        services = {arm: f"{self.name}-{arm[0]}" for arm in model}
        arms = {arm: {**model[arm], "serviceRef": {"name": name, "port": 8080}} for arm, name in services.items()}
        made = [part for name in services.values() for part in (service(name), endpoints(name))]
        return [*made, self._experiment(arms)]

    def _experiment(self, arms: Object) -> Object:
        host = f"{self.name}.{self.kubectl.namespace}.example"
        traffic: Object = {
            "httpRoute": {"name": self.name, "parentRefs": [GATEWAY], "hostnames": [host]},
            "virtualService": {"name": self.name, "hosts": [host]},
            "inferenceService": {"name": self.name},
            "configMap": {"name": self.name},
        }[self.provider]
        body = {"metadata": {"name": self.name}, "spec": spec({self.provider: traffic}, self.unit, **arms)}
        return {"apiVersion": "retrainer.dev/v1alpha1", "kind": "ABExperiment", **body}

    def kserve(self, status: Object) -> None:
        """KServe's status, which we write in its place."""
        text = json.dumps({"status": status})
        self.kubectl.run("patch", self.kind, self.name, "--subresource=status", "--type=merge", "-p", text)

    def revisions(self, **names: str) -> None:
        self.kserve({"components": {"predictor": names}})

    def carrier(self) -> Object:
        """What carries the weights, after whoever divides the traffic has looked at it."""
        found = self.kubectl.get(self.kind, self.name)
        if found is not None and self.provider == "inferenceService" and found.get("status"):
            before = json.dumps(found["status"])
            kserve_acts(found)
            if json.dumps(found["status"]) != before:
                self.kserve(found["status"])
        return found or {}

    def weight(self) -> int | None:
        """The candidate's share in per cent, as whoever divides the traffic reads it."""
        obj = self.carrier()
        if not obj:
            return None
        if self.provider == "configMap":
            return int(obj["data"]["weightPercent"])
        if self.provider == "inferenceService":
            return int(obj["spec"]["predictor"].get("canaryTrafficPercent", 100))
        if self.provider == "httpRoute":
            given = {r["name"]: r["weight"] for r in obj["spec"]["rules"][-1]["backendRefs"]}
        else:
            given = {r["destination"]["host"]: r["weight"] for r in obj["spec"]["http"][-1]["route"]}
        return int(given.get(f"{self.name}-c", 0))

    def is_published(self, weight: int) -> bool:
        """Whether the application of an experiment by user can read this weight."""
        if self.unit == "Request" or self.provider == "configMap":
            return True
        found = self.kubectl.get("configmap", f"{self.name}-assignment") or {}
        return bool((found.get("data") or {}).get("weightPercent") == str(weight))

    def status(self) -> Object:
        return self.kubectl.status("abexperiment", self.name)

    def route_applied(self) -> Object:
        conditions = self.status().get("conditions") or []
        return next((c for c in conditions if c["type"] == "RouteApplied"), {})

    def request(self, text: str) -> None:
        self.kubectl.run("annotate", "abexperiment", self.name, f"retrainer.dev/request={text}", "--overwrite")

    def until_weight(self, weight: int, seconds: float = 60) -> None:
        def reached() -> bool:
            carried = self.weight() == weight and self.is_published(weight)
            return carried and self.route_applied().get("status") == "True"

        wait_until(f"{self.name} at {weight} %", reached, seconds)
        assert self.status()["weightPercent"] == weight

    def edit_by_hand(self) -> None:
        """Half of the traffic for the candidate."""
        last = 2 if self.unit == "User" else 0
        place = {"httpRoute": f"/spec/rules/{last}/backendRefs", "virtualService": f"/spec/http/{last}/route"}
        patch: Object | list[Object] = {"spec": {"predictor": {"canaryTrafficPercent": 50}}}
        if self.provider == "configMap":
            patch = {"data": {"weightPercent": "50"}}
        elif self.provider in place:
            paths = (f"{place[self.provider]}/{arm}/weight" for arm in (0, 1))
            patch = [{"op": "replace", "path": path, "value": 50} for path in paths]
        form = "json" if isinstance(patch, list) else "merge"
        self.kubectl.run("patch", self.kind, self.name, f"--type={form}", "-p", json.dumps(patch))


def service(name: str) -> Object:
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": {"ports": [{"port": 8080}]}}


def endpoints(name: str, ready: bool = True) -> Object:
    """As of a server that answers; nobody asks it anything here."""
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": name, "labels": {"kubernetes.io/service-name": name}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["10.244.9.9"], "conditions": {"ready": ready}}],
        "ports": [{"port": 8080}],
    }


def feedback_source() -> Object:
    """A table without records: nothing here depends on what people think."""
    spec = {
        "sqlite": {"path": "feedback.db", "table": "votes"},
        "record": {"id": "id", "time": "at", "unit": "person", "model": "model"},
        "signals": [{"name": "thumbs", "from": "vote", "thumbs": {"positive": ["1"], "negative": ["-1"]}}],
    }
    api_version = "retrainer.dev/v1alpha1"
    return {"apiVersion": api_version, "kind": "FeedbackSource", "metadata": {"name": "chat"}, "spec": spec}


def make_database(path: Path) -> None:
    path.parent.mkdir(parents=True)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE votes (id TEXT PRIMARY KEY, at TEXT, person TEXT, model TEXT, vote INTEGER)")


Scenes = dict[tuple[str, str, str], Scene]


@pytest.fixture(scope="module")
def scenes(
    cluster: Cluster, definitions: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Scenes]:
    """Every story of every case, and an operator that has begun with them."""
    folder = tmp_path_factory.mktemp("routing")
    install_everything(cluster, folder)
    kubectl = Kubectl(cluster, f"test-{uuid.uuid4().hex[:8]}")
    administrator = ["kubectl", "--kubeconfig", str(cluster.kubeconfig)]
    subprocess.run([*administrator, "create", "namespace", kubectl.namespace], check=True, stdout=subprocess.DEVNULL)
    install_access(kubectl)
    database = cluster.volumes_dir(kubectl.namespace, "feedback") / "feedback.db"
    make_database(database)
    keys = [(story, *case) for story in STORIES for case in CASES] + [("returned", "inferenceService", "Request")]
    made = {key: Scene(kubectl, *key) for key in keys}
    kubectl.apply(feedback_source(), *(obj for scene in made.values() for obj in scene.objects()))
    for scene in made.values():
        if scene.provider == "inferenceService":
            scene.kserve(inference_status())
    operator = Operator(cluster, (kubectl.namespace,), folder, RETRAINER_DATA_ROOT=str(database.parent))
    operator.start()
    yield made
    operator.stop()
    delete = [*administrator, "delete", "namespace", kubectl.namespace, "--wait=false"]
    subprocess.run(delete, check=True, stdout=subprocess.DEVNULL)


SceneOf = Callable[[tuple[str, str]], Scene]


@EVERY_CASE
def test_an_experiment_starts_repairs_drift_and_promotes(scenes: Scenes, case: tuple[str, str]) -> None:
    scene = scenes["promoted", *case]
    scene.until_weight(5)
    scene.edit_by_hand()
    wait_until("the weight is put right", lambda: scene.weight() == 5, 20)
    scene.until_weight(5)
    scene.request("promote/now")
    scene.until_weight(100)
    decision = scene.status()["decision"]
    assert (decision["verdict"], decision["reason"]) == ("PromoteCandidate", "ManualPromote")


@EVERY_CASE
def test_an_aborted_experiment_leaves_everybody_on_the_baseline(scenes: Scenes, case: tuple[str, str]) -> None:
    scene = scenes["aborted", *case]
    scene.until_weight(5)
    scene.request("abort/now")
    scene.until_weight(0)


@EVERY_CASE
def test_a_candidate_that_cannot_answer_gets_no_traffic(scenes: Scenes, case: tuple[str, str]) -> None:
    scene = scenes["broken", *case]
    scene.until_weight(5)
    if scene.provider == "inferenceService":
        scene.revisions(latestCreatedRevision="tutor-predictor-00003")
    else:
        scene.kubectl.apply(endpoints(f"{scene.name}-c", ready=False))
    wait_until("nobody is sent to it", lambda: scene.weight() == 0 and scene.is_published(0), 30)
    wait_until("it says why", lambda: scene.route_applied().get("reason") == "ArmNotReady", 30)


def test_an_inference_service_is_handed_back_after_the_verdict(scenes: Scenes) -> None:
    """Its user goes on with the next model: an experiment that has ended must not undo that."""
    scene = scenes["returned", "inferenceService", "Request"]
    scene.until_weight(5)
    scene.request("promote/now")
    scene.until_weight(100)
    wait_until("it is promoted", lambda: "100 %" in scene.route_applied().get("message", ""), 60)
    third = "tutor-predictor-00003"
    following = {"spec": {"predictor": {"canaryTrafficPercent": 0, "model": {"storageUri": "s3://models/tutor/5"}}}}
    scene.kubectl.run("patch", scene.kind, scene.name, "--type=merge", "-p", json.dumps(following))
    scene.revisions(latestCreatedRevision=third, latestReadyRevision=third)
    scene.request("promote/again")  # refused, by a pass whose end can be seen
    wait_until("a pass", lambda: scene.status().get("lastHandledRequest") == "promote/again", 30)
    assert scene.weight() == 0
    assert scene.status()["weightPercent"] == 100, "its verdict stays as it was"
