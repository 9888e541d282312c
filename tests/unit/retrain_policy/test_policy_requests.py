"""What a person asks of a policy, and what comes of it: `run` and `rollback:<revision>`."""

from datetime import timedelta

import pytest

from retrainer.retrain_policy.children import requested_run_name
from tests.unit.retrain_policy.policy_world import World, policy, source


def promoted_twice(**changes: object) -> World:
    """Revision 3 is champion; 2 and 1 were before it, and their Deployments are gone."""
    world = World(policy(cooldownSeconds=0, **changes))
    world.count = 200
    world.until(lambda w: w.status.get("champion", {}).get("revision") == 3)
    world.count = 0
    world.rest()
    world.events.clear()
    return world


def state_of(world: World, revision: int) -> tuple[str, str | None]:
    found = next(r for r in world.status["revisions"] if r["revision"] == revision)
    return found["state"], found.get("reason")


def refusals(world: World) -> list[str]:
    return [e.message for e in world.events if e.reason == "RequestRefused"]


def test_a_request_that_came_with_the_policy_is_acknowledged_and_not_executed() -> None:
    world = World()
    world.request("run/from-git")
    world.rest()
    assert world.status["lastHandledRequest"] == "run/from-git"
    assert world.names("TrainingRun") == set()


def test_run_overrides_triggers_and_cooldown() -> None:
    world = World()
    world.count = 200
    world.until(lambda w: w.status.get("lastRun"))
    world.rest()
    world.count = 0
    world.request("run/monday")
    world.rest()
    name = requested_run_name("tutor", "monday")
    assert name in world.names("TrainingRun")
    assert world.status["lastHandledRequest"] == "run/monday"
    assert world.need("TrainingRun", name)["metadata"]["labels"]["retrainer.dev/revision"] == "3"
    assert world.status["champion"]["revision"] == 3


def test_run_is_executed_once() -> None:
    world = World()
    world.play(2)
    world.request("run/monday")
    world.rest()
    name = requested_run_name("tutor", "monday")
    assert world.created["TrainingRun", name] == 1
    assert world.names("TrainingRun") == {name}


def test_run_is_refused_while_one_is_under_way() -> None:
    world = World()
    world.count = 200
    for _ in range(3):
        world.step()
    world.request("run/monday")
    world.step()
    assert refusals(world) == ["request run/monday is not executed: run tutor-2 is under way"]
    assert world.status["lastHandledRequest"] == "run/monday"


def test_run_is_refused_while_a_candidate_is_on_its_way() -> None:
    world = World()
    world.count = 200
    world.until(lambda w: w.status.get("activeExperiment"))
    world.request("run/monday")
    world.step()
    assert "revision 2 is a candidate" in refusals(world)[0]


def test_run_is_refused_while_suspended() -> None:
    world = World(policy(suspend=True))
    world.play(2)
    world.request("run/monday")
    world.play(2)
    assert "spec.suspend" in refusals(world)[0]
    assert world.names("TrainingRun") == set()


def test_run_waits_until_the_data_is_trusted() -> None:
    world = World()
    world.play(3)
    world.put(source(trusted="False"))
    world.request("run/monday")
    world.play(3)
    assert world.names("TrainingRun") == set()
    assert world.status.get("lastHandledRequest") is None
    assert "waits" in world.condition("Ready")["message"]
    world.put(source())
    world.play(2)
    assert len(world.names("TrainingRun")) == 1


@pytest.mark.parametrize("text", ["dance/1", "run", "rollback:1/a b"])
def test_a_request_that_nobody_understands_is_refused_and_acknowledged(text: str) -> None:
    world = World()
    world.play(2)
    world.request(text)
    world.rest()
    assert "is not understood" in refusals(world)[0]
    assert len(refusals(world)) == 1
    assert world.status["lastHandledRequest"] == text


def test_rollback_brings_the_earlier_model_back_only_when_it_can_answer() -> None:
    world = promoted_twice()
    world.unready.add("tutor-r1")
    world.request("rollback:1/now")
    world.play(3)
    assert "tutor-r1" in world.names("Deployment")
    assert world.weights() == {"tutor-r3": 100}
    assert world.status["champion"]["revision"] == 3
    assert "waits until Deployment tutor-r1 is available" in world.condition("Ready")["message"]
    world.unready.clear()
    world.play(3)
    assert world.weights() == {"tutor-r1": 100}
    assert world.status["champion"]["revision"] == 1
    assert world.status["champion"]["uri"] == "file:///models/base"
    assert state_of(world, 3) == ("RolledBack", "RolledBack")
    assert state_of(world, 1) == ("Champion", "RolledBack")
    assert world.status["lastHandledRequest"] == "rollback:1/now"
    assert "RolledBack" in [e.reason for e in world.events]


def test_rollback_is_executed_once_even_when_a_later_revision_is_promoted() -> None:
    world = promoted_twice()
    world.request("rollback:2/now")
    world.rest()
    assert world.status["champion"]["revision"] == 2
    world.count = 200
    world.until(lambda w: w.status["champion"]["revision"] == 4)
    world.count = 0
    world.rest()
    assert world.status["champion"]["revision"] == 4


def test_rollback_without_serving_happens_at_once() -> None:
    world = promoted_twice(serving=None, promotion={"method": "Immediate"})
    world.request("rollback:2/now")
    world.play(2)
    assert world.status["champion"]["revision"] == 2


def experiment_under_way() -> World:
    world = World()
    world.count = 200
    world.until(lambda w: w.status.get("champion", {}).get("revision") == 2)
    world.now += timedelta(hours=2)
    world.until(lambda w: w.get("ABExperiment", "tutor-3") and w.weights() == {"tutor-r2": 90, "tutor-r3": 10})
    world.count = 0
    world.events.clear()
    return world


def test_rollback_during_an_experiment_ends_the_experiment_first() -> None:
    world = experiment_under_way()
    world.request("rollback:1/now")
    world.step()
    asked = world.need("ABExperiment", "tutor-3")["metadata"]["annotations"]["retrainer.dev/request"]
    assert asked.startswith("abort/rollback-")
    assert world.status["champion"]["revision"] == 2
    assert "waits until experiment tutor-3 has ended" in world.condition("Ready")["message"]
    assert world.step().merges == (), "asked once"
    world.rest()
    assert state_of(world, 3) == ("Rejected", "RolledBack")
    assert world.status["champion"]["revision"] == 1
    assert world.weights() == {"tutor-r1": 100}


def test_an_experiment_that_was_never_looked_at_is_not_asked_yet() -> None:
    world = experiment_under_way()
    del world.need("ABExperiment", "tutor-3")["status"]["observedGeneration"]
    world.request("rollback:1/now")
    plan = world.step()
    assert plan.merges == ()
    assert plan.requeue_after == 1


def test_a_rollback_wins_over_an_experiment_that_promotes_at_the_same_moment() -> None:
    world = experiment_under_way()
    world.request("rollback:1/now")
    world.step()
    world.decide_experiment("tutor-3", "PromoteCandidate", "CandidateBetter")
    world.rest()
    assert state_of(world, 3) == ("Rejected", "RolledBack")
    assert world.status["champion"]["revision"] == 1


def test_rollback_while_a_candidate_is_being_prepared_rejects_it() -> None:
    world = World()
    world.count = 200
    world.until(lambda w: w.status.get("champion", {}).get("revision") == 2)
    world.now += timedelta(hours=2)
    world.unready.add("tutor-r3")
    world.until(lambda w: "tutor-r3" in w.names("Deployment"))
    world.count = 0
    world.request("rollback:1/now")
    world.rest()
    assert state_of(world, 3) == ("Rejected", "RolledBack")
    assert world.status["champion"]["revision"] == 1
    assert "tutor-r3" not in world.names("Deployment")


def test_a_target_that_does_not_come_up_is_given_up() -> None:
    world = promoted_twice()
    world.unready.add("tutor-r1")
    world.request("rollback:1/now")
    world.play(2)
    conditions = world.need("Deployment", "tutor-r1")["status"]["conditions"]
    conditions.append({"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"})
    world.step()
    assert "does not become available" in refusals(world)[0]
    assert world.status["lastHandledRequest"] == "rollback:1/now"
    world.play(3)
    assert "tutor-r1" not in world.names("Deployment")
    assert world.status["champion"]["revision"] == 3


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rollback:9/a", "revision 9 is not known"),
        ("rollback/a", "write rollback:<revision>/<id>"),
        ("rollback:last/a", "write rollback:<revision>/<id>"),
    ],
)
def test_a_rollback_to_nowhere_is_refused_with_a_reason(text: str, said: str) -> None:
    world = promoted_twice()
    world.request(text)
    world.rest()
    assert said in refusals(world)[0]
    assert world.status["lastHandledRequest"] == text
    assert world.status["champion"]["revision"] == 3


def test_a_rollback_to_a_revision_that_never_was_champion_is_refused() -> None:
    world = World()
    world.count = 200
    world.until(lambda w: w.status.get("activeExperiment"))
    world.decide_experiment("tutor-2", "KeepBaseline", "PrimaryWorse")
    world.count = 0
    world.rest()
    world.request("rollback:2/a")
    world.rest()
    assert "never champion (it is Rejected)" in refusals(world)[0]


def test_a_rollback_to_the_champion_changes_nothing() -> None:
    world = promoted_twice()
    world.request("rollback:3/a")
    world.rest()
    assert refusals(world) == []
    assert world.status["lastHandledRequest"] == "rollback:3/a"


def test_a_rollback_while_suspended_is_refused_because_the_route_is_left_alone() -> None:
    world = promoted_twice()
    world.policy["spec"]["suspend"] = True
    world.request("rollback:2/a")
    world.rest()
    assert "spec.suspend" in refusals(world)[0]
    assert world.weights() == {"tutor-r3": 100}


def test_digits_that_are_no_number_are_refused_and_break_nothing() -> None:
    world = World()
    world.rest()
    world.request("rollback:\u00b2/1")
    world.settle()
    assert [e.reason for e in world.events].count("RequestRefused") == 1
    assert world.status["champion"]["revision"] == 1
