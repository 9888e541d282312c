"""Rules 1 to 8 of `ab_experiment.rules` for many runs at once; a test holds the two against each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from retrainer.ab_experiment.rules import Action
from retrainer.api.v1alpha1.ab_experiment import ExperimentReason as Reason
from retrainer.simulation.sums import Bools, Floats

Codes = NDArray[np.int8]

VERDICTS = ("Undecided", "Better", "Worse", "TooSmall", "NotWorse")
"""Verdicts by their code."""
UNDECIDED, BETTER, WORSE, TOO_SMALL, NOT_WORSE = range(5)

ACTIONS: tuple[str, ...] = get_args(Action)
"""Actions by their code."""
REASONS = tuple(Reason)
"""Reasons by their code."""


@dataclass(frozen=True)
class Situations:
    """Array twin of `ab_experiment.rules.Situation`; every array has an entry per run.

    `primary` (runs,) and `guardrails` (runs, guardrails) are codes of `VERDICTS`.
    """

    primary: Codes
    guardrails: Codes
    elapsed_seconds: float
    minimum_seconds: int
    maximum_seconds: int
    split_ok: Bools
    step_units: Floats
    step_minimum: Floats
    last_step: Bools
    obstacle: Bools | bool = False
    held: Bools | bool = False


def evaluate(s: Situations) -> tuple[Codes, Codes]:
    """Action and reason of every run, as codes: the first rule that applies."""
    runs = len(s.primary)
    harmed, primary_worse = np.any(s.guardrails == WORSE, axis=1), s.primary == WORSE
    obstacle, held = np.broadcast_to(s.obstacle, runs), np.broadcast_to(s.held, runs)
    promotes, gives_up = _promotes(s), s.primary == TOO_SMALL
    over = np.full(runs, s.elapsed_seconds >= s.maximum_seconds)
    last_look = over & s.split_ok & s.last_step & ~obstacle
    few = s.step_units < s.step_minimum
    cases = [
        (harmed, "KeepBaseline", Reason.GUARDRAIL_WORSE),
        (primary_worse, "KeepBaseline", Reason.PRIMARY_WORSE),
        (held, "Hold", Reason.PAUSED),
        (last_look & promotes, "PromoteCandidate", Reason.CANDIDATE_BETTER),
        (last_look & gives_up, "KeepBaseline", Reason.EFFECT_TOO_SMALL),
        (over, "Inconclusive", Reason.MAXIMUM_DURATION),
        (~s.split_ok, "Hold", Reason.MISMATCH),
        (obstacle, "Hold", Reason.SOURCE_UNAVAILABLE),
        (few & (s.step_units > 0), "Hold", Reason.COLLECTING),
        (few, "Hold", Reason.NO_DATA),
        (~s.last_step, "NextStep", Reason.ENOUGH),
        (promotes, "PromoteCandidate", Reason.CANDIDATE_BETTER),
        (gives_up, "KeepBaseline", Reason.EFFECT_TOO_SMALL),
    ]
    which = np.argmax(np.stack([*(case for case, _, _ in cases), np.ones(runs, bool)]), axis=0)
    actions = np.array([*(ACTIONS.index(a) for _, a, _ in cases), ACTIONS.index("Hold")], np.int8)
    reasons = np.array([*(REASONS.index(r) for _, _, r in cases), REASONS.index(Reason.UNDECIDED)], np.int8)
    return actions[which], reasons[which]


def _promotes(s: Situations) -> Bools:
    harmless = np.all(s.guardrails == NOT_WORSE, axis=1)
    promotes: Bools = (s.primary == BETTER) & harmless & (s.elapsed_seconds >= s.minimum_seconds)
    return promotes
