"""What a spec means in numbers: scales, units, settling, steps of users, the plan."""

from __future__ import annotations

import json
from typing import Any

import pytest
from unit.ab_experiment.world import ISTIO, POLICY, PUBLISHED, STANDALONE, spec

from retrainer.ab_experiment.config import DEFAULT_EVENTS_PER_UNIT, ENGINE, configure
from retrainer.ab_experiment.ledger import begin
from retrainer.api.v1alpha1.ab_experiment import ABExperimentSpec

LIKES: dict[str, Any] = {
    "name": "likes",
    "role": "Primary",
    "goal": "Increase",
    "source": {"feedback": {"sourceRef": {"name": "chat"}, "signal": "thumbs", "value": "Positive"}},
}
PROMETHEUS = {"url": "http://prometheus:9090", "query": "errors_total", "unitsQuery": "requests_total"}
ERRORS = {
    "name": "errors",
    "role": "Guardrail",
    "goal": "Decrease",
    "margin": "0.5",
    "kind": "Events",
    "source": {"prometheus": PROMETHEUS},
}
LATENCY = {
    "name": "latency",
    "role": "Guardrail",
    "goal": "Decrease",
    "margin": "25",
    "source": {"feedback": {"sourceRef": {"name": "chat"}, "quality": "latency"}},
}


def parsed(**overrides: Any) -> ABExperimentSpec:
    return ABExperimentSpec.model_validate(spec(**overrides))


def feedback(**source: Any) -> dict[str, Any]:
    return {**LIKES, "source": {"feedback": {"sourceRef": {"name": "chat"}, **source}}}


@pytest.mark.parametrize(
    ("sentence", "metric", "unit", "scale"),
    [
        ("a vote of a request is 0 or 1", LIKES, "Request", "Binary"),
        ("of a user it is the mean of their votes", LIKES, "User", "Bounded"),
        ("dislikes are votes too", feedback(signal="thumbs", value="Negative"), "Request", "Binary"),
        ("a rating lies between 0 and 1", feedback(signal="stars", value="Score"), "Request", "Bounded"),
        ("a user's mean rating too", feedback(signal="stars", value="Score"), "User", "Bounded"),
        ("a quality is any number", feedback(quality="latency"), "Request", "Unbounded"),
        ("also that of a user", feedback(quality="latency"), "User", "Unbounded"),
        ("events are counted", ERRORS, "Request", "Events"),
        ("successes among requests are 0 or 1", {**ERRORS, "kind": "Proportion"}, "Request", "Binary"),
    ],
)
def test_the_scale_of_an_outcome(sentence, metric, unit, scale):
    primary = [] if metric["role"] == "Primary" else [LIKES]
    config = configure(parsed(metrics=[metric, *primary], assignment={"unit": unit}), {})
    assert next(m.scale for m in config.metrics if m.name == metric["name"]) == scale, sentence


@pytest.mark.parametrize(
    ("sentence", "traffic", "assignment", "seconds"),
    [
        ("a policy's gateways move at once", POLICY, None, 1),
        ("so do those of an own route", STANDALONE, None, 1),
        ("Istio's proxies take a while", ISTIO, None, 10),
        ("revisions of KServe take longer", {"inferenceService": {"name": "tutor"}}, None, 60),
        ("applications read a ConfigMap now and then", PUBLISHED, None, 90),
        ("users are assigned by the application", POLICY, {"unit": "User"}, 90),
        ("what is asked for is what counts", PUBLISHED, {"settleSeconds": 5}, 5),
        ("also nothing", POLICY, {"unit": "User", "settleSeconds": 0}, 0),
    ],
)
def test_how_long_windows_are_left_out_after_a_change(sentence, traffic, assignment, seconds):
    arms = {}
    if "inferenceService" in traffic:
        arms = {"baseline": {"model": {"revision": 3}}, "candidate": {"model": {"revision": 4}}}
    config = configure(parsed(traffic=traffic, **arms, **({"assignment": assignment} if assignment else {})), {})
    assert config.settle_seconds == seconds, sentence


def test_a_canary_has_no_primary_and_its_guardrails_share_the_error_budget():
    config = configure(parsed(mode="Canary", metrics=[spec()["metrics"][0], ERRORS]), {})
    assert config.primary is None
    assert [m.name for m in config.guardrails] == ["dislikes", "errors"]
    assert all(m.alpha == 0.05 and m.alpha_worse == pytest.approx(0.05 / 3) for m in config.metrics)


@pytest.mark.parametrize(
    ("sentence", "metrics", "name"),
    [
        ("the primary counts", [spec()["metrics"][0], LIKES], "likes"),
        ("events without requests do not", [{**ERRORS, "source": {"prometheus": {**PROMETHEUS, "unitsQuery": None}}},
                                            spec()["metrics"][0]], "dislikes"),
        ("events with requests do", [ERRORS, spec()["metrics"][0]], "errors"),
    ],
)  # fmt: skip
def test_which_metric_counts_the_units(sentence, metrics, name):
    mode = "ABTest" if any(m["role"] == "Primary" for m in metrics) else "Canary"
    assert configure(parsed(mode=mode, metrics=metrics), {}).units_metric == name, sentence


def test_without_any_metric_that_counts_units_it_cannot_be_carried_out():
    blind = {**ERRORS, "source": {"prometheus": {"url": "http://prometheus:9090", "query": "errors_total"}}}
    with pytest.raises(ValueError, match="unitsQuery"):
        configure(parsed(mode="Canary", metrics=[blind]), {})


def test_users_of_early_steps_are_at_most_a_tenth_of_those_planned():
    ramp = {"steps": [{"weightPercent": 5, "minimumUnits": 500}, {"weightPercent": 25, "minimumUnits": 500},
                      {"weightPercent": 50, "minimumUnits": 300}]}  # fmt: skip
    requests = configure(parsed(ramp=ramp), {"likes": 0.7})
    users = configure(parsed(ramp=ramp, assignment={"unit": "User"}), {"likes": 0.7})
    assert [s.minimum_units for s in requests.steps] == [500, 500, 300]
    assert users.steps[-1].minimum_units == 300
    early = sum(100 * s.minimum_units / s.weight for s in users.steps[:-1])
    assert 0.08 * users.units_needed < early <= 0.1 * users.units_needed


def test_small_early_steps_of_users_stay_as_they_were_asked_for():
    ramp = {"steps": [{"weightPercent": 10, "minimumUnits": 2}, {"weightPercent": 50, "minimumUnits": 300}]}
    users = configure(parsed(ramp=ramp, assignment={"unit": "User"}), {"likes": 0.7})
    assert [s.minimum_units for s in users.steps] == [2, 300]


def test_events_that_have_not_happened_yet_are_planned_as_rare():
    for known in ({}, {"errors": 0.0}):
        config = configure(parsed(metrics=[LIKES, ERRORS]), known)
        assert config.metrics[1].rate == DEFAULT_EVENTS_PER_UNIT
    assert configure(parsed(metrics=[LIKES, ERRORS]), {"errors": 0.2}).metrics[1].rate == 0.2


def test_a_latency_is_planned_with_the_variance_that_it_has():
    known = configure(parsed(metrics=[LIKES, LATENCY]), {"latency": 200.0}, {"latency": 90_000.0})
    unknown = configure(parsed(metrics=[LIKES, LATENCY]), {})
    assert known.metrics[1].variance == 90_000.0 and unknown.metrics[1].variance is None
    assert known.units_needed > unknown.units_needed


def test_a_primary_latency_is_held_against_an_effect_in_its_own_unit():
    primary = {**LATENCY, "role": "Primary"}
    del primary["margin"]
    config = configure(parsed(metrics=[primary], minimumDetectableEffect="25"), {}, {"latency": 10_000.0})
    assert config.primary is not None and config.primary.effect == 25.0
    assert config.primary.goal == "Decrease"


def test_the_header_records_engine_salt_unit_and_plan():
    assignment = {"unit": "User", "salt": "autumn"}
    ledger = begin(parsed(assignment=assignment), {"likes": 0.7}, "2026-11-21T12:00:00Z", salt="autumn")
    header = json.loads(ledger.header)
    assert (header["engine"], header["unit"], header["salt"], header["mode"]) == (ENGINE, "User", "autumn", "ABTest")
    assert header["metrics"]["likes"] == {
        "scale": "Bounded", "engine": "Betting", "effect": 0.1, "rate": 0.7, "variance": None, "alpha": 0.05,
        "alphaWorse": 0.025,
    }  # fmt: skip
    assert header["plan"]["unitsNeeded"] == ledger.config.units_needed
    assert header["plan"]["settleSeconds"] == 90
    assert [w for w, _ in header["plan"]["steps"]] == [10, 25, 50]
