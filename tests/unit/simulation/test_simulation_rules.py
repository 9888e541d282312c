"""The rules for arrays say what the rules of the operator say, in every situation."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from retrainer.ab_experiment.rules import Situation
from retrainer.ab_experiment.rules import evaluate as evaluate_one
from retrainer.simulation.nulls import VERDICTS
from retrainer.simulation.rules import ACTIONS, REASONS, Situations, evaluate

PRIMARY = ("Undecided", "Better", "Worse", "TooSmall")
GUARDRAIL = ("Undecided", "NotWorse", "Worse")
FLAGS = list(itertools.product((False, True), (0, 40, 99, 100), (False, True), (900, 1000)))


def both_ways(primary: str | None, guardrails: tuple[str, ...], elapsed: int) -> tuple[list, list]:
    """What both make of all combinations of split, units at this step, last step and units at all."""
    one = [
        evaluate_one(
            Situation(
                primary=primary,
                guardrails=tuple((f"g{i}", verdict) for i, verdict in enumerate(guardrails)),
                elapsed_seconds=elapsed,
                minimum_seconds=50,
                maximum_seconds=200,
                split_ok=split_ok,
                step_units=step_units,
                step_minimum=100,
                last_step=last_step,
                units=units,
                units_planned=1000,
            )
        )
        for split_ok, step_units, last_step, units in FLAGS
    ]
    split_ok, step_units, last_step, units = (np.array(column) for column in zip(*FLAGS, strict=True))
    codes = [VERDICTS.index(v) for v in guardrails]
    actions, reasons = evaluate(
        Situations(
            primary=None if primary is None else np.full(len(FLAGS), VERDICTS.index(primary), np.int8),
            guardrails=np.tile(np.array(codes, np.int8), (len(FLAGS), 1)),
            elapsed_seconds=elapsed,
            minimum_seconds=50,
            maximum_seconds=200,
            split_ok=split_ok,
            step_units=step_units.astype(float),
            step_minimum=np.full(len(FLAGS), 100.0),
            last_step=last_step,
            units=units.astype(float),
            units_planned=1000,
        )
    )
    many = [(ACTIONS[a], REASONS[r]) for a, r in zip(actions, reasons, strict=True)]
    return [(outcome.action, outcome.reason) for outcome in one], many


@pytest.mark.parametrize("primary", [*PRIMARY, None], ids=str)
def test_arrays_and_operator_follow_the_same_rules(primary):
    several = [(), *itertools.product(GUARDRAIL), *itertools.product(GUARDRAIL, repeat=2)]
    for guardrails, elapsed in itertools.product(several, (49, 50, 199, 200)):
        one, many = both_ways(primary, guardrails, elapsed)
        assert many == one
