"""Which Secrets the operator may use, and where it may send them."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from retrainer.api.v1alpha1.kind import ALLOW_OPERATOR_LABEL, ALLOWED_HOSTS_ANNOTATION
from retrainer.feedback.errors import SecretNotShared


@dataclass(frozen=True)
class Credentials:
    """The value of a Secret's key, and the hosts it may be sent to. The value never shows in a repr."""

    value: str = field(repr=False)
    allowed_hosts: tuple[str, ...]


def shared_secret(secret: Mapping[str, Any] | None, name: str, key: str) -> Credentials:
    """The credentials in a Secret object, if it is shared with the operator.

    Without this rule anyone who may create a FeedbackSource could send any Secret of the namespace to a host
    of theirs. Raises SecretNotShared with the remedy; the message never contains data of the Secret.
    """
    if secret is None:
        raise SecretNotShared(f'Secret "{name}" does not exist, or the operator may not read it in this namespace')
    metadata = secret.get("metadata") or {}
    hosts = parse_hosts((metadata.get("annotations") or {}).get(ALLOWED_HOSTS_ANNOTATION))
    if (metadata.get("labels") or {}).get(ALLOW_OPERATOR_LABEL) != "true" or not hosts:
        raise SecretNotShared(
            f'Secret "{name}" is not shared with the operator: set the label {ALLOW_OPERATOR_LABEL}: "true" and the '
            f"annotation {ALLOWED_HOSTS_ANNOTATION}, the hosts it may be sent to, separated by commas"
        )
    return Credentials(_decode((secret.get("data") or {}).get(key), name, key), hosts)


def parse_hosts(text: str | None) -> tuple[str, ...]:
    """The annotation's host names and addresses, lower case, without duplicates; no wildcards."""
    hosts = (part.strip().lower().rstrip(".") for part in (text or "").split(","))
    return tuple(dict.fromkeys(h for h in hosts if h and "*" not in h))


def _decode(encoded: Any, name: str, key: str) -> str:
    if not encoded:
        raise SecretNotShared(f'Secret "{name}" has no key "{key}", or it is empty')
    try:
        return base64.b64decode(str(encoded), validate=True).decode("utf-8").strip()
    except (binascii.Error, UnicodeDecodeError):
        raise SecretNotShared(f'Secret "{name}": key "{key}" is not text') from None
