"""The exact increase of a counter over a window, from its raw samples. Pure.

`increase()` and `rate()` of PromQL extrapolate to the edges of their range, so that a window's count is a fraction
that depends on when it was scraped, and consecutive windows neither add up nor leave anything out reliably. Here a
window [start, end) has what the counter rose by between the last sample at or before `start` and the last one at or
before `end`: whatever is counted is counted once, in the window whose scrape first shows it. What a window without
samples rose by (target or server were down) is counted in the window in which samples resume.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

LOOKBACK_SECONDS = 300.0
"""The last sample before a window is looked for this far back; beyond, a second question is needed."""


@dataclass(frozen=True)
class Sample:
    """Time in seconds since the epoch, and the counter's value then."""

    time: float
    value: float


@dataclass(frozen=True)
class Series:
    """One counter: its labels, and samples in the order of time."""

    labels: Mapping[str, str]
    samples: tuple[Sample, ...]

    @property
    def identity(self) -> frozenset[tuple[str, str]]:
        """What tells it from others; without the metric's name, which functions of the server leave out."""
        return frozenset((k, v) for k, v in self.labels.items() if k != "__name__")

    @property
    def last_time(self) -> float:
        """Time of its last sample."""
        return self.samples[-1].time


@dataclass(frozen=True)
class Span:
    """A window [start, end) in seconds since the epoch, whose weight was applied at `applied`, before `start`."""

    start: float
    end: float
    applied: float

    @property
    def earliest(self) -> float:
        """Samples before this are not looked at: a base that old would let events of another weight in."""
        return max(self.applied, self.start - LOOKBACK_SECONDS)

    @property
    def is_fresh(self) -> bool:
        """Whether the weight is so new that a missing base cannot be looked for further back."""
        return self.applied > self.start - LOOKBACK_SECONDS


@dataclass(frozen=True)
class History:
    """What was known before a window: the last value of each series, and whether anything was.

    A series that is not in `values` although the server `remembers` other things was born in the window: counters
    begin at 0. A server that remembers nothing has lost its data; then nothing is known of the time before.
    """

    values: Mapping[frozenset[tuple[str, str]], float]
    remembers: bool


def needs_history(series: Series, span: Span) -> bool:
    """Whether its samples alone cannot tell what it had before the window."""
    seen = [s for s in series.samples if span.earliest <= s.time <= span.end]
    return bool(seen) and seen[0].time > span.start


def increase(series: Series, span: Span, history: History) -> float:
    """What the counter rose by; a fall is a restart from 0 (then what it showed last before is lost to any reader)."""
    seen = [s for s in series.samples if span.earliest <= s.time <= span.end]
    before = [s for s in seen if s.time <= span.start]
    inside = [s.value for s in seen if s.time > span.start]
    if not inside:
        return 0.0
    if before:
        return _risen(before[-1].value, inside)
    known = history.values.get(series.identity)
    if known is None:
        return _risen(0.0, inside) if history.remembers else _risen(inside[0], inside[1:])
    # Of a weight that has just been applied only what the first sample does not yet show is certain to be its own.
    return _risen(inside[0], inside[1:]) if span.is_fresh else _risen(known, inside)


def _risen(base: float, values: Sequence[float]) -> float:
    total = 0.0
    for value in values:
        total += value - base if value >= base else value
        base = value
    return total


def patience(series: Sequence[Series], shortest: float = 10.0, longest: float = 300.0, unknown: float = 120.0) -> float:
    """Seconds to wait after a window's end for the next sample: three times what is usual between two."""
    gaps = [median(b.time - a.time for a, b in pairwise(s.samples)) for s in series if len(s.samples) > 1]
    return min(longest, max(shortest, 3 * max(gaps))) if gaps else unknown
