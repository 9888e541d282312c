"""What one ABExperiment would do at a planned rate and traffic: false promotions, power, duration, verdicts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from retrainer.ab_experiment.config import ExperimentConfig, configure
from retrainer.api.v1alpha1.ab_experiment import ABExperimentSpec
from retrainer.api.v1alpha1.ab_experiment import ExperimentReason as Reason
from retrainer.simulation.course import simulate
from retrainer.simulation.outcomes import Binary, Outcomes, flat
from retrainer.simulation.results import Results, standard_error
from retrainer.simulation.scenario import Scenario
from retrainer.statistics.metric import MetricPlan

SECONDS_PER_DAY = 86_400
MULTIPLES = (0.0, 0.5, 1.0, 1.5, 2.0)
"""True effects that are tried, in multiples of the planned one."""
HARM = 1.5
"""Harm to the first guardrail that is tried, in multiples of its margin."""
LOOKS = 200
"""An experiment of more windows is simulated with longer ones: each then stands for several. It decides a little
later than with all its looks, and errs as seldom."""


@dataclass(frozen=True)
class Case:
    """What happens if the true effect is `effect`; shares of the runs, days to the decision.

    `reasons` are shares by reason of the decision (`ExperimentReason`), which add up to 1.
    """

    name: str
    effect: float
    promoted: float
    kept: float
    inconclusive: float
    reasons: Mapping[str, float]
    days_median: float
    days_90_percent: float
    units_median: float
    standard_error: float
    """Of `promoted`."""


@dataclass(frozen=True)
class Forecast:
    """An experiment, foreseen. `false_promotion` is that of a candidate that is exactly as good as the baseline,
    `power` that of promoting one that is better by the minimum detectable effect."""

    runs: int
    units_needed: int
    units_per_day: float
    cases: tuple[Case, ...]

    @property
    def false_promotion(self) -> float:
        """Share of useless candidates that are promoted."""
        return self.case("no effect").promoted

    @property
    def power(self) -> float:
        """Share of candidates better by minimumDetectableEffect that are promoted."""
        return self.case("planned effect").promoted

    def case(self, name: str) -> Case:
        """The case of this name; raises KeyError."""
        found = next((case for case in self.cases if case.name == name), None)
        if found is None:
            raise KeyError(name)
        return found


def forecast(
    spec: ABExperimentSpec,
    rates: Mapping[str, float],
    units_per_day: float,
    runs: int = 2000,
    seed: int = 1,
    multiples: Sequence[float] = MULTIPLES,
) -> Forecast:
    """Simulate the experiment of `spec` at these planned rates by metric, with Poisson arrivals.

    Guardrails are independent of the primary metric and unchanged, except in the case that harms the first one.
    Raises ValueError, with a message for people, where the spec cannot be carried out or nobody comes.
    """
    if not units_per_day > 0:
        raise ValueError(f"units per day must be above 0, not {units_per_day}")
    config = configure(spec, rates)
    course = coarser(config)
    per_window = units_per_day * course.window_seconds / SECONDS_PER_DAY
    effects = [(_name(k), k * config.primary.effect, 0.0) for k in multiples]
    if len(config.metrics) > 1:
        effects.append((f"guardrail harmed by {HARM:g} margins", config.primary.effect, HARM))
    cases = tuple(
        _case(name, effect, simulate(course, world(course, effect, harm, per_window), runs, seed + i))
        for i, (name, effect, harm) in enumerate(effects)
    )
    return Forecast(runs, config.units_needed, units_per_day, cases)


def coarser(config: ExperimentConfig, looks: int = LOOKS) -> ExperimentConfig:
    """The same experiment with windows so long that there are at most `looks` of them."""
    windows = config.maximum_duration_seconds / config.window_seconds
    return replace(config, window_seconds=config.window_seconds * max(1, math.ceil(windows / looks)))


def world(config: ExperimentConfig, effect: float, harm: float, per_window: float) -> Scenario:
    """Everything as planned, except for the true `effect` (the good way) and `harm` margins on the first guardrail."""
    changes = [effect, *(-harm * m.effect if i == 0 else 0.0 for i, m in enumerate(config.metrics[1:]))]
    outcomes = tuple(_outcomes(m, change) for m, change in zip(config.metrics, changes, strict=True))
    return Scenario(outcomes, lambda window: per_window, poisson=True)


def _outcomes(plan: MetricPlan, good: float) -> Outcomes:
    return Binary(flat(plan.rate), good if plan.goal == "Increase" else -good)


def _name(multiple: float) -> str:
    known = {0.0: "no effect", 1.0: "planned effect"}
    return known.get(multiple, f"{multiple:g} × planned effect")


def _case(name: str, effect: float, results: Results) -> Case:
    promoted = results.share("PromoteCandidate")
    shares = {reason.value: results.because(reason) for reason in Reason}
    days = results.seconds / SECONDS_PER_DAY
    return Case(
        name=name,
        effect=effect,
        promoted=promoted,
        kept=results.share("KeepBaseline"),
        inconclusive=results.share("Inconclusive"),
        reasons={reason: share for reason, share in shares.items() if share},
        days_median=float(np.median(days)),
        days_90_percent=float(np.quantile(days, 0.9)),
        units_median=float(np.median(results.units)),
        standard_error=standard_error(promoted, results.runs),
    )
