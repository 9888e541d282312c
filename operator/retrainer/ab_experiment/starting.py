"""Before the first request reaches the candidate: wait for both arms, then write the ledger and announce."""

from __future__ import annotations

from datetime import UTC, datetime

from retrainer.ab_experiment import running
from retrainer.ab_experiment.children import ledger_object, routing_for
from retrainer.ab_experiment.clock import Moment
from retrainer.ab_experiment.counting import Circumstances, judge
from retrainer.ab_experiment.input import ExperimentInput
from retrainer.ab_experiment.ledger import Ledger, append, begin
from retrainer.ab_experiment.report import Facts, awaiting_decision, decided, status_of
from retrainer.ab_experiment.state import iso
from retrainer.api.v1alpha1.ab_experiment import ABExperimentSpec
from retrainer.api.v1alpha1.ab_experiment import ExperimentReason as Reason
from retrainer.conditions import (
    ConditionStatus,
    set_condition,
    set_reconciling,
    set_settled,
    set_stalled,
    timestamp,
)
from retrainer.plan import Event, Object, Plan
from retrainer.requests import acknowledgement, pending_request, refused_request

WAIT_SECONDS = 5.0
STALLED_SECONDS = 60.0
EARLY_ACTIONS = frozenset({"abort"})

_NOT_STARTED = "the experiment has not started"


def start(seen: ExperimentInput, spec: ABExperimentSpec, moment: Moment) -> Plan:
    """Start it if nothing stands in the way; otherwise say what does."""
    now = datetime.fromtimestamp(moment.at, UTC)
    request = pending_request(seen.obj, EARLY_ACTIONS)
    if request is not None:
        return _abort(seen, now)
    events = _complaints(seen)
    if seen.missing:
        return _stalled(seen, seen.missing, events, now)
    try:
        ledger = begin(spec, seen.rates, iso(moment.at), seen.variances, _salt(seen, spec))
    except ValueError as error:
        return _stalled(seen, str(error), events, now)
    if spec.suspend:
        return _wait(seen, spec, Reason.SUSPENDED, "spec.suspend is set; it starts when that is cleared", events, now)
    obstacle = running.arms_problem(seen) or moment.doubt
    if obstacle:
        return _wait(seen, spec, Reason.STARTING, obstacle, events, now)
    return _announce(seen, spec, ledger, events, now)


def _salt(seen: ExperimentInput, spec: ABExperimentSpec) -> str:
    return (spec.assignment.salt if spec.assignment else None) or str(seen.obj["metadata"]["name"])


def _announce(
    seen: ExperimentInput, spec: ABExperimentSpec, ledger: Ledger, events: tuple[Event, ...], now: datetime
) -> Plan:
    """The ledger with the line that announces the first weight, then the status that bears it."""
    weight = ledger.config.steps[0].weight
    line = {"kind": "weight", "at": ledger.start, "weightPercent": weight, "step": 0, "reason": "Started"}
    ledger = append(ledger, line)
    outcome = judge(ledger, Circumstances(now.timestamp(), None, None))
    route = routing_for(seen.obj, spec, seen.parent_refs).observe(seen.routed)
    facts = Facts(seen.obj, ledger, outcome, route, False, None, None, now)
    needed = f"about {ledger.config.units_needed:,} units are needed"
    return Plan(
        creates=(ledger_object(seen.obj, ledger, None),),
        status=status_of(facts),
        applies=_baseline_route(seen, spec),
        events=(*events, Event("Started", f"0 → {weight} %: both arms are ready; {needed}")),
        requeue_after=1.0,
    )


def _wait(
    seen: ExperimentInput,
    spec: ABExperimentSpec,
    reason: Reason,
    message: str,
    events: tuple[Event, ...],
    now: datetime,
) -> Plan:
    generation = seen.obj["metadata"].get("generation")
    status = _unstarted(seen, "Unknown", reason, message, now)
    if reason is Reason.STARTING:
        status["conditions"] = set_reconciling(status["conditions"], reason.value, message, now, generation)
    else:
        status["conditions"] = set_settled(status["conditions"])
    return Plan(status=status, applies=_baseline_route(seen, spec), events=events, requeue_after=WAIT_SECONDS)


def _stalled(seen: ExperimentInput, message: str, events: tuple[Event, ...], now: datetime) -> Plan:
    generation = seen.obj["metadata"].get("generation")
    status = _unstarted(seen, "Unknown", Reason.INVALID, message, now)
    status["conditions"] = set_stalled(status["conditions"], Reason.INVALID.value, message, now, generation)
    return Plan(status=status, events=events, requeue_after=STALLED_SECONDS)


def _abort(seen: ExperimentInput, now: datetime) -> Plan:
    message = "aborted by request before the start; no evidence was gathered"
    decision = {
        "verdict": "KeepBaseline",
        "reason": Reason.MANUAL_ABORT.value,
        "message": message,
        "time": timestamp(now),
    }
    _, value, reason, text = decided(decision)
    status = _unstarted(seen, value, reason, text, now)
    status["conditions"] = set_settled(status["conditions"])
    status["decision"] = decision
    return Plan(status=status, events=(Event("KeepBaseline", message, "Warning"),))


def _unstarted(seen: ExperimentInput, value: ConditionStatus, reason: Reason, message: str, now: datetime) -> Object:
    """The status of an experiment without traffic: every condition is there from the first pass on."""
    generation = seen.obj["metadata"].get("generation")
    status = dict(seen.obj.get("status") or {})
    status.update(observedGeneration=generation, weightPercent=0)
    handled = acknowledgement(seen.obj)
    if handled is not None:
        status["lastHandledRequest"] = handled
    conditions = status.get("conditions")
    arms = running.arms_problem(seen)
    route_reason, route_message = (Reason.ARM_NOT_READY, arms) if arms else (Reason.STARTING, _NOT_STARTED)
    _, awaiting, awaiting_reason, awaiting_message = awaiting_decision(None)
    stated: tuple[tuple[str, ConditionStatus, Reason, str], ...] = (
        ("Succeeded", value, reason, message),
        ("RouteApplied", "False", route_reason, route_message),
        ("SufficientData", "False", Reason.NO_DATA, _NOT_STARTED),
        ("SampleRatioOK", "Unknown", Reason.NO_DATA, _NOT_STARTED),
        ("ResponseRate", "Unknown", Reason.NO_DATA, _NOT_STARTED),
        ("GuardrailsPassed", "Unknown", Reason.UNDECIDED, _NOT_STARTED),
        ("AwaitingDecision", awaiting, awaiting_reason, awaiting_message),
    )
    for type_, condition_status, why, text in stated:
        conditions = set_condition(conditions, type_, condition_status, why.value, text, now, generation)
    status["conditions"] = conditions
    return status


def _baseline_route(seen: ExperimentInput, spec: ABExperimentSpec) -> tuple[Object, ...]:
    """What the experiment owns serves the baseline alone as soon as that can answer; a user's object is theirs."""
    routing = routing_for(seen.obj, spec, seen.parent_refs)
    return routing.change(seen.routed, 0).applies if seen.baseline.ready and routing.exclusive else ()


def _complaints(seen: ExperimentInput) -> tuple[Event, ...]:
    """Requests that make no sense yet, or at all."""
    complaint = refused_request(seen.obj, running.ACTIONS)
    if complaint is None and pending_request(seen.obj, running.ACTIONS - EARLY_ACTIONS):
        complaint = f"{_NOT_STARTED}; ask again with a new id when it has"
    return (Event("RequestRefused", complaint, "Warning"),) if complaint else ()
