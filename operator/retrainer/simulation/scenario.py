"""A world to run an experiment in: who comes, how they are divided, and what they do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from retrainer.simulation.outcomes import Outcomes
from retrainer.simulation.sums import BASELINE, CANDIDATE, Floats, Ints, Sums


class Policy(Protocol):
    """Somebody who sets the weight instead of the ramp, for example by what was seen last."""

    def next_step(self, step: Ints, primary: Sums) -> Ints:
        """Step of the next window (runs,), from the current one and its outcomes of the primary metric."""


@dataclass(frozen=True)
class Scenario:
    """One world; `outcomes` in the order of the configuration's metrics.

    - `arrivals`: units of both arms that appear in a window, by its number; `poisson` makes them vary.
    - `odds`: odds ratio by which the split is off.
    - `policy`: moves the weight instead of the ramp's rules, at once and without transitional windows.
    - `truths`: true effects, turned so that larger is better, of metrics whose intervals are to be watched.
    - `to_the_end`: runs go on after their decision, to see what else is ever shown.
    """

    outcomes: tuple[Outcomes, ...]
    arrivals: Callable[[int], float]
    poisson: bool = False
    odds: float = 1.0
    policy: Policy | None = None
    truths: tuple[float | None, ...] = ()
    to_the_end: bool = False

    def exposures(self, rng: np.random.Generator, window: int, weight: Floats) -> Ints:
        """Units of each arm (runs, 2) in a window at the candidate's probability `weight` (runs,)."""
        expected = self.arrivals(window)
        both = rng.poisson(expected, len(weight)) if self.poisson else np.full(len(weight), round(expected))
        share = self.odds * weight / (self.odds * weight + 1 - weight)
        candidate = rng.binomial(both, share)
        return np.stack([candidate, both - candidate], axis=-1)


@dataclass(frozen=True)
class Chasing:
    """Raises the weight after a window in which the candidate did better, lowers it after another."""

    last: int
    """Index of the highest step."""

    def next_step(self, step: Ints, primary: Sums) -> Ints:
        rate = primary.total / np.maximum(primary.n, 1)
        better = rate[:, CANDIDATE] > rate[:, BASELINE]
        moved: Ints = np.clip(step + np.where(better, 1, -1), 0, self.last)
        return moved
