"""What became of every run, and shares and quantiles of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from retrainer.api.v1alpha1.ab_experiment import ExperimentReason as Reason
from retrainer.simulation.nulls import VERDICTS
from retrainer.simulation.rules import ACTIONS, REASONS
from retrainer.simulation.sums import Bools, Codes, Floats


@dataclass(frozen=True)
class Results:
    """How each run ended; arrays have an entry per run.

    - `actions`, `reasons`: codes of `rules.ACTIONS` and `rules.REASONS`.
    - `seconds` since the start and `units` counted, both arms, at the decision.
    - `first` (runs, metrics, verdicts): units when a metric first showed a verdict (codes of `nulls.VERDICTS`);
      NaN where it never did.
    - `alarmed`: units when the split first counted as broken; NaN where it never did.
    - `missed` (runs, metrics, 2): whether the interval's lower, upper end ever excluded the true effect.
    """

    actions: Codes
    reasons: Codes
    seconds: Floats
    units: Floats
    first: Floats
    alarmed: Floats
    missed: Bools

    @property
    def runs(self) -> int:
        """How many."""
        return len(self.actions)

    def share(self, action: str) -> float:
        """Share of the runs that ended with this action."""
        return float(np.mean(self.actions == ACTIONS.index(action)))

    def because(self, *reasons: Reason) -> float:
        """Share of the runs that ended for one of these reasons."""
        return float(np.mean(np.isin(self.reasons, [REASONS.index(r) for r in reasons])))

    def ever(self, verdict: str, metric: int = 0) -> float:
        """Share of the runs in which a metric showed this verdict before they ended."""
        return float(np.mean(~np.isnan(self.first[:, metric, VERDICTS.index(verdict)])))

    def units_to(self, verdict: str, share: float, metric: int = 0) -> float:
        """Units after which this share of the runs had shown the metric's verdict; infinite if fewer ever did."""
        units = self.first[:, metric, VERDICTS.index(verdict)]
        return float(np.quantile(np.where(np.isnan(units), math.inf, units), share, method="higher"))

    def alarms(self) -> float:
        """Share of the runs in which the split ever counted as broken."""
        return float(np.mean(~np.isnan(self.alarmed)))

    @property
    def coverage(self) -> float:
        """Share of the runs in which no interval ever excluded the true effect."""
        return float(1 - np.mean(self.missed.any(axis=(1, 2))))


def joined(parts: Sequence[Results]) -> Results:
    """All runs of several blocks."""
    return Results(*(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(Results)))


def standard_error(share: float, runs: int) -> float:
    """Of a share that was estimated from so many runs."""
    return math.sqrt(share * (1 - share) / runs)
