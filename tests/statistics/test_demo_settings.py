"""The demo's settings, run thousands of times: it promotes what is better, and seldom what is not."""

from __future__ import annotations

import math

import numpy as np
import pytest

from retrainer.ab_experiment.config import ExperimentConfig, Step
from retrainer.api.v1alpha1.ab_experiment import ExperimentReason as Reason
from retrainer.simulation.course import simulate
from retrainer.simulation.gate.row import alpha_bound
from retrainer.simulation.outcomes import Binary, Mirror, Moment, Rate, flat
from retrainer.simulation.results import Results
from retrainer.simulation.scenario import Scenario
from retrainer.simulation.worlds import always, experiment, guardrail, primary

DEMO = ExperimentConfig(
    steps=(Step(10, 40), Step(25, 60), Step(50, 200)),
    metrics=(primary(0.70, 0.10), guardrail(0.30, 0.05)),
    units_metric="likes",
    window_seconds=5,
    maturity_seconds=0,
    settle_seconds=1,
    minimum_duration_seconds=30,
    maximum_duration_seconds=600,
)
RUNS = 2000


def run(effect: float, base: Rate, seed: int, runs: int = RUNS) -> Results:
    """150 requests a window; dislikes are the opposite of likes."""
    return simulate(DEMO, Scenario((Binary(base, effect), Mirror()), always(150)), runs, seed)


def test_the_demos_candidate_is_promoted_within_two_minutes_in_nearly_every_run():
    ended = run(0.18, flat(0.70), seed=11)
    assert ended.share("PromoteCandidate") >= 0.99
    assert np.percentile(ended.seconds, 95) <= 120
    assert np.median(ended.seconds) <= 60


def test_an_effect_of_the_size_asked_for_is_found_with_the_power_asked_for():
    assert run(0.10, flat(0.70), seed=12).share("PromoteCandidate") >= 0.8


def moving(rate) -> Rate:
    """A base rate by the number of the window."""

    def of(moment: Moment) -> float:
        return rate(moment.window)

    return of


BASE_RATES = {
    "flat": flat(0.70),
    "drifting up while the weight rises": moving(lambda k: 0.5 + 0.4 * min(k, 120) / 120),
    "falling while the weight rises": moving(lambda k: 0.9 - 0.4 * min(k, 120) / 120),
    "a fast cycle": moving(lambda k: 0.70 + 0.2 * math.sin(k / 5)),
    "a jump just when the weight rises": moving(lambda k: 0.60 if k < 4 else 0.80),
    "rare successes": flat(0.05),
}


@pytest.mark.parametrize("base", BASE_RATES.values(), ids=BASE_RATES)
def test_a_candidate_without_any_effect_is_promoted_at_most_alpha_often(base):
    ended = run(0.0, base, seed=13)
    assert ended.share("PromoteCandidate") <= alpha_bound(0.05, RUNS)
    # Not vacuously: the procedure comes to an end on its own.
    assert ended.share("KeepBaseline") + ended.share("PromoteCandidate") + ended.share("Inconclusive") == 1


def test_a_slightly_worse_candidate_is_hardly_ever_promoted():
    assert run(-0.02, flat(0.70), seed=14).share("PromoteCandidate") <= alpha_bound(0.01, RUNS)


@pytest.mark.parametrize(("effect", "seconds"), [(-0.18, 46), (-0.45, 21)])
def test_a_bad_candidate_is_stopped_and_the_worse_it_is_the_sooner(effect, seconds):
    ended = run(effect, flat(0.70), seed=15, runs=1000)
    assert ended.share("KeepBaseline") == 1
    assert np.percentile(ended.seconds, 95) <= seconds


def test_a_harmless_candidate_is_seldom_stopped_as_harmful():
    ended = run(0.0, flat(0.70), seed=16)
    assert ended.because(Reason.PRIMARY_WORSE, Reason.GUARDRAIL_WORSE) <= alpha_bound(0.05, RUNS)


@pytest.mark.parametrize("ramp", ["50/50", "fast5", "slow5"])
def test_the_plan_foresees_about_as_many_units_as_the_procedure_takes(ramp):
    config = experiment(ramp, primary(), guardrail(0.90), windows=200)
    ended = simulate(config, Scenario((Binary(flat(0.10), 0.02), Mirror()), always()), 1000, seed=18)
    # Power .8: by then four runs in five are promoted.
    assert ended.share("PromoteCandidate") > 0.8
    assert ended.units_to("Better", 0.8) == pytest.approx(config.units_needed, rel=0.15)
