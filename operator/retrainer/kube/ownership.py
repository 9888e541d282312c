"""Create and apply children without ever seizing an object that is not ours."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from retrainer.kube.client import FIELD_MANAGER, Client
from retrainer.kube.errors import AlreadyExists, NameConflict
from retrainer.kube.resources import resource_of_object
from retrainer.plan import Object, Ref


def controller_uid(obj: Object) -> str | None:
    """The uid of the controlling owner."""
    for reference in obj["metadata"].get("ownerReferences") or ():
        if reference.get("controller"):
            return str(reference["uid"])
    return None


def is_ours(found: Object, wanted: Object) -> bool:
    """Whether `found` may be treated as the object that `wanted` describes.

    A child with an owner must have that owner, by uid. One without (the champion record, which outlives
    its policy) must carry all our labels.
    """
    owner = controller_uid(wanted)
    if owner is not None:
        return controller_uid(found) == owner
    labels, ours = found["metadata"].get("labels") or {}, wanted["metadata"].get("labels") or {}
    # Without labels of ours there is nothing to recognise it by.
    return bool(ours) and controller_uid(found) is None and all(labels.get(k) == v for k, v in ours.items())


async def create_or_adopt(client: Client, wanted: Object) -> Object:
    """POST; an object of that name that is ours already counts as created.

    Raises NameConflict when it is not ours.
    """
    try:
        return await client.create(wanted)
    except AlreadyExists:
        meta = wanted["metadata"]
        found = await client.get(resource_of_object(wanted), meta["namespace"], meta["name"])
        if found is None:
            raise
        _refuse_unless_ours(found, wanted)
        return found


async def _always() -> None:
    """For those who need no lease."""


async def apply_if_ours(client: Client, wanted: Object, may_write: Callable[[], Awaitable[None]] = _always) -> Object:
    """Server-side apply, after making sure that the object is absent or ours; raises NameConflict.

    `may_write` is awaited before every single write, and raises when it must not be: a process may have been
    stopped while it waited for an answer, and another may lead when it wakes up.
    """
    meta = wanted["metadata"]
    found = await client.get(resource_of_object(wanted), meta["namespace"], meta["name"])
    await may_write()
    if found is None:
        return await create_or_adopt(client, wanted)
    _refuse_unless_ours(found, wanted)
    found = await _manage_by_apply(client, found)
    await may_write()
    # Should another object have taken the name since, its uid differs and the server refuses to touch it.
    return await client.apply({**wanted, "metadata": {**meta, "uid": found["metadata"]["uid"]}})


async def _manage_by_apply(client: Client, found: Object) -> Object:
    """What our POST wrote counts as applied; otherwise a field that we stop applying would stay for ever.

    The server remembers who wrote a field by which kind of request and, having seen a POST, keeps the field.
    Not done at once after the POST, when controllers write to a new object too. Raises Conflict when somebody
    writes the object at the same time.
    """
    meta = found["metadata"]
    managers = [_as_applied(entry) for entry in meta.get("managedFields") or ()]
    if managers == (meta.get("managedFields") or []):
        return found
    ref = Ref(found["apiVersion"], found["kind"], meta["namespace"], meta["name"], meta["uid"])
    patch = {"metadata": {"resourceVersion": meta["resourceVersion"], "managedFields": managers}}
    return await client.merge(ref, resource_of_object(found), patch)


def _as_applied(entry: Object) -> Object:
    ours = entry.get("manager") == FIELD_MANAGER and not entry.get("subresource")
    return {**entry, "operation": "Apply"} if ours else entry


def _refuse_unless_ours(found: Object, wanted: Object) -> None:
    if not is_ours(found, wanted):
        raise NameConflict(wanted["kind"], wanted["metadata"]["name"]) from None
