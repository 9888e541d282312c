"""Reading the cluster: shares on the route, conditions, events."""

import asyncio
from typing import Any

import pytest
from unit.demo.demo_sights import conditions, listed, obj, route, sight

from demo.kube import ApiError
from demo.sight import KINDS, condition, holds, look, route_shares


@pytest.mark.parametrize(
    ("weights", "shares"),
    [
        ({"r1": 100}, {1: 100}),
        ({"r1": 90, "r2": 10}, {1: 90, 2: 10}),
        ({"r1": 0, "r2": 100}, {2: 100}),
        ({"r1": 1, "r2": 1}, {1: 50, 2: 50}),
        ({}, {}),
    ],
)
def test_shares_are_per_cent_by_revision(weights: dict[str, int], shares: dict[int, int]) -> None:
    assert route_shares(route(**weights)) == shares


def test_no_route_carries_nothing() -> None:
    assert route_shares(None) == {}
    assert sight().shares == {}


def test_a_rule_for_one_header_is_not_where_the_traffic_goes() -> None:
    both = route(r1=60, r2=40)
    one = {"matches": [{"headers": [{"name": "x", "value": "y"}]}], "backendRefs": [{"name": "digits-r2", "weight": 1}]}
    both["spec"]["rules"].insert(0, one)
    assert route_shares(both) == {1: 60, 2: 40}


def test_objects_come_in_the_order_of_their_creation() -> None:
    look = sight(runs=[obj("b", born=2), obj("a", born=3), obj("c", born=1)])
    assert [o["metadata"]["name"] for o in look.all("TrainingRun")] == ["c", "b", "a"]
    assert look.get("TrainingRun", "b") is not None
    assert look.get("TrainingRun", "d") is None


def test_what_is_not_there_yet_is_empty() -> None:
    assert sight().policy == {}
    assert sight().experiment == {}
    assert condition({}, "Ready") == {}


@pytest.mark.parametrize(("generation", "expected"), [(1, True), (2, False)])
def test_a_condition_holds_for_the_generation_it_was_decided_on(generation: int, expected: bool) -> None:
    source = obj("digits", status={"observedGeneration": 1, "conditions": conditions(Ready="True/Synced")})
    source["metadata"]["generation"] = generation
    assert holds(source, "Ready") is expected


class FakeApi:
    """Knows tables and lists by path; everything else is not found."""

    def __init__(self, answers: dict[str, Any]) -> None:
        self._answers = answers

    async def get(self, path: str, **_: str) -> Any:
        answer = next((a for end, a in self._answers.items() if path.endswith(end)), None)
        if answer is None:
            raise ApiError(404, "not found")
        if isinstance(answer, ApiError):
            raise answer
        return answer

    table = get


def _event(uid: str, kind: str, at: str, version: int, reason: str = "Synced") -> dict[str, Any]:
    return {
        "metadata": {"uid": uid, "resourceVersion": str(version)},
        "involvedObject": {"kind": kind, "name": "digits"},
        "firstTimestamp": at,
        "reason": reason,
        "type": "Warning" if reason == "Failed" else "Normal",
    }


def test_a_look_brings_everything_together() -> None:
    events = [
        _event("e3", "RetrainPolicy", "2026-03-05T12:00:02Z", 9, "Failed"),
        _event("e2", "FeedbackSource", "2026-03-05T12:00:01Z", 8),
        _event("e1", "FeedbackSource", "2026-03-05T12:00:01Z", 7),
        _event("e0", "Pod", "2026-03-05T12:00:00Z", 1),
    ]
    api = FakeApi(
        {
            "/retrainpolicies": listed(obj("digits")),
            "/deployments": {"items": [{"metadata": {"name": "digits-r1"}}]},
            "/httproutes/digits": route(r1=100),
            "/events": {"items": events},
        }
    )
    seen = asyncio.run(look(api))  # type: ignore[arg-type]
    assert set(seen.tables) == {"RetrainPolicy"}
    assert (seen.deployments, seen.shares) == (("digits-r1",), {1: 100})
    assert [e.uid for e in seen.events] == ["e1", "e2", "e3"]
    assert [e.warning for e in seen.events] == [False, False, True]


def test_kinds_that_the_server_does_not_know_yet_are_left_out() -> None:
    seen = asyncio.run(look(FakeApi({})))  # type: ignore[arg-type]
    assert not seen.tables
    assert all(seen.all(kind) == [] for kind in KINDS)


def test_an_error_other_than_not_found_is_an_error() -> None:
    with pytest.raises(ApiError, match="forbidden"):
        asyncio.run(look(FakeApi({"/events": ApiError(403, "forbidden")})))  # type: ignore[arg-type]
