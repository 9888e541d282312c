"""The part of a FeedbackSource's status that says what was counted."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta
from typing import Any

from retrainer.api.v1alpha1.feedback_source import FeedbackSourceSpec
from retrainer.api.v1alpha1.signals import Signal
from retrainer.conditions import timestamp, truncate
from retrainer.feedback.polarity import has_polarity
from retrainer.feedback.summaries import Counts, Totals

_DAYS = 30
_SEGMENTS = 20
_REASONS = 20
_FIRST_DAY = date(1970, 1, 1)


def counted(spec: FeedbackSourceSpec, totals: Totals) -> dict[str, Any]:
    """summary, signals, daily, segments and quarantine; parts without content are left out."""
    report: dict[str, Any] = {
        "summary": _summary(totals),
        "signals": [_signal(signal, totals.signals.get(signal.name, Counts())) for signal in spec.signals],
        "daily": [_day(day, totals.days[day]) for day in sorted(totals.days)[-_DAYS:]],
        "segments": _segments(totals),
        "quarantine": _quarantine(totals),
    }
    return {name: part for name, part in report.items() if part}


def quarantined_share(totals: Totals) -> float:
    """Share of the records that could not be read."""
    everything = totals.records + totals.quarantined
    return totals.quarantined / everything if everything else 0.0


def _summary(totals: Totals) -> dict[str, Any]:
    summary: dict[str, Any] = {
        "records": totals.records,
        "quarantined": totals.quarantined,
        "superseded": totals.superseded,
        "units": totals.units,
    }
    if totals.first is not None and totals.last is not None:
        summary.update(firstTime=_time(totals.first), lastTime=_time(totals.last))
    return summary


def _time(microseconds: int) -> str:
    return timestamp(datetime.fromtimestamp(microseconds // 1_000_000, UTC))


def _signal(signal: Signal, counts: Counts) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "name": signal.name,
        "total": counts.total,
        "positive": counts.positive,
        "neutral": counts.neutral,
        "negative": counts.negative,
    }
    if counts.rate is not None and has_polarity(signal.model_dump(by_alias=True, exclude_none=True)):
        entry["positiveRate"] = f"{counts.rate:.3f}"
    return entry


def _day(number: int, counts: Counts) -> dict[str, Any]:
    day = _FIRST_DAY + timedelta(days=number)
    return {"date": day.isoformat(), **_votes(counts)}


def _segments(totals: Totals) -> list[dict[str, Any]]:
    """The least liked first, beyond chance: one dislike alone makes no segment the worst."""
    worst = sorted(totals.segments.items(), key=lambda s: (_most_likeable(s[1]), -s[1].total, s[0]))
    return [{"name": truncate(name, 63), **_votes(counts)} for name, counts in worst[:_SEGMENTS]]


def _most_likeable(counts: Counts) -> float:
    """Upper end of the 95 % Wilson score interval of the positive rate; 1 without votes."""
    n, rate, z2 = counts.positive + counts.negative, counts.rate, 1.96**2
    if rate is None:
        return 1.0
    middle = rate + z2 / (2 * n)
    spread = math.sqrt(z2 * (rate * (1 - rate) / n + z2 / (4 * n * n)))
    return (middle + spread) / (1 + z2 / n)


def _votes(counts: Counts) -> dict[str, int]:
    return {"total": counts.total, "positive": counts.positive, "negative": counts.negative}


def _quarantine(totals: Totals) -> list[dict[str, Any]]:
    """By reason, the most frequent first, each with the id and field of one record; never its content."""
    counts: dict[str, int] = {}
    examples: dict[str, str] = {}
    for name, n in totals.quarantine.items():
        reason, _, field = name.partition("|")
        counts[reason] = counts.get(reason, 0) + n
        record = totals.examples.get(name)
        examples.setdefault(reason, f"id {record}, {field}" if record is not None else field)
    order = sorted(counts, key=lambda reason: (-counts[reason], reason))[:_REASONS]
    return [{"reason": r, "count": counts[r], "example": truncate(examples[r], 200)} for r in order]
