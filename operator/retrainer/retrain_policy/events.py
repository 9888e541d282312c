"""What `kubectl describe` tells: the difference between the status as it was and as it becomes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from retrainer.api.v1alpha1.retrain_policy import (
    RetrainPolicyStatus,
    Revision,
    RevisionState,
    TriggerState,
    TriggerStatus,
)
from retrainer.conditions import changed, truncate
from retrainer.plan import Event

_EVENT_LIMIT = 1000


def transitions(before: RetrainPolicyStatus, after: RetrainPolicyStatus) -> tuple[Event, ...]:
    """One event per transition; none when a policy is first seen (its record tells old stories)."""
    if before.observed_generation is None:
        return tuple(_conditions(before, after))
    told = (*_triggers(before, after), *_runs(before, after), *_revisions(before, after))
    return (*told, *_experiments(before, after), *_conditions(before, after))


def _triggers(before: RetrainPolicyStatus, after: RetrainPolicyStatus) -> Iterator[Event]:
    known: dict[str, TriggerStatus] = {t.name: t for t in before.triggers or ()}
    for trigger in after.triggers or ():
        last = known.get(trigger.name)
        if trigger.state is TriggerState.FIRED and (last is None or last.state is not TriggerState.FIRED):
            yield Event("TriggerFired", truncate(f"{trigger.name}: {trigger.message}", _EVENT_LIMIT))


def _runs(before: RetrainPolicyStatus, after: RetrainPolicyStatus) -> Iterator[Event]:
    if after.active_run is not None and after.active_run != before.active_run:
        yield Event("RunCreated", f"training run {after.active_run} is under way")
    ended = after.last_run
    if ended is not None and ended != before.last_run:
        good = ended.result in ("Completed", "GatesFailed")
        yield Event("RunEnded", f"training run {ended.name}: {ended.result}", "Normal" if good else "Warning")


def _revisions(before: RetrainPolicyStatus, after: RetrainPolicyStatus) -> Iterator[Event]:
    known = {r.revision: r.state for r in before.revisions or ()}
    # The oldest first, so that the events read as they happened.
    for revision in sorted(after.revisions or (), key=lambda r: r.revision):
        if known.get(revision.revision) is not revision.state:
            yield from _revision(revision)


def _revision(revision: Revision) -> Iterator[Event]:
    number = revision.revision
    if revision.state is RevisionState.CANDIDATE:
        yield Event("CandidateFound", f"revision {number} passed its gates")
    elif revision.state is RevisionState.REJECTED:
        yield Event("Rejected", f"revision {number} is rejected: {revision.reason}")
    elif revision.state is RevisionState.CHAMPION and revision.reason == "RolledBack":
        yield Event("RolledBack", f"revision {number} is champion again", "Warning")
    elif revision.state is RevisionState.CHAMPION and revision.reason == "Pinned":
        yield Event("Pinned", f"revision {number} is champion again: spec.model.pin", "Warning")
    elif revision.state is RevisionState.CHAMPION:
        yield Event("Promoted", f"revision {number} is champion")


def _experiments(before: RetrainPolicyStatus, after: RetrainPolicyStatus) -> Iterator[Event]:
    if after.active_experiment is not None and after.active_experiment != before.active_experiment:
        yield Event("ExperimentStarted", f"experiment {after.active_experiment} compares candidate and champion")


def _conditions(before: RetrainPolicyStatus, after: RetrainPolicyStatus) -> Iterator[Event]:
    """Ready, when it changes (Stalled has its reason); the candidate's Deployment; a question; a spent budget."""
    old = [c.model_dump(by_alias=True) for c in before.conditions]
    new = [c.model_dump(by_alias=True) for c in after.conditions]
    for condition in new:
        kind = condition["type"]
        event_of = _TOLD.get(kind)
        if event_of is None or not changed(old, new, kind):
            continue
        event = event_of(condition)
        if event is not None:
            yield event


def _verdict(condition: Mapping[str, Any]) -> Event:
    told = truncate(condition["message"], _EVENT_LIMIT)
    return Event(condition["reason"], told, "Normal" if condition["status"] == "True" else "Warning")


def _deployed(condition: Mapping[str, Any]) -> Event | None:
    if condition["reason"] != "Preparing":
        return None
    return Event("CandidateDeployed", truncate(condition["message"], _EVENT_LIMIT))


def _asked(condition: Mapping[str, Any]) -> Event | None:
    if condition["status"] != "True":
        return None
    return Event("ApprovalNeeded", truncate(condition["message"], _EVENT_LIMIT))


def _spent(condition: Mapping[str, Any]) -> Event | None:
    if condition["reason"] != "BudgetSpent":
        return None
    return Event("BudgetSpent", truncate(condition["message"], _EVENT_LIMIT))


_TOLD: Mapping[str, Callable[[Mapping[str, Any]], Event | None]] = {
    "Ready": _verdict,
    "Experimenting": _deployed,
    "AwaitingApproval": _asked,
    "Triggered": _spent,
}
"""What is told of a condition whose status or reason changed."""
