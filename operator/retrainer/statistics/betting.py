"""Formula 2: betting e-process for outcomes in [0, 1], valid at every look for any weights and base rates.

Capital is staked on x = s·[(Z − w)(Y − m) − w(1 − w)δ], whose expectation is at most 0 while the effect is on
the null's side of δ in every window (cf. Waudby-Smith, Wu, Ramdas, Karampatziakis, Mineiro, "Anytime-valid
off-policy inference for contextual bandits", arXiv 2210.10768, section 4). A fixed mixture of seven bets makes
it adaptive without tuning. A rejection says "not on that side in *every* window".

Shapes: "…" are leading axes of the counts (none in the operator, runs in a simulation), C nulls, J bets.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

MULTIPLES: Array = np.array([0.25, 0.5, 0.7, 1.0, 1.4, 2.0, 4.0])
"""Stakes relative to the one that is best for the planned effect."""
PRIOR: Array = np.array([1.0, 2.0, 3.0, 4.0, 3.0, 2.0, 1.0]) / 16.0
"""Share of the capital on each stake."""
SAFE_STAKE = 0.9
"""A stake never risks more than this share of its capital on one unit."""


@dataclass(frozen=True)
class Cells:
    """The four cells of a window, each of shape (…)."""

    candidate_successes: Any
    candidate_failures: Any
    baseline_successes: Any
    baseline_failures: Any


def bets(effect: float, rate: float) -> Array:
    """The seven stakes θ_j (J,) for an effect of `effect` > 0 at a planned rate in (0, 1)."""
    if not effect > 0 or not 0 < rate < 1:
        raise ValueError(f"need a positive effect and a rate strictly between 0 and 1: {effect}, {rate}")
    return stakes(effect, rate * (1 - rate))


def stakes(effect: float, variance: float) -> Array:
    """The seven stakes θ_j (J,) for an effect of `effect` > 0 on outcomes whose planned variance is `variance` > 0."""
    if not effect > 0 or not variance > 0:
        raise ValueError(f"need a positive effect and a positive variance: {effect}, {variance}")
    return MULTIPLES * effect / variance


def log_growth(cells: Cells, weight: Any, mean: Any, deltas: Array, signs: Array, thetas: Array) -> Array:
    """ln of the factor by which one window of outcomes 0 or 1 multiplies each bet's capital: (…, C, J), exact.

    `weight` (…) in (0, 1); `mean` (…), fixed before the window; `deltas` and `signs` (C,) are the nulls: sign
    +1 rejects "the effect is at most δ", −1 rejects "at least δ". Stakes are cut so that one unit costs at
    most `SAFE_STAKE` of the capital, from what the window *could* contain, never from what it does.
    """
    gains = _gains(np.asarray(weight, float), np.asarray(mean, float), deltas, signs)
    safe, _ = _safe(gains, thetas)
    counts = np.stack(np.broadcast_arrays(*(np.asarray(c, float) for c in _fields(cells))), axis=-1)
    factors = np.log1p(safe[..., None] * gains[..., None, :])
    growth: Array = np.sum(factors * counts[..., None, None, :], axis=-1)
    return growth


def _fields(cells: Cells) -> tuple[Any, Any, Any, Any]:
    return cells.candidate_successes, cells.candidate_failures, cells.baseline_successes, cells.baseline_failures


@dataclass(frozen=True)
class Moments:
    """Sums of a window's scores (Z − w)(Y − m), each of shape (…): units, Σ, Σ of squares."""

    units: Any
    total: Any
    squares: Any


def log_growth_bounded(
    moments: Moments, weight: Any, mean: Any, deltas: Array, signs: Array, thetas: Array
) -> Array:
    """A lower bound of `log_growth` for outcomes anywhere in [0, 1], from sums alone: (…, C, J).

    With c = θL, L the largest loss a unit could bring: ln(1 + θx) ≥ θx + (θx)²·(ln(1 − c) + c)/c² for x ≥ −L (Fan,
    Grama, Liu, "Exponential inequalities for martingales with applications", 2015, lemma 4.1), so the capital is
    never more than that of the exact product and stays an e-process. Arguments as in `log_growth`.
    """
    w, m = np.asarray(weight, float), np.asarray(mean, float)
    safe, loss = _safe(_gains(w, m, deltas, signs), thetas)
    units, total, squares = (np.asarray(x, float)[..., None] for x in (moments.units, moments.total, moments.squares))
    shift = (w * (1 - w))[..., None] * deltas
    sums = signs * (total - units * shift)
    spread = np.maximum(squares - 2 * shift * total + units * shift**2, 0.0)
    growth: Array = safe * sums[..., None] + safe**2 * spread[..., None] * _curvature(safe * loss)
    return growth


def _curvature(c: Array) -> Array:
    """(ln(1 − c) + c)/c², by its series where that would cancel."""
    small = c < 1e-3
    safe = np.where(small, 0.5, c)
    series: Array = -(0.5 + c / 3 + c**2 / 4 + c**3 / 5)
    return np.where(small, series, (np.log1p(-safe) + safe) / safe**2)


def _safe(gains: Array, thetas: Array) -> tuple[Array, Array]:
    """Stakes (…, C, J) that risk at most `SAFE_STAKE`, and the largest loss of a unit (…, C, 1)."""
    worst = np.maximum(np.max(-gains, axis=-1), 0.0)[..., None]
    with np.errstate(divide="ignore"):
        cap = np.where(worst > 0, SAFE_STAKE / worst, np.inf)
    return np.minimum(thetas, cap), worst


def _gains(weight: Array, mean: Array, deltas: Array, signs: Array) -> Array:
    """x of a unit in each of the four cells: (…, C, 4)."""
    w, m = weight[..., None], mean[..., None]
    scores = np.concatenate([(1 - w) * (1 - m), (1 - w) * -m, -w * (1 - m), w * m], axis=-1)
    shift = (w * (1 - w)) * deltas
    gains: Array = signs[:, None] * (scores[..., None, :] - shift[..., None])
    return gains


def log_evidence(log_capital: Array) -> Array:
    """ln of the e-value of each null: (…, C, J) → (…, C), the prior mixture of the bets."""
    top = np.max(log_capital, axis=-1, keepdims=True)
    mixed: Array = top[..., 0] + np.log(np.sum(PRIOR * np.exp(log_capital - top), axis=-1))
    return mixed
