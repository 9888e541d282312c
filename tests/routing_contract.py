"""What every traffic provider must do, whoever plays the API server: once in memory, once on the real one.

A bench is an API server with one experiment; `others` lets gateways and KServe take up what was written.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, Protocol

import pytest

from retrainer.api.v1alpha1.ab_experiment import ABExperimentSpec
from retrainer.api.v1alpha1.traffic import ParentRef
from retrainer.kube.errors import NameConflict
from retrainer.plan import Object, Ref
from retrainer.routing.carrier import Change
from retrainer.routing.provider import Routing, routing_of
from retrainer.routing.state import RouteState

LABELS = {"retrainer.dev/managed-by": "retrainer", "retrainer.dev/owner-kind": "abexperiment"}
GATEWAY = {"name": "public", "namespace": "gateway-system"}

TRAFFIC: dict[str, Object] = {
    "httpRoute": {"httpRoute": {"name": "tutor", "parentRefs": [GATEWAY], "hostnames": ["tutor.example.com"]}},
    "virtualService": {"virtualService": {"name": "tutor", "hosts": ["tutor.example.com"], "pathPrefix": "/v1"}},
    "inferenceService": {"inferenceService": {"name": "tutor"}},
    "configMap": {"configMap": {"name": "tutor-weights"}},
}
CASES = [(name, unit) for name in TRAFFIC for unit in ("Request", "User")]
OWNED = [case for case in CASES if case[0] != "inferenceService"]


class Bench(Protocol):
    """An API server with an experiment of one namespace."""

    experiment: Object

    def read(self, ref: Ref) -> Object | None:
        """The object as it is."""

    def create(self, obj: Object) -> Object:
        """As anybody may."""

    def carry_out(self, change: Change) -> None:
        """As the operator carries out a plan; raises NameConflict."""

    def edit(self, ref: Ref, edit: Callable[[Object], Any]) -> None:
        """As a person with kubectl: the edit changes the object in place."""

    def others(self) -> None:
        """Gateways and KServe do their part; returns when they have."""


def spec(traffic: Object, unit: str = "Request", **more: Any) -> Object:
    """Spec of an experiment as the API server would store it."""
    arms: Object = {
        "baseline": {"serviceRef": {"name": "tutor-r3", "port": 8080}, "model": {"revision": 3}},
        "candidate": {"serviceRef": {"name": "tutor-r4", "port": 8080}, "model": {"revision": 4}},
    }
    if "inferenceService" in traffic:
        arms = {arm: {"model": {"revision": number}} for arm, number in (("baseline", 3), ("candidate", 4))}
    feedback = {"sourceRef": {"name": "chat"}, "signal": "thumbs", "value": "Positive"}
    return {
        **arms,
        "traffic": traffic,
        "assignment": {"unit": unit},
        "ramp": {"steps": [{"weightPercent": 5}, {"weightPercent": 50}]},
        "metrics": [{"name": "likes", "role": "Primary", "goal": "Increase", "source": {"feedback": feedback}}],
        **more,
    }


def routing(experiment: Object, parent_refs: tuple[ParentRef, ...] = ()) -> Routing:
    """The routing of an experiment, with owner and labels as the operator gives them."""
    meta = experiment["metadata"]
    owner = {
        "apiVersion": experiment["apiVersion"],
        "kind": experiment["kind"],
        "name": meta["name"],
        "uid": meta["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }
    labels = {**LABELS, "retrainer.dev/owner-name": meta["name"]}
    model = ABExperimentSpec.model_validate(experiment["spec"])
    return routing_of(experiment, model, owner=owner, labels=labels, parent_refs=parent_refs)


def seen(bench: Bench, carriers: Routing) -> dict[Ref, Object | None]:
    """What an observation of the experiment reads."""
    return {ref: bench.read(ref) for ref in carriers.refs}


def observed(bench: Bench) -> RouteState:
    """What the traffic looks like to the operator."""
    carriers = routing(bench.experiment)
    return carriers.observe(seen(bench, carriers))


def shift(bench: Bench, weight: int) -> Change:
    """One pass that wants this weight, and everybody else's part; returns what was changed."""
    carriers = routing(bench.experiment)
    change = carriers.change(seen(bench, carriers), weight)
    bench.carry_out(change)
    bench.others()
    return change


def versions(bench: Bench) -> list[str]:
    return [(obj or {})["metadata"]["resourceVersion"] for obj in seen(bench, routing(bench.experiment)).values()]


def user_object(ref: Ref) -> Object:
    """A user's object that bears a name of ours."""
    body: dict[str, Object] = {
        "HTTPRoute": {"spec": {"parentRefs": [{"name": "x"}], "rules": [{"backendRefs": [{"name": "y", "port": 1}]}]}},
        "VirtualService": {"spec": {"hosts": ["x"], "http": [{"route": [{"destination": {"host": "y"}}]}]}},
        "ConfigMap": {"data": {"weightPercent": "90"}},
    }
    meta = {"name": ref.name, "namespace": ref.namespace}
    return {"apiVersion": ref.api_version, "kind": ref.kind, "metadata": meta, **copy.deepcopy(body[ref.kind])}


def half_by_hand(obj: Object) -> None:
    """A person gives the candidate half of the traffic."""
    if obj["kind"] == "ConfigMap":
        obj["data"]["weightPercent"] = "50"
    elif obj["kind"] == "InferenceService":
        obj["spec"]["predictor"]["canaryTrafficPercent"] = 50
    else:
        rules = obj["spec"]["rules"] if obj["kind"] == "HTTPRoute" else obj["spec"]["http"]
        for backend in rules[-1]["backendRefs" if obj["kind"] == "HTTPRoute" else "route"]:
            backend["weight"] = 50


class RoutingContract:
    """Subclass it with a fixture `bench_for(traffic name, unit) -> Bench`."""

    @pytest.mark.parametrize("case", CASES, ids="-".join)
    def test_each_weight_of_the_course_is_taken_up_and_nothing_else_is_believed(self, bench_for, case) -> None:
        bench = bench_for(*case)
        if case[0] != "inferenceService":
            assert not observed(bench).carries(0), "nothing is there yet"
        for weight in (0, 5, 25, 50, 100):
            shift(bench, weight)
            state = observed(bench)
            assert [w for w in range(101) if state.carries(w)] == [weight], state.message

    @pytest.mark.parametrize("case", CASES, ids="-".join)
    def test_a_stop_takes_the_candidate_out_of_the_traffic(self, bench_for, case) -> None:
        bench = bench_for(*case)
        for weight in (0, 5, 50):
            shift(bench, weight)
        shift(bench, 0)
        state = observed(bench)
        assert state.carries(0) and state.weights == {"baseline": 100}

    @pytest.mark.parametrize("case", CASES, ids="-".join)
    @pytest.mark.parametrize("weight", [0, 5, 100])
    def test_a_second_pass_changes_nothing(self, bench_for, case, weight) -> None:
        bench = bench_for(*case)
        for step in (0, 5, weight):
            shift(bench, step)
        before = versions(bench)
        assert not shift(bench, weight)
        assert versions(bench) == before

    @pytest.mark.parametrize("case", OWNED, ids="-".join)
    def test_applying_again_what_is_there_makes_no_new_version(self, bench_for, case) -> None:
        bench = bench_for(*case)
        shift(bench, 0)
        first = shift(bench, 5)
        bench.carry_out(first)  # from here on every field is known to be ours
        before = versions(bench)
        bench.carry_out(first)
        assert versions(bench) == before

    @pytest.mark.parametrize("case", CASES, ids="-".join)
    def test_a_weight_edited_by_hand_is_not_believed_and_put_right(self, bench_for, case) -> None:
        bench = bench_for(*case)
        shift(bench, 0)
        shift(bench, 5)
        for ref in routing(bench.experiment).refs:
            bench.edit(ref, half_by_hand)
            bench.others()
            assert not observed(bench).carries(5)
            assert shift(bench, 5)
            assert observed(bench).carries(5)

    @pytest.mark.parametrize("case", OWNED, ids="-".join)
    def test_an_object_of_a_users_with_a_name_of_ours_is_left_alone(self, bench_for, case) -> None:
        bench = bench_for(*case)
        carriers = routing(bench.experiment)
        for ref in carriers.refs:
            users = bench.create(user_object(ref))
            problem = carriers.foreign(seen(bench, carriers), bench.experiment["metadata"]["uid"])
            assert problem == f"{ref.kind} {ref.name} exists and is not ours"
            wanted = carriers.change(seen(bench, carriers), 5)
            with pytest.raises(NameConflict):
                bench.carry_out(wanted)
            now = bench.read(ref)
            assert now is not None
            assert {k: now[k] for k in users if k != "metadata"} == {k: users[k] for k in users if k != "metadata"}
            assert "ownerReferences" not in now["metadata"] and "labels" not in now["metadata"]
            if len(carriers.refs) > 1:
                break  # the second is only reached when the first is ours

    @pytest.mark.parametrize("case", CASES, ids="-".join)
    def test_what_is_created_belongs_to_the_experiment_and_nothing_else_does(self, bench_for, case) -> None:
        bench = bench_for(*case)
        shift(bench, 0)
        shift(bench, 5)
        uid = bench.experiment["metadata"]["uid"]
        for ref in routing(bench.experiment).refs:
            obj = bench.read(ref)
            assert obj is not None
            owners = [(o["uid"], o["controller"]) for o in obj["metadata"].get("ownerReferences") or ()]
            assert owners == ([] if ref.kind == "InferenceService" else [(uid, True)])
        assert routing(bench.experiment).foreign(seen(bench, routing(bench.experiment)), uid) is None

    @pytest.mark.parametrize("unit", ["Request", "User"])
    def test_of_an_inference_service_nothing_but_the_weight_is_changed(self, bench_for, unit) -> None:
        bench = bench_for("inferenceService", unit)
        ref = routing(bench.experiment).refs[0]
        before = bench.read(ref)
        for weight in (0, 5, 50, 100):
            shift(bench, weight)
        after = bench.read(ref)
        assert before is not None and after is not None
        for obj in (before, after):
            obj["spec"]["predictor"].pop("canaryTrafficPercent", None)
        assert after["spec"] == before["spec"]
        kept = ("uid", "labels", "annotations", "ownerReferences", "finalizers")
        assert {k: after["metadata"].get(k) for k in kept} == {k: before["metadata"].get(k) for k in kept}


def kserve_acts(obj: Object) -> None:
    """What KServe 0.17 and Knative make of an InferenceService (createKnativeService and PropagateStatus there).

    `latestReadyRevision` and `latestCreatedRevision` are the test's to set.
    """
    status = obj["status"]["components"]["predictor"]
    canary = obj["spec"]["predictor"].get("canaryTrafficPercent")
    ready, created = status["latestReadyRevision"], status["latestCreatedRevision"]
    rolled_out = status.get("latestRolledoutRevision")
    divided = canary is not None and rolled_out is not None
    latest = canary if divided else 100
    traffic = [{"latestRevision": True, "revisionName": ready, "percent": latest}]
    if divided and latest < 100:
        rest = {"latestRevision": False, "revisionName": rolled_out, "percent": 100 - latest, "tag": "prev"}
        traffic.append(rest)
    everything = sum(t["percent"] for t in traffic if t["revisionName"] == ready)
    if rolled_out != ready and latest == 100:
        status["previousRolledoutRevision"], status["latestRolledoutRevision"] = rolled_out, ready
    elif rolled_out == ready == created and latest < 100 and everything == 100:
        status["latestRolledoutRevision"] = status.get("previousRolledoutRevision") or rolled_out
    status["traffic"] = traffic


def inference_service(namespace: str, **predictor: Any) -> Object:
    """A user's, with a second revision that is ready and gets nothing yet."""
    model = {"modelFormat": {"name": "sklearn"}, "storageUri": "s3://models/tutor/4"}
    meta = {"name": "tutor", "namespace": namespace, "labels": {"team": "chat"}}
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": meta,
        "spec": {"predictor": {"canaryTrafficPercent": 0, "model": model, "minReplicas": 1, **predictor}},
    }


def inference_status() -> Object:
    """Its status: the baseline has everything."""
    return {
        "deploymentMode": "Knative",
        "conditions": [{"type": "PredictorRouteReady", "status": "True"}],
        "components": {
            "predictor": {
                "latestCreatedRevision": "tutor-predictor-00002",
                "latestReadyRevision": "tutor-predictor-00002",
                "latestRolledoutRevision": "tutor-predictor-00001",
                "previousRolledoutRevision": "tutor-predictor-00000",
                "traffic": [
                    {"latestRevision": True, "revisionName": "tutor-predictor-00002", "percent": 0},
                    {
                        "latestRevision": False,
                        "revisionName": "tutor-predictor-00001",
                        "percent": 100,
                        "tag": "prev",
                    },
                ],
            }
        },
    }
