"""What a metric is tested for: the few nulls that its verdicts (and the coverage of its interval) hang on."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from retrainer.simulation.sums import Bools, Codes, Floats
from retrainer.statistics.metric import MetricPlan

VERDICTS = ("Undecided", "Better", "Worse", "TooSmall", "NotWorse")
"""Verdicts by their code."""
UNDECIDED, BETTER, WORSE, TOO_SMALL, NOT_WORSE = range(5)


@dataclass(frozen=True)
class Null:
    """A hypothesis: sign +1 rejects "the effect is at most δ", −1 "at least δ", each at its error budget.

    δ is turned so that larger is better; of events it is ln of the rate ratio. `verdict` is the code of what the
    rejection proves, UNDECIDED for a null that is only watched.
    """

    delta: float
    sign: float
    level: float
    verdict: int


def nulls_of(plan: MetricPlan, truth: float | None = None) -> tuple[Null, ...]:
    """The nulls of a metric, in the order in which `verdicts.find` asks; the two ends of the interval at the true
    effect come last, if `truth` is given."""
    nulls = _of_events(plan) if plan.scale == "Events" else _of_outcomes(plan)
    return nulls if truth is None else (*nulls, *_ends(plan, truth))


def bars(nulls: tuple[Null, ...]) -> Floats:
    """ln of the e-value at which each null is rejected: (nulls,)."""
    return np.array([-math.log(null.level) for null in nulls])


def watched(nulls: tuple[Null, ...]) -> bool:
    """Whether the last two are the ends of the interval."""
    return nulls[-1].verdict == UNDECIDED


def verdicts(nulls: tuple[Null, ...], rejected: Bools) -> Codes:
    """The verdict in every run, from what is rejected (runs, nulls): the first null in their order."""
    codes = np.full(len(rejected), UNDECIDED, np.int8)
    for i in reversed(range(len(nulls))):
        if nulls[i].verdict != UNDECIDED:
            codes[rejected[:, i]] = nulls[i].verdict
    return codes


def _of_outcomes(plan: MetricPlan) -> tuple[Null, ...]:
    if plan.role == "Guardrail":
        return (
            Null(-plan.effect, 1.0, plan.alpha, NOT_WORSE),
            Null(-plan.effect / 2, -1.0, plan.alpha_worse, WORSE),
        )
    return (
        Null(0.0, 1.0, plan.alpha, BETTER),
        Null(0.0, -1.0, plan.alpha_worse, WORSE),
        Null(plan.effect, -1.0, plan.alpha_small, TOO_SMALL),
    )


def _of_events(plan: MetricPlan) -> tuple[Null, ...]:
    return (
        Null(math.log1p(plan.effect), -1.0, plan.alpha, NOT_WORSE),
        Null(0.0, 1.0, plan.alpha_worse, WORSE),
    )


def _ends(plan: MetricPlan, truth: float) -> tuple[Null, ...]:
    if plan.scale == "Events":
        return Null(truth, 1.0, plan.alpha_worse, UNDECIDED), Null(truth, -1.0, plan.alpha, UNDECIDED)
    upper = plan.alpha_worse if plan.role == "Guardrail" or truth <= 0 else plan.alpha_small
    return Null(truth, 1.0, plan.alpha, UNDECIDED), Null(truth, -1.0, upper, UNDECIDED)
