"""Which windows are due, what a window's line says, and what the rules make of the evidence so far."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from itertools import islice, takewhile
from typing import Any

from retrainer.ab_experiment import words
from retrainer.ab_experiment.clock import moment
from retrainer.ab_experiment.input import Reading
from retrainer.ab_experiment.ledger import Ledger, append_judged, load
from retrainer.ab_experiment.rules import Outcome, Situation, evaluate
from retrainer.ab_experiment.state import State, advance, iso, seconds
from retrainer.ab_experiment.windows import Window, uncounted
from retrainer.api.v1alpha1.ab_experiment import ABExperimentSpec
from retrainer.plan import Object
from retrainer.statistics.metric import MetricState
from retrainer.statistics.verdicts import Finding, find

WINDOWS_PER_PASS = 16
"""After a source was down, windows are caught up with in portions of this many."""


@dataclass(frozen=True)
class Circumstances:
    """What the rules must know beyond the ledger; see `Situation`. `readable`: the source has not refused."""

    now: float
    obstacle: str | None
    held: str | None
    readable: bool = True
    clock: str | None = None

    def to_json(self) -> dict[str, Any]:
        """What is out of the ordinary, for the line that was judged in these circumstances."""
        ordinary = {"obstacle": None, "held": None, "readable": True, "clock": None}
        return {key: getattr(self, key) for key, usual in ordinary.items() if getattr(self, key) != usual}


def due_windows(
    obj: Object, ledger: Object | None, now: datetime, clock_ahead: float | None = None
) -> tuple[Window, ...]:
    """The windows to read now, in order; none before the start, after the end or with a damaged ledger or spec.

    After a verdict that the ledger lacks, those that led to it: see completing.py.
    """
    if ledger is None:
        return ()
    try:
        loaded = load(ledger, ABExperimentSpec.model_validate(obj["spec"]))
    except ValueError:  # `decide` says what is wrong
        return ()
    if (obj.get("status") or {}).get("decision"):
        return tuple(islice(pending(loaded), uncounted_of_verdict(obj, loaded)))
    at = moment(now.timestamp(), clock_ahead, loaded.state.at).at
    return tuple(islice(takewhile(lambda w: is_due(loaded, w, at), pending(loaded)), WINDOWS_PER_PASS))


def uncounted_of_verdict(obj: Object, ledger: Ledger) -> int:
    """How many windows the verdict on the status was based on that the ledger lacks."""
    counted = int(((obj.get("status") or {}).get("windows") or {}).get("count", 0))
    return max(0, min(counted - ledger.state.count, WINDOWS_PER_PASS))


def is_due(ledger: Ledger, window: Window, now: float) -> bool:
    """Whether the window is over and its outcomes have matured."""
    return window.end + ledger.config.maturity_seconds < now


def pending(ledger: Ledger, state: State | None = None) -> Iterator[Window]:
    """All windows not yet counted (by `state`), in order; the caller decides how far to look."""
    state = state or ledger.state
    if state.origin is None or state.decision is not None:
        return iter(())
    return uncounted(state.stretches, state.following, state.origin, ledger.config.window_seconds)


def seconds_to_next_window(ledger: Ledger, now: float) -> float | None:
    """How long until the next window is due; None while none is running."""
    window = next(pending(ledger), None)
    return None if window is None else max(0.0, window.end + ledger.config.maturity_seconds - now)


def findings(ledger: Ledger, state: State | None = None) -> dict[str, Finding]:
    """What is known of each metric, the primary first."""
    metrics = (state or ledger.state).metrics
    return {m.name: _found(m, metrics.get(m.name, MetricState())) for m in ledger.config.metrics}


_found = lru_cache(maxsize=64)(find)
"""A pass asks several times, mostly about windows that were counted long before."""


def effects_in_words(ledger: Ledger, known_only: bool = False) -> list[str]:
    """Each metric in a clause, the primary first; `known_only` leaves out those without an outcome."""
    known = findings(ledger)
    return [words.effect(m, known[m.name]) for m in ledger.config.metrics if known[m.name].units or not known_only]


def judge(ledger: Ledger, around: Circumstances, state: State | None = None) -> Outcome:
    """What rules 1 to 8 say of the evidence so far (or of `state`)."""
    state = state or ledger.state
    config = ledger.config
    known = findings(ledger, state)
    step = config.steps[state.step]
    return evaluate(
        Situation(
            primary=known[config.primary.name].verdict if config.primary else None,
            guardrails=tuple((m.name, known[m.name].verdict) for m in config.guardrails),
            elapsed_seconds=around.now - seconds(ledger.start),
            minimum_seconds=config.minimum_duration_seconds,
            maximum_seconds=config.maximum_duration_seconds,
            split_ok=state.split.ok,
            step_units=state.split.candidate_at(step.weight),
            step_minimum=step.minimum_units,
            last_step=state.step == len(config.steps) - 1,
            units=state.units(config),
            units_planned=units_needed(ledger, state),
            unread=around.readable and _unread(ledger, state, around.now),
            obstacle=around.obstacle,
            held=around.held,
            clock=around.clock,
        )
    )


def _unread(ledger: Ledger, state: State, now: float) -> bool:
    """Whether a window that was due before the end is still to be counted."""
    window = next(pending(ledger, state), None)
    end = seconds(ledger.start) + ledger.config.maximum_duration_seconds
    return window is not None and is_due(ledger, window, min(now, end))


def units_needed(ledger: Ledger, state: State | None = None) -> int:
    """Units that the plan asks for; a variance that was not planned is the one that the first outcomes had."""
    metrics = (state or ledger.state).metrics
    tuned = {name: metric.tuned for name, metric in metrics.items() if metric.tuned}
    known = [replace(m, variance=tuned[m.name]) if m.name in tuned else m for m in ledger.config.metrics]
    return ledger.config.units_for(known)


def count_window(
    ledger: Ledger, window: Window, reading: Reading, around: Circumstances
) -> tuple[Ledger, Outcome]:
    """The ledger with the line that counts a window, and what the rules say with it."""
    sums = _sums(window, reading, around)
    after = append_judged(ledger, sums, lambda state: _comment(ledger, around, state))
    return after, judge(after, around)


def window_line(
    ledger: Ledger, window: Window, reading: Reading, around: Circumstances
) -> tuple[dict[str, Any], Outcome]:
    """The line that counts a window, without its place in the chain, and what the rules say with it."""
    sums = _sums(window, reading, around)
    state = advance(ledger.config, ledger.state, json.loads(json.dumps(sums)))
    return {**sums, **_comment(ledger, around, state)}, judge(ledger, around, state)


def _sums(window: Window, reading: Reading, around: Circumstances) -> dict[str, Any]:
    return {
        "kind": "window",
        "at": iso(around.now),
        "window": window.number,
        "start": iso(window.start),
        "end": iso(window.end),
        "weightPercent": window.weight,
        "applied": iso(window.applied),
        "arms": {
            name: {"candidate": arms.candidate.to_json(), "baseline": arms.baseline.to_json()}
            for name, arms in reading.items()
        },
    }


def _comment(ledger: Ledger, around: Circumstances, state: State) -> dict[str, Any]:
    """What a window's line says beside its sums: the evidence with it, and what the rules made of that."""
    outcome = judge(ledger, around, state)
    return {
        "effects": [_effect(name, finding) for name, finding in findings(ledger, state).items()],
        "sampleRatio": words.e_value(state.split.log_evidence()),
        "rule": {"action": outcome.action, "reason": str(outcome.reason)},
        **around.to_json(),
    }


def _effect(name: str, finding: Finding) -> dict[str, Any]:
    return {
        "metric": name,
        "estimate": words.optional(finding.estimate),
        "lower": words.optional(finding.lower),
        "upper": words.optional(finding.upper),
        "evidence": words.e_value(finding.log_evidence),
        "verdict": finding.verdict,
    }
