"""What must never change once it is written, and what may."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from crd.conftest import Api
from crd.valid_objects import ABSENT, BASES, DIGEST, changed, metric

from retrainer.api.v1alpha1 import KINDS
from retrainer.kube.errors import Conflict
from retrainer.kube.resources import resource_of_object
from retrainer.plan import Object, Ref

START = "2026-11-21T12:00:00Z"
DECISION = {"verdict": "KeepBaseline", "reason": "PrimaryWorse", "message": "worse", "time": START}

CHANGES_OF_A_RUN: list[tuple[str, dict[str, Any]]] = [
    ("another model", {"spec.model": "other"}),
    ("another strategy", {"spec.strategy": "Incremental", "spec.champion": {"uri": "file:///c/", "digest": DIGEST}}),
    ("a champion", {"spec.champion": {"uri": "file:///c/", "digest": DIGEST}}),
    ("another window", {"spec.data.window.to": "2026-10-01T00:00:00Z"}),
    ("another seed", {"spec.data.seed": 7}),
    ("more trees", {"spec.method.xgboost.trees": 1}),
    ("a gate", {"spec.gates": [{"metric": "accuracy", "atLeast": "0.5"}]}),
    ("a longer deadline", {"spec.job.activeDeadlineSeconds": 100}),
    ("another output", {"spec.output.uri": "file:///elsewhere/"}),
]
CHANGES_OF_AN_EXPERIMENT: list[tuple[str, dict[str, Any]]] = [
    ("another candidate", {"spec.candidate.serviceRef.name": "tutor-r5"}),
    ("another baseline", {"spec.baseline.model.revision": 2}),
    ("another route", {"spec.traffic.httpRoute.name": "other"}),
    ("a gentler ramp", {"spec.ramp.steps.0.weightPercent": 5}),
    ("a wider margin", {"spec.metrics.1.margin": "0.2"}),
    ("a larger alpha", {"spec.alpha": "0.2"}),
    ("less power", {"spec.power": "0.5"}),
    (
        "another mode",
        {"spec.mode": "Canary", "spec.metrics.0": metric("x", "Guardrail", "Increase", "Positive", margin="0.1")},
    ),
    ("users instead of requests", {"spec.assignment": {"unit": "User"}}),
    ("a smaller effect", {"spec.minimumDetectableEffect": "0.01"}),
    ("shorter windows", {"spec.windowSeconds": 10}),
    ("no maturity", {"spec.maturitySeconds": 10}),
    ("an earlier end", {"spec.maximumDurationSeconds": 90_000}),
    ("a later promotion", {"spec.minimumDurationSeconds": 10}),
    ("another end", {"spec.onInconclusive": "Hold"}),
]


Put = Callable[..., Object]


@pytest.fixture
def put(api: Api) -> Iterator[Put]:
    """Stores an object of a kind, optionally with a status; all are deleted afterwards."""
    stored: list[Object] = []

    def create(kind: str, status: Object | None = None, name: str | None = None) -> Object:
        meta = {"name": name or f"sample-{uuid.uuid4().hex[:8]}", "namespace": "default"}
        stored.append(api.run(api.client.create({**BASES[kind](), "metadata": meta})))
        return api.run(api.client.put_status(stored[-1], status)) if status else stored[-1]

    yield create
    for obj in stored:
        delete(api, obj)


def delete(api: Api, obj: Object) -> None:
    meta = obj["metadata"]
    reference = Ref(obj["apiVersion"], obj["kind"], meta["namespace"], meta["name"], meta["uid"])
    with contextlib.suppress(Conflict):
        api.run(api.client.delete(reference, resource_of_object(obj)))


def test_every_field_of_a_run_but_suspend_is_frozen_from_its_creation(api: Api, put: Put) -> None:
    run = put("TrainingRun")
    for sentence, changes in CHANGES_OF_A_RUN:
        message = api.refusal(api.client.replace(changed(run, changes)))
        assert "spec cannot be changed once created (except suspend); create a new object instead" in message, sentence
    assert api.run(api.client.replace(changed(run, {"spec.suspend": True})))["spec"]["suspend"] is True


def test_every_field_of_an_experiment_but_suspend_is_frozen_from_its_start(api: Api, put: Put) -> None:
    experiment = put("ABExperiment", {"startTime": START})
    for sentence, changes in CHANGES_OF_AN_EXPERIMENT:
        message = api.refusal(api.client.replace(changed(experiment, changes)))
        assert "spec cannot be changed after the start (except suspend)" in message, sentence
    assert api.run(api.client.replace(changed(experiment, {"spec.suspend": True})))["spec"]["suspend"] is True


def test_the_tables_above_name_every_field_of_the_frozen_specs() -> None:
    for kind, table in (("TrainingRun", CHANGES_OF_A_RUN), ("ABExperiment", CHANGES_OF_AN_EXPERIMENT)):
        tried = {path.split(".")[1] for _, changes in table for path in changes}
        assert tried == fields_of_spec(kind) - {"suspend"}


def fields_of_spec(kind: str) -> set[str]:
    model = next(k.spec for k in KINDS if k.kind == kind)
    return {str(field.alias) for field in model.model_fields.values()}


def test_an_experiment_may_be_corrected_before_its_start(api: Api, put: Put) -> None:
    experiment = put("ABExperiment", {"observedGeneration": 1})
    corrected = api.run(api.client.replace(changed(experiment, {"spec.alpha": "0.1"})))
    assert corrected["spec"]["alpha"] == "0.1"


def test_a_policy_and_a_source_may_be_changed_at_any_time(api: Api, put: Put) -> None:
    policy, source = put("RetrainPolicy"), put("FeedbackSource")
    assert api.run(api.client.replace(changed(policy, {"spec.cooldownSeconds": 60})))["spec"]["cooldownSeconds"] == 60
    assert api.run(api.client.replace(changed(source, {"spec.suspend": True})))["spec"]["suspend"] is True


@pytest.mark.parametrize(
    ("sentence", "status"),
    [
        ("another verdict", {"decision": {**DECISION, "verdict": "PromoteCandidate"}}),
        ("another reason", {"decision": {**DECISION, "reason": "ManualAbort"}}),
        ("another time", {"decision": {**DECISION, "time": "2026-11-22T12:00:00Z"}}),
        ("no decision", {"weightPercent": 10}),
        ("an empty status", {}),
        ("no status", None),
    ],
)
def test_a_decision_is_final(sentence: str, status: Object | None, api: Api, put: Put) -> None:
    decided = put("ABExperiment", {"startTime": START, "decision": DECISION})
    message = api.refusal(api.client.put_status(decided, status))
    assert "status.decision is final: it can neither change nor be removed" in message


def test_a_decision_is_not_removed_by_a_merge_patch_of_the_whole_status(api: Api, put: Put) -> None:
    decided = put("ABExperiment", {"startTime": START, "decision": DECISION})
    path = resource_of_object(decided).path("default", decided["metadata"]["name"], "status")
    message = api.refusal(api.client._json("PATCH", path, {}, {"status": None}, "application/merge-patch+json"))
    assert "status.decision is final" in message


def test_the_rest_of_the_status_may_change_after_a_decision(api: Api, put: Put) -> None:
    decided = put("ABExperiment", {"startTime": START, "decision": DECISION})
    updated = api.run(api.client.put_status(decided, {**decided["status"], "weightPercent": 0}))
    assert updated["status"]["weightPercent"] == 0
    assert updated["status"]["decision"] == DECISION


def test_an_experiment_may_be_replaced_by_deleting_it(api: Api, put: Put) -> None:
    decided = put("ABExperiment", {"startTime": START, "decision": DECISION})
    delete(api, decided)
    assert "status" not in put("ABExperiment", name=decided["metadata"]["name"])


def test_a_status_written_with_the_object_is_ignored(api: Api, put: Put) -> None:
    """Otherwise whoever may write a spec could decide an experiment."""
    experiment = put("ABExperiment")
    written = api.run(api.client.replace({**experiment, "status": {"decision": DECISION}}))
    assert "status" not in written


def test_a_spec_is_not_required_to_name_defaults_to_stay_the_same(api: Api, put: Put) -> None:
    run = put("TrainingRun")
    sparse = changed(run, {"spec.job": ABSENT, "spec.strategy": ABSENT, "spec.data.seed": ABSENT})
    assert api.run(api.client.replace(sparse))["metadata"]["resourceVersion"] == run["metadata"]["resourceVersion"]
