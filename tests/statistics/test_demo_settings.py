"""The demo's settings, run thousands of times: it promotes what is better, and seldom what is not."""

from __future__ import annotations

import math

import numpy as np
import pytest
from unit.ab_experiment.procedure import Setting, planned, simulate

DEMO = Setting()
RUNS = 2000


def at_most(alpha: float, runs: int) -> float:
    """The bound plus three standard errors of the simulation."""
    return alpha + 3 * math.sqrt(alpha * (1 - alpha) / runs)


def test_the_demos_candidate_is_promoted_within_two_minutes_in_nearly_every_run():
    ended = simulate(DEMO, 0.18, lambda _: 0.70, RUNS, seed=11)
    assert ended.share("PromoteCandidate") >= 0.99
    assert np.percentile(ended.seconds, 95) <= 120
    assert np.median(ended.seconds) <= 60


def test_an_effect_of_the_size_asked_for_is_found_with_the_power_asked_for():
    ended = simulate(DEMO, 0.10, lambda _: 0.70, 1000, seed=12)
    assert ended.share("PromoteCandidate") >= 0.8


BASE_RATES = {
    "flat": lambda k: 0.70,
    "drifting up while the weight rises": lambda k: 0.5 + 0.4 * min(k, 120) / 120,
    "falling while the weight rises": lambda k: 0.9 - 0.4 * min(k, 120) / 120,
    "a fast cycle": lambda k: 0.70 + 0.2 * math.sin(k / 5),
    "a jump just when the weight rises": lambda k: 0.60 if k < 4 else 0.80,
    "rare successes": lambda k: 0.05,
}


@pytest.mark.parametrize("base", BASE_RATES.values(), ids=BASE_RATES)
def test_a_candidate_without_any_effect_is_promoted_at_most_alpha_often(base):
    ended = simulate(DEMO, 0.0, base, RUNS, seed=13)
    assert ended.share("PromoteCandidate") <= at_most(DEMO.alpha, RUNS)
    # Not vacuously: the procedure comes to an end on its own.
    assert ended.share("KeepBaseline") + ended.share("PromoteCandidate") + ended.share("Inconclusive") == 1


def test_a_slightly_worse_candidate_is_hardly_ever_promoted():
    ended = simulate(DEMO, -0.02, lambda _: 0.70, RUNS, seed=14)
    assert ended.share("PromoteCandidate") <= at_most(0.01, RUNS)


@pytest.mark.parametrize(("effect", "seconds"), [(-0.18, 45), (-0.45, 20)])
def test_a_bad_candidate_is_stopped_and_the_worse_it_is_the_sooner(effect, seconds):
    ended = simulate(DEMO, effect, lambda _: 0.70, 1000, seed=15)
    assert ended.share("KeepBaseline") == 1
    assert np.percentile(ended.seconds, 95) <= seconds


def test_a_harmless_candidate_is_seldom_stopped_as_harmful():
    ended = simulate(DEMO, 0.0, lambda _: 0.70, RUNS, seed=16)
    harmful = np.isin(ended.reasons, ["PrimaryWorse", "GuardrailWorse"]).mean()
    assert harmful <= at_most(DEMO.alpha, RUNS)


FAST5 = Setting(
    steps=((5, 10), (25, 250), (50, 100)),
    effect=0.02,
    margin=0.02,
    planned_rate=0.10,
    window_units=200,
    window_seconds=1,
    minimum_seconds=0,
    maximum_seconds=100,
)


def test_a_small_effect_on_a_rare_outcome_is_found_within_twenty_thousand_units():
    ended = simulate(FAST5, 0.02, lambda _: 0.10, 500, seed=17)
    assert ended.share("PromoteCandidate") >= 0.92


def test_the_plan_foresees_about_as_many_units_as_the_procedure_takes():
    ended = simulate(FAST5, 0.02, lambda _: 0.10, 500, seed=18)
    # Power .8: four runs in five have ended by then.
    assert np.percentile(ended.units, 80) == pytest.approx(planned(FAST5), rel=0.25)
