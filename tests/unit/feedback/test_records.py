"""Reading one row: fallbacks of unit and identity, order of checks, answers, and that nothing makes it fail."""

from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrainer.api.v1alpha1.feedback_source import FeedbackSourceSpec
from retrainer.feedback.mapping import resolve
from retrainer.feedback.quality import BLOB
from retrainer.feedback.records import Quarantined, Record, RowReader, answer, descend, identity_key, unit_key

COLUMNS = ("id", "at", "who", "visit", "asked", "said", "vote", "fix", "guess", "truth", "x")
SPEC = FeedbackSourceSpec.model_validate(
    {
        "sqlite": {"path": "f.db", "table": "t"},
        "record": {
            "id": "id", "time": "at", "unit": "who", "session": "visit", "input": "asked", "output": "said",
            "correction": "fix", "prediction": "guess", "features": {"from": "x"},
            "labels": [{"name": "digit", "from": "truth"}],
        },
        "signals": [
            {"name": "t", "from": "vote", "thumbs": {"positive": ["1"], "neutral": ["0"], "negative": ["-1"]}},
            {"name": "l", "label": {}},
            {"name": "c", "correction": {}},
        ],
    }
)  # fmt: skip
GOOD = {"id": "a", "at": "2026-01-01", "who": "ann", "visit": "v", "asked": "q", "said": "r", "vote": 1, "fix": None,
        "guess": None, "truth": None, "x": [1, 2]}  # fmt: skip
NOW = 1_790_000_000_000_000


def read(**changes):
    reader = RowReader(resolve(SPEC, COLUMNS), now=NOW, expected_features=2)
    row = {**GOOD, **changes}
    return reader.read([row[c] for c in reader.columns])


def test_a_good_row():
    record = read()
    assert isinstance(record, Record)
    assert (record.unit, record.votes, record.features) == ("ann", (1, None, None), {"f0": 1, "f1": 2})


@pytest.mark.parametrize(
    ("changes", "unit"),
    [({}, "ann"), ({"who": None}, "session:v"), ({"who": "", "visit": ""}, "input:7694f4a66316e53c8cdd9d9954bd611d"),
     ({"who": None, "visit": None, "asked": None}, "record:a")],
)  # fmt: skip
def test_who_stands_in_for_a_missing_unit(changes, unit):
    assert read(**changes).unit == unit


def test_a_later_vote_on_the_same_answer_has_the_same_identity():
    assert read(id="a").identity == read(id="b").identity
    assert read(said="x").identity != read(said="y").identity
    assert read(said=None).identity != read(said="y").identity


def test_without_input_every_record_is_its_own():
    assert read(id="a", asked=None).identity != read(id="b", asked=None).identity


def test_a_record_cannot_be_mistaken_for_an_answer():
    assert identity_key(None, None, "x") not in {identity_key("x", None, "x"), identity_key("record:x", None, "y")}
    assert unit_key(None, "s", None, "x") != unit_key(None, None, "s", "x")


ORDER = [
    ({"id": ""}, "id"),
    ({"at": "never"}, "time"),
    ({"who": BLOB}, "unit"),
    ({"visit": BLOB}, "session"),
    ({"asked": BLOB}, "input"),
    ({"said": "\0"}, "output"),
    ({"vote": 9}, "signal t"),
    ({"guess": [1]}, "prediction"),
    ({"fix": BLOB}, "correction"),
    ({"truth": {}}, "label digit"),
    ({"x": [1]}, "features"),
]


@pytest.mark.parametrize(("first", "second"), list(pairwise(ORDER)))
def test_the_first_bad_field_in_the_documented_order_is_the_reason(first, second):
    found = read(**{**second[0], **first[0]})
    assert isinstance(found, Quarantined)
    assert found.field == first[1]


def test_a_quarantined_row_is_named_where_its_id_can_be_read():
    assert read(vote=9).id == "a"
    assert read(id=BLOB).id is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [(None, None), ("", None), ("7", "7"), (7, 7), (7.5, 7.5), (Decimal(7), Decimal(7)), ('{"a": 1}', {"a": 1}),
     ({"a": 1}, {"a": 1}), ({}, None), (" {} ", None), ("{a", "{a"), ("[1]", "[1]"), (b'{"a": "b"}', {"a": "b"})],
)  # fmt: skip
def test_answers_are_values_or_objects(value, expected):
    assert answer(value) == expected


def test_presence_of_labels_and_corrections_is_a_vote_without_polarity():
    assert read(truth="7", fix="8").votes == (1, 2, 2)
    assert read(truth=0).votes == (1, 2, None)
    assert read(truth="", fix="{}").votes == (1, None, None)


def test_paths_lead_into_objects_and_lists():
    assert descend({"a": [{"b": 1}]}, ("a", "0", "b")) == 1
    assert descend({"a": [1]}, ("a", "5")) is None
    assert descend({"a": 1}, ("a", "b")) is None
    assert descend([1], ("x",)) is None


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20), st.binary(max_size=20),
    st.just(BLOB), st.decimals(), st.datetimes(), st.dates(),
    st.recursive(st.none() | st.integers() | st.text(max_size=5),
                 lambda x: st.lists(x, max_size=3) | st.dictionaries(st.text(max_size=3), x, max_size=3), max_leaves=5),
)  # fmt: skip


@settings(max_examples=120)
@given(st.fixed_dictionaries(dict.fromkeys(COLUMNS, VALUES)))
def test_no_row_makes_the_reader_fail(row):
    found = read(**row)
    assert isinstance(found, Record | Quarantined)
    if isinstance(found, Record):
        assert found.id and found.unit and found.identity
