"""After the verdict, or without a ledger: keep in force what was decided, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Literal

from retrainer.ab_experiment import running
from retrainer.ab_experiment.children import ledger_object, routing_for
from retrainer.ab_experiment.completing import completed, is_complete
from retrainer.ab_experiment.input import ExperimentInput
from retrainer.ab_experiment.report import (
    LEFT_TO_POLICY,
    TO_BE_CARRIED_OUT,
    Stated,
    awaiting_decision,
    decided,
    route_applied,
)
from retrainer.api.v1alpha1.ab_experiment import ABExperimentSpec
from retrainer.api.v1alpha1.ab_experiment import ExperimentReason as Reason
from retrainer.conditions import get_condition, is_true, set_condition, set_settled, timestamp
from retrainer.plan import Event, Object, Plan
from retrainer.requests import acknowledgement, pending_request, refused_request
from retrainer.routing.carrier import NOTHING

KEEP_SECONDS = 30.0
"""Between looks at the route of a standalone experiment that has ended."""

Verdict = Literal["PromoteCandidate", "KeepBaseline", "Inconclusive"]


def keep(seen: ExperimentInput, spec: ABExperimentSpec, now: datetime) -> Plan:
    """The verdict stays; a standalone route is kept at it, and a ledger that lacks it gets its line."""
    status = _base(seen)
    decision = status["decision"]
    status["weightPercent"] = weight = 100 if decision["verdict"] == "PromoteCandidate" else 0
    routing = routing_for(seen.obj, spec, seen.parent_refs)
    stated = [decided(decision), awaiting_decision(None)]
    # What is a user's is theirs again as soon as it has carried the verdict once.
    handed_back = not routing.exclusive and is_true(status.get("conditions"), "RouteApplied")
    if not routing.standalone:
        stated.append(LEFT_TO_POLICY)
    elif not handed_back:
        route = routing.observe(seen.routed)
        stated.append(route_applied(route, weight, route.carries(weight), None))
    _state(status, seen, stated, now)
    change = NOTHING if handed_back else routing.change(seen.routed, weight)
    longer = completed(seen, spec)
    at_work = (routing.standalone and not handed_back) or not is_complete(seen, spec)
    return Plan(
        status=status,
        applies=change.applies,
        replaces=() if longer is None else (ledger_object(seen.obj, longer, seen.ledger),),
        merges=change.merges,
        events=_after_the_end(seen),
        requeue_after=KEEP_SECONDS if at_work else None,
    )


def lose_ledger(seen: ExperimentInput, spec: ABExperimentSpec, why: str, now: datetime) -> Plan:
    """Without its ledger an experiment knows nothing: users go back to the baseline at once.

    The ledger is neither repaired nor recreated: its counts cannot be proven any more.
    """
    message = f"the ledger was lost or altered: {why}; all traffic goes back to the baseline"
    event = Event(Reason.LEDGER_LOST.value, message, "Warning")
    if spec.on_inconclusive == "Hold":
        status = _base(seen)
        status["weightPercent"] = 0
        _state(status, seen, [_waiting(message), awaiting_decision(Reason.LEDGER_LOST.value)], now)
        return _at_zero(seen, spec, Plan(status=status, status_first=True, events=(event,)))
    return _end(seen, spec, "Inconclusive", Reason.LEDGER_LOST, message, (event,), now)


def ledger_was_lost(status: Object) -> bool:
    """Whether a person is to decide because the ledger is lost; it does not come back to life."""
    condition = get_condition(status.get("conditions"), "AwaitingDecision")
    awaited = is_true(status.get("conditions"), "AwaitingDecision")
    return awaited and condition is not None and condition.get("reason") == Reason.LEDGER_LOST.value


def await_person(seen: ExperimentInput, spec: ABExperimentSpec, now: datetime) -> Plan:
    """The ledger is lost and `onInconclusive` is Hold: weight 0 until promote or abort."""
    request = pending_request(seen.obj, {"promote", "abort"})
    if request is not None and request.action == "abort":
        message = "aborted by request, after the ledger was lost"
        return _end(seen, spec, "KeepBaseline", Reason.MANUAL_ABORT, message, (), now)
    if request is not None and seen.candidate.ready:
        message = "promoted by request, after the ledger was lost: without evidence"
        return _end(seen, spec, "PromoteCandidate", Reason.MANUAL_PROMOTE, message, (), now)
    complaint = refused_request(seen.obj, {"promote", "abort"})
    if request is not None:
        complaint = f"not promoted: {seen.candidate.message}; ask again with a new id when it is ready"
    status = _base(seen)
    status["weightPercent"] = 0
    events = (Event("RequestRefused", complaint, "Warning"),) if complaint else ()
    return _at_zero(seen, spec, Plan(status=status, events=events, requeue_after=KEEP_SECONDS))


def _at_zero(seen: ExperimentInput, spec: ABExperimentSpec, plan: Plan) -> Plan:
    """With all traffic on the baseline."""
    change = routing_for(seen.obj, spec, seen.parent_refs).change(seen.routed, 0)
    return replace(plan, applies=change.applies, merges=change.merges)


def _end(
    seen: ExperimentInput,
    spec: ABExperimentSpec,
    verdict: Verdict,
    reason: Reason,
    message: str,
    events: tuple[Event, ...],
    now: datetime,
) -> Plan:
    """Write a verdict that no ledger bears; a standalone route is raised only by a later pass."""
    decision = {"verdict": verdict, "reason": reason.value, "message": message, "time": timestamp(now)}
    status = _base(seen)
    status["weightPercent"] = 100 if verdict == "PromoteCandidate" else 0
    status["decision"] = decision
    _state(status, seen, [decided(decision), awaiting_decision(None), TO_BE_CARRIED_OUT], now)
    told = Event(verdict, message, "Normal" if verdict == "PromoteCandidate" else "Warning")
    # What carries the weights is drawn to 100 only by a later pass, which has seen the verdict.
    return _at_zero(seen, spec, Plan(status=status, status_first=True, events=(*events, told), requeue_after=1.0))


def _after_the_end(seen: ExperimentInput) -> tuple[Event, ...]:
    complaint = refused_request(seen.obj, running.ACTIONS)
    if complaint is None and pending_request(seen.obj, running.ACTIONS):
        complaint = "the experiment has ended; its verdict is final"
    return (Event("RequestRefused", complaint, "Warning"),) if complaint else ()


def _waiting(message: str) -> Stated:
    return "Succeeded", "Unknown", Reason.LEDGER_LOST, message


def _base(seen: ExperimentInput) -> Object:
    status = dict(seen.obj.get("status") or {})
    status["observedGeneration"] = seen.obj["metadata"].get("generation")
    status.pop("paused", None)
    handled = acknowledgement(seen.obj)
    if handled is not None:
        status["lastHandledRequest"] = handled
    return status


def _state(status: Object, seen: ExperimentInput, stated: Sequence[Stated], now: datetime) -> None:
    conditions = status.get("conditions")
    for type_, value, reason, message in stated:
        conditions = set_condition(
            conditions, type_, value, reason.value, message, now, seen.obj["metadata"].get("generation")
        )
    status["conditions"] = set_settled(conditions)
