"""Whether a Service can answer: its EndpointSlices say which addresses are ready."""

from __future__ import annotations

from retrainer.api.v1alpha1.kind import MANAGED_LABEL
from retrainer.kube.cache import Cache, Key, owner_of
from retrainer.kube.client import Client
from retrainer.kube.resources import ENDPOINT_SLICE
from retrainer.plan import Object

_SERVICE_LABEL = "kubernetes.io/service-name"


async def slices_of(client: Client, cache: Cache, service: Object) -> list[Object]:
    """The EndpointSlices of a Service; those of our own Services are watched, those of others are listed.

    The endpoint controller copies a Service's labels to its slices, so that our selector finds ours.
    """
    meta = service["metadata"]
    owner = owner_of(service)
    if MANAGED_LABEL in (meta.get("labels") or {}) and owner is not None:
        known = cache.children(ENDPOINT_SLICE, *owner)
        return [s for s in known if s["metadata"]["labels"].get(_SERVICE_LABEL) == meta["name"]]
    return await client.list(ENDPOINT_SLICE, meta["namespace"], f"{_SERVICE_LABEL}={meta['name']}")


def has_ready_address(slices: list[Object]) -> bool:
    """Whether at least one address is ready; `ready` left out means ready."""
    return any(
        (endpoint.get("conditions") or {}).get("ready", True) and endpoint.get("addresses")
        for piece in slices
        for endpoint in piece.get("endpoints") or ()
    )


def ready_services(cache: Cache, owner_kind: str, owner: Key) -> frozenset[str]:
    """Names of an owner's Services with at least one ready address."""
    by_service: dict[str, list[Object]] = {}
    for piece in cache.children(ENDPOINT_SLICE, owner_kind, owner):
        by_service.setdefault(piece["metadata"]["labels"].get(_SERVICE_LABEL, ""), []).append(piece)
    return frozenset(name for name, slices in by_service.items() if has_ready_address(slices))
