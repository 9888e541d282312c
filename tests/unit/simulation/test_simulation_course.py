"""The course of a simulated experiment is the operator's: which windows count, when the weight rises, how it ends."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from unit.simulation.retold import told_twice

from retrainer.ab_experiment.config import ExperimentConfig, Step
from retrainer.simulation.course import simulate
from retrainer.simulation.outcomes import Binary, flat
from retrainer.simulation.scenario import Scenario
from retrainer.statistics.metric import MetricPlan

LIKES = MetricPlan("likes", "Primary", "Increase", "Exclude", 0.08, 0.3, 0.05, 0.025, 0.8)
DISLIKES = MetricPlan("dislikes", "Guardrail", "Decrease", "Exclude", 0.06, 0.1, 0.05, 0.025, 0.8)
CONFIG = ExperimentConfig(
    steps=(Step(10, 30), Step(25, 60), Step(50, 50)),
    metrics=(LIKES, DISLIKES),
    units_metric="likes",
    window_seconds=10,
    maturity_seconds=0,
    settle_seconds=1,
    minimum_duration_seconds=60,
    maximum_duration_seconds=200,
)


@pytest.mark.parametrize(
    ("maturity", "settle", "effect", "harm", "odds"),
    [(0, 1, 0.1, 0.0, 1.0), (25, 1, 0.1, 0.0, 1.0), (30, 12, 0, 0, 1.0), (0, 30, 0.05, 0.1, 1.0), (7, 1, 0.1, 0, 1.7)],
)
def test_a_run_ends_as_the_operators_own_functions_end_it(maturity, settle, effect, harm, odds):
    config = replace(CONFIG, maturity_seconds=maturity, settle_seconds=settle)
    worlds = Binary(flat(0.3), effect), Binary(flat(0.1), harm)
    simulated, retold = told_twice(config, worlds, units=200, odds=odds, seed=1)
    assert simulated == retold


def test_the_same_seed_gives_the_same_runs_and_another_seed_others():
    world = Scenario((Binary(flat(0.3), 0.08), Binary(flat(0.1))), lambda _: 130)
    first, again, other = (simulate(CONFIG, world, 50, seed) for seed in (1, 1, 2))
    assert np.array_equal(first.units, again.units) and np.array_equal(first.actions, again.actions)
    assert not np.array_equal(first.units, other.units)


def test_a_scenario_must_describe_every_metric():
    with pytest.raises(ValueError, match="1 metrics, the config 2"):
        simulate(CONFIG, Scenario((Binary(flat(0.3)),), lambda _: 130), 1, 1)


def test_runs_watched_to_the_end_end_as_they_would_unwatched():
    world = Scenario((Binary(flat(0.3), 0.1), Binary(flat(0.1))), lambda _: 200)
    to_the_end = simulate(CONFIG, replace(world, to_the_end=True), 60, 3)
    assert len(set(to_the_end.units)) > 1
    assert to_the_end.ever("Better") >= to_the_end.share("PromoteCandidate") > 0.3
    assert to_the_end.units_to("Better", 0.3) <= max(to_the_end.units)
