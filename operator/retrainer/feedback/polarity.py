"""What may be asked of a signal, told from the spec of a FeedbackSource as the API server has it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

BOUNDS = {"Positive": "positiveFrom", "Negative": "negativeUpTo"}
"""Without this bound a rating has no such votes."""


def values_of(signal: Mapping[str, Any]) -> frozenset[str]:
    """Positive, Negative and Score, as far as votes of the signal have them; none of a label or correction."""
    if "thumbs" in signal:
        return frozenset({"Positive", "Negative", "Score"})
    rating = signal.get("rating")
    if rating is None:
        return frozenset()
    return frozenset({"Score", *(value for value, bound in BOUNDS.items() if bound in rating)})


def has_polarity(signal: Mapping[str, Any]) -> bool:
    """Whether votes can be approval and disapproval: only then have they a positive rate."""
    return {"Positive", "Negative"} <= values_of(signal)
