"""What to do about an experiment: start it, go on with it, or keep its verdict in force.

Crash safety lies in the order of writes. Raising: the ledger's line, then `status.weightPercent`, and only a
later pass that has seen both gives the weight to what carries it (a policy's route follows the status).
Lowering: status first, then what carries it, then the ledger. Whatever a pass finds, the lower of ledger and status
is the weight in force.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from pydantic import ValidationError

from retrainer.ab_experiment import ending, running, starting
from retrainer.ab_experiment.children import is_ours, ledger_object, routing_for
from retrainer.ab_experiment.clock import Moment, moment
from retrainer.ab_experiment.counting import seconds_to_next_window
from retrainer.ab_experiment.input import ExperimentInput
from retrainer.ab_experiment.ledger import Ledger, append, load
from retrainer.ab_experiment.report import Facts, status_of
from retrainer.ab_experiment.rules import Outcome
from retrainer.ab_experiment.running import Draft, Scene
from retrainer.ab_experiment.stalled import stall, unreadable
from retrainer.ab_experiment.state import AlteredLedger, iso
from retrainer.api.v1alpha1.ab_experiment import ABExperimentSpec
from retrainer.api.v1alpha1.ab_experiment import ExperimentReason as Reason
from retrainer.conditions import changed
from retrainer.plan import Event, Object, Plan

LOOK_SECONDS = 5.0
"""Between looks at a running experiment: drift of the route and broken arms are noticed this soon."""
PENDING_SECONDS = 1.0
"""Between looks while the gateways take over a weight."""


def decide(seen: ExperimentInput, now: datetime) -> Plan:
    """The plan for this pass."""
    status = seen.obj.get("status") or {}
    without_ledger = moment(now.timestamp(), seen.clock_ahead)
    then = datetime.fromtimestamp(without_ledger.at, UTC)
    try:
        spec = ABExperimentSpec.model_validate(seen.obj["spec"])
    except ValidationError as error:
        return stall(seen, Reason.INVALID, unreadable(error), then)
    if status.get("startTime") and seen.ledger is not None and not is_ours(seen.obj, seen.ledger):
        seen = replace(seen, ledger=None)
    conflict = seen.name_conflict or _foreign(seen, spec)
    if conflict:
        return _name_conflict(seen, spec, conflict, without_ledger)
    if status.get("decision"):
        return ending.keep(seen, spec, then)
    if ending.ledger_was_lost(status):
        return ending.await_person(seen, spec, then)
    if seen.ledger is None and status.get("startTime"):
        return ending.lose_ledger(seen, spec, "it does not exist", then)
    if seen.ledger is None:
        return starting.start(seen, spec, without_ledger)
    try:
        ledger = _trusted(seen.ledger, spec, status)
    except AlteredLedger as altered:
        return ending.lose_ledger(seen, spec, str(altered), then)
    when = moment(now.timestamp(), seen.clock_ahead, ledger.state.at)
    scene = Scene(seen, spec, routing_for(seen.obj, spec, seen.parent_refs), when, then)
    return _go_on(scene, ledger)


def _foreign(seen: ExperimentInput, spec: ABExperimentSpec) -> str | None:
    """The child whose name somebody else's object bears; that object is left alone."""
    if seen.ledger is not None and not is_ours(seen.obj, seen.ledger):
        return f"ConfigMap {seen.ledger['metadata']['name']} exists and is not ours"
    routing = routing_for(seen.obj, spec, seen.parent_refs)
    return routing.foreign(seen.routed, seen.obj["metadata"]["uid"])


def _name_conflict(seen: ExperimentInput, spec: ABExperimentSpec, conflict: str, when: Moment) -> Plan:
    """Whoever bears the name may divide the traffic otherwise: no window counts from here on."""
    message = f"{conflict}; rename or remove it, or give this experiment another name"
    plan = stall(seen, Reason.NAME_CONFLICT, message, datetime.fromtimestamp(when.at, UTC))
    decided = bool((plan.status or {}).get("decision"))
    try:
        ledger = load(seen.ledger, spec) if seen.ledger is not None and not decided else None
    except AlteredLedger:
        return plan
    if ledger is None or ledger.state.applied is None or not is_ours(seen.obj, seen.ledger or {}):
        return plan
    at = iso(max(when.at, ledger.state.at))
    disturbed = append(ledger, {"kind": "disturbed", "at": at, "reason": Reason.NAME_CONFLICT.value})
    return replace(plan, replaces=(ledger_object(seen.obj, disturbed, seen.ledger),))


def _trusted(stored: Object, spec: ABExperimentSpec, status: Object) -> Ledger:
    """The ledger; raises AlteredLedger where it is damaged, or older than what status knows of it."""
    ledger = load(stored, spec)
    if (status.get("windows") or {}).get("count", 0) > ledger.state.count:
        raise AlteredLedger("it holds fewer windows than were counted")
    return ledger


def _go_on(scene: Scene, ledger: Ledger) -> Plan:
    seen = scene.seen
    paused = bool((seen.obj.get("status") or {}).get("paused"))
    before = Draft(ledger, paused, Outcome("Hold", Reason.RUNNING, ""))
    draft = running.pass_over(before, scene)
    weight = draft.ledger.state.weight
    lowering = weight < scene.in_force
    change = scene.routing.change(seen.routed, min(ledger.state.weight, scene.in_force, weight))
    # A patch comes after the ledger, and a stop must not wait for that: its line is written by the next pass.
    postponed = lowering and bool(change.merges)
    status = _status(draft, scene)
    return Plan(
        status=status,
        status_first=lowering,
        applies=change.applies,
        merges=change.merges,
        replaces=() if draft.ledger is ledger or postponed else (ledger_object(seen.obj, draft.ledger, seen.ledger),),
        events=() if postponed and not draft.decided else (*(draft.events or _untold(before)), *_doubts(seen, status)),
        requeue_after=PENDING_SECONDS if postponed else _next_look(draft, scene),
    )


def _status(draft: Draft, scene: Scene) -> Object:
    return status_of(
        Facts(
            scene.seen.obj,
            draft.ledger,
            draft.outcome,
            scene.route,
            draft.paused,
            scene.arms,
            scene.source,
            scene.now,
            scene.moment.doubt,
            scene.routing.standalone,
        )
    )


def _untold(draft: Draft) -> tuple[Event, ...]:
    """The verdict that the ledger bore already: a crash kept it from the status, and nobody was told."""
    decision = draft.ledger.state.decision
    return (Event(decision["verdict"], decision["message"]),) if decision else ()


def _doubts(seen: ExperimentInput, status: Object) -> tuple[Event, ...]:
    """That it is not known what time it is, told when it begins."""
    data = next(c for c in status["conditions"] if c["type"] == "SufficientData")
    begins = data["reason"] == Reason.CLOCK.value and changed(
        (seen.obj.get("status") or {}).get("conditions"), status["conditions"], "SufficientData"
    )
    return (Event(Reason.CLOCK.value, data["message"], "Warning"),) if begins else ()


def _next_look(draft: Draft, scene: Scene) -> float | None:
    if draft.decided:
        return PENDING_SECONDS if scene.routing.standalone else None
    if draft.ledger.state.applied is None:
        return PENDING_SECONDS
    due = seconds_to_next_window(draft.ledger, scene.moment.at)
    # A window that is due already is being read, and its answer wakes us.
    wait = LOOK_SECONDS if not due or scene.source else min(due + 0.05, LOOK_SECONDS)
    return max(wait, 0.2)
