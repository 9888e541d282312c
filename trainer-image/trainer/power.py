"""Can a gate pass? Its chance and the smallest change it can detect, before any GPU is asked for.

The difference of two models' accuracies over n rows has variance d/n, d being the share of rows that just one of
them answers rightly. For a candidate as good as the champion d is taken as min(e, 1 - e) with e the champion's
error rate: half of the most that is possible, 2 min(e, 1 - e). Rows of one unit are alike: design effect
1 + rho (sum n_u^2 / n - 1) (Kish 1965)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

from retrainer.api.v1alpha1.run_contract import DEFAULT_CONFIDENCE
from retrainer.api.v1alpha1.training_parts import Gate

LEAST_POWER = 0.20
"""A gate with less than this chance is not worth a GPU."""
DETECTABLE_POWER = 0.80
"""The smallest detectable change is found with this probability."""
ALIKE_WITHIN_UNIT = 0.1
"""Intra-class correlation of correctness within a unit."""
UNKNOWN_ERROR_RATE = 0.25
_NORMAL = NormalDist()


@dataclass(frozen=True)
class EvaluationSize:
    """The independent evaluation rows of one target."""

    rows: int
    units: int
    sum_of_squares: int
    """Of the rows per unit."""
    class_rows: tuple[int, ...] = ()
    """Rows per class that occurs."""


def confidence_of(gate: Gate) -> float:
    """The one-sided confidence of a comparison."""
    demand = gate.versus_champion
    return float(demand.confidence) if demand and demand.confidence else DEFAULT_CONFIDENCE


def standard_error(metric: str, size: EvaluationSize, error_rate: float) -> float | None:
    """Of the change of the metric for a candidate equal to the champion; None where nothing is known before
    training (losses and errors have no natural scale)."""
    if size.rows == 0:
        return math.inf
    discordance = max(min(error_rate, 1 - error_rate), 1 / (size.rows + 2))
    effect = 1 + ALIKE_WITHIN_UNIT * max(0.0, size.sum_of_squares / size.rows - 1)
    if metric == "accuracy":
        # The two pseudo-units of the bootstrap add a change of +1 and of -1.
        return math.sqrt(size.rows * discordance * effect + 2) / (size.rows + 2)
    counts = [count for count in size.class_rows if count]
    if metric == "macroRecall" and counts:
        return math.sqrt(discordance * effect * sum(1 / (c + 2) for c in counts)) / len(counts)
    if metric == "worstRecall" and counts:
        return math.sqrt(discordance * effect / (min(counts) + 2))
    return None


def power(gate: Gate, error: float) -> float:
    """Chance to pass: for a candidate equal to the champion (regressionAtMost), or one that is twice as much
    better as demanded (improvementAtLeast)."""
    demand = gate.versus_champion
    if demand is None:
        return 1.0
    margin = float(demand.improvement_at_least or demand.regression_at_most or 0)
    return _NORMAL.cdf(margin / error - _NORMAL.inv_cdf(confidence_of(gate)))


def detectable(gate: Gate, error: float) -> float | None:
    """Smallest true change that the gate's test finds with 80 % probability; None where there is no scale."""
    if not math.isfinite(error):
        return None
    return (_NORMAL.inv_cdf(confidence_of(gate)) + _NORMAL.inv_cdf(DETECTABLE_POWER)) * error
