"""What an experiment's spec means to the statistics; fixed when it starts, and recorded in the ledger."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from retrainer.api.v1alpha1.ab_experiment import ABExperimentSpec
from retrainer.api.v1alpha1.metrics import Metric
from retrainer.statistics import power
from retrainer.statistics.metric import MetricPlan

ENGINE = "retrainer-1"
"""Version of engine and ledger; raised whenever an old ledger would be read differently."""

DEFAULT_MINIMUM_UNITS = 100
DEFAULT_RATE = 0.5
"""Planned rate where nothing is known; the widest variance, hence the most cautious plan."""


@dataclass(frozen=True)
class Step:
    """One step of the ramp."""

    weight: int
    minimum_units: int


@dataclass(frozen=True)
class ExperimentConfig:
    """An experiment in numbers: steps (per cent, candidate units), times in seconds, metrics, primary first."""

    steps: tuple[Step, ...]
    metrics: tuple[MetricPlan, ...]
    window_seconds: int
    maturity_seconds: int
    minimum_duration_seconds: int
    maximum_duration_seconds: int
    units_needed: int

    @property
    def primary(self) -> MetricPlan:
        """The metric that decides."""
        return self.metrics[0]


def configure(spec: ABExperimentSpec, rates: Mapping[str, float]) -> ExperimentConfig:
    """The configuration for the planned rates by metric; a missing rate counts as ½.

    Raises ValueError, with a message for people, where the spec cannot be carried out.
    """
    ordered = sorted(spec.metrics, key=lambda m: m.role != "Primary")
    guardrails = len(ordered) - 1
    metrics = tuple(_metric_plan(spec, m, guardrails, rates.get(m.name, DEFAULT_RATE)) for m in ordered)
    steps = tuple(Step(s.weight_percent, s.minimum_units or DEFAULT_MINIMUM_UNITS) for s in spec.ramp.steps)
    needed = max(m.equal_split_units for m in metrics)
    return ExperimentConfig(
        steps=steps,
        metrics=metrics,
        window_seconds=spec.window_seconds,
        maturity_seconds=spec.maturity_seconds,
        minimum_duration_seconds=spec.minimum_duration_seconds,
        maximum_duration_seconds=spec.maximum_duration_seconds,
        units_needed=power.ramp_units(needed, [(s.weight / 100, s.minimum_units) for s in steps]),
    )


def _metric_plan(spec: ABExperimentSpec, metric: Metric, guardrails: int, rate: float) -> MetricPlan:
    alpha = float(spec.alpha)
    if metric.role == "Guardrail" and not float(metric.margin or "0") > 0:
        raise ValueError(f'metrics: {metric.name} needs a margin above 0, for example "0.02"')
    return MetricPlan(
        name=metric.name,
        role=metric.role,
        goal=metric.goal,
        missing=metric.missing or "Exclude",
        effect=float(metric.margin or "0") if metric.role == "Guardrail" else float(spec.minimum_detectable_effect),
        rate=rate,
        alpha=alpha,
        alpha_worse=alpha / (1 + guardrails),
        power=float(spec.power),
    )


def spec_digest(spec: ABExperimentSpec) -> str:
    """SHA-256 of what may not change after the start; a field that a later version adds does not change it."""
    content: dict[str, Any] = spec.model_dump(
        mode="json", by_alias=True, exclude={"suspend"}, exclude_defaults=True, exclude_none=True
    )
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
