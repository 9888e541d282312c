"""A row of the gate: what is asked, what was promised, and how it is found out."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["Share", "Units", "Ratio"]

LARGEST = 3.0
"""Standard errors by which a simulated share may lie above what is promised of the true one."""


@dataclass(frozen=True)
class Measure:
    """One number of a row, with its bounds, if any were promised."""

    label: str
    kind: Kind = "Share"
    at_most: float = math.inf
    at_least: float = -math.inf

    def kept(self, value: float) -> bool:
        """Whether the promise is kept."""
        return self.at_least <= value <= self.at_most

    def text(self, value: float) -> str:
        """The number for people; shares as per cent."""
        if math.isinf(value):
            return "never"
        if self.kind == "Units":
            return f"{value:,.0f}"
        if self.kind == "Ratio":
            return f"{value:.2f}"
        return "100 %" if value == 1 else f"{value * 100:.{1 if value < 0.995 else 2}f} %"


@dataclass(frozen=True)
class Row:
    """One line of the table; `compute` simulates and gives one number for each of `measures`.

    `target` and `prototype` are the texts of the design; empty where it promised nothing.
    """

    key: str
    text: str
    measures: tuple[Measure, ...]
    compute: Callable[[], Sequence[float]]
    runs: int
    target: str = ""
    prototype: str = ""

    def values(self) -> tuple[float, ...]:
        """Simulate; raises ValueError unless there is a number for each measure."""
        values = tuple(float(v) for v in self.compute())
        if len(values) != len(self.measures):
            raise ValueError(f"{self.key}: {len(values)} numbers for {len(self.measures)} measures")
        return values


@dataclass(frozen=True)
class Section:
    """Rows that belong together, with a heading and a sentence about them."""

    title: str
    words: str
    rows: tuple[Row, ...]


def alpha_bound(alpha: float, runs: int) -> float:
    """α plus `LARGEST` standard errors of a share that is α."""
    return alpha + LARGEST * math.sqrt(alpha * (1 - alpha) / runs)
