"""Candidate and champion on the same evaluation rows: metrics with intervals, and the numbers of every gate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retrainer.api.v1alpha1.run_contract import (
    DEFAULT_MINIMUM_UNITS,
    GateNumbers,
    MetricNumbers,
)
from retrainer.api.v1alpha1.training_parts import Gate, Target
from retrainer.api.v1alpha1.training_run import Champion
from trainer.bootstrap import Change, Sums, changes, sum_by_unit
from trainer.metrics import Floats, Measure, Scored, gate_measures, standard_measures
from trainer.power import confidence_of, detectable

LEAST_INDEPENDENT_SHARE = 0.5
INTERVAL_CONFIDENCE = 0.95


@dataclass(frozen=True)
class TargetEvaluation:
    """Both models on the independently labelled evaluation rows of one target."""

    candidate: Scored
    champion: Scored | None
    """None without a champion, or where it cannot answer these rows."""
    unit: NDArray[np.int64]
    """Per row an index into the units of the whole evaluation."""
    labelled_rows: int
    """Evaluation rows with any truth, independent or not."""

    @property
    def rows(self) -> int:
        return len(self.unit)

    @property
    def independent_enough(self) -> bool:
        return self.rows >= LEAST_INDEPENDENT_SHARE * self.labelled_rows


@dataclass(frozen=True)
class Evaluation:
    """All targets on the evaluation rows of a snapshot."""

    targets: tuple[TargetEvaluation, ...]
    units: int
    """Distinct units over all targets."""
    overlap: int
    """Evaluation rows left out because the champion may have learnt from them."""


def blocking_reason(
    champion: Champion | None,
    independent_enough: bool,
    comparable: bool,
    overlap: int,
    units: int,
    needed: int,
) -> str | None:
    """Why no comparison with the champion can pass; None where nothing stands against it."""
    if champion is None:
        return None
    if champion.trained_through is None:
        return "UnknownTrainedThrough"
    if not comparable:
        return "ChampionSchemaDiffers"
    if overlap and units < needed:
        return "EvaluationOverlapsChampion"
    return None if independent_enough else "LabelsDependOnChampion"


def evaluate(
    evaluation: Evaluation,
    targets: tuple[Target, ...],
    gates: tuple[Gate, ...],
    champion: Champion | None,
    seed: int,
) -> tuple[tuple[MetricNumbers, ...], tuple[GateNumbers, ...]]:
    """Metrics (those of the gates first, in their order) and gate numbers (one per gate)."""
    judged = gate_measures(gates, targets)
    measures = _distinct(judged, standard_measures(targets))
    measurable = [m for m in measures if all(evaluation.targets[t].rows for t in m.targets)]
    grouped = [(measure, [_sums(evaluation, measure, t) for t in measure.targets]) for measure in measurable]
    found = {m.name: c for m, c in zip(measurable, changes(grouped, evaluation.units, seed), strict=True)}
    numbers = tuple(_metric(measure, found[measure.name]) for measure in measurable)
    return numbers, tuple(
        _gate(gate, measure, found.get(measure.name), evaluation, champion)
        for gate, measure in zip(gates, judged, strict=True)
    )


def _distinct(judged: Sequence[Measure], standard: Sequence[Measure]) -> list[Measure]:
    """Those of the gates first; of the standard ones those that no gate measures under another name."""
    same = {(measure.metric.name, measure.targets) for measure in judged if len(measure.targets) == 1}
    others = [measure for measure in standard if (measure.metric.name, measure.targets) not in same]
    return list({measure.name: measure for measure in [*judged, *others]}.values())


def _sums(evaluation: Evaluation, measure: Measure, target: int) -> Sums:
    facts = evaluation.targets[target]
    return sum_by_unit(measure.metric, facts.candidate, facts.champion, facts.unit, evaluation.units)


def _metric(measure: Measure, change: Change) -> MetricNumbers:
    lower, upper = _interval(measure, change)
    return MetricNumbers(
        name=measure.name,
        candidate=_short(change.candidate),
        champion=None if change.champion is None else _short(change.champion),
        lower=lower,
        upper=upper,
    )


def _interval(measure: Measure, change: Change) -> tuple[float | None, float | None]:
    """Two-sided interval of candidate minus champion."""
    if change.improvements is None:
        return None, None
    difference: Floats = change.improvements * (1.0 if measure.metric.greater_is_better else -1.0)
    tail = (1 - INTERVAL_CONFIDENCE) / 2
    low, high = np.quantile(difference, [tail, 1 - tail])
    return _short(float(low)), _short(float(high))


def _gate(
    gate: Gate, measure: Measure, change: Change | None, evaluation: Evaluation, champion: Champion | None
) -> GateNumbers:
    judged = [evaluation.targets[t] for t in measure.targets]
    units = len(np.unique(np.concatenate([facts.unit for facts in judged])))
    if gate.versus_champion is None or champion is None:
        return GateNumbers(value=None if change is None else _short(change.candidate), units=units)
    blocked = blocking_reason(
        champion,
        independent_enough=all(facts.independent_enough for facts in judged),
        comparable=change is None or change.champion is not None,
        overlap=evaluation.overlap,
        units=units,
        needed=gate.minimum_units or DEFAULT_MINIMUM_UNITS,
    )
    if change is None or change.champion is None:
        value = None if change is None else _short(change.candidate)
        return GateNumbers(value=value, units=units, blocked=blocked or "NoIndependentRows")
    spread, bound = change.spread(), change.bound(confidence_of(gate))
    smallest = None if spread is None else detectable(gate, spread)
    return GateNumbers(
        value=_short(change.candidate),
        change=_short(change.candidate - change.champion),
        bound=None if bound is None else _short(bound),
        units=units,
        minimum_detectable=None if smallest is None else _short(smallest),
        blocked=blocked,
    )


def _short(value: float) -> float:
    """Six significant digits: a termination message has 4,096 bytes."""
    return float(f"{value:.6g}")
