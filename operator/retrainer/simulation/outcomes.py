"""What people do, in a simulation: outcomes of the units of one window, for every run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from retrainer.simulation.sums import Floats, Ints, Sums


@dataclass(frozen=True)
class Moment:
    """A window: its number, and per run (runs,) the step of the ramp and the candidate's probability.

    `earlier` are the outcomes of the metrics that were drawn before, in the configuration's order.
    """

    window: int
    step: Ints
    weight: Floats
    earlier: tuple[Sums, ...] = ()


Rate = Callable[[Moment], Floats | float]
"""Mean outcome of the baseline in a window, per run or for all."""


class Outcomes(Protocol):
    """One metric of one world."""

    def draw(self, rng: np.random.Generator, exposures: Ints, moment: Moment) -> Sums:
        """Outcomes of `exposures` (runs, 2) units."""


def flat(rate: float) -> Rate:
    """The same rate always."""
    return lambda moment: rate


@dataclass(frozen=True)
class Binary:
    """Outcomes 0 or 1; the candidate's rate is `base` + `effect`, cut to [0, 1].

    `answered` is the probability that an outcome is ever known: ((candidate's successes, candidate's failures),
    (baseline's successes, baseline's failures)).
    """

    base: Rate
    effect: float = 0.0
    answered: tuple[tuple[float, float], tuple[float, float]] = ((1.0, 1.0), (1.0, 1.0))

    def draw(self, rng: np.random.Generator, exposures: Ints, moment: Moment) -> Sums:
        base = np.broadcast_to(np.asarray(self.base(moment), float), moment.weight.shape)
        rates = np.clip(np.stack([base + self.effect, base], axis=-1), 0, 1)
        known = np.array(self.answered)
        successes = rng.binomial(exposures, rates * known[:, 0])
        if np.all(known == 1):
            total = successes.astype(float)
            return Sums(exposures.astype(float), total, total, np.zeros_like(total))
        left = 1 - rates * known[:, 0]
        chance = np.divide((1 - rates) * known[:, 1], left, out=np.zeros_like(left), where=left > 0)
        failures = rng.binomial(exposures - successes, np.clip(chance, 0, 1))
        n = (successes + failures).astype(float)
        return Sums(n, successes.astype(float), successes.astype(float), exposures - n)


@dataclass(frozen=True)
class Mirror:
    """The opposite of the first metric's outcomes, as dislikes are of likes where there is nothing in between."""

    def draw(self, rng: np.random.Generator, exposures: Ints, moment: Moment) -> Sums:
        first = moment.earlier[0]
        return Sums(first.n, first.n - first.total, first.n - 2 * first.total + first.squares, first.missing)


@dataclass(frozen=True)
class Companion:
    """Another outcome, 0 or 1, of the units whose first metric's outcome is known; independent of it."""

    base: Rate
    effect: float = 0.0

    def draw(self, rng: np.random.Generator, exposures: Ints, moment: Moment) -> Sums:
        first = moment.earlier[0]
        known = Binary(self.base, self.effect).draw(rng, first.n.astype(int), moment)
        return Sums(known.n, known.total, known.squares, first.missing)


@dataclass(frozen=True)
class Events:
    """Events that are only counted, `base` per unit of the baseline and `ratio` times as many of the candidate."""

    base: Rate
    ratio: float = 1.0

    def draw(self, rng: np.random.Generator, exposures: Ints, moment: Moment) -> Sums:
        base = np.broadcast_to(np.asarray(self.base(moment), float), moment.weight.shape)
        counts = rng.poisson(exposures * np.stack([base * self.ratio, base], axis=-1)).astype(float)
        return Sums(exposures.astype(float), counts, counts, np.zeros_like(counts))
