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
from retrainer.simulation.outcomes import Binary, Events, Outcomes, flat
from retrainer.simulation.results import Results, standard_error
from retrainer.simulation.scenario import Scenario
from retrainer.simulation.values import Normal, Ratings
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
    """What happens if the true effect on the primary metric is `effect`; shares of the runs, days to the decision.

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
    """An experiment, foreseen.

    The first case is that of a candidate that should not be promoted: exactly as good as the baseline, in a canary
    worse by the first guardrail's margin. The second is one that should be.
    """

    runs: int
    units_needed: int
    units_per_day: float
    cases: tuple[Case, ...]

    @property
    def false_promotion(self) -> float:
        """Share of useless (in a canary: harmful) candidates that are promoted."""
        return self.cases[0].promoted

    @property
    def power(self) -> float:
        """Share of candidates better by minimumDetectableEffect (in a canary: harmless) that are promoted."""
        names = [case.name for case in self.cases]
        return self.case("planned effect" if "planned effect" in names else "unchanged").promoted

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
    variances: Mapping[str, float] | None = None,
) -> Forecast:
    """Simulate the experiment of `spec` at these planned rates (and variances) by metric, with Poisson arrivals.

    Outcomes of all `units_per_day` units are known. Metrics are independent of each other; guardrails are
    unchanged, except in the cases that harm the first one. `multiples` of the planned effect are tried; a canary
    has none. Raises ValueError, with a message for people, where the spec cannot be carried out or nobody comes.
    """
    if not units_per_day > 0:
        raise ValueError(f"units per day must be above 0, not {units_per_day}")
    config = configure(spec, rates, variances)
    course = coarser(config)
    per_window = units_per_day * course.window_seconds / SECONDS_PER_DAY
    cases = tuple(
        _case(name, effect, simulate(course, world(course, effect, harm, per_window), runs, seed + i))
        for i, (name, effect, harm) in enumerate(_candidates(config, multiples))
    )
    return Forecast(runs, config.units_needed, units_per_day, cases)


def coarser(config: ExperimentConfig, looks: int = LOOKS) -> ExperimentConfig:
    """The same experiment with windows so long that there are at most `looks` of them."""
    windows = config.maximum_duration_seconds / config.window_seconds
    return replace(config, window_seconds=config.window_seconds * max(1, math.ceil(windows / looks)))


def world(config: ExperimentConfig, effect: float, harm: float, per_window: float) -> Scenario:
    """As planned, but for the true `effect` on the primary (the good way) and `harm` margins on the first guardrail."""
    first = next(iter(config.guardrails), None)
    outcomes = tuple(_outcomes(m, effect, harm if m is first else 0.0) for m in config.metrics)
    return Scenario(outcomes, lambda window: per_window, poisson=True)


def _candidates(config: ExperimentConfig, multiples: Sequence[float]) -> list[tuple[str, float, float]]:
    """Name, effect on the primary, and margins of harm to the first guardrail, of the candidates to try."""
    if config.primary is None:
        return [("harmed by the margin", 0.0, 1.0), ("unchanged", 0.0, 0.0), (f"harmed by {HARM:g} margins", 0.0, HARM)]
    planned = config.primary.effect
    cases = [(_name(k), k * planned, 0.0) for k in multiples]
    return [*cases, (f"guardrail harmed by {HARM:g} margins", planned, HARM)] if config.guardrails else cases


def _name(multiple: float) -> str:
    known = {0.0: "no effect", 1.0: "planned effect"}
    return known.get(multiple, f"{multiple:g} × planned effect")


def _outcomes(plan: MetricPlan, effect: float, harm: float) -> Outcomes:
    good = effect if plan.role == "Primary" else -harm * plan.effect
    change = good if plan.goal == "Increase" else -good
    if plan.scale == "Events":
        return Events(flat(plan.rate), 1 + harm * plan.effect)
    if plan.scale == "Unbounded":
        variance = plan.variance or plan.rate**2 or 1.0
        return Normal(flat(plan.rate), variance, change)
    if plan.scale == "Bounded" and plan.variance is not None:
        return Ratings(three_levels(plan.rate, plan.variance), change)
    return Binary(flat(plan.rate), change)


def three_levels(mean: float, variance: float) -> tuple[float, float, float]:
    """Probabilities of 0, ½ and 1 with this mean and variance; the smallest variance they can have if it is less."""
    middle = min(max(4 * (mean * (1 - mean) - variance), 0.0), 2 * min(mean, 1 - mean))
    return 1 - mean - middle / 2, middle, mean - middle / 2


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
