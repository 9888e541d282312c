"""Create and apply children without ever seizing an object that is not ours."""

from __future__ import annotations

from retrainer.kube.client import Client
from retrainer.kube.errors import AlreadyExists, NameConflict
from retrainer.kube.resources import resource_of_object
from retrainer.plan import Object


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
    labels = found["metadata"].get("labels") or {}
    return controller_uid(found) is None and all(
        labels.get(key) == value for key, value in wanted["metadata"].get("labels", {}).items()
    )


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
        if not is_ours(found, wanted):
            raise NameConflict(wanted["kind"], meta["name"]) from None
        return found


async def apply_if_ours(client: Client, wanted: Object) -> Object:
    """Server-side apply, after making sure that the object is absent or ours; raises NameConflict."""
    meta = wanted["metadata"]
    found = await client.get(resource_of_object(wanted), meta["namespace"], meta["name"])
    if found is None:
        await create_or_adopt(client, wanted)
    elif not is_ours(found, wanted):
        raise NameConflict(wanted["kind"], meta["name"])
    # Also after a create: only apply makes us the manager of each field, so that fields can be dropped later.
    return await client.apply(wanted)
