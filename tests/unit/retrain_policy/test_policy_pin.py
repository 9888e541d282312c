"""model.pin: its revision is champion while it is set; no run starts, nothing is promoted, experiments end first."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from retrainer.retrain_policy import champion
from retrainer.retrain_policy.revisions import trimmed
from retrainer.retrain_policy.wanted import wanted_names
from tests.unit.retrain_policy.policy_world import World, policy

MANUAL = {**policy()["spec"]["promotion"], "approval": "Manual"}


def second_champion(**changes: Any) -> World:
    """Revision 2 is champion, revision 1 was; its Deployment is gone, and the cooldown is over."""
    world = World(policy(**changes))
    world.count = 200
    world.until(lambda w: w.status.get("champion", {}).get("revision") == 2)
    world.count = 0
    world.rest()
    world.now += timedelta(hours=2)
    world.events.clear()
    return world


def second_experiment() -> World:
    """Revision 3 is compared with revision 2, which is champion, and has 10 per cent."""
    world = second_champion()
    world.count = 200
    world.until(lambda w: w.get("ABExperiment", "tutor-3") and w.weights() == {"tutor-r2": 90, "tutor-r3": 10})
    world.count = 0
    return world


def pin(world: World, revision: int | None) -> None:
    model = {k: v for k, v in world.policy["spec"]["model"].items() if k != "pin"}
    world.policy["spec"]["model"] = model if revision is None else {**model, "pin": revision}


def state_of(world: World, revision: int) -> tuple[str, str | None]:
    found = next(r for r in world.status["revisions"] if r["revision"] == revision)
    return found["state"], found.get("reason")


def said(world: World, reason: str) -> list[str]:
    return [e.message for e in world.events if e.reason == reason]


# --- nothing starts ---------------------------------------------------------------------------------------


def test_while_the_champion_is_pinned_no_run_starts_and_the_trigger_says_why() -> None:
    world = second_champion()
    pin(world, 2)
    world.count = 10_000
    world.play(3)
    assert world.names("TrainingRun") == {"tutor-2"}
    triggered = world.condition("Triggered")
    assert (triggered["status"], triggered["reason"]) == ("True", "Pinned")
    assert "volume" in triggered["message"] and "spec.model.pin" in triggered["message"]
    ready = world.condition("Ready")
    assert (ready["status"], ready["reason"]) == ("True", "Pinned")
    assert "holds revision 2: no run, no promotion" in ready["message"]


def test_a_pinned_policy_is_settled() -> None:
    world = second_champion()
    pin(world, 2)
    world.rest()
    writes = world.writes
    world.play(5)
    assert world.writes == writes


def test_without_the_pin_everything_goes_on() -> None:
    world = second_champion()
    pin(world, 2)
    world.count = 200
    world.play(3)
    pin(world, None)
    world.until(lambda w: w.status["champion"]["revision"] == 3)


@pytest.mark.parametrize(
    ("text", "refusal"),
    [
        ("run/a", "request run/a is not executed: spec.model.pin holds revision 2; remove it first"),
        ("rollback:1/a", "request rollback:1/a is not executed: spec.model.pin holds revision 2; change or remove it"),
        ("approve:tutor-9/a", "spec.model.pin holds revision 2; remove it first"),
    ],
)
def test_requests_that_the_pin_forbids_are_refused_with_a_reason(text: str, refusal: str) -> None:
    world = second_champion()
    pin(world, 2)
    world.request(text)
    world.rest()
    assert refusal in said(world, "RequestRefused")[0]
    assert world.status["champion"]["revision"] == 2
    assert world.names("TrainingRun") == {"tutor-2"}


def test_a_run_that_is_announced_and_not_created_yet_is_dropped() -> None:
    world = second_champion()
    world.count = 200
    while "pendingRun" not in world.status:
        world.step()
    pin(world, 2)
    world.rest()
    assert "pendingRun" not in world.status
    assert world.names("TrainingRun") == {"tutor-2"}
    assert said(world, "RunDropped") == ["run tutor-3 is not created: spec.model.pin is set"]


def test_a_run_under_way_ends_and_what_it_brings_is_rejected() -> None:
    world = second_champion()
    world.count = 200
    while "tutor-3" not in world.names("TrainingRun"):
        world.step()
    pin(world, 2)
    world.count = 0
    world.rest()
    assert state_of(world, 3) == ("Rejected", "Pinned")
    assert world.status["champion"]["revision"] == 2
    assert "tutor-3" not in world.names("ABExperiment")


# --- the pinned revision becomes champion -------------------------------------------------------------------


def test_the_pinned_revision_is_champion_once_its_deployment_is_available() -> None:
    world = second_champion()
    world.unready.add("tutor-r1")
    pin(world, 1)
    world.play(3)
    assert "tutor-r1" in world.names("Deployment")
    assert world.weights() == {"tutor-r2": 100}
    assert world.status["champion"]["revision"] == 2
    assert "spec.model.pin waits until Deployment tutor-r1 is available" in world.condition("Ready")["message"]
    world.unready.clear()
    world.play(3)
    assert world.weights() == {"tutor-r1": 100}
    assert state_of(world, 1) == ("Champion", "Pinned")
    assert state_of(world, 2) == ("RolledBack", "Pinned")
    assert "revision 1 is champion again: spec.model.pin" in said(world, "Pinned")


def test_traffic_moves_only_after_the_record_says_so() -> None:
    world = second_champion()
    pin(world, 1)
    world.until(lambda w: "tutor-r1" in w.names("Deployment"))
    recording = world.step()
    assert [o["kind"] for o in recording.replaces] == ["ConfigMap"]
    assert recording.applies == ()
    assert [o["kind"] for o in world.step().applies] == ["HTTPRoute"]


def test_without_serving_the_record_alone_changes() -> None:
    world = second_champion(serving=None, promotion={"method": "Immediate"})
    pin(world, 1)
    world.rest()
    assert world.status["champion"]["revision"] == 1


def test_a_pinned_model_that_does_not_come_up_is_told_and_another_template_may_help() -> None:
    world = second_champion()
    pin(world, 1)
    world.step()
    conditions = world.need("Deployment", "tutor-r1").setdefault("status", {}).setdefault("conditions", [])
    conditions.append({"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"})
    world.step()
    stalled = world.condition("Stalled")
    assert stalled["reason"] == "ServingNotReady"
    assert "Deployment tutor-r1 does not become available" in stalled["message"]
    assert world.weights() == {"tutor-r2": 100}
    world.need("PodTemplate", "server")["template"]["spec"]["containers"][0]["image"] = "server:2"
    world.rest()
    assert world.status["champion"]["revision"] == 1
    assert world.condition("Stalled") == {}


def test_the_deployment_of_the_pinned_revision_is_looked_for() -> None:
    world = second_champion()
    pin(world, 1)
    assert ("Deployment", "tutor-r1") in [(r.kind, r.name) for r in wanted_names(world.policy)]


# --- an experiment under way ------------------------------------------------------------------------------


@pytest.mark.parametrize("pinned", [1, 2])
def test_a_pin_ends_the_experiment_first(pinned: int) -> None:
    world = second_experiment()
    pin(world, pinned)
    world.step()
    asked = world.need("ABExperiment", "tutor-3")["metadata"]["annotations"]["retrainer.dev/request"]
    assert asked == f"abort/pin-{pinned}"
    assert world.status["champion"]["revision"] == 2
    assert "spec.model.pin waits until experiment tutor-3 has ended" in world.condition("Ready")["message"]
    assert world.step().merges == (), "asked once"
    world.rest()
    assert state_of(world, 3) == ("Rejected", "Pinned")
    assert world.status["champion"]["revision"] == pinned
    assert world.weights() == {f"tutor-r{pinned}": 100}


def test_a_pin_wins_over_an_experiment_that_promotes_at_the_same_moment() -> None:
    world = second_experiment()
    pin(world, 2)
    world.step()
    world.decide_experiment("tutor-3", "PromoteCandidate", "CandidateBetter")
    world.rest()
    assert state_of(world, 3) == ("Rejected", "Pinned")
    assert world.weights() == {"tutor-r2": 100}


def test_what_awaits_approval_is_given_up_for_a_pin() -> None:
    world = World(policy(promotion=MANUAL))
    world.count = 200
    world.until(lambda w: w.condition("AwaitingApproval").get("status") == "True")
    world.count = 0
    pin(world, 1)
    world.rest()
    assert state_of(world, 2) == ("Rejected", "Pinned")
    assert world.condition("AwaitingApproval")["status"] == "False"


def test_a_suspended_policy_does_not_follow_its_pin() -> None:
    world = second_champion()
    world.policy["spec"]["suspend"] = True
    pin(world, 1)
    world.play(3)
    assert world.status["champion"]["revision"] == 2
    world.policy["spec"]["suspend"] = False
    world.rest()
    assert world.status["champion"]["revision"] == 1


def test_a_suspended_policy_does_not_end_its_experiment_for_a_pin() -> None:
    world = second_experiment()
    world.policy["spec"]["suspend"] = True
    pin(world, 2)
    world.step()
    assert "annotations" not in world.need("ABExperiment", "tutor-3")["metadata"]
    world.policy["spec"]["suspend"] = False
    world.step()
    assert "annotations" in world.need("ABExperiment", "tutor-3")["metadata"]


# --- a pin that cannot be carried out -----------------------------------------------------------------------


def test_a_pin_on_a_revision_that_nobody_knows_is_told_and_ends_nothing() -> None:
    world = second_experiment()
    pin(world, 9)
    world.play(2)
    stalled = world.condition("Stalled")
    assert stalled["reason"] == "InvalidConfiguration"
    assert "spec.model.pin: revision 9 is not known; status.revisions lists what there is" in stalled["message"]
    assert "annotations" not in world.need("ABExperiment", "tutor-3")["metadata"]


def test_a_pin_on_a_revision_that_never_was_champion_is_told() -> None:
    world = second_experiment()
    world.decide_experiment("tutor-3", "KeepBaseline", "PrimaryWorse")
    world.rest()
    pin(world, 3)
    world.rest()
    assert "revision 3 was never champion (it is Rejected)" in world.condition("Stalled")["message"]
    assert world.status["champion"]["revision"] == 2


def test_under_an_invalid_pin_a_winner_waits_without_traffic_and_goes_live_when_the_pin_is_removed() -> None:
    world = second_experiment()
    pin(world, 9)
    world.decide_experiment("tutor-3", "PromoteCandidate", "CandidateBetter")
    world.play(3)
    assert world.status["champion"]["revision"] == 2
    assert world.weights() == {"tutor-r2": 100}
    pin(world, None)
    world.rest()
    assert world.status["champion"]["revision"] == 3


@pytest.mark.parametrize("approval", ["Automatic", "Manual"])
def test_under_an_invalid_pin_nothing_goes_live_at_once_either(approval: str) -> None:
    world = World(policy(promotion={"method": "Immediate", "approval": approval}))
    world.count = 200
    world.until(lambda w: w.names("TrainingRun"))
    pin(world, 9)
    world.play(4)
    assert world.status["champion"]["revision"] == 1
    assert state_of(world, 2)[0] == "Candidate"
    world.count = 0
    pin(world, None)
    world.rest()
    assert state_of(world, 2)[0] == ("Champion" if approval == "Automatic" else "AwaitingApproval")


# --- history ----------------------------------------------------------------------------------------------


def test_trimming_takes_the_oldest_former_champion_unless_it_is_pinned() -> None:
    world = second_champion(cooldownSeconds=0)
    world.count = 200
    world.until(lambda w: w.status["champion"]["revision"] == 4)
    record = champion.read(world.need("ConfigMap", "tutor-champion"), "tutor")
    assert [r.revision for r in trimmed(record, 2).revisions] == [4, 3]
    assert [r.revision for r in trimmed(record, 2, pin=1).revisions] == [4, 3, 1]
