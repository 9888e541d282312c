"""A person's request is executed at most once, and never replayed from Git."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrainer.requests import Request, acknowledgement, parse_request, pending_request, refused_request

ACTIONS = ("run", "rollback")


def obj(annotation=None, **status):
    annotations = {"retrainer.dev/request": annotation} if annotation is not None else {}
    return {"metadata": {"annotations": annotations}, "status": status}


@pytest.mark.parametrize(
    ("sentence", "annotation", "status", "expected"),
    [
        ("no annotation", None, {"observedGeneration": 1}, None),
        ("new", "run/a", {"observedGeneration": 1}, Request("run", None, "a")),
        ("with argument", "rollback:3/2026-11-21a", {"observedGeneration": 1}, Request("rollback", "3", "2026-11-21a")),
        ("there at creation", "run/a", {}, None),
        ("acknowledged", "run/a", {"observedGeneration": 1, "lastHandledRequest": "run/a"}, None),
        ("next id", "run/b", {"observedGeneration": 1, "lastHandledRequest": "run/a"}, Request("run", None, "b")),
        ("id used for another action", "rollback:1/a", {"observedGeneration": 1, "lastHandledRequest": "run/a"}, None),
        ("unknown action", "explode/a", {"observedGeneration": 1}, None),
        ("malformed", "run", {"observedGeneration": 1}, None),
        ("empty", "", {"observedGeneration": 1}, None),
    ],
)
def test_pending_request(sentence, annotation, status, expected):
    assert pending_request(obj(annotation, **status), ACTIONS) == expected, sentence


@pytest.mark.parametrize("text", ["run", "explode/a", "run/", "Run/a", "run/a b", "x" * 400])
def test_a_new_request_that_is_not_understood_is_explained_once(text):
    first = obj(text, observedGeneration=1)
    assert "run" in (refused_request(first, ACTIONS) or "") and "rollback" in (refused_request(first, ACTIONS) or "")
    told = obj(text, observedGeneration=1, lastHandledRequest=acknowledgement(first))
    assert refused_request(told, ACTIONS) is None


def test_an_understood_or_absent_request_is_not_refused():
    assert refused_request(obj("run/a", observedGeneration=1), ACTIONS) is None
    assert refused_request(obj(None, observedGeneration=1), ACTIONS) is None
    assert refused_request(obj("nonsense"), ACTIONS) is None, "there at creation"


def test_acknowledgement_survives_the_removal_of_the_annotation():
    assert acknowledgement(obj(None, lastHandledRequest="run/a")) == "run/a"
    assert acknowledgement(obj(None)) is None
    assert acknowledgement({}) is None


@given(st.text(max_size=300))
def test_whatever_is_acknowledged_is_never_pending_again(text):
    first = obj(text, observedGeneration=1)
    after = obj(text, observedGeneration=1, lastHandledRequest=acknowledgement(first))
    assert pending_request(after, ACTIONS) is None
    assert refused_request(after, ACTIONS) is None


@pytest.mark.parametrize("text", ["run:/a", "run:a/b/c", "run:\n/a", "run/a\n", "-/a"])
def test_texts_without_the_form_do_not_parse(text):
    assert parse_request(text) is None
