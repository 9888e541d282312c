"""Digests: canonical JSON, length-prefixed fields, and SHA-256 over sorted row digests."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterable
from typing import Any

ROW_DIGEST_BYTES = 32
_ABSENT = b"\xff\xff\xff\xff"


def canonical_json(value: Any) -> bytes:
    """One spelling per value: sorted keys, no blanks, UTF-8, newline at the end."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode() + b"\n"


def sha256_of(content: bytes) -> str:
    """`sha256:` and the hexadecimal digest."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def field(content: bytes | None) -> bytes:
    """A field with its length in front, so that ("ab", "c") and ("a", "bc") differ; None differs from empty."""
    return _ABSENT if content is None else struct.pack(">I", len(content)) + content


def text_field(text: str | None) -> bytes:
    """A length-prefixed string."""
    return field(None if text is None else text.encode("utf-8", "surrogatepass"))


def value_field(value: str | float | None) -> bytes:
    """A length-prefixed number (eight bytes, big-endian) or string, told apart by a letter."""
    if value is None:
        return _ABSENT
    if isinstance(value, str):
        return field(b"s" + value.encode("utf-8", "surrogatepass"))
    return field(b"d" + struct.pack(">d", value))


def dataset_digest(rules: Any, rows: Iterable[bytes]) -> str:
    """SHA-256 over the rules and the sorted row digests: independent of row order, shards and machine."""
    whole = hashlib.sha256(field(canonical_json(rules)))
    for row in sorted(rows):
        whole.update(row)
    return f"sha256:{whole.hexdigest()}"


def fraction(*parts: str) -> float:
    """A number in [0, 1) that depends on the parts alone: the random choice that every machine repeats."""
    digest = hashlib.sha256(b"".join(text_field(part) for part in parts)).digest()
    return int.from_bytes(digest[:7], "big") / 2**56
