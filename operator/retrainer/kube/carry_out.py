"""Carries out a plan: the order of its writes is what makes an interrupted pass safe to repeat."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime

from retrainer.kube.client import Client
from retrainer.kube.events import emit
from retrainer.kube.ownership import apply_if_ours, create_or_adopt
from retrainer.kube.resources import resource_of
from retrainer.plan import Object, Plan

Written = Callable[[Object], None]
"""Told of every object as the API server returned it, so that the cache knows it at once."""


async def carry_out(
    client: Client,
    about: Object,
    plan: Plan,
    now: datetime,
    written: Written,
    may_write: Callable[[], Awaitable[None]],
) -> None:
    """Do what the plan says about the object `about`.

    `may_write` is awaited before every write and raises when this process is no longer the leader.
    Raises NameConflict, Conflict and other ApiErrors; whatever was not done is done by the next pass.
    """
    if plan.status is not None and plan.status_first:
        about = await _write_status(client, about, plan.status, written, may_write)
    for obj in plan.creates:
        await may_write()
        written(await create_or_adopt(client, obj))
    for obj in plan.applies:
        written(await apply_if_ours(client, obj, may_write))
    for obj in plan.replaces:
        await may_write()
        written(await client.replace(obj))
    if plan.status is not None and not plan.status_first:
        about = await _write_status(client, about, plan.status, written, may_write)
    for ref, patch in plan.merges:
        await may_write()
        written(await client.merge(ref, resource_of(ref.api_version, ref.kind), patch))
    for ref in plan.deletes:
        await may_write()
        await client.delete(ref, resource_of(ref.api_version, ref.kind))
    for event in plan.events:
        await emit(client, about, event, now)


async def _write_status(
    client: Client,
    about: Object,
    status: Object,
    written: Written,
    may_write: Callable[[], Awaitable[None]],
) -> Object:
    await may_write()
    updated = await client.put_status(about, status)
    written(updated)
    return updated
