"""`simulate`: false promotions, power and duration of this very experiment, from thousands of runs of it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from retrainer.experiment_tool.assumptions import Assumptions
from retrainer.experiment_tool.failure import InputError
from retrainer.experiment_tool.subjects import Subject
from retrainer.experiment_tool.tables import number, percent, table
from retrainer.simulation.forecast import Case, Forecast, forecast


@dataclass(frozen=True)
class Asked:
    """What to simulate: what is assumed of the metrics, units a day, the true effect (None: the planned one)."""

    assumed: Assumptions
    units_per_day: float
    effect: float | None
    runs: int
    seed: int


@dataclass(frozen=True)
class Simulated:
    """What came out; `found` is the case with the true effect."""

    subject: Subject
    asked: Asked
    forecast: Forecast
    found: Case

    def to_json(self) -> dict[str, Any]:
        """As plain JSON; shares of the runs, days, units."""
        return {
            "experiment": self.subject.title,
            "runs": self.asked.runs,
            "seed": self.asked.seed,
            "unitsPerDay": self.asked.units_per_day,
            "unitsNeeded": self.forecast.units_needed,
            "alpha": float(self.subject.spec.alpha),
            "effect": self.found.effect,
            "falsePromotions": self.forecast.false_promotion,
            "power": self.found.promoted,
            "medianDays": self.found.days_median,
            "cases": [_case(case) for case in self.forecast.cases],
        }


def _case(case: Case) -> dict[str, Any]:
    return {
        "name": case.name,
        "effect": case.effect,
        "promoted": case.promoted,
        "standardError": case.standard_error,
        "kept": case.kept,
        "inconclusive": case.inconclusive,
        "reasons": dict(case.reasons),
        "medianDays": case.days_median,
        "days90Percent": case.days_90_percent,
        "medianUnits": case.units_median,
    }


def simulated(subject: Subject, asked: Asked) -> Simulated:
    """Run it; raises InputError where the spec or the question makes no sense."""
    try:
        result = forecast(
            subject.spec,
            asked.assumed.known_rates,
            asked.units_per_day,
            runs=asked.runs,
            seed=asked.seed,
            multiples=(0.0, _multiple(subject, asked.effect)),
            variances=asked.assumed.variances,
        )
    except ValueError as error:
        raise InputError(f"{subject.title}: {error}") from error
    return Simulated(subject, asked, result, result.cases[1])


def _multiple(subject: Subject, effect: float | None) -> float:
    """The true effect in units of the planned one."""
    if effect is None:
        return 1.0
    if subject.spec.mode == "Canary":
        raise InputError(f"--effect {effect:g}: a Canary has no primary metric; leave it out")
    if not 0 < effect < math.inf:
        raise InputError(f"--effect {effect:g}: must be above 0: it is how much better the candidate is")
    return effect / float(subject.spec.minimum_detectable_effect)


def simulation_text(result: Simulated) -> str:
    """A table of what happens in each case, and the answers in three lines."""
    asked = result.asked
    head = (
        f"{result.subject.title}: {asked.runs:,} runs of each case, {number(asked.units_per_day, 9)} units a day, "
        f"seed {asked.seed}"
    )
    rows = [_row(case) for case in result.forecast.cases]
    header = ["candidate", "effect", "promoted", "kept baseline", "inconclusive", "days (median)", "(90 %)", "units"]
    return "\n\n".join([head, table(header, rows), "\n".join(_answers(result))])


def _row(case: Case) -> list[str]:
    return [
        case.name,
        f"{case.effect:+g}" if case.effect else "0",
        percent(case.promoted),
        percent(case.kept),
        percent(case.inconclusive),
        number(case.days_median),
        number(case.days_90_percent),
        f"{case.units_median:,.0f}",
    ]


def _answers(result: Simulated) -> Iterator[str]:
    wrong, right = result.forecast.cases[0], result.found
    alpha = percent(float(result.subject.spec.alpha))
    yield f"false promotions  {percent(wrong.promoted)} ± {percent(wrong.standard_error)}  (alpha {alpha})"
    yield f"power             {percent(right.promoted)} ± {percent(right.standard_error)}  ({_truth(right)})"
    yield f"duration          {number(right.days_median)} days, 90 % within {number(right.days_90_percent)}"


def _truth(case: Case) -> str:
    return f"true effect {case.effect:+g}" if case.effect else case.name
