"""Which change wakes which object."""

from __future__ import annotations

from typing import Any

import pytest

from retrainer.kube.cache import Cache
from retrainer.kube.resources import (
    AB_EXPERIMENT,
    CONFIG_MAP,
    FEEDBACK_SOURCE,
    JOB,
    RETRAIN_POLICY,
    TRAINING_RUN,
    Resource,
)
from retrainer.plan import Object
from retrainer.runtime.controller import Controller
from retrainer.runtime.metrics import Metrics
from retrainer.runtime.watches import OURS
from retrainer.runtime.wiring import Wiring

DONE = {"conditions": [{"type": "Succeeded", "status": "True"}]}
FAILED = {"conditions": [{"type": "Succeeded", "status": "False"}]}
UNDERWAY = {"conditions": [{"type": "Succeeded", "status": "Unknown"}]}


def named(resource: Resource, name: str, namespace: str = "team", **more: Any) -> Object:
    meta = {"namespace": namespace, "name": name, "uid": f"{namespace}-{resource.kind}-{name}", "resourceVersion": "1"}
    return {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": meta, "spec": {}, **more}


def owned(resource: Resource, name: str, kind: str, owner: str, namespace: str = "team") -> Object:
    obj = named(resource, name, namespace)
    obj["metadata"]["labels"] = {"retrainer.dev/owner-kind": kind, "retrainer.dev/owner-name": owner}
    return obj


def policy(name: str, *sources: str, namespace: str = "team") -> Object:
    return named(RETRAIN_POLICY, name, namespace, spec={"sourceRefs": [{"name": s} for s in sources]})


def training(name: str, *sources: str, namespace: str = "team", status: Object | None = None) -> Object:
    spec = {"data": {"sourceRefs": [{"name": s} for s in sources]}}
    return named(TRAINING_RUN, name, namespace, spec=spec, status=status or {})


def experiment(name: str, policy_name: str | None, namespace: str = "team", status: Object | None = None) -> Object:
    traffic = {"policyRef": {"name": policy_name}} if policy_name else {"httpRoute": {"name": "route"}}
    return named(AB_EXPERIMENT, name, namespace, spec={"traffic": traffic}, status=status or {})


class World:
    def __init__(self, *objects: Object) -> None:
        self.cache = Cache()
        metrics = Metrics()

        async def reconcile(key: Any, failures: int) -> None:
            raise AssertionError("no pass runs here")

        self.controllers = {r: Controller(r.kind, reconcile, metrics, 1) for r in OURS}
        for obj in objects:
            resource = next(r for r in OURS if r.kind == obj["kind"])
            self.cache.put(resource, obj)
        self.wiring = Wiring(self.cache, self.controllers)

    def woken(self, resource: Resource, obj: Object, deleted: bool = False) -> set[str]:
        self.wiring.changed(resource, obj, deleted)
        return {f"{r.kind} {'/'.join(key)}" for r, c in self.controllers.items() for key in c.queue._ready}


@pytest.mark.parametrize("resource", OURS, ids=lambda r: r.kind)
def test_an_object_of_ours_that_changes_is_looked_at(resource: Resource) -> None:
    obj = {FEEDBACK_SOURCE: named(FEEDBACK_SOURCE, "x"), RETRAIN_POLICY: policy("x")}.get(resource)
    obj = obj or (training("x") if resource is TRAINING_RUN else experiment("x", None))
    assert World().woken(resource, obj) == {f"{resource.kind} team/x"}


def test_an_object_that_is_gone_is_not_looked_at() -> None:
    assert World().woken(TRAINING_RUN, training("x"), deleted=True) == set()


@pytest.mark.parametrize("deleted", [False, True])
@pytest.mark.parametrize("resource", [JOB, CONFIG_MAP], ids=lambda r: r.kind)
def test_a_child_that_changes_or_goes_wakes_its_owner(resource: Resource, deleted: bool) -> None:
    assert World().woken(resource, owned(resource, "j", "trainingrun", "run"), deleted) == {"TrainingRun team/run"}


def test_a_run_wakes_itself_and_its_policy_and_a_deleted_run_only_its_policy() -> None:
    run = {**training("tutor-4"), "metadata": owned(TRAINING_RUN, "tutor-4", "retrainpolicy", "tutor")["metadata"]}
    assert World().woken(TRAINING_RUN, run) == {"TrainingRun team/tutor-4", "RetrainPolicy team/tutor"}
    assert World().woken(TRAINING_RUN, run, deleted=True) == {"RetrainPolicy team/tutor"}


@pytest.mark.parametrize("kind", ["pod", "TrainingRun", ""])
def test_labels_that_name_no_kind_of_ours_wake_nobody(kind: str) -> None:
    assert World().woken(JOB, owned(JOB, "j", kind, "run")) == set()


@pytest.mark.parametrize("deleted", [False, True])
def test_a_source_wakes_the_policies_that_read_it_in_its_namespace(deleted: bool) -> None:
    world = World(
        policy("a", "chat"), policy("b", "other"), policy("c", "x", "chat"), policy("d", "chat", namespace="z")
    )
    woken = world.woken(FEEDBACK_SOURCE, named(FEEDBACK_SOURCE, "chat"), deleted)
    assert woken - {"FeedbackSource team/chat"} == {"RetrainPolicy team/a", "RetrainPolicy team/c"}


def test_a_source_wakes_the_runs_that_wait_for_it_and_not_those_that_ended() -> None:
    world = World(
        training("new", "chat"),
        training("underway", "chat", status=UNDERWAY),
        training("done", "chat", status=DONE),
        training("failed", "chat", status=FAILED),
        training("elsewhere", "chat", namespace="z"),
    )
    woken = world.woken(FEEDBACK_SOURCE, named(FEEDBACK_SOURCE, "chat"))
    assert woken - {"FeedbackSource team/chat"} == {"TrainingRun team/new", "TrainingRun team/underway"}


def test_a_policy_wakes_the_experiments_whose_route_it_writes() -> None:
    world = World(
        experiment("tutor-4", "tutor"),
        experiment("ended", "tutor", status=DONE),
        experiment("standalone", None),
        experiment("of-another", "other"),
        experiment("elsewhere", "tutor", namespace="z"),
    )
    woken = world.woken(RETRAIN_POLICY, policy("tutor"))
    assert woken - {"RetrainPolicy team/tutor"} == {"ABExperiment team/tutor-4"}


def test_an_object_without_references_wakes_nobody_else() -> None:
    world = World(named(RETRAIN_POLICY, "bare"))
    assert world.woken(FEEDBACK_SOURCE, named(FEEDBACK_SOURCE, "chat")) == {"FeedbackSource team/chat"}
