"""Formula 3 over many windows whose split differs: the likelihood of ln r, kept on fixed nodes.

Where requests are counted, w is another number in every window, so no finite set of sums holds the product of
formula 3. What does is ln L(r) = Σ [z ln r − n ln(w r + 1 − w)] at the nodes of the mixtures: the factor of a window
under r against r₀ is L(r)/L(r₀) exactly. O(nodes) per window.

Nodes are those of the two mixtures that give the verdicts (Worse above r₀ = 1, NotWorse below r₀ = 1 + margin), and a
grid on which each node is in turn the null r₀, for the interval.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from retrainer.statistics import events
from retrainer.statistics.events import Array

STEP = 1 / 32
"""Distance of neighbouring nulls in ln r."""
SCALE = 0.5
"""Standard deviation of ln r in the mixtures."""
REACH = 4.0
"""The nulls cover rate ratios between exp(−4) and exp(4)."""


@dataclass(frozen=True)
class Nodes:
    """`points` ln r (K,): first the nulls (N,), ascending, 0 and ln(1 + margin) exactly among them at `none` and
    `margin`; then those of the mixture above 0; then those of the mixture below ln(1 + margin)."""

    points: Array
    nulls: Array
    none: int
    margin: int


@dataclass(frozen=True)
class LogEvidence:
    """ln e-values (N,) against "the ratio is at most", and "at least", that of each null; −inf for hopeless ones."""

    above: Array
    below: Array


@lru_cache(maxsize=64)
def nodes(log_margin: float) -> Nodes:
    """Where ln L is kept for a margin; raises ValueError unless ln(1 + margin) lies in (0, 4)."""
    if not 0 < log_margin < REACH:
        raise ValueError(f"log_margin must lie between 0 and {REACH}, not {log_margin}")
    cells = round(REACH / STEP)
    nulls = np.union1d(STEP * np.arange(-cells, cells + 1), [log_margin])
    none, margin = np.searchsorted(nulls, [0.0, log_margin]).tolist()
    above, below = _verdict_mixtures(log_margin)
    return Nodes(np.concatenate([nulls, above.log_ratios, below.log_ratios]), nulls, none, margin)


def _verdict_mixtures(log_margin: float) -> tuple[events.Mixture, events.Mixture]:
    return events.mixture(SCALE, "Above"), events.mixture(SCALE, "Below", log_margin)


def log_likelihood(candidate: float, both: float, weight: float, log_ratios: Array) -> Array:
    """ln L of one window at each ln r, shape (K,): `candidate` of `both` arms' events at a split `weight` in [0, 1]."""
    growth: Array = candidate * log_ratios - both * np.log1p(weight * np.expm1(log_ratios))
    return growth


def log_evidence(log_likelihoods: Array, log_margin: float) -> LogEvidence:
    """The evidence against every null, from ln L at `nodes(log_margin).points`.

    At 0 (above) and ln(1 + margin) (below) it is the half-normal mixture of `events.mixture`; elsewhere a coarser
    one whose nodes are the nulls. Each is a finite mixture and exact as such.
    """
    where, (worse, not_worse) = nodes(log_margin), _verdict_mixtures(log_margin)
    on_nulls, on_worse, on_not_worse = np.split(
        log_likelihoods, [len(where.nulls), len(where.nulls) + len(worse.weights)]
    )
    top = on_nulls.max()
    above, below = _null_mixtures(log_margin)
    with np.errstate(divide="ignore"):
        result = LogEvidence(*(np.log(m @ np.exp(on_nulls - top)) + top - on_nulls for m in (above, below)))
    result.above[where.none] = _log_mean(on_worse, worse.weights) - on_nulls[where.none]
    result.below[where.margin] = _log_mean(on_not_worse, not_worse.weights) - on_nulls[where.margin]
    return result


def _log_mean(values: Array, weights: Array) -> float:
    top = values.max()
    return float(top + np.log(weights @ np.exp(values - top)))


@lru_cache(maxsize=64)
def _null_mixtures(log_margin: float) -> tuple[Array, Array]:
    """Half-normal weights on the nulls above, and below, each null: two (N, N), a row for each; rows sum to 1.

    The outermost null has itself as its only alternative: its e-value is 1.
    """
    nulls = nodes(log_margin).nulls
    distance = nulls[None, :] - nulls[:, None]
    density = np.exp(-((distance / SCALE) ** 2) / 2) * np.gradient(nulls)
    np.fill_diagonal(density, density.diagonal() / 2)
    above, below = np.triu(density), np.tril(density)
    return above / above.sum(axis=1, keepdims=True), below / below.sum(axis=1, keepdims=True)
