"""kopf's part: it watches; its handlers only update the cache and enqueue keys, and so cannot fail."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import Any

import kopf

from retrainer.api.v1alpha1.kind import MANAGED_LABEL, MANAGED_VALUE
from retrainer.kube.cache import Cache, Key
from retrainer.kube.resources import (
    AB_EXPERIMENT,
    CONFIG_MAP,
    DEPLOYMENT,
    ENDPOINT_SLICE,
    FEEDBACK_SOURCE,
    JOB,
    POD,
    RETRAIN_POLICY,
    SERVICE,
    TRAINING_RUN,
    Resource,
)
from retrainer.plan import Object

OURS = (FEEDBACK_SOURCE, RETRAIN_POLICY, TRAINING_RUN, AB_EXPERIMENT)
CHILDREN = (JOB, POD, CONFIG_MAP, DEPLOYMENT, SERVICE, ENDPOINT_SLICE)
"""Watched only where they carry the label that every child of ours has."""
CHILD_SELECTOR = f"{MANAGED_LABEL}={MANAGED_VALUE}"

Changed = Callable[[Resource, Object, bool], None]
"""Told the resource, the object as last seen, and whether it was deleted."""


def build_registry(cache: Cache, changed: Changed) -> kopf.OperatorRegistry:
    """A kopf registry with one event handler per watched resource."""
    registry = kopf.OperatorRegistry()
    for resource in (*OURS, *CHILDREN):
        _register(registry, resource, cache, changed)
    kopf.on.login(registry=registry, id="login")(_login)
    return registry


def build_settings() -> kopf.OperatorSettings:
    """kopf, reduced to watching: no events of its own, no peering, no scanning, no annotations."""
    settings = kopf.OperatorSettings()
    settings.posting.loggers = False
    settings.posting.enabled = False
    settings.peering.standalone = True
    settings.scanning.disabled = True
    settings.watching.chunk_size = 500
    settings.watching.server_timeout = 270
    settings.watching.client_timeout = 300
    settings.watching.connect_timeout = 10
    settings.networking.request_timeout = 30
    settings.networking.connect_timeout = 10
    for resource in CHILDREN:
        settings.watching.label_selectors[resource.plural] = CHILD_SELECTOR
    # It logs every event of every object.
    logging.getLogger("kopf.objects").setLevel(logging.ERROR)
    return settings


def selector_for(resource: Resource) -> str | None:
    """The label selector with which this resource is listed and watched."""
    return CHILD_SELECTOR if resource in CHILDREN else None


def _register(registry: kopf.OperatorRegistry, resource: Resource, cache: Cache, changed: Changed) -> None:
    async def on_event(event: Any, **_: Any) -> None:
        obj = dict(event["object"])
        obj.setdefault("apiVersion", resource.api_version)
        obj.setdefault("kind", resource.kind)
        deleted = event.get("type") == "DELETED"
        if deleted:
            cache.remove(resource, obj)
        else:
            cache.put(resource, obj)
        changed(resource, obj, deleted)

    kopf.on.event(
        resource.group, resource.version, resource.plural, registry=registry, id=f"watch-{resource.plural}"
    )(on_event)


def key_of(obj: Object) -> Key:
    """Namespace and name."""
    return obj["metadata"]["namespace"], obj["metadata"]["name"]


def _login(**kwargs: Any) -> kopf.ConnectionInfo | None:
    """The same order as our own client: KUBECONFIG, the pod's ServiceAccount, ~/.kube/config."""
    if os.environ.get("KUBECONFIG"):
        return kopf.login_with_kubeconfig(**kwargs)
    return kopf.login_with_service_account(**kwargs) or kopf.login_with_kubeconfig(**kwargs)
