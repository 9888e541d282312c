"""Requests from people: the annotation retrainer.dev/request, executed at most once per id.

The form is `<action>[:<argument>]/<id>`, for example `rollback:3/2026-11-21a`. A controller
1. executes `pending_request(obj, actions)` if there is one,
2. tells `refused_request(obj, actions)` as a Warning event if there is one,
3. writes `acknowledgement(obj)` to `status.lastHandledRequest` in the same status write.
The reconciler keeps the ids of earlier requests (`with_history`): an annotation that Git restores is not executed anew.
A request that is there when the object is first seen is acknowledged without being executed: otherwise an
annotation that was committed to Git would be replayed whenever the object is created again.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from retrainer.api.v1alpha1.kind import REQUEST_ANNOTATION

_FORM = re.compile(r"(?P<action>[a-z][a-z-]{0,31})(?::(?P<argument>[^/\s]{1,100}))?/(?P<id>[A-Za-z0-9._-]{1,63})")
_TEXT_LIMIT = 253
REMEMBERED = 16
"""Ids of earlier requests that are kept; whoever restores an older annotation than that asks again."""


@dataclass(frozen=True)
class Request:
    """One thing a person asked for; `id` never repeats, `argument` is None where none was given."""

    action: str
    argument: str | None
    id: str


def pending_request(obj: Mapping[str, Any], actions: Collection[str]) -> Request | None:
    """The request to execute now: well-formed, one of `actions`, new since the object was first seen."""
    request = _new_request(obj)
    return request if isinstance(request, Request) and request.action in actions else None


def refused_request(obj: Mapping[str, Any], actions: Collection[str]) -> str | None:
    """Why a new request is not executed, for an event; None when there is none or it is executed."""
    request = _new_request(obj)
    if request is None or (isinstance(request, Request) and request.action in actions):
        return None
    known = ", ".join(sorted(actions))
    return (
        f"annotation {REQUEST_ANNOTATION} is not understood: write <action>[:<argument>]/<id> with one of the "
        f"actions {known} and an id that was not used before"
    )


def acknowledgement(obj: Mapping[str, Any]) -> str | None:
    """What `status.lastHandledRequest` must hold after this pass."""
    text = _annotation(obj)
    if text is None:
        handled = _status(obj).get("lastHandledRequest")
        return str(handled) if handled else None
    return text[:_TEXT_LIMIT]


def with_history(before: Mapping[str, Any] | None, after: dict[str, Any]) -> dict[str, Any]:
    """The status `after`, with the id of the request that it no longer names among `handledRequests`."""
    gone = parse_request(str((before or {}).get("lastHandledRequest") or ""))
    now = parse_request(str(after.get("lastHandledRequest") or ""))
    if gone is None or (now is not None and now.id == gone.id):
        return after
    known = [id_ for id_ in after.get("handledRequests") or () if id_ != gone.id]
    return {**after, "handledRequests": [*known, gone.id][-REMEMBERED:]}


def parse_request(text: str) -> Request | None:
    """The request, or None where the text does not have its form."""
    match = _FORM.fullmatch(text)
    return Request(match["action"], match["argument"], match["id"]) if match else None


def _new_request(obj: Mapping[str, Any]) -> Request | str | None:
    """The request that was not acknowledged yet; its text where it is malformed; None where there is none."""
    text = _annotation(obj)
    status = _status(obj)
    if text is None or status.get("observedGeneration") is None:
        return None
    handled = str(status.get("lastHandledRequest") or "")
    if text[:_TEXT_LIMIT] == handled:
        return None
    request = parse_request(text)
    if request is None:
        return text
    before = parse_request(handled)
    # The id counts, not the text: the same id with another action was used by mistake and is not new.
    known = {*(status.get("handledRequests") or ()), *((before.id,) if before else ())}
    return None if request.id in known else request


def _annotation(obj: Mapping[str, Any]) -> str | None:
    annotations = (obj.get("metadata") or {}).get("annotations") or {}
    return annotations.get(REQUEST_ANNOTATION) or None


def _status(obj: Mapping[str, Any]) -> Mapping[str, Any]:
    return obj.get("status") or {}
