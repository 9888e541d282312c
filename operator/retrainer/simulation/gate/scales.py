"""Rows on the other scales: ratings, latencies, events, canaries; and whether intervals hold the truth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np

from retrainer.api.v1alpha1.ab_experiment import ExperimentReason as Reason
from retrainer.simulation.course import simulate
from retrainer.simulation.gate.people import FEWER
from retrainer.simulation.gate.promises import ALPHA_BOUND, AT_MOST_ALPHA, DISLIKED, RUNS, each
from retrainer.simulation.gate.row import Measure, Row, Section, alpha_bound
from retrainer.simulation.outcomes import Binary, Events, Outcomes, flat
from retrainer.simulation.results import Results
from retrainer.simulation.scenario import Scenario
from retrainer.simulation.values import Bursts, Lognormal, Ratings
from retrainer.simulation.worlds import ALPHA, always, cycling, drifting, experiment, guardrail, primary
from retrainer.statistics.metric import MetricPlan, Scale

STARS = (0.10, 0.10, 0.20, 0.30, 0.30)
"""Probabilities of one to five stars."""
STEPS = np.linspace(0, 1, len(STARS))
STARS_MEAN = float(STEPS @ STARS)
STARS_VARIANCE = float(STEPS**2 @ STARS) - STARS_MEAN**2
LATENCY = 400.0
SIGMA = 0.7
Goal = Literal["Increase", "Decrease"]


def _primary(name: str, goal: Goal, scale: Scale, effect: float, rate: float, variance: float) -> MetricPlan:
    return MetricPlan(name, "Primary", goal, "Exclude", effect, rate, ALPHA, ALPHA, 0.8, scale, variance)


def _guardrail(name: str, scale: Scale, margin: float, rate: float, guardrails: int = 1) -> MetricPlan:
    worse = ALPHA / (1 + guardrails)
    return MetricPlan(name, "Guardrail", "Decrease", "Exclude", margin, rate, ALPHA, worse, 0.8, scale)


def _alone(metric: MetricPlan, outcomes: Outcomes, ramp: str, seed: int, runs: int = RUNS) -> Results:
    return simulate(experiment(ramp, metric), Scenario((outcomes,), always()), runs, seed)


def _ratings() -> Row:
    stars = _primary("stars", "Increase", "Bounded", 0.02, STARS_MEAN, STARS_VARIANCE)

    def compute() -> list[float]:
        shift = drifting(-0.05, 0.05)
        useless = [_alone(stars, Ratings(STARS, 0.0, shift), ramp, 121) for ramp in ("fast5", "slow5")]
        better = [_alone(stars, Ratings(STARS, 0.02, shift), ramp, 122) for ramp in ("fast5", "slow5")]
        return [r.share("PromoteCandidate") for r in (*useless, *better)]

    labels = ["fast5, no effect", "slow5, no effect", "fast5, +d", "slow5, +d"]
    measures = (*each(labels[:2], [ALPHA_BOUND] * 2), *each(labels[2:]))
    text = "1 to 5 stars, d = 0.02 of the scale, mean drifting by 0.1: promoted"
    return Row("ratings", text, measures, compute, RUNS, f"no effect {AT_MOST_ALPHA}")


def _latency(key: str, sigma: float, seed: int) -> Row:
    variance = LATENCY**2 * math.expm1(sigma**2)
    metric = _primary("latency", "Decrease", "Unbounded", 20.0, LATENCY, variance)

    def compute() -> list[float]:
        mean = cycling(LATENCY, LATENCY / 4)
        worlds = [("fast5", 0.0), ("slow5", 0.0), ("fast5", -20 / LATENCY)]
        return [
            _alone(metric, Lognormal(mean, sigma, effect), ramp, seed, FEWER).share("PromoteCandidate")
            for ramp, effect in worlds
        ]

    bound = alpha_bound(ALPHA, FEWER)
    measures = (*each(["fast5, no effect", "slow5, no effect"], [bound] * 2), Measure("fast5, −20 ms"))
    text = f"latency to reduce by 20 of 400 ms, lognormal (σ = {sigma:g}), daily cycle: promoted"
    return Row(key, text, measures, compute, FEWER, f"no effect {AT_MOST_ALPHA}")


def _latency_guardrail() -> Row:
    latency = _guardrail("latency", "Unbounded", 20.0, LATENCY)

    def stopped(slower: float, seed: int) -> Results:
        outcomes = (Binary(flat(0.1), 0.02), Lognormal(flat(LATENCY), SIGMA, slower / LATENCY))
        return simulate(experiment("fast5", primary(), latency), Scenario(outcomes, always()), FEWER, seed)

    def compute() -> list[float]:
        fine, half, slow = stopped(0, 131), stopped(10, 132), stopped(40, 133)
        shares = [r.because(Reason.GUARDRAIL_WORSE) for r in (fine, half, slow)]
        return [fine.share("PromoteCandidate"), *shares]

    measures = (
        Measure("as fast: promoted"),
        Measure("as fast: stopped", at_most=0.025),
        Measure("10 ms slower: stopped", at_most=alpha_bound(0.025, FEWER)),
        Measure("40 ms slower: stopped", at_least=0.95),
    )
    text = "latency as a guardrail, margin 20 of 400 ms, variance not planned; likes +2 points, fast5"
    return Row("latency-guardrail", text, measures, compute, FEWER, "stopped ≤ 2.5 % (+ 3 s.e.); ≥ 95 %")


def _events() -> Row:
    def compute() -> list[float]:
        results = [_with_errors(ratio, 141 + i) for i, ratio in enumerate((1.0, 1.5, 2.0))]
        return [
            results[0].share("PromoteCandidate"),
            results[0].because(Reason.GUARDRAIL_WORSE),
            results[1].share("PromoteCandidate"),
            results[2].because(Reason.GUARDRAIL_WORSE),
            results[2].units_to("Worse", 0.5, metric=1),
        ]

    measures = (
        Measure("as many: promoted"),
        Measure("as many: stopped", at_most=alpha_bound(0.025, RUNS)),
        Measure("half as many again: promoted", at_most=ALPHA_BOUND),
        Measure("twice as many: stopped", at_least=0.97),
        Measure("median units", "Units"),
    )
    text = "errors at 2 %, margin 0.5, error rate with a daily cycle; likes +2 points, fast5"
    target = f"stopped ≤ 2.5 % + 3 s.e.; promoted {AT_MOST_ALPHA}; ≥ 97 %"
    return Row("events", text, measures, compute, RUNS, target)


def _with_errors(ratio: float, seed: int) -> Results:
    outcomes = (Binary(flat(0.1), 0.02), Events(cycling(0.02, 0.01), ratio))
    config = experiment("fast5", primary(), _guardrail("errors", "Events", 0.5, 0.02))
    return simulate(config, Scenario(outcomes, always()), RUNS, seed)


def _bursts() -> Row:
    """Two users in a hundred see errors, eight each."""

    def compute() -> list[float]:
        return [_alarm_of_bursts("Errors", 0.16, 151), _alarm_of_bursts("Users", 0.02, 152)]

    measures = (Measure("errors counted"), Measure("users with an error counted", at_most=alpha_bound(0.025, FEWER)))
    text = "errors in bursts (2 % of the users see 8 each), as many in both arms: ever Worse"
    return Row("bursts", text, measures, compute, FEWER, "users ≤ 2.5 % + 3 s.e.", "errors 46 %")


def _alarm_of_bursts(counted: str, rate: float, seed: int) -> float:
    outcomes = (Binary(flat(0.1)), Bursts(0.02, 8.0, "Errors" if counted == "Errors" else "Users"))
    config = experiment("fast5", primary(), _guardrail("errors", "Events", 0.5, rate))
    return simulate(config, Scenario(outcomes, always(), to_the_end=True), FEWER, seed).ever("Worse", metric=1)


def _canary() -> Row:
    metrics = (guardrail(guardrails=2), _guardrail("errors", "Events", 0.5, 0.02, guardrails=2))

    def promoted(harm: float, ratio: float, seed: int) -> Results:
        outcomes = (Binary(flat(DISLIKED), harm), Events(flat(0.02), ratio))
        return simulate(experiment("fast5", *metrics), Scenario(outcomes, always()), RUNS, seed)

    def compute() -> list[float]:
        fine, disliked, failing = promoted(0.0, 1.0, 161), promoted(0.02, 1.0, 162), promoted(0.0, 1.5, 163)
        return [r.share("PromoteCandidate") for r in (fine, disliked, failing)]

    measures = (
        Measure("harmless", at_least=0.85),
        Measure("disliked by the margin", at_most=ALPHA_BOUND),
        Measure("failing by the margin", at_most=ALPHA_BOUND),
    )
    text = "canary with dislikes (5 %, margin 2 points) and errors (2 %, margin 0.5), fast5: promoted"
    return Row("canary", text, measures, compute, RUNS, f"≥ 85 %; {AT_MOST_ALPHA}")


def _interval(key: str, effect: float, ramp: str, seed: int) -> Row:
    """Every look of 20,000 units; both ends of the primary's interval and both of the guardrail's."""

    def compute() -> Sequence[float]:
        outcomes = (Binary(cycling(), effect), Binary(flat(DISLIKED), 0.0))
        scenario = Scenario(outcomes, always(), truths=(effect, 0.0), to_the_end=True)
        results = simulate(experiment(ramp, primary(), guardrail()), scenario, FEWER, seed)
        return [float(x) for x in results.missed.mean(axis=0).ravel()]

    budgets = (ALPHA, ALPHA / 2, ALPHA, ALPHA / 2)
    labels = ("primary, lower end", "upper end", "guardrail, lower end", "upper end")
    measures = each(labels, [alpha_bound(b, FEWER) for b in budgets])
    points = f"{effect * 100:+g}".replace("-", "−") if effect else "0"
    text = f"effect {points} points, daily cycle, {ramp}: an end ever on the wrong side of the true effect"
    return Row(key, text, measures, compute, FEWER, "≤ 5 / 2.5 / 5 / 2.5 % + 3 s.e.")


SECTIONS = (
    Section("Ratings and latencies", "", (_ratings(), _latency("latency", SIGMA, 125), _latency_guardrail())),
    Section("Errors and canaries", "", (_events(), _bursts(), _canary())),
    Section(
        "Intervals",
        "At every look, to the end of 20,000 units; the guardrail's interval is turned so that larger is better.",
        (
            _interval("interval-better", 0.02, "slow5", 171),
            _interval("interval-same", 0.0, "fast5", 172),
            _interval("interval-worse", -0.01, "slow10", 173),
        ),
    ),
)
