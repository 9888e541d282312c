"""budget.runsPerWeek: how many runs started in the last seven days, and when there is room for the next (pure).

Whatever started counts, also what a person asked for and what failed: each took its GPU.
"""

from __future__ import annotations

from datetime import datetime, timedelta

WEEK = timedelta(days=7)
REMEMBERED = 32
"""Starts that the status keeps: as many as the largest budget needs."""


def recent(starts: tuple[datetime, ...], now: datetime) -> tuple[datetime, ...]:
    """Starts of the last seven days, the earliest first; one of exactly a week ago is over."""
    return tuple(sorted(s for s in starts if s > now - WEEK))


def with_start(starts: tuple[datetime, ...], now: datetime) -> tuple[datetime, ...]:
    """With a run that starts now; older than a week is forgotten."""
    return (*recent(starts, now), now)[-REMEMBERED:]


def free_at(starts: tuple[datetime, ...], runs_per_week: int, now: datetime) -> datetime | None:
    """When the next run fits into the budget; None where it fits now."""
    counted = recent(starts, now)
    return counted[-runs_per_week] + WEEK if len(counted) >= runs_per_week else None
