"""Valid objects are accepted, defaulted as documented, and a second apply changes nothing."""

from __future__ import annotations

from typing import Any

import pytest
from crd.conftest import Api
from crd.valid_objects import ABSENT, BASES, DIGEST, changed, counter, metric

from retrainer.api.v1alpha1 import KINDS
from retrainer.plan import Object

POSTGRES = {"connectionSecretRef": {"name": "feedback-db", "key": "dsn"}, "query": "SELECT * FROM feedback"}

STARS = {"minimum": "1", "maximum": "5", "positiveFrom": "4", "negativeUpTo": "2"}
ISTIO = {"name": "tutor", "hosts": ["tutor.example.com"], "gateways": ["mesh", "istio-system/public"]}
LATENCY = {"sourceRef": {"name": "chat-thumbs"}, "quality": "latency"}

GOOD: list[tuple[str, str, dict[str, Any]]] = [
    ("FeedbackSource", "a query of PostgreSQL", {"spec.sqlite": ABSENT, "spec.postgres": POSTGRES}),
    (
        "FeedbackSource",
        "every field of a record",
        {
            "spec.record": {
                **{f: f for f in ("id", "time", "unit", "session", "input", "output", "model", "variant", "segment")},
                "prediction": "value.answer",
                "correction": "fix",
                "features": {"from": "pixels"},
                "labels": [{"name": "digit", "from": "truth", "type": "Classification"}],
            },
            "spec.signals": [
                {"name": "thumbs", "from": "v", "thumbs": {"positive": ["1"], "neutral": ["0"], "negative": ["-1"]}},
                {"name": "truth", "label": {}},
                {"name": "fix", "correction": {}},
            ],
        },
    ),
    (
        "FeedbackSource",
        "512 features of two types",
        {
            "spec.record.features": {
                "columns": [
                    {"name": "kind", "from": "kind", "type": "Categorical", "categories": ["a", "b"]},
                    *({"name": f"f{n}", "from": f"values.{n}", "type": "Numeric"} for n in range(511)),
                ]
            }
        },
    ),
    (
        "FeedbackSource",
        "stars, and a number about the answer",
        {
            "spec.signals.+": {"name": "stars", "from": "stars", "rating": STARS},
            "spec.record.qualities": [{"name": "latency", "from": "timing.milliseconds"}],
        },
    ),
    (
        "ABExperiment",
        "users, by a ConfigMap",
        {
            "spec.assignment": {"unit": "User", "salt": "tutor-4", "settleSeconds": 120},
            "spec.traffic": {"configMap": {"name": "tutor-assignment"}},
        },
    ),
    ("ABExperiment", "a VirtualService", {"spec.traffic": {"virtualService": ISTIO}}),
    (
        "ABExperiment",
        "an InferenceService",
        {
            "spec.traffic": {"inferenceService": {"name": "tutor"}},
            "spec.baseline.serviceRef": ABSENT,
            "spec.candidate.serviceRef": ABSENT,
        },
    ),
    (
        "ABExperiment",
        "a canary with every kind of guardrail",
        {
            "spec.mode": "Canary",
            "spec.metrics": [
                counter("errors", "Events"),
                counter("slow", "Proportion", unitsQuery="requests_total", armLabel="version"),
                metric("dislikes", "Guardrail", "Decrease", "Negative", margin="0.02"),
                metric("latency", "Guardrail", "Decrease", "Negative", margin="50") | {"source": {"feedback": LATENCY}},
            ],
        },
    ),
    (
        "ABExperiment",
        "a number without bounds decides",
        {
            "spec.metrics.0.source": {"feedback": LATENCY},
            "spec.metrics.0.goal": "Decrease",
            "spec.minimumDetectableEffect": "20",
        },
    ),
    (
        "RetrainPolicy",
        "a canary",
        {
            "spec.promotion.method": "Canary",
            "spec.promotion.experiment.metrics.0": metric("dull", "Guardrail", "Decrease", "Negative", margin="0.1"),
        },
    ),
    ("FeedbackSource", "a file in a folder", {"spec.sqlite.path": "chat/..data/feedback.db"}),
    ("FeedbackSource", "a name of 40 characters", {"metadata.name": "a" * 40}),
    (
        "RetrainPolicy",
        "no promotion by experiment and no serving",
        {"spec.promotion": {"method": "Immediate"}, "spec.serving": ABSENT},
    ),
    ("RetrainPolicy", "Immediate with serving", {"spec.promotion": {"method": "Immediate"}}),
    ("RetrainPolicy", "a budget", {"spec.budget": {"runsPerWeek": 4}}),
    ("RetrainPolicy", "a pinned revision", {"spec.model.pin": 3}),
    ("RetrainPolicy", "an experiment whose winner a person approves", {"spec.promotion.approval": "Manual"}),
    (
        "RetrainPolicy",
        "approval without an experiment and without serving",
        {"spec.promotion": {"method": "Immediate", "approval": "Manual"}, "spec.serving": ABSENT},
    ),
    (
        "RetrainPolicy",
        "every trigger, and rules that name them",
        {
            "spec.triggers": [
                {"name": "volume", "newSamples": {"atLeast": 500, "value": "Negative"}},
                {"name": "stale", "staleness": {"maximumAgeDays": 30}},
                {"name": "weekly", "schedule": {"cron": "0 2 * * 1", "timeZone": "Europe/Berlin"}},
                {"name": "likes", "positiveRate": {"signal": "thumbs", "below": "0.85", "minimumSamples": 200}},
            ],
            "spec.triggerMode": "All",
            "spec.strategyRules": [
                {"strategy": "Full", "when": {"triggered": ["likes", "stale"]}},
                {"strategy": "Incremental", "when": {"championAgeAtLeastDays": 1, "championAgeAtMostDays": 14}},
            ],
        },
    ),
    (
        "RetrainPolicy",
        "an initial model whose training period is known",
        {
            "spec.model.initial": {
                "uri": "file:///models/base/",
                "digest": DIGEST,
                "trainedThrough": "2026-01-01T00:00:00Z",
            }
        },
    ),
    ("RetrainPolicy", "any host below one", {"spec.serving.httpRoute.hostnames": ["*.example.com", "tutor.test"]}),
    (
        "TrainingRun",
        "an Incremental run with gates of every form",
        {
            "spec.strategy": "Incremental",
            "spec.champion": {
                "uri": "file:///c/",
                "digest": DIGEST,
                "trainedThrough": "2026-01-01T00:00:00Z",
                "snapshot": {"uri": "file:///s/", "digest": DIGEST},
            },
            "spec.gates": [
                {"metric": "mean(accuracy)", "atLeast": "0.75"},
                {"metric": "logLoss", "target": "digit", "atMost": "1e-1"},
                {
                    "metric": "worst(accuracy)",
                    "versusChampion": {"regressionAtMost": "0.02", "confidence": "0.95"},
                    "minimumUnits": 100,
                    "allowUnderpowered": False,
                },
                {"metric": "accuracy", "target": "digit", "versusChampion": {"improvementAtLeast": "0"}},
            ],
        },
    ),
    (
        "TrainingRun",
        "a Job on a GPU",
        {
            "spec.job": {
                "image": "trainer@" + DIGEST,
                "resources": {"cpu": "500m", "memory": "16Gi", "gpu": 1, "gpuResource": "nvidia.com/gpu"},
                "serviceAccountName": "trainer",
                "nodeSelector": {"gpu": "yes"},
                "tolerations": [{"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}],
                "priorityClassName": "batch",
                "volumeClaims": [{"claimName": "data", "mountPath": "/data"}],
                "maximumRetries": 0,
            }
        },
    ),
    (
        "TrainingRun",
        "parameters and several targets",
        {
            "spec.method.xgboost": {
                "targets": [{"name": "density", "type": "Regression"}, {"name": "kind"}],
                "learningRateScale": "5e-1",
                "parameters": [{"name": "max_depth", "value": "6"}],
            }
        },
    ),
    (
        "TrainingRun",
        "tuned parameters and weighed classes",
        {
            "spec.method.xgboost": {
                "targets": [{"name": "density", "type": "Regression"}, {"name": "kind"}],
                "classWeights": "Balanced",
                "tuning": {"trials": 50, "folds": 5, "timeoutSeconds": 3600},
                "parameters": [{"name": "max_depth", "value": "6"}],
            }
        },
    ),
    (
        "ABExperiment",
        "traffic carried by a policy",
        {"spec.traffic": {"policyRef": {"name": "tutor"}}, "spec.onInconclusive": "Hold"},
    ),
    (
        "ABExperiment",
        "missing votes counted as no approval",
        {"spec.metrics.0": metric("likes", "Primary", "Increase", "Positive", missing="Zero")},
    ),
    ("ABExperiment", "a single step", {"spec.ramp.steps": [{"weightPercent": 50, "minimumUnits": 1000}]}),
]

CRONS = ["*/15 * * * *", "0 2 * * mon-fri", "0,30 8-18/2 1,15 jan *", "5 4 * * SUN", "  0  2 * *  1 "]


@pytest.mark.parametrize("kind", BASES)
def test_the_smallest_object_is_accepted(kind: str, api: Api) -> None:
    assert api.try_create("default", BASES[kind]())["kind"] == kind


@pytest.mark.parametrize(("kind", "sentence", "changes"), GOOD, ids=[f"{k}: {s}" for k, s, _ in GOOD])
def test_it_is_accepted_and_our_models_read_it(kind: str, sentence: str, changes: dict[str, Any], api: Api) -> None:
    stored = api.try_create("default", changed(BASES[kind](), changes))
    next(k for k in KINDS if k.kind == kind).spec.model_validate(stored["spec"])


@pytest.mark.parametrize("cron", CRONS)
def test_a_common_form_of_cron_is_accepted(cron: str, api: Api) -> None:
    policy = changed(BASES["RetrainPolicy"](), {"spec.triggers.+": {"name": "timed", "schedule": {"cron": cron}}})
    assert api.try_create("default", policy)["spec"]["triggers"][1]["schedule"]["cron"] == cron


DEFAULTS: dict[str, Object] = {
    "FeedbackSource": {"suspend": False, "syncIntervalSeconds": 300},
    "RetrainPolicy": {
        "suspend": False,
        "triggerMode": "Any",
        "cooldownSeconds": 604_800,
        "defaultStrategy": "Full",
        "revisionHistoryLimit": 5,
        "training.data.windowDays": 90,
        "training.data.evaluationPercent": 20,
        "training.job.ttlSecondsAfterFinished": 3600,
        "promotion.method": "ABTest",
        "promotion.approval": "Automatic",
        "promotion.experiment.alpha": "0.05",
        "serving.progressDeadlineSeconds": 600,
        "serving.retireAfterSeconds": 3600,
        "serving.httpRoute.pathPrefix": "/",
    },
    "TrainingRun": {
        "suspend": False,
        "strategy": "Full",
        "data.minimumSamples": 100,
        "data.minimumUnits": 20,
        "data.evaluationPercent": 20,
        "data.validationPercent": 10,
        "data.split": "UnitAndTime",
        "data.seed": 42,
        "method.xgboost.trees": 200,
        "method.xgboost.additionalTrees": 20,
        "method.xgboost.learningRateScale": "0.8",
        "job.activeDeadlineSeconds": 86_400,
        "job.maximumRetries": 3,
        "job.ttlSecondsAfterFinished": 3600,
    },
    "ABExperiment": {
        "suspend": False,
        "maturitySeconds": 0,
        "alpha": "0.05",
        "power": "0.8",
        "minimumDetectableEffect": "0.02",
        "minimumDurationSeconds": 86_400,
        "maximumDurationSeconds": 1_209_600,
        "onInconclusive": "KeepBaseline",
        "traffic.httpRoute.pathPrefix": "/",
    },
}


@pytest.mark.parametrize("kind", BASES)
def test_the_documented_defaults_are_written_into_the_object(kind: str, api: Api) -> None:
    spec = api.try_create("default", BASES[kind]())["spec"]
    for path, expected in DEFAULTS[kind].items():
        value = spec
        for part in path.split("."):
            value = value[part]
        assert value == expected, path


@pytest.mark.parametrize("kind", BASES)
def test_the_api_server_and_our_models_agree_on_the_defaults(kind: str, api: Api) -> None:
    """Otherwise the operator would decide on other values than kubectl shows."""
    model = next(k.spec for k in KINDS if k.kind == kind)
    written = BASES[kind]()
    by_server = model.model_validate(api.try_create("default", written)["spec"])
    assert by_server == model.model_validate(written["spec"])


@pytest.mark.parametrize("kind", BASES)
def test_nothing_is_defaulted_below_a_list(kind: str, api: Api) -> None:
    """An item that the server adds to makes Argo CD show OutOfSync for ever."""

    def lists(value: Any, path: str) -> dict[str, Any]:
        if isinstance(value, list):
            return {path: value}
        found: dict[str, Any] = {}
        for key, inner in value.items() if isinstance(value, dict) else ():
            found |= lists(inner, f"{path}.{key}")
        return found

    written = BASES[kind]()
    assert lists(api.try_create("default", written)["spec"], "spec") == lists(written["spec"], "spec")


@pytest.mark.parametrize("kind", BASES)
def test_applying_the_smallest_object_again_changes_nothing(kind: str, api: Api, namespace: str) -> None:
    wanted = {**BASES[kind](), "metadata": {"name": "sample", "namespace": namespace}}
    first = api.run(api.client.apply(wanted))
    again = api.run(api.client.apply(wanted))
    assert again["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
    assert again["metadata"]["generation"] == 1


def test_two_appliers_may_each_own_a_trigger(api: Api, namespace: str) -> None:
    """Named lists merge by name: a base and an overlay in Git can each bring triggers."""
    policy = {**BASES["RetrainPolicy"](), "metadata": {"name": "sample", "namespace": namespace}}
    api.run(api.client.apply(policy))
    path = "/apis/retrainer.dev/v1alpha1/namespaces/" + namespace + "/retrainpolicies/sample"
    second = {"name": "stale", "staleness": {"maximumAgeDays": 30}}
    overlay = {k: policy[k] for k in ("apiVersion", "kind", "metadata")} | {"spec": {"triggers": [second]}}
    query = {"fieldManager": "overlay"}
    merged = api.run(api.client._json("PATCH", path, query, overlay, "application/apply-patch+yaml"))
    assert [trigger["name"] for trigger in merged["spec"]["triggers"]] == ["volume", "stale"]
