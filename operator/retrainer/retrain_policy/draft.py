"""A plan in the making: what the rules know, and how far they have come (frozen; each rule returns the next)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from retrainer.api.v1alpha1.retrain_policy import (
    RetrainPolicySpec,
    RetrainPolicyStatus,
    Revision,
    RevisionState,
    Serving,
)
from retrainer.plan import Event, Object, Ref
from retrainer.retrain_policy.input import PolicyInput
from retrainer.retrain_policy.revisions import Record


@dataclass(frozen=True)
class Trouble:
    """Why a person must act."""

    reason: str
    message: str


@dataclass(frozen=True)
class Facts:
    """What does not change during a pass."""

    input: PolicyInput
    now: datetime
    """To the second, as status times are."""
    spec: RetrainPolicySpec
    before: RetrainPolicyStatus
    """The status as it was written last."""

    @property
    def policy(self) -> Object:
        return self.input.obj

    @property
    def name(self) -> str:
        return str(self.input.obj["metadata"]["name"])

    @property
    def uid(self) -> str:
        return str(self.input.obj["metadata"]["uid"])

    @property
    def first_pass(self) -> bool:
        """Nobody has looked at this policy yet."""
        return self.before.observed_generation is None

    @property
    def was_under_way(self) -> bool:
        """A run, a candidate or an experiment was there when the readings were chosen."""
        return under_way(self.before)


@dataclass(frozen=True)
class Draft:
    """What has been decided so far in this pass."""

    facts: Facts
    status: RetrainPolicyStatus
    record: Record
    stored: Record | None
    """The record as it lies in the cluster; None where there is none yet."""
    record_usable: bool = True
    """False: the ConfigMap is not ours or was altered; nothing may be decided that has to be remembered."""
    warming: int | None = None
    """The revision that a rollback or a pin waits for."""
    troubles: tuple[Trouble, ...] = ()
    creating: tuple[str, ...] = ()
    """Children that do not exist yet."""
    remains: tuple[str, ...] = ()
    """Children of a deleted policy of this name that are still there."""
    notes: tuple[str, ...] = ()
    """What is being waited for, in sentences."""
    creates: tuple[Object, ...] = ()
    applies: tuple[Object, ...] = ()
    merges: tuple[tuple[Ref, Object], ...] = ()
    deletes: tuple[Ref, ...] = ()
    events: tuple[Event, ...] = ()
    look: float | None = field(default=None)
    """Seconds until the next look."""

    @property
    def spec(self) -> RetrainPolicySpec:
        return self.facts.spec

    @property
    def now(self) -> datetime:
        return self.facts.now

    @property
    def input(self) -> PolicyInput:
        return self.facts.input

    @property
    def record_changed(self) -> bool:
        """Something was decided that must be in the ConfigMap before anything follows from it."""
        return self.record != self.stored

    @property
    def candidate(self) -> Revision | None:
        return self.record.candidate

    @property
    def newcomer(self) -> Revision | None:
        return self.record.newcomer

    @property
    def serving(self) -> Serving | None:
        return self.facts.spec.serving

    @property
    def hands_off(self) -> bool:
        """Whether Deployments and the route are not to be touched in this pass.

        They wait for a decision to be recorded; a number that was merely taken does not hold them up.
        """
        return self.spec.suspend or self.stored is None or _decisions(self.record) != _decisions(self.stored)

    def with_status(self, **changes: Any) -> Draft:
        """With these fields of the status."""
        return replace(self, status=self.status.model_copy(update=changes))

    def with_record(self, record: Record) -> Draft:
        """With this record; it is written before the status, and what follows from it waits for the next pass."""
        return replace(self, record=record)

    def trouble(self, reason: str, message: str) -> Draft:
        """A person must act."""
        return replace(self, troubles=(*self.troubles, Trouble(reason, message)))

    def note(self, sentence: str) -> Draft:
        """Something is being waited for."""
        return replace(self, notes=(*self.notes, sentence))

    def tell(self, event: Event) -> Draft:
        """Something worth an event that no difference of the status shows."""
        return replace(self, events=(*self.events, event))

    def look_in(self, seconds: float) -> Draft:
        """Look again after this long at the latest."""
        seconds = max(0.0, seconds)
        return replace(self, look=seconds if self.look is None else min(self.look, seconds))

    def look_at(self, moment: datetime) -> Draft:
        """Look again at this moment, if it lies ahead."""
        return self if moment <= self.now else self.look_in((moment - self.now).total_seconds())


def _decisions(record: Record) -> tuple[object, ...]:
    return record.champion, record.revisions, record.template


Rule = Callable[[Draft], Draft]

ON_THE_WAY = (RevisionState.CANDIDATE, RevisionState.AWAITING_APPROVAL)
"""States of a revision that may become champion without a new run."""


def under_way(status: RetrainPolicyStatus) -> bool:
    """Whether a run, a candidate, an experiment or an approval is pending; nothing new starts, nothing is read."""
    return (
        status.pending_run is not None
        or status.active_run is not None
        or status.active_experiment is not None
        or any(r.state in ON_THE_WAY for r in status.revisions or ())
    )
