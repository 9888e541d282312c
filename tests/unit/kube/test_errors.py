"""Answers of the API server become exceptions that callers tell apart."""

from __future__ import annotations

import pytest

from retrainer.kube.errors import AlreadyExists, ApiError, Conflict, NameConflict, NotFound, Refused, error_from


@pytest.mark.parametrize(
    ("status", "reason", "kind"),
    [
        (404, "NotFound", NotFound),
        (409, "Conflict", Conflict),
        (409, "AlreadyExists", AlreadyExists),
        (409, "None", Conflict),
        (400, "BadRequest", Refused),
        (403, "Forbidden", Refused),
        (422, "Invalid", Refused),
        (401, "Unauthorized", ApiError),
        (429, "TooManyRequests", ApiError),
        (500, "InternalError", ApiError),
        (503, "ServiceUnavailable", ApiError),
        (0, "NoAnswer", ApiError),
    ],
)
def test_status_and_reason_choose_the_exception(status: int, reason: str, kind: type[ApiError]) -> None:
    error = error_from(status, reason, "text")
    assert type(error) is kind
    assert (error.status, error.reason, error.message) == (status, reason, "text")


def test_no_answer_that_heals_by_itself_is_a_refusal() -> None:
    assert not any(isinstance(error_from(status, "", ""), Refused) for status in (0, 401, 404, 409, 429, 500, 503))


def test_a_long_text_is_cut_but_the_whole_message_is_kept() -> None:
    error = error_from(422, "Invalid", "m" * 2000)
    assert len(str(error)) == 500
    assert len(error.message) == 2000


def test_a_name_conflict_names_the_object_and_the_remedy() -> None:
    assert str(NameConflict("HTTPRoute", "tutor")) == (
        "HTTPRoute tutor exists and does not belong to this object; rename or delete it, or rename this object"
    )
