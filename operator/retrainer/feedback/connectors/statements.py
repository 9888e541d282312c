"""The questions as SQL, once for both databases.

A dialect supplies the *canonical relation*: a SELECT with one row per row of the source and the columns

    id, t (microseconds), unit, identity, segment, model, variant, reason, old, closed, s0 … sN [, named, number]

where `reason` is NULL for readable rows, `old` and `closed` are 1 for rows closed by the mark of the last look and
of this look (else 0; see `incremental`), and sI is the vote of the I-th signal (1, 0, -1; 2 present; NULL none).
On demand: `named` is 1 where record.unit itself names the unit, and `number` what `Rows.number` asks for.
There are no joins: estimates for such relations are too poor to leave a planner the choice. Everything below is
standard SQL over that relation, so both databases count alike. Values of the spec appear as literals made by the
dialect, never pasted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from collections.abc import Mapping as Lookup
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial

from retrainer.feedback.connectors.protocol import CountQuery, UnitDayQuery
from retrainer.feedback.mapping import NEGATIVE, NEUTRAL, POSITIVE, Mapping, Path
from retrainer.feedback.quality import microseconds
from retrainer.feedback.summaries import SEGMENT_LIMIT

DAY = 86_400_000_000
"""Microseconds of a day; times are after 1990, so integer division is the day since 1970."""

OPEN_MICROSECONDS = 3_600_000_000
"""Rows younger than this are never closed: applications fill in a vote on an answer by UPDATE, soon after."""

Literal = Callable[[str], str]
"""Makes a text literal of the dialect."""


@dataclass(frozen=True)
class Rows:
    """Which rows of the source a canonical relation covers.

    `since` ≤ t < `until` (microseconds). `old` and `closed` are marks, see above. `touched`: only rows that are not
    old, and old rows of the same units. `number`: the number at this path, as `quality.read_quality` reads it.
    `named`: tell which units are named. `among`: the SELECT of all units that matter; rows of others may be left out.
    """

    since: int | None = None
    until: int | None = None
    old: str | None = None
    closed: str | None = None
    touched: bool = False
    number: Path | None = None
    named: bool = False
    among: str | None = None


Sets = Lookup[str, str]
"""Names of sets of rows to sum up, and the condition over the canonical relation that selects each."""

EVERYTHING: Sets = {"all": "1 = 1"}


def totals(canonical: str, mapping: Mapping, literal: Literal, sets: Sets = EVERYTHING) -> str:
    """Rows (set, part, name, n, positive, neutral, negative, low, high, example); each set is a `Totals`."""
    ctes = [f"canon AS MATERIALIZED ({canonical})"]
    parts: list[str] = []
    for number, (name, condition) in enumerate(sets.items()):
        more, selects = _set(f"{literal(name)}", number, condition, mapping, literal)
        ctes += more
        parts += selects
    return f"WITH {', '.join(ctes)} {' UNION ALL '.join(parts)}"


def _set(label: str, number: int, condition: str, mapping: Mapping, literal: Literal) -> tuple[list[str], list[str]]:
    """CTEs and SELECTs that sum up one set of rows."""
    rows, good, things = f"rows{number}", f"good{number}", f"things{number}"
    ctes = [
        f"{rows} AS (SELECT * FROM canon WHERE {condition})",
        f"{good} AS (SELECT * FROM {rows} WHERE reason IS NULL)",
        f"{things} AS (SELECT unit, identity, min(t) AS low, max(t) AS high FROM {good} GROUP BY unit, identity)",
    ]
    part = partial(_part, label)
    parts = [
        part("'records'", "NULL", "count(*)", low="min(low)", high="max(high)", source=things),
        part("'units'", "NULL", "count(DISTINCT unit)", source=things),
        part("'quarantine'", "reason", "count(*)", low="min(t)", example="min(id)",
             source=f"{rows} WHERE reason IS NOT NULL", group="reason"),
    ]  # fmt: skip
    leading = next((i for i, s in enumerate(mapping.signals) if s.has_polarity), None)
    for index, signal in enumerate(mapping.signals):
        latest = f"latest{number}_{index}"
        ctes.append(f"{latest} AS ({_latest(good, index)})")
        parts.append(part("'votes'", "NULL", "count(*)", source=f"{good} WHERE s{index} IS NOT NULL"))
        parts.append(_votes(label, "'signal'", literal(signal.name), latest))
        if index == leading:
            parts.append(_votes(label, "'day'", f"CAST(t / {DAY} AS TEXT)", latest, group=f"t / {DAY}"))
            parts.append(_segments(label, latest))
    return ctes, parts


def _latest(source: str, index: int, partition: str = "unit, identity") -> str:
    """Of all votes of one signal on one thing, the latest; the id decides between votes of one moment."""
    order = f"ROW_NUMBER() OVER (PARTITION BY {partition} ORDER BY t DESC, id DESC) AS place"
    ranked = f"SELECT x.*, s{index} AS vote, {order} FROM {source} x WHERE s{index} IS NOT NULL"
    return f"SELECT * FROM ({ranked}) y WHERE place = 1"


def _part(
    label: str, part: str, name: str, n: str, *, source: str, sums: Sequence[str] = ("0", "0", "0"),
    low: str = "NULL", high: str = "NULL", example: str = "NULL", group: str | None = None,
) -> str:  # fmt: skip
    columns = [
        f"{label} AS label", f"{part} AS part", f"CAST({name} AS TEXT) AS name", f"{n} AS n", f"{sums[0]} AS p",
        f"{sums[1]} AS z", f"{sums[2]} AS q", f"CAST({low} AS BIGINT) AS low", f"CAST({high} AS BIGINT) AS high",
        f"CAST({example} AS TEXT) AS example",
    ]  # fmt: skip
    return f"SELECT {', '.join(columns)} FROM {source}" + (f" GROUP BY {group}" if group else "")


_SUMS = tuple(f"COALESCE(SUM(CASE WHEN vote = {v} THEN 1 ELSE 0 END), 0)" for v in (POSITIVE, NEUTRAL, NEGATIVE))


def _votes(label: str, part: str, name: str, source: str, group: str | None = None) -> str:
    return _part(label, part, name, "count(*)", sums=_SUMS, source=source, group=group)


def _segments(label: str, source: str) -> str:
    """The most disliked segments; one more than the limit tells that there are too many."""
    inner = _votes(label, "'segment'", "segment", f"{source} WHERE segment IS NOT NULL", group="segment")
    return f"SELECT * FROM ({inner} ORDER BY q DESC, n DESC, name LIMIT {SEGMENT_LIMIT + 1}) z"


def one_of(column: str, values: Sequence[str], literal: Literal) -> str:
    """Whether a column has one of these texts."""
    return f"{column} IN ({', '.join(literal(v) for v in values)})"


def _models(models: Sequence[str] | None, literal: Literal) -> str:
    return f" AND {one_of('model', models, literal)}" if models else ""


def count(canonical: str, query: CountQuery, mapping: Mapping, literal: Literal) -> str:
    """One number: see CountQuery."""
    source = f"(SELECT * FROM ({canonical}) c WHERE reason IS NULL{_models(query.models, literal)})"
    if query.value == "Any" and query.signal is None:
        some = " OR ".join(f"s{i} IS NOT NULL" for i in range(len(mapping.signals)))
        return f"SELECT count(*) FROM (SELECT DISTINCT unit, identity FROM {source} v WHERE {some}) u"
    index = mapping.signal(query.signal)
    wanted = {"Any": "", "Positive": f" WHERE vote = {POSITIVE}", "Negative": f" WHERE vote = {NEGATIVE}"}
    return f"SELECT count(*) FROM ({_latest(source, index)}) v{wanted[query.value]}"


def count_rows(query: CountQuery) -> Rows:
    """(since, until] as half-open microseconds."""
    since = None if query.since is None else microseconds(query.since) + 1
    return Rows(since=since, until=microseconds(query.until) + 1)


def unit_days(canonical: str, query: UnitDayQuery, mapping: Mapping, literal: Literal) -> str:
    """Rows (day since 1970, unit, mean, votes): see UnitDay."""
    index = mapping.signal(query.signal)
    models = _models(query.models, literal)
    source = f"(SELECT c.*, t / {DAY} AS day FROM ({canonical}) c WHERE reason IS NULL{models})"
    latest = _latest(source, index, "day, unit, identity")
    mean = f"SUM(CASE WHEN vote = {POSITIVE} THEN 1.0 ELSE 0.0 END) / count(*)"
    return (
        f"SELECT day, unit, {mean}, count(*) FROM ({latest}) v WHERE vote IN ({POSITIVE}, {NEGATIVE}) "
        "GROUP BY day, unit ORDER BY day, unit"
    )


def unit_day_rows(query: UnitDayQuery) -> Rows:
    """The days after `after_date` and before `until_date`."""
    after = None if query.after_date is None else (_day(query.after_date) + 1) * DAY
    return Rows(since=after, until=_day(query.until_date) * DAY)


def day_text(day: int) -> str:
    """YYYY-MM-DD of a day since 1970."""
    return (date(1970, 1, 1) + timedelta(days=int(day))).isoformat()


def _day(text: str) -> int:
    return (date.fromisoformat(text) - date(1970, 1, 1)).days
