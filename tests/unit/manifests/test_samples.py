"""The samples are valid, refer to each other, and the operator would launch them."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from retrainer.api.v1alpha1 import KINDS
from retrainer.api.v1alpha1.feedback_source import FeedbackSourceSpec
from retrainer.api.v1alpha1.training_parts import DataSelection
from retrainer.api.v1alpha1.training_run import TrainingRunSpec
from retrainer.training_run.checks import problem_of
from retrainer.training_run.decide import decide
from retrainer.training_run.input import RunInput, SecretFacts, SourceFacts, Stage
from retrainer.training_run.sources import resolve
from tests.unit.manifests.test_manifests import MANIFESTS, assert_restricted, built

SAMPLES = MANIFESTS / "samples"
OBJECTS = built(SAMPLES)
BY_KIND = {kind.kind: kind for kind in KINDS}
OURS = [obj for obj in OBJECTS if obj["kind"] in BY_KIND]


def named(kind, name):
    (found,) = [obj for obj in OBJECTS if obj["kind"] == kind and obj["metadata"]["name"] == name]
    return found


def facts(name):
    return SourceFacts(name, named("FeedbackSource", name), SecretFacts(True, True, ("db.chat.svc",)))


def test_there_is_a_sample_of_every_kind():
    assert {obj["kind"] for obj in OURS} == set(BY_KIND)


@pytest.mark.parametrize("obj", OURS, ids=lambda obj: f"{obj['kind']}-{obj['metadata']['name']}")
def test_a_sample_is_valid_and_bears_a_name_that_children_can_extend(obj):
    kind = BY_KIND[obj["kind"]]
    assert obj["apiVersion"] == kind.api_version
    kind.spec.model_validate(obj["spec"])
    assert len(obj["metadata"]["name"]) <= 40
    assert "status" not in obj


def test_files_leave_the_namespace_to_the_kustomization():
    for path in Path(SAMPLES).glob("*.yaml"):
        if path.name != "kustomization.yaml":
            assert all("namespace" not in obj["metadata"] for obj in yaml.safe_load_all(path.read_text())), path


def test_a_policy_that_vanishes_from_git_is_not_pruned():
    for obj in OURS:
        if obj["kind"] == "RetrainPolicy":
            assert obj["metadata"]["annotations"]["argocd.argoproj.io/sync-options"] == "Prune=false,Delete=false"


def references(value, key):
    """Every value of `key` anywhere below."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name == key:
                yield inner
            yield from references(inner, key)
    if isinstance(value, list):
        for inner in value:
            yield from references(inner, key)


@pytest.mark.parametrize("obj", OURS, ids=lambda obj: f"{obj['kind']}-{obj['metadata']['name']}")
def test_what_a_sample_refers_to_is_a_sample_too(obj):
    for refs in references(obj["spec"], "sourceRefs"):
        assert all(named("FeedbackSource", ref["name"]) for ref in refs)
    for ref in references(obj["spec"], "sourceRef"):
        assert named("FeedbackSource", ref["name"])
    for ref in references(obj["spec"], "podTemplateRef"):
        assert named("PodTemplate", ref["name"])
    for claim in references([obj, *[o for o in OBJECTS if o["kind"] == "PodTemplate"]], "claimName"):
        assert named("PersistentVolumeClaim", claim)


def test_the_signals_that_are_asked_for_exist():
    for obj in OURS:
        for feedback in references(obj["spec"], "feedback"):
            source = named("FeedbackSource", feedback["sourceRef"]["name"])
            signals = {s["name"]: s for s in source["spec"]["signals"]}
            assert "thumbs" in signals[feedback["signal"]], "outcomes need a signal with polarity"
            assert source["spec"]["record"]["model"], "outcomes are attributed by model"
        for rate in references(obj["spec"], "positiveRate"):
            for ref in obj["spec"]["sourceRefs"]:
                assert rate["signal"] in {s["name"] for s in named("FeedbackSource", ref["name"])["spec"]["signals"]}


def runs():
    """The spec of every sample run, and of the run that every sample policy would create."""
    window = {"from": "2026-08-01T00:00:00Z", "to": "2026-11-01T00:00:00Z"}
    for obj in OURS:
        if obj["kind"] == "TrainingRun":
            yield obj["spec"]
        if obj["kind"] == "RetrainPolicy":
            training = obj["spec"]["training"]
            known = {field.alias for field in DataSelection.model_fields.values()}
            data = {k: v for k, v in training["data"].items() if k in known}
            yield {**training, "model": obj["spec"]["model"]["name"], "data": {**data, "window": window}}


@pytest.mark.parametrize("spec", list(runs()), ids=lambda spec: spec["model"])
def test_the_operator_would_launch_it(spec):
    names = [ref["name"] for ref in spec["data"]["sourceRefs"]]
    sources = tuple(facts(name) for name in names)
    resolved = resolve(sources)
    assert resolved.missing == ()
    assert problem_of(TrainingRunSpec.model_validate(spec), resolved) is None
    meta = {"name": "sample", "namespace": "retrainer", "uid": "u", "generation": 1}
    given = RunInput({"metadata": meta, "spec": spec}, dict.fromkeys(Stage), sources=sources, default_image="trainer")
    plan = decide(given, datetime(2026, 11, 21, tzinfo=UTC))
    assert [obj["kind"] for obj in plan.creates] == ["ConfigMap", "Job"]


def test_the_targets_that_are_trained_are_labelled_in_the_source():
    for spec in runs():
        for ref in spec["data"]["sourceRefs"]:
            source = FeedbackSourceSpec.model_validate(named("FeedbackSource", ref["name"])["spec"])
            labels = {label.name for label in source.record.labels or ()}
            assert {target["name"] for target in spec["method"]["xgboost"]["targets"]} <= labels


def test_the_servers_run_restricted():
    for obj in OBJECTS:
        if obj["kind"] == "PodTemplate":
            assert_restricted(obj["template"]["spec"])
            assert obj["template"]["spec"]["automountServiceAccountToken"] is False


def test_no_sample_holds_a_secret():
    assert not [obj for obj in OBJECTS if obj["kind"] == "Secret"]
