"""What time it is: by our own clock and the API server's, neither of which is believed against the ledger.

A clock may jump. Every pass has two of them, our own and the API server's (the date of its answers), and the ledger,
whose lines never go back. A clock that says it is earlier than the last line has gone back and is not believed; of
the others the earlier one counts, so that one that has run ahead brings nothing about. While they differ, or both
have gone back, windows may be counted and harm stops the experiment, but no weight is raised, no new stretch of
windows begins, nothing is promoted, and time does not end it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime

TOLERANCE_SECONDS = 60
"""Clocks that differ by less agree; the date of an answer is exact to the second, and answers take their time."""
STEPPED_BACK_SECONDS = 5
"""Two operators' clocks may differ by so much; more is a step back."""

_REMEDY = "nothing is raised, promoted or ended by time until the clock is set right"
_SIZES = ((70_000, "a day or more"), (3000, "about an hour or more"))
"""In steps, and these not where clocks are wont to jump to, so that a message does not change with every look."""


@dataclass(frozen=True)
class Moment:
    """`at` is the time, seconds since the epoch, never before the ledger's last line; `doubt` says in a sentence why
    it is not known for certain."""

    at: float
    doubt: str | None = None


def moment(now: float, ahead: float | None, last: float = 0.0) -> Moment:
    """The time when our clock says `now`, which is `ahead` seconds ahead of the API server's (None: not known), and
    the ledger's last line was written at `last`. It is to the millisecond, as lines are."""
    clocks = [math.floor(clock * 1000) / 1000 for clock in ([now] if ahead is None else [now, now - ahead])]
    believed = [clock for clock in clocks if clock >= last - STEPPED_BACK_SECONDS]
    at = max(min(believed, default=last), last)
    if ahead is not None and abs(ahead) > TOLERANCE_SECONDS:
        side = "ahead of" if ahead > 0 else "behind"
        return Moment(at, f"the operator's clock is {_size(abs(ahead))} {side} the API server's; {_REMEDY}")
    if not believed:
        written = datetime.fromtimestamp(last, UTC).isoformat(" ", "seconds").removesuffix("+00:00")
        return Moment(at, f"the clock has gone back to before {written}, when the ledger was written; {_REMEDY}")
    return Moment(at)


def _size(seconds: float) -> str:
    return next((name for size, name in _SIZES if seconds > size), "minutes")
