"""Which health Argo CD shows for which real status, by the scripts as they are installed."""

from __future__ import annotations

import itertools

import pytest

from retrainer.api.v1alpha1.ab_experiment import ExperimentReason
from tests.unit.argocd.argo_lua import run
from tests.unit.argocd.customizations import KINDS, Object, expectations, fixture, fixtures, health_script

CASES = [
    (kind, test["inputPath"].removeprefix("testdata/").removesuffix(".yaml"), test["healthStatus"])
    for kind in KINDS
    for test in expectations(kind, "health_test.yaml")["tests"]
]


def health(obj: Object) -> Object:
    found: Object = run(health_script(obj["kind"]), obj)
    assert set(found) == {"status", "message"}
    assert found["status"] in {"Healthy", "Progressing", "Degraded", "Suspended"}
    assert found["message"], "a person sees this text"
    return found


def condition(obj: Object, wanted: str) -> Object:
    (found,) = (c for c in obj["status"]["conditions"] if c["type"] == wanted)
    return found


def with_condition(obj: Object, **stated: object) -> Object:
    """The object with one condition replaced or added."""
    others = [c for c in obj["status"]["conditions"] if c["type"] != stated["type"]]
    base = {"reason": "Any", "message": "because", "lastTransitionTime": "2026-11-21T12:00:00Z"}
    current = {"observedGeneration": obj["metadata"]["generation"]}
    obj["status"]["conditions"] = [*others, {**base, **current, **stated}]
    return obj


@pytest.mark.parametrize(("kind", "name", "expected"), CASES, ids=[f"{k}-{n}" for k, n, _ in CASES])
def test_the_health_of_every_fixture(kind: str, name: str, expected: Object) -> None:
    assert health(fixture(kind, name)) == expected


def test_every_fixture_has_an_expectation_and_every_health_is_met() -> None:
    assert sorted((k, n) for k, n, _ in CASES) == sorted(fixtures())
    for kind in KINDS:
        assert {e["status"] for k, _, e in CASES if k == kind} == {"Healthy", "Progressing", "Degraded", "Suspended"}


@pytest.mark.parametrize("kind", KINDS)
def test_an_object_that_the_operator_has_not_seen_is_progressing(kind: str) -> None:
    obj = fixture(kind, "suspended")
    for status in (None, {}, {"conditions": []}):
        assert health({**obj, "status": status})["status"] == "Progressing"


def test_a_changed_spec_is_progressing_until_it_is_observed() -> None:
    for kind, name in fixtures():
        obj = fixture(kind, name)
        obj["metadata"]["generation"] += 1
        assert health(obj)["status"] == "Progressing", (kind, name)


@pytest.mark.parametrize("kind", KINDS)
def test_a_refusal_of_this_very_spec_is_degraded_although_the_status_is_of_an_earlier_one(kind: str) -> None:
    obj = fixture(kind, "suspended")
    obj["metadata"]["generation"] += 1
    told = with_condition(obj, type="Stalled", status="True", reason="Refused", message="exceeded quota")
    assert health(told) == {"status": "Degraded", "message": "exceeded quota"}


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_that_is_tried_again_is_progressing_and_says_so(kind: str) -> None:
    main = "Ready" if kind in {"FeedbackSource", "RetrainPolicy"} else "Succeeded"
    obj = fixture(kind, "suspended")
    told = with_condition(obj, type=main, status="Unknown", reason="Error", message="etcd is slow")
    assert health(told) == {"status": "Progressing", "message": "etcd is slow"}


# Experiments: a sync waits for what is Progressing or Suspended

ROUTES = [("True", "Applied"), ("False", "RoutePending"), ("False", "RouteRefused"), ("False", "ArmNotReady")]


def test_an_experiment_under_way_never_keeps_a_sync_waiting() -> None:
    verdicts = set()
    for data, split, (applied, why) in itertools.product(("True", "False"), ("True", "False", "Unknown"), ROUTES):
        obj = with_condition(fixture("ABExperiment", "running"), type="RouteApplied", status=applied, reason=why)
        obj = with_condition(obj, type="SufficientData", status=data)
        obj = with_condition(obj, type="SampleRatioOK", status=split)
        found = health(obj)["status"]
        verdicts.add(found)
        assert found == ("Degraded" if split == "False" or why == "RouteRefused" else "Healthy")
    assert verdicts == {"Healthy", "Degraded"}


def test_an_end_is_healthy_or_degraded_whatever_its_reason() -> None:
    obj = fixture("ABExperiment", "promoted")
    for reason in ExperimentReason:
        for status, expected in (("True", "Healthy"), ("False", "Degraded")):
            ended = with_condition(obj, type="Succeeded", status=status, reason=reason.value)
            assert health(ended)["status"] == expected, reason


def test_an_experiment_that_has_ended_is_not_suspended_by_its_spec() -> None:
    obj = fixture("ABExperiment", "promoted")
    obj["spec"]["suspend"] = True
    assert health(obj)["status"] == "Healthy"


def test_a_refused_route_is_degraded_even_after_the_verdict() -> None:
    obj = fixture("ABExperiment", "promoted")
    refused = with_condition(obj, type="RouteApplied", status="False", reason="RouteRefused")
    assert health(refused)["status"] == "Degraded"


# Policies: starting is not the same as lost


def test_a_policy_that_was_ready_and_is_not_any_more_is_degraded_and_one_that_starts_is_not() -> None:
    starting, lost = fixture("RetrainPolicy", "starting_up"), fixture("RetrainPolicy", "champion_down")
    assert condition(starting, "Ready")["reason"] == condition(lost, "Ready")["reason"] == "ServingNotReady"
    assert (health(starting)["status"], health(lost)["status"]) == ("Progressing", "Degraded")


def test_a_policy_without_a_champion_that_is_not_ready_is_degraded() -> None:
    obj = fixture("RetrainPolicy", "starting_up")
    del obj["status"]["champion"]
    assert health(obj)["status"] == "Degraded"


def test_failed_runs_are_told_and_do_not_make_the_model_in_service_unhealthy() -> None:
    obj = fixture("RetrainPolicy", "promoted")
    obj["status"]["consecutiveFailures"] = 2
    obj = with_condition(obj, type="Training", status="False", message="last run tutor-3: OutOfMemory")
    assert health(obj) == {
        "status": "Healthy",
        "message": "revision 2 is champion and serves; last run tutor-3: OutOfMemory",
    }


# Runs


@pytest.mark.parametrize("name", ["completed", "gates_failed"])
def test_a_run_that_did_its_work_is_healthy_whether_or_not_its_gates_passed(name: str) -> None:
    assert health(fixture("TrainingRun", name))["status"] == "Healthy"


def test_a_suspended_run_that_ended_shows_its_end() -> None:
    for name, expected in (("completed", "Healthy"), ("out_of_memory", "Degraded")):
        obj = fixture("TrainingRun", name)
        obj["spec"]["suspend"] = True
        assert health(obj)["status"] == expected
