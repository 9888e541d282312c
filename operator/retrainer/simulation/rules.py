"""Rules 1 to 8 of `ab_experiment.rules` for many runs at once; a test holds the two against each other.

Nobody pauses a simulated experiment, its sources answer and its clock is right: those rules have no twin here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

import numpy as np

from retrainer.ab_experiment.rules import Action
from retrainer.api.v1alpha1.ab_experiment import ExperimentReason as Reason
from retrainer.simulation.nulls import BETTER, NOT_WORSE, TOO_SMALL, WORSE
from retrainer.simulation.sums import Bools, Codes, Floats

ACTIONS: tuple[str, ...] = get_args(Action)
"""Actions by their code."""
REASONS = tuple(Reason)
"""Reasons by their code."""


@dataclass(frozen=True)
class Situations:
    """Array twin of `ab_experiment.rules.Situation`; every array has an entry per run.

    `primary` (runs,) and `guardrails` (runs, guardrails) are codes of `nulls.VERDICTS`; `primary` is None for a
    canary.
    """

    primary: Codes | None
    guardrails: Codes
    elapsed_seconds: float
    minimum_seconds: int
    maximum_seconds: int
    split_ok: Bools
    step_units: Floats
    step_minimum: Floats
    last_step: Bools
    units: Floats
    units_planned: int


def evaluate(s: Situations) -> tuple[Codes, Codes]:
    """Action and reason of every run, as codes: the first rule that applies."""
    promotes, over = _promotes(s), np.full(len(s.units), s.elapsed_seconds >= s.maximum_seconds)
    promoted = Reason.CANARY_PASSED if s.primary is None else Reason.CANDIDATE_BETTER
    last_look, few = over & s.split_ok & s.last_step, s.step_units < s.step_minimum
    cases = [
        (np.any(s.guardrails == WORSE, axis=1), "KeepBaseline", Reason.GUARDRAIL_WORSE),
        (_primary(s, WORSE), "KeepBaseline", Reason.PRIMARY_WORSE),
        (last_look & promotes, "PromoteCandidate", promoted),
        (last_look & _primary(s, TOO_SMALL), "KeepBaseline", Reason.EFFECT_TOO_SMALL),
        (over, "Inconclusive", Reason.MAXIMUM_DURATION),
        (~s.split_ok, "Hold", Reason.MISMATCH),
        (few & (s.step_units > 0), "Hold", Reason.COLLECTING),
        (few, "Hold", Reason.NO_DATA),
        (~s.last_step, "NextStep", Reason.ENOUGH),
        (promotes, "PromoteCandidate", promoted),
        (_primary(s, TOO_SMALL), "KeepBaseline", Reason.EFFECT_TOO_SMALL),
        (np.ones(len(s.units), bool), "Hold", Reason.UNDECIDED),
    ]
    which = np.argmax(np.stack([applies for applies, _, _ in cases]), axis=0)
    actions = np.array([ACTIONS.index(action) for _, action, _ in cases], np.int8)
    reasons = np.array([REASONS.index(reason) for _, _, reason in cases], np.int8)
    return actions[which], reasons[which]


def _primary(s: Situations, verdict: int) -> Bools:
    return np.zeros(len(s.units), bool) if s.primary is None else s.primary == verdict


def _promotes(s: Situations) -> Bools:
    """Rule 7."""
    good = s.units >= s.units_planned if s.primary is None else s.primary == BETTER
    harmless = np.all(s.guardrails == NOT_WORSE, axis=1)
    promotes: Bools = good & harmless & (s.elapsed_seconds >= s.minimum_seconds)
    return promotes
