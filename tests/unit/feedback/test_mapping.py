"""Columns and paths are found, or the nearest is named."""

import pytest

from retrainer.api.v1alpha1.feedback_source import FeedbackSourceSpec
from retrainer.feedback.errors import SchemaMismatch, nearest_name, unknown_column
from retrainer.feedback.mapping import resolve


def spec(vote="vote", **record):
    return FeedbackSourceSpec.model_validate(
        {
            "sqlite": {"path": "f.db", "table": "t"},
            "record": {"id": "id", "time": "at", **record},
            "signals": [{"name": "t", "from": vote, "thumbs": {"positive": ["1"], "negative": ["0"]}}],
        }
    )


def test_a_column_wins_over_a_path_and_the_longest_column_name_wins():
    mapping = resolve(spec("a.b.c"), ("id", "at", "a", "a.b"))
    assert (mapping.signals[0].path.column, mapping.signals[0].path.keys) == ("a.b", ("c",))
    mapping = resolve(spec("a.b.c"), ("id", "at", "a", "a.b.c"))
    assert mapping.signals[0].path.keys == ()


@pytest.mark.parametrize("path", ["a..b", "a.", ".a", "b.c"])
def test_paths_that_lead_nowhere_are_unknown_columns(path):
    with pytest.raises(SchemaMismatch):
        resolve(spec(path), ("id", "at", "a"))


def test_the_message_names_field_column_and_nearest():
    with pytest.raises(SchemaMismatch) as caught:
        resolve(spec(unit="user_idd"), ("id", "at", "vote", "user_id"))
    assert caught.value.message == 'record.unit: the source has no column "user_idd"; did you mean "user_id"?'


def test_without_anything_near_the_columns_are_listed():
    assert "it has a, b" in unknown_column("f", "zzzz", ("a", "b")).message
    assert "…" in unknown_column("f", "zzzz", [f"c{i}" for i in range(20)]).message
    assert "no columns" in unknown_column("f", "zzzz", ()).message


def test_near_means_near_whatever_the_case():
    assert nearest_name("Rating", ["rating", "id"]) == "rating"
    assert nearest_name("rating", ["xyz"]) is None


def test_columns_are_listed_once():
    mapping = resolve(spec("p.vote", unit="p.who", session="id"), ("id", "at", "p"))
    assert mapping.columns == ("id", "at", "p")


def test_the_first_signal_with_polarity_is_meant_where_none_is_named():
    mapping = resolve(spec(), ("id", "at", "vote"))
    assert mapping.signal(None) == mapping.signal("t") == 0
    with pytest.raises(SchemaMismatch, match='no signal "u"; it has t'):
        mapping.signal("u")


def test_a_vote_listed_twice_is_the_better_one():
    source = {
        "sqlite": {"path": "f.db", "table": "t"},
        "record": {"id": "id", "time": "at"},
        "signals": [
            {"name": "t", "from": "v", "thumbs": {"positive": ["1"], "neutral": ["0", "1"], "negative": ["0"]}}
        ],
    }
    mapping = resolve(FeedbackSourceSpec.model_validate(source), ("id", "at", "v"))
    assert dict(mapping.signals[0].votes) == {"0": -1, "1": 1}
