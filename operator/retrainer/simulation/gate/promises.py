"""The rows of the design's gate: false promotions, power, guardrails, units, split, response rates."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from retrainer.ab_experiment.config import ExperimentConfig
from retrainer.api.v1alpha1.ab_experiment import ExperimentReason as Reason
from retrainer.simulation import split
from retrainer.simulation.course import simulate
from retrainer.simulation.gate.row import Measure, Row, Section, alpha_bound
from retrainer.simulation.outcomes import Binary, Mirror, Rate, flat
from retrainer.simulation.results import Results
from retrainer.simulation.scenario import Chasing, Policy, Scenario
from retrainer.simulation.worlds import (
    ALPHA,
    RAMPS,
    WINDOWS,
    always,
    cycling,
    drifting,
    experiment,
    guardrail,
    jumping,
    primary,
)
from retrainer.statistics import power

RUNS = 5_000
PRECISE = 10_000
RAMPED = ("fast5", "slow10", "slow5")
DISLIKED = 0.05
"""Base rate of the guardrail, unless a row says otherwise."""


def run(
    config: ExperimentConfig,
    base: Rate,
    effect: float = 0.0,
    harm: float = 0.0,
    disliked: float = DISLIKED,
    runs: int = RUNS,
    seed: int = 1,
    policy: Policy | None = None,
) -> Results:
    """An experiment on likes with dislikes as its guardrail, independent of each other."""
    outcomes = (Binary(base, effect), Binary(flat(disliked), harm))
    return simulate(config, Scenario(outcomes, always(), policy=policy), runs, seed)


def ramped(of_ramp: Callable[[str], float], ramps: Sequence[str] = RAMPED) -> Callable[[], list[float]]:
    """The same question for several ramps."""
    return lambda: [of_ramp(ramp) for ramp in ramps]


def each(labels: Sequence[str], at_most: Sequence[float] = (), at_least: Sequence[float] = ()) -> tuple[Measure, ...]:
    """A share for each label, with bounds in the same order."""
    upper, lower = at_most or [np.inf] * len(labels), at_least or [-np.inf] * len(labels)
    return tuple(
        Measure(label, at_most=high, at_least=low) for label, high, low in zip(labels, upper, lower, strict=True)
    )


WORLDS: dict[str, tuple[str, Rate]] = {
    "flat": ("flat base rate", flat(0.1)),
    "rising": ("base rate rising from 5 to 15 %", drifting()),
    "falling": ("base rate falling from 15 to 5 %", drifting(0.15, 0.05)),
    "cycle": ("daily cycle, 5 to 15 %", cycling()),
    "jump": ("base rate 6, 10, 15 % at the steps of the ramp", jumping(0.06, 0.10, 0.15)),
}
ALPHA_BOUND = alpha_bound(ALPHA, RUNS)
AT_MOST_ALPHA = "≤ 5 % + 3 s.e."


def _false_promotion(key: str, seed: int) -> Row:
    text, base = WORLDS[key]

    def of_ramp(ramp: str) -> float:
        return run(experiment(ramp, primary(), guardrail()), base, seed=seed).share("PromoteCandidate")

    bounds = [ALPHA_BOUND] * len(RAMPED)
    return Row(f"false-{key}", text, each(RAMPED, bounds), ramped(of_ramp), RUNS, AT_MOST_ALPHA, "1.6–2.7 %")


def _adaptive() -> Row:
    def compute() -> list[float]:
        config = experiment("adaptive", primary(), guardrail())
        results = run(config, cycling(), policy=Chasing(len(RAMPS["adaptive"]) - 1), seed=16)
        return [results.share("PromoteCandidate")]

    text = "weight follows the last window's outcomes (10 to 90 %), daily cycle"
    return Row("false-adaptive", text, each([""], [ALPHA_BOUND]), compute, RUNS, AT_MOST_ALPHA, "1.6–2.7 %")


def _base_rates() -> Row:
    rates = {"at 1 %:": 0.01, "at 10 %:": 0.1, "at 50 %:": 0.5, "at 85 %:": 0.85}

    def compute() -> list[float]:
        return [
            run(experiment("fast5", primary(p), guardrail()), flat(p), seed=17 + i).share("PromoteCandidate")
            for i, p in enumerate(rates.values())
        ]

    bounds = [ALPHA_BOUND] * len(rates)
    text = "other base rates, flat, fast5"
    return Row("false-rates", text, each(list(rates), bounds), compute, RUNS, AT_MOST_ALPHA, "1.6–2.7 %")


def _wrongly_planned() -> Row:
    def compute() -> list[float]:
        config = experiment("slow5", primary(0.5), guardrail(0.5))
        return [run(config, drifting(), seed=21).share("PromoteCandidate")]

    text = "planned for 50 %, but 5 rising to 15 %, slow5"
    return Row("false-unplanned", text, each([""], [ALPHA_BOUND]), compute, RUNS, AT_MOST_ALPHA)


def _power(disliked: float, seed: int, runs: int, promised: Sequence[float] = ()) -> Row:
    def of_ramp(ramp: str) -> float:
        config = experiment(ramp, primary(), guardrail(disliked))
        return run(config, flat(0.1), 0.02, disliked=disliked, runs=runs, seed=seed).share("PromoteCandidate")

    text = f"+2 points, guardrail at {disliked * 100:g} %, unchanged: promoted within 20,000 units"
    return Row(
        key=f"power-{disliked * 100:g}",
        text=text,
        measures=each(RAMPED, at_least=promised),
        compute=ramped(of_ramp),
        runs=runs,
        target="≥ 92 / 90 / 86 %" if promised else "",
        prototype="94.1 / 92.4 / 89.3 %" if promised else "",
    )


def _large_effect() -> Row:
    bases = {"10 → 40 %:": 0.1, "35 → 65 %:": 0.35, "60 → 90 %:": 0.6}

    def compute() -> list[float]:
        return [_small_experiment(base, seed=30 + i) for i, base in enumerate(bases.values())]

    text = "+30 points with 300 units per arm, ramp 5/25/50, guardrail the mirror image: promoted"
    return Row(
        "power-small", text, each(list(bases), at_least=[0.92] * 3), compute, RUNS, "≥ 92 %", "94.7–97.7 %"
    )


def _small_experiment(base: float, seed: int) -> float:
    """Windows of 20 units: 40 at 5 %, 60 at 25 %, then 50 %; 600 in all. Planned are 2 points."""
    config = experiment(((5, 2), (25, 15), (50, 50)), primary(base), guardrail(1 - base), windows=30)
    outcomes = (Binary(flat(base), 0.3), Mirror())
    return simulate(config, Scenario(outcomes, always(20)), RUNS, seed).share("PromoteCandidate")


def _false_abort(harm: float, seed: int, text: str) -> Row:
    def of_ramp(ramp: str) -> float:
        config = experiment(ramp, primary(), guardrail())
        return run(config, flat(0.1), 0.02, harm, seed=seed).because(Reason.GUARDRAIL_WORSE)

    key = f"abort-{harm * 100:g}"
    return Row(key, text, each(RAMPED, [0.025] * 3), ramped(of_ramp), RUNS, "≤ 2.5 %", "1.1–1.6 %")


def _harm(ramp: str, seed: int, promised: bool) -> Row:
    def compute() -> list[float]:
        config = experiment(ramp, primary(), guardrail())
        results = run(config, flat(0.1), 0.02, 0.03, runs=PRECISE, seed=seed)
        stopped = results.because(Reason.GUARDRAIL_WORSE)
        return [stopped, results.units_to("Worse", 0.5, metric=1)]

    limits = (0.97, 5_000.0) if promised else (-np.inf, np.inf)
    return Row(
        key=f"harm-{ramp}",
        text=f"a better candidate with 3 points of harm at margin 2, {ramp}: stopped; median units",
        measures=(Measure("stopped", at_least=limits[0]), Measure("units", "Units", at_most=limits[1])),
        compute=compute,
        runs=PRECISE,
        target="≥ 97 % (≤ 5,000)" if promised else "",
        prototype="98.6 % (4,350)" if promised else "",
    )


def _units_to_better() -> Row:
    promised = {"50/50": 1.40, "fast5": 1.45, "slow5": 2.1}

    def of_ramp(ramp: str) -> float:
        config = experiment(ramp, primary(guardrails=0), windows=200)
        scenario = Scenario((Binary(flat(0.1), 0.02),), always(), to_the_end=True)
        fixed = power.fixed_horizon_units(0.1, 0.02, ALPHA, 0.8)
        return simulate(config, scenario, RUNS, 50).units_to("Better", 0.8) / fixed

    measures = tuple(Measure(ramp, "Ratio", at_most=bound) for ramp, bound in promised.items())
    return Row(
        key="units-ratio",
        text="units by which 80 % of the runs showed Better ÷ those of the fixed-horizon two-sided z-test",
        measures=measures,
        compute=ramped(of_ramp, list(promised)),
        runs=RUNS,
        target="≤ 1.40 / 1.45 / 2.1",
        prototype="1.33 / 1.36 / 2.01",
    )


def _alarms(odds: float, ramp: str, seed: int) -> float:
    """Share of the runs whose split counts as broken within 20,000 units, whatever their outcomes."""
    rng, scenario = np.random.default_rng(seed), Scenario((), always(), odds=odds)
    weights, minimums = (np.array(column) for column in zip(*RAMPS[ramp], strict=True))
    units = split.start(weights / 100, RUNS)
    step, runs, alarmed = np.zeros(RUNS, int), np.arange(RUNS), np.zeros(RUNS, bool)
    for window in range(WINDOWS):
        units.add(step, scenario.exposures(rng, window, weights[step] / 100).astype(float))
        alarmed |= ~units.ok()
        step = np.minimum(step + (units.candidate[step, runs] >= minimums[step]), len(weights) - 1)
    return float(alarmed.mean())


def _broken_split(ramps: Sequence[str], key: str, seed: int, promised: bool) -> Row:
    labels = [f"{ramp} {'×' if odds > 1 else '÷'} 1.1:" for ramp in ramps for odds in (1.1, 1 / 1.1)]

    def compute() -> list[float]:
        return [_alarms(odds, ramp, seed) for ramp in ramps for odds in (1.1, 1 / 1.1)]

    return Row(
        key=key,
        text="split off by odds of 1.1: found within 20,000 units",
        measures=each(labels, at_least=[0.98] * len(labels) if promised else ()),
        compute=compute,
        runs=RUNS,
        target="≥ 98 %" if promised else "",
        prototype="99.8 %" if promised else "",
    )


def _false_alarms() -> Row:
    ramps = ("50/50", *RAMPED)
    return Row(
        key="split-fair",
        text="fair split: ever an alarm within 20,000 units",
        measures=each(ramps, [0.002] * len(ramps)),
        compute=ramped(lambda ramp: _alarms(1.0, ramp, 63), ramps),
        runs=RUNS,
        target="≤ 0.2 %",
        prototype="0–0.1 %",
    )


def _response_rates(key: str, base: Rate, seed: int) -> Row:
    answered = ((0.7, 0.7), (0.9, 0.9))

    def of_ramp(ramp: str) -> float:
        config = experiment(ramp, primary(guardrails=0))
        scenario = Scenario((Binary(base, 0.0, answered),), always(), to_the_end=True)
        return simulate(config, scenario, RUNS, seed).ever("Better")

    text = f"arms answer at 70 and 90 %, `Exclude`, equal quality, {WORLDS[key][0]}: ever Better"
    return Row(
        f"response-{key}", text, each(RAMPED, [ALPHA_BOUND] * 3), ramped(of_ramp), RUNS, "≤ 5 % + 3 s.e.", "1.1–2.3 %"
    )


SECTIONS = (
    Section(
        "A candidate that is not better: promoted",
        "Ramps fast5 / slow10 / slow5, base rate 10 % unless it says otherwise, d = 2 points.",
        (
            *(_false_promotion(key, 11 + i) for i, key in enumerate(WORLDS)),
            _adaptive(),
            _base_rates(),
            _wrongly_planned(),
        ),
    ),
    Section(
        "A candidate that is better",
        "",
        (
            _power(DISLIKED, 25, PRECISE, (0.92, 0.90, 0.86)),
            _power(0.1, 26, RUNS),
            _large_effect(),
            _units_to_better(),
        ),
    ),
    Section(
        "Guardrails",
        "Dislikes at 5 %, margin 2 points; the primary metric better by 2 points, so that only the guardrail stops it.",
        (
            _false_abort(0.0, 35, "no harm: stopped as harmful"),
            _false_abort(0.01, 36, "harm of half the margin, the most that is not to be stopped: stopped as harmful"),
            _harm("fast5", 37, True),
            _harm("slow10", 38, False),
            _harm("slow5", 39, False),
        ),
    ),
    Section(
        "The split",
        "",
        (
            _broken_split(("50/50", "fast5"), "split-fast", 61, True),
            _broken_split(("slow10", "slow5"), "split-slow", 62, False),
            _false_alarms(),
        ),
    ),
    Section(
        "Missing outcomes",
        "Followed to the end of 20,000 units, without futility or guardrail: every Better counts.",
        (_response_rates("flat", flat(0.1), 71), _response_rates("cycle", cycling(), 72)),
    ),
)
