"""From records to rows: which truth counts, where it comes from, and what is dropped for which reason."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrainer.api.v1alpha1.training_parts import Target
from tests.unit.trainer.trainer_world import DIGIT, TWO_FEATURES, record
from trainer.rows import Drop, FeatureSpec, Origin, Unusable, content_digest, number_text, row_digest, to_row

PRICE = Target(name="price", type="Regression")


@pytest.mark.parametrize(
    ("sentence", "changes", "truth", "origin"),
    [
        ("a label is independent", {"labels": {"digit": "3"}}, "3", Origin.LABEL),
        ("a number is the class of its text", {"labels": {"digit": 3.0}}, "3", Origin.LABEL),
        (
            "a label counts before a correction",
            {"labels": {"digit": "3"}, "corrections": {"digit": "4"}},
            "3",
            Origin.LABEL,
        ),
        (
            "a correction counts before an approved prediction",
            {"labels": {}, "corrections": {"digit": "4"}, "predictions": {"digit": "5"}, "approved": True},
            "4",
            Origin.CORRECTION,
        ),
        (
            "approval makes the prediction a self-made label",
            {"labels": {}, "predictions": {"digit": "5"}, "approved": True},
            "5",
            Origin.SELF_LABELLED,
        ),
    ],
)
def test_the_truth_of_a_row(sentence: str, changes: dict[str, Any], truth: str, origin: Origin) -> None:
    row = to_row(record(1, **changes), [DIGIT], TWO_FEATURES)
    assert (row.truths, row.origins) == ((truth,), (origin,)), sentence


@pytest.mark.parametrize(
    ("sentence", "changes", "reason"),
    [
        ("disapproval alone says nothing", {"labels": {}, "predictions": {"digit": "5"}}, Drop.NO_LABEL),
        ("approval of nothing says nothing", {"labels": {}, "approved": True}, Drop.NO_LABEL),
        ("a label of another target does not count", {"labels": {"other": "5"}}, Drop.NO_LABEL),
        ("no features", {"features": None}, Drop.MISSING_FEATURES),
        ("a feature without value", {"features": {"a": None, "b": 1.0}}, Drop.MISSING_FEATURES),
        ("one feature too few", {"features": {"a": 1.0}}, Drop.WRONG_FEATURES),
        ("one feature too many", {"features": {"a": 1.0, "b": 1.0, "c": 1.0}}, Drop.WRONG_FEATURES),
        ("another feature", {"features": {"a": 1.0, "c": 1.0}}, Drop.WRONG_FEATURES),
        ("text where a number belongs", {"features": {"a": "x", "b": 1.0}}, Drop.WRONG_FEATURES),
        ("infinity", {"features": {"a": math.inf, "b": 1.0}}, Drop.WRONG_FEATURES),
    ],
)
def test_a_record_that_cannot_be_used_has_one_reason(sentence: str, changes: dict[str, Any], reason: Drop) -> None:
    with pytest.raises(Unusable) as caught:
        to_row(record(1, **changes), [DIGIT], TWO_FEATURES)
    assert caught.value.reason is reason, sentence


def test_a_regression_target_wants_a_finite_number() -> None:
    row = to_row(record(1, labels={"price": "2.5"}), [PRICE], TWO_FEATURES)
    assert row.truths == (2.5,)
    for wrong in ("dear", "nan", math.inf):
        with pytest.raises(Unusable) as caught:
            to_row(record(1, labels={"price": wrong}), [PRICE], TWO_FEATURES)
        assert caught.value.reason is Drop.INVALID_LABEL


def test_one_known_target_of_several_is_enough() -> None:
    row = to_row(record(1, labels={"price": 2.0}), [DIGIT, PRICE], TWO_FEATURES)
    assert row.truths == (None, 2.0)
    assert row.origins == (None, Origin.LABEL)


def test_an_undeclared_category_is_dropped_and_a_learnt_list_takes_all() -> None:
    declared = (FeatureSpec("a", ("red", "blue")), FeatureSpec("b"))
    row = to_row(record(1, features={"a": "red", "b": 1.0}), [DIGIT], declared)
    assert row.features == ("red", 1.0)
    with pytest.raises(Unusable) as caught:
        to_row(record(1, features={"a": "green", "b": 1.0}), [DIGIT], declared)
    assert caught.value.reason is Drop.UNKNOWN_CATEGORY
    learnt = (FeatureSpec("a", ()), FeatureSpec("b"))
    assert to_row(record(1, features={"a": 7, "b": 1.0}), [DIGIT], learnt).features == ("7", 1.0)


def test_an_unreadable_prediction_is_no_prediction() -> None:
    row = to_row(record(1, labels={"price": 2.0}, predictions={"price": "dear"}), [PRICE], TWO_FEATURES)
    assert row.predictions == (None,)


@given(st.integers(-(10**12), 10**12))
def test_a_whole_number_has_one_name_whatever_its_type(number: int) -> None:
    assert number_text(float(number)) == number_text(number) == str(number)


@pytest.mark.parametrize(
    "changes",
    [
        {"id": "other"},
        {"unit": "other"},
        {"time": 1},
        {"segment": "s"},
        {"model": None},
        {"features": {"a": 1.0, "b": 1.5}},
        {"labels": {"digit": "7"}},
        {"labels": {}, "corrections": {"digit": "yes"}},
    ],
)
def test_every_field_of_a_row_is_in_its_digest(changes: dict[str, Any]) -> None:
    def of(**more: Any) -> bytes:
        return content_digest(to_row(record(1, **more), [DIGIT], TWO_FEATURES))

    assert of() != of(**changes)
    assert of() == of()


def test_fields_cannot_flow_into_each_other() -> None:
    one = to_row(record(1, source="ab", id="c"), [DIGIT], TWO_FEATURES)
    other = to_row(record(1, source="a", id="bc"), [DIGIT], TWO_FEATURES)
    assert content_digest(one) != content_digest(other)


def test_the_side_is_part_of_a_rows_digest() -> None:
    content = content_digest(to_row(record(1), [DIGIT], TWO_FEATURES))
    assert row_digest(content, "train") != row_digest(content, "evaluation")
