"""What a data set must have before anything is trained on it: minimums, and gates with a chance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from retrainer.api.v1alpha1.run_contract import DEFAULT_MINIMUM_UNITS, GateNumbers
from retrainer.api.v1alpha1.training_parts import DataSelection, Gate, Target
from retrainer.api.v1alpha1.training_run import Champion, RunReason
from trainer.errors import DataError
from trainer.evaluate import LEAST_INDEPENDENT_SHARE, blocking_reason
from trainer.methods.folds import too_few_units
from trainer.metrics import Measure, gate_measures
from trainer.power import (
    LEAST_POWER,
    UNKNOWN_ERROR_RATE,
    EvaluationSize,
    detectable,
    power,
    standard_error,
)
from trainer.rows import Drop
from trainer.selection import Mask
from trainer.snapshot import class_counts
from trainer.split import EVALUATION, TRAIN, VALIDATION, Division
from trainer.spool import Facts

REMEDY_OF_BLOCK = {
    "UnknownTrainedThrough": "set champion.trainedThrough, or the champion may be judged on what it learnt",
    "ChampionSchemaDiffers": "the champion cannot answer rows with these features and targets",
    "EvaluationOverlapsChampion": "wait for feedback that is later than champion.trainedThrough",
    "LabelsDependOnChampion": "less than half of the evaluation rows are labelled independently of the answer; "
    "label a random sample (an audit)",
}


def needed_units(gates: tuple[Gate, ...], champion: Champion | None) -> int:
    """Independent evaluation units that the comparisons demand."""
    if champion is None:
        return 0
    demands = [g.minimum_units or DEFAULT_MINIMUM_UNITS for g in gates if g.versus_champion is not None]
    return max(demands, default=0)


def require_minimums(
    facts: Facts,
    keep: Mask,
    division: Division,
    data: DataSelection,
    targets: tuple[Target, ...],
    dropped: Mapping[str, int] | None = None,
) -> None:
    """Raise DataError (InsufficientData) naming the minimum that is not met."""
    rows, units = int(keep.sum()), len(np.unique(facts.unit[keep]))
    if rows < data.minimum_samples:
        raise DataError(
            f"{rows} usable rows in the window{_left_out(dropped)}; data.minimumSamples demands {data.minimum_samples}"
        )
    if units < data.minimum_units:
        raise DataError(f"{units} units among the usable rows; data.minimumUnits demands {data.minimum_units}")
    for number, target in enumerate(targets):
        _require_learnable(facts, division, data, target, number)


def require_folds(facts: Facts, division: Division, targets: tuple[Target, ...], folds: int) -> None:
    """Raise DataError where tuning could not divide the training rows of a target by unit."""
    for number, target in enumerate(targets):
        units = len(np.unique(facts.unit[(division.sides == TRAIN) & facts.labelled[:, number]]))
        if units < folds:
            raise DataError(too_few_units(target.name, units, folds))


def _left_out(dropped: Mapping[str, int] | None) -> str:
    """The most frequent reasons for which rows were left out: usually the remedy is among them."""
    most = sorted((dropped or {}).items(), key=lambda entry: (-entry[1], entry[0]))[:4]
    return f" (left out: {', '.join(f'{reason} {count}' for reason, count in most)})" if most else ""


def _require_learnable(facts: Facts, division: Division, data: DataSelection, target: Target, number: int) -> None:
    labelled = int(((division.sides == TRAIN) & facts.labelled[:, number]).sum())
    if labelled == 0:
        raise DataError(f"target {target.name}: no labelled row is left for training after the split")
    if target.type == "Regression":
        return
    counts = class_counts(facts, division, TRAIN, number)
    if sum(count > 0 for count in counts.values()) < 2:
        raise DataError(f"target {target.name}: only one class among the {labelled} training rows")
    least = min(counts.values())
    if data.minimum_per_class is not None and least < data.minimum_per_class:
        raise DataError(
            f"target {target.name}: the rarest of {len(counts)} classes has {least} training rows; "
            f"data.minimumPerClass demands {data.minimum_per_class}"
        )


@dataclass(frozen=True)
class Prospect:
    """What can be said about the gates before training."""

    facts: Facts
    division: Division
    targets: tuple[Target, ...]
    champion: Champion | None
    comparable: bool
    """Whether the champion can answer the evaluation rows."""
    known_error_rates: tuple[float | None, ...]
    """The champion's error rate per target from its own evaluation, for want of recorded predictions."""

    def numbers(self, gates: tuple[Gate, ...]) -> tuple[GateNumbers, ...]:
        """Units and smallest detectable change of each gate.

        Raises DataError (Underpowered) for a comparison with too little chance, unless it allows that."""
        measures = gate_measures(gates, self.targets)
        return tuple(self._one(gate, measure, i) for i, (gate, measure) in enumerate(zip(gates, measures, strict=True)))

    def _one(self, gate: Gate, measure: Measure, place: int) -> GateNumbers:
        if gate.versus_champion is None or self.champion is None:
            return GateNumbers()
        sizes = [self._size(t) for t in measure.targets]
        units = self._units(measure)
        needed = gate.minimum_units or DEFAULT_MINIMUM_UNITS
        blocked = blocking_reason(
            self.champion,
            independent_enough=all(self._independent_enough(t) for t in measure.targets),
            comparable=self.comparable,
            overlap=self.division.drops[Drop.EVALUATION_OVERLAPS_CHAMPION],
            units=units,
            needed=needed,
        )
        errors = [
            standard_error(measure.metric.name, size, self._error_rate(t))
            for size, t in zip(sizes, measure.targets, strict=True)
        ]
        error = max((e for e in errors if e is not None), default=None)
        if not gate.allow_underpowered:
            _require_chance(gate, f"spec.gates[{place}]", blocked, units, needed, error)
        smallest = None if error is None else detectable(gate, error)
        return GateNumbers(
            units=units,
            blocked=blocked,
            minimum_detectable=None if smallest is None else float(f"{smallest:.4g}"),
        )

    def _independent(self, target: int) -> Mask:
        return np.asarray((self.division.sides == EVALUATION) & self.facts.independent[:, target])

    def _independent_enough(self, target: int) -> bool:
        labelled = (self.division.sides == EVALUATION) & self.facts.labelled[:, target]
        return bool(self._independent(target).sum() >= LEAST_INDEPENDENT_SHARE * labelled.sum())

    def _units(self, measure: Measure) -> int:
        rows = np.logical_or.reduce([self._independent(t) for t in measure.targets])
        return len(np.unique(self.facts.unit[rows]))

    def _size(self, target: int) -> EvaluationSize:
        rows = self._independent(target)
        _, counts = np.unique(self.facts.unit[rows], return_counts=True)
        classes = self.facts.classes[rows, target]
        return EvaluationSize(
            rows=int(rows.sum()),
            units=len(counts),
            sum_of_squares=int((counts**2).sum()),
            class_rows=tuple(int(c) for c in np.bincount(classes[classes >= 0])),
        )

    def _error_rate(self, target: int) -> float:
        """Of the answers in service, where they are recorded beside an independent truth."""
        judged = self.facts.wrong[(self.division.sides != VALIDATION), target]
        judged = judged[~np.isnan(judged)]
        if len(judged):
            return float((judged.sum() + 1) / (len(judged) + 2))
        known = self.known_error_rates[target]
        return UNKNOWN_ERROR_RATE if known is None else known


def _require_chance(gate: Gate, field: str, blocked: str | None, units: int, needed: int, error: float | None) -> None:
    allow = "or set allowUnderpowered to train all the same"
    if blocked is not None:
        remedy = REMEDY_OF_BLOCK.get(blocked, "see the documentation of the gate")
        raise DataError(f"{field} cannot pass: {blocked}; {remedy}, {allow}", RunReason.UNDERPOWERED)
    if units < needed:
        raise DataError(
            f"{field} cannot pass: {units} evaluation units are labelled independently of the answer and "
            f"{needed} are needed (minimumUnits); collect more feedback, {allow}",
            RunReason.UNDERPOWERED,
        )
    if error is None or (chance := power(gate, error)) >= LEAST_POWER:
        return
    raise DataError(
        f"{field} would pass in {chance:.0%} of cases; below {LEAST_POWER:.0%} training is not worth it: "
        f"collect more feedback or widen the margin, {allow}",
        RunReason.UNDERPOWERED,
    )
