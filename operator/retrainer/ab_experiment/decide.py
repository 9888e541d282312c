"""What to do about an experiment: start it, go on with it, or keep its verdict in force.

Crash safety lies in the order of writes. Raising: the ledger's line, then `status.weightPercent`, and only a
later pass that has seen both gives the weight to a standalone route (a policy's route follows the status).
Lowering: status first, then the route, then the ledger. Whatever a pass finds, the lower of ledger and status
is the weight in force.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from retrainer.ab_experiment import ending, running, starting
from retrainer.ab_experiment.children import ledger_object, route_to_apply
from retrainer.ab_experiment.counting import seconds_to_next_window
from retrainer.ab_experiment.input import ExperimentInput
from retrainer.ab_experiment.ledger import Ledger, load
from retrainer.ab_experiment.report import Facts, status_of
from retrainer.ab_experiment.rules import Outcome
from retrainer.ab_experiment.running import Draft, Scene
from retrainer.ab_experiment.state import AlteredLedger
from retrainer.api.v1alpha1.ab_experiment import ABExperimentSpec
from retrainer.api.v1alpha1.ab_experiment import ExperimentReason as Reason
from retrainer.conditions import set_stalled
from retrainer.plan import Event, Object, Plan

LOOK_SECONDS = 5.0
"""Between looks at a running experiment: drift of the route and broken arms are noticed this soon."""
PENDING_SECONDS = 1.0
"""Between looks while the gateways take over a weight."""
STALLED_SECONDS = 60.0


def decide(seen: ExperimentInput, now: datetime) -> Plan:
    """The plan for this pass; raises ValueError where `spec` is not one the API server would have accepted."""
    spec = ABExperimentSpec.model_validate(seen.obj["spec"])
    status = seen.obj.get("status") or {}
    if status.get("startTime") and seen.ledger is not None and not _ours(seen, seen.ledger):
        seen = replace(seen, ledger=None)
    conflict = seen.name_conflict or _foreign(seen)
    if conflict:
        return _name_conflict(seen, conflict, now)
    if status.get("decision"):
        return ending.keep(seen, spec, now)
    if ending.ledger_was_lost(status):
        return ending.await_person(seen, spec, now)
    if seen.ledger is None and status.get("startTime"):
        return ending.lose_ledger(seen, spec, "it does not exist", now)
    if seen.ledger is None:
        return starting.start(seen, spec, now)
    try:
        ledger = _trusted(seen.ledger, spec, status)
    except AlteredLedger as altered:
        return ending.lose_ledger(seen, spec, str(altered), now)
    return _go_on(seen, spec, ledger, now)


def _foreign(seen: ExperimentInput) -> str | None:
    """The child whose name somebody else's object bears; that object is left alone."""
    children = (seen.ledger, seen.route if seen.obj["spec"]["traffic"].get("httpRoute") else None)
    for child in children:
        if child is not None and not _ours(seen, child):
            return f"{child.get('kind', 'object')} {child['metadata']['name']} exists and is not ours"
    return None


def _ours(seen: ExperimentInput, child: Object) -> bool:
    owners = child["metadata"].get("ownerReferences") or ()
    return any(o.get("controller") and o.get("uid") == seen.obj["metadata"]["uid"] for o in owners)


def _name_conflict(seen: ExperimentInput, conflict: str, now: datetime) -> Plan:
    status = dict(seen.obj.get("status") or {})
    generation = seen.obj["metadata"].get("generation")
    message = f"{conflict}; rename or remove it, or give this experiment another name"
    status["observedGeneration"] = generation
    status.setdefault("weightPercent", 0)
    status["conditions"] = set_stalled(status.get("conditions"), Reason.NAME_CONFLICT.value, message, now, generation)
    return Plan(status=status, requeue_after=STALLED_SECONDS)


def _trusted(stored: Object, spec: ABExperimentSpec, status: Object) -> Ledger:
    """The ledger; raises AlteredLedger where it is damaged, or older than what status knows of it."""
    ledger = load(stored, spec)
    if (status.get("windows") or {}).get("count", 0) > ledger.state.count:
        raise AlteredLedger("it holds fewer windows than were counted")
    return ledger


def _go_on(seen: ExperimentInput, spec: ABExperimentSpec, ledger: Ledger, now: datetime) -> Plan:
    status = seen.obj.get("status") or {}
    scene = Scene(seen, spec, running.observed_route(seen), now)
    before = Draft(ledger, bool(status.get("paused")), Outcome("Hold", Reason.RUNNING, ""))
    draft = running.pass_over(before, scene)
    in_force = status.get("weightPercent") or 0
    weight = draft.ledger.state.weight
    changed = draft.ledger is not ledger
    return Plan(
        status=status_of(
            Facts(
                seen.obj,
                draft.ledger,
                draft.outcome,
                scene.route,
                draft.paused,
                scene.arms,
                scene.source,
                now,
            )
        ),
        status_first=weight < in_force,
        applies=route_to_apply(seen.obj, spec, seen.route, min(ledger.state.weight, in_force, weight)),
        replaces=(ledger_object(seen.obj, draft.ledger, seen.ledger),) if changed else (),
        events=draft.events or _untold(before),
        requeue_after=_next_look(draft, scene),
    )


def _untold(draft: Draft) -> tuple[Event, ...]:
    """The verdict that the ledger bore already: a crash kept it from the status, and nobody was told."""
    decision = draft.ledger.state.decision
    return (Event(decision["verdict"], decision["message"]),) if decision else ()


def _next_look(draft: Draft, scene: Scene) -> float | None:
    if draft.decided:
        return PENDING_SECONDS if scene.spec.traffic.http_route else None
    if draft.ledger.state.applied is None:
        return PENDING_SECONDS
    due = seconds_to_next_window(draft.ledger, scene.now.timestamp())
    # A window that is due already is being read, and its answer wakes us.
    wait = LOOK_SECONDS if not due or scene.source else min(due + 0.05, LOOK_SECONDS)
    return max(wait, 0.2)
