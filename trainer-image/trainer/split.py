"""Three sides of a data set: train, validation and evaluation, independent of the order of rows.

Evaluation is later than training and of other units, so that neither time nor people leak. With a share s of
units and of time on each side, s = sqrt(evaluationPercent): rows that are early or of other units, but not
both, are on neither side. Validation is cut from training by unit."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from retrainer.api.v1alpha1.training_parts import DataSelection
from trainer.digest import fraction
from trainer.rows import Drop
from trainer.selection import Mask
from trainer.spool import Facts

NOWHERE, TRAIN, VALIDATION, EVALUATION = 0, 1, 2, 3
SIDE_NAMES = {TRAIN: "train", VALIDATION: "validation", EVALUATION: "evaluation"}
TIME_WITH_DISJOINT_UNITS = "TimeWithDisjointUnits"
_LEAST_LEARNING_KEPT = 0.5
"""A fallback may cost at most this share of the training rows."""


@dataclass(frozen=True)
class ChampionPast:
    """What the champion may have learnt from."""

    through: int | None = None
    """Latest time, microseconds since 1970; None where unknown."""
    identities: NDArray[np.bytes_] = field(default_factory=lambda: np.array([], dtype="S32"))
    """Identity keys of the rows it was trained on."""


@dataclass(frozen=True)
class Division:
    """Where each row went."""

    sides: NDArray[np.int8]
    """Per row of the spool: NOWHERE, TRAIN, VALIDATION or EVALUATION."""
    used: str
    """The split that was used; differs from the spec's where that left too little to evaluate on."""
    drops: Counter[str]
    """Rows of the choice that are on no side, by reason."""

    def count(self, side: int) -> int:
        return int((self.sides == side).sum())


def divide(facts: Facts, keep: Mask, data: DataSelection, past: ChampionPast, needed_units: int) -> Division:
    """Divide the rows in `keep`.

    `needed_units` is the number of independent evaluation units that the gates demand (0 without such a gate)."""
    learn, evaluation = _sides(facts, keep, data)
    division = _finish(facts, keep, learn, evaluation, data, past, data.split)
    if data.split != "UnitAndTime" or _enough(facts, division, keep, data, needed_units):
        return division
    learn, evaluation = _time_with_disjoint_units(facts, keep, data.evaluation_percent / 100)
    other = _finish(facts, keep, learn, evaluation, data, past, TIME_WITH_DISJOINT_UNITS)
    return other if _better(facts, other, division) else division


def _sides(facts: Facts, keep: Mask, data: DataSelection) -> tuple[Mask, Mask]:
    share = data.evaluation_percent / 100
    if data.split == "UnitAndTime":
        share = math.sqrt(share)
        late, chosen = _late(facts, keep, share), facts.unit_fraction < share
        return keep & ~late & ~chosen, keep & late & chosen
    if data.split == "Unit":
        evaluation = facts.unit_fraction < share
    elif data.split == "Time":
        evaluation = _late(facts, keep, share)
    else:
        evaluation = _row_fractions(facts, data.seed) < share
    return keep & ~evaluation, keep & evaluation


def _row_fractions(facts: Facts, seed: int) -> NDArray[np.float64]:
    """Each row's place in [0, 1), by the seed."""
    return np.array([fraction(str(seed), "row", key.decode()) for key in facts.identity.tolist()], dtype=np.float64)


def _late(facts: Facts, keep: Mask, share: float) -> Mask:
    """Rows after the cut that leaves the last `share` of rows behind it; rows at the cut itself are early."""
    times = np.sort(facts.times[keep])
    if not len(times):
        return np.zeros_like(keep)
    place = min(len(times), max(1, math.ceil(len(times) * (1 - share))))
    return np.asarray(facts.times > times[place - 1])


def _time_with_disjoint_units(facts: Facts, keep: Mask, share: float) -> tuple[Mask, Mask]:
    late = keep & _late(facts, keep, share)
    seen = np.isin(facts.unit, np.unique(facts.unit[late]))
    return keep & ~late & ~seen, late


def _finish(
    facts: Facts,
    keep: Mask,
    learn: Mask,
    evaluation: Mask,
    data: DataSelection,
    past: ChampionPast,
    used: str,
) -> Division:
    overlap = evaluation & _known_to(past, facts)
    validation = _validation(facts, learn, data.validation_percent / 100)
    sides = np.zeros(len(facts), dtype=np.int8)
    sides[learn] = TRAIN
    sides[validation] = VALIDATION
    sides[evaluation & ~overlap] = EVALUATION
    drops = Counter(
        {
            str(Drop.SPLIT_DISCARDED): int((keep & ~learn & ~evaluation).sum()),
            str(Drop.EVALUATION_OVERLAPS_CHAMPION): int(overlap.sum()),
        }
    )
    return Division(sides=sides, used=used, drops=+drops)


def _known_to(past: ChampionPast, facts: Facts) -> Mask:
    known = np.isin(facts.identity, past.identities)
    return known if past.through is None else known | (facts.times <= past.through)


def _validation(facts: Facts, learn: Mask, share: float) -> Mask:
    """Whole units, in the order of their hash, as long as their rows fit the share."""
    validation = np.zeros_like(learn)
    places = np.flatnonzero(learn)
    if not len(places):
        return validation
    units, first, inverse, counts = np.unique(
        facts.unit[places], return_index=True, return_inverse=True, return_counts=True
    )
    order = np.argsort(facts.validation_fraction[places][first], kind="stable")
    fits = np.cumsum(counts[order]) <= share * len(places)
    chosen = np.zeros(len(units), dtype=bool)
    chosen[order[fits]] = True
    validation[places[chosen[inverse]]] = True
    return validation


def independent_units(facts: Facts, division: Division) -> int:
    """Units of evaluation rows of which some truth is independent of the answer."""
    rows = (division.sides == EVALUATION) & facts.independent.any(axis=1)
    return len(np.unique(facts.unit[rows]))


def _enough(facts: Facts, division: Division, keep: Mask, data: DataSelection, needed_units: int) -> bool:
    aimed = keep.sum() * data.evaluation_percent / 100
    if division.count(EVALUATION) < aimed / 2:
        return False
    return independent_units(facts, division) >= needed_units


def _better(facts: Facts, other: Division, division: Division) -> bool:
    def learning(d: Division) -> int:
        return d.count(TRAIN) + d.count(VALIDATION)

    if other.count(TRAIN) == 0 or learning(other) < _LEAST_LEARNING_KEPT * learning(division):
        return False
    measured = (independent_units(facts, other), other.count(EVALUATION))
    return measured > (independent_units(facts, division), division.count(EVALUATION))
