"""Ratings and qualities of one row: votes and scores by the scale, numbers that may be missing."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrainer.api.v1alpha1.feedback_source import FeedbackSourceSpec
from retrainer.feedback.errors import SchemaMismatch
from retrainer.feedback.mapping import Scale, resolve
from retrainer.feedback.polarity import has_polarity, values_of
from retrainer.feedback.quality import BLOB, bounded, read_quality
from retrainer.feedback.records import Quarantined, RowReader

NOW = 1_790_000_000_000_000
STARS = {"minimum": "1", "maximum": "5", "positiveFrom": "4", "negativeUpTo": "2"}


def mapping(**rating: str) -> Any:
    spec = FeedbackSourceSpec.model_validate(
        {
            "sqlite": {"path": "f.db", "table": "t"},
            "record": {"id": "id", "time": "at", "qualities": [{"name": "ms", "from": "x"}]},
            "signals": [{"name": "stars", "from": "vote", "rating": STARS | rating}],
        }
    )
    return resolve(spec, ("id", "at", "vote", "x"))


def read(vote: Any, quality: Any = None) -> Any:
    return RowReader(mapping(), now=NOW).read(("a", "2026-01-01", vote, quality))


@pytest.mark.parametrize(
    ("value", "vote", "score"),
    [(5, 1, 1.0), ("4", 1, 0.75), (3.0, 0, 0.5), (Decimal("2"), -1, 0.25), (1, -1, 0.0), (None, None, None)],
)
def test_a_rating_is_a_vote_and_a_score(value: Any, vote: int | None, score: float | None) -> None:
    record = read(value)
    assert (record.votes, record.scores) == ((vote,), (score,))


@pytest.mark.parametrize(
    ("value", "reason"),
    [(0, "SignalOutOfRange"), ("5.01", "SignalOutOfRange"), ("five", "WrongType"), (True, "WrongType"),
     ([4], "WrongType"), (BLOB, "WrongType"), (math.nan, "NotFinite"), (b"\xff", "BrokenText")],
)  # fmt: skip
def test_a_rating_that_is_none_is_quarantined(value: Any, reason: str) -> None:
    assert read(value) == Quarantined(reason, "signal stars", "a")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("value", "number"),
    [(250, 250.0), ("-1.5e2", -150.0), (Decimal("0.25"), 0.25), ("1e-300", 0.0), (10**15, 1e15), (10**15 + 1, None),
     ("1" + "0" * 15 + ".00000000000000000000001", None), ("1e999", None), (math.nan, None), (math.inf, None),
     ("soon", None), (True, None), ({}, None), (BLOB, None), (b"\xff", None), ("", None), (None, None)],
)  # fmt: skip
def test_a_quality_that_cannot_be_read_is_missing_and_nothing_else(value: Any, number: float | None) -> None:
    record = read(4, value)
    assert (record.votes, (record.qualities or {}).get("ms")) == ((1,), number)


@settings(max_examples=60)
@given(st.one_of(st.none(), st.text(max_size=12), st.binary(max_size=8), st.floats(), st.integers(), st.decimals()))
def test_whatever_is_read_can_be_squared_and_added(value: Any) -> None:
    number = read_quality(value)
    assert number is None or (math.isfinite(number * number * 1e9) and (number == 0) == (number * number == 0))


@settings(max_examples=60)
@given(st.decimals(-(10**6), 10**6, places=4), st.decimals("0.0001", 10**6, places=4), st.floats(0, 1))
def test_scores_lie_between_0_and_1_and_meet_both_exactly(low: Decimal, width: Decimal, share: float) -> None:
    scale = Scale(low, low + width)
    assert scale.score(float(low)) == 0 and scale.score(float(low + width)) == 1
    inside = bounded(min(max(low + width * Decimal(share), low), low + width))
    assert inside is not None and 0 <= scale.score(inside) <= 1


@pytest.mark.parametrize("rating", [{"minimum": "5"}, {"maximum": "2e15"}, {"minimum": "5.000000000", "maximum": "5"}])
def test_a_scale_without_width_or_beyond_measure_is_refused(rating: dict[str, str]) -> None:
    with pytest.raises(SchemaMismatch, match=r"signals\[stars\].rating"):
        mapping(**rating)


def test_an_unknown_quality_is_named_with_the_nearest() -> None:
    with pytest.raises(SchemaMismatch, match='no quality "speed"; it has ms'):
        mapping().quality("speed")


@pytest.mark.parametrize(
    ("signal", "values", "polarity"),
    [
        ({"thumbs": {}}, {"Positive", "Negative", "Score"}, True),
        ({"rating": {"positiveFrom": "4", "negativeUpTo": "2"}}, {"Positive", "Negative", "Score"}, True),
        ({"rating": {"positiveFrom": "4"}}, {"Positive", "Score"}, False),
        ({"rating": {}}, {"Score"}, False),
        ({"label": {}}, set(), False),
        ({"correction": {}}, set(), False),
    ],
)
def test_what_may_be_asked_of_a_signal(signal: dict[str, Any], values: set[str], polarity: bool) -> None:
    assert values_of(signal) == values
    assert has_polarity(signal) is polarity
