"""Which change wakes which object: children wake their owner, referenced objects wake those that refer to them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from retrainer.kube.cache import Cache, Key, owner_of
from retrainer.kube.resources import AB_EXPERIMENT, FEEDBACK_SOURCE, RETRAIN_POLICY, TRAINING_RUN, Resource
from retrainer.plan import Object
from retrainer.runtime.controller import Controller
from retrainer.runtime.watches import OURS, key_of


class Wiring:
    """Enqueues keys; knows nothing of what they are for."""

    def __init__(self, cache: Cache, controllers: Mapping[Resource, Controller]) -> None:
        self._cache = cache
        self._controllers = controllers
        self._by_kind = {resource.kind.lower(): resource for resource in controllers}

    def changed(self, resource: Resource, obj: Object, deleted: bool) -> None:
        """An object of a watched resource appeared, changed or went."""
        key = key_of(obj)
        if resource in OURS and not deleted:
            self.enqueue(resource, key)
        owner = owner_of(obj)
        if owner is not None and owner[0] in self._by_kind:
            self.enqueue(self._by_kind[owner[0]], owner[1])
        for dependent, dependent_key in self._dependents(resource, key):
            self.enqueue(dependent, dependent_key)

    def enqueue(self, resource: Resource, key: Key) -> None:
        """Look at this object soon."""
        self._controllers[resource].queue.add(key)

    def _dependents(self, resource: Resource, key: Key) -> Iterator[tuple[Resource, Key]]:
        namespace, name = key
        if resource is FEEDBACK_SOURCE:
            for policy in self._cache.all(RETRAIN_POLICY):
                if _in(policy, namespace) and name in _names(policy["spec"].get("sourceRefs")):
                    yield RETRAIN_POLICY, key_of(policy)
            for run in self._cache.all(TRAINING_RUN):
                refers = name in _names(run["spec"]["data"].get("sourceRefs"))
                if refers and _in(run, namespace) and not _is_done(run):
                    yield TRAINING_RUN, key_of(run)
        if resource is RETRAIN_POLICY:
            for experiment in self._cache.all(AB_EXPERIMENT):
                reference = experiment["spec"]["traffic"].get("policyRef") or {}
                if _in(experiment, namespace) and reference.get("name") == name and not _is_done(experiment):
                    yield AB_EXPERIMENT, key_of(experiment)


def _in(obj: Object, namespace: str) -> bool:
    return bool(obj["metadata"]["namespace"] == namespace)


def _names(references: list[dict[str, str]] | None) -> set[str]:
    return {reference["name"] for reference in references or ()}


def _is_done(obj: Object) -> bool:
    """Whether its Succeeded condition has been decided."""
    conditions = (obj.get("status") or {}).get("conditions") or ()
    return any(c.get("type") == "Succeeded" and c.get("status") != "Unknown" for c in conditions)
