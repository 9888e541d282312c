"""The life of a policy, sentence by sentence: from the first look to promotion, rejection and retirement."""

import copy
from datetime import datetime, timedelta

import pytest

from retrainer.retrain_policy.decide import decide
from tests.unit.retrain_policy.policy_world import NOW, World, digest, pod_template, policy, source


def started(**changes: object) -> World:
    """A policy whose champion serves; nothing has fired."""
    world = World(policy(**changes))
    world.play(3)
    return world


def in_experiment(**changes: object) -> World:
    """Revision 2 is compared with revision 1 and has 10 per cent."""
    world = World(policy(**changes))
    world.count = 200
    world.until(lambda w: w.get("HTTPRoute", "tutor") and w.weights() == {"tutor-r1": 90, "tutor-r2": 10})
    world.count = 0
    return world


def state_of(world: World, revision: int) -> tuple[str, str | None]:
    found = next(r for r in world.status["revisions"] if r["revision"] == revision)
    return found["state"], found.get("reason")


def events(world: World) -> list[str]:
    return [e.reason for e in world.events]


def test_the_initial_model_is_revision_1_and_serves() -> None:
    world = started()
    assert world.status["champion"]["revision"] == 1
    assert world.status["champion"]["uri"] == "file:///models/base"
    assert world.weights() == {"tutor-r1": 100}
    assert world.condition("Ready")["status"] == "True"
    assert world.condition("Stalled") == {}
    assert world.condition("Reconciling") == {}


def test_the_first_pass_writes_every_condition_and_says_that_children_are_on_their_way() -> None:
    world = World()
    world.step()
    kinds = {c["type"] for c in world.status["conditions"]}
    assert {"Ready", "Triggered", "Training", "Experimenting", "Reconciling"} <= kinds
    assert world.status["observedGeneration"] == 1


def test_the_record_exists_before_anything_follows_from_it() -> None:
    world = World()
    plan = world.step()
    assert [o["kind"] for o in plan.creates] == ["ConfigMap"]
    assert plan.applies == ()
    assert plan.requeue_after == 0


def test_nothing_is_written_when_nothing_changes() -> None:
    world = started()
    writes = world.writes
    world.play(5)
    assert world.writes == writes


def test_a_number_is_announced_before_any_object_bears_it() -> None:
    world = started()
    world.count = 100
    plan = world.step()
    assert plan.creates == ()
    assert world.status["pendingRun"] == {"name": "tutor-2", "revision": 2, "strategy": "Full"}
    assert world.status["nextRevision"] == 3
    world.step()
    assert world.names("TrainingRun") == {"tutor-2"}
    assert world.status["activeRun"] == "tutor-2"
    assert "pendingRun" not in world.status


def test_the_run_is_written_down_completely() -> None:
    world = started()
    world.count = 100
    world.step()
    world.step()
    spec = world.need("TrainingRun", "tutor-2")["spec"]
    assert spec["data"]["window"] == {"from": "2026-11-14T12:00:15Z", "to": "2026-11-21T12:00:15Z"}
    assert "windowDays" not in spec["data"]
    assert spec["job"]["image"] == "trainer:test"
    assert spec["champion"] == {
        "uri": "file:///models/base",
        "digest": digest(0),
        "trainedThrough": "2026-11-01T00:00:00Z",
    }


def test_too_few_samples_start_nothing() -> None:
    world = started()
    world.count = 99
    world.play(3)
    assert world.names("TrainingRun") == set()
    assert world.condition("Triggered")["reason"] == "Quiet"


def test_the_whole_way_to_promotion() -> None:
    world = World()
    world.count = 200
    seen: list[dict[str, int]] = []
    for _ in range(20):
        world.play(1)
        if world.get("HTTPRoute", "tutor") and (not seen or seen[-1] != world.weights()):
            seen.append(world.weights())
    assert seen == [
        {"tutor-r1": 100},
        {"tutor-r1": 90, "tutor-r2": 10},
        {"tutor-r1": 50, "tutor-r2": 50},
        {"tutor-r2": 100},
    ]
    assert world.status["champion"]["revision"] == 2
    assert world.status["champion"]["trainingRun"] == "tutor-2"
    assert world.status["champion"]["snapshot"]["windowEnd"] == "2026-11-21T12:00:10Z"
    assert world.status["champion"]["metrics"] == [{"name": "accuracy", "value": "0.9"}]
    assert state_of(world, 1) == ("Retired", "Superseded")
    assert state_of(world, 2) == ("Champion", "Promoted")
    story = ["TriggerFired", "RunCreated", "RunEnded", "CandidateFound", "CandidateDeployed", "ExperimentStarted"]
    assert [e for e in events(world) if e in (*story, "Promoted")][:7] == [*story, "Promoted"]


def test_traffic_moves_only_after_the_promotion_is_recorded() -> None:
    world = in_experiment()
    world.decide_experiment("tutor-2", "PromoteCandidate", "CandidateBetter")
    recording = world.step()
    assert [o["kind"] for o in recording.replaces] == ["ConfigMap"]
    assert (recording.applies, recording.deletes, recording.requeue_after) == ((), (), 0)
    moving = world.step()
    assert [o["kind"] for o in moving.applies] == ["HTTPRoute"]
    assert world.weights() == {"tutor-r2": 100}


def test_the_replaced_revision_runs_on_for_a_while_and_then_goes() -> None:
    world = in_experiment()
    world.until(lambda w: w.weights() == {"tutor-r2": 100})
    promoted = world.now
    world.play(3)
    assert "tutor-r1" in world.names("Deployment")
    world.until(lambda w: "tutor-r1" not in w.names("Deployment"))
    assert timedelta(seconds=50) <= world.now - promoted <= timedelta(seconds=70)
    assert world.names("Service") == {"tutor-r2"}


def test_a_replaced_revision_that_still_gets_traffic_does_not_go() -> None:
    world = in_experiment()
    world.until(lambda w: w.weights() == {"tutor-r2": 100})
    world.now += timedelta(hours=1)
    backends = world.need("HTTPRoute", "tutor")["spec"]["rules"][0]["backendRefs"]
    backends.append({"name": "tutor-r1", "port": 8080, "weight": 1})
    plan = world.step()
    assert plan.deletes == ()
    assert world.weights() == {"tutor-r2": 100}


def test_during_an_experiment_we_look_every_five_seconds() -> None:
    world = in_experiment()
    assert world.step().requeue_after == 5


def test_the_experiment_compares_what_is_in_service_with_the_candidate() -> None:
    spec = in_experiment().need("ABExperiment", "tutor-2")["spec"]
    assert spec["baseline"] == {
        "serviceRef": {"name": "tutor-r1", "port": 8080},
        "model": {"revision": 1, "uri": "file:///models/base", "digest": digest(0)},
    }
    assert spec["candidate"]["serviceRef"]["name"] == "tutor-r2"
    assert spec["candidate"]["model"]["digest"] == digest(2)
    assert spec["traffic"] == {"policyRef": {"name": "tutor"}}


@pytest.mark.parametrize(
    ("verdict", "reason"),
    [("KeepBaseline", "PrimaryWorse"), ("KeepBaseline", "GuardrailWorse"), ("Inconclusive", "MaximumDurationReached")],
)
def test_an_experiment_that_the_candidate_does_not_win_rejects_it(verdict: str, reason: str) -> None:
    world = in_experiment()
    world.decide_experiment("tutor-2", verdict, reason)
    world.need("ABExperiment", "tutor-2")["status"]["weightPercent"] = 50  # whatever it says now, the baseline stays
    world.play(4)
    assert world.weights() == {"tutor-r1": 100}
    assert state_of(world, 2) == ("Rejected", reason)
    assert world.status["champion"]["revision"] == 1
    assert "activeExperiment" not in world.status
    assert world.names("Deployment") == {"tutor-r1"}


def test_a_rejected_candidate_is_removed_only_after_the_route_no_longer_names_it() -> None:
    world = in_experiment()
    world.decide_experiment("tutor-2", "KeepBaseline", "PrimaryWorse")
    while "tutor-r2" in world.names("Deployment"):
        named = set(world.weights())
        plan = world.step()
        if plan.deletes:
            assert named == {"tutor-r1"}
    assert world.weights() == {"tutor-r1": 100}


def test_an_experiment_that_is_deleted_counts_for_the_champion() -> None:
    world = in_experiment()
    del world.objects["ABExperiment", "tutor-2"]
    world.play(4)
    assert world.weights() == {"tutor-r1": 100}
    assert state_of(world, 2) == ("Rejected", "ExperimentDeleted")
    assert world.names("ABExperiment") == set()


def test_a_candidate_whose_service_has_nobody_to_answer_gets_no_traffic() -> None:
    world = in_experiment()
    world.unready.add("tutor-r2")
    world.step()
    assert world.weights() == {"tutor-r1": 100}


def test_a_winner_that_is_not_available_waits_and_users_stay_on_the_baseline() -> None:
    world = in_experiment()
    world.unready.add("tutor-r2")
    world.decide_experiment("tutor-2", "PromoteCandidate", "CandidateBetter")
    world.play(2)
    assert world.weights() == {"tutor-r1": 100}
    assert world.status["champion"]["revision"] == 1
    world.unready.clear()
    world.play(2)
    assert world.weights() == {"tutor-r2": 100}


def test_a_candidate_that_does_not_become_available_in_time_is_rejected_without_an_experiment() -> None:
    world = World()
    world.count = 200
    world.unready.add("tutor-r2")
    world.until(lambda w: "tutor-r2" in w.names("Deployment"))
    deployed = world.now
    world.count = 0
    world.until(lambda w: state_of(w, 2)[0] == "Rejected", passes=200)
    assert timedelta(seconds=595) <= world.now - deployed <= timedelta(seconds=610)
    world.play(2)
    assert state_of(world, 2) == ("Rejected", "CandidateNotReady")
    assert world.names("ABExperiment") == set()
    assert world.names("Deployment") == {"tutor-r1"}


def test_no_experiment_begins_while_the_champion_cannot_answer() -> None:
    world = World()
    world.count = 200
    world.unready.add("tutor-r1")
    world.play(12)
    assert "tutor-r2" in world.names("Deployment")
    assert world.names("ABExperiment") == set()
    world.unready.clear()
    world.play(1)
    assert world.names("ABExperiment") == {"tutor-2"}


def test_a_run_whose_gates_fail_brings_a_rejected_revision_and_no_back_off() -> None:
    world = World()
    world.count = 200
    world.until(lambda w: "activeRun" in w.status, seconds=0)
    world.finish_run("tutor-2", "GatesFailed")
    world.play(3)
    assert state_of(world, 2) == ("Rejected", "GatesFailed")
    assert world.status["lastRun"]["result"] == "GatesFailed"
    assert "consecutiveFailures" not in world.status
    assert world.names("Deployment") == {"tutor-r1"}


def run_that_ends(world: World, reason: str, succeeded: str) -> None:
    """The next run ends like this; the cooldown before it is over."""
    known = world.names("TrainingRun")
    world.now += timedelta(days=2)
    for _ in range(4):
        world.step()
    (name,) = world.names("TrainingRun") - known
    world.finish_run(name, reason, succeeded, artifact=False)
    world.step()


def test_failed_runs_wait_longer_each_time() -> None:
    world = World(policy(cooldownSeconds=0))
    world.count = 200
    waits = []
    for _ in range(4):
        run_that_ends(world, "OutOfMemory", "False")
        ended = datetime.fromisoformat(world.status["lastRun"]["time"])
        waits.append((datetime.fromisoformat(world.status["nextRunTime"]) - ended).total_seconds())
    assert waits == [60, 120, 240, 480]
    assert world.status["consecutiveFailures"] == 4
    assert world.status["nextRevision"] == 6, "each had a number of its own"


def test_a_success_ends_the_series_of_failures() -> None:
    world = World(policy(cooldownSeconds=0, promotion={"method": "Immediate"}))
    world.count = 200
    run_that_ends(world, "OutOfMemory", "False")
    assert world.status["consecutiveFailures"] == 1
    run_that_ends(world, "GatesFailed", "True")
    assert "consecutiveFailures" not in world.status


def test_a_cancelled_run_is_no_failure() -> None:
    world = World(policy(cooldownSeconds=0))
    world.count = 200
    run_that_ends(world, "Cancelled", "False")
    assert "consecutiveFailures" not in world.status
    assert world.status["lastRun"]["result"] == "Cancelled"


def test_a_completed_run_without_an_artifact_is_a_failure() -> None:
    world = World(policy(cooldownSeconds=0))
    world.count = 200
    run_that_ends(world, "Completed", "True")
    assert world.status["lastRun"]["result"] == "ResultLost"
    assert world.status["consecutiveFailures"] == 1
    assert [r["revision"] for r in world.status["revisions"]] == [1]


def test_an_active_run_that_is_deleted_by_hand_is_not_made_again_and_the_cooldown_applies() -> None:
    world = World()
    world.count = 200
    world.until(lambda w: "activeRun" in w.status, seconds=0)
    del world.objects["TrainingRun", "tutor-2"]
    world.play(5)
    assert world.names("TrainingRun") == set()
    assert world.status["lastRun"]["result"] == "Deleted"
    assert world.condition("Triggered")["reason"] == "Cooldown"


def test_what_had_fired_before_a_run_is_looked_at_again_after_it() -> None:
    world = World(policy(cooldownSeconds=0))
    world.count = 200
    for _ in range(3):
        world.step()
    world.count = 0
    del world.objects["TrainingRun", "tutor-2"]
    world.rest()
    assert world.names("TrainingRun") == set()
    assert world.condition("Triggered")["reason"] == "Quiet"


def test_a_second_candidate_waits_for_the_first() -> None:
    world = in_experiment()
    other = copy.deepcopy(world.need("TrainingRun", "tutor-2"))
    other["metadata"].update(name="tutor-x")
    other["metadata"]["labels"]["retrainer.dev/revision"] = "3"
    world.put(other)
    world.finish_run("tutor-x")
    world.policy["status"]["activeRun"] = "tutor-x"
    world.policy["status"]["nextRevision"] = 4
    world.step()
    assert [r["revision"] for r in world.status["revisions"]] == [2, 1]
    assert world.status["activeRun"] == "tutor-x"
    world.decide_experiment("tutor-2", "KeepBaseline", "PrimaryWorse")
    world.until(lambda w: w.status["revisions"][0]["revision"] == 3)
    assert state_of(world, 3)[0] == "Candidate"


def test_the_cooldown_counts_from_the_end_of_the_run_and_names_its_end() -> None:
    world = World()
    world.count = 200
    world.until(lambda w: "activeRun" in w.status, seconds=0)
    world.now += timedelta(hours=5)
    world.finish_run("tutor-2", "GatesFailed")
    world.play(2)
    assert world.status["nextRunTime"] == "2026-11-21T18:00:00Z"
    assert "2026-11-21T18:00:00Z" in world.condition("Triggered")["message"]
    plan = world.step()
    assert plan.requeue_after is not None
    assert plan.requeue_after <= 3600
    world.now = NOW + timedelta(hours=6)
    world.play(3)
    assert world.names("TrainingRun") == {"tutor-2", "tutor-3"}


def test_a_shorter_cooldown_takes_effect_at_once() -> None:
    world = World()
    world.count = 200
    world.until(lambda w: "activeRun" in w.status, seconds=0)
    world.finish_run("tutor-2", "GatesFailed")
    world.play(2)
    world.policy["spec"]["cooldownSeconds"] = 60
    world.step()
    assert world.status["nextRunTime"] == "2026-11-21T12:01:00Z"


def test_no_run_starts_while_a_candidate_is_in_an_experiment() -> None:
    world = in_experiment(cooldownSeconds=0)
    world.count = 10_000
    experiment = copy.deepcopy(world.need("ABExperiment", "tutor-2"))
    for _ in range(5):
        world.step()
        world.objects["ABExperiment", "tutor-2"] = copy.deepcopy(experiment)
        world.now += timedelta(hours=5)
    assert world.names("TrainingRun") == {"tutor-2"}


def test_a_run_that_was_compared_with_a_champion_no_longer_in_service_is_rejected() -> None:
    world = World()
    world.count = 200
    world.until(lambda w: "activeRun" in w.status, seconds=0)
    world.need("TrainingRun", "tutor-2")["spec"]["champion"]["digest"] = digest(77)
    world.finish_run("tutor-2")
    world.play(2)
    assert state_of(world, 2) == ("Rejected", "ChampionChanged")


def test_without_serving_an_immediate_promotion_follows_the_gates_at_once() -> None:
    world = World(policy(serving=None, promotion={"method": "Immediate"}))
    world.count = 200
    world.until(lambda w: w.status.get("champion", {}).get("revision") == 2)
    assert world.names("Deployment") == set()
    assert world.get("HTTPRoute", "tutor") is None
    assert world.condition("Ready")["status"] == "True"


def test_with_serving_an_immediate_promotion_waits_until_the_candidate_is_available() -> None:
    world = World(policy(promotion={"method": "Immediate"}))
    world.count = 200
    world.unready.add("tutor-r2")
    world.until(lambda w: "tutor-r2" in w.names("Deployment"))
    world.count = 0
    world.play(3)
    assert world.weights() == {"tutor-r1": 100}
    world.unready.clear()
    world.play(2)
    assert world.weights() == {"tutor-r2": 100}
    assert world.names("ABExperiment") == set()


def test_without_an_initial_model_the_first_run_that_passes_becomes_revision_1() -> None:
    world = World(policy(model={"name": "tutor"}))
    world.play(2)
    assert world.condition("Ready")["reason"] == "NoChampion"
    assert world.get("HTTPRoute", "tutor") is None
    world.count = 200
    world.until(lambda w: "champion" in w.status)
    assert world.status["champion"]["revision"] == 1
    assert "champion" not in world.need("TrainingRun", "tutor-1")["spec"]
    world.play(2)
    assert world.weights() == {"tutor-r1": 100}
    assert world.names("ABExperiment") == set()


def test_while_suspended_nothing_starts_and_the_route_is_left_alone() -> None:
    world = started()
    world.policy["spec"]["suspend"] = True
    world.count = 10_000
    backends = world.need("HTTPRoute", "tutor")["spec"]["rules"][0]["backendRefs"]
    backends[0]["name"] = "break-glass"
    del world.objects["Deployment", "tutor-r1"]
    world.play(5)
    assert world.weights() == {"break-glass": 100}
    assert world.names("Deployment") == set()
    assert world.names("TrainingRun") == set()
    assert world.condition("Ready")["reason"] == "Suspended"
    world.policy["spec"]["suspend"] = False
    world.step()
    assert world.weights() == {"tutor-r1": 100}


def test_while_suspended_a_winner_is_not_promoted() -> None:
    world = in_experiment()
    world.policy["spec"]["suspend"] = True
    world.decide_experiment("tutor-2", "PromoteCandidate", "CandidateBetter")
    world.play(3)
    assert world.status["champion"]["revision"] == 1
    world.policy["spec"]["suspend"] = False
    world.play(3)
    assert world.status["champion"]["revision"] == 2


def test_a_run_that_ends_while_suspended_is_recorded_and_goes_no_further() -> None:
    world = World()
    world.count = 200
    world.until(lambda w: "activeRun" in w.status, seconds=0)
    world.policy["spec"]["suspend"] = True
    world.play(5)
    assert state_of(world, 2)[0] == "Candidate"
    assert "tutor-r2" not in world.names("Deployment")
    world.now += timedelta(days=1)
    world.policy["spec"]["suspend"] = False
    world.unready.add("tutor-r2")
    world.play(3)
    assert state_of(world, 2)[0] == "Candidate", "the deadline counts from the Deployment, not from the suspension"
    world.unready.clear()
    world.play(1)
    assert world.names("ABExperiment") == {"tutor-2"}


def test_drift_of_the_route_is_repaired() -> None:
    world = started()
    world.need("HTTPRoute", "tutor")["spec"]["rules"][0]["backendRefs"][0]["weight"] = 1
    world.step()
    assert world.weights() == {"tutor-r1": 100}


def test_drift_of_a_deployment_is_repaired_but_not_what_an_autoscaler_owns() -> None:
    world = started()
    world.need("Deployment", "tutor-r1")["spec"]["replicas"] = 7
    assert world.step().applies == ()
    world.need("Deployment", "tutor-r1")["spec"]["template"]["spec"]["containers"][0]["image"] = "other"
    assert [o["metadata"]["name"] for o in world.step().applies] == ["tutor-r1"]


def test_replicas_that_the_spec_names_are_ours() -> None:
    world = started(serving={**policy()["spec"]["serving"], "replicas": 2})
    world.need("Deployment", "tutor-r1")["spec"]["replicas"] = 7
    world.step()
    assert world.need("Deployment", "tutor-r1")["spec"]["replicas"] == 2


def image_of(world: World, name: str) -> str:
    return str(world.need("Deployment", name)["spec"]["template"]["spec"]["containers"][0]["image"])


def test_a_changed_template_rolls_the_champion() -> None:
    world = started()
    before = world.status["servingTemplateHash"]
    world.put(pod_template("server:2"))
    world.play(2)
    assert image_of(world, "tutor-r1") == "server:2"
    assert world.status["servingTemplateHash"] != before


def test_during_an_experiment_both_arms_keep_the_frozen_template() -> None:
    world = in_experiment()
    world.put(pod_template("server:2"))
    del world.objects["Deployment", "tutor-r2"]
    world.step()
    assert {image_of(world, "tutor-r1"), image_of(world, "tutor-r2")} == {"server:1"}
    world.until(lambda w: w.weights() == {"tutor-r2": 100})
    world.play(2)
    assert image_of(world, "tutor-r2") == "server:2"


def test_serving_that_is_taken_out_of_the_spec_goes() -> None:
    world = started(promotion={"method": "Immediate"})
    del world.policy["spec"]["serving"]
    world.play(3)
    assert world.names("Deployment") | world.names("Service") | world.names("HTTPRoute") == set()


def test_serving_that_is_taken_out_during_an_experiment_ends_it_first() -> None:
    world = in_experiment()
    del world.policy["spec"]["serving"]
    world.policy["spec"]["promotion"] = {"method": "Immediate"}
    world.step()
    assert world.need("ABExperiment", "tutor-2")["metadata"]["annotations"] == {
        "retrainer.dev/request": "abort/serving-removed"
    }
    assert "tutor-r2" in world.names("Deployment")
    world.play(5)
    assert state_of(world, 2) == ("Rejected", "ManualAbort")
    assert world.names("Deployment") | world.names("HTTPRoute") == set()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"trusted": "False"}, "not trusted"),
        ({"trusted": "Unknown"}, "not ready"),
        ({"ready": "False"}, "not ready"),
    ],
)
def test_untrusted_or_unknown_data_is_waited_for(change: dict[str, str], said: str) -> None:
    world = started()
    world.count = 200
    world.put(source(**change))
    world.play(3)
    assert world.names("TrainingRun") == set()
    assert world.condition("Triggered")["reason"] == "DataUntrusted"
    assert said in world.condition("Triggered")["message"]
    world.put(source())
    world.play(2)
    assert world.names("TrainingRun") == {"tutor-2"}


def test_a_missing_source_stalls_the_policy_while_its_champion_serves_on() -> None:
    world = World()
    del world.objects["FeedbackSource", "thumbs"]
    world.play(4)
    stalled = world.condition("Stalled")
    assert (stalled["status"], stalled["reason"]) == ("True", "MissingReference")
    assert "FeedbackSource thumbs" in stalled["message"]
    assert world.weights() == {"tutor-r1": 100}
    world.put(source())
    world.play(2)
    assert world.condition("Stalled") == {}


def test_a_missing_pod_template_stalls_the_policy_and_launches_nothing() -> None:
    world = World()
    del world.objects["PodTemplate", "server"]
    world.count = 200
    world.play(4)
    assert "PodTemplate server" in world.condition("Stalled")["message"]
    assert world.names("Deployment") | world.names("HTTPRoute") | world.names("TrainingRun") == set()
    assert world.step().requeue_after == 30, "PodTemplates are not watched"


def test_a_signal_that_no_source_has_is_named() -> None:
    trigger = {"name": "likes", "positiveRate": {"signal": "stars", "below": "0.85"}}
    world = started(triggers=[trigger])
    assert world.condition("Stalled")["reason"] == "InvalidConfiguration"
    assert "positiveRate.signal stars" in world.condition("Stalled")["message"]


def test_a_time_zone_that_does_not_exist_is_named() -> None:
    trigger = {"name": "weekly", "schedule": {"cron": "0 2 * * 1", "timeZone": "Mars/Base"}}
    world = started(triggers=[trigger])
    assert world.condition("Stalled")["reason"] == "InvalidConfiguration"
    assert "schedule.timeZone" in world.condition("Stalled")["message"]
    assert world.weights() == {"tutor-r1": 100}


def test_a_spec_that_this_operator_does_not_understand_names_the_field() -> None:
    world = World()
    world.policy["spec"]["triggers"][0]["newSamples"]["atLeast"] = "many"
    world.step()
    assert world.condition("Stalled")["reason"] == "InvalidConfiguration"
    assert "triggers.0.newSamples.atLeast" in world.condition("Stalled")["message"]


def test_a_policy_that_is_being_deleted_is_left_to_garbage_collection() -> None:
    world = started()
    world.policy["metadata"]["deletionTimestamp"] = "2026-11-21T12:00:00Z"
    del world.objects["Deployment", "tutor-r1"]
    plan = world.step()
    assert (plan.status, plan.applies, plan.creates) == (None, (), ())


def test_a_moving_weight_does_not_make_the_policy_unready() -> None:
    world = started()
    world.need("HTTPRoute", "tutor")["metadata"]["generation"] += 1
    world.step()
    assert world.condition("Ready")["status"] == "True"


def test_a_route_that_its_gateway_refuses_makes_the_policy_unready() -> None:
    world = started()
    accepted = world.need("HTTPRoute", "tutor")["status"]["parents"][0]["conditions"][0]
    accepted.update(status="False", reason="NotAllowedByListeners")
    world.step()
    assert world.condition("Ready")["reason"] == "RouteNotReady"
    assert "NotAllowedByListeners" in world.condition("Ready")["message"]


def test_a_rollout_that_never_ends_is_told_though_older_pods_answer() -> None:
    world = started()
    conditions = world.need("Deployment", "tutor-r1")["status"]["conditions"]
    conditions.append({"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"})
    world.step()
    assert world.condition("Ready")["reason"] == "ServingNotReady"
    assert "ProgressDeadlineExceeded" in world.condition("Ready")["message"]


def test_a_run_goes_on_when_the_status_was_emptied() -> None:
    world = World()
    world.count = 200
    for _ in range(3):
        world.step()
    assert world.status["activeRun"] == "tutor-2"
    world.policy["status"] = {}
    world.step()
    world.step()
    assert world.status["activeRun"] == "tutor-2"
    world.until(lambda w: w.status["champion"]["revision"] == 2)
    assert world.created["TrainingRun", "tutor-2"] == 1
    assert world.names("TrainingRun") == {"tutor-2"}


def test_the_result_of_a_run_is_not_lost_when_the_status_was_emptied() -> None:
    world = World()
    world.count = 200
    world.until(lambda w: "activeRun" in w.status)
    world.policy["status"] = {}
    world.until(lambda w: w.status.get("champion", {}).get("revision") == 2)
    assert world.names("TrainingRun") == {"tutor-2"}


def test_a_decision_changes_nothing_that_it_was_given() -> None:
    world = World()
    world.count = 200
    for _ in range(12):
        before = copy.deepcopy(world.objects)
        decide(world.observe(), world.now)
        assert world.objects == before
        world.play(1)


def test_a_failed_run_that_a_person_retries_is_followed_and_no_second_one_starts() -> None:
    world = World(policy(cooldownSeconds=60))
    world.count = 150
    world.until(lambda w: w.status.get("activeRun") == "tutor-2")
    world.finish_run("tutor-2", reason="Failed", succeeded="False", artifact=False)
    world.settle()
    assert world.status["lastRun"]["result"] == "Failed" and "activeRun" not in world.status
    retried = {"conditions": [{"type": "Succeeded", "status": "Unknown", "reason": "Pending"}]}
    world.need("TrainingRun", "tutor-2")["status"] = retried
    world.now += timedelta(hours=1)
    world.settle()
    assert world.status["activeRun"] == "tutor-2"
    assert world.names("TrainingRun") == {"tutor-2"}
    world.finish_run("tutor-2")
    world.settle()
    assert world.status["revisions"][0]["revision"] == 2


def test_a_like_rate_over_a_source_that_names_no_model_is_a_trouble_with_its_remedy() -> None:
    blind = source()
    del blind["spec"]["record"]["model"]
    world = World(policy(triggers=[{"name": "likes", "positiveRate": {"signal": "vote", "below": "0.85"}}]))
    world.put(blind)
    world.settle()
    message = world.condition("Stalled")["message"]
    assert "FeedbackSource thumbs" in message
    assert "spec.record.model" in message
