"""The forecast of one ABExperiment: every case, canaries, and questions that make no sense."""

from __future__ import annotations

from dataclasses import replace

import pytest

from retrainer.ab_experiment.config import configure
from retrainer.api.v1alpha1.ab_experiment import ABExperimentSpec
from retrainer.simulation.forecast import coarser, forecast
from retrainer.simulation.outcomes import Binary, Events
from retrainer.simulation.values import Normal, Ratings


def feedback(name: str, role: str, goal: str, value: str, **more) -> dict:
    source = {"feedback": {"sourceRef": {"name": "chat"}, "signal": "thumbs", "value": value}}
    return {"name": name, "role": role, "goal": goal, "source": source, **more}


LIKES = feedback("likes", "Primary", "Increase", "Positive")
DISLIKES = feedback("dislikes", "Guardrail", "Decrease", "Negative", margin="0.1")
ERRORS = {
    "name": "errors",
    "role": "Guardrail",
    "goal": "Decrease",
    "margin": "0.5",
    "kind": "Events",
    "source": {"prometheus": {"url": "http://prometheus:9090", "query": "errors_total"}},
}


def spec(*metrics: dict, **more) -> ABExperimentSpec:
    return ABExperimentSpec.model_validate(
        {
            "baseline": {"serviceRef": {"name": "one", "port": 80}, "model": {"revision": "1"}},
            "candidate": {"serviceRef": {"name": "two", "port": 80}, "model": {"revision": "2"}},
            "traffic": {"policyRef": {"name": "tutor"}},
            "ramp": {"steps": [{"weightPercent": 10}, {"weightPercent": 50}]},
            "metrics": list(metrics),
            "minimumDetectableEffect": "0.1",
            "windowSeconds": 14_400,
            "maximumDurationSeconds": 432_000,
            **more,
        }
    )


def test_a_better_candidate_is_promoted_in_the_forecast_and_a_useless_one_seldom():
    rates = {"likes": 0.6, "dislikes": 0.2}
    seen = forecast(spec(LIKES, DISLIKES), rates, 2000, runs=60, multiples=(0.0, 1.0, 1.5))
    names = [case.name for case in seen.cases]
    wanted = ["no effect", "planned effect", "1.5 × planned effect", "guardrail harmed by 1.5 margins"]
    assert names == wanted
    assert seen.false_promotion <= 0.15 < 0.7 <= seen.power
    assert seen.case(names[-1]).promoted <= 0.05
    for case in seen.cases:
        assert sum(case.reasons.values()) == pytest.approx(1)
        assert case.promoted + case.kept + case.inconclusive == pytest.approx(1)
        assert 0 < case.days_median <= case.days_90_percent <= 5
    with pytest.raises(KeyError):
        seen.case("no such case")


def test_a_canary_is_forecast_by_the_harm_that_it_must_not_miss():
    seen = forecast(spec(DISLIKES, mode="Canary"), {"dislikes": 0.2}, 2000, runs=60)
    assert [case.name for case in seen.cases] == ["harmed by the margin", "unchanged", "harmed by 1.5 margins"]
    assert seen.false_promotion <= 0.15 < 0.7 <= seen.power


def test_the_same_seed_gives_the_same_forecast():
    asked = {"rates": {"likes": 0.6}, "units_per_day": 500, "runs": 20, "multiples": (1.0,)}
    assert forecast(spec(LIKES), seed=3, **asked) == forecast(spec(LIKES), seed=3, **asked)


def test_nobody_coming_is_an_error():
    with pytest.raises(ValueError, match="units per day must be above 0"):
        forecast(spec(LIKES), {}, 0)


def test_an_experiment_of_many_windows_is_simulated_with_longer_ones():
    config = configure(spec(LIKES, windowSeconds=300, maximumDurationSeconds=1_209_600), {})
    assert config.maximum_duration_seconds / config.window_seconds > 4000
    longer = coarser(config, looks=200)
    assert longer.maximum_duration_seconds / longer.window_seconds <= 200
    assert replace(longer, window_seconds=config.window_seconds) == config


def test_every_scale_has_people_to_simulate():
    from retrainer.simulation.forecast import world

    stars = feedback("stars", "Guardrail", "Increase", "Score", margin="0.05")
    latency = {
        "name": "latency",
        "role": "Guardrail",
        "goal": "Decrease",
        "margin": "20",
        "source": {"feedback": {"sourceRef": {"name": "chat"}, "quality": "latency"}},
    }
    rates = {"likes": 0.6, "stars": 0.7, "latency": 400.0, "errors": 0.02}
    config = configure(spec(LIKES, stars, latency, ERRORS), rates, {"stars": 0.1, "latency": 250.0**2})
    kinds = [type(outcomes) for outcomes in world(config, 0.1, 1.0, 100).outcomes]
    assert kinds == [Binary, Ratings, Normal, Events]
    assert world(config, 0.1, 1.0, 100).outcomes[1].effect == pytest.approx(-0.05)
