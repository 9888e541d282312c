"""InferenceService: which revision is which arm, when the weight may be written, and what is believed of KServe."""

from __future__ import annotations

from typing import Any

import pytest
from routing_contract import TRAFFIC, inference_service, inference_status, kserve_acts, routing, seen, shift, spec

from retrainer.routing.state import RouteState
from tests.unit.routing.memory_bench import MemoryBench

BASELINE, CANDIDATE = "tutor-predictor-00001", "tutor-predictor-00002"


def bench(**more: Any) -> MemoryBench:
    return MemoryBench(TRAFFIC["inferenceService"], **more)


def service(of: MemoryBench) -> dict[str, Any]:
    return of.objects[routing(of.experiment).refs[0]]


def predictor(of: MemoryBench) -> dict[str, Any]:
    """Status of the predictor."""
    return service(of)["status"]["components"]["predictor"]


def canary(of: MemoryBench) -> int | None:
    return service(of)["spec"]["predictor"].get("canaryTrafficPercent")


def state(of: MemoryBench) -> RouteState:
    carriers = routing(of.experiment)
    return carriers.observe(seen(of, carriers))


def problem(of: MemoryBench, arm: str) -> str:
    carriers = routing(of.experiment)
    return carriers.arm_problem(seen(of, carriers), arm) or ""


def test_the_revision_that_had_all_traffic_is_the_baseline_and_the_latest_ready_one_the_candidate():
    made = bench()
    shift(made, 10)
    assert state(made).revisions == {"baseline": BASELINE, "candidate": CANDIDATE}
    assert state(made).weights == {"baseline": 90, "candidate": 10}
    assert problem(made, "baseline") == problem(made, "candidate") == ""


def test_promotion_takes_the_field_away_as_kserve_documents_it():
    made = bench()
    shift(made, 50)
    shift(made, 100)
    assert canary(made) is None
    assert predictor(made)["latestRolledoutRevision"] == CANDIDATE
    assert predictor(made)["previousRolledoutRevision"] == BASELINE
    assert state(made).carries(100)
    assert not shift(made, 100)


def test_keeping_the_baseline_leaves_the_candidate_at_0():
    made = bench()
    shift(made, 50)
    shift(made, 0)
    assert canary(made) == 0
    assert predictor(made)["latestRolledoutRevision"] == BASELINE


def test_after_a_promotion_0_is_never_written_for_it_would_bring_back_the_revision_before():
    made = bench()
    shift(made, 100)
    assert not shift(made, 0)
    assert predictor(made)["latestRolledoutRevision"] == CANDIDATE
    # That this is what it would do is KServe's rule, which our stand-in has too:
    service(made)["spec"]["predictor"]["canaryTrafficPercent"] = 0
    kserve_acts(service(made))
    assert predictor(made)["latestRolledoutRevision"] == BASELINE


def test_before_there_is_a_candidate_nothing_is_written_and_it_is_said_how_to_bring_one():
    made = bench()
    predictor(made).update(latestCreatedRevision=BASELINE, latestReadyRevision=BASELINE)
    service(made)["spec"]["predictor"].pop("canaryTrafficPercent")
    made.others()
    for weight in (0, 5, 100):
        assert not shift(made, weight)
    assert "canaryTrafficPercent: 0 in one change" in problem(made, "candidate")
    assert problem(made, "baseline") == ""


def test_while_the_candidate_comes_up_the_baseline_has_everything():
    made = bench()
    predictor(made).update(latestReadyRevision=BASELINE)
    made.others()
    assert state(made).carries(0)
    assert problem(made, "candidate") == f"revision {CANDIDATE} of InferenceService tutor is not ready"
    assert not shift(made, 5)


def test_a_candidate_that_is_overtaken_by_a_third_revision_can_be_stopped_but_not_promoted():
    made = bench()
    shift(made, 50)
    predictor(made)["latestCreatedRevision"] = "tutor-predictor-00003"
    assert "tutor-predictor-00003" in problem(made, "candidate")
    assert not shift(made, 100)
    assert shift(made, 0)
    assert state(made).carries(0)


def test_the_revisions_tell_that_another_model_is_compared_since():
    made = bench()
    shift(made, 50)
    before = state(made).revisions
    third = "tutor-predictor-00003"
    predictor(made).update(latestCreatedRevision=third, latestReadyRevision=third)
    made.others()
    assert state(made).revisions == {**before, "candidate": third}


def test_a_model_that_is_not_the_candidates_is_no_candidate():
    candidate = {"model": {"revision": 4, "uri": "s3://models/tutor/9"}}
    made = bench(candidate=candidate)
    assert problem(made, "candidate") == (
        "InferenceService tutor serves s3://models/tutor/4, but candidate.model.uri is s3://models/tutor/9"
    )
    same = bench(candidate={"model": {"revision": 4, "uri": "s3://models/tutor/4"}})
    assert problem(same, "candidate") == ""


def test_what_kserve_has_not_taken_up_yet_is_not_believed():
    made = bench()
    shift(made, 5)
    carriers = routing(made.experiment)
    made.carry_out(carriers.change(seen(made, carriers), 25))
    waits = state(made)
    assert not waits.carries(5) and not waits.carries(25) and not waits.refused
    assert "has not taken it up yet" in waits.message
    made.others()
    assert state(made).carries(25)


DISBELIEVED: dict[str, Any] = {
    "a third revision has a share": lambda t: t.append({"revisionName": "tutor-predictor-00003", "percent": 5}),
    "shares do not add up": lambda t: t.pop(),
    "there is none": lambda t: t.clear(),
}


@pytest.mark.parametrize("edit", DISBELIEVED.values(), ids=DISBELIEVED)
def test_traffic_is_not_believed_when(edit):
    made = bench()
    shift(made, 5)
    edit(predictor(made)["traffic"])
    assert state(made).weights == {} and not state(made).carries(5)


def test_a_route_that_knative_has_not_programmed_is_not_believed():
    made = bench()
    shift(made, 5)
    condition = {"type": "PredictorRouteReady", "status": "Unknown", "reason": "Uninitialized"}
    service(made)["status"]["conditions"] = [condition]
    assert not state(made).carries(5)
    assert state(made).message == "KServe: PredictorRouteReady is Unknown (Uninitialized)"


@pytest.mark.parametrize("mode", ["RawDeployment", "Standard", "ModelMesh"])
def test_without_knative_it_is_refused_with_the_remedy(mode):
    made = bench()
    service(made)["status"]["deploymentMode"] = mode
    assert state(made).refused and not state(made).carries(0)
    assert mode in state(made).message and "traffic.httpRoute" in state(made).message
    assert problem(made, "baseline") == problem(made, "candidate") == state(made).message
    assert not shift(made, 5)


@pytest.mark.parametrize("mode", ["Serverless", "Knative", None])
def test_both_names_of_the_mode_with_knative_and_none_are_fine(mode):
    made = bench()
    service(made)["status"]["deploymentMode"] = mode
    shift(made, 5)
    assert state(made).carries(5)


def test_one_that_does_not_exist_or_has_no_status_carries_nothing():
    made = bench()
    carriers = routing(made.experiment)
    ref = carriers.refs[0]
    assert "does not exist" in carriers.observe({ref: None}).message
    assert "does not exist" in (carriers.arm_problem({ref: None}, "baseline") or "")
    assert not carriers.change({ref: None}, 5)
    bare = {k: v for k, v in service(made).items() if k != "status"}
    assert carriers.observe({ref: bare}).weights == {}
    assert "has had all traffic yet" in (carriers.arm_problem({ref: bare}, "baseline") or "")
    assert not carriers.change({ref: bare}, 5)


def test_a_raise_is_for_the_version_that_was_seen_and_a_stop_for_any():
    made = bench()
    shift(made, 5)
    carriers = routing(made.experiment)

    def condition(weight: int) -> set[str]:
        ((_, patch),) = carriers.change(seen(made, carriers), weight).merges
        assert patch["metadata"]["uid"] == service(made)["metadata"]["uid"]
        return set(patch["metadata"])

    assert condition(25) == {"uid", "resourceVersion"}
    assert condition(100) == {"uid", "resourceVersion"}
    assert condition(0) == {"uid"}


def test_it_is_not_exclusive_but_written_and_its_arms_have_no_services():
    carriers = routing(bench().experiment)
    assert not carriers.exclusive and carriers.standalone and carriers.services == {}


def test_a_user_may_bring_any_kind_of_predictor():
    made = MemoryBench(TRAFFIC["inferenceService"])
    made.experiment["spec"] = spec(
        TRAFFIC["inferenceService"], candidate={"model": {"revision": 4, "uri": "s3://models/x"}}
    )
    custom = inference_service("ml")
    custom["spec"]["predictor"] = {"containers": [{"name": "c", "image": "server"}], "canaryTrafficPercent": 0}
    made.create({**custom, "status": inference_status()})
    assert problem(made, "candidate") == ""
    shift(made, 5)
    assert state(made).carries(5)
