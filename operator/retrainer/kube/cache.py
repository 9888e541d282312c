"""What the watches have told us: trimmed objects, by key and by owner. May be stale; never decides an absence."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from retrainer.api.v1alpha1.kind import OWNER_KIND_LABEL, OWNER_NAME_LABEL
from retrainer.kube.resources import Resource
from retrainer.plan import Object

Key = tuple[str, str]
"""Namespace and name."""

_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_REMEMBERED_GONE = 10_000


def trim(obj: Object) -> Object:
    """A copy without what we never read and what is large: field managers, kubectl's copy, a ledger's data."""
    meta = {k: v for k, v in obj["metadata"].items() if k != "managedFields"}
    annotations = meta.get("annotations")
    if annotations and _LAST_APPLIED in annotations:
        meta["annotations"] = {k: v for k, v in annotations.items() if k != _LAST_APPLIED}
    trimmed = {**obj, "metadata": meta}
    if obj.get("kind") == "ConfigMap":
        trimmed.pop("data", None)
        trimmed.pop("binaryData", None)
    return trimmed


def owner_of(obj: Object) -> tuple[str, Key] | None:
    """Kind (lower case) and key of the owner that the labels of a child name."""
    labels = obj["metadata"].get("labels") or {}
    kind, name = labels.get(OWNER_KIND_LABEL), labels.get(OWNER_NAME_LABEL)
    return (kind, (obj["metadata"]["namespace"], name)) if kind and name else None


class Cache:
    """Objects of all watched resources."""

    def __init__(self) -> None:
        self._objects: dict[Resource, dict[Key, Object]] = defaultdict(dict)
        self._children: dict[tuple[Resource, str, Key], set[Key]] = defaultdict(set)
        self._gone: dict[str | None, int] = {}
        """The latest identities that are gone, and as of which version."""

    def get(self, resource: Resource, key: Key) -> Object | None:
        return self._objects[resource].get(key)

    def all(self, resource: Resource) -> list[Object]:
        return list(self._objects[resource].values())

    def uids(self, resource: Resource, namespace: str) -> dict[Key, str | None]:
        """Key and identity of everything that is known in a namespace."""
        objects = self._objects[resource]
        return {key: obj["metadata"].get("uid") for key, obj in objects.items() if key[0] == namespace}

    def children(self, resource: Resource, owner_kind: str, owner: Key) -> list[Object]:
        """Objects of `resource` whose labels name this owner (kind in lower case)."""
        objects = self._objects[resource]
        keys = self._children.get((resource, owner_kind, owner), ())
        return [objects[key] for key in sorted(keys) if key in objects]

    def put(self, resource: Resource, obj: Object) -> None:
        """Remember an object, unless newer news of that name are known, be it of its end.

        Answers to our own writes and lists overtake the watch and are overtaken by it, and the watch tells the
        end of an object and the beginning of its successor of the same name in either order.
        """
        if _version(obj) <= self._gone.get(obj["metadata"].get("uid"), -1):
            return
        obj = trim(obj)
        key = _key(obj)
        known = self._objects[resource].get(key)
        if known is not None:
            if _version(obj) < _version(known):
                return
            self._forget_owner(resource, key, known)
        self._objects[resource][key] = obj
        owner = owner_of(obj)
        if owner is not None:
            self._children[resource, *owner].add(key)

    def remove(self, resource: Resource, gone: Object) -> bool:
        """Forget an object as of the version that is told to be gone; a successor of the same name stays.

        Returns whether it was known. Newer news of it are taken: an object that lost the label by which it is
        watched is told to be gone, and may get the label back.
        """
        uid, key = gone["metadata"].get("uid"), _key(gone)
        self._gone.pop(uid, None)
        self._gone[uid] = _version(gone)
        if len(self._gone) > _REMEMBERED_GONE:
            del self._gone[next(iter(self._gone))]
        known = self._objects[resource].get(key)
        if known is None or known["metadata"].get("uid") != uid or _version(known) > _version(gone):
            return False
        del self._objects[resource][key]
        self._forget_owner(resource, key, known)
        return True

    def prune(
        self, resource: Resource, living: Iterable[Key], known_before: Mapping[Key, str | None]
    ) -> list[Object]:
        """Drop what was known before a LIST (`uids`) and is not in it; returns the dropped objects."""
        known = (self.get(resource, key) for key in sorted(known_before.keys() - set(living)))
        gone = [obj for obj in known if obj is not None and obj["metadata"].get("uid") == known_before[_key(obj)]]
        for obj in gone:
            self.remove(resource, obj)
        return gone

    def _forget_owner(self, resource: Resource, key: Key, known: Object) -> None:
        owner = owner_of(known)
        if owner is None:
            return
        keys = self._children.get((resource, *owner))
        if keys is not None:
            keys.discard(key)
            if not keys:
                del self._children[resource, *owner]


def _key(obj: Object) -> Key:
    return obj["metadata"]["namespace"], obj["metadata"]["name"]


def _version(obj: Object) -> int:
    """Versions within one resource are comparable, whatever the object; 0 where it is no number."""
    version = str(obj["metadata"].get("resourceVersion", ""))
    return int(version) if version.isdecimal() else 0
