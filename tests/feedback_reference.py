"""The answers of a connector, computed the slow and obvious way: one record after another, in Python.

What the push-downs must agree with. Nothing here is shared with them but the reading of single rows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from retrainer.feedback.connectors.protocol import ArmOutcome, CountQuery, OutcomeQuery, UnitDayQuery
from retrainer.feedback.mapping import Mapping
from retrainer.feedback.quality import microseconds
from retrainer.feedback.records import Quarantined, Record
from retrainer.feedback.summaries import Counts, Totals

Read = Sequence[Record | Quarantined]

STAND_INS = ("session:", "input:", "record:")
"""How units begin that record.unit does not name."""


def totals(read: Read, mapping: Mapping) -> Totals:
    good = [r for r in read if isinstance(r, Record)]
    bad = [r for r in read if isinstance(r, Quarantined)]
    quarantine: dict[str, int] = defaultdict(int)
    for row in bad:
        quarantine[row.code] += 1
    leading = next((i for i, s in enumerate(mapping.signals) if s.has_polarity), None)
    latest = {i: list(_latest(good, i).values()) for i in range(len(mapping.signals))}
    return Totals(
        records=len({(r.unit, r.identity) for r in good}),
        units=len({r.unit for r in good}),
        votes=sum(1 for r in good for v in r.votes if v is not None),
        first=min((r.time for r in good), default=None),
        last=max((r.time for r in good), default=None),
        signals={s.name: _counts(latest[i], i) for i, s in enumerate(mapping.signals)},
        days={} if leading is None else _grouped(latest[leading], leading, lambda r: r.time // 86_400_000_000),
        segments={} if leading is None else _grouped(latest[leading], leading, lambda r: r.segment),
        quarantine=dict(quarantine),
    )


def comparable(found: Totals) -> Totals:
    """Without what only helps people or the cursor."""
    kept = {k: getattr(found, k) for k in ("records", "units", "votes", "first", "last")}
    return Totals(
        **kept,
        signals=dict(found.signals),
        days=dict(found.days),
        segments=dict(found.segments),
        quarantine=dict(found.quarantine),
    )


def outcomes(read: Read, query: OutcomeQuery, mapping: Mapping) -> list[ArmOutcome]:
    """See OutcomeQuery; one record after another in the order in which they were written."""
    seen = sorted((r for r in read if isinstance(r, Record) and _counts_at_all(r, query)), key=lambda r: (r.time, r.id))
    units = _by_user(seen, query) if query.unit == "User" else _by_request(seen, query)
    result = []
    for arm in query.arms:
        values = [_mean_of_things(rows, query, mapping) for name, rows in units if name == arm.name]
        known = [v for v in values if v is not None]
        result.append(ArmOutcome(arm.name, len(values), len(known), sum(known), sum(v * v for v in known)))
    return result


def _counts_at_all(record: Record, query: OutcomeQuery) -> bool:
    if query.since is not None and record.time < microseconds(min(query.since, query.start)):
        return False
    if query.as_of is not None and record.time >= microseconds(query.as_of):
        return False
    return _arm(record, query) is not None


def _by_request(seen: list[Record], query: OutcomeQuery) -> list[tuple[str | None, list[Record]]]:
    asked: dict[tuple[str | None, str, str], list[Record]] = defaultdict(list)
    for record in seen:
        asked[_arm(record, query), record.unit, record.identity].append(record)
    return [(key[0], rows) for key, rows in asked.items() if _in_window(rows[0], query)]


def _by_user(seen: list[Record], query: OutcomeQuery) -> list[tuple[str | None, list[Record]]]:
    users: dict[str, list[Record]] = {}
    left: set[str] = set()
    for record in seen:
        if not record.unit.startswith(STAND_INS):
            rows = users.setdefault(record.unit, [])
            if rows and _arm(rows[0], query) != _arm(record, query):
                left.add(record.unit)
            if record.unit not in left:
                rows.append(record)
    return [(_arm(rows[0], query), rows) for rows in users.values() if _in_window(rows[0], query)]


def _in_window(record: Record, query: OutcomeQuery) -> bool:
    return microseconds(query.start) <= record.time < microseconds(query.end)


def _mean_of_things(rows: list[Record], query: OutcomeQuery, mapping: Mapping) -> float | None:
    """The latest outcome of each thing; of a request there is only one."""
    latest: dict[str, float] = {}
    for record in rows:
        y = _outcome(record, query, mapping)
        if y is not None:
            latest[record.identity] = y
    return sum(latest.values()) / len(latest) if latest else None


def _outcome(record: Record, query: OutcomeQuery, mapping: Mapping) -> float | None:
    if query.quality is not None:
        return (record.qualities or {}).get(query.quality)
    index = [s.name for s in mapping.signals].index(str(query.signal))
    if query.value == "Score":
        return record.scores[index]
    vote = record.votes[index]
    return None if vote is None else float(vote == (1 if query.value == "Positive" else -1))


def count(read: Read, query: CountQuery, mapping: Mapping) -> int:
    rows = [r for r in read if isinstance(r, Record) and r.time <= microseconds(query.until)]
    rows = [r for r in rows if query.since is None or r.time > microseconds(query.since)]
    rows = [r for r in rows if not query.models or r.model in query.models]
    if query.value == "Any" and query.signal is None:
        return len({(r.unit, r.identity) for r in rows if any(v is not None for v in r.votes)})
    index = mapping.signal(query.signal)
    votes = [r.votes[index] for r in _latest(rows, index).values()]
    wanted = {"Any": (1, 0, -1, 2), "Positive": (1,), "Negative": (-1,)}[query.value]
    return sum(v in wanted for v in votes)


def unit_days(read: Read, query: UnitDayQuery, mapping: Mapping) -> list[tuple[str, str, float, int]]:
    index = mapping.signal(query.signal)
    days: dict[str, list[Record]] = defaultdict(list)
    for record in read:
        if isinstance(record, Record) and (not query.models or record.model in query.models):
            day = datetime.fromtimestamp(record.time // 1_000_000, UTC).date().isoformat()
            if day < query.until_date and (query.after_date is None or day > query.after_date):
                days[day].append(record)
    found: dict[tuple[str, str], list[bool]] = defaultdict(list)
    for day, records in days.items():
        for record in _latest(records, index).values():
            if record.votes[index] in (1, -1):
                found[day, record.unit].append(record.votes[index] == 1)
    return [(day, unit, sum(v) / len(v), len(v)) for (day, unit), v in sorted(found.items())]


def _latest(records: Iterable[Record], index: int) -> dict[tuple[str, str], Record]:
    latest: dict[tuple[str, str], Record] = {}
    for record in sorted(records, key=lambda r: (r.time, r.id)):
        if record.votes[index] is not None:
            latest[record.unit, record.identity] = record
    return latest


def _counts(records: list[Record], index: int) -> Counts:
    votes = [r.votes[index] for r in records]
    return Counts(len(votes), votes.count(1), votes.count(0), votes.count(-1))


def _grouped(records, index, key):
    groups = defaultdict(list)
    for record in records:
        if key(record) is not None:
            groups[key(record)].append(record)
    return {name: _counts(rows, index) for name, rows in groups.items()}


def _arm(record: Record, query: OutcomeQuery) -> str | None:
    for arm in query.arms:
        if record.model is not None and record.model in arm.models:
            return arm.name
    for arm in query.arms:
        if record.variant is not None and record.variant in arm.variants:
            return arm.name
    return None
