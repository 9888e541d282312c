"""Formula 4: is the split the one that was asked for? An e-process on units, one running sum per weight.

Formula 3, two-sided, with a unit of the candidate as the event. The odds ratio by which the split is off is
taken to be the same at every weight, so evidence adds up over a ramp; factors per window multiplied together
would find almost nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

SCALE = 0.1
"""Standard deviation of ln(odds ratio) in the mixture."""
ALARM = 1000.0
"""e-value from which the split counts as broken."""


@dataclass(frozen=True)
class Split:
    """Units seen per weight (per cent): weight → (candidate, both arms)."""

    units: Mapping[int, tuple[int, int]] = field(default_factory=dict)

    def add(self, weight_percent: int, candidate: int, both: int) -> Split:
        """With the units of one more window."""
        if not 0 <= candidate <= both:
            raise ValueError(f"candidate units {candidate} must lie between 0 and {both}")
        before = self.units.get(weight_percent, (0, 0))
        merged = {**self.units, weight_percent: (before[0] + candidate, before[1] + both)}
        return Split(dict(sorted(merged.items())))

    @property
    def total(self) -> int:
        """Units of both arms."""
        return sum(both for _, both in self.units.values())

    def candidate_at(self, weight_percent: int) -> int:
        """Units of the candidate seen at this weight."""
        return self.units.get(weight_percent, (0, 0))[0]

    @property
    def expected(self) -> float:
        """Candidate's share that was asked for, over the counted units; NaN without any."""
        total = self.total
        return sum(w * both for w, (_, both) in self.units.items()) / 100 / total if total else math.nan

    @property
    def observed(self) -> float:
        """Candidate's share that was seen; NaN without any units."""
        total = self.total
        return sum(candidate for candidate, _ in self.units.values()) / total if total else math.nan

    def log_evidence(self) -> float:
        """ln of the e-value against the split that was asked for; 0 without units."""
        from retrainer.statistics import events

        if not self.total:
            return 0.0
        candidate = sum(c for c, _ in self.units.values())
        totals = {w / 100: both for w, (_, both) in self.units.items()}
        return float(events.log_evidence(candidate, totals, events.mixture(SCALE, "Both")))

    @property
    def ok(self) -> bool:
        """No alarm."""
        return self.log_evidence() < math.log(ALARM)

    def to_json(self) -> list[list[int]]:
        """[[weight, candidate, both], …]."""
        return [[w, c, b] for w, (c, b) in self.units.items()]

    @classmethod
    def from_json(cls, rows: list[list[int]]) -> Split:
        """Inverse of `to_json`."""
        return cls({int(w): (int(c), int(b)) for w, c, b in rows})
