"""The words that all providers share: shares, several objects as one, the choice by spec.traffic, settling times."""

from __future__ import annotations

import pytest
from routing_contract import TRAFFIC, routing, spec

from retrainer.api.v1alpha1.ab_experiment import ABExperimentSpec
from retrainer.plan import Ref
from retrainer.routing.carrier import NOTHING, Change
from retrainer.routing.provider import routing_of, settle_seconds
from retrainer.routing.state import RouteState, shares, together
from tests.unit.routing.memory_bench import MemoryBench


def test_shares_leave_out_an_arm_without_weight():
    assert shares(0) == {"baseline": 100}
    assert shares(25) == {"baseline": 75, "candidate": 25}
    assert shares(100) == {"candidate": 100}


@pytest.mark.parametrize("weight", [-1, 101])
@pytest.mark.parametrize("traffic", TRAFFIC)
def test_no_provider_takes_what_is_no_percentage(traffic, weight):
    bench = MemoryBench(TRAFFIC[traffic])
    carriers = routing(bench.experiment)
    with pytest.raises(ValueError, match="percentage"):
        carriers.change({ref: bench.read(ref) for ref in carriers.refs}, weight)


def test_a_weight_is_carried_only_if_it_is_accepted_and_resolved():
    for accepted, resolved in ((True, False), (False, True), (False, False)):
        assert not RouteState(shares(5), accepted, resolved).carries(5)
    assert RouteState(shares(5), True, True).carries(5)
    assert not RouteState({}, True, True).carries(0), "what is not known is not 0"


FINE = RouteState(shares(5), True, True, message="fine")
OTHER = RouteState(shares(10), True, True, message="ten")
WAITS = RouteState(shares(5), False, True, message="waits")
REFUSED = RouteState({}, False, False, True, message="no")


def test_several_objects_carry_what_they_agree_on():
    assert together((FINE, FINE)).carries(5)
    assert together((FINE, OTHER)).weights == {}
    assert "fine" in together((FINE, OTHER)).message and "ten" in together((FINE, OTHER)).message


def test_of_several_complaints_a_refusal_is_told_first():
    assert together((FINE, WAITS)).message == "waits"
    assert together((WAITS, REFUSED)).message == "no"
    assert together((WAITS, REFUSED)).refused and not together((FINE, WAITS)).refused


def test_nothing_at_all_carries_no_traffic():
    with pytest.raises(ValueError, match="nothing carries"):
        together(())


CHOICES = {
    "policyRef": ({"policyRef": {"name": "tutor"}}, ["HTTPRoute tutor"], ["HTTPRoute tutor", "ConfigMap x-assignment"]),
    "httpRoute": (TRAFFIC["httpRoute"], ["HTTPRoute tutor"], ["HTTPRoute tutor", "ConfigMap x-assignment"]),
    "virtualService": (
        TRAFFIC["virtualService"],
        ["VirtualService tutor"],
        ["VirtualService tutor", "ConfigMap x-assignment"],
    ),
    "inferenceService": (
        TRAFFIC["inferenceService"],
        ["InferenceService tutor"],
        ["InferenceService tutor", "ConfigMap x-assignment"],
    ),
    "configMap": (TRAFFIC["configMap"], ["ConfigMap tutor-weights"], ["ConfigMap tutor-weights"]),
}


@pytest.mark.parametrize(("traffic", "by_request", "by_user"), CHOICES.values(), ids=CHOICES)
def test_the_spec_chooses_what_is_read_and_written(traffic, by_request, by_user):
    for unit, expected in (("Request", by_request), ("User", by_user)):
        refs = routing(MemoryBench(traffic, unit).experiment).refs
        assert [f"{ref.kind} {ref.name}" for ref in refs] == expected
        assert {ref.namespace for ref in refs} == {"ml"}


def test_who_writes_what():
    def facts(traffic, unit="Request"):
        carriers = routing(MemoryBench(traffic, unit).experiment)
        return carriers.exclusive, carriers.standalone

    assert facts({"policyRef": {"name": "tutor"}}) == (True, False)
    assert facts({"policyRef": {"name": "tutor"}}, "User") == (True, True)
    assert facts(TRAFFIC["httpRoute"]) == (True, True)
    assert facts(TRAFFIC["inferenceService"]) == (False, True)


def test_the_arms_services_are_those_of_the_spec():
    services = routing(MemoryBench(TRAFFIC["configMap"]).experiment).services
    assert {arm: (s.name, s.port) for arm, s in services.items()} == {
        "baseline": ("tutor-r3", 8080),
        "candidate": ("tutor-r4", 8080),
    }


def test_traffic_that_names_nothing_is_an_error():
    experiment = MemoryBench(TRAFFIC["configMap"]).experiment
    model = ABExperimentSpec.model_validate(spec({}))
    with pytest.raises(ValueError, match=r"spec\.traffic"):
        routing_of(experiment, model, owner={}, labels={})


@pytest.mark.parametrize(
    ("traffic", "unit", "seconds"),
    [
        ({"policyRef": {"name": "x"}}, "Request", 1),
        (TRAFFIC["httpRoute"], "Request", 1),
        (TRAFFIC["virtualService"], "Request", 10),
        (TRAFFIC["inferenceService"], "Request", 60),
        (TRAFFIC["configMap"], "Request", 90),
        ({"policyRef": {"name": "x"}}, "User", 90),
        (TRAFFIC["virtualService"], "User", 90),
        (TRAFFIC["inferenceService"], "User", 90),
    ],
)
def test_traffic_settles_as_fast_as_whoever_divides_it(traffic, unit, seconds):
    model = ABExperimentSpec.model_validate(spec(traffic, unit))
    assert settle_seconds(model) == seconds
    own = ABExperimentSpec.model_validate(spec(traffic, unit, assignment={"unit": unit, "settleSeconds": 0}))
    assert settle_seconds(own) == 0


def test_changes_add_up_and_an_empty_one_is_false():
    one = Change(applies=({"kind": "A"},))
    other = Change(merges=((Ref("v1", "B", "ml", "b"), {}),))
    assert one + other == Change(one.applies, other.merges)
    assert one and other and not NOTHING and NOTHING + one == one
