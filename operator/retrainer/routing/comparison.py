"""Whether an observed object says what was asked for, whatever the API server has added by default."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def covers(observed: Any, desired: Any) -> bool:
    """Whether everything in `desired` is in `observed`; lists must have the same length."""
    if isinstance(desired, Mapping):
        return isinstance(observed, Mapping) and all(covers(observed.get(k), v) for k, v in desired.items())
    if isinstance(desired, list):
        return (
            isinstance(observed, list)
            and len(observed) == len(desired)
            and all(covers(o, d) for o, d in zip(observed, desired, strict=True))
        )
    return bool(observed == desired)
