"""Folds for cross-validation: whole units, with rows and classes spread evenly."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.digest import fraction
from trainer.errors import DataError


def grouped_folds(
    units: NDArray[Any], codes: NDArray[np.float32] | None, folds: int, seed: int, target: str
) -> NDArray[np.int64]:
    """The fold of each row, (n), independent of the order of rows; all rows of a unit are in one fold.

    Units go, the greatest first and equal ones in the order of their hash, to the fold that has least of what they
    bring: each class counts as its share of all rows of the class, so that rare classes are spread too. `codes` (n)
    are the rows' classes, None for numbers. Raises DataError where there are fewer units than folds."""
    names, inverse = np.unique(units.astype(str), return_inverse=True)
    if len(names) < folds:
        raise DataError(too_few_units(target, len(names), folds))
    classes = np.zeros(len(units), dtype=np.int64) if codes is None else codes.astype(np.int64)
    brought = np.zeros((len(names), int(classes.max()) + 1))
    np.add.at(brought, (inverse, classes), 1)
    rows = brought.sum(axis=1)
    shares = brought / np.maximum(brought.sum(axis=0), 1)
    places = np.array([fraction(str(seed), "fold", name) for name in names])
    fold_of_unit = np.zeros(len(names), dtype=np.int64)
    held, held_rows = np.zeros((folds, shares.shape[1])), np.zeros(folds)
    for unit in np.lexsort((places, -rows)):
        fold = int(np.lexsort((held_rows, held @ shares[unit]))[0])
        fold_of_unit[unit] = fold
        held[fold] += shares[unit]
        held_rows[fold] += rows[unit]
    return fold_of_unit[inverse]


def too_few_units(target: str, units: int, folds: int) -> str:
    """What a person reads where the folds cannot be made."""
    return (
        f"target {target}: {units} units among the labelled training rows cannot be divided into "
        f"tuning.folds = {folds} parts; collect more feedback or lower spec.method.xgboost.tuning.folds"
    )
