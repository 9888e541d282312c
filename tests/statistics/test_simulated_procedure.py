"""Whole simulated runs, told again by the operator's own functions: the same verdict, reason, second and unit."""

from __future__ import annotations

from dataclasses import replace

import pytest
from unit.simulation.retold import told_twice

from retrainer.ab_experiment.config import ExperimentConfig, Step
from retrainer.simulation.outcomes import Binary, Companion, Events, Mirror, Outcomes, flat
from retrainer.simulation.values import Normal, Ratings
from retrainer.simulation.worlds import cycling, drifting
from retrainer.statistics.metric import MetricPlan

LIKES = MetricPlan("likes", "Primary", "Increase", "Exclude", 0.08, 0.3, 0.05, 0.025, 0.8)
DISLIKES = MetricPlan("dislikes", "Guardrail", "Decrease", "Exclude", 0.06, 0.1, 0.05, 0.025, 0.8)
STARS = MetricPlan("stars", "Primary", "Increase", "Exclude", 0.05, 0.6, 0.05, 0.025, 0.8, "Bounded", 0.1)
LATENCY = MetricPlan("latency", "Guardrail", "Decrease", "Exclude", 30, 300, 0.05, 0.025, 0.8, "Unbounded")
ERRORS = MetricPlan("errors", "Guardrail", "Decrease", "Exclude", 0.5, 0.05, 0.05, 0.025, 0.8, "Events")
CONFIG = ExperimentConfig(
    steps=(Step(10, 30), Step(25, 60), Step(50, 50)),
    metrics=(LIKES, DISLIKES),
    units_metric="likes",
    window_seconds=10,
    maturity_seconds=0,
    settle_seconds=1,
    minimum_duration_seconds=60,
    maximum_duration_seconds=300,
)
SEEDS = range(4)

CASES: dict[str, tuple[ExperimentConfig, tuple[Outcomes, ...], float]] = {
    "a better candidate": (CONFIG, (Binary(cycling(0.3, 0.1), 0.08), Binary(flat(0.1))), 1.0),
    "a useless one": (CONFIG, (Binary(drifting(0.2, 0.4)), Binary(flat(0.1))), 1.0),
    "a harmful one": (CONFIG, (Binary(flat(0.3)), Binary(flat(0.1), 0.15)), 1.0),
    "dislikes are the opposite of likes": (CONFIG, (Binary(flat(0.3), 0.05), Mirror()), 1.0),
    "a split far off": (CONFIG, (Binary(flat(0.3), 0.08), Binary(flat(0.1))), 1.8),
    "votes missing": (
        CONFIG,
        (Binary(flat(0.3), 0.1, ((0.8, 0.7), (0.9, 0.9))), Companion(flat(0.1))),
        1.0,
    ),
    "outcomes counted late, slow gateways": (
        replace(CONFIG, maturity_seconds=33, settle_seconds=12),
        (Binary(flat(0.3), 0.08), Binary(flat(0.1))),
        1.0,
    ),
    "ratings, and latency as a guardrail": (
        replace(CONFIG, metrics=(STARS, LATENCY), units_metric="stars"),
        (Ratings((0.2, 0.2, 0.6), 0.05), Normal(flat(300), 1e4, 10)),
        1.0,
    ),
    "errors as a guardrail": (
        replace(CONFIG, metrics=(LIKES, ERRORS)),
        (Binary(flat(0.3), 0.1), Events(flat(0.05), 1.2)),
        1.0,
    ),
    "a canary": (
        replace(CONFIG, metrics=(DISLIKES, ERRORS), units_metric="dislikes"),
        (Binary(flat(0.1)), Events(flat(0.05))),
        1.0,
    ),
}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("config", "worlds", "odds"), CASES.values(), ids=CASES)
def test_a_run_ends_as_the_operators_own_functions_end_it(config, worlds, odds, seed):
    simulated, retold = told_twice(config, worlds, units=250, odds=odds, seed=seed)
    assert simulated == retold
