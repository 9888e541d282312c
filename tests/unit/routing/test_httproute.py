"""HTTPRoute: what is built for given weights, and what counts as drift."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from retrainer.api.v1alpha1.traffic import ParentRef
from retrainer.routing.httproute import Backend, build, services, up_to_date

PUBLIC = ParentRef(name="public")
EDGE = ParentRef(name="edge", namespace="gateways", section_name="https")


def arms(weight: int) -> tuple[Backend, Backend]:
    return (
        Backend("tutor-r3", 8080, 100 - weight, "baseline"),
        Backend("tutor-r4", 8080, weight, "candidate"),
    )


def route(weight: int = 10, parents: tuple[ParentRef, ...] = (PUBLIC,)) -> dict[str, Any]:
    built = build("tutor", "ml", parent_refs=parents, backends=arms(weight), hostnames=("tutor.example.com",))
    built["metadata"]["generation"] = 4
    return built


def accepted(name: str = "public", generation: int = 4, **overrides: str) -> dict[str, Any]:
    conditions = [
        {"type": t, "status": overrides.get(t, "True"), "reason": "Because", "observedGeneration": generation}
        for t in ("Accepted", "ResolvedRefs")
    ]
    return {"parentRef": {"name": name}, "controllerName": "example.com/gateway", "conditions": conditions}


def with_status(obj: dict[str, Any], *entries: dict[str, Any]) -> dict[str, Any]:
    return {**obj, "status": {"parents": list(entries)}}


# --- building ---------------------------------------------------------------------------------------------


def test_both_arms_are_weighted_backends_that_name_their_variant_to_server_and_client():
    refs = route(25)["spec"]["rules"][0]["backendRefs"]
    assert [(r["name"], r["port"], r["weight"]) for r in refs] == [("tutor-r3", 8080, 75), ("tutor-r4", 8080, 25)]
    header = {"set": [{"name": "x-retrainer-variant", "value": "candidate"}]}
    assert refs[1]["filters"] == [
        {"type": "RequestHeaderModifier", "requestHeaderModifier": header},
        {"type": "ResponseHeaderModifier", "responseHeaderModifier": header},
    ]


@pytest.mark.parametrize(("weight", "left"), [(0, "tutor-r3"), (100, "tutor-r4")])
def test_weight_zero_removes_the_backend(weight, left):
    refs = route(weight)["spec"]["rules"][0]["backendRefs"]
    assert [(r["name"], r["weight"]) for r in refs] == [(left, 100)]


def test_a_backend_outside_an_experiment_says_nothing_about_variants():
    built = build("tutor", "ml", parent_refs=(PUBLIC,), backends=(Backend("tutor-r3", 80, 100),))
    assert "filters" not in built["spec"]["rules"][0]["backendRefs"][0]


def test_parents_hosts_path_owner_and_labels_are_as_given():
    owner = {"kind": "ABExperiment", "uid": "u", "controller": True}
    built = build(
        "tutor", "ml", parent_refs=(PUBLIC, EDGE), backends=arms(10), path_prefix="/v1", owner=owner, labels={"a": "b"}
    )
    assert built["spec"]["parentRefs"] == [
        {"name": "public"},
        {"name": "edge", "namespace": "gateways", "sectionName": "https"},
    ]
    assert "hostnames" not in built["spec"]
    assert built["spec"]["rules"][0]["matches"] == [{"path": {"type": "PathPrefix", "value": "/v1"}}]
    assert built["metadata"]["ownerReferences"] == [owner]
    assert built["metadata"]["labels"] == {"a": "b"}
    assert (built["apiVersion"], built["kind"]) == ("gateway.networking.k8s.io/v1", "HTTPRoute")


@pytest.mark.parametrize("backends", [(), (Backend("a", 80, 0),), (Backend("a", 80, 120), Backend("b", 80, -20))])
def test_a_route_that_carries_nothing_is_refused(backends):
    with pytest.raises(ValueError, match="positive weight"):
        build("tutor", "ml", parent_refs=(PUBLIC,), backends=backends)


# --- drift ------------------------------------------------------------------------------------------------


def as_served(obj: dict[str, Any]) -> dict[str, Any]:
    """With what the API server defaults."""
    served = copy.deepcopy(obj)
    for ref in served["spec"]["parentRefs"]:
        ref.update(group="gateway.networking.k8s.io", kind="Gateway")
    for ref in served["spec"]["rules"][0]["backendRefs"]:
        ref.update(group="", kind="Service")
    return with_status(served, accepted())


def test_defaults_of_the_api_server_are_no_drift():
    assert up_to_date(as_served(route(10)), route(10))


def edits() -> dict[str, Any]:
    def rule(obj: dict[str, Any]) -> dict[str, Any]:
        return obj["spec"]["rules"][0]

    return {
        "a weight": lambda o: rule(o)["backendRefs"][0].update(weight=50),
        "a backend removed": lambda o: rule(o)["backendRefs"].pop(),
        "a backend added": lambda o: rule(o)["backendRefs"].append({"name": "x", "port": 1, "weight": 1}),
        "a rule added": lambda o: o["spec"]["rules"].append(copy.deepcopy(rule(o))),
        "a filter added": lambda o: rule(o).update(filters=[{"type": "RequestRedirect"}]),
        "the path": lambda o: rule(o)["matches"][0]["path"].update(value="/other"),
        "the hosts removed": lambda o: o["spec"].pop("hostnames"),
        "another gateway": lambda o: o["spec"]["parentRefs"][0].update(name="other"),
        "the variant header removed": lambda o: rule(o)["backendRefs"][0].pop("filters"),
        "everything removed": lambda o: o["spec"].update(rules=[]),
    }


@pytest.mark.parametrize("edit", edits().values(), ids=edits())
def test_an_edit_by_hand_is_drift(edit):
    served = as_served(route(10))
    edit(served)
    assert not up_to_date(served, route(10))


def test_a_route_that_lost_our_labels_is_drift_and_an_absent_one_too():
    desired = build("tutor", "ml", parent_refs=(PUBLIC,), backends=arms(10), labels={"a": "b"})
    served = as_served(desired)
    assert up_to_date(served, desired)
    served["metadata"]["labels"] = {}
    assert not up_to_date(served, desired)
    assert not up_to_date(None, desired)


def test_the_services_of_a_route_are_those_that_any_rule_sends_something_to():
    obj = route(10)
    obj["spec"]["rules"][0]["backendRefs"].append({"name": "idle", "port": 80, "weight": 0})
    obj["spec"]["rules"].append({"backendRefs": [{"name": "other", "port": 80}]})
    assert services(obj) == {"tutor-r3", "tutor-r4", "other"}
    assert services({"metadata": {}}) == frozenset()
