"""Milestones and samples: what the demo says has happened, from looks at the cluster."""

import pytest
from unit.demo.demo_sights import START, conditions, experiment, obj, route, sight

from demo.record import Record, Sample, candidate_revision, reached, sample
from demo.sight import Sight

READY = obj("digits", status={"conditions": conditions(Ready="True/Ready")})


def keys(look: Sight) -> list[str]:
    return [m.key for m in reached(look)]


def texts(look: Sight) -> list[str]:
    return [m.text for m in reached(look)]


def test_nothing_has_happened_on_an_empty_cluster() -> None:
    assert keys(sight()) == []


def test_the_champion_serves_once_ready_and_on_the_route() -> None:
    assert keys(sight(policy=READY)) == []
    assert keys(sight(policy=READY, route=route(r1=100))) == ["serving"]


def test_a_fired_trigger_is_named_and_a_quiet_one_is_not() -> None:
    triggers = [{"name": "likes", "state": "Fired"}, {"name": "old", "state": "Quiet"}]
    assert keys(sight(policy=obj("digits", status={"triggers": triggers}))) == ["trigger/likes"]


def test_a_run_passes_its_stages() -> None:
    status = {
        "conditions": conditions(DataReady="True/Frozen", Trained="True/Trained", GatesPassed="True/GatesPassed"),
        "dataset": {"trainRows": 270, "validationRows": 30, "evaluationRows": 290},
        "gates": [{"result": "Passed"}],
    }
    look = sight(runs=[obj("digits-2", status=status)])
    assert keys(look) == ["run/digits-2", "data/digits-2", "trained/digits-2", "gates/digits-2"]
    assert "270 + 30 + 290 rows" in texts(look)[1]
    assert texts(look)[3] == "digits-2: gates passed"


def test_a_failed_gate_is_told_as_such() -> None:
    status = {"conditions": conditions(GatesPassed="False/GatesFailed"), "gates": [{"result": "Failed"}]}
    assert texts(sight(runs=[obj("digits-2", status=status)]))[-1] == "digits-2: stopped at a gate"


def test_a_run_without_gates_passes_none() -> None:
    status = {"conditions": conditions(GatesPassed="True/GatesPassed")}
    assert keys(sight(runs=[obj("digits-first", status=status)])) == ["run/digits-first"]


def test_each_weight_on_the_route_is_a_milestone() -> None:
    assert keys(sight(experiments=[experiment()], route=route(r1=90, r2=10))) == ["weight/digits-2/10"]
    assert keys(sight(experiments=[experiment()], route=route(r1=100))) == []


@pytest.mark.parametrize(
    ("verdict", "shares", "expected"),
    [
        ("PromoteCandidate", {"r1": 50, "r2": 50}, ["weight/digits-2/50", "decision/digits-2"]),
        ("KeepBaseline", {"r1": 90, "r2": 10}, ["weight/digits-2/10", "decision/digits-2"]),
        ("KeepBaseline", {"r1": 100}, ["decision/digits-2", "back/digits-2"]),
    ],
)
def test_the_decision_and_what_follows(verdict: str, shares: dict[str, int], expected: list[str]) -> None:
    decided = experiment({"verdict": verdict, "reason": "Because", "message": ""})
    assert keys(sight(experiments=[decided], route=route(**shares))) == expected


def test_a_new_champion_is_promoted_and_the_old_one_retires() -> None:
    policy = obj("digits", status={"champion": {"revision": 2}})
    both = ("digits-r1", "digits-r2")
    assert keys(sight(policy=policy, route=route(r1=50, r2=50), deployments=both)) == []
    assert keys(sight(policy=policy, route=route(r2=100), deployments=both)) == ["promoted/2"]
    assert keys(sight(policy=policy, route=route(r2=100), deployments=both[1:])) == ["promoted/2", "retired/1"]


def test_a_sample_is_the_route_s_weight_and_the_primary_metric_s_effect() -> None:
    effects = [
        {"metric": "likes", "estimate": "0.15", "lower": "0.02", "upper": "0.3", "units": 420},
        {"metric": "dislikes", "estimate": "-0.15"},
    ]
    look = sight(experiments=[experiment(effects=effects)], route=route(r1=75, r2=25))
    assert sample(look, 7.0) == Sample(7.0, 25, 0.15, 0.02, 0.3, 420)


def test_before_the_first_window_there_is_no_effect() -> None:
    assert sample(sight(experiments=[experiment()], route=route(r1=90, r2=10)), 1.0) == Sample(1.0, 10)
    assert candidate_revision({}) == 0


def test_the_record_keeps_the_first_time_of_each_milestone() -> None:
    record = Record(START)
    for seconds in (5, 6, 7):
        record.note(sight(seconds, policy=READY, route=route(r1=100)))
    record.note(sight(9, experiments=[experiment()], route=route(r1=90, r2=10)))
    assert record.timeline == [(5.0, "first champion in service"), (9.0, "digits-2: 10 % of the traffic to revision 2")]
    assert [s.seconds for s in record.samples] == [9.0]
