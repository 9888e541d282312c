"""What a decision returns: the status to write, the objects to change, the events to tell, the next look."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Object = dict[str, Any]
"""A Kubernetes object as plain data (camelCase keys, as in YAML)."""


@dataclass(frozen=True, order=True)
class Ref:
    """Names one object; `uid`, when given, is a precondition of deletion."""

    api_version: str
    kind: str
    namespace: str
    name: str
    uid: str | None = None


@dataclass(frozen=True)
class Event:
    """One line for `kubectl describe`; emitted on transitions, never per pass."""

    reason: str
    message: str
    type: Literal["Normal", "Warning"] = "Normal"


@dataclass(frozen=True)
class Plan:
    """The outcome of one pure decision; `act` carries it out in this order and knows no rules.

    `creates` are POSTed once and never applied again (Jobs, runs, experiments, ledgers).
    `applies` are created if absent and otherwise server-side applied, both only after the ownership check.
    `replaces` carry their `metadata.resourceVersion` and are PUT (ledger, champion record): a conflict
    means another writer, and the pass starts again from what is.
    `merges` are (object reference, merge patch) for small changes such as suspending a Job.
    `deletes` happen in the background, with the uid as precondition.
    `status` is the whole new status, or None when it is unchanged; it is written after `creates`,
    `applies` and `replaces` unless `status_first` (an announcement that must precede its effect).
    `requeue_after` is seconds until the next look without an event; None means only when something changes.
    """

    status: Object | None = None
    status_first: bool = False
    creates: tuple[Object, ...] = ()
    applies: tuple[Object, ...] = ()
    replaces: tuple[Object, ...] = ()
    merges: tuple[tuple[Ref, Object], ...] = ()
    deletes: tuple[Ref, ...] = ()
    events: tuple[Event, ...] = ()
    requeue_after: float | None = None
