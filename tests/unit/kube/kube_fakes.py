"""An API server of dictionaries: just enough of its answers for the rules of ownership and order."""

from __future__ import annotations

import copy
import itertools
from typing import Any

from retrainer.kube.errors import AlreadyExists, Conflict, NotFound
from retrainer.kube.resources import Resource, resource_of, resource_of_object
from retrainer.plan import Object, Ref


def child(name: str = "child", owner: str | None = "owner-uid", kind: str = "ConfigMap", **labels: str) -> Object:
    """An object that `owner` (a uid) controls."""
    api_version = {"Deployment": "apps/v1", "Job": "batch/v1"}.get(kind, "v1")
    meta: Object = {"name": name, "namespace": "team"}
    if labels:
        meta["labels"] = labels
    if owner is not None:
        meta["ownerReferences"] = [{"uid": owner, "kind": "RetrainPolicy", "name": "p", "controller": True}]
    return {"apiVersion": api_version, "kind": kind, "metadata": meta}


class FakeClient:
    """Records every request that writes, in order, as (verb, kind, name)."""

    def __init__(self, *existing: Object) -> None:
        self.log: list[tuple[str, str, str]] = []
        self._versions = itertools.count(1)
        self.stored: dict[tuple[str, str, str, str], Object] = {}
        self.fail: dict[tuple[str, str], Exception] = {}
        """Error of the next request of (verb, kind)."""
        for obj in existing:
            self._store(obj, "somebody", "Update")

    async def get(self, resource: Resource, namespace: str, name: str) -> Object | None:
        self._maybe_fail("get", resource.kind)
        return copy.deepcopy(self.stored.get((resource.api_version, resource.kind, namespace, name)))

    async def create(self, obj: Object) -> Object:
        self._note("create", obj)
        if self._key(obj) in self.stored:
            raise AlreadyExists(409, "AlreadyExists", "exists")
        return self._store(obj, "retrainer", "Update")

    async def apply(self, obj: Object) -> Object:
        self._note("apply", obj)
        known = self.stored.get(self._key(obj))
        uid = obj["metadata"].get("uid")
        if uid is not None and (known is None or known["metadata"]["uid"] != uid):
            raise Conflict(409, "Conflict", "uid mismatch")
        return self._store(obj, "retrainer", "Apply")

    async def replace(self, obj: Object) -> Object:
        self._note("replace", obj)
        self._check_version(obj)
        return self._store(obj, "retrainer", "Update")

    async def merge(self, ref: Ref, resource: Resource, patch: Object) -> Object:
        self._maybe_fail("merge", ref.kind)
        self.log.append(("merge", ref.kind, ref.name))
        known = self.stored[ref.api_version, ref.kind, ref.namespace, ref.name]
        meta = {**known["metadata"], **patch.get("metadata", {})}
        self._check_version({**known, "metadata": meta})
        meta["resourceVersion"] = str(next(self._versions))
        merged = {**known, **{k: v for k, v in patch.items() if k != "metadata"}, "metadata": meta}
        self.stored[self._key(known)] = merged
        return copy.deepcopy(merged)

    async def put_status(self, obj: Object, status: Object) -> Object:
        self._note("status", obj)
        self._check_version(obj)
        return self._store({**self.stored.get(self._key(obj), obj), "status": status}, "retrainer", "Update")

    async def delete(self, ref: Ref, resource: Resource) -> None:
        self._maybe_fail("delete", ref.kind)
        self.log.append(("delete", ref.kind, ref.name))
        self.stored.pop((ref.api_version, ref.kind, ref.namespace, ref.name), None)

    def live(self, kind: str, name: str, api_version: str = "v1") -> Object | None:
        return self.stored.get((resource_of(api_version, kind).api_version, kind, "team", name))

    def _note(self, verb: str, obj: Object) -> None:
        self._maybe_fail(verb, obj["kind"])
        resource_of_object(obj)
        self.log.append((verb, obj["kind"], obj["metadata"]["name"]))

    def _maybe_fail(self, verb: str, kind: str) -> None:
        error = self.fail.pop((verb, kind), None)
        if error is not None:
            raise error

    def _check_version(self, obj: Object) -> None:
        known = self.stored.get(self._key(obj))
        if known is None:
            raise NotFound(404, "NotFound", "not found")
        wanted = obj["metadata"].get("resourceVersion")
        if wanted is not None and wanted != known["metadata"]["resourceVersion"]:
            raise Conflict(409, "Conflict", "the object has been modified")

    def _store(self, obj: Object, manager: str, operation: str) -> Object:
        key = self._key(obj)
        known = self.stored.get(key)
        meta = {**obj["metadata"], "resourceVersion": str(next(self._versions))}
        meta.setdefault("uid", known["metadata"]["uid"] if known else f"uid-{len(self.log)}-{key[3]}")
        entries = list((known or {"metadata": {}})["metadata"].get("managedFields") or ())
        if not any((e["manager"], e["operation"]) == (manager, operation) for e in entries):
            entries.append({"manager": manager, "operation": operation})
        meta["managedFields"] = entries
        self.stored[key] = {**copy.deepcopy(obj), "metadata": meta}
        return copy.deepcopy(self.stored[key])

    @staticmethod
    def _key(obj: Object) -> tuple[str, str, str, str]:
        meta: dict[str, Any] = obj["metadata"]
        return obj["apiVersion"], obj["kind"], meta["namespace"], meta["name"]
