"""The status of a running experiment: what is known, and for every condition why, in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from retrainer.ab_experiment import words
from retrainer.ab_experiment.children import ledger_name
from retrainer.ab_experiment.counting import effects_in_words, findings, units_needed
from retrainer.ab_experiment.ledger import Ledger
from retrainer.ab_experiment.rules import Outcome
from retrainer.api.v1alpha1.ab_experiment import ExperimentReason as Reason
from retrainer.conditions import ConditionStatus, set_condition, set_settled, timestamp, truncate
from retrainer.plan import Object
from retrainer.requests import acknowledgement
from retrainer.routing.state import RouteState
from retrainer.statistics.metric import MetricPlan, MetricState
from retrainer.statistics.verdicts import Finding, response_differs

DAY = 86_400
SAID = 600
"""Characters of a condition's message: with eight metrics of long names the status must stay small."""
_FOREVER = 100 * 365 * DAY

Stated = tuple[str, ConditionStatus, Reason, str]
"""Type, status, reason and message of a condition."""


@dataclass(frozen=True)
class Facts:
    """What the status of a running experiment is made of.

    `arms`, `source` and `clock` say what is wrong with the arms, with the outcomes' source and with the time, None if
    nothing is.
    """

    obj: Object
    ledger: Ledger
    outcome: Outcome
    route: RouteState
    paused: bool
    arms: str | None
    source: str | None
    now: datetime
    clock: str | None = None
    standalone: bool = True
    """Whether the experiment itself writes what carries the weights."""


def status_of(facts: Facts) -> Object:
    """The whole new status."""
    state, known = facts.ledger.state, findings(facts.ledger)
    status = dict(facts.obj.get("status") or {})
    status.update(
        observedGeneration=facts.obj["metadata"].get("generation"),
        startTime=_to_second(facts.ledger.start),
        weightPercent=state.weight,
        plan=_plan(facts.ledger),
        effects=[_effect(plan, known[plan.name]) for plan in facts.ledger.config.metrics],
        sampleRatio=_sample_ratio(facts.ledger),
        windows={"count": state.count, **({"last": dict(state.last)} if state.last else {})},
        ledgerRef={"name": ledger_name(facts.obj)},
    )
    _set_or_drop(status, "paused", facts.paused or None)
    _set_or_drop(status, "lastHandledRequest", acknowledgement(facts.obj))
    if state.decision:
        status["decision"] = {**state.decision, "time": _to_second(state.decision["time"])}
    conditions = status.get("conditions")
    for type_, value, reason, message in _conditions(facts, known):
        conditions = set_condition(
            conditions, type_, value, reason.value, truncate(message, SAID), facts.now, status["observedGeneration"]
        )
    status["conditions"] = set_settled(conditions)
    return status


def _conditions(facts: Facts, known: Mapping[str, Finding]) -> tuple[Stated, ...]:
    return (
        succeeded(facts),
        _route(facts),
        _sufficient_data(facts),
        _split_ok(facts.ledger),
        _response_rate(facts.ledger),
        _guardrails(facts.ledger, known),
        awaiting_decision(facts.ledger.state.awaiting if not facts.ledger.state.decision else None),
    )


def succeeded(facts: Facts) -> Stated:
    """The summary: the verdict, or what the experiment waits for."""
    state, type_ = facts.ledger.state, "Succeeded"
    if state.decision:
        return decided(state.decision)
    numbers = "; ".join(effects_in_words(facts.ledger))
    message = f"{state.weight} % of the traffic, {facts.outcome.message} ({numbers})"
    if facts.obj["spec"].get("suspend"):
        return type_, "Unknown", Reason.SUSPENDED, message
    return type_, "Unknown", Reason.PAUSED if facts.paused else Reason.RUNNING, message


def decided(decision: Mapping[str, Any]) -> Stated:
    """The summary after the end; an experiment that keeps the baseline for a reason has done its work."""
    value: ConditionStatus = "False" if decision["verdict"] == "Inconclusive" else "True"
    return "Succeeded", value, Reason(decision["reason"]), f"{decision['verdict']}: {decision['message']}"


def _route(facts: Facts) -> Stated:
    state = facts.ledger.state
    if state.decision and not facts.standalone:
        return LEFT_TO_POLICY
    return route_applied(facts.route, state.weight, state.applied is not None, facts.arms)


LEFT_TO_POLICY: Stated = ("RouteApplied", "True", Reason.APPLIED, "the policy carries the verdict out")


TO_BE_CARRIED_OUT: Stated = ("RouteApplied", "False", Reason.ROUTE_PENDING, "the verdict is to be carried out")


def route_applied(route: RouteState, weight: int, applied: bool, arms: str | None) -> Stated:
    """Whether the gateways carry the announced weight."""
    type_ = "RouteApplied"
    if arms:
        return type_, "False", Reason.ARM_NOT_READY, arms
    if applied:
        return type_, "True", Reason.APPLIED, f"the gateways send {weight} % to the candidate"
    reason = Reason.ROUTE_REFUSED if route.refused else Reason.ROUTE_PENDING
    waits = f"the route carries other weights than {weight} % for the candidate"
    carried = route.accepted and route.resolved
    return type_, "False", reason, waits if carried else route.message


def awaiting_decision(reason: str | None) -> Stated:
    """Whether a person is to end it."""
    if reason is None:
        return "AwaitingDecision", "False", Reason.RUNNING, "nobody is waited for"
    message = "undecided; end it with the request promote/<id> or abort/<id>"
    return "AwaitingDecision", "True", Reason(reason), message


def _sufficient_data(facts: Facts) -> Stated:
    type_, ledger = "SufficientData", facts.ledger
    if facts.clock:
        return type_, "False", Reason.CLOCK, facts.clock
    if facts.source:
        return type_, "False", Reason.SOURCE_UNAVAILABLE, facts.source
    step = ledger.config.steps[ledger.state.step]
    units = ledger.state.split.candidate_at(step.weight)
    message = f"{units:,} of {step.minimum_units:,} candidate units at {step.weight} %"
    if units >= step.minimum_units:
        return type_, "True", Reason.ENOUGH, message
    return type_, "False", Reason.COLLECTING if units else Reason.NO_DATA, message


def _split_ok(ledger: Ledger) -> Stated:
    type_, split = "SampleRatioOK", ledger.state.split
    if not split.total:
        return type_, "Unknown", Reason.NO_DATA, "no window has been counted yet"
    seen = f"{words.percent(split.observed)} of {split.total:,} units instead of {words.percent(split.expected)}"
    if split.ok:
        return type_, "True", Reason.AS_ASKED, f"{seen}, within chance"
    remedy = "look for requests that are lost, retried or answered from a cache in one arm only"
    return type_, "False", Reason.MISMATCH, f"{seen}, beyond chance; promotion is blocked: {remedy}"


def _response_rate(ledger: Ledger) -> Stated:
    type_ = "ResponseRate"
    different, missing = [], False
    for plan in ledger.config.metrics:
        state = ledger.state.metrics.get(plan.name, MetricState())
        missing = missing or state.missing > 0
        different += [plan.name] if response_differs(plan, state) else []
    if not ledger.state.count:
        return type_, "Unknown", Reason.NO_DATA, "no window has been counted yet"
    if different:
        message = f"{different[0]}: the arms get feedback at different rates; their users may not be comparable"
        return type_, "False", Reason.DIFFERENT, message
    how = "both arms get feedback equally often" if missing else "every unit that was counted has its outcome"
    return type_, "True", Reason.SIMILAR, how


def _guardrails(ledger: Ledger, known: Mapping[str, Finding]) -> Stated:
    type_ = "GuardrailsPassed"
    verdicts = [(m, known[m.name]) for m in ledger.config.guardrails]
    if not verdicts:
        return type_, "True", Reason.NOT_WORSE, "there are no guardrails"
    worse = [words.effect(m, f) for m, f in verdicts if f.verdict == "Worse"]
    if worse:
        return type_, "False", Reason.GUARDRAIL_WORSE, worse[0]
    open_ = [words.effect(m, f) for m, f in verdicts if f.verdict == "Undecided"]
    if open_:
        return type_, "Unknown", Reason.UNDECIDED, f"not yet known to be harmless: {'; '.join(open_)}"
    return type_, "True", Reason.NOT_WORSE, "; ".join(words.effect(m, f) for m, f in verdicts)


def _effect(plan: MetricPlan, finding: Finding) -> Object:
    numbers = {
        "estimate": words.optional(finding.estimate),
        "lower": words.optional(finding.lower),
        "upper": words.optional(finding.upper),
        "interval": words.interval(plan, finding),
        "evidence": words.e_value(finding.log_evidence),
    }
    known = {key: value for key, value in numbers.items() if value is not None}
    return {"metric": plan.name, **known, "units": finding.units, "verdict": finding.verdict}


def _sample_ratio(ledger: Ledger) -> Object:
    split = ledger.state.split
    if not split.total:
        return {"ok": True}
    return {
        "expected": words.decimal(split.expected),
        "observed": words.decimal(split.observed),
        "evidence": words.e_value(split.log_evidence()),
        "ok": split.ok,
    }


def _plan(ledger: Ledger) -> Object:
    """Units and time to the end, as of the last counted window, so that it changes only with one.

    The pace is that of units that are new: a user counts once, however often they come back.
    """
    config, state = ledger.config, ledger.state
    needed, units = units_needed(ledger), state.units(ledger.config)
    plan: Object = {"unitsNeeded": needed, "progress": f"{units}/{needed}"}
    if not state.pace or state.last is None or state.decision:
        return plan
    start, last = datetime.fromisoformat(ledger.start), datetime.fromisoformat(str(state.last["end"]))
    latest = start + timedelta(seconds=config.maximum_duration_seconds)
    earliest = start + timedelta(seconds=config.minimum_duration_seconds)
    wait = max(needed - units, 0) / state.pace * config.window_seconds
    in_time = last + timedelta(seconds=min(wait, _FOREVER)) <= latest
    # With all its units in and nothing decided it may take until the end: nobody can say.
    expected = last + timedelta(seconds=wait) if in_time and wait else latest
    return {
        **plan,
        "unitsPerDay": round(state.pace * DAY / config.window_seconds),
        "estimatedCompletionTime": timestamp(min(max(expected, earliest), latest)),
        "feasible": in_time,
    }


def _to_second(text: str) -> str:
    return timestamp(datetime.fromisoformat(text))


def _set_or_drop(status: Object, key: str, value: Any) -> None:
    if value is None:
        status.pop(key, None)
    else:
        status[key] = value
