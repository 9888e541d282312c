"""What an experiment's spec means to the statistics; fixed when it starts, and recorded in the ledger."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from retrainer.api.v1alpha1.ab_experiment import ABExperimentSpec
from retrainer.api.v1alpha1.metrics import Metric
from retrainer.routing.provider import settle_seconds
from retrainer.statistics import power
from retrainer.statistics.metric import MetricPlan

ENGINE = "retrainer-2"
"""Version of engine and ledger; raised whenever an old ledger would be read differently."""

DEFAULT_MINIMUM_UNITS = 100
DEFAULT_RATE = 0.5
"""Planned rate where nothing is known; the widest variance, hence the most cautious plan."""
DEFAULT_EVENTS_PER_UNIT = 0.01
"""Planned events per request where none is known, or none has happened yet."""

Scale = Literal["Binary", "Bounded", "Unbounded", "Events"]


@dataclass(frozen=True)
class Step:
    """One step of the ramp."""

    weight: int
    minimum_units: int


@dataclass(frozen=True)
class ExperimentConfig:
    """An experiment in numbers: steps (per cent, candidate units), times in seconds, metrics, the primary first.

    `units_metric` names the first metric whose source counts units: the split and the plan are held against it.
    """

    steps: tuple[Step, ...]
    metrics: tuple[MetricPlan, ...]
    units_metric: str
    window_seconds: int
    maturity_seconds: int
    settle_seconds: int
    minimum_duration_seconds: int
    maximum_duration_seconds: int

    @property
    def primary(self) -> MetricPlan | None:
        """The metric that decides; None for a canary."""
        return next((m for m in self.metrics if m.role == "Primary"), None)

    @property
    def guardrails(self) -> tuple[MetricPlan, ...]:
        """The metrics that must not get worse."""
        return tuple(m for m in self.metrics if m.role == "Guardrail")

    @property
    def units_needed(self) -> int:
        """Units of both arms, as planned before the start."""
        return self.units_for(self.metrics)

    def units_for(self, metrics: Sequence[MetricPlan]) -> int:
        """Units of both arms that this ramp needs for the metric that needs most."""
        needed = max(m.equal_split_units for m in metrics)
        return power.ramp_units(needed, [(s.weight / 100, s.minimum_units) for s in self.steps])


def configure(
    spec: ABExperimentSpec, rates: Mapping[str, float], variances: Mapping[str, float] | None = None
) -> ExperimentConfig:
    """The configuration, with what is known before the start, by metric: mean (events per unit) and variance of an
    outcome. A missing rate counts as ½, one of events as 0.01.

    Raises ValueError, with a message for people, where the spec cannot be carried out.
    """
    ordered = sorted(spec.metrics, key=lambda m: m.role != "Primary")
    metrics = tuple(_metric_plan(spec, m, rates, variances or {}) for m in ordered)
    return ExperimentConfig(
        steps=_steps(spec, metrics),
        metrics=metrics,
        units_metric=_units_metric(ordered),
        window_seconds=spec.window_seconds,
        maturity_seconds=spec.maturity_seconds,
        settle_seconds=settle_seconds(spec),
        minimum_duration_seconds=spec.minimum_duration_seconds,
        maximum_duration_seconds=spec.maximum_duration_seconds,
    )


def unit_of(spec: ABExperimentSpec) -> Literal["Request", "User"]:
    """What is randomised."""
    return (spec.assignment.unit if spec.assignment else None) or "Request"


def _metric_plan(
    spec: ABExperimentSpec, metric: Metric, rates: Mapping[str, float], variances: Mapping[str, float]
) -> MetricPlan:
    alpha, guardrails = float(spec.alpha), sum(m.role == "Guardrail" for m in spec.metrics)
    scale = _scale(metric, unit_of(spec))
    return MetricPlan(
        name=metric.name,
        role=metric.role,
        goal=metric.goal,
        missing=metric.missing or "Exclude",
        effect=_effect(spec, metric),
        rate=_rate(scale, rates.get(metric.name)),
        alpha=alpha,
        alpha_worse=alpha / (1 + guardrails),
        power=float(spec.power),
        scale=scale,
        variance=variances.get(metric.name) if scale in ("Bounded", "Unbounded") else None,
    )


def _rate(scale: Scale, known: float | None) -> float:
    if scale == "Events":
        return known or DEFAULT_EVENTS_PER_UNIT
    return DEFAULT_RATE if known is None else known


def _scale(metric: Metric, unit: Literal["Request", "User"]) -> Scale:
    """What values an outcome can take; of a user it is the mean of their votes, hence anything between 0 and 1."""
    if metric.source.feedback is None:
        return "Events" if metric.kind == "Events" else "Binary"
    if metric.source.feedback.quality is not None:
        return "Unbounded"
    return "Bounded" if metric.source.feedback.value == "Score" or unit == "User" else "Binary"


def _effect(spec: ABExperimentSpec, metric: Metric) -> float:
    if metric.role == "Primary":
        return float(spec.minimum_detectable_effect)
    margin = float(metric.margin or "0")
    if not margin > 0:
        raise ValueError(f'metrics: {metric.name} needs a margin above 0, for example "0.02"')
    return margin


def _units_metric(metrics: Sequence[Metric]) -> str:
    for metric in metrics:
        prometheus = metric.source.prometheus
        if prometheus is None or prometheus.units_query is not None:
            return metric.name
    raise ValueError("metrics: at least one must count units: a FeedbackSource, or Prometheus with unitsQuery")


def _steps(spec: ABExperimentSpec, metrics: Sequence[MetricPlan]) -> tuple[Step, ...]:
    """The ramp. Of the planned users, steps before the last take a tenth: who was seen there is never new again."""
    steps = tuple(Step(s.weight_percent, s.minimum_units or DEFAULT_MINIMUM_UNITS) for s in spec.ramp.steps)
    if unit_of(spec) == "Request":
        return steps
    pairs = [(s.weight / 100, s.minimum_units) for s in steps]
    planned = power.ramp_units(max(m.equal_split_units for m in metrics), pairs[-1:])
    minima = power.step_units(pairs, planned)
    return tuple(Step(s.weight, units) for s, units in zip(steps, minima, strict=True))


def spec_digest(spec: ABExperimentSpec) -> str:
    """SHA-256 of what may not change after the start; a field that a later version adds does not change it."""
    content: dict[str, Any] = spec.model_dump(
        mode="json", by_alias=True, exclude={"suspend"}, exclude_defaults=True, exclude_none=True
    )
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
