"""Outcomes of an experiment's window as SQL over the canonical relation (see `statements`), once for both databases.

Cost of one answer: of the rows since the experiment began (found by an index on the time column where the database
uses one) time and unit are read; everything else only of the units that have a row in the window, for no other can
have been first seen in it. So the cost grows with the experiment, slowly, and not with the table.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from retrainer.feedback.connectors.protocol import Arm, ArmOutcome, OutcomeQuery
from retrainer.feedback.connectors.statements import Literal, Rows, one_of
from retrainer.feedback.errors import SchemaMismatch
from retrainer.feedback.mapping import NEGATIVE, POSITIVE, Mapping, SignalPath
from retrainer.feedback.quality import SMALLEST_QUALITY, microseconds

Canonical = Callable[[Rows], str]
"""The canonical relation of the source over these rows."""

_OUTCOME_LAST = "CASE WHEN y IS NULL THEN 1 ELSE 0 END"


def statement(canonical: Canonical, query: OutcomeQuery, mapping: Mapping, literal: Literal) -> str:
    """Rows (arm, units, responded, Σy, Σy²): see OutcomeQuery for what counts where.

    Raises SchemaMismatch where signal or quality are unknown or the signal has no such votes.
    """
    named = " AND named = 1" if query.unit == "User" else ""
    seen = f"id, t, unit, identity, {_arm(query.arms, literal)} AS arm, {_outcome(query, mapping)} AS y"
    # In a CASE, so that no planner makes a join of it, or reads the rest of a row first.
    readable = f"CASE WHEN unit IN (SELECT unit FROM present) THEN reason IS NULL{named} ELSE false END"
    window = Rows(since=microseconds(query.start), until=microseconds(query.end))
    ctes = [
        f"present AS MATERIALIZED (SELECT DISTINCT unit FROM ({canonical(window)}) c WHERE reason IS NULL)",
        f"answers AS MATERIALIZED (SELECT {seen} FROM ({canonical(_rows(query, mapping))}) c WHERE {readable})",
        "attributed AS (SELECT * FROM answers WHERE arm IS NOT NULL)",
        f"units AS ({_users(query) if query.unit == 'User' else _requests(query)})",
    ]
    sums = "COALESCE(SUM(y), 0), COALESCE(SUM(y * y), 0)"
    return f"WITH {', '.join(ctes)} SELECT arm, count(*), count(y), {sums} FROM units GROUP BY arm"


def _rows(query: OutcomeQuery, mapping: Mapping) -> Rows:
    """Rows that can matter: from the first record that could make a unit old news."""
    number = None
    if query.quality is not None:
        number = mapping.qualities[mapping.quality(query.quality)].path
    else:
        signal = _signal(query, mapping)
        number = signal.path if query.value == "Score" and signal.scale is not None else None
    return Rows(
        since=None if query.since is None else microseconds(min(query.since, query.start)),
        until=None if query.as_of is None else microseconds(query.as_of),
        number=number,
        named=query.unit == "User",
        among="SELECT unit FROM present",
    )


def answer(query: OutcomeQuery, found: Sequence[Sequence[Any]]) -> list[ArmOutcome]:
    """One answer per arm, in the order of the query."""
    by_arm = {str(arm): numbers for arm, *numbers in found}
    return [_arm_outcome(arm.name, by_arm.get(arm.name)) for arm in query.arms]


def _arm_outcome(name: str, numbers: Sequence[Any] | None) -> ArmOutcome:
    units, responded, total, squares = numbers or (0, 0, 0, 0)
    return ArmOutcome(name, int(units), int(responded), float(total), float(squares))


def _requests(query: OutcomeQuery) -> str:
    """One row (arm, y) per request first seen in the window."""
    key = "PARTITION BY arm, unit, identity"
    last = f"ROW_NUMBER() OVER ({key} ORDER BY {_OUTCOME_LAST}, t DESC, id DESC) AS place"
    things = f"SELECT y.*, {last}, MIN(t) OVER ({key}) AS seen FROM attributed y"
    return f"SELECT arm, y FROM ({things}) z WHERE place = 1 AND {_first_seen(query)}"


def _users(query: OutcomeQuery) -> str:
    """One row (arm, y) per user first seen in the window."""
    first = "PARTITION BY unit ORDER BY t, id"
    ordered = (
        f"SELECT p.*, ROW_NUMBER() OVER ({first}) AS place, FIRST_VALUE(arm) OVER ({first}) AS own, "
        f"MIN(t) OVER (PARTITION BY unit) AS seen FROM attributed p"
    )
    moved = "MIN(CASE WHEN arm <> own THEN place END) OVER (PARTITION BY unit) AS moved"
    followed = f"SELECT o.*, {moved} FROM ({ordered}) o WHERE {_first_seen(query)}"
    last = f"ROW_NUMBER() OVER (PARTITION BY unit, identity ORDER BY {_OUTCOME_LAST}, t DESC, id DESC) AS last"
    things = f"SELECT f.*, {last} FROM ({followed}) f WHERE moved IS NULL OR place < moved"
    return f"SELECT own AS arm, SUM(y) / count(y) AS y FROM ({things}) t WHERE last = 1 GROUP BY own, unit"


def _first_seen(query: OutcomeQuery) -> str:
    return f"seen >= {microseconds(query.start)} AND seen < {microseconds(query.end)}"


def _outcome(query: OutcomeQuery, mapping: Mapping) -> str:
    """SQL of a record's y, a floating point number or NULL."""
    if query.quality is not None:
        return "number"
    signal = _signal(query, mapping)
    vote = f"s{mapping.signal(signal.name)}"
    if query.value == "Score":
        score = f"({vote} + 1) / 2.0" if signal.scale is None else _scaled(signal)
        return f"CAST({score} AS DOUBLE PRECISION)"
    wanted = POSITIVE if query.value == "Positive" else NEGATIVE
    said = f"CASE WHEN {vote} IS NULL THEN NULL WHEN {vote} = {wanted} THEN 1 ELSE 0 END"
    return f"CAST({said} AS DOUBLE PRECISION)"


def _scaled(signal: SignalPath) -> str:
    """As `Scale.score`; a difference next to nothing is 0, because its square would vanish."""
    assert signal.scale is not None
    low, high = float(signal.scale.minimum), float(signal.scale.maximum)
    ends = [f"CAST({end!r} AS DOUBLE PRECISION)" for end in (low, high - low)]
    return f"CASE WHEN number - {ends[0]} < {SMALLEST_QUALITY} THEN 0 ELSE (number - {ends[0]}) / {ends[1]} END"


def _signal(query: OutcomeQuery, mapping: Mapping) -> SignalPath:
    signal = mapping.signals[mapping.signal(query.signal)]
    suits = {"Positive": signal.approves, "Negative": signal.disapproves, "Score": signal.has_score}
    if query.value is None or not suits[query.value]:
        remedy = {"Positive": "rating.positiveFrom", "Negative": "rating.negativeUpTo"}.get(query.value or "")
        hint = f"; set {remedy}" if remedy and signal.kind == "rating" else ""
        raise SchemaMismatch(f"signals[{signal.name}]: its votes have no value {query.value}{hint}", column=signal.name)
    return signal


def _arm(arms: Sequence[Arm], literal: Literal) -> str:
    """The arm whose model the record names, or else whose variant it names."""
    cases = [f"WHEN {one_of('model', a.models, literal)} THEN {literal(a.name)}" for a in arms if a.models]
    cases += [f"WHEN {one_of('variant', a.variants, literal)} THEN {literal(a.name)}" for a in arms if a.variants]
    return f"CASE {' '.join(cases)} END" if cases else "CAST(NULL AS TEXT)"
