"""promotion.approval Manual: what wins waits for a person, without traffic, and goes live only on their word."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.retrain_policy.policy_world import Crash, World, policy

Object = dict[str, Any]
MANUAL = {**policy()["spec"]["promotion"], "approval": "Manual"}
AT_ONCE = {"method": "Immediate", "approval": "Manual"}


def trained(promotion: Object, **changes: Any) -> World:
    """Enough new samples for one run; it passes its gates and wins."""
    world = World(policy(promotion=promotion, **changes))
    world.count = 200
    world.until(lambda w: w.names("TrainingRun"))
    world.count = 0
    return world


def waiting(promotion: Object = MANUAL, **changes: Any) -> World:
    """Revision 2 won and waits for a person."""
    world = trained(promotion, **changes)
    world.until(lambda w: w.condition("AwaitingApproval").get("status") == "True")
    return world.rest()


def state_of(world: World, revision: int = 2) -> tuple[str, str | None]:
    found = next(r for r in world.status["revisions"] if r["revision"] == revision)
    return found["state"], found.get("reason")


def refusals(world: World) -> list[str]:
    return [e.message for e in world.events if e.reason == "RequestRefused"]


# --- waiting ----------------------------------------------------------------------------------------------

WAYS = [(MANUAL, "CandidateBetter"), (AT_ONCE, "GatesPassed")]


@pytest.mark.parametrize(("promotion", "reason"), WAYS, ids=["by experiment", "by gates"])
def test_what_won_waits_for_a_person_and_gets_no_traffic(promotion: Object, reason: str) -> None:
    world = waiting(promotion)
    assert state_of(world) == ("AwaitingApproval", reason)
    assert world.status["champion"]["revision"] == 1
    assert world.weights() == {"tutor-r1": 100}
    assert "activeExperiment" not in world.status
    assert "tutor-r2" in world.names("Deployment"), "it is kept ready, so that approval takes effect at once"


def test_the_candidate_never_has_all_the_traffic_before_the_approval() -> None:
    world = trained(MANUAL)
    seen = []
    for _ in range(25):
        world.play(1)
        seen.append(world.weights())
    assert {"tutor-r1": 50, "tutor-r2": 50} in seen
    assert all(weights.get("tutor-r1", 0) >= 50 for weights in seen)


def test_the_verdict_takes_the_traffic_back_even_while_the_record_cannot_be_written() -> None:
    world = trained(MANUAL)
    world.until(lambda w: w.weights() == {"tutor-r1": 50, "tutor-r2": 50})
    world.need("ConfigMap", "tutor-champion")["data"]["champion.json"] = "{"
    world.record_intact = False
    world.decide_experiment("tutor-2", "PromoteCandidate", "CandidateBetter")
    world.play(2)
    assert world.weights() == {"tutor-r1": 100}


def test_a_suspended_policy_takes_it_back_as_well_and_asks_when_the_suspension_ends() -> None:
    world = trained(MANUAL)
    world.until(lambda w: w.weights() == {"tutor-r1": 50, "tutor-r2": 50})
    world.policy["spec"]["suspend"] = True
    world.decide_experiment("tutor-2", "PromoteCandidate", "CandidateBetter")
    world.play(2)
    assert world.weights() == {"tutor-r1": 100}
    world.policy["spec"]["suspend"] = False
    world.rest()
    assert state_of(world) == ("AwaitingApproval", "CandidateBetter")


def test_the_person_is_asked_with_numbers_and_told_how_to_answer() -> None:
    world = trained(MANUAL)
    world.until(lambda w: w.names("ABExperiment"))
    world.decide_experiment("tutor-2", "PromoteCandidate", "CandidateBetter")
    world.need("ABExperiment", "tutor-2")["status"]["decision"]["message"] = "likes +0.04, 95 % [+0.01, +0.07]"
    world.rest()
    (event,) = [e for e in world.events if e.reason == "ApprovalNeeded"]
    assert event.message == world.condition("AwaitingApproval")["message"]
    for words in ("revision 2", "approve:tutor-2/<id>", "reject:tutor-2/<id>", "likes +0.04, 95 % [+0.01, +0.07]"):
        assert words in event.message


def test_without_an_experiment_the_metrics_of_the_run_are_the_numbers() -> None:
    assert "its gates passed (accuracy 0.9)" in waiting(AT_ONCE).condition("AwaitingApproval")["message"]


def test_a_deleted_experiment_changes_nothing_for_the_person() -> None:
    world = waiting()
    del world.objects["ABExperiment", "tutor-2"]
    world.rest()
    assert state_of(world)[0] == "AwaitingApproval"
    assert "experiment tutor-2 ended with CandidateBetter" in world.condition("AwaitingApproval")["message"]
    assert [e.reason for e in world.events].count("ApprovalNeeded") == 1


def test_while_a_person_thinks_nothing_is_written_and_nothing_starts() -> None:
    world = waiting(cooldownSeconds=0)
    world.count = 10_000
    writes = world.writes
    world.play(5, seconds=100_000)
    assert world.writes == writes
    assert world.names("TrainingRun") == {"tutor-2"}


def test_the_first_model_of_a_policy_waits_too() -> None:
    world = waiting(model={"name": "tutor"})
    assert "champion" not in world.status
    assert state_of(world, 1) == ("AwaitingApproval", "GatesPassed")
    world.request("approve:tutor-1/a")
    world.rest()
    assert world.status["champion"]["revision"] == 1
    assert world.weights() == {"tutor-r1": 100}


def test_both_models_take_over_a_changed_template_while_a_person_thinks() -> None:
    world = waiting()
    world.need("PodTemplate", "server")["template"]["spec"]["containers"][0]["image"] = "server:2"
    world.rest()
    for name in ("tutor-r1", "tutor-r2"):
        pods = world.need("Deployment", name)["spec"]["template"]["spec"]
        assert pods["containers"][0]["image"] == "server:2"


# --- answers ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("promotion", [MANUAL, AT_ONCE], ids=["by experiment", "by gates"])
def test_an_approved_revision_is_champion_and_has_all_the_traffic(promotion: Object) -> None:
    world = waiting(promotion)
    world.request("approve:tutor-2/monday")
    world.rest()
    assert state_of(world) == ("Champion", "Promoted")
    assert state_of(world, 1) == ("Retired", "Superseded")
    assert world.weights() == {"tutor-r2": 100}
    assert world.status["lastHandledRequest"] == "approve:tutor-2/monday"
    assert world.condition("AwaitingApproval")["status"] == "False"
    assert [e.reason for e in world.events].count("Promoted") == 1


def test_traffic_moves_only_after_the_approval_is_recorded() -> None:
    world = waiting()
    world.request("approve:tutor-2/monday")
    recording = world.step()
    assert [o["kind"] for o in recording.replaces] == ["ConfigMap"]
    assert recording.applies == ()
    assert [o["kind"] for o in world.step().applies] == ["HTTPRoute"]


def test_without_serving_an_approval_changes_the_record_alone() -> None:
    world = waiting(AT_ONCE, serving=None)
    world.request("approve:tutor-2/monday")
    world.rest()
    assert world.status["champion"]["revision"] == 2


@pytest.mark.parametrize("answer", ["approve", "reject"])
def test_an_answer_that_was_recorded_before_a_crash_is_not_called_refused(answer: str) -> None:
    world = waiting()
    world.request(f"{answer}:tutor-2/monday")
    world.crash_at = world.writes + 1
    with pytest.raises(Crash):
        world.step()
    world.crash_at = None
    assert "lastHandledRequest" not in world.status
    world.rest()
    assert refusals(world) == []
    assert world.status["lastHandledRequest"] == f"{answer}:tutor-2/monday"


def test_a_refused_revision_is_rejected_and_its_deployment_goes() -> None:
    world = waiting()
    world.request("reject:tutor-2/monday")
    world.rest()
    assert state_of(world) == ("Rejected", "NotApproved")
    assert world.weights() == {"tutor-r1": 100}
    assert world.names("Deployment") == {"tutor-r1"}
    assert "revision 2 is rejected: NotApproved" in [e.message for e in world.events]


def test_after_an_answer_training_goes_on() -> None:
    world = waiting(cooldownSeconds=0)
    world.request("reject:tutor-2/monday")
    world.rest()
    world.count = 200
    world.until(lambda w: "tutor-3" in w.names("TrainingRun"))


def test_an_approval_waits_until_the_model_can_answer() -> None:
    world = waiting()
    world.unready.add("tutor-r2")
    world.request("approve:tutor-2/monday")
    world.play(2)
    assert world.weights() == {"tutor-r1": 100}
    assert "waits until Deployment tutor-r2 is available" in world.condition("Ready")["message"]
    world.unready.clear()
    world.rest()
    assert world.weights() == {"tutor-r2": 100}


def test_an_approval_of_a_model_that_does_not_come_up_is_given_up_and_may_be_asked_again() -> None:
    world = waiting()
    said = world.need("Deployment", "tutor-r2")["status"]["conditions"]
    said[:] = [{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}]
    world.request("approve:tutor-2/monday")
    world.step()
    assert "Deployment tutor-r2 does not become available" in refusals(world)[0]
    assert state_of(world)[0] == "AwaitingApproval"
    world.roll_out()
    world.request("approve:tutor-2/tuesday")
    world.rest()
    assert world.status["champion"]["revision"] == 2


REFUSED = [
    ("approve/a", "write approve:<run>/<id>"),
    ("reject/a", "write reject:<run>/<id>"),
    ("approve:tutor-9/a", "run tutor-9 does not await approval; run tutor-2 does"),
]


@pytest.mark.parametrize(("text", "said"), REFUSED)
def test_an_answer_to_another_question_is_refused_with_a_reason(text: str, said: str) -> None:
    world = waiting()
    world.request(text)
    world.rest()
    assert said in refusals(world)[0]
    assert world.status["lastHandledRequest"] == text
    assert state_of(world)[0] == "AwaitingApproval"


def test_an_answer_before_the_verdict_is_refused_and_not_kept_for_later() -> None:
    world = trained(MANUAL)
    world.until(lambda w: w.status.get("activeExperiment"))
    world.request("approve:tutor-2/early")
    world.rest()
    assert "revision 2 has not won yet" in refusals(world)[0]
    assert state_of(world)[0] == "AwaitingApproval"


def test_an_answer_when_nothing_is_asked_is_refused() -> None:
    world = World(policy(promotion=MANUAL)).rest()
    world.request("reject:tutor-2/a")
    world.rest()
    assert "run tutor-2 does not await approval; nothing does" in refusals(world)[0]


def test_a_suspended_policy_takes_no_answer() -> None:
    world = waiting()
    world.policy["spec"]["suspend"] = True
    world.request("approve:tutor-2/a")
    world.rest()
    assert "spec.suspend is set" in refusals(world)[0]
    assert world.weights() == {"tutor-r1": 100}


def test_a_run_is_refused_while_a_person_thinks() -> None:
    world = waiting()
    world.request("run/a")
    world.rest()
    assert "revision 2 awaits approval; approve or reject it first" in refusals(world)[0]


def test_a_rollback_gives_up_what_waits() -> None:
    world = waiting(cooldownSeconds=0)
    world.request("approve:tutor-2/a")
    world.rest()
    world.count = 200
    world.until(lambda w: w.condition("AwaitingApproval")["status"] == "True")
    world.count = 0
    world.request("rollback:1/b")
    world.rest()
    assert state_of(world, 3) == ("Rejected", "RolledBack")
    assert world.status["champion"]["revision"] == 1


def test_a_policy_that_stops_asking_promotes_what_waited() -> None:
    world = waiting()
    world.unready.add("tutor-r2")
    world.policy["spec"]["promotion"]["approval"] = "Automatic"
    world.play(2)
    assert world.status["champion"]["revision"] == 1
    assert "revision 2 waits until it is available" in world.condition("Ready")["message"]
    world.unready.clear()
    world.rest()
    assert world.status["champion"]["revision"] == 2


def test_a_recreated_policy_asks_again() -> None:
    world = waiting()
    keep = {"FeedbackSource", "PodTemplate", "ConfigMap"}
    world.objects = {key: obj for key, obj in world.objects.items() if key[0] in keep}
    world.put(policy(promotion=MANUAL))
    world.events.clear()
    world.rest()
    assert [e.reason for e in world.events].count("ApprovalNeeded") == 1
    world.request("approve:tutor-2/again")
    world.rest()
    assert world.status["champion"]["revision"] == 2


def test_the_automatic_policy_asks_nobody() -> None:
    world = trained({**MANUAL, "approval": "Automatic"}).rest()
    assert world.status["champion"]["revision"] == 2
    assert "ApprovalNeeded" not in [e.reason for e in world.events]
