"""Array twin of `statistics.sample_ratio`: is the split the one that was asked for, in many runs?"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from retrainer.simulation.sums import CANDIDATE, Bools, Floats, Ints
from retrainer.statistics import events
from retrainer.statistics.sample_ratio import ALARM, SCALE


@dataclass
class SplitTrack:
    """Units of the candidate and of both arms, by step and run: (steps, runs)."""

    weights: Floats
    candidate: Floats
    both: Floats

    def add(self, step: Ints, exposures: Floats) -> None:
        """The exposures (runs, 2) of one more window."""
        runs = np.arange(len(step))
        self.candidate[step, runs] += exposures[:, CANDIDATE]
        self.both[step, runs] += exposures.sum(axis=1)

    def log_evidence(self) -> Floats:
        """ln of the e-value of every run."""
        totals = dict(zip(self.weights.tolist(), self.both, strict=True))
        return events.log_evidence(self.candidate.sum(axis=0), totals, events.mixture(SCALE, "Both"))

    def ok(self) -> Bools:
        """No alarm. A mixture cannot exceed the best likelihood ratio, which is cheap, so few runs need more."""
        doubtful = np.flatnonzero(self._largest() >= math.log(ALARM))
        fine = np.ones(self.both.shape[1], bool)
        if len(doubtful):
            part = SplitTrack(self.weights, self.candidate[:, doubtful], self.both[:, doubtful])
            fine[doubtful] = part.log_evidence() < math.log(ALARM)
        return fine

    def _largest(self) -> Floats:
        """Σ n·KL(observed ‖ asked) over the weights: no odds ratio explains the counts better than this."""
        share = self.candidate / np.maximum(self.both, 1)
        weight = self.weights[:, None]
        with np.errstate(divide="ignore", invalid="ignore"):
            ones = np.where(share > 0, share * np.log(share / weight), 0.0)
            zeros = np.where(share < 1, (1 - share) * np.log((1 - share) / (1 - weight)), 0.0)
        largest: Floats = np.sum(self.both * (ones + zeros), axis=0)
        return largest

    def take(self, runs: Ints) -> None:
        """Keep only these runs."""
        self.candidate, self.both = self.candidate[:, runs], self.both[:, runs]


def start(weights: Floats, runs: int) -> SplitTrack:
    """The track before the first window."""
    return SplitTrack(weights, np.zeros((len(weights), runs)), np.zeros((len(weights), runs)))
