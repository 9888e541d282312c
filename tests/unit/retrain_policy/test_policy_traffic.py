"""How a policy's route follows its experiment: canaries, users by header, suspension, and rivals for one host."""

from __future__ import annotations

import asyncio
import copy
from dataclasses import replace
from typing import Any

import pytest

from retrainer.kube.cache import Cache
from retrainer.kube.resources import RETRAIN_POLICY
from retrainer.retrain_policy.decide import decide
from retrainer.retrain_policy.input import Rival
from retrainer.retrain_policy.observe import PolicyObserver
from retrainer.retrain_policy.rivals import claims_the_same
from tests.unit.retrain_policy.policy_world import World, policy

HEADER = "x-retrainer-variant"


def promotion(method: str = "ABTest", **settings: Any) -> dict[str, Any]:
    experiment = {**policy()["spec"]["promotion"]["experiment"], **settings}
    return {"method": method, "experiment": experiment}


def guardrail() -> dict[str, Any]:
    primary = policy()["spec"]["promotion"]["experiment"]["metrics"][0]
    return {**primary, "role": "Guardrail", "margin": "0.02"}


def in_experiment(**changes: Any) -> World:
    """Revision 2 is compared with revision 1 and has 10 per cent."""
    world = World(policy(**changes))
    world.count = 200
    world.until(lambda w: w.get("HTTPRoute", "tutor") and share(w) == {"tutor-r1": 90, "tutor-r2": 10})
    world.count = 0
    return world


def rules(world: World) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = world.need("HTTPRoute", "tutor")["spec"]["rules"]
    return found


def share(world: World) -> dict[str, int]:
    """Weight by Service of requests that name no variant."""
    return {b["name"]: b["weight"] for b in rules(world)[-1]["backendRefs"]}


def chosen(world: World) -> dict[str, str]:
    """Service by the variant that a request names."""
    found = {}
    for rule in rules(world):
        for match in rule["matches"]:
            for header in match.get("headers", ()):
                assert (header["type"], header["name"]) == ("Exact", HEADER)
                (backend,) = rule["backendRefs"]
                found[header["value"]] = backend["name"]
    return found


def gives(world: World, weight: int) -> None:
    """The experiment announces a weight."""
    world.need("ABExperiment", "tutor-2")["status"]["weightPercent"] = weight


# --- canaries and users -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "metrics"), [("ABTest", None), ("Canary", [guardrail()])])
def test_the_method_becomes_the_mode_of_the_experiment(method: str, metrics: Any) -> None:
    settings = {"metrics": metrics} if metrics else {}
    world = in_experiment(promotion=promotion(method, **settings))
    assert world.need("ABExperiment", "tutor-2")["spec"]["mode"] == method


def test_a_canary_that_passes_is_promoted() -> None:
    world = in_experiment(promotion=promotion("Canary", metrics=[guardrail()]))
    world.decide_experiment("tutor-2", "PromoteCandidate", "CanaryPassed")
    world.play(3)
    assert world.status["champion"]["revision"] == 2
    assert share(world) == {"tutor-r2": 100}


def test_the_first_revision_of_a_policy_with_canaries_goes_live_at_once() -> None:
    world = World(policy(model={"name": "tutor"}, promotion=promotion("Canary", metrics=[guardrail()])))
    world.count = 200
    world.until(lambda w: "champion" in w.status)
    assert world.names("ABExperiment") == set()


@pytest.mark.parametrize("assignment", [{"unit": "User"}, {"unit": "User", "salt": "spring", "settleSeconds": 5}])
def test_what_is_randomised_is_handed_on_and_a_salt_is_not_invented(assignment: dict[str, Any]) -> None:
    world = in_experiment(promotion=promotion(assignment=assignment))
    assert world.need("ABExperiment", "tutor-2")["spec"]["assignment"] == assignment


def test_requests_cannot_choose_their_arm() -> None:
    assert chosen(in_experiment()) == {}


def test_users_are_sent_to_the_arm_that_the_application_names_while_both_have_weight() -> None:
    world = in_experiment(promotion=promotion(assignment={"unit": "User"}))
    assert chosen(world) == {"baseline": "tutor-r1", "candidate": "tutor-r2"}
    gives(world, 50)
    world.step()
    assert share(world) == {"tutor-r1": 50, "tutor-r2": 50}
    assert chosen(world) == {"baseline": "tutor-r1", "candidate": "tutor-r2"}
    gives(world, 0)
    world.step()
    assert share(world) == {"tutor-r1": 100}
    assert chosen(world) == {}


@pytest.mark.parametrize("verdict", ["PromoteCandidate", "KeepBaseline"])
def test_after_the_experiment_nobody_chooses_any_more(verdict: str) -> None:
    world = in_experiment(promotion=promotion(assignment={"unit": "User"}))
    world.decide_experiment("tutor-2", verdict, "CandidateBetter")
    world.play(4)
    assert chosen(world) == {}
    assert len(rules(world)) == 1


def test_an_experiment_under_way_keeps_its_own_unit_when_the_policy_is_edited() -> None:
    world = in_experiment(promotion=promotion(assignment={"unit": "User"}))
    world.policy["spec"]["promotion"]["experiment"]["assignment"] = {"unit": "Request"}
    world.play(2)
    assert set(chosen(world)) == {"baseline", "candidate"}


def test_a_rule_by_header_that_somebody_removed_is_put_back() -> None:
    world = in_experiment(promotion=promotion(assignment={"unit": "User"}))
    world.step()
    before = copy.deepcopy(rules(world))
    rules(world).pop(0)
    world.step()
    assert rules(world) == before


# --- suspension -------------------------------------------------------------------------------------------


def suspended() -> World:
    """In an experiment at 10 %, then suspended."""
    world = in_experiment()
    world.policy["spec"]["suspend"] = True
    world.step()
    assert share(world) == {"tutor-r1": 90, "tutor-r2": 10}
    return world


def guardrail_stops(world: World) -> None:
    world.decide_experiment("tutor-2", "KeepBaseline", "GuardrailWorse")


def experiment_is_deleted(world: World) -> None:
    del world.objects["ABExperiment", "tutor-2"]


def candidate_breaks(world: World) -> None:
    world.unready.add("tutor-r2")


def weight_is_taken_away(world: World) -> None:
    gives(world, 0)


STOPS = [guardrail_stops, experiment_is_deleted, candidate_breaks, weight_is_taken_away]


@pytest.mark.parametrize("stop", STOPS, ids=lambda s: s.__name__)
def test_a_stop_reaches_the_traffic_of_a_suspended_policy(stop: Any) -> None:
    world = suspended()
    stop(world)
    world.step()
    assert share(world) == {"tutor-r1": 100}
    assert world.condition("Ready")["reason"] == "Suspended"
    assert "tutor-2 gives the candidate no traffic" in world.condition("Ready")["message"]


def test_after_a_stop_the_suspended_policy_is_settled_and_nothing_is_written_again() -> None:
    world = suspended()
    guardrail_stops(world)
    world.step()
    world.roll_out()
    before = world.writes
    plan = world.step()
    assert world.writes == before
    assert plan.requeue_after == 5, "somebody may give the candidate traffic by hand"


@pytest.mark.parametrize("weight", [25, 50])
def test_a_suspended_policy_does_not_follow_a_raise(weight: int) -> None:
    world = suspended()
    gives(world, weight)
    world.play(2, seconds=0)
    assert share(world) == {"tutor-r1": 90, "tutor-r2": 10}


def test_a_suspended_policy_does_not_follow_a_promotion() -> None:
    world = suspended()
    world.decide_experiment("tutor-2", "PromoteCandidate", "CandidateBetter")
    world.play(2)
    assert share(world) == {"tutor-r1": 90, "tutor-r2": 10}


def test_a_stop_leaves_a_route_alone_that_a_person_leads_elsewhere() -> None:
    world = suspended()
    rules(world)[0]["backendRefs"] = [{"name": "break-glass", "port": 80, "weight": 100}]
    guardrail_stops(world)
    world.play(2)
    assert share(world) == {"break-glass": 100}


def test_a_stop_does_not_seize_a_route_of_somebody_else() -> None:
    world = suspended()
    world.need("HTTPRoute", "tutor")["metadata"]["ownerReferences"] = []
    guardrail_stops(world)
    world.play(2)
    assert share(world) == {"tutor-r1": 90, "tutor-r2": 10}


def test_a_suspended_policy_without_an_experiment_never_touches_its_route() -> None:
    world = World(policy())
    world.play(3)
    world.policy["spec"]["suspend"] = True
    rules(world)[0]["backendRefs"].append({"name": "tutor-r2", "port": 80, "weight": 1})
    world.play(2)
    assert set(share(world)) == {"tutor-r1", "tutor-r2"}


def test_when_the_suspension_ends_the_stopped_candidate_is_rejected() -> None:
    world = suspended()
    guardrail_stops(world)
    world.play(2)
    world.policy["spec"]["suspend"] = False
    world.play(3)
    assert world.status["champion"]["revision"] == 1
    assert [r["reason"] for r in world.status["revisions"] if r["revision"] == 2] == ["GuardrailWorse"]


# --- rivals -----------------------------------------------------------------------------------------------


def claiming(name: str = "other", namespace: str = "chat", **route: Any) -> dict[str, Any]:
    """Another policy."""
    made = policy()
    made["metadata"].update(name=name, namespace=namespace, uid=f"{name}-uid")
    made["spec"]["serving"]["httpRoute"] = {"parentRefs": [{"name": "public"}], **route}
    return made


CLAIMS: dict[str, tuple[dict[str, Any], dict[str, Any], bool]] = {
    "neither names hosts": (claiming(), claiming(), True),
    "one host in common": (claiming(hostnames=["a.b", "c.d"]), claiming(hostnames=["c.d"]), True),
    "different hosts": (claiming(hostnames=["a.b"]), claiming(hostnames=["c.d"]), False),
    "one names a host, which is more specific": (claiming(hostnames=["a.b"]), claiming(), False),
    "different paths": (claiming(pathPrefix="/a"), claiming(pathPrefix="/b"), False),
    "a path within the other": (claiming(pathPrefix="/a"), claiming(), False),
    "the same path written otherwise": (claiming(pathPrefix="/a/"), claiming(pathPrefix="/a"), True),
    "different gateways": (claiming(), claiming(parentRefs=[{"name": "internal"}]), False),
    "one gateway in common": (
        claiming(parentRefs=[{"name": "internal"}, {"name": "public"}]),
        claiming(),
        True,
    ),
    "different listeners": (
        claiming(parentRefs=[{"name": "public", "sectionName": "http"}]),
        claiming(parentRefs=[{"name": "public", "sectionName": "https"}]),
        False,
    ),
    "one listener of the other's all": (
        claiming(parentRefs=[{"name": "public", "sectionName": "http"}]),
        claiming(),
        True,
    ),
    "gateways of the same name in different namespaces": (claiming(), claiming(namespace="shop"), False),
    "one gateway from two namespaces": (
        claiming(parentRefs=[{"name": "public", "namespace": "chat"}], namespace="shop"),
        claiming(),
        True,
    ),
}


@pytest.mark.parametrize(("one", "other", "same"), CLAIMS.values(), ids=CLAIMS)
def test_two_policies_claim_the_same_where_neither_is_more_specific(one: Any, other: Any, same: bool) -> None:
    assert claims_the_same(one, other) is same
    assert claims_the_same(other, one) is same


def test_a_policy_that_serves_nothing_claims_nothing() -> None:
    nothing = claiming()
    del nothing["spec"]["serving"]
    assert not claims_the_same(nothing, claiming())


def said(world: World, rival_route: dict[str, Any] | None) -> dict[str, Any]:
    """Conditions of the policy, with this rival."""
    rivals = (Rival(claiming(), rival_route),)
    plan = decide(replace(world.observe(), rivals=rivals), world.now)
    status = plan.status or world.status
    return {c["type"]: c for c in status["conditions"]}


def rival_route(created: str, name: str = "other") -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "chat", "creationTimestamp": created}}


def test_the_policy_with_the_younger_route_says_that_it_gets_no_traffic() -> None:
    world = World(policy())
    world.play(3)
    conditions = said(world, rival_route("2026-11-20T00:00:00Z"))
    assert (conditions["Ready"]["status"], conditions["Ready"]["reason"]) == ("False", "InvalidConfiguration")
    assert conditions["Stalled"]["status"] == "True"
    message = conditions["Ready"]["message"]
    assert "RetrainPolicy chat/other" in message and "another hostname or pathPrefix" in message


def test_the_one_with_the_older_route_says_nothing_and_neither_does_one_whose_rival_has_none_yet() -> None:
    world = World(policy())
    world.play(3)
    for route in (rival_route("2026-11-22T00:00:00Z"), None):
        conditions = said(world, route)
        assert conditions["Ready"]["status"] == "True" and "Stalled" not in conditions


def test_of_routes_of_the_same_second_the_first_by_name_wins() -> None:
    world = World(policy())
    world.play(3)
    created = world.need("HTTPRoute", "tutor")["metadata"]["creationTimestamp"]
    assert said(world, rival_route(created, "another"))["Ready"]["status"] == "False"
    assert said(world, rival_route(created, "zebra"))["Ready"]["status"] == "True"


def test_before_our_route_exists_the_rivals_is_older() -> None:
    world = World(policy())
    world.step()
    assert said(world, rival_route("2026-11-30T00:00:00Z"))["Ready"]["reason"] == "InvalidConfiguration"


def test_a_policy_without_traffic_starts_no_experiment() -> None:
    world = World(policy())
    world.count = 200
    world.until(lambda w: "tutor-r2" in w.names("Deployment"))
    plan = decide(replace(world.observe(), rivals=(Rival(claiming(), rival_route("2020-01-01T00:00:00Z")),)), world.now)
    assert [o["kind"] for o in plan.creates if o["kind"] == "ABExperiment"] == []
    assert plan.requeue_after is not None and plan.requeue_after <= 30


class Reading:
    """An API server that counts what is asked of it."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def get(self, resource: Any, namespace: str, name: str) -> Any:
        self.asked.append(f"{resource.kind} {namespace}/{name}")
        return {"metadata": {"name": name}} if resource.kind == "HTTPRoute" else None


def test_only_the_routes_of_policies_that_claim_the_same_are_read() -> None:
    client, cache = Reading(), Cache()
    mine = claiming("mine")
    for version, other in enumerate((mine, claiming("rival"), claiming("apart", hostnames=["a.b"])), 1):
        cache.put(RETRAIN_POLICY, {**other, "metadata": {**other["metadata"], "resourceVersion": str(version)}})
    observer = PolicyObserver(client, cache, None, "image")  # type: ignore[arg-type]
    found = asyncio.run(observer._rivals(mine))
    assert client.asked == ["HTTPRoute chat/rival"]
    assert [(r.policy["metadata"]["name"], r.route) for r in found] == [("rival", {"metadata": {"name": "rival"}})]
