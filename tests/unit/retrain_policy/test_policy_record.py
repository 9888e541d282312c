"""The champion record: it outlives the policy, is written first, and is never believed when altered."""

import json
from datetime import timedelta
from typing import Any

import pytest

from retrainer.api.v1alpha1.retrain_policy import RetrainPolicySpec, RetrainPolicyStatus
from retrainer.retrain_policy import champion
from retrainer.retrain_policy.revisions import Record, Template
from tests.unit.retrain_policy.policy_world import NOW, World, policy


def config_map(world: World) -> dict[str, Any]:
    return world.need("ConfigMap", "tutor-champion")


def content(world: World) -> dict[str, Any]:
    return dict(json.loads(config_map(world)["data"]["champion.json"]))


def settled() -> World:
    world = World()
    world.count = 200
    world.until(lambda w: w.status.get("champion", {}).get("revision") == 2)
    world.count = 0
    return world.rest()


def recreated(world: World) -> World:
    """The policy and what it owns are gone and it is created again, as by GitOps."""
    keep = {"FeedbackSource", "PodTemplate", "ConfigMap", "RetrainPolicy"}
    world.objects = {key: obj for key, obj in world.objects.items() if key[0] in keep}
    fresh = policy()
    fresh["metadata"]["uid"] = "another-uid"
    world.objects["RetrainPolicy", "tutor"] = world.put(fresh)
    world.policy["metadata"]["uid"] = "another-uid"
    return world


def test_it_is_labelled_and_has_no_owner() -> None:
    meta = config_map(settled())["metadata"]
    assert meta["labels"]["retrainer.dev/managed-by"] == "retrainer"
    assert meta["labels"]["retrainer.dev/owner-name"] == "tutor"
    assert "ownerReferences" not in meta


def test_servers_that_we_do_not_run_find_the_champion_in_it() -> None:
    said = content(settled())
    assert said["model"] == "tutor"
    assert said["champion"]["revision"] == 2
    assert said["champion"]["uri"] == "file:///out/2"
    assert [r["revision"] for r in said["revisions"]] == [2, 1]
    assert said["nextRevision"] == 3


def test_deleting_and_creating_the_policy_keeps_the_champion() -> None:
    world = settled()
    before = world.status
    recreated(world).rest()
    assert world.status["champion"] == before["champion"]
    assert world.status["revisions"] == before["revisions"]
    assert world.status["nextRevision"] == 3
    assert world.weights() == {"tutor-r2": 100}


def test_numbers_of_runs_that_failed_are_not_used_again_after_a_recreation() -> None:
    world = World()
    world.count = 200
    world.until(lambda w: w.names("TrainingRun"))
    world.finish_run("tutor-2", "OutOfMemory", "False", artifact=False)
    world.play(2)
    recreated(world)
    world.until(lambda w: w.names("TrainingRun"))
    assert world.names("TrainingRun") == {"tutor-3"}


def test_a_recreated_policy_goes_on_with_a_candidate_in_a_new_experiment() -> None:
    world = World()
    world.count = 200
    world.until(lambda w: w.status.get("activeExperiment"))
    recreated(world)
    world.until(lambda w: w.status.get("champion", {}).get("revision") == 2)
    assert world.created["ABExperiment", "tutor-2"] == 2


def test_what_is_left_of_the_deleted_policy_is_waited_for_and_not_called_a_conflict() -> None:
    world = settled()
    old = world.need("Deployment", "tutor-r2")
    recreated(world)
    world.objects["Deployment", "tutor-r2"] = old
    world.step()
    plan = world.step()
    assert world.condition("Stalled") == {}
    assert world.condition("Reconciling")["reason"] == "Waiting"
    assert "Deployment tutor-r2" in world.condition("Reconciling")["message"]
    assert plan.requeue_after == 2
    assert world.need("Deployment", "tutor-r2") is old
    del world.objects["Deployment", "tutor-r2"]
    world.rest()
    assert world.condition("Ready")["status"] == "True"


def test_a_deleted_record_is_written_again_from_the_status() -> None:
    world = settled()
    before = content(world)
    del world.objects["ConfigMap", "tutor-champion"]
    world.rest()
    assert content(world) == before


def test_an_initial_model_that_is_added_later_is_taken_while_there_never_was_one() -> None:
    world = World(policy(model={"name": "tutor"}))
    world.rest()
    world.policy["spec"]["model"] = policy()["spec"]["model"]
    world.rest()
    assert world.status["champion"]["revision"] == 1


def test_a_changed_initial_model_changes_nothing() -> None:
    world = settled()
    world.policy["spec"]["model"]["initial"]["uri"] = "file:///other"
    world.rest()
    assert world.status["champion"]["revision"] == 2
    assert [r["uri"] for r in world.status["revisions"]] == ["file:///out/2", "file:///models/base"]


def alter(world: World) -> None:
    said = content(world)
    said["champion"]["uri"] = "file:///evil"
    config_map(world)["data"]["champion.json"] = json.dumps(said)
    world.record_intact = False


def break_json(world: World) -> None:
    config_map(world)["data"]["champion.json"] = "{"
    world.record_intact = False


def drop_data(world: World) -> None:
    config_map(world).pop("data")
    world.record_intact = False


@pytest.mark.parametrize("damage", [alter, break_json, drop_data])
def test_an_altered_record_is_neither_believed_nor_overwritten(damage: Any) -> None:
    world = settled()
    damage(world)
    before = json.dumps(config_map(world), sort_keys=True)
    world.count = 10_000
    world.now += timedelta(days=1)
    world.play(4)
    assert json.dumps(config_map(world), sort_keys=True) == before
    stalled = world.condition("Stalled")
    assert stalled["reason"] == "NameConflict"
    assert "delete the ConfigMap" in stalled["message"]
    assert world.status["champion"]["uri"] == "file:///out/2"
    assert world.names("TrainingRun") == {"tutor-2"}, "nothing starts that would have to be remembered"


def test_traffic_follows_an_experiment_that_stops_though_the_record_is_altered() -> None:
    world = World()
    world.count = 200
    world.until(lambda w: w.get("HTTPRoute", "tutor") and w.weights() == {"tutor-r1": 90, "tutor-r2": 10})
    alter(world)
    world.decide_experiment("tutor-2", "KeepBaseline", "PrimaryWorse")
    world.need("ABExperiment", "tutor-2")["status"]["weightPercent"] = 50
    world.play(2)
    assert world.weights() == {"tutor-r1": 100}


def test_deleting_an_altered_record_heals_the_policy() -> None:
    world = settled()
    alter(world)
    world.play(2)
    del world.objects["ConfigMap", "tutor-champion"]
    world.record_intact = True
    world.rest()
    assert world.condition("Stalled") == {}
    assert content(world)["champion"]["uri"] == "file:///out/2"


def test_a_config_map_of_somebody_else_is_left_alone() -> None:
    world = World()
    theirs = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "tutor-champion", "namespace": "chat"},
        "data": {"theirs": "yes"},
    }
    world.put(theirs)
    world.play(3)
    assert config_map(world)["data"] == {"theirs": "yes"}
    assert world.condition("Stalled")["reason"] == "NameConflict"
    assert "ConfigMap tutor-champion exists" in world.condition("Stalled")["message"]
    assert "champion" not in world.status
    del world.objects["ConfigMap", "tutor-champion"]
    world.rest()
    assert world.status["champion"]["revision"] == 1


def test_what_others_put_on_the_record_stays() -> None:
    world = settled()
    config_map(world)["metadata"]["labels"]["backup"] = "yes"
    config_map(world)["metadata"]["annotations"]["velero"] = "yes"
    world.request("rollback:1/a")
    world.rest()
    assert content(world)["champion"]["revision"] == 1
    assert config_map(world)["metadata"]["labels"]["backup"] == "yes"
    assert config_map(world)["metadata"]["annotations"]["velero"] == "yes"


def test_a_record_reads_as_it_was_written() -> None:
    obj = policy()
    spec = RetrainPolicySpec.model_validate(obj["spec"])
    record = champion.first_record(spec, RetrainPolicyStatus(), NOW)
    record = Record(record.champion, record.revisions, 7, Template("abc", {"metadata": {}, "spec": {}}, 8080))
    assert champion.read(champion.write(record, obj, None), "tutor") == record


def test_a_replacement_fails_if_somebody_else_was_first() -> None:
    obj = policy()
    existing = {"metadata": {"name": "tutor-champion", "namespace": "chat", "resourceVersion": "41"}}
    written = champion.write(Record(), obj, existing)
    assert written["metadata"]["resourceVersion"] == "41"
