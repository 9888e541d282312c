"""Conditions of our objects: one way to write them, so that every kind reads alike.

Conditions are plain dictionaries in the order in which they were first set. A condition whose `status`
does not change keeps its `lastTransitionTime`, so that an unchanged decision yields an unchanged status and
costs no write.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Literal

ConditionStatus = Literal["True", "False", "Unknown"]
Conditions = list[dict[str, Any]]

MESSAGE_LIMIT = 1024
"""Characters of a message that the API server accepts."""

RECONCILING = "Reconciling"
STALLED = "Stalled"


def timestamp(moment: datetime) -> str:
    """RFC 3339 in UTC, to the second, as Kubernetes writes it."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def truncate(message: str, limit: int = MESSAGE_LIMIT) -> str:
    """The message, cut with an ellipsis where it is longer than the schema allows."""
    return message if len(message) <= limit else message[: limit - 1] + "…"


def set_condition(
    conditions: Iterable[Mapping[str, Any]] | None,
    type: str,
    status: ConditionStatus,
    reason: str,
    message: str,
    now: datetime,
    generation: int | None,
) -> Conditions:
    """A copy of the conditions with `type` set; its place and, unless `status` changes, its time are kept."""
    result = [dict(c) for c in conditions or ()]
    previous = get_condition(result, type)
    unchanged = previous is not None and previous.get("status") == status
    condition: dict[str, Any] = {
        "type": type,
        "status": status,
        "reason": reason,
        "message": truncate(message),
        "lastTransitionTime": (
            previous["lastTransitionTime"]
            if unchanged and previous is not None and previous.get("lastTransitionTime")
            else timestamp(now)
        ),
    }
    if generation is not None:
        condition["observedGeneration"] = generation
    if previous is None:
        return [*result, condition]
    return [condition if c.get("type") == type else c for c in result]


def drop_condition(conditions: Iterable[Mapping[str, Any]] | None, *types: str) -> Conditions:
    """A copy of the conditions without those types."""
    return [dict(c) for c in conditions or () if c.get("type") not in types]


def get_condition(conditions: Iterable[Mapping[str, Any]] | None, type: str) -> Mapping[str, Any] | None:
    """The condition of that type, if it is there."""
    return next((c for c in conditions or () if c.get("type") == type), None)


def is_true(conditions: Iterable[Mapping[str, Any]] | None, type: str) -> bool:
    """Whether the condition is there and True; absent and Unknown are not."""
    condition = get_condition(conditions, type)
    return condition is not None and condition.get("status") == "True"


def is_false(conditions: Iterable[Mapping[str, Any]] | None, type: str) -> bool:
    """Whether the condition is there and False; absent and Unknown are not."""
    condition = get_condition(conditions, type)
    return condition is not None and condition.get("status") == "False"


def changed(before: Iterable[Mapping[str, Any]] | None, after: Iterable[Mapping[str, Any]], type: str) -> bool:
    """Whether status or reason of that type differ: the transition that deserves an event."""
    old, new = get_condition(before, type), get_condition(after, type)
    if old is None or new is None:
        return old is not new
    return (old.get("status"), old.get("reason")) != (new.get("status"), new.get("reason"))


def set_stalled(
    conditions: Iterable[Mapping[str, Any]] | None, reason: str, message: str, now: datetime, generation: int | None
) -> Conditions:
    """kstatus `Failed`: a person must act before anything can go on."""
    return set_condition(drop_condition(conditions, RECONCILING), STALLED, "True", reason, message, now, generation)


def set_reconciling(
    conditions: Iterable[Mapping[str, Any]] | None, reason: str, message: str, now: datetime, generation: int | None
) -> Conditions:
    """kstatus `InProgress`: only until the spec is observed and the children exist."""
    return set_condition(drop_condition(conditions, STALLED), RECONCILING, "True", reason, message, now, generation)


def set_settled(conditions: Iterable[Mapping[str, Any]] | None) -> Conditions:
    """kstatus `Current`: neither stalled nor reconciling (both are absent when all is well)."""
    return drop_condition(conditions, STALLED, RECONCILING)
