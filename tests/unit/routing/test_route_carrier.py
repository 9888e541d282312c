"""An experiment's HTTPRoute: rules by header for users, and what is believed of a route that is there."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from routing_contract import LABELS, routing, seen, shift, spec

from retrainer.api.v1alpha1.traffic import ParentRef
from retrainer.routing.state import RouteState
from tests.unit.routing.memory_bench import MemoryBench

HEADER = "x-retrainer-variant"
ROUTE = {"httpRoute": {"name": "tutor", "parentRefs": [{"name": "public"}], "pathPrefix": "/v1"}}


def bench(unit: str = "Request", weight: int = 25, **more: Any) -> MemoryBench:
    """An experiment whose route has been taken up at this weight."""
    made = MemoryBench(ROUTE, unit, **more)
    shift(made, 0)
    shift(made, weight)
    return made


def route(of: MemoryBench) -> dict[str, Any]:
    return of.objects[routing(of.experiment).refs[0]]


def state(of: MemoryBench) -> RouteState:
    carriers = routing(of.experiment)
    return carriers.observe(seen(of, carriers))


def forced(of: MemoryBench) -> dict[str, list[tuple[str, int]]]:
    """Services by the header's value."""
    found = {}
    for rule in route(of)["spec"]["rules"]:
        for match in rule["matches"]:
            for header in match.get("headers", ()):
                assert (header["type"], header["name"]) == ("Exact", HEADER)
                assert match["path"] == {"type": "PathPrefix", "value": "/v1"}
                found[header["value"]] = [(r["name"], r["weight"]) for r in rule["backendRefs"]]
    return found


def test_requests_cannot_choose_their_arm():
    assert forced(bench("Request")) == {}


def test_users_are_sent_to_the_arm_that_the_application_names():
    assert forced(bench("User")) == {"baseline": [("tutor-r3", 100)], "candidate": [("tutor-r4", 100)]}


@pytest.mark.parametrize("weight", [0, 100])
def test_nobody_can_choose_an_arm_without_weight(weight):
    made = bench("User", weight)
    assert forced(made) == {}
    (ref,) = route(made)["spec"]["rules"][0]["backendRefs"]
    assert ref["weight"] == 100


@pytest.mark.parametrize("unit", ["Request", "User"])
def test_servers_and_clients_are_told_the_true_variant_whatever_was_sent_along(unit):
    for rule in route(bench(unit))["spec"]["rules"]:
        for ref in rule["backendRefs"]:
            variant = {"tutor-r3": "baseline", "tutor-r4": "candidate"}[ref["name"]]
            header = {"set": [{"name": HEADER, "value": variant}]}
            assert [f.get("requestHeaderModifier") or f["responseHeaderModifier"] for f in ref["filters"]] == [
                header,
                header,
            ]


def test_no_rule_asks_for_session_persistence():
    for unit in ("Request", "User"):
        assert {key for rule in route(bench(unit))["spec"]["rules"] for key in rule} == {"matches", "backendRefs"}


def test_arms_that_differ_only_in_their_port_are_told_apart():
    arms = {
        "baseline": {"serviceRef": {"name": "tutor", "port": 8080}, "model": {"revision": 3}},
        "candidate": {"serviceRef": {"name": "tutor", "port": 8081}, "model": {"revision": 4}},
    }
    made = bench(**arms)
    assert state(made).weights == {"baseline": 75, "candidate": 25}


def edits() -> dict[str, Any]:
    def rules(o: dict[str, Any]) -> list[dict[str, Any]]:
        return o["spec"]["rules"]

    return {
        "the candidate's rule removed": lambda o: rules(o).pop(1),
        "both rules by header removed": lambda o: rules(o).__delitem__(slice(0, 2)),
        "the rule by header leads elsewhere": lambda o: rules(o)[1]["backendRefs"][0].update(name="tutor-r3"),
        "the rule by header is for another value": lambda o: rules(o)[1]["matches"][0]["headers"][0].update(value="x"),
        "a second undivided rule": lambda o: rules(o).append(copy.deepcopy(rules(o)[-1])),
        "a third Service": lambda o: rules(o)[-1]["backendRefs"].append({"name": "x", "port": 1, "weight": 25}),
        "another port": lambda o: rules(o)[-1]["backendRefs"][0].update(port=9),
        "shares that are no whole per cents": lambda o: rules(o)[-1]["backendRefs"][0].update(weight=2),
        "everything at weight 0": lambda o: [r.update(weight=0) for r in rules(o)[-1]["backendRefs"]],
        "no rule at all": lambda o: o["spec"].update(rules=[]),
    }


@pytest.mark.parametrize("edit", edits().values(), ids=edits())
def test_a_route_that_is_not_as_we_write_it_carries_nothing_that_could_be_counted(edit):
    made = bench("User")
    made.edit(routing(made.experiment).refs[0], edit)
    made.others()
    assert state(made).weights == {}
    assert shift(made, 25).applies
    assert state(made).carries(25)


def test_in_request_mode_a_rule_by_header_breaks_the_randomisation_and_nothing_is_believed():
    made = bench("Request")
    choice = {"matches": [{"headers": [{"name": HEADER, "value": "candidate"}]}], "backendRefs": []}
    made.edit(routing(made.experiment).refs[0], lambda o: o["spec"]["rules"].insert(0, choice))
    made.others()
    assert state(made).weights == {}
    shift(made, 25)
    assert state(made).carries(25)


def test_weights_of_another_scale_count_as_the_shares_they_amount_to():
    made = bench(weight=50)
    made.edit(
        routing(made.experiment).refs[0],
        lambda o: [ref.pop("weight") for ref in o["spec"]["rules"][0]["backendRefs"]],
    )
    made.others()
    assert state(made).carries(50)
    assert shift(made, 50), "and yet they are put right"


def test_defaults_of_the_api_server_are_no_drift():
    made = bench("User")
    served = route(made)
    for ref in served["spec"]["parentRefs"]:
        ref.update(group="gateway.networking.k8s.io", kind="Gateway")
    for rule in served["spec"]["rules"]:
        for ref in rule["backendRefs"]:
            ref.update(group="", kind="Service")
    assert not shift(made, 25)
    assert state(made).carries(25)


# --- a policy's route -------------------------------------------------------------------------------------


def policy_bench(unit: str) -> MemoryBench:
    """An experiment of a policy whose route carries 25 % for this experiment."""
    donor = bench(unit)
    made = MemoryBench({"policyRef": {"name": "tutor"}}, unit)
    policys = copy.deepcopy(route(donor))
    policys["metadata"]["ownerReferences"] = [{"uid": "policy", "controller": True}]
    made.create(policys)
    made.others()
    return made


@pytest.mark.parametrize("unit", ["Request", "User"])
def test_a_policys_route_is_read_and_never_written(unit):
    made = policy_bench(unit)
    carriers = routing(made.experiment, (ParentRef(name="public"),))
    found = seen(made, carriers)
    assert {o["kind"] for w in (0, 25, 50) for o in carriers.change(found, w).applies} <= {"ConfigMap"}
    assert carriers.foreign(found, "x-uid") is None, "it is the policy's, as it should be"
    assert carriers.carriers[0].observe(found[carriers.refs[0]]).carries(25)


def test_users_of_a_policys_experiment_are_counted_when_route_and_published_weight_agree():
    made = policy_bench("User")
    carriers = routing(made.experiment, (ParentRef(name="public"),))
    assert not carriers.observe(seen(made, carriers)).carries(25)
    for weight, agrees in ((10, False), (25, True)):
        made.carry_out(carriers.change(seen(made, carriers), weight))
        state = carriers.observe(seen(made, carriers))
        assert state.carries(25) is agrees
        assert not state.carries(10)
    assert [r.name for r in carriers.refs] == ["tutor", "x-assignment"]


def test_without_the_policys_gateways_nothing_is_believed():
    made = policy_bench("Request")
    carriers = routing(made.experiment)
    state = carriers.observe(seen(made, carriers))
    assert not state.carries(25) and "no gateway is named" in state.message


def test_the_words_of_the_gateway_are_passed_on():
    made = bench()
    refusal = {"type": "Accepted", "status": "False", "reason": "NotAllowedByListeners"}
    generation = route(made)["metadata"]["generation"]
    entry = {"parentRef": {"name": "public"}, "conditions": [{**refusal, "observedGeneration": generation}]}
    route(made)["status"] = {"parents": [entry]}
    said = state(made)
    assert said.refused and said.message == "gateway public: Accepted is False (NotAllowedByListeners)"


def test_children_bear_the_experiments_labels():
    assert LABELS.items() <= route(bench())["metadata"]["labels"].items()


def test_an_arm_without_a_service_is_an_error_of_the_spec_and_names_the_field():
    made = MemoryBench(ROUTE)
    made.experiment["spec"] = spec(ROUTE, candidate={"model": {"revision": 4}})
    with pytest.raises(ValueError, match=r"candidate\.serviceRef"):
        routing(made.experiment).change({}, 5)
