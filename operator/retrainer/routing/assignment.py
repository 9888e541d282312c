"""Which arm a user belongs to: a hash that anybody can compute, told in docs/assignment.md with test vectors.

The first 8 bytes of SHA-256(salt ‖ 0x00 ‖ unit), big-endian, divided by 2⁶⁴, lie uniformly in [0, 1); the user is the
candidate's if that is less than the weight. Cohorts are nested: raising the weight moves users from the baseline to
the candidate only, lowering it only back. Integers throughout, so that no user sits on a rounding error.
"""

from __future__ import annotations

import hashlib

from retrainer.routing.state import Arm

HASH = "sha256-first-8-bytes"
"""Name of this function, as published in the ConfigMap."""


def point(salt: str, unit: str) -> int:
    """Where the unit lies in 0 … 2⁶⁴ − 1; texts are hashed as UTF-8."""
    digest = hashlib.sha256(salt.encode() + b"\0" + unit.encode()).digest()
    return int.from_bytes(digest[:8], "big")


def bucket(salt: str, unit: str) -> int:
    """The per cent, 0 … 99, that the unit falls into: ⌊100 · point / 2⁶⁴⌋."""
    return point(salt, unit) * 100 >> 64


def assign(salt: str, unit: str, weight_percent: int) -> Arm:
    """The unit's arm at this candidate weight, 0 … 100; raises ValueError outside of it."""
    if not 0 <= weight_percent <= 100:
        raise ValueError(f"a weight is a percentage, not {weight_percent}")
    return "candidate" if bucket(salt, unit) < weight_percent else "baseline"
