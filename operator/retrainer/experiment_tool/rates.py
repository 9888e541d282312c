"""The planned rate of each metric: as given, as another rate implies it, or unknown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from retrainer.ab_experiment.config import DEFAULT_RATE
from retrainer.api.v1alpha1.ab_experiment import ABExperimentSpec
from retrainer.api.v1alpha1.metrics import Metric
from retrainer.experiment_tool.failure import InputError

Origin = Literal["Given", "Opposite", "Unknown"]

OPTION = "--rate"
_EXAMPLES = "for example --rate 0.82, or --rate dislikes=0.05 for one metric"
_OPPOSITES = {"Positive": "Negative", "Negative": "Positive"}


@dataclass(frozen=True)
class PlannedRate:
    """What a metric is expected to be without the candidate, and how we know.

    `Opposite`: 1 − the rate of the metric on the opposite votes of the same signal, the most that it can be.
    `Unknown`: as cautious as the operator is, ½.
    """

    value: float
    origin: Origin


def planned_rates(spec: ABExperimentSpec, given: Sequence[str]) -> dict[str, PlannedRate]:
    """The rate of every metric; `given` are VALUE (for the metric that decides) and METRIC=VALUE.

    Raises InputError for a metric that does not exist, a rate outside the metric's range, or one given twice.
    """
    known = _parsed(spec, given)
    return {metric.name: _planned(metric, spec.metrics, known) for metric in spec.metrics}


def values(rates: Mapping[str, PlannedRate]) -> dict[str, float]:
    """The rates that are known; the operator's own defaults stand in for the others."""
    return {name: rate.value for name, rate in rates.items() if rate.origin != "Unknown"}


def leading(spec: ABExperimentSpec) -> Metric:
    """The metric that decides; of a Canary, which has none, the first."""
    return next((m for m in spec.metrics if m.role == "Primary"), spec.metrics[0])


def _parsed(spec: ABExperimentSpec, given: Sequence[str]) -> dict[str, float]:
    known: dict[str, float] = {}
    metrics = {metric.name: metric for metric in spec.metrics}
    for text in given:
        name, separator, value = text.rpartition("=")
        name = name if separator else leading(spec).name
        if name not in metrics:
            raise InputError(f"{OPTION} {text}: there is no metric {name}; there is {', '.join(metrics)}")
        if name in known:
            raise InputError(f"{OPTION} {text}: the rate of {name} is given twice; give it once")
        known[name] = _number(metrics[name], text, value)
    return known


def _number(metric: Metric, text: str, value: str) -> float:
    try:
        number = float(value)
    except ValueError as error:
        raise InputError(f"{OPTION} {text}: {value!r} is no number; {_EXAMPLES}") from error
    low, high = _range(metric)
    if not low <= number <= high:
        raise InputError(f"{OPTION} {text}: the rate of {metric.name} must lie from {low:g} to {high:g}; {_EXAMPLES}")
    return number


def _range(metric: Metric) -> tuple[float, float]:
    feedback = metric.source.feedback
    if feedback is not None and feedback.quality is not None:
        return -1e12, 1e12
    return (0.0, 1e6) if metric.kind == "Events" else (0.0, 1.0)


def _planned(metric: Metric, metrics: Sequence[Metric], known: Mapping[str, float]) -> PlannedRate:
    if metric.name in known:
        return PlannedRate(known[metric.name], "Given")
    for other in metrics:
        if other.name in known and _opposite(metric, other):
            return PlannedRate(round(1 - known[other.name], 12), "Opposite")
    return PlannedRate(DEFAULT_RATE, "Unknown")


def _opposite(metric: Metric, other: Metric) -> bool:
    mine, theirs = metric.source.feedback, other.source.feedback
    if mine is None or theirs is None or mine.value is None:
        return False
    same = (mine.source_ref, mine.signal) == (theirs.source_ref, theirs.signal)
    return same and _OPPOSITES.get(mine.value) == theirs.value
