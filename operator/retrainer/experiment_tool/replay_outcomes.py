"""`replay --outcomes`: what the operator would have made of these windows, look by look.

The engine is the operator's own: lines as in a ledger, folded by `state.advance`, judged by `counting.judge`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from retrainer.ab_experiment.config import ExperimentConfig, Step
from retrainer.ab_experiment.counting import Circumstances, findings, judge, units_needed
from retrainer.ab_experiment.ledger import Ledger, begin
from retrainer.ab_experiment.rules import Outcome
from retrainer.ab_experiment.state import State, advance, iso
from retrainer.experiment_tool.assumptions import Assumptions
from retrainer.experiment_tool.failure import InputError
from retrainer.experiment_tool.looks import Look, Verdict
from retrainer.experiment_tool.outcomes import CountedWindow
from retrainer.experiment_tool.subjects import Subject

_AWAITING = "undecided; a person is to end it"


@dataclass(frozen=True)
class _Course:
    """How far the replay has come; a verdict, once there, stays. `ledger` has the ramp as it was applied."""

    ramp: tuple[Step, ...]
    ledger: Ledger
    state: State
    decision: Verdict | None = None


def ledger_for(subject: Subject, assumed: Assumptions) -> Ledger:
    """An empty ledger that starts at second 0; raises InputError where the spec cannot be carried out."""
    try:
        return begin(subject.spec, assumed.known_rates, iso(0), assumed.variances)
    except ValueError as error:
        raise InputError(f"{subject.title}: spec: {error}") from error


def replay(subject: Subject, ledger: Ledger, windows: tuple[CountedWindow, ...]) -> Iterator[Look]:
    """A look after each window. Window k lies from k to k + 1 times windowSeconds after the start.

    Windows after the verdict are still added to the evidence, and the verdict stays what it was.
    """
    course = _Course(ledger.config.steps, ledger, ledger.state)
    for window in windows:
        course = _counted(_at_weight(course, window), window)
        course = _judged(course, subject, window)
        yield _look(course, window)


def _at_weight(course: _Course, window: CountedWindow) -> _Course:
    """With the weight that the window really had, at the step of the ramp it has reached."""
    config, weight = course.ledger.config, window.weight_percent
    if course.state.weight == weight:
        return course
    step = reached_step(course.ramp, weight)
    steps = tuple(Step(weight, s.minimum_units) if i == step else s for i, s in enumerate(course.ramp))
    ledger = replace(course.ledger, config=replace(config, steps=steps))
    at = iso(window.number * config.window_seconds)
    announced = {"kind": "weight", "at": at, "weightPercent": weight, "step": step, "reason": "Replayed"}
    state = advance(ledger.config, course.state, announced)
    applied = {"kind": "applied", "at": at, "weightPercent": weight}
    return replace(course, ledger=ledger, state=advance(ledger.config, state, applied))


def reached_step(ramp: Sequence[Step], weight: int) -> int:
    """The last step whose weight is not above this one; the first if all are."""
    return max((i for i, step in enumerate(ramp) if step.weight <= weight), default=0)


def _counted(course: _Course, window: CountedWindow) -> _Course:
    seconds = course.ledger.config.window_seconds
    line: dict[str, Any] = {
        "kind": "window",
        "at": iso(_moment(course.ledger.config, window)),
        "window": window.number,
        "start": iso(window.number * seconds),
        "end": iso((window.number + 1) * seconds),
        "weightPercent": window.weight_percent,
        "arms": {name: {arm: sums.to_json() for arm, sums in arms.items()} for name, arms in window.arms.items()},
    }
    return replace(course, state=advance(course.ledger.config, course.state, line))


def _moment(config: ExperimentConfig, window: CountedWindow) -> float:
    """Seconds after the start at which the operator could have counted the window."""
    return (window.number + 1) * config.window_seconds + config.maturity_seconds


def _judged(course: _Course, subject: Subject, window: CountedWindow) -> _Course:
    if course.decision is not None:
        return course
    now = _moment(course.ledger.config, window)
    held = _AWAITING if course.state.awaiting else None
    outcome = judge(course.ledger, Circumstances(now, None, held), course.state)
    if outcome.action == "Inconclusive" and subject.spec.on_inconclusive == "Hold":
        awaiting = {"kind": "awaiting", "at": iso(now), "reason": outcome.reason.value}
        return replace(course, state=advance(course.ledger.config, course.state, awaiting))
    return replace(course, decision=_verdict(outcome))


def _verdict(outcome: Outcome) -> Verdict | None:
    if outcome.action in ("NextStep", "Hold"):
        return None
    return Verdict(outcome.action, outcome.reason.value)


def _look(course: _Course, window: CountedWindow) -> Look:
    seconds = course.ledger.config.window_seconds
    return Look(
        window=window.number,
        start=window.number * seconds,
        end=(window.number + 1) * seconds,
        weight_percent=window.weight_percent,
        findings=findings(course.ledger, course.state),
        split=course.state.split,
        units_needed=units_needed(course.ledger, course.state),
        decision=course.decision,
    )
