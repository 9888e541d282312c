"""Summaries of a source: counts that add up, and the opaque cursor that says how far it was read.

`Totals` is additive over units: identity of a vote contains its unit, so a summary is the sum of what each unit
contributes, plus the quarantined rows one by one. Incremental reading relies on exactly that
(`retrainer.feedback.connectors.incremental`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from retrainer.feedback.quality import Quarantine

Cursor = str
"""How far a source was read: opaque, at most 1,024 characters, without any content."""

CURSOR_LIMIT = 1024
SEGMENT_LIMIT = 1000
"""More segments than this are no segments; then every look reads all, and the most disliked are kept."""


@dataclass(frozen=True)
class Counts:
    """Votes: all of them, and by polarity (labels and corrections have none)."""

    total: int = 0
    positive: int = 0
    neutral: int = 0
    negative: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.total + other.total,
            self.positive + other.positive,
            self.neutral + other.neutral,
            self.negative + other.negative,
        )

    def __neg__(self) -> Counts:
        return Counts(-self.total, -self.positive, -self.neutral, -self.negative)

    @property
    def rate(self) -> float | None:
        """positive / (positive + negative)."""
        votes = self.positive + self.negative
        return self.positive / votes if votes else None


@dataclass(frozen=True)
class Totals:
    """Everything a summary is made of. Times are microseconds since 1970; days are days since 1970."""

    records: int = 0
    units: int = 0
    votes: int = 0
    """Readable votes of all signals, replaced ones included."""
    first: int | None = None
    last: int | None = None
    signals: Mapping[str, Counts] = field(default_factory=dict)
    days: Mapping[int, Counts] = field(default_factory=dict)
    segments: Mapping[str, Counts] = field(default_factory=dict)
    quarantine: Mapping[str, int] = field(default_factory=dict)
    """`reason|field` to rows."""
    examples: Mapping[str, str] = field(default_factory=dict)
    """`reason|field` to the id of one such row."""
    next_readable: int | None = None
    """Earliest time of the rows that are quarantined only because it is still ahead of the clock."""

    @classmethod
    def from_rows(cls, rows: Iterable[tuple[Any, ...]], label: str = "all") -> Totals:
        """From the rows of `statements.totals` that carry this label."""
        found = _Parts()
        for row in rows:
            if row[0] == label:
                found.add(*row[1:])
        return found.totals()

    def plus(self, other: Totals) -> Totals:
        """Both together; first and last span both."""
        return Totals(
            records=self.records + other.records,
            units=self.units + other.units,
            votes=self.votes + other.votes,
            first=_earliest(self.first, other.first),
            last=max((t for t in (self.last, other.last) if t is not None), default=None),
            signals=_merge(self.signals, other.signals, keep_empty=True),
            days=_merge(self.days, other.days),
            segments=_merge(self.segments, other.segments),
            quarantine=_merge_counts(self.quarantine, other.quarantine),
            examples=_merge_examples(self.examples, other.examples),
            next_readable=_earliest(self.next_readable, other.next_readable),
        )

    def minus(self, other: Totals) -> Totals:
        """Without the other's counts; first and last stay, because rows are only ever added between two looks."""
        return self.plus(
            Totals(
                records=-other.records,
                units=-other.units,
                votes=-other.votes,
                signals={k: -v for k, v in other.signals.items()},
                days={k: -v for k, v in other.days.items()},
                segments={k: -v for k, v in other.segments.items()},
                quarantine={k: -v for k, v in other.quarantine.items()},
            )
        )

    @property
    def quarantined(self) -> int:
        return sum(self.quarantine.values())

    @property
    def superseded(self) -> int:
        """Earlier votes replaced by a later one on the same thing."""
        return self.votes - sum(c.total for c in self.signals.values())


@dataclass(frozen=True)
class Summary:
    """What a source says. `base` are the totals of the closed rows: kept in memory only, never stored."""

    totals: Totals
    base: Totals | None = None


class _Parts:
    """Sorts the rows of the push-down into the parts of a summary."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}
        self.span: tuple[int | None, int | None] = (None, None)
        self.counts: dict[str, dict[Any, Counts]] = {"signal": {}, "day": {}, "segment": {}}
        self.quarantine: dict[str, int] = {}
        self.examples: dict[str, str] = {}
        self.next_readable: int | None = None

    def add(
        self, part: str, name: str | None, n: int, p: int, z: int, q: int, low: int | None, high: int | None,
        example: str | None,
    ) -> None:  # fmt: skip
        if part in self.counts:
            key = int(name or 0) if part == "day" else name
            self.counts[part][key] = Counts(int(n), int(p or 0), int(z or 0), int(q or 0))
        elif part == "quarantine" and name is not None:
            self.quarantine[name] = int(n)
            if example is not None:
                self.examples[name] = example
            if name.startswith(Quarantine.FUTURE_TIME):
                self.next_readable = low
        else:
            self.numbers[part] = self.numbers.get(part, 0) + int(n)
            if part == "records":
                self.span = (low, high)

    def totals(self) -> Totals:
        return Totals(
            records=self.numbers.get("records", 0),
            units=self.numbers.get("units", 0),
            votes=self.numbers.get("votes", 0),
            first=self.span[0],
            last=self.span[1],
            signals=self.counts["signal"],
            days=self.counts["day"],
            segments=self.counts["segment"],
            quarantine=self.quarantine,
            examples=self.examples,
            next_readable=self.next_readable,
        )


def _earliest(a: int | None, b: int | None) -> int | None:
    return min((t for t in (a, b) if t is not None), default=None)


def _merge(a: Mapping[Any, Counts], b: Mapping[Any, Counts], *, keep_empty: bool = False) -> dict[Any, Counts]:
    merged = dict(a)
    for key, counts in b.items():
        merged[key] = merged.get(key, Counts()) + counts
    return merged if keep_empty else {k: v for k, v in merged.items() if v != Counts()}


def _merge_examples(a: Mapping[str, str], b: Mapping[str, str]) -> dict[str, str]:
    return {key: min(m[key] for m in (a, b) if key in m) for key in (*a, *b)}


def _merge_counts(a: Mapping[str, int], b: Mapping[str, int]) -> dict[str, int]:
    merged = dict(a)
    for key, n in b.items():
        merged[key] = merged.get(key, 0) + n
    return {k: n for k, n in merged.items() if n}


@dataclass(frozen=True)
class Position:
    """What a cursor holds. `mark` and `check` name the closed rows; `stamp` the content as a whole."""

    fingerprint: str
    """Digest of everything in the spec that decides what is read."""
    full_at: int
    """When everything was last read, seconds since 1970."""
    mark: str | None = None
    check: str | None = None
    stamp: str | None = None
    expires: int | None = None
    """When a row that is quarantined for its future time becomes readable, seconds since 1970: from then on what
    is read differs though the source does not."""
    features: int | None = None
    """The usual number of features."""

    def encode(self) -> Cursor:
        """The cursor; without a mark where it would be too long, which costs one full read, never a record."""
        text = self._json(self.mark)
        return text if len(text) <= CURSOR_LIMIT else self._json(None)

    def _json(self, mark: str | None) -> str:
        fields = {
            "f": self.fingerprint, "a": self.full_at, "m": mark, "c": self.check, "s": self.stamp,
            "e": self.expires, "n": self.features,
        }  # fmt: skip
        return json.dumps({k: v for k, v in fields.items() if v is not None}, separators=(",", ":"))

    @classmethod
    def decode(cls, cursor: Cursor | None) -> Position | None:
        """The position, or None where the text is none of ours (then everything is read)."""
        if not cursor:
            return None
        try:
            fields = json.loads(cursor)
            return cls(
                fingerprint=str(fields["f"]),
                full_at=int(fields["a"]),
                mark=_text(fields.get("m")),
                check=_text(fields.get("c")),
                stamp=_text(fields.get("s")),
                expires=int(fields["e"]) if "e" in fields else None,
                features=int(fields["n"]) if "n" in fields else None,
            )
        except (ValueError, TypeError, KeyError, AttributeError):
            return None


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
