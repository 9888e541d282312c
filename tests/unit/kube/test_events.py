"""Events: what `kubectl describe` shows, once per transition."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, timedelta

import pytest
from unit.kube.kube_fakes import FakeClient

from retrainer.kube.errors import ApiError
from retrainer.kube.events import build_event, emit
from retrainer.plan import Event, Object

NOW = datetime(2026, 11, 21, 12, 0, 0, 500_000, tzinfo=UTC)
ABOUT: Object = {
    "apiVersion": "retrainer.dev/v1alpha1",
    "kind": "ABExperiment",
    "metadata": {"namespace": "team", "name": "tutor-4", "uid": "u1", "resourceVersion": "7"},
}
PROMOTED = Event("Promoted", "revision 4 is champion")


def name(event: Event = PROMOTED, about: Object = ABOUT, now: datetime = NOW) -> str:
    built: str = build_event(about, event, now)["metadata"]["name"]
    return built


def test_an_event_refers_to_its_object_completely() -> None:
    built = build_event(ABOUT, PROMOTED, NOW)
    assert built["involvedObject"] == {
        "apiVersion": "retrainer.dev/v1alpha1",
        "kind": "ABExperiment",
        "namespace": "team",
        "name": "tutor-4",
        "uid": "u1",
        "resourceVersion": "7",
    }
    assert built["metadata"]["namespace"] == "team"
    assert (built["type"], built["reason"], built["message"]) == ("Normal", "Promoted", "revision 4 is champion")
    assert built["firstTimestamp"] == built["lastTimestamp"] == "2026-11-21T12:00:00Z"


def test_a_pass_repeated_within_the_second_names_the_event_alike() -> None:
    assert name() == name(now=NOW + timedelta(milliseconds=400))


@pytest.mark.parametrize(
    ("sentence", "other"),
    [
        ("a second later", name(now=NOW + timedelta(seconds=1))),
        ("another reason", name(Event("Rejected", PROMOTED.message))),
        ("another message", name(Event("Promoted", "revision 5 is champion"))),
        ("a namesake", name(about={**ABOUT, "metadata": {**ABOUT["metadata"], "uid": "u2"}})),
    ],
)
def test_another_event_has_another_name(sentence: str, other: str) -> None:
    assert other != name()


def test_the_name_fits_where_the_object_has_the_longest_name() -> None:
    longest = {**ABOUT, "metadata": {**ABOUT["metadata"], "name": "a" * 63}}
    assert len(name(about=longest)) <= 253


def test_a_long_message_is_cut_to_what_the_api_server_takes() -> None:
    assert len(build_event(ABOUT, Event("Long", "m" * 5000, "Warning"), NOW)["message"]) == 1024


def test_an_event_that_exists_is_told_and_nothing_happens() -> None:
    client = FakeClient()

    async def twice() -> None:
        await emit(client, ABOUT, PROMOTED, NOW)
        await emit(client, ABOUT, PROMOTED, NOW)

    asyncio.run(twice())
    assert len([key for key in client.stored if key[1] == "Event"]) == 1


def test_an_event_that_is_refused_is_logged_and_nothing_is_raised(caplog: pytest.LogCaptureFixture) -> None:
    client = FakeClient()
    client.fail["create", "Event"] = ApiError(500, "InternalError", "etcd is slow")
    with caplog.at_level(logging.WARNING):
        asyncio.run(emit(client, ABOUT, PROMOTED, NOW))
    assert "event Promoted about tutor-4 not written" in caplog.text
