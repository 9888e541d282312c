"""Which windows are due, what a window's line says, and what the rules make of the evidence so far."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice, takewhile
from typing import Any

from retrainer.ab_experiment import words
from retrainer.ab_experiment.input import Reading
from retrainer.ab_experiment.ledger import Ledger, load
from retrainer.ab_experiment.rules import Outcome, Situation, evaluate
from retrainer.ab_experiment.state import AlteredLedger, State, advance, iso, seconds
from retrainer.ab_experiment.windows import Window, uncounted
from retrainer.api.v1alpha1.ab_experiment import ABExperimentSpec
from retrainer.plan import Object
from retrainer.statistics.metric import MetricState
from retrainer.statistics.verdicts import Finding, find

WINDOWS_PER_PASS = 16
"""After a source was down, windows are caught up with in portions of this many."""


@dataclass(frozen=True)
class Circumstances:
    """What the rules must know beyond the ledger; see `Situation`."""

    now: float
    obstacle: str | None
    held: str | None


def due_windows(obj: Object, ledger: Object | None, now: datetime) -> tuple[Window, ...]:
    """The windows to read now, in order; none before the start, after the end or with a damaged ledger."""
    if ledger is None or (obj.get("status") or {}).get("decision"):
        return ()
    try:
        loaded = load(ledger, ABExperimentSpec.model_validate(obj["spec"]))
    except AlteredLedger:
        return ()
    return tuple(islice(_due(loaded, now.timestamp()), WINDOWS_PER_PASS))


def _due(ledger: Ledger, now: float) -> Iterator[Window]:
    maturity = ledger.config.maturity_seconds
    return takewhile(lambda w: w.end + maturity < now, pending(ledger))


def pending(ledger: Ledger) -> Iterator[Window]:
    """All windows not yet counted, in order; the caller decides how far to look."""
    state = ledger.state
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
    return {m.name: find(m, metrics.get(m.name, MetricState())) for m in ledger.config.metrics}


def judge(ledger: Ledger, around: Circumstances, state: State | None = None) -> Outcome:
    """What rules 1 to 8 say of the evidence so far (or of `state`)."""
    state = state or ledger.state
    config = ledger.config
    known = findings(ledger, state)
    step = config.steps[state.step]
    return evaluate(
        Situation(
            primary=known[config.primary.name].verdict,
            guardrails=tuple((m.name, known[m.name].verdict) for m in config.metrics[1:]),
            elapsed_seconds=around.now - seconds(ledger.start),
            minimum_seconds=config.minimum_duration_seconds,
            maximum_seconds=config.maximum_duration_seconds,
            split_ok=state.split.ok,
            step_units=state.split.candidate_at(step.weight),
            step_minimum=step.minimum_units,
            last_step=state.step == len(config.steps) - 1,
            obstacle=around.obstacle,
            held=around.held,
        )
    )


def window_line(
    ledger: Ledger, window: Window, reading: Reading, around: Circumstances
) -> tuple[dict[str, Any], Outcome]:
    """The line that counts a window, and what the rules say with it; the rest of the line is for people."""
    line: dict[str, Any] = {
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
    state = advance(ledger.config, ledger.state, json.loads(json.dumps(line)))
    outcome = judge(ledger, around, state)
    line["effects"] = [_effect(name, finding) for name, finding in findings(ledger, state).items()]
    line["sampleRatio"] = words.e_value(state.split.log_evidence())
    line["rule"] = {"action": outcome.action, "reason": str(outcome.reason)}
    return line, outcome


def _effect(name: str, finding: Finding) -> dict[str, Any]:
    return {
        "metric": name,
        "estimate": words.optional(finding.estimate),
        "lower": words.optional(finding.lower),
        "upper": words.optional(finding.upper),
        "evidence": words.e_value(finding.log_evidence),
        "verdict": finding.verdict,
    }
