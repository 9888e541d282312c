"""Events for `kubectl describe`: told on transitions, best effort."""

from __future__ import annotations

import hashlib
import logging
from datetime import datetime

from retrainer.kube.client import Client
from retrainer.kube.errors import AlreadyExists, ApiError
from retrainer.plan import Event, Object

_COMPONENT = "retrainer"
_log = logging.getLogger(__name__)


async def emit(client: Client, about: Object, event: Event, now: datetime) -> None:
    """Tell one event about an object; an event that cannot be written is logged and never fails a pass."""
    try:
        await client.create(build_event(about, event, now))
    except AlreadyExists:
        return
    except ApiError as error:
        _log.warning("event %s about %s not written: %s", event.reason, about["metadata"]["name"], error)


def build_event(about: Object, event: Event, now: datetime) -> Object:
    """The Event object; its name is derived from its content and second, so that a repeated pass adds none."""
    meta = about["metadata"]
    moment = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    identity = "\0".join((meta.get("uid", ""), event.reason, event.message, moment))
    suffix = hashlib.sha256(identity.encode()).hexdigest()[:16]
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{meta['name']}.{suffix}", "namespace": meta["namespace"]},
        "involvedObject": {
            "apiVersion": about["apiVersion"],
            "kind": about["kind"],
            "namespace": meta["namespace"],
            "name": meta["name"],
            "uid": meta.get("uid"),
            "resourceVersion": meta.get("resourceVersion"),
        },
        "reason": event.reason,
        "message": event.message[:1024],
        "type": event.type,
        "source": {"component": _COMPONENT},
        "reportingComponent": _COMPONENT,
        "reportingInstance": _COMPONENT,
        "firstTimestamp": moment,
        "lastTimestamp": moment,
        "count": 1,
    }
