"""Formula 3: e-process for the share of events that fall to the candidate (rate ratio of two Poisson streams).

Extends Lindon & Malek, "Anytime-valid inference for multinomial count data" (arXiv 2011.03567): under a rate
ratio r an event is the candidate's with probability w·r/(w·r + 1 − w), whatever the base rate does. The ratio
is mixed over a (half-)normal of ln r. The mixture is a finite sum, so the process is exact, not a quadrature
that is nearly so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Side = Literal["Above", "Below", "Both"]

NODES = 161
"""Points of the mixture."""
REACH = 8.0
"""The mixture covers this many standard deviations."""


@dataclass(frozen=True)
class Mixture:
    """Points ln r (K,) and their weights (K,), which sum to 1."""

    log_ratios: Array
    weights: Array


@lru_cache(maxsize=16)
def mixture(scale: float, side: Side, log_null: float = 0.0) -> Mixture:
    """(Half-)normal of ln r with standard deviation `scale`, beginning or centred at ln r₀ = `log_null`."""
    if not scale > 0:
        raise ValueError(f"scale must be positive, not {scale}")
    points, lengths = _legendre()
    low, high = {"Above": (0.0, REACH), "Below": (-REACH, 0.0), "Both": (-REACH, REACH)}[side]
    normal = (high - low) / 2 * points + (high + low) / 2
    weights = lengths * np.exp(-(normal**2) / 2)
    return Mixture(log_null + scale * normal, weights / weights.sum())


@lru_cache(maxsize=1)
def _legendre() -> tuple[Array, Array]:
    return np.polynomial.legendre.leggauss(NODES)


def log_evidence(
    candidate: Any, totals: Mapping[float, Any], blend: Mixture, log_null: float = 0.0
) -> NDArray[np.float64]:
    """ln of the e-value against the rate ratio r₀ = exp(`log_null`): shape (…) of the counts.

    `candidate` (…) events of the candidate, over all weights; `totals` maps a weight w in (0, 1) to the events
    (…) of both arms seen at it. O(weights · nodes), whatever the number of windows.
    """
    exponent = np.asarray(candidate, float)[..., None] * (blend.log_ratios - log_null)
    for weight, total in totals.items():
        if not 0 < weight < 1:
            raise ValueError(f"weight must lie strictly between 0 and 1, not {weight}")
        share = np.log1p(weight * np.expm1(blend.log_ratios)) - np.log1p(weight * np.expm1(log_null))
        exponent = exponent - np.asarray(total, float)[..., None] * share
    top = np.max(exponent, axis=-1, keepdims=True)
    mixed: Array = top[..., 0] + np.log(np.sum(blend.weights * np.exp(exponent - top), axis=-1))
    return mixed
