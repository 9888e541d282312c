"""A person's request is executed at most once, and never replayed from Git."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrainer.api.v1alpha1.kind import REQUEST_ANNOTATION
from retrainer.requests import (
    REMEMBERED,
    Request,
    acknowledgement,
    parse_request,
    pending_request,
    refused_request,
    with_history,
)

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


class TestHistory:
    def test_an_earlier_request_that_git_restores_is_not_executed_again(self):
        first = with_history({}, {"observedGeneration": 1, "lastHandledRequest": "run/a"})
        second = with_history(first, {**first, "lastHandledRequest": "run/b"})
        assert second["handledRequests"] == ["a"]
        restored = {"metadata": {"annotations": {REQUEST_ANNOTATION: "run/a"}}, "status": second}
        assert pending_request(restored, ACTIONS) is None
        third = with_history(second, {**second, "lastHandledRequest": acknowledgement(restored)})
        assert third["handledRequests"] == ["a", "b"]
        asked_anew = {"metadata": {"annotations": {REQUEST_ANNOTATION: "run/c"}}, "status": third}
        assert pending_request(asked_anew, ACTIONS) is not None

    def test_nothing_is_remembered_where_nothing_changed(self):
        status = {"lastHandledRequest": "run/a"}
        assert with_history(status, dict(status)) == status
        assert with_history(None, {"lastHandledRequest": "run/a"}) == {"lastHandledRequest": "run/a"}

    def test_only_so_many_are_remembered(self):
        status = {"lastHandledRequest": "run/0"}
        for number in range(1, 40):
            status = with_history(status, {**status, "lastHandledRequest": f"run/{number}"})
        assert status["handledRequests"] == [str(n) for n in range(39 - REMEMBERED, 39)]
