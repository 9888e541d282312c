"""Weights of rows for unequal classes: with `Balanced` every class has the same total weight."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def balanced(codes: NDArray[np.float32], classes: int) -> NDArray[np.float64]:
    """The weight of a row of each class, (classes,): n / (k n_c) with k the classes that occur, as in
    scikit-learn (after King and Zeng 2001, "Logistic regression in rare events data"). All n rows weigh n together.

    `codes` (n) are places in the class list. A class that does not occur gets the weight 1."""
    counts = np.bincount(codes.astype(np.int64), minlength=classes).astype(np.float64)
    present = counts > 0
    return np.where(present, len(codes) / (max(1, int(present.sum())) * np.maximum(counts, 1)), 1.0)
