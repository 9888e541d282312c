"""One pass over one object: observe, decide, carry out; and what an error means for the object."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Generic, Protocol, TypeVar

from retrainer.conditions import is_false, is_true, set_condition, set_stalled, truncate
from retrainer.kube.cache import Cache, Key
from retrainer.kube.carry_out import carry_out
from retrainer.kube.client import Client
from retrainer.kube.errors import ApiError, Conflict, NameConflict, Refused
from retrainer.kube.resources import Resource, resource_of_object
from retrainer.plan import Object, Plan
from retrainer.requests import with_history
from retrainer.runtime.lease import NotLeader

_log = logging.getLogger(__name__)

_LOOK_AGAIN_SECONDS = 60.0
_TELL_AFTER_FAILURES = 4
"""A person learns of an error that survived this many tries; shorter ones heal by themselves."""


class Observed(Protocol):
    """What every kind's Input has: the object as read, and a name conflict that carrying out ran into."""

    @property
    def obj(self) -> Object: ...

    @property
    def name_conflict(self) -> str | None: ...


I = TypeVar("I", bound=Observed)  # noqa: E741 - an Input


@dataclass(frozen=True)
class Surroundings:
    """What every pass works with."""

    client: Client
    cache: Cache
    may_write: Callable[[], Awaitable[None]]
    now: Callable[[], datetime] = lambda: datetime.now(UTC)


class Reconciler(Generic[I]):
    """Runs the passes of one kind; knows no rules of it."""

    def __init__(
        self,
        resource: Resource,
        surroundings: Surroundings,
        observe: Callable[[Object], Awaitable[I]],
        decide: Callable[[I, datetime], Plan],
        main_condition: str,
    ) -> None:
        self.resource = resource
        self._in = surroundings
        self._observe = observe
        self._decide = decide
        self._main_condition = main_condition

    async def reconcile(self, key: Key, failures: int) -> float | None:
        """One pass; returns after how many seconds to look again without an event.

        Raises what should be retried with back-off.
        """
        obj = self._in.cache.get(self.resource, key)
        if obj is None or obj["metadata"].get("deletionTimestamp"):
            return None
        try:
            return await self._pass(obj)
        except NotLeader:
            raise
        except Exception as error:
            if isinstance(error, Conflict):
                # The cache was behind. Back-off nevertheless: it may be a child that conflicts.
                await self._refresh(obj)
            if _is_time_to_tell(failures):
                await self._tell(obj, error)
            raise

    async def _pass(self, obj: Object) -> float | None:
        observed = await self._observe(obj)
        now = self._in.now()
        plan = self._decide(observed, now)
        try:
            await self._carry_out(obj, plan, now)
        except NameConflict as conflict:
            # The decision is asked again, knowing the conflict, so that it can say so on the status.
            observed = dataclasses.replace(observed, name_conflict=str(conflict))  # type: ignore[type-var]
            fallback = self._decide(observed, now)
            plan = Plan(status=fallback.status, events=fallback.events, requeue_after=_LOOK_AGAIN_SECONDS)
            await self._carry_out(obj, plan, now)
        return plan.requeue_after

    async def _carry_out(self, obj: Object, plan: Plan, now: datetime) -> None:
        if plan.status is not None:
            status = with_history(obj.get("status"), plan.status)
            plan = dataclasses.replace(plan, status=None if status == obj.get("status") else status)
        await carry_out(self._in.client, obj, plan, now, self._remember, self._in.may_write)

    def _remember(self, written: Object) -> None:
        self._in.cache.put(resource_of_object(written), written)

    async def _refresh(self, obj: Object) -> Object | None:
        """Make the cache know the object as it is now; returns None when it is gone."""
        meta = obj["metadata"]
        live = await self._in.client.get(self.resource, meta["namespace"], meta["name"])
        if live is None:
            self._in.cache.remove(self.resource, obj)
        else:
            self._in.cache.put(self.resource, live)
        return live

    async def _tell(self, obj: Object, error: Exception) -> None:
        """Put a lasting error on the object; refusals need a person, other errors are tried again."""
        live = await self._refresh(obj)
        if live is None:
            return
        key = (live["metadata"]["namespace"], live["metadata"]["name"])
        now, generation = self._in.now(), live["metadata"].get("generation")
        status = dict(live.get("status") or {})
        if self._main_condition == "Succeeded" and _is_decided(status):
            return  # the verdict is final, and who reads it acts on it: the operator's log has the error
        message = truncate(f"a pass over this object fails and is tried again: {_describe(error)}", 500)
        conditions = set_condition(
            status.get("conditions"), self._main_condition, "Unknown", "Error", message, now, generation
        )
        if isinstance(error, Refused):
            conditions = set_stalled(conditions, "Refused", message, now, generation)
        status["conditions"] = conditions
        if status == live.get("status"):
            return
        try:
            await self._in.may_write()
            self._remember(await self._in.client.put_status(live, status))
        except ApiError as second:
            _log.warning("error of %s/%s not told: %s", *key, second)


def _is_time_to_tell(failures: int) -> bool:
    """At 4, 8, 16 … failures: what is told is a change of the object, which ends the back-off of its next pass.

    So a message that differs with every try (a port, a request id) must not be told with every try.
    """
    return failures >= _TELL_AFTER_FAILURES and failures.bit_count() == 1


def _is_decided(status: Object) -> bool:
    conditions = status.get("conditions")
    return is_true(conditions, "Succeeded") or is_false(conditions, "Succeeded")


def _describe(error: Exception) -> str:
    """Text for people; of an error that we did not foresee only its kind, for its text may quote anything."""
    if isinstance(error, ApiError | ValueError):
        return str(error)
    return f"{type(error).__name__}, an error of the operator; its log has more"
