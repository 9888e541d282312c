"""What the API server may answer, as exceptions that callers tell apart."""

from __future__ import annotations


class ApiError(Exception):
    """The API server refused a request; `status` is the HTTP code, 0 when there was no answer."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(f"{status} {reason}: {message}"[:500])
        self.status = status
        self.reason = reason
        self.message = message


class NotFound(ApiError):
    """The object, or its kind, does not exist."""


class Conflict(ApiError):
    """Somebody else changed the object first (409 Conflict): look again."""


class AlreadyExists(ApiError):
    """An object of this name exists (409 AlreadyExists)."""


class Refused(ApiError):
    """The object itself is refused (400, 422) or may not be touched (403): trying again changes nothing."""


class NameConflict(Exception):
    """An object that is not ours bears a name that we need; it is left alone and the owner says so."""

    def __init__(self, kind: str, name: str) -> None:
        super().__init__(
            f"{kind} {name} exists and does not belong to this object; rename or delete it, or rename this object"
        )
        self.kind = kind
        self.name = name


def error_from(status: int, reason: str, message: str) -> ApiError:
    """The exception for an answer of the API server."""
    if status == 404:
        return NotFound(status, reason, message)
    if status == 409:
        return (AlreadyExists if reason == "AlreadyExists" else Conflict)(status, reason, message)
    if status in (400, 403, 422):
        return Refused(status, reason, message)
    return ApiError(status, reason, message)
