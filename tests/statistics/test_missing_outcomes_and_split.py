"""Missing outcomes and broken splits, simulated with fixed seeds: formulas 4 and 5 keep their promises."""

from __future__ import annotations

import math

import numpy as np

from retrainer.statistics import events, overlap
from retrainer.statistics.mantel_haenszel import stratum_score
from retrainer.statistics.metric import MetricPlan
from retrainer.statistics.overlap import Score
from retrainer.statistics.sample_ratio import ALARM, SCALE
from retrainer.statistics.sums import binary

PLAN = MetricPlan("likes", "Primary", "Increase", "Exclude", 0.02, 0.10, 0.05, 0.025, 0.8)
RUNS = 400
WINDOWS = [0.05] * 10 + [0.25] * 10 + [0.5] * 20
UNITS = 500


def ever_better(effect: float, responses: tuple[float, float], seed: int) -> float:
    """Share of runs in which Better is ever shown; arms respond at different rates (candidate, baseline)."""
    rng = np.random.default_rng(seed)
    return float(np.mean([_shows_better(rng, effect, responses) for _ in range(RUNS)]))


def _shows_better(rng: np.random.Generator, effect: float, responses: tuple[float, float]) -> bool:
    total, candidate, baseline = Score(), binary(0, 0), binary(0, 0)
    for number, weight in enumerate(WINDOWS):
        base = 0.10 + 0.03 * math.sin(number / 4)
        n1 = int(rng.binomial(UNITS, weight))
        answered = [int(rng.binomial(n, r)) for n, r in zip((n1, UNITS - n1), responses, strict=True)]
        arms = [binary(int(rng.binomial(n, rate)), n) for n, rate in zip(answered, (base + effect, base), strict=True)]
        total = total + stratum_score(*arms)
        candidate, baseline = candidate + arms[0], baseline + arms[1]
        if overlap.burnt_in(candidate, baseline):
            evidence = overlap.log_evidence(total, 0.0, PLAN.alpha, PLAN.planned_variance)
            if evidence >= -math.log(PLAN.alpha):
                return True
    return False


def test_different_response_rates_with_equal_quality_show_better_at_most_alpha_often():
    share = ever_better(0.0, (0.7, 0.9), seed=21)
    assert share <= PLAN.alpha + 3 * math.sqrt(PLAN.alpha * (1 - PLAN.alpha) / RUNS)


def test_a_real_gain_shows_in_spite_of_missing_outcomes():
    assert ever_better(0.03, (0.8, 0.8), seed=22) >= 0.9


def splits(odds: float, seed: int) -> np.ndarray:
    """Largest e-value of each run within 20,000 units over a fast ramp whose split is off by `odds`."""
    rng = np.random.default_rng(seed)
    blend = events.mixture(SCALE, "Both")
    candidate, totals = np.zeros(2000), {w: np.zeros(2000) for w in (0.05, 0.25, 0.5)}
    largest = np.full(2000, -np.inf)
    for weight in [0.05] + [0.25] * 3 + [0.50] * 36:
        ratio = odds * weight / (1 - weight)
        candidate += rng.binomial(500, ratio / (1 + ratio), 2000)
        totals[weight] = totals[weight] + 500
        largest = np.maximum(largest, events.log_evidence(candidate, totals, blend))
    return largest


def test_a_split_off_by_odds_of_one_point_one_is_found_within_twenty_thousand_units():
    assert np.mean(splits(1.1, seed=23) >= math.log(ALARM)) >= 0.98


def test_a_fair_split_hardly_ever_alarms_though_it_is_looked_at_all_the_time():
    assert np.mean(splits(1.0, seed=24) >= math.log(ALARM)) <= 0.002
