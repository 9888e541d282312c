"""HTTPRoute: what is built for given weights, and what is believed of a route that is there."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from retrainer.api.v1alpha1.traffic import ParentRef
from retrainer.routing.httproute import ABSENT, Backend, build, observe, up_to_date

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


# --- observing --------------------------------------------------------------------------------------------


def test_an_accepted_route_carries_its_weights():
    state = observe(with_status(route(10), accepted()), (PUBLIC,))
    assert state.weights == {"tutor-r3": 90, "tutor-r4": 10}
    assert state.carries({"tutor-r3": 90, "tutor-r4": 10})
    assert not state.carries({"tutor-r3": 75, "tutor-r4": 25})
    assert "90 % tutor-r3" in state.message


def test_weight_zero_and_an_absent_backend_are_the_same():
    state = observe(with_status(route(0), accepted()), (PUBLIC,))
    assert state.carries({"tutor-r3": 100, "tutor-r4": 0})


def test_a_route_that_does_not_exist_carries_nothing():
    assert observe(None, (PUBLIC,)) == ABSENT
    assert not ABSENT.carries({})


def test_a_route_without_named_gateways_carries_nothing():
    state = observe(with_status(route(10), accepted()), ())
    assert not state.carries({"tutor-r3": 90, "tutor-r4": 10}) and "no gateway" in state.message


DISBELIEVED = {
    "nobody has looked": ((), False, "has not looked at the route yet"),
    "another gateway accepted it": ((accepted("other"),), False, "has not looked at the route yet"),
    "an older generation was accepted": ((accepted(generation=3),), False, "last change"),
    "it is not accepted": ((accepted(Accepted="False"),), True, "Accepted is False (Because)"),
    "a backend is not resolved": ((accepted(ResolvedRefs="False"),), True, "ResolvedRefs is False (Because)"),
    "it is not known": ((accepted(Accepted="Unknown"),), False, "Accepted is Unknown"),
    "one of two controllers refuses": ((accepted(), accepted(Accepted="False")), True, "Accepted is False"),
    "one of two controllers is behind": ((accepted(), accepted(generation=3)), False, "last change"),
    "a condition is not stated": (({**accepted(), "conditions": []},), False, "does not say Accepted yet"),
}


@pytest.mark.parametrize(("entries", "refused", "words"), DISBELIEVED.values(), ids=DISBELIEVED)
def test_weights_are_not_believed_when(entries, refused, words):
    state = observe(with_status(route(10), *entries), (PUBLIC,))
    assert not state.carries({"tutor-r3": 90, "tutor-r4": 10})
    assert state.refused is refused
    assert words in state.message


def test_every_one_of_our_gateways_must_accept():
    obj = route(10, (PUBLIC, EDGE))
    edge = {**accepted(), "parentRef": {"name": "edge", "namespace": "gateways", "sectionName": "https"}}
    assert not observe(with_status(obj, accepted()), (PUBLIC, EDGE)).accepted
    assert observe(with_status(obj, accepted(), edge), (PUBLIC, EDGE)).accepted


def test_an_entry_for_another_listener_or_namespace_is_not_ours():
    for parent in ({"name": "edge"}, {"name": "edge", "namespace": "gateways", "sectionName": "http"}):
        entry = {**accepted(), "parentRef": parent}
        assert not observe(with_status(route(10), entry), (EDGE,)).accepted


def test_a_parent_with_its_defaults_written_out_is_the_same_parent():
    parent = {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "public", "namespace": "ml"}
    assert observe(with_status(route(10), {**accepted(), "parentRef": parent}), (PUBLIC,)).accepted


def test_weights_of_another_scale_count_as_the_shares_they_amount_to():
    obj = with_status(route(50), accepted())
    for ref in obj["spec"]["rules"][0]["backendRefs"]:
        del ref["weight"]
    assert observe(obj, (PUBLIC,)).weights == {"tutor-r3": 50, "tutor-r4": 50}


def test_rules_that_disagree_carry_nothing_that_could_be_counted():
    obj = with_status(route(10), accepted())
    other = copy.deepcopy(obj["spec"]["rules"][0])
    other["backendRefs"][0]["weight"] = 10
    obj["spec"]["rules"].append(other)
    assert observe(obj, (PUBLIC,)).weights == {}


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
