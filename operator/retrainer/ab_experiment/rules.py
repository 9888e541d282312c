"""The decision: rules 1 to 8, in this order, in one pure function."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from retrainer.api.v1alpha1.ab_experiment import ExperimentReason as Reason
from retrainer.statistics.verdicts import Verdict

Action = Literal["KeepBaseline", "PromoteCandidate", "Inconclusive", "NextStep", "Hold"]


@dataclass(frozen=True)
class Situation:
    """Everything the rules look at.

    `primary` is None for a canary. `guardrails` are (name, verdict). `step_units` are the candidate's units at this
    step, of which `step_minimum` are asked for; `units` are all with an outcome, of which `units_planned`.
    `unread`: a window of the time before the end is still to be counted, and its source may yet answer.
    `obstacle` says why nothing can be counted now (source unreachable, an arm without endpoints), `held` why a
    person wants the weight left alone (suspended, paused, their decision awaited), `clock` why it is not known
    what time it is.
    """

    primary: Verdict | None
    guardrails: tuple[tuple[str, Verdict], ...]
    elapsed_seconds: float
    minimum_seconds: int
    maximum_seconds: int
    split_ok: bool
    step_units: int
    step_minimum: int
    last_step: bool
    units: int = 0
    units_planned: int = 0
    unread: bool = False
    obstacle: str | None = None
    held: str | None = None
    clock: str | None = None


@dataclass(frozen=True)
class Outcome:
    """What to do, why in one word, and why in a sentence."""

    action: Action
    reason: Reason
    message: str


def evaluate(s: Situation) -> Outcome:
    """What the evidence allows now."""
    return (
        _stop_harm(s)  # rules 1 and 2
        or _respect_hold(s)
        or _doubt_the_clock(s)
        or _maximum_duration(s)  # 3
        or _broken_split(s)  # 4
        or _too_little_data(s)  # 5
        or _next_step(s)  # 6
        or _promote(s)  # 7
        or _give_up(s)  # 8
        or _stay(s)
    )


def _stop_harm(s: Situation) -> Outcome | None:
    """Rules 1 and 2: harm ends it at once, whatever else is or is not known."""
    worse = [name for name, verdict in s.guardrails if verdict == "Worse"]
    if worse:
        return Outcome("KeepBaseline", Reason.GUARDRAIL_WORSE, f"guardrail {worse[0]} got worse")
    if s.primary == "Worse":
        return Outcome("KeepBaseline", Reason.PRIMARY_WORSE, "the primary metric got worse")
    return None


def _respect_hold(s: Situation) -> Outcome | None:
    """Suspended, paused or waiting for a person: only harm moves the weight."""
    return Outcome("Hold", Reason.PAUSED, s.held) if s.held else None


def _doubt_the_clock(s: Situation) -> Outcome | None:
    """While it is not known what time it is nothing can be too late, and nothing late enough."""
    return Outcome("Hold", Reason.CLOCK, s.clock) if s.clock else None


def _maximum_duration(s: Situation) -> Outcome | None:
    """Rule 3: one last look at the evidence, all of it, then undecided."""
    if s.elapsed_seconds < s.maximum_seconds:
        return None
    if s.unread:
        return Outcome("Hold", Reason.COLLECTING, "maximumDurationSeconds is over; its last windows are being read")
    last = (_promote(s) or _give_up(s)) if s.split_ok and s.last_step and not s.obstacle else None
    return last or Outcome(
        "Inconclusive",
        Reason.MAXIMUM_DURATION,
        f"undecided after maximumDurationSeconds ({s.maximum_seconds})",
    )


def _broken_split(s: Situation) -> Outcome | None:
    """Rule 4: a split that is not the one asked for compares different people."""
    if s.split_ok:
        return None
    return Outcome("Hold", Reason.MISMATCH, "the split is not the one asked for; promotion is blocked")


def _too_little_data(s: Situation) -> Outcome | None:
    """Rule 5: missing data never fails a candidate and never promotes it."""
    if s.obstacle:
        return Outcome("Hold", Reason.SOURCE_UNAVAILABLE, s.obstacle)
    if s.step_units >= s.step_minimum:
        return None
    units = f"{s.step_units} of {s.step_minimum} candidate units at this step"
    return Outcome("Hold", Reason.COLLECTING if s.step_units else Reason.NO_DATA, units)


def _next_step(s: Situation) -> Outcome | None:
    """Rule 6: decisions are taken at the last step only; before it there is nothing to wait for."""
    if s.last_step:
        return None
    return Outcome("NextStep", Reason.ENOUGH, f"{s.step_units} candidate units at this step")


def _promote(s: Situation) -> Outcome | None:
    """Rule 7: better, proven harmless, and long enough; a canary need not be better, but have its planned units."""
    harmless = all(verdict == "NotWorse" for _, verdict in s.guardrails)
    if not harmless or s.elapsed_seconds < s.minimum_seconds:
        return None
    if s.primary == "Better":
        return Outcome("PromoteCandidate", Reason.CANDIDATE_BETTER, "better, and no guardrail is worse")
    if s.primary is None and s.units >= s.units_planned:
        return Outcome("PromoteCandidate", Reason.CANARY_PASSED, "no guardrail is worse, and the planned units are in")
    return None


def _give_up(s: Situation) -> Outcome | None:
    """Rule 8: proven not to be worth it."""
    if s.primary != "TooSmall":
        return None
    return Outcome("KeepBaseline", Reason.EFFECT_TOO_SMALL, "the effect is smaller than minimumDetectableEffect")


def _stay(s: Situation) -> Outcome:
    """Undecided: say which piece is missing."""
    undecided = [name for name, verdict in s.guardrails if verdict != "NotWorse"]
    so_far = "better, but " if s.primary == "Better" else ""
    if s.primary not in ("Better", None):
        waits = "the primary metric is undecided"
    elif undecided:
        waits = f"{so_far}guardrail {undecided[0]} is undecided"
    elif s.primary is None and s.units < s.units_planned:
        waits = f"no guardrail is worse, but {s.units} of {s.units_planned} planned units are in"
    else:
        waits = f"{so_far or 'no guardrail is worse, but '}minimumDurationSeconds ({s.minimum_seconds}) has not passed"
    return Outcome("Hold", Reason.UNDECIDED, waits)
