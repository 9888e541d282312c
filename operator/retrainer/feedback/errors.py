"""Why a source cannot be read: a closed catalogue whose texts are safe to show.

Drivers' own error texts quote passwords, file contents and records, so they never become part of these: an
error is built from our words, names out of the spec, and nothing else.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from retrainer.api.v1alpha1.feedback_source import SourceReason


class SourceError(Exception):
    """Base of the catalogue; `reason` is the condition's reason, `message` names the field and the remedy."""

    reason: SourceReason = SourceReason.UNREACHABLE

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Unreachable(SourceError):
    """No connection, no file, or the connection broke; worth another try."""


class TimedOut(Unreachable):
    """No answer within the time limit; worth another try."""


class Unauthorized(SourceError):
    """The source refuses the credentials, or the credentials may not be used like this."""

    reason = SourceReason.UNAUTHORIZED


class SecretNotShared(Unauthorized):
    """The Secret is missing, or lacks the label or annotation that shares it with the operator."""

    reason = SourceReason.SECRET_NOT_SHARED


class SchemaMismatch(SourceError):
    """Mapping, table or query do not fit the source; a person must change the spec.

    `column` is the name that does not fit and `nearest` the most similar one that exists.
    """

    reason = SourceReason.SCHEMA_MISMATCH

    def __init__(self, message: str, *, column: str | None = None, nearest: str | None = None) -> None:
        super().__init__(message)
        self.column = column
        self.nearest = nearest


def unknown_column(field: str, column: str, known: Iterable[str]) -> SchemaMismatch:
    """A mapped column that the source lacks, with the nearest name that it has."""
    names = list(known)
    nearest = nearest_name(column, names)
    hint = f'; did you mean "{nearest}"?' if nearest else _listing(names)
    return SchemaMismatch(f'{field}: the source has no column "{column}"{hint}', column=column, nearest=nearest)


def nearest_name(name: str, known: Iterable[str]) -> str | None:
    """The most similar known name, ignoring case; None where nothing is similar."""
    by_folded = {k.casefold(): k for k in known}
    matches = difflib.get_close_matches(name.casefold(), list(by_folded), n=1, cutoff=0.5)
    return by_folded[matches[0]] if matches else None


def _listing(names: list[str]) -> str:
    shown = ", ".join(names[:12])
    return f"; it has {shown}" + (" …" if len(names) > 12 else "") if names else "; it has no columns"
