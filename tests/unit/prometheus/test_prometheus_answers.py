"""What a server may answer, and what is made of answers that nobody should give."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrainer.feedback.errors import SchemaMismatch, SourceError, TimedOut, Unauthorized, Unreachable
from retrainer.prometheus.answers import read_answer
from retrainer.prometheus.counters import Sample

SECRET = "s3cret-Marker-0451"
STRANGE = "not the query API"


def success(*result: Any, **more: Any) -> bytes:
    return json.dumps({"status": "success", "data": {"resultType": "matrix", "result": result}, **more}).encode()


def entry(*values: Any, **labels: Any) -> dict[str, Any]:
    return {"metric": labels, "values": values}


def test_a_matrix_is_read_with_its_labels_and_samples() -> None:
    (found,) = read_answer(200, success(entry([1.5, "7"], [2.5, "9"], __name__="x", revision="4")))
    assert found.labels == {"__name__": "x", "revision": "4"}
    assert found.samples == (Sample(1.5, 7.0), Sample(2.5, 9.0))


def test_a_vector_is_read_as_series_of_one_sample() -> None:
    (found,) = read_answer(200, success({"metric": {}, "value": [3, "1e3"]}))
    assert found.samples == (Sample(3.0, 1000.0),)


def test_no_series_is_an_answer_too() -> None:
    assert read_answer(200, success()) == []


def failure(kind: str) -> bytes:
    return json.dumps({"status": "error", "errorType": kind, "error": f"about {SECRET}"}).encode()


@pytest.mark.parametrize(
    ("sentence", "status", "body", "error", "words"),
    [
        ("nonsense", 200, b"<html>", Unreachable, STRANGE),
        ("nested beyond measure", 200, b"[" * 100_000, Unreachable, STRANGE),
        ("an empty body", 200, b"", Unreachable, STRANGE),
        ("a list", 200, b"[]", Unreachable, STRANGE),
        ("no data", 200, b'{"status": "success"}', Unreachable, STRANGE),
        ("an error with 200", 200, failure("bad_data"), Unreachable, STRANGE),
        ("a series that is none", 200, success(7), Unreachable, STRANGE),
        ("labels that are none", 200, success({"metric": {"a": 7}, "values": [[1, "1"]]}), Unreachable, STRANGE),
        ("no values", 200, success(entry(a="b")), Unreachable, STRANGE),
        ("a sample that is none", 200, success(entry([1, "x"])), Unreachable, STRANGE),
        ("a sample of three", 200, success(entry([1, "1", "1"])), Unreachable, STRANGE),
        ("samples out of order", 200, success(entry([2, "1"], [1, "1"])), Unreachable, STRANGE),
        ("a gauge below zero", 200, success(entry([1, "-1"])), SchemaMismatch, "no counter"),
        ("NaN", 200, success(entry([1, "NaN"])), SchemaMismatch, "no counter"),
        ("infinity", 200, success(entry([1, "+Inf"])), SchemaMismatch, "no counter"),
        ("histograms", 200, success({"metric": {}, "histograms": [[1, {}]]}), SchemaMismatch, "_count"),
        ("warnings", 200, success(warnings=[SECRET]), Unreachable, "incomplete"),
        ("a bad selector", 400, failure("bad_data"), SchemaMismatch, "cannot read the selector"),
        ("too slow", 503, failure("timeout"), TimedOut, "time limit"),
        ("too many samples", 422, failure("execution"), SchemaMismatch, "too many samples"),
        ("a wrong token", 401, SECRET.encode(), Unauthorized, "tokenSecretRef"),
        ("not allowed", 403, b"", Unauthorized, "HTTP 403"),
        ("elsewhere", 302, b"", Unreachable, "redirects"),
        ("another server", 404, b"", Unreachable, "without /api/v1"),
        ("broken", 500, SECRET.encode(), Unreachable, "HTTP 500"),
        ("busy", 429, b"", Unreachable, "asked again"),
    ],
)
def test_what_is_no_answer_is_told_in_our_words(
    sentence: str, status: int, body: bytes, error: type[SourceError], words: str
) -> None:
    with pytest.raises(error, match=words) as caught:
        read_answer(status, body)
    assert SECRET not in caught.value.message, sentence


def test_infos_are_no_warnings() -> None:
    assert read_answer(200, success(infos=["metric might not be a counter"])) == []


def test_more_series_than_a_selector_of_one_counter_has_are_refused() -> None:
    with pytest.raises(SchemaMismatch, match="5,000 series"):
        read_answer(200, success(*[entry([1, "1"])] * 5_001))


KEYS = ["status", "data", "result", "metric", "values", "value", "a"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=8,
)


@settings(max_examples=50)
@given(JSON, st.sampled_from([200, 400, 503]))
def test_no_document_whatever_makes_it_fail_otherwise(document: Any, status: int) -> None:
    wrapped = {"status": "success", "data": {"result": [document]}}
    for content in (document, wrapped):
        with suppress(SourceError):
            read_answer(status, json.dumps(content).encode())
