"""What every connector must make of numbers and of users: ratings, scores, qualities, users as units.

Run against the real database of each connector together with `feedback_contract`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import feedback_reference as reference
import pytest
from feedback_contract import BROKEN, GOOD, NOW, Hostile, World, read_rows, spec_for, thumbs

from retrainer.api.v1alpha1.feedback_source import FeedbackSourceSpec
from retrainer.feedback.connectors.protocol import Arm, ArmOutcome, CountQuery, OutcomeQuery, UnitDayQuery
from retrainer.feedback.errors import SchemaMismatch
from retrainer.feedback.records import Quarantined

STARS = {"minimum": "1", "maximum": "5", "positiveFrom": "4", "negativeUpTo": "2.5"}
ARMS = (Arm("baseline", ("3",), ("baseline",)), Arm("candidate", ("4",), ("candidate",)))
START = datetime(2026, 11, 20, tzinfo=UTC)


def numbers_spec(world: World, stars: dict[str, str] | None = None, column: str = "score") -> FeedbackSourceSpec:
    """Ratings in `score`, thumbs in `rating`, a quality in `guess` and one inside the JSON of `pixels`."""
    qualities = [{"name": "latency", "from": "guess"}, {"name": "inside", "from": "pixels.ms"}]
    signals = [{"name": "stars", "from": column, "rating": stars or STARS}, thumbs("rating")]
    return spec_for(
        world.source(), labels=None, features=None, prediction=None, correction=None, qualities=qualities,
        signals=signals,
    )  # fmt: skip


OUT = "SignalOutOfRange|signal stars"
WRONG = "WrongType|signal stars"
RATINGS: tuple[tuple[Hostile, int | None], ...] = (
    (Hostile("five", {"score": "5"}), 1),
    (Hostile("four", {"score": "4"}), 1),
    (Hostile("just four", {"score": "4.000"}), 1),
    (Hostile("not quite four", {"score": "3.9999999999999999999999"}), 0),
    (Hostile("three and a half", {"score": "3.5"}), 0),
    (Hostile("two and a half", {"score": "2.5"}), -1),
    (Hostile("a little more than two and a half", {"score": "2.50000000000000000001"}), 0),
    (Hostile("one", {"score": "1"}), -1),
    (Hostile("one with an exponent", {"score": "0.1e1"}), -1),
    (Hostile("none", {"score": None}), None),
    (Hostile("an empty text", {"score": ""}), None),
    (Hostile("zero", {"score": "0"}, OUT), None),
    (Hostile("six", {"score": "6"}, OUT), None),
    (Hostile("a little more than five", {"score": "5.0000000000000000000001"}, OUT), None),
    (Hostile("an enormous number", {"score": "1e9999"}, OUT), None),
    (Hostile("next to nothing", {"score": "1e-9999"}, OUT), None),
    (Hostile("minus three", {"score": "-3"}, OUT), None),
    (Hostile("a word", {"score": "good"}, WRONG), None),
    (Hostile("a truth", {"score": "true"}, WRONG), None),
    (Hostile("NaN", {"score": "NaN"}, WRONG), None),
    (Hostile("infinity", {"score": "Infinity"}, WRONG), None),
    (Hostile("a number and a blank", {"score": "4 "}, WRONG), None),
    (Hostile("a line", {"score": "4\n"}, WRONG), None),
    (Hostile("two numbers", {"score": "4,5"}, WRONG), None),
    (Hostile("a whole number", {"score": 4}), 1),
    (Hostile("a whole number too many", {"score": 6}, OUT), None),
    (Hostile("a number", {"score": 2.5}), -1),
    (Hostile("infinite", {"score": float("inf")}, "NotFinite|signal stars", "sqlite"), None),
    (Hostile("bytes", {"score": b"4"}, "WrongType|signal stars", "sqlite"), None),
    (Hostile("broken bytes", {"score": BROKEN}, "BrokenText|signal stars", "sqlite"), None),
    (Hostile("a long text", {"score": "4" * 1025}, "TooLong|signal stars"), None),
)

QUALITIES: tuple[tuple[Any, float | None], ...] = (
    ("250", 250.0),
    ("-1.5e2", -150.0),
    ("0", 0.0),
    ("1e-200", 0.0),
    ("1000000000000000", 1e15),
    ("1000000000000001", None),
    ("1e400", None),
    ("NaN", None),
    ("true", None),
    ("12 ms", None),
    ("", None),
    (None, None),
    ("9" * 1100, None),
)


def ratings_are_read_by_their_scale(world: World) -> None:
    """Each beside one good row only, so that no two errors can cancel."""
    spec = numbers_spec(world)
    wrong = []
    for case, vote in RATINGS:
        if case.only in (None, world.kind):
            world.fill([{**GOOD, "id": "good", "score": "3"}, {**GOOD, "id": "bad", "usr": "bob", **case.changes}])
            summary, _ = world.connector(spec).summarise(None, None)
            mapping, (_, read) = read_rows(world, spec)
            found = read.code if isinstance(read, Quarantined) else None
            if found != case.code or (found is None and read.votes[0] != vote):
                wrong.append((case.name, found, read))
            assert summary is not None
            if reference.comparable(summary.totals) != reference.totals(read_rows(world, spec)[1], mapping):
                wrong.append((case.name, summary.totals.quarantine, summary.totals.signals))
    assert wrong == []


def ratings_in_columns_of_numbers_are_read_alike(world: World) -> None:
    stars = [1, 2, 3, 4, 5, 6, 0, None]
    for kind in ("integer", "double precision", "numeric", "text"):
        world.fill([{**GOOD, "id": str(i), "usr": str(i), "score": s} for i, s in enumerate(stars)], {"score": kind})
        summary, _ = world.connector(numbers_spec(world)).summarise(None, None)
        assert summary is not None
        counts = summary.totals.signals["stars"]
        assert (counts.positive, counts.neutral, counts.negative) == (2, 1, 2), kind
        assert summary.totals.quarantine == {OUT: 2}, kind


def a_rating_may_lie_inside_json(world: World) -> None:
    payload = ['{"stars": 5}', '{"stars": "1.5"}', '{"stars": true}', '{"stars": 7}', '{"stars": [5]}', "{}"]
    world.fill([{**GOOD, "id": str(i), "usr": str(i), "pixels": p} for i, p in enumerate(payload)])
    spec = numbers_spec(world, column="pixels.stars")
    summary, _ = world.connector(spec).summarise(None, None)
    mapping, read = read_rows(world, spec)
    assert summary is not None
    assert reference.comparable(summary.totals) == reference.totals(read, mapping)
    assert summary.totals.quarantine == {WRONG: 2, OUT: 1}


def a_rating_with_polarity_is_counted_like_thumbs(world: World) -> None:
    world.fill([{**GOOD, "id": str(s), "usr": f"u{s}", "score": str(s)} for s in (1, 3, 4, 5)])
    connector = world.connector(numbers_spec(world))
    assert [connector.count(CountQuery(NOW, value=v, signal="stars")) for v in ("Any", "Positive", "Negative")] == [
        4, 2, 1,
    ]  # fmt: skip
    days = connector.unit_days(UnitDayQuery("stars", "2026-11-21"))
    assert [(unit, mean) for _, unit, mean, _ in days] == [("u1", 0.0), ("u4", 1.0), ("u5", 1.0)]
    summary, _ = connector.summarise(None, None)
    assert summary is not None and summary.totals.segments["maths"].positive == 2


def qualities_are_numbers_or_missing(world: World) -> None:
    spec = numbers_spec(world)
    for value, expected in QUALITIES:
        world.fill([{**GOOD, "guess": value}])
        (found,) = _ask(world, spec, quality="latency")[:1]
        y = [] if expected is None else [expected]
        assert (found.units, found.responded, found.total) == (1, len(y), sum(y)), value
        _, (record,) = read_rows(world, spec)
        assert (record.qualities or {}).get("latency") == expected, value


def a_bad_quality_makes_no_record_unreadable(world: World) -> None:
    inside = ['{"ms": 12.5}', '{"ms": "many"}', '{"ms": {}}', "[1]"]
    world.fill([{**GOOD, "id": str(i), "usr": str(i), "guess": "no number", "pixels": p} for i, p in enumerate(inside)])
    spec = numbers_spec(world)
    summary, _ = world.connector(spec).summarise(None, None)
    assert summary is not None and dict(summary.totals.quarantine) == {} and summary.totals.records == 4
    assert _ask(world, spec, quality="inside")[0] == ArmOutcome("baseline", 4, 1, 12.5, 156.25)


def scores_lie_between_0_and_1(world: World) -> None:
    world.fill([{**GOOD, "id": str(s), "usr": f"u{s}", "score": str(s), "rating": str(s % 3 - 1)} for s in range(1, 6)])
    spec = numbers_spec(world)
    stars = _ask(world, spec, signal="stars", value="Score")[0]
    assert (stars.responded, stars.total, stars.squares) == (5, 2.5, 1.875)
    up_down = _ask(world, spec, signal="thumbs", value="Score")[0]
    assert (up_down.responded, up_down.total, up_down.squares) == (5, 3.0, 2.5)


def votes_that_a_signal_cannot_give_are_refused(world: World) -> None:
    world.fill([GOOD])
    spec = numbers_spec(world, {"minimum": "1", "maximum": "5", "positiveFrom": "4"})
    with pytest.raises(SchemaMismatch, match=r"signals\[stars\].*rating\.negativeUpTo"):
        _ask(world, spec, signal="stars", value="Negative")
    with pytest.raises(SchemaMismatch, match='did you mean "latency"'):
        _ask(world, spec, quality="latncy")


def user_rows(votes: Sequence[tuple[str, int, str, str, str | None]]) -> list[dict[str, Any]]:
    """Rows (user, minute, model, question, rating)."""
    return [
        {**GOOD, "id": str(i), "usr": usr, "created_at": (START + timedelta(minutes=minute)).isoformat(),
         "model": model, "question": question, "rating": rating}
        for i, (usr, minute, model, question, rating) in enumerate(votes)
    ]  # fmt: skip


def _window(first: int, last: int) -> dict[str, Any]:
    return {"start": START + timedelta(minutes=first), "end": START + timedelta(minutes=last), "since": START}


def a_user_counts_once_with_the_mean_of_its_requests(world: World) -> None:
    world.fill(user_rows([("ann", 1, "3", "a", "1"), ("ann", 2, "3", "b", "-1"), ("ann", 3, "3", "c", None)]))
    spec = numbers_spec(world)
    found = _ask(world, spec, **_users(0, 10))
    assert found == [ArmOutcome("baseline", 1, 1, 0.5, 0.25), ArmOutcome("candidate", 0, 0, 0.0, 0.0)]


def a_user_counts_in_its_first_window_only(world: World) -> None:
    world.fill(user_rows([("ann", 1, "3", "a", "1"), ("ann", 12, "3", "b", "-1"), ("bob", 12, "3", "a", "1")]))
    spec = numbers_spec(world)
    assert _ask(world, spec, **_users(0, 10), as_of=START + timedelta(minutes=10))[0].total == 1.0
    assert _ask(world, spec, **_users(0, 10), as_of=START + timedelta(minutes=20))[0].total == 0.5
    assert _ask(world, spec, **_users(10, 20))[0] == ArmOutcome("baseline", 1, 1, 1.0, 1.0), "bob alone"


def what_a_user_says_after_changing_arms_does_not_count(world: World) -> None:
    world.fill(
        user_rows(
            [("ann", 1, "3", "a", "1"), ("ann", 2, "4", "b", "-1"), ("ann", 3, "3", "c", "-1"),
             ("ann", 4, "3", "a", "-1")]
        )
    )  # fmt: skip
    found = _ask(world, numbers_spec(world), **_users(0, 10))
    assert [(o.units, o.total) for o in found] == [(1, 1.0), (0, 0.0)]


def a_user_belongs_to_the_arm_that_answered_first_even_without_a_vote(world: World) -> None:
    world.fill(user_rows([("ann", 1, "4", "a", None), ("ann", 2, "3", "b", "1")]))
    found = _ask(world, numbers_spec(world), **_users(0, 10))
    assert [(o.units, o.responded) for o in found] == [(0, 0), (1, 0)]


def records_before_the_experiment_or_of_other_models_make_nobody_old(world: World) -> None:
    world.fill(user_rows([("ann", -5, "3", "a", "-1"), ("ann", 1, "99", "b", "-1"), ("ann", 2, "4", "c", "1")]))
    found = _ask(world, numbers_spec(world), **_users(0, 10))
    assert [(o.units, o.total) for o in found] == [(0, 0.0), (1, 1.0)]


def records_without_a_named_user_are_left_out(world: World) -> None:
    rows = user_rows([("ann", 1, "3", "a", "1"), ("", 2, "3", "b", "1"), ("bob", 3, "3", "c", "1")])
    rows[2]["usr"] = None
    rows[1]["visit"] = "v1"
    world.fill(rows)
    spec = numbers_spec(world)
    assert _ask(world, spec, **_users(0, 10))[0].units == 1
    assert _ask(world, spec, **_window(0, 10), signal="thumbs", value="Positive")[0].units == 3


def outcomes_of_random_sources_agree_with_the_reference(world: World) -> None:
    """Whatever is stored: few users, questions and moments, so that everything repeats, collides and changes arm."""
    seen = 0
    for seed in range(12):
        chance = random.Random(seed)
        world.fill(_random_rows(chance))
        spec = numbers_spec(world)
        mapping, read = read_rows(world, spec)
        connector = world.connector(spec)
        for query in _random_queries(chance):
            found, expected = connector.outcomes(query), reference.outcomes(read, query, mapping)
            assert [(o.arm, o.units, o.responded) for o in found] == [(o.arm, o.units, o.responded) for o in expected]
            sums = [s for o in found for s in (o.total, o.squares)]
            assert sums == pytest.approx([s for o in expected for s in (o.total, o.squares)], rel=1e-9), query
            seen += sum(o.responded for o in found)
    assert seen > 300


def windows_in_a_row_count_every_user_once(world: World) -> None:
    world.fill(_random_rows(random.Random(99)))
    spec = numbers_spec(world)
    each = [_ask(world, spec, **_users(m, m + 10)) for m in range(0, 60, 10)]
    whole = _ask(world, spec, **_users(0, 60))
    assert [sum(w[place].units for w in each) for place in (0, 1)] == [o.units for o in whole]
    assert sum(o.units for o in whole) == 6, "everybody, once"


def _random_rows(chance: random.Random) -> list[dict[str, Any]]:
    return [
        {
            **GOOD,
            "id": f"r{i}",
            "created_at": (START + timedelta(minutes=chance.randrange(0, 60))).isoformat(),
            "usr": chance.choice(["ann", "bob", "cid", "Dörte", "eve", "fay", None]),
            "visit": chance.choice(["v1", None]),
            "question": chance.choice(["q1", "q2", None]),
            "model": chance.choice(["3", "4", None, "99"]),
            "variant": chance.choice(["baseline", "candidate", None]),
            "rating": chance.choice(["1", "0", "-1", None, None, "7"]),
            "score": chance.choice(["1", "2.75", "4", "5", None, "9"]),
            "guess": chance.choice(["0.5", "-3", "1e6", "slow", None]),
            "pixels": chance.choice(['{"ms": 0.125}', '{"ms": "7"}', "{}", None]),
        }
        for i in range(chance.randrange(1, 120))
    ]


def _random_queries(chance: random.Random) -> list[OutcomeQuery]:
    outcomes: tuple[dict[str, Any], ...] = (
        {"signal": "thumbs", "value": "Positive"},
        {"signal": "stars", "value": "Negative"},
        {"signal": "stars", "value": "Score"},
        {"signal": "thumbs", "value": "Score"},
        {"quality": "latency"},
        {"quality": "inside"},
    )
    queries = []
    for outcome in outcomes:
        for unit in ("Request", "User"):
            first = chance.randrange(0, 50)
            last = first + chance.randrange(1, 30)
            start, end = (START + timedelta(minutes=m) for m in (first, last))
            since = chance.choice([None, START, START + timedelta(minutes=first // 2)])
            as_of = chance.choice([None, end, end + timedelta(minutes=5)])
            given = {"signal": None, "value": None} | outcome
            queries.append(OutcomeQuery(start=start, end=end, arms=ARMS, since=since, as_of=as_of, unit=unit, **given))
    return queries


def _users(first: int, last: int) -> dict[str, Any]:
    return {**_window(first, last), "unit": "User", "signal": "thumbs", "value": "Positive"}


def _ask(world: World, spec: FeedbackSourceSpec, **asked: Any) -> list[ArmOutcome]:
    query: dict[str, Any] = {"signal": None, "value": None, "arms": ARMS, "start": START, "end": NOW}
    return world.connector(spec).outcomes(OutcomeQuery(**(query | asked)))


NUMBERS: tuple[Callable[[Any], None], ...] = (
    ratings_are_read_by_their_scale,
    ratings_in_columns_of_numbers_are_read_alike,
    a_rating_may_lie_inside_json,
    a_rating_with_polarity_is_counted_like_thumbs,
    qualities_are_numbers_or_missing,
    a_bad_quality_makes_no_record_unreadable,
    scores_lie_between_0_and_1,
    votes_that_a_signal_cannot_give_are_refused,
    a_user_counts_once_with_the_mean_of_its_requests,
    a_user_counts_in_its_first_window_only,
    what_a_user_says_after_changing_arms_does_not_count,
    a_user_belongs_to_the_arm_that_answered_first_even_without_a_vote,
    records_before_the_experiment_or_of_other_models_make_nobody_old,
    records_without_a_named_user_are_left_out,
    outcomes_of_random_sources_agree_with_the_reference,
    windows_in_a_row_count_every_user_once,
)
