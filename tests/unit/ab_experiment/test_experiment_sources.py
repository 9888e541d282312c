"""What an experiment's FeedbackSources must offer, each lack with its remedy, and what they tell before the start."""

from __future__ import annotations

from typing import Any

import pytest

from retrainer.ab_experiment.sources import misfit, planned, source_names
from retrainer.api.v1alpha1.ab_experiment import ABExperimentSpec

THUMBS = {"name": "vote", "from": "v", "thumbs": {"positive": ["1"], "negative": ["0"]}}
STARS = {"name": "stars", "from": "s", "rating": {"minimum": "1", "maximum": "5", "positiveFrom": "4"}}
RECORD = {"id": "i", "time": "t", "unit": "u", "model": "m", "qualities": [{"name": "latency", "from": "ms"}]}


def experiment(unit: str = "Request", **feedback: str) -> dict[str, Any]:
    given = {"sourceRef": {"name": "chat"}, **feedback}
    metric = {"name": "likes", "role": "Primary", "goal": "Increase", "source": {"feedback": given}}
    return {
        "baseline": {"serviceRef": {"name": "r3", "port": 80}, "model": {"revision": 3}},
        "candidate": {"serviceRef": {"name": "r4", "port": 80}, "model": {"revision": 4}},
        "traffic": {"policyRef": {"name": "tutor"}},
        "ramp": {"steps": [{"weightPercent": 50}]},
        "assignment": {"unit": unit},
        "metrics": [metric],
    }


def source(signals: tuple[Any, ...] = (THUMBS, STARS, {"name": "truth", "label": {}}), **record: Any) -> dict[str, Any]:
    kept = {k: v for k, v in (RECORD | record).items() if v is not None}
    return {"spec": {"record": kept, "signals": list(signals)}}


def problem(found: dict[str, Any] | None, unit: str = "Request", **feedback: str) -> str | None:
    spec = ABExperimentSpec.model_validate(experiment(unit, **feedback))
    return misfit(spec, {} if found is None else {"chat": found})


VOTE = {"signal": "vote", "value": "Positive"}
MISFITS: tuple[tuple[str, dict[str, Any] | None, str, dict[str, str], str], ...] = (
    ("no such source", None, "Request", VOTE, "FeedbackSource chat does not exist; create it or name another"),
    ("nobody says which model answered", source(model=None), "Request", VOTE,
     "FeedbackSource chat maps neither record.model nor record.variant"),
    ("users without a unit", source(unit=None), "User", VOTE,
     "maps no record.unit, so users cannot be told apart; map it or use unit: Request"),
    ("a name nearly right", source(), "Request", {**VOTE, "signal": "votes"},
     "has no signal votes; did you mean vote?"),
    ("a name like none", source(), "Request", {**VOTE, "signal": "x"}, "has no signal x; it has: vote, stars"),
    ("a label is no vote", source(), "Request", {**VOTE, "signal": "truth"},
     "signal truth has no votes; a metric needs thumbs or a rating"),
    ("a rating without disapproval", source(), "Request", {"signal": "stars", "value": "Negative"},
     "signal stars has no value Negative; set its rating.negativeUpTo"),
    ("a quality nearly right", source(), "Request", {"quality": "latncy"},
     "has no quality latncy; did you mean latency?"),
    ("no qualities at all", source(qualities=None), "Request", {"quality": "latency"},
     "has no quality latency; it has: none"),
)  # fmt: skip


@pytest.mark.parametrize(("sentence", "found", "unit", "feedback", "words"), MISFITS, ids=[m[0] for m in MISFITS])
def test_a_source_that_does_not_fit(
    sentence: str, found: dict[str, Any] | None, unit: str, feedback: dict[str, str], words: str
) -> None:
    said = problem(found, unit, **feedback)
    assert said is not None and words in said and said.endswith("(metric likes)")


@pytest.mark.parametrize(
    ("found", "unit", "feedback"),
    [
        (source(), "Request", VOTE),
        (source(), "User", VOTE),
        (source(model=None, variant="arm"), "Request", VOTE),
        (source(unit=None), "Request", {"signal": "vote", "value": "Score"}),
        (source(), "Request", {"signal": "stars", "value": "Positive"}),
        (source(), "Request", {"signal": "stars", "value": "Score"}),
        (source(), "Request", {"quality": "latency"}),
    ],
)
def test_a_source_that_fits(found: dict[str, Any], unit: str, feedback: dict[str, str]) -> None:
    assert problem(found, unit, **feedback) is None


def test_metrics_from_prometheus_name_no_source() -> None:
    obj = {"spec": experiment(**VOTE)}
    prometheus = {"url": "http://p:9090", "query": "errors_total"}
    errors = {"name": "errors", "role": "Guardrail", "goal": "Decrease", "margin": "0.5", "kind": "Events"}
    obj["spec"]["metrics"].append({**errors, "source": {"prometheus": prometheus}})
    assert source_names(obj) == ("chat",)
    assert misfit(ABExperimentSpec.model_validate(obj["spec"]), {"chat": source()}) is None


def plan(unit: str, counts: dict[str, int] | None, **feedback: str) -> tuple[dict[str, float], dict[str, float]]:
    found = source()
    if counts is not None:
        found["status"] = {"signals": [{"name": feedback.get("signal"), **counts}]}
    return planned(ABExperimentSpec.model_validate(experiment(unit, **feedback)), {"chat": found})


COUNTS = {"total": 10, "positive": 6, "neutral": 2, "negative": 2}


@pytest.mark.parametrize(
    ("sentence", "unit", "counts", "feedback", "mean", "variance"),
    [
        ("likes", "Request", COUNTS, VOTE, 0.6, 0.24),
        ("dislikes", "Request", COUNTS, {**VOTE, "value": "Negative"}, 0.2, 0.16),
        ("thumbs as a score", "Request", COUNTS, {**VOTE, "value": "Score"}, 0.7, 0.16),
        ("between users nothing is known", "User", COUNTS, VOTE, 0.6, None),
        ("likes of ratings", "Request", COUNTS, {"signal": "stars", "value": "Positive"}, 0.6, 0.24),
        ("scores of ratings are not counted", "Request", COUNTS, {"signal": "stars", "value": "Score"}, None, None),
        ("qualities are not counted", "Request", COUNTS, {"quality": "latency"}, None, None),
        ("no votes", "Request", {**COUNTS, "total": 0}, VOTE, None, None),
        ("not read yet", "Request", None, VOTE, None, None),
        ("all alike", "Request", {"total": 9, "positive": 9, "neutral": 0, "negative": 0}, VOTE, 1.0, None),
    ],
)
def test_what_is_known_before_the_start(
    sentence: str,
    unit: str,
    counts: dict[str, int] | None,
    feedback: dict[str, str],
    mean: float | None,
    variance: float | None,
) -> None:
    means, variances = plan(unit, counts, **feedback)
    assert means == ({} if mean is None else {"likes": pytest.approx(mean)}), sentence
    assert variances == ({} if variance is None else {"likes": pytest.approx(variance)}), sentence
