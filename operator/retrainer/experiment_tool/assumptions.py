"""What is assumed of each metric before the start: its rate and spread, as given, implied or unknown."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from retrainer.ab_experiment.config import ExperimentConfig, configure
from retrainer.api.v1alpha1.metrics import Metric
from retrainer.experiment_tool.failure import InputError
from retrainer.experiment_tool.subjects import Subject
from retrainer.statistics.metric import MetricPlan, Scale

Origin = Literal["Given", "Opposite", "Unknown"]

RATE, DEVIATION = "--rate", "--deviation"
_OPPOSITES = {"Positive": "Negative", "Negative": "Positive"}
_RANGES: Mapping[Scale, tuple[float, float]] = {
    "Binary": (0.0, 1.0),
    "Bounded": (0.0, 1.0),
    "Unbounded": (-1e12, 1e12),
    "Events": (1e-9, 1e6),
}
_EXAMPLES = {
    RATE: "for example --rate 0.82, or --rate dislikes=0.05 for one metric",
    DEVIATION: "for example --deviation latency=120",
}


@dataclass(frozen=True)
class Rate:
    """What a metric is expected to be without the candidate, and how we know.

    `Opposite`: 1 − the rate of the metric on the opposite votes of the same signal, the most that it can be.
    `Unknown`: what the operator takes where it knows nothing.
    """

    value: float
    origin: Origin


@dataclass(frozen=True)
class Assumptions:
    """By metric: its rate, and the variance of an outcome where that was given."""

    rates: Mapping[str, Rate]
    variances: Mapping[str, float]

    @property
    def known_rates(self) -> dict[str, float]:
        """The rates that are known; the operator's own defaults stand in for the others."""
        return {name: rate.value for name, rate in self.rates.items() if rate.origin != "Unknown"}


def assumptions(subject: Subject, rates: Sequence[str], deviations: Sequence[str]) -> Assumptions:
    """What is assumed; the arguments are VALUE (for the metric that decides) and METRIC=VALUE.

    Raises InputError for a metric that does not exist, a value outside the metric's range, or one given twice.
    """
    plans = {plan.name: plan for plan in configured(subject).metrics}
    known = {name: _rate(plans[name], text) for name, text in _by_metric(RATE, rates, plans).items()}
    spreads = {name: _spread(plans[name], text) for name, text in _by_metric(DEVIATION, deviations, plans).items()}
    assumed = {m.name: _assumed(m, subject.spec.metrics, plans[m.name], known) for m in subject.spec.metrics}
    return Assumptions(assumed, {name: spread**2 for name, spread in spreads.items()})


def configured(subject: Subject, assumed: Assumptions | None = None) -> ExperimentConfig:
    """What the operator makes of the spec; raises InputError with its complaint."""
    try:
        if assumed is None:
            return configure(subject.spec, {})
        return configure(subject.spec, assumed.known_rates, assumed.variances)
    except ValueError as error:
        raise InputError(f"{subject.title}: spec: {error}") from error


def _by_metric(option: str, given: Sequence[str], plans: Mapping[str, MetricPlan]) -> dict[str, str]:
    """The whole argument by metric; the first metric is the one that decides."""
    found: dict[str, str] = {}
    for text in given:
        name, separator, _ = text.rpartition("=")
        name = name if separator else next(iter(plans))
        if name not in plans:
            raise InputError(f"{option} {text}: there is no metric {name}; there is {', '.join(plans)}")
        if name in found:
            raise InputError(f"{option} {text}: {name} is given twice; give it once")
        found[name] = text
    return found


def _rate(plan: MetricPlan, text: str) -> float:
    low, high = _RANGES[plan.scale]
    return _number(RATE, plan, text, low, high)


def _spread(plan: MetricPlan, text: str) -> float:
    if plan.scale in ("Binary", "Events"):
        raise InputError(f"{DEVIATION} {text}: the spread of {plan.name} follows from its rate; leave it out")
    return _number(DEVIATION, plan, text, 1e-9, 0.5 if plan.scale == "Bounded" else 1e12)


def _number(option: str, plan: MetricPlan, text: str, low: float, high: float) -> float:
    value = text.rpartition("=")[2]
    try:
        number = float(value)
    except ValueError as error:
        raise InputError(f"{option} {text}: {value!r} is no number; {_EXAMPLES[option]}") from error
    if not (math.isfinite(number) and low <= number <= high):
        raise InputError(f"{option} {text}: of {plan.name} it must lie from {low:g} to {high:g}; {_EXAMPLES[option]}")
    return number


def _assumed(metric: Metric, metrics: Sequence[Metric], plan: MetricPlan, known: Mapping[str, float]) -> Rate:
    if metric.name in known:
        return Rate(known[metric.name], "Given")
    for other in metrics:
        if other.name in known and _opposite(metric, other):
            return Rate(round(1 - known[other.name], 12), "Opposite")
    return Rate(plan.rate, "Unknown")


def _opposite(metric: Metric, other: Metric) -> bool:
    mine, theirs = metric.source.feedback, other.source.feedback
    if mine is None or theirs is None or mine.value is None:
        return False
    same = (mine.source_ref, mine.signal) == (theirs.source_ref, theirs.signal)
    return same and _OPPOSITES.get(mine.value) == theirs.value
