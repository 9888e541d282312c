"""Rows beyond the design's gate: other effects, late, missing and returning people, and what a unit is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from retrainer.ab_experiment.config import ExperimentConfig
from retrainer.simulation import tracks
from retrainer.simulation.course import simulate
from retrainer.simulation.gate.promises import (
    ALPHA_BOUND,
    AT_MOST_ALPHA,
    DISLIKED,
    RAMPED,
    RUNS,
    each,
    run,
)
from retrainer.simulation.gate.row import Measure, Row, Section, alpha_bound
from retrainer.simulation.outcomes import Binary, Companion, Moment, Rate, flat
from retrainer.simulation.results import Results
from retrainer.simulation.scenario import Scenario
from retrainer.simulation.values import People, Ratings
from retrainer.simulation.worlds import (
    ALPHA,
    RAMPS,
    WINDOWS,
    Ramp,
    always,
    cycling,
    experiment,
    guardrail,
    known_by,
    primary,
    returning,
)
from retrainer.statistics import power
from retrainer.statistics.metric import RESPONSE_EFFECT, RESPONSE_RATE, MetricPlan, Scale

Answered = tuple[tuple[float, float], tuple[float, float]]
FEWER = 2_000
"""Runs of a row that only explains."""


def _effect(multiple: float, seed: int) -> Row:
    """Share promoted on each ramp, and the median of units to any decision on the fast one."""

    def compute() -> list[float]:
        results = [
            run(experiment(ramp, primary(), guardrail()), flat(0.1), 0.02 * multiple, seed=seed) for ramp in RAMPED
        ]
        return [*(r.share("PromoteCandidate") for r in results), float(np.median(results[0].units))]

    text = f"{multiple:g} times the planned effect: promoted; median units to any decision, fast5"
    return Row(f"effect-{multiple:g}", text, (*each(RAMPED), Measure("units", "Units")), compute, RUNS)


def _answering(config: ExperimentConfig, base: Rate, effect: float, answered: Answered, seed: int) -> Results:
    """Likes and dislikes of the same people: who does not answer says neither."""
    outcomes = (Binary(base, effect, answered), Companion(flat(DISLIKED)))
    return simulate(config, Scenario(outcomes, always()), RUNS, seed)


def _at_random() -> Row:
    answered = ((0.8, 0.8), (0.8, 0.8))

    def compute() -> list[float]:
        config = [experiment(ramp, primary(), guardrail(), windows=125) for ramp in RAMPED]
        useless = [_answering(c, cycling(), 0.0, answered, 81).share("PromoteCandidate") for c in config]
        better = [_answering(c, flat(0.1), 0.02, answered, 82).share("PromoteCandidate") for c in config]
        return [*useless, *better]

    measures = (
        *each([f"{ramp}, no effect" for ramp in RAMPED], [ALPHA_BOUND] * 3),
        *each([f"{ramp}, +2 points" for ramp in RAMPED]),
    )
    text = "20 % missing at random (`Exclude`), 20,000 units with an outcome: promoted"
    return Row("missing-random", text, measures, compute, RUNS, f"no effect {AT_MOST_ALPHA}")


def _late(key: str, text: str, candidate: float, baseline: float, maturity: int, seed: int) -> Row:
    """Outcomes with exponential delays (mean seconds) of which those known by maturity count."""
    known = tuple((share, share) for share in (known_by(maturity, candidate), known_by(maturity, baseline)))

    def compute() -> list[float]:
        windows = round(WINDOWS / known[0][0])
        config = experiment("fast5", primary(), guardrail(), windows=windows, maturity_seconds=maturity)
        useless = _answering(config, cycling(), 0.0, (known[0], known[1]), seed)
        better = _answering(config, flat(0.1), 0.02, (known[0], known[1]), seed + 1)
        return [useless.share("PromoteCandidate"), better.share("PromoteCandidate"), float(np.median(better.units))]

    measures = (
        Measure("no effect", at_most=ALPHA_BOUND),
        Measure("+2 points"),
        Measure("units with an outcome", "Units"),
    )
    return Row(key, text, measures, compute, RUNS, f"no effect {AT_MOST_ALPHA}")


def _shown() -> Row:
    """The condition ResponseRate, by the bets of `statistics.metric` on votes among exposures."""

    def compute() -> list[float]:
        return [_ever_different(rates, 88 + i) for i, rates in enumerate(((0.8, 0.8), (0.75, 0.8), (0.7, 0.9)))]

    measures = (
        Measure("80 and 80 %:", at_most=ALPHA_BOUND),
        Measure("75 and 80 %:", at_least=0.97),
        Measure("70 and 90 %:", at_least=0.97),
    )
    text = "condition ResponseRate says Different within 20,000 exposures, fast5"
    return Row("response-shown", text, measures, compute, RUNS, "≤ 5 % + 3 s.e.; ≥ 97 %")


def _ever_different(rates: tuple[float, float], seed: int) -> float:
    """Two one-sided e-values of whether somebody answers, averaged."""
    plan = replace(primary(RESPONSE_RATE, RESPONSE_EFFECT), alpha=ALPHA)
    rng, bets, shown = np.random.default_rng(seed), tracks.start(plan, RUNS), np.zeros(RUNS, bool)
    for share in [0.05] + [0.25] * 3 + [0.5] * 96:
        moment = Moment(0, np.zeros(RUNS, int), np.full(RUNS, share))
        exposures = Scenario((), always()).exposures(rng, 0, moment.weight)
        answers = Binary(flat(rates[1]), rates[0] - rates[1]).draw(rng, exposures, moment)
        bets.add(moment.weight, answers, np.ones(RUNS, bool))
        shown |= np.logaddexp(*bets.evidence()[:, :2].T) - math.log(2) >= -math.log(ALPHA)
    return float(shown.mean())


def _late_dislikes() -> Row:
    """Who is content answers late: 60 % of the likes are known, 90 % of the rest, in both arms."""
    answered = ((0.6, 0.9), (0.6, 0.9))

    def compute() -> list[float]:
        config = experiment("slow5", primary(), guardrail())
        return [_answering(config, cycling(), 0.0, answered, 87).share("PromoteCandidate")]

    text = "60 % of the likes and 90 % of the rest are known in time, in both arms, slow5: promoted without effect"
    return Row("late-likes", text, each([""], [ALPHA_BOUND]), compute, RUNS, AT_MOST_ALPHA)


SCORES = (0.65, 0.15, 0.20)
"""A user's mean of two votes: both against, one of each, both for."""
MEAN = SCORES[1] / 2 + SCORES[2]
VARIANCE = SCORES[1] / 4 + SCORES[2] - MEAN**2


def _user_metric(effect: float) -> MetricPlan:
    return MetricPlan("likes", "Primary", "Increase", "Exclude", effect, MEAN, ALPHA, ALPHA, 0.8, "Bounded", VARIANCE)


def _returning() -> Row:
    """8,000 people, most of whom are seen early and are never new again."""
    planned = power.ramp_units(_user_metric(0.05).equal_split_units, _pairs(RAMPS["50/50"]))
    cut = power.step_units(_pairs(RAMPS["slow5"]), planned)
    shorter: Ramp = tuple((weight, units) for (weight, _), units in zip(RAMPS["slow5"], cut, strict=True))

    def compute() -> list[float]:
        asked = [_users(ramp, effect, 91) for ramp in (RAMPS["slow5"], shorter) for effect in (0.05, 0.0)]
        return [r.share("PromoteCandidate") for r in asked]

    measures = (
        Measure("slow5, +5 points"),
        Measure("slow5, no effect", at_most=ALPHA_BOUND),
        Measure("steps cut to a tenth, +5 points", at_least=0.8),
        Measure("steps cut to a tenth, no effect", at_most=ALPHA_BOUND),
    )
    text = "`User` units who come back, 7,000 new ones in all, two votes each: promoted"
    return Row("users-return", text, measures, compute, RUNS, f"no effect {AT_MOST_ALPHA}; ≥ 80 %")


def _pairs(ramp: Ramp) -> Sequence[tuple[float, int]]:
    return [(weight / 100, units) for weight, units in ramp]


def _users(ramp: Ramp, effect: float, seed: int) -> Results:
    scenario = Scenario((Ratings(SCORES, effect),), returning(users=8_000, visits=0.3), poisson=True)
    return simulate(experiment(ramp, _user_metric(0.05)), scenario, RUNS, seed)


def _alike(
    key: str, by: Literal["Request", "User"], counted: Literal["Votes", "Users"], seed: int, holds: bool
) -> Row:
    """Eight votes a window from people who are alike themselves."""
    scale: Scale = "Binary" if counted == "Votes" else "Bounded"
    variance = None if scale == "Binary" else 0.3 * 0.7 * (0.3 + 0.7 / 8)
    metric = MetricPlan("likes", "Primary", "Increase", "Exclude", 0.05, 0.3, ALPHA, ALPHA, 0.8, scale, variance)

    def compute() -> list[float]:
        people = People(0.3, 0.3, 8, by, counted)
        scenario = Scenario((people,), always(400), to_the_end=True)
        results = simulate(experiment("fast5", metric, windows=50), scenario, FEWER, seed)
        return [results.ever("Better"), results.alarms()]

    bound = alpha_bound(ALPHA, FEWER) if holds else np.inf
    what = "vote" if counted == "Votes" else "user"
    text = f"divided by {by.lower()}, every {what} counted once: Better; alarm of the split"
    measures = (Measure("Better", at_most=bound), Measure("alarm"))
    return Row(key, text, measures, compute, FEWER, "Better ≤ 5 % + 3 s.e." if holds else "")


SECTIONS = (
    Section(
        "Other effects than the planned one",
        "+2 points are planned; guardrail unchanged.",
        tuple(_effect(multiple, 101 + i) for i, multiple in enumerate((0.5, 0.75, 1.5, 2.5))),
    ),
    Section(
        "Late and missing outcomes",
        "Likes and dislikes of the same people; who does not answer in time says neither.",
        (
            _at_random(),
            _late("late", "answers come after 60 s (mean), counted after 120 s, fast5: promoted", 60, 60, 120, 83),
            _late("late-arm", "the candidate's after 90 s, counted after 60 s, fast5: promoted", 90, 60, 60, 85),
            _late_dislikes(),
            _shown(),
        ),
    ),
    Section(
        "What a unit is",
        "People who vote eight times in a window and are alike themselves (intraclass correlation 0.3), base rate "
        "30 %, no effect, 20,000 votes; and people who come back.",
        (
            _alike("unit-request", "Request", "Votes", 111, True),
            _alike("unit-user-votes", "User", "Votes", 112, False),
            _alike("unit-user", "User", "Users", 113, True),
            _returning(),
        ),
    ),
)
