"""Valid objects of the four kinds, from which the bad ones are made by one small change each."""

from __future__ import annotations

import copy
from typing import Any

from retrainer.api.v1alpha1.kind import API_VERSION

Object = dict[str, Any]

ABSENT = object()
"""As the value of a change: the field is removed."""

DIGEST = "sha256:" + "0" * 64
OTHER_DIGEST = "sha256:" + "1" * 64


def _object(kind: str, spec: Object) -> Object:
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": "sample"}, "spec": spec}


def feedback_source() -> Object:
    """A table of thumbs in an SQLite file."""
    return _object(
        "FeedbackSource",
        {
            "sqlite": {"path": "feedback.db", "table": "feedback"},
            "record": {"id": "id", "time": "created_at"},
            "signals": [{"name": "thumbs", "from": "rating", "thumbs": {"positive": ["1"], "negative": ["-1"]}}],
        },
    )


def training_run() -> Object:
    """A Full run of boosted trees."""
    return _object(
        "TrainingRun",
        {
            "model": "tutor",
            "data": {
                "sourceRefs": [{"name": "chat-thumbs"}],
                "window": {"from": "2026-08-01T00:00:00Z", "to": "2026-11-01T00:00:00Z"},
            },
            "method": {"xgboost": {"targets": [{"name": "digit"}]}},
            "output": {"uri": "file:///artifacts/"},
        },
    )


def metric(name: str, role: str, goal: str, value: str, **more: Any) -> Object:
    """A metric on a thumbs signal."""
    feedback = {"sourceRef": {"name": "chat-thumbs"}, "signal": "thumbs", "value": value}
    return {"name": name, "role": role, "goal": goal, "source": {"feedback": feedback}, **more}


def experiment_settings() -> Object:
    """What a policy and an experiment have in common."""
    return {
        "ramp": {"steps": [{"weightPercent": 10}, {"weightPercent": 50}]},
        "metrics": [
            metric("likes", "Primary", "Increase", "Positive"),
            metric("dislikes", "Guardrail", "Decrease", "Negative", margin="0.02"),
        ],
    }


def counter(name: str, kind: str, **more: Any) -> Object:
    """A guardrail on counters in Prometheus."""
    source = {"url": "https://prometheus.monitoring:9090/prom", "query": f'{name}_total{{app="tutor"}}', **more}
    return {
        "name": name,
        "role": "Guardrail",
        "goal": "Decrease",
        "margin": "0.5",
        "kind": kind,
        "source": {"prometheus": source},
    }


def ab_experiment() -> Object:
    """Two Services behind a route of the experiment's own."""
    arms = {
        arm: {"serviceRef": {"name": f"tutor-r{revision}", "port": 8080}, "model": {"revision": revision}}
        for arm, revision in (("baseline", 3), ("candidate", 4))
    }
    route = {"name": "tutor", "parentRefs": [{"name": "public"}]}
    return _object("ABExperiment", {**arms, "traffic": {"httpRoute": route}, **experiment_settings()})


def retrain_policy() -> Object:
    """A policy that serves its model and promotes by experiment."""
    run = training_run()["spec"]
    return _object(
        "RetrainPolicy",
        {
            "model": {"name": "tutor"},
            "sourceRefs": [{"name": "chat-thumbs"}],
            "triggers": [{"name": "volume", "newSamples": {"atLeast": 500}}],
            "training": {
                "data": {"sourceRefs": [{"name": "chat-thumbs"}]},
                "method": run["method"],
                "output": run["output"],
            },
            "promotion": {"experiment": experiment_settings()},
            "serving": {
                "podTemplateRef": {"name": "tutor-server"},
                "port": 8080,
                "httpRoute": {"parentRefs": [{"name": "public"}]},
            },
        },
    )


BASES = {
    "FeedbackSource": feedback_source,
    "RetrainPolicy": retrain_policy,
    "TrainingRun": training_run,
    "ABExperiment": ab_experiment,
}


def changed(obj: Object, changes: dict[str, Any]) -> Object:
    """A copy with some fields set: the path `spec.ramp.steps.0.weightPercent` names one; ABSENT removes it.

    A path ending in `.+` appends to a list. Raises KeyError where the path leads nowhere.
    """
    result = copy.deepcopy(obj)
    for path, value in changes.items():
        *parents, last = path.split(".")
        place: Any = result
        for part in parents:
            place = place[int(part)] if isinstance(place, list) else place[part]
        if last == "+":
            place.append(value)
        elif isinstance(place, list):
            place[int(last)] = value
        elif value is ABSENT:
            del place[last]
        else:
            place[last] = value
    return result
