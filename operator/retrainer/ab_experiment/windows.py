"""Window arithmetic: numbered stretches of time in which the candidate's weight was constant.

Times are whole seconds since the epoch wherever windows begin or end; `Stretch` is a run of windows at one
weight. A window that overlaps a change of weight, from its announcement until it is known to be effective and has
settled (gateways move the split up to 0.3 s after they report it, applications when they next read their ConfigMap),
is transitional: it belongs to no stretch, and its number is skipped.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Stretch:
    """Windows `first` … `end` − 1 at `weight` per cent, effective since `applied`; open while `end` is None."""

    weight: int
    applied: float
    first: int
    end: int | None = None


@dataclass(frozen=True)
class Window:
    """One window to count: [start, end) in seconds since the epoch, at `weight` per cent."""

    number: int
    start: int
    end: int
    weight: int
    applied: float


def origin_after(applied: float, settle_seconds: int) -> int:
    """Start of window 0, from the time the first weight was effective."""
    return math.ceil(applied + settle_seconds)


def first_window_after(applied: float, settle_seconds: int, origin: int, window_seconds: int) -> int:
    """First window that lies wholly after a weight became effective and has settled."""
    return max(0, math.ceil((math.ceil(applied + settle_seconds) - origin) / window_seconds))


def end_before(moment: float, origin: int, window_seconds: int) -> int:
    """Number after the last window that had ended by `moment`: where a stretch ends that is disturbed then."""
    return max(0, math.floor((moment - origin) / window_seconds))


def uncounted(stretches: tuple[Stretch, ...], following: int, origin: int, window_seconds: int) -> Iterator[Window]:
    """The windows from number `following` on, in order, as far as the stretches go (an open one: for ever)."""
    for stretch in stretches:
        number = max(stretch.first, following)
        while stretch.end is None or number < stretch.end:
            start = origin + number * window_seconds
            yield Window(number, start, start + window_seconds, stretch.weight, stretch.applied)
            number += 1
