"""Sufficient statistics of one arm: what every formula here is computed from."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class ArmSums:
    """Outcomes y of one arm, in one window or over many.

    `n` units with an outcome, `total` Σy, `squares` Σy², `missing` units without an outcome.
    """

    n: int = 0
    total: float = 0.0
    squares: float = 0.0
    missing: int = 0

    def __post_init__(self) -> None:
        if self.n < 0 or self.missing < 0 or self.squares < 0:
            raise ValueError(f"counts cannot be negative: {self}")
        if not (math.isfinite(self.total) and math.isfinite(self.squares)):
            raise ValueError(f"sums must be finite: {self}")

    def __add__(self, other: ArmSums) -> ArmSums:
        return ArmSums(
            self.n + other.n,
            self.total + other.total,
            self.squares + other.squares,
            self.missing + other.missing,
        )

    @property
    def exposures(self) -> int:
        """Units that got an answer of this arm, with or without an outcome."""
        return self.n + self.missing

    def with_missing_as_zero(self) -> ArmSums:
        """Outcomes per exposure: a unit without an outcome counts as y = 0."""
        return ArmSums(self.exposures, self.total, self.squares, 0)

    def complement(self) -> ArmSums:
        """The sums of 1 − y, so that a metric that should decrease becomes one that should increase."""
        squares = max(self.n - 2 * self.total + self.squares, 0.0)
        return ArmSums(self.n, self.n - self.total, squares, self.missing)

    def negated(self) -> ArmSums:
        """The sums of −y: `complement` for outcomes without bounds."""
        return ArmSums(self.n, -self.total, self.squares, self.missing)

    @property
    def squares_about_mean(self) -> float:
        """Σ(y − ȳ)²; 0 without units. Rounding never makes it negative."""
        return max(self.squares - self.total**2 / self.n, 0.0) if self.n else 0.0

    def to_json(self) -> list[float]:
        """[n, Σy, Σy², missing]."""
        return [self.n, self.total, self.squares, self.missing]

    @classmethod
    def from_json(cls, values: list[float]) -> ArmSums:
        """Inverse of `to_json`; raises ValueError where it is not four numbers."""
        n, total, squares, missing = values
        return cls(int(n), float(total), float(squares), int(missing))


def binary(successes: int, n: int, missing: int = 0) -> ArmSums:
    """Sums of outcomes that are 0 or 1; raises ValueError unless 0 ≤ successes ≤ n."""
    if not 0 <= successes <= n:
        raise ValueError(f"successes must lie between 0 and n, not {successes} of {n}")
    return ArmSums(n, float(successes), float(successes), missing)
