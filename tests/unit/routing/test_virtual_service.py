"""VirtualService: hosts, paths, weights and headers as Istio reads them, and what is believed of one that is there."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from routing_contract import routing, seen, shift

from retrainer.routing.state import RouteState
from tests.unit.routing.memory_bench import MemoryBench

HEADER = "x-retrainer-variant"


def bench(unit: str = "Request", weight: int = 25, **more: Any) -> MemoryBench:
    made = MemoryBench({"virtualService": {"name": "tutor", "hosts": ["tutor.example.com"], **more}}, unit)
    shift(made, weight)
    return made


def spec(of: MemoryBench) -> dict[str, Any]:
    return of.objects[routing(of.experiment).refs[0]]["spec"]


def state(of: MemoryBench) -> RouteState:
    carriers = routing(of.experiment)
    return carriers.observe(seen(of, carriers))


def destination(name: str, variant: str, weight: int) -> dict[str, Any]:
    headers = {"set": {HEADER: variant}}
    return {
        "destination": {"host": name, "port": {"number": 8080}},
        "weight": weight,
        "headers": {"request": headers, "response": headers},
    }


def test_requests_are_divided_and_told_their_variant():
    assert spec(bench()) == {
        "hosts": ["tutor.example.com"],
        "http": [
            {
                "match": [{"uri": {"prefix": "/"}}],
                "route": [destination("tutor-r3", "baseline", 75), destination("tutor-r4", "candidate", 25)],
            }
        ],
    }


def test_users_are_sent_to_the_arm_that_the_application_names_before_anything_is_divided():
    baseline, candidate, divided = spec(bench("User"))["http"]
    assert baseline["match"] == [{"uri": {"prefix": "/"}, "headers": {HEADER: {"exact": "baseline"}}}]
    assert baseline["route"] == [destination("tutor-r3", "baseline", 100)]
    assert candidate["match"] == [{"uri": {"prefix": "/"}, "headers": {HEADER: {"exact": "candidate"}}}]
    assert candidate["route"] == [destination("tutor-r4", "candidate", 100)]
    assert [d["weight"] for d in divided["route"]] == [75, 25]


@pytest.mark.parametrize(("weight", "left"), [(0, "tutor-r3"), (100, "tutor-r4")])
@pytest.mark.parametrize("unit", ["Request", "User"])
def test_an_arm_without_weight_is_left_out_and_cannot_be_chosen(unit, weight, left):
    (only,) = spec(bench(unit, weight))["http"]
    assert [(d["destination"]["host"], d["weight"]) for d in only["route"]] == [(left, 100)]


@pytest.mark.parametrize(
    ("prefix", "uris"),
    [
        ("/", [{"prefix": "/"}]),
        ("/v1", [{"exact": "/v1"}, {"prefix": "/v1/"}]),
        ("/v1/", [{"exact": "/v1"}, {"prefix": "/v1/"}]),
    ],
)
@pytest.mark.parametrize("unit", ["Request", "User"])
def test_a_prefix_means_whole_segments_as_with_an_http_route(unit, prefix, uris):
    for route in spec(bench(unit, pathPrefix=prefix))["http"]:
        assert [match["uri"] for match in route["match"]] == uris


def test_gateways_are_named_where_the_spec_names_them_and_else_the_mesh_is_meant():
    assert "gateways" not in spec(bench())
    assert spec(bench(gateways=["istio-system/public", "mesh"]))["gateways"] == ["istio-system/public", "mesh"]


EDITS: dict[str, Any] = {
    "a weight": lambda s: s["http"][-1]["route"][0].update(weight=50),
    "a destination": lambda s: s["http"][-1]["route"][0]["destination"].update(host="x"),
    "a retry policy": lambda s: s["http"][-1].update(retries={"attempts": 3}),
    "a mirror": lambda s: s["http"][-1].update(mirror={"host": "x"}),
    "the rule by header removed": lambda s: s["http"].pop(0),
    "another host": lambda s: s["hosts"].append("other.example.com"),
    "gateways added": lambda s: s.update(gateways=["mesh"]),
    "a TCP route": lambda s: s.update(tcp=[{}]),
    "all routes removed": lambda s: s.update(http=[]),
    "the path": lambda s: s["http"][-1]["match"][0]["uri"].update(prefix="/other"),
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_an_edit_by_hand_is_not_believed_and_put_right(edit):
    made = bench("User")
    before = copy.deepcopy(spec(made))
    made.edit(routing(made.experiment).refs[0], lambda o: edit(o["spec"]))
    assert state(made).weights == {}
    assert "put right" in state(made).message
    shift(made, 25)
    assert spec(made) == before and state(made).carries(25)


def test_lost_labels_are_drift_too():
    made = bench()
    made.edit(routing(made.experiment).refs[0], lambda o: o["metadata"].update(labels={}))
    assert not state(made).carries(25)
    assert shift(made, 25)


OBJECTIONS: dict[str, Any] = {
    "a condition that does not hold": (
        {"conditions": [{"type": "Reconciled", "status": "False", "reason": "Rejected"}]},
        "Istio: Reconciled is False (Rejected)",
    ),
    "an error of its analysis": (
        {"validationMessages": [{"level": "ERROR", "type": {"code": "IST0101", "name": "ReferencedResourceNotFound"}}]},
        "Istio's analysis finds IST0101 in the VirtualService",
    ),
}


@pytest.mark.parametrize(("status", "words"), OBJECTIONS.values(), ids=OBJECTIONS)
def test_istios_objections_are_passed_on_where_it_writes_status(status, words):
    made = bench()
    made.edit(routing(made.experiment).refs[0], lambda o: o.update(status=status))
    assert state(made).refused and not state(made).carries(25)
    assert state(made).message == words


def test_a_warning_of_istio_or_a_condition_that_holds_is_no_objection():
    made = bench()
    status = {
        "conditions": [{"type": "Reconciled", "status": "True"}],
        "validationMessages": [{"level": "WARNING", "type": {"code": "IST0133"}}],
    }
    made.edit(routing(made.experiment).refs[0], lambda o: o.update(status=status))
    assert state(made).carries(25)
