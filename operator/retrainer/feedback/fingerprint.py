"""What a cursor belongs to: a digest of everything in the spec that decides which counts come out."""

from __future__ import annotations

import hashlib

from retrainer.api.v1alpha1.feedback_source import FeedbackSourceSpec

RULES_VERSION = "1"
"""Raised whenever the rules of reading change, so that no cursor survives them."""


def fingerprint(spec: FeedbackSourceSpec) -> str:
    """Sixteen hexadecimal digits; independent of suspend and interval."""
    content = spec.model_dump_json(exclude={"suspend", "sync_interval_seconds"}, exclude_none=True, by_alias=True)
    return hashlib.sha256(f"{RULES_VERSION}\0{content}".encode()).hexdigest()[:16]
