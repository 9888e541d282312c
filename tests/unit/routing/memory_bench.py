"""An API server in memory, as far as a routing can tell: ownership, versions, generations, merge patches."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from routing_contract import TRAFFIC, inference_service, inference_status, kserve_acts, spec

from retrainer.kube.errors import Conflict, NameConflict
from retrainer.kube.ownership import is_ours
from retrainer.plan import Object, Ref
from retrainer.routing.carrier import Change


class MemoryBench:
    """One experiment `x` in the namespace `ml`."""

    def __init__(self, traffic: Object, unit: str = "Request", **more: Any) -> None:
        self.objects: dict[Ref, Object] = {}
        self._version = 0
        self.experiment: Object = {
            "apiVersion": "retrainer.dev/v1alpha1",
            "kind": "ABExperiment",
            "metadata": {"name": "x", "namespace": "ml", "uid": "x-uid"},
            "spec": spec(traffic, unit, **more),
        }
        if "inferenceService" in traffic:
            self.create({**inference_service("ml"), "status": inference_status()})

    @classmethod
    def of(cls, name: str, unit: str) -> MemoryBench:
        """The case of the contract."""
        return cls(TRAFFIC[name], unit)

    def read(self, ref: Ref) -> Object | None:
        return copy.deepcopy(self.objects.get(ref))

    def create(self, obj: Object) -> Object:
        meta = {**obj["metadata"], "uid": f"uid-{len(self.objects)}"}
        self._put({**obj, "metadata": meta})
        return self.objects[_ref(obj)]

    def carry_out(self, change: Change) -> None:
        for obj in change.applies:
            found = self.objects.get(_ref(obj))
            if found is None:
                self.create(obj)
            elif not is_ours(found, obj):
                raise NameConflict(obj["kind"], obj["metadata"]["name"])
            else:
                # All fields of what we own are ours.
                self._put({**found, **obj, "metadata": {**found["metadata"], **obj["metadata"]}})
        for ref, patch in change.merges:
            found = self.objects[ref]
            for condition in ("uid", "resourceVersion"):
                asked = patch.get("metadata", {}).get(condition)
                if asked not in (None, found["metadata"][condition]):
                    raise Conflict(409, "Conflict", f"{condition} differs")
            self._put(_merged(found, {**patch, "metadata": {}}))

    def edit(self, ref: Ref, edit: Callable[[Object], Any]) -> None:
        obj = copy.deepcopy(self.objects[ref])
        edit(obj)
        self._put(obj)

    def others(self) -> None:
        for obj in self.objects.values():
            if obj["kind"] == "HTTPRoute":
                obj["status"] = {"parents": [_accepted(obj)]}
            if obj["kind"] == "InferenceService":
                kserve_acts(obj)

    def _put(self, obj: Object) -> None:
        before = self.objects.get(_ref(obj), {})
        if {**before, "metadata": {**before.get("metadata", {})}} == obj:
            return
        obj = copy.deepcopy(obj)
        self._version += 1
        generation = before.get("metadata", {}).get("generation", 0) + (before.get("spec") != obj.get("spec"))
        obj["metadata"].update(resourceVersion=str(self._version), generation=generation)
        self.objects[_ref(obj)] = obj


def _ref(obj: Object) -> Ref:
    return Ref(obj["apiVersion"], obj["kind"], obj["metadata"]["namespace"], obj["metadata"]["name"])


def _accepted(route: Object) -> Object:
    generation = route["metadata"]["generation"]
    said = [{"type": t, "status": "True", "observedGeneration": generation} for t in ("Accepted", "ResolvedRefs")]
    return {"parentRef": route["spec"]["parentRefs"][0], "conditions": said}


def _merged(old: Any, patch: Any) -> Any:
    """RFC 7396."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    new = dict(old) if isinstance(old, dict) else {}
    for key, value in patch.items():
        if value is None:
            new.pop(key, None)
        else:
            new[key] = _merged(new.get(key), value)
    return new
