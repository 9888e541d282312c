"""The status under way: conditions and fields as one pass wants them, and the plan that writes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from pydantic import BaseModel

from retrainer.api.v1alpha1.training_run import RunReason
from retrainer.conditions import (
    ConditionStatus,
    changed,
    drop_condition,
    get_condition,
    set_condition,
    set_reconciling,
    set_settled,
    set_stalled,
)
from retrainer.plan import Event, Object, Plan, Ref
from retrainer.requests import acknowledgement
from retrainer.training_run.input import parse_time

DATA_READY = "DataReady"
TRAINED = "Trained"
EVALUATED = "Evaluated"
GATES_PASSED = "GatesPassed"
SUCCEEDED = "Succeeded"
CONDITIONS = (DATA_READY, TRAINED, EVALUATED, GATES_PASSED, SUCCEEDED)

PROGRESS_SECONDS = 30
"""Progress alone is written at most this often."""

_TOLD = (DATA_READY, TRAINED, GATES_PASSED, SUCCEEDED)
_QUIET = {RunReason.PENDING.value}
_GOOD = {
    RunReason.RUNNING.value,
    RunReason.SUSPENDED.value,
    RunReason.FROZEN.value,
    RunReason.TRAINED.value,
    RunReason.GATES_PASSED.value,
    RunReason.COMPLETED.value,
}
_MINOR = ("progress", "jobs")
"""Fields that may wait: what a person waits for is told by conditions and stage."""


@dataclass(frozen=True)
class Draft:
    """Status as it was read and as it shall be; every method returns a changed copy."""

    before: Mapping[str, Any]
    status: Mapping[str, Any]
    now: datetime
    generation: int | None

    @classmethod
    def open(cls, obj: Object, now: datetime) -> Draft:
        """Begin a pass: all conditions present, generation observed, requests acknowledged."""
        before = obj.get("status") or {}
        generation = obj["metadata"].get("generation")
        status = {**before, "observedGeneration": generation}
        handled = acknowledgement(obj)
        if handled is not None:
            status["lastHandledRequest"] = handled
        draft = cls(before, status, now, generation)
        for type in CONDITIONS:
            if get_condition(before.get("conditions"), type) is None:
                draft = draft.condition(type, "Unknown", RunReason.PENDING, "not started yet")
        return draft

    def condition(self, type: str, status: ConditionStatus, reason: str, message: str) -> Draft:
        """With the condition set."""
        conditions = set_condition(
            self.status.get("conditions"), type, status, str(reason), message, self.now, self.generation
        )
        return self.put(conditions=conditions)

    def timed_condition(self, type: str, status: ConditionStatus, reason: str, message: str) -> Draft:
        """As `condition`, but its time also moves when only the reason changes: since when this lasts."""
        old = get_condition(self.status.get("conditions"), type)
        if old is not None and old.get("reason") != str(reason):
            order = [c["type"] for c in self.status["conditions"]]
            bare = self.put(conditions=drop_condition(self.status["conditions"], type))
            moved = bare.condition(type, status, reason, message)
            return moved.put(conditions=sorted(moved.status["conditions"], key=lambda c: order.index(c["type"])))
        return self.condition(type, status, reason, message)

    def put(self, **fields: Any) -> Draft:
        """With fields set, by their names in the status (camelCase); models and tuples of models are dumped."""
        return replace(self, status={**self.status, **{name: _plain(value) for name, value in fields.items()}})

    def drop(self, *names: str) -> Draft:
        """Without those fields."""
        return replace(self, status={k: v for k, v in self.status.items() if k not in names})

    def stalled(self, reason: str, message: str) -> Draft:
        """A person must act."""
        conditions = self.status.get("conditions")
        return self.put(conditions=set_stalled(conditions, str(reason), message, self.now, self.generation))

    def reconciling(self, reason: str, message: str) -> Draft:
        """The children do not exist yet."""
        conditions = self.status.get("conditions")
        return self.put(conditions=set_reconciling(conditions, str(reason), message, self.now, self.generation))

    def settled(self) -> Draft:
        """Neither."""
        return self.put(conditions=set_settled(self.status.get("conditions")))

    def with_job(self, stage: str, name: str) -> Draft:
        """With a Job recorded as seen; from then on its absence means that it was deleted."""
        if self.knows_job(name):
            return self
        jobs = [*(self.status.get("jobs") or ()), {"stage": stage, "name": name}]
        return self.put(jobs=jobs[-16:])

    def knows_job(self, name: str) -> bool:
        """Whether the Job was seen to exist."""
        return any(job.get("name") == name for job in self.status.get("jobs") or ())

    def since(self, type: str) -> datetime:
        """Since when the condition has its status."""
        condition = get_condition(self.status.get("conditions"), type)
        return parse_time(condition["lastTransitionTime"]) if condition else self.now

    def plan(
        self,
        *,
        creates: tuple[Object, ...] = (),
        merges: tuple[tuple[Ref, Object], ...] = (),
        deletes: tuple[Ref, ...] = (),
        events: tuple[Event, ...] = (),
        status_first: bool = False,
        requeue_after: float | None = None,
    ) -> Plan:
        """The plan that writes this status, if it says anything new."""
        status = dict(self.status)
        if status == self.before or (not creates and self._can_wait()):
            return Plan(creates=creates, merges=merges, deletes=deletes, events=events, requeue_after=requeue_after)
        return Plan(
            status=status,
            status_first=status_first,
            creates=creates,
            merges=merges,
            deletes=deletes,
            events=(*events, *self._transitions()),
            requeue_after=requeue_after,
        )

    def _can_wait(self) -> bool:
        """Whether only minor fields differ and the last write of them is too recent."""
        if any(self.before.get(k) != self.status.get(k) for k in {*self.before, *self.status} - {*_MINOR}):
            return False
        if "progress" in self.status and "progress" not in self.before:
            return False
        return (self.now - self._last_progress_write()).total_seconds() < PROGRESS_SECONDS

    def _last_progress_write(self) -> datetime:
        updated = (self.before.get("progress") or {}).get("updatedTime")
        return parse_time(updated) if updated else self.since(DATA_READY)

    def _transitions(self) -> tuple[Event, ...]:
        """An event for each condition that changed; what several conditions say is told once."""
        events: dict[str, Event] = {}
        before, after = self.before.get("conditions"), self.status["conditions"]
        for type in _TOLD:
            condition = get_condition(after, type)
            if condition is None or not changed(before, after, type) or condition["reason"] in _QUIET:
                continue
            if type != SUCCEEDED and condition["status"] == "Unknown":
                continue
            severity = "Normal" if condition["reason"] in _GOOD else "Warning"
            events[condition["reason"]] = Event(condition["reason"], condition["message"], severity)  # type: ignore[arg-type]
        return tuple(events.values())


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", by_alias=True, exclude_none=True)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value
