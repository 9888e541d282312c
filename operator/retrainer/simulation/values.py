"""What people do beyond yes and no: ratings, latencies, and people who come back within a window."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from retrainer.simulation.outcomes import Moment, Rate, flat
from retrainer.simulation.sums import CANDIDATE, Floats, Ints, Sums


@dataclass(frozen=True)
class Ratings:
    """Stars, scaled to equal steps from 0 to 1, with these probabilities for the baseline at rest.

    `shift` moves so much probability from the lowest to the highest rating for everybody, `effect` so much more for
    the candidate: it is the difference of the means.
    """

    probabilities: tuple[float, ...]
    effect: float = 0.0
    shift: Rate = flat(0.0)

    def draw(self, rng: np.random.Generator, exposures: Ints, moment: Moment) -> Sums:
        shift = np.broadcast_to(np.asarray(self.shift(moment), float), moment.weight.shape)
        moved = np.stack([shift + self.effect, shift], axis=-1)
        levels = np.linspace(0, 1, len(self.probabilities))
        left, chance = exposures, np.ones_like(moved)
        total, squares = np.zeros_like(moved), np.zeros_like(moved)
        for i, level in enumerate(levels[:-1]):
            probability = np.clip(self.probabilities[i] - (moved if i == 0 else 0.0), 0, 1)
            count = rng.binomial(left, np.clip(probability / np.maximum(chance, 1e-12), 0, 1))
            left, chance = left - count, chance - probability
            total, squares = total + count * level, squares + count * level**2
        total, squares = total + left, squares + left
        return Sums(exposures.astype(float), total, squares, np.zeros_like(total))


@dataclass(frozen=True)
class Lognormal:
    """Skewed and unbounded, like latencies: mean `base`, times 1 + `effect` for the candidate; `sigma` is the
    standard deviation of the logarithm."""

    base: Rate
    sigma: float
    effect: float = 0.0

    def draw(self, rng: np.random.Generator, exposures: Ints, moment: Moment) -> Sums:
        base = np.broadcast_to(np.asarray(self.base(moment), float), moment.weight.shape)
        n1, both = exposures[:, CANDIDATE, None], exposures.sum(axis=1)[:, None]
        order = np.arange(int(both.max(initial=0)))
        values = np.exp(rng.normal(-(self.sigma**2) / 2, self.sigma, (len(base), len(order)))) * base[:, None]
        values *= np.where(order < n1, 1 + self.effect, 1.0) * (order < both)
        candidate = np.where(order < n1, values, 0.0)
        total = np.stack([candidate.sum(axis=1), values.sum(axis=1) - candidate.sum(axis=1)], axis=-1)
        first = (candidate**2).sum(axis=1)
        squares = np.stack([first, np.maximum((values**2).sum(axis=1) - first, 0.0)], axis=-1)
        return Sums(exposures.astype(float), total, squares, np.zeros_like(total))


@dataclass(frozen=True)
class Normal:
    """Unbounded outcomes with mean `base` (+ `effect` for the candidate) and this variance."""

    base: Rate
    variance: float
    effect: float = 0.0

    def draw(self, rng: np.random.Generator, exposures: Ints, moment: Moment) -> Sums:
        base = np.broadcast_to(np.asarray(self.base(moment), float), moment.weight.shape)
        mean, n = np.stack([base + self.effect, base], axis=-1), exposures.astype(float)
        total = n * mean + np.sqrt(n * self.variance) * rng.standard_normal(n.shape)
        # Mean and Σ(y − ȳ)² of normal outcomes are independent, the latter a χ² with n − 1 degrees of freedom.
        about = np.where(n > 1, 2 * rng.standard_gamma(np.maximum(n - 1, 1) / 2), 0.0) * self.variance
        squares = about + total**2 / np.maximum(n, 1)
        return Sums(n, total, squares, np.zeros_like(n))


@dataclass(frozen=True)
class People:
    """Votes of people who vote `votes` times in a window and are alike themselves: intraclass correlation `icc`.

    Arms are divided `by` request or by user, and what is counted is every vote, or every user once with the mean of
    their votes. `exposures` are votes; they are divided here anew, as the division is what matters.
    """

    base: float
    icc: float
    votes: int
    by: Literal["Request", "User"]
    counted: Literal["Votes", "Users"]
    effect: float = 0.0

    def draw(self, rng: np.random.Generator, exposures: Ints, moment: Moment) -> Sums:
        users = int(exposures[0].sum()) // self.votes
        concentration = (1 - self.icc) / self.icc
        shape = (len(moment.weight), users)
        own = rng.beta(self.base * concentration, (1 - self.base) * concentration, shape)
        asked = self._divided(rng, moment.weight, shape)
        rates = np.clip(np.stack([own + self.effect, own], axis=-1), 0, 1)
        positive = rng.binomial(asked, rates)
        if self.counted == "Votes":
            return _of_votes(asked.sum(axis=1), positive.sum(axis=1))
        means, seen = positive / np.maximum(asked, 1), asked > 0
        n = seen.sum(axis=1).astype(float)
        return Sums(n, means.sum(axis=1), (means**2).sum(axis=1), np.zeros_like(n))

    def _divided(self, rng: np.random.Generator, weight: Floats, shape: tuple[int, int]) -> Ints:
        """Votes of every user asked of the candidate and of the baseline: (runs, users, 2)."""
        if self.by == "Request":
            candidate = rng.binomial(self.votes, weight[:, None], shape)
        else:
            candidate = self.votes * rng.binomial(1, weight[:, None], shape)
        return np.stack([candidate, self.votes - candidate], axis=-1)


@dataclass(frozen=True)
class Bursts:
    """Errors of which a few users see many: a share `affected` of the users sees about `each`, the others none.

    `exposures` are users. Counted is every error, or every user with at least one.
    """

    affected: float
    each: float
    counted: Literal["Errors", "Users"]
    ratio: float = 1.0

    def draw(self, rng: np.random.Generator, exposures: Ints, moment: Moment) -> Sums:
        users = rng.binomial(exposures, self.affected * np.array([self.ratio, 1.0]))
        # Whoever is affected sees one at least; the others of a burst follow by chance.
        counts = users + rng.poisson(users * (self.each - 1)) if self.counted == "Errors" else users
        total = counts.astype(float)
        return Sums(exposures.astype(float), total, total, np.zeros_like(total))


def _of_votes(asked: Ints, positive: Ints) -> Sums:
    n, total = asked.astype(float), positive.astype(float)
    return Sums(n, total, total, np.zeros_like(n))


