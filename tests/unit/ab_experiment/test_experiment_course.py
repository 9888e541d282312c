"""The course of an experiment, pass by pass: start, ramp, holds, verdicts, requests, losses."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from unit.ab_experiment.world import STANDALONE, START, Conflicts, World, spec

from retrainer.ab_experiment import running
from retrainer.ab_experiment.decide import decide
from retrainer.ab_experiment.input import Readiness
from retrainer.api.v1alpha1.ab_experiment import ABExperimentStatus
from retrainer.requests import parse_request

NOT_READY = Readiness(False, "Service tutor-r4 has no ready endpoints")
CONDITIONS = {
    "Succeeded",
    "RouteApplied",
    "SufficientData",
    "SampleRatioOK",
    "ResponseRate",
    "GuardrailsPassed",
    "AwaitingDecision",
}


def ran(world: World, seconds: float) -> World:
    """So many seconds of ticks; long ones in steps that still see one pass inside each window."""
    step = 1.0 if seconds <= 30 else 2.5
    for _ in range(int(seconds / step)):
        world.tick(step)
    return world


def reasons(world: World) -> list[str]:
    return [event.reason for event in world.events]


# --- start ------------------------------------------------------------------------------------------------


def test_both_arms_ready_starts_with_the_ledger_before_the_status():
    plan = decide(World().look(), START)
    (ledger,) = plan.creates
    assert ledger["metadata"]["name"] == "tutor-4-ledger"
    assert ledger["metadata"]["ownerReferences"][0]["uid"] == "uid-1"
    assert json.loads(ledger["data"]["lines"])["weightPercent"] == 10
    assert plan.status["weightPercent"] == 10
    assert not plan.status_first
    assert plan.status["startTime"] == "2026-11-21T12:00:00Z"


def test_every_condition_is_there_from_the_first_pass_and_the_status_fits_its_model():
    for world in (World(), World(candidate=NOT_READY), World(spec=spec(suspend=True))):
        plan = decide(world.look(), START)
        assert {c["type"] for c in plan.status["conditions"]} >= CONDITIONS
        parsed = ABExperimentStatus.model_validate(plan.status)
        assert parsed.observed_generation == 1


@pytest.mark.parametrize(
    ("world", "reason", "words"),
    [
        (World(candidate=NOT_READY), "Starting", "Service tutor-r4 has no ready endpoints"),
        (World(baseline=Readiness(False, "Service tutor-r3 does not exist")), "Starting", "users stay on the baseline"),
        (World(spec=spec(suspend=True)), "Suspended", "spec.suspend"),
    ],
)
def test_something_in_the_way_holds_the_start_and_says_so(world, reason, words):
    world.tick()
    assert world.ledger is None
    assert world.status["weightPercent"] == 0
    assert "startTime" not in world.status
    condition = world.condition("Succeeded")
    assert condition["reason"] == reason and words in condition["message"]


def test_a_missing_reference_stalls_the_start_with_its_remedy():
    seen = replace(World().look(), missing="FeedbackSource chat does not exist; create it")
    plan = decide(seen, START)
    stalled = next(c for c in plan.status["conditions"] if c["type"] == "Stalled")
    assert stalled["reason"] == "InvalidConfiguration" and "create it" in stalled["message"]
    assert not plan.creates


def test_a_guardrail_without_a_margin_to_tolerate_stalls_the_start():
    metrics = spec()["metrics"]
    metrics[0]["margin"] = "0"
    plan = decide(World(spec=spec(metrics=metrics)).look(), START)
    stalled = next(c for c in plan.status["conditions"] if c["type"] == "Stalled")
    assert "dislikes needs a margin above 0" in stalled["message"]


def test_it_starts_once_the_arms_are_ready():
    world = ran(World(candidate=NOT_READY), 3)
    assert any(c["type"] == "Reconciling" for c in world.status["conditions"])
    world.candidate = Readiness(True)
    ran(world, 2)
    assert world.status["weightPercent"] == 10
    assert not any(c["type"] in ("Reconciling", "Stalled") for c in world.status["conditions"])
    assert reasons(world) == ["Started"]


def test_a_ledger_name_that_somebody_else_uses_stalls_and_takes_nothing_over():
    world = World()
    world.ledger = {
        "kind": "ConfigMap",
        "metadata": {"name": "tutor-4-ledger", "resourceVersion": "7"},
        "data": {"a": "b"},
    }
    plan = decide(world.look(), START)
    assert (plan.creates, plan.replaces, plan.applies) == ((), (), ())
    assert plan.status["weightPercent"] == 0
    assert any(c["type"] == "Stalled" and c["reason"] == "NameConflict" for c in plan.status["conditions"])


def test_a_route_name_that_somebody_else_uses_stalls_and_takes_nothing_over():
    world = World(spec=spec(traffic=STANDALONE))
    world.route = {
        "kind": "HTTPRoute",
        "metadata": {"name": "tutor", "namespace": "ml", "generation": 1},
        "spec": {"rules": []},
    }
    plan = decide(world.look(), START)
    assert (plan.creates, plan.replaces, plan.applies) == ((), (), ())
    assert any(c["reason"] == "NameConflict" for c in plan.status["conditions"])


# --- ramp and verdicts ------------------------------------------------------------------------------------


@pytest.mark.parametrize("traffic", [{"policyRef": {"name": "tutor"}}, STANDALONE], ids=["policy", "standalone"])
def test_a_better_candidate_goes_up_the_ramp_and_is_promoted(traffic):
    world = World(spec=spec(traffic=traffic)).run()
    assert world.status["decision"]["verdict"] == "PromoteCandidate"
    assert world.status["decision"]["reason"] == "CandidateBetter"
    assert reasons(world) == ["Started", "WeightRaised", "WeightRaised", "PromoteCandidate"]
    assert world.now - START < timedelta(minutes=2)
    ran(world, 3)
    assert world.status["weightPercent"] == world.routed_weight == 100
    likes = world.status["effects"][0]
    assert likes["metric"] == "likes" and likes["verdict"] == "Better"
    assert 0 < float(likes["lower"]) < float(likes["estimate"]) < float(likes["upper"])


def test_events_carry_the_numbers_they_were_decided_on():
    world = World().run()
    raised = next(e for e in world.events if e.reason == "WeightRaised")
    assert raised.message.startswith("10 → 25 %:")
    assert "candidate units at this step" in raised.message and "e-value" in raised.message


def test_a_worse_candidate_is_stopped_and_users_go_back_to_the_baseline():
    world = World(baseline_rate=0.88, candidate_rate=0.60).run()
    assert world.status["decision"]["verdict"] == "KeepBaseline"
    assert world.status["decision"]["reason"] in ("PrimaryWorse", "GuardrailWorse")
    ran(world, 2)
    assert world.routed_weight == 0


def test_no_difference_ends_as_too_small_an_effect():
    world = World(candidate_rate=0.70, seed=2).run()
    assert world.status["decision"]["reason"] == "EffectTooSmall"


def test_without_feedback_nothing_is_decided_until_the_time_is_over():
    world = World(spec=spec(maximumDurationSeconds=60), missing_share=1.0).run()
    assert world.status["decision"]["verdict"] == "Inconclusive"
    assert world.status["decision"]["reason"] == "MaximumDurationReached"
    assert world.status["weightPercent"] == 0
    assert world.condition("Succeeded")["status"] == "False"


def test_inconclusive_with_hold_waits_for_a_person_and_never_promotes_by_itself():
    world = World(spec=spec(maximumDurationSeconds=40, onInconclusive="Hold"))
    world = ran(world, 120)
    assert "decision" not in world.status
    assert world.condition("AwaitingDecision")["status"] == "True"
    assert world.status["weightPercent"] > 0
    assert reasons(world).count("AwaitingDecision") == 1
    world.request("promote/1")
    world.tick()
    assert world.status["decision"]["reason"] == "ManualPromote"
    assert world.condition("AwaitingDecision")["status"] == "False"


def test_harm_that_shows_while_a_person_is_waited_for_still_stops_it():
    world = World(spec=spec(maximumDurationSeconds=40, onInconclusive="Hold"), candidate_rate=0.70)
    ran(world, 45)
    assert world.condition("AwaitingDecision")["status"] == "True"
    world.candidate_rate = 0.2
    world.run()
    assert world.status["decision"]["reason"] in ("PrimaryWorse", "GuardrailWorse")


def test_a_broken_split_holds_and_is_named():
    world = ran(World(split_odds=3.0, spec=spec(ramp={"steps": [{"weightPercent": 50, "minimumUnits": 100}]})), 100)
    assert "decision" not in world.status
    assert world.condition("SampleRatioOK")["reason"] == "SampleRatioMismatch"
    assert "promotion is blocked" in world.condition("SampleRatioOK")["message"]
    assert world.status["sampleRatio"]["ok"] is False


# --- route and arms ---------------------------------------------------------------------------------------


def test_no_window_counts_before_the_gateway_has_accepted_the_weight():
    world = World()
    for _ in range(20):
        world.pass_once()
        world.policy_writes_route()
        world.wait(1)
    assert world.status["windows"] == {"count": 0}
    assert world.condition("RouteApplied")["reason"] == "RoutePending"
    ran(world, 12)
    assert world.status["windows"]["count"] >= 1
    assert world.condition("RouteApplied")["status"] == "True"


def test_every_counted_window_had_one_weight_from_beginning_to_end():
    world = World()
    weights: list[tuple[float, int]] = []
    while not world.status.get("decision"):
        world.tick()
        weights.append((world.now.timestamp() - 1, world.routed_weight))
    for line in map(json.loads, world.lines):
        if line["kind"] == "window":
            inside = {w for t, w in weights if _epoch(line["start"]) - 1 < t < _epoch(line["end"])}
            assert inside == {line["weightPercent"]}


def _epoch(text: str) -> float:
    from datetime import datetime

    return datetime.fromisoformat(text).timestamp()


def test_a_route_edited_by_hand_is_repaired_and_its_windows_are_left_out():
    world = ran(World(spec=spec(traffic=STANDALONE)), 14)
    before = world.status["windows"]["count"]
    for ref in world.route["spec"]["rules"][0]["backendRefs"]:
        ref["weight"] = 50
    world.route["metadata"]["generation"] += 1
    plan = decide(world.look(), world.now)
    assert [o["kind"] for o in plan.applies] == ["HTTPRoute"]
    ran(world, 3)
    assert "RouteDisturbed" in reasons(world)
    assert world.routed_weight == world.status["weightPercent"]
    assert world.status["windows"]["count"] <= before + 1
    world.run()
    numbers = [json.loads(line).get("window") for line in world.lines]
    counted = [n for n in numbers if n is not None]
    assert counted == sorted(set(counted)) and counted != list(range(len(counted)))


def test_a_candidate_without_endpoints_gets_no_users_until_it_is_back():
    world = ran(World(), 14)
    world.candidate = NOT_READY
    plan = decide(world.look(), world.now)
    assert plan.status_first and plan.status["weightPercent"] == 0
    ran(world, 4)
    assert world.routed_weight == 0
    assert world.condition("RouteApplied")["reason"] == "ArmNotReady"
    world.candidate = Readiness(True)
    ran(world, 2)
    assert world.status["weightPercent"] == 10
    world.run()
    assert world.status["decision"]["verdict"] == "PromoteCandidate"


def test_a_baseline_without_endpoints_does_not_send_the_candidates_users_to_it():
    world = ran(World(), 14)
    world.baseline = Readiness(False, "Service tutor-r3 has no ready endpoints")
    ran(world, 3)
    assert world.status["weightPercent"] == 10


def test_with_both_arms_gone_there_is_nowhere_better_to_send_users():
    world = ran(World(), 14)
    world.baseline, world.candidate = Readiness(False, "Service tutor-r3 has no ready endpoints"), NOT_READY
    ran(world, 3)
    assert world.status["weightPercent"] == 10
    assert world.condition("RouteApplied")["reason"] == "ArmNotReady"


def test_a_weight_counts_as_effective_only_once_the_status_bears_it():
    world = ran(World(), 1)
    assert world.routed_weight == 10
    del world.experiment["status"]["weightPercent"]
    plan = decide(world.look(), world.now)
    assert not any("applied" in str(o["data"]["lines"]) for o in plan.replaces)
    assert plan.status["weightPercent"] == 10


def test_a_window_that_is_not_ripe_is_not_counted_even_if_it_was_read():
    world = ran(World(), 9)
    unripe = world.read(world.now.timestamp() - 5, world.now.timestamp())
    seen = replace(world.look(), readings={0: unripe})
    plan = decide(seen, world.now)
    assert plan.status["windows"] == {"count": 0}


# --- data -------------------------------------------------------------------------------------------------


def test_while_the_source_is_down_the_weight_is_held_and_later_windows_catch_up_in_order():
    world = ran(World(), 9)
    world.source_down = True
    ran(world, 50)
    assert world.status["windows"]["count"] == 0
    assert world.condition("SufficientData")["reason"] == "SourceUnavailable"
    assert world.status["weightPercent"] == 10
    world.source_down = False
    world.tick()
    counted = [json.loads(line)["window"] for line in world.lines if "window" in json.loads(line)]
    assert counted == list(range(len(counted))) and len(counted) > 5
    assert world.status["weightPercent"] == 25


def test_a_source_that_is_down_neither_fails_nor_promotes_until_the_time_is_over():
    world = World(spec=spec(maximumDurationSeconds=60))
    ran(world, 9)
    world.source_down = True
    world.run()
    assert world.status["decision"]["verdict"] == "Inconclusive"


def test_windows_that_arrive_together_give_the_verdicts_they_would_have_given_one_by_one():
    prompt, late = World(seed=5), World(seed=5)
    late.source_down = True
    ran(prompt, 25)
    ran(late, 24)
    late.source_down = False
    late.tick()

    def counted(world: World) -> list[tuple]:
        lines = [json.loads(line) for line in world.lines]
        return [
            (x["window"], x["effects"], x["rule"]) for x in lines if x["kind"] == "window" and x["weightPercent"] == 10
        ]

    first = counted(prompt)
    assert counted(late)[: len(first)] == first


def test_status_is_unchanged_between_windows_so_that_it_costs_no_write():
    world = ran(World(), 14)
    before = json.dumps(world.status)
    world.wait(0.5)
    plan = decide(world.look(), world.now)
    assert json.dumps(plan.status) == before
    assert plan.replaces == () and plan.events == ()
    assert plan.requeue_after is not None and 0 < plan.requeue_after <= 5


# --- people -----------------------------------------------------------------------------------------------


def test_pause_holds_the_weight_and_resume_goes_on():
    world = ran(World(), 9)
    world.request("pause/1")
    ran(world, 60)
    assert world.status["paused"] is True
    assert world.status["weightPercent"] == 10
    assert world.condition("Succeeded")["reason"] == "Paused"
    assert world.status["windows"]["count"] > 5
    world.request("resume/2")
    world.tick()
    assert "paused" not in world.status
    assert world.status["weightPercent"] == 25


def test_suspend_holds_the_weight_but_harm_still_stops_it():
    world = ran(World(baseline_rate=0.88, candidate_rate=0.55), 7)
    world.experiment["spec"]["suspend"] = True
    world.run()
    assert world.status["decision"]["verdict"] == "KeepBaseline"
    better = ran(World(), 7)
    better.experiment["spec"]["suspend"] = True
    ran(better, 100)
    assert "decision" not in better.status and better.status["weightPercent"] == 10


@pytest.mark.parametrize(
    ("action", "verdict", "weight"), [("promote", "PromoteCandidate", 100), ("abort", "KeepBaseline", 0)]
)
def test_a_persons_word_ends_it_at_once_and_is_recorded_with_the_evidence(action, verdict, weight):
    world = ran(World(), 14)
    world.request(f"{action}/x1")
    ran(world, 3)
    decision = world.status["decision"]
    assert (decision["verdict"], decision["reason"]) == (verdict, f"Manual{action.capitalize()}")
    assert "by request" in decision["message"] and "likes" in decision["message"]
    assert world.status["lastHandledRequest"] == f"{action}/x1"
    assert world.routed_weight == weight


def test_a_candidate_that_cannot_answer_is_not_promoted_by_request():
    world = ran(World(), 14)
    world.candidate = NOT_READY
    world.request("promote/x1")
    ran(world, 3)
    assert "decision" not in world.status
    assert world.status["lastHandledRequest"] == "promote/x1"
    assert reasons(world).count("RequestRefused") == 1


def test_a_request_that_is_there_at_creation_is_acknowledged_but_not_executed():
    world = World()
    world.request("abort/from-git")
    ran(world, 3)
    assert "decision" not in world.status
    assert world.status["lastHandledRequest"] == "abort/from-git"
    assert parse_request("abort/from-git") is not None


def test_an_abort_before_the_start_ends_it_without_a_ledger():
    world = ran(World(candidate=NOT_READY), 2)
    world.request("abort/1")
    ran(world, 2)
    assert world.status["decision"]["reason"] == "ManualAbort"
    assert world.ledger is None and world.routed_weight == 0


def test_a_promotion_before_the_start_is_refused():
    world = ran(World(candidate=NOT_READY), 2)
    world.request("promote/1")
    ran(world, 2)
    assert "decision" not in world.status
    assert reasons(world) == ["RequestRefused"]


def test_after_the_end_nothing_changes_any_more():
    world = World(spec=spec(traffic=STANDALONE)).run()
    ran(world, 3)
    decision, lines = world.status["decision"], world.lines
    world.request("abort/late")
    world.candidate = NOT_READY
    ran(world, 3)
    assert world.status["decision"] == decision and world.lines == lines
    assert world.routed_weight == 100
    assert reasons(world)[-1] == "RequestRefused"
    settled = json.dumps(world.status)
    world.tick()
    assert json.dumps(world.status) == settled


def test_after_the_end_a_standalone_route_is_still_repaired():
    world = World(spec=spec(traffic=STANDALONE)).run()
    ran(world, 3)
    world.route["spec"]["rules"][0]["backendRefs"][0]["weight"] = 1
    world.route["spec"]["rules"][0]["backendRefs"].append({"name": "tutor-r3", "port": 8080, "weight": 99})
    ran(world, 2)
    assert world.routed_weight == 100


# --- ledger lost ------------------------------------------------------------------------------------------


def remove(world: World) -> None:
    world.ledger = None


def edit(world: World) -> None:
    world.ledger["data"]["lines"] = world.ledger["data"]["lines"].replace("10", "11", 1)


def restore_older(world: World) -> None:
    younger = World(seed=world.seed, spec=world.spec)
    ran(younger, 3)
    world.ledger["data"] = younger.ledger["data"]


def seize(world: World) -> None:
    world.ledger["metadata"]["ownerReferences"] = []


LOSSES = {"removed": remove, "edited": edit, "an older copy restored": restore_older, "seized": seize}


@pytest.mark.parametrize("lose", LOSSES.values(), ids=LOSSES)
def test_without_its_ledger_an_experiment_ends_and_users_go_back(lose):
    world = ran(World(spec=spec(traffic=STANDALONE)), 20)
    assert world.routed_weight > 0
    lose(world)
    plan = decide(world.look(), world.now)
    assert plan.status_first and (plan.creates, plan.replaces) == ((), ())
    ran(world, 2)
    assert world.status["decision"]["verdict"] == "Inconclusive"
    assert world.status["decision"]["reason"] == "LedgerLost"
    assert world.status["weightPercent"] == world.routed_weight == 0


def test_with_hold_a_lost_ledger_waits_for_a_person_at_weight_zero_even_if_it_comes_back():
    world = ran(World(spec=spec(onInconclusive="Hold", traffic=STANDALONE)), 20)
    kept, world.ledger = world.ledger, None
    ran(world, 3)
    assert "decision" not in world.status
    assert world.condition("AwaitingDecision")["reason"] == "LedgerLost"
    world.ledger = kept
    ran(world, 10)
    assert world.status["weightPercent"] == world.routed_weight == 0
    assert reasons(world).count("LedgerLost") == 1
    world.request("abort/1")
    ran(world, 2)
    assert world.status["decision"]["reason"] == "ManualAbort"


def test_a_ledger_lost_after_the_verdict_changes_nothing():
    world = World().run()
    world.ledger = None
    ran(world, 3)
    assert world.status["decision"]["verdict"] == "PromoteCandidate"
    assert world.status["weightPercent"] == 100


def test_a_status_that_was_wiped_is_filled_from_the_ledger():
    world = ran(World(), 20)
    start, weight = world.status["startTime"], world.status["weightPercent"]
    del world.experiment["status"]
    ran(world, 2)
    assert (world.status["startTime"], world.status["weightPercent"]) == (start, weight)
    world.run()
    assert world.status["decision"]["verdict"] == "PromoteCandidate"


# --- the end of time --------------------------------------------------------------------------------------


def ends_while_reading(world: World) -> World:
    """Just after maximumDurationSeconds, with windows that are due and on their way."""
    ran(world, 16)
    world.wait(60)
    return world


def late(**more) -> World:
    return World(spec=spec(maximumDurationSeconds=60, minimumDurationSeconds=10, **more))


def test_at_the_end_windows_that_are_being_read_are_waited_for_and_may_still_decide():
    world = late(ramp={"steps": [{"weightPercent": 50, "minimumUnits": 60}]})
    world.candidate_rate = 0.78
    world = ends_while_reading(world)
    plan = decide(replace(world.look(), readings={}), world.now)
    assert "decision" not in plan.status
    succeeded = next(c for c in plan.status["conditions"] if c["type"] == "Succeeded")
    assert "its last windows are being read" in succeeded["message"]
    world.tick()
    assert world.status["decision"]["reason"] == "CandidateBetter"


def test_at_the_end_all_windows_are_counted_before_it_is_called_inconclusive():
    world = ends_while_reading(late(onInconclusive="Hold"))
    world.candidate_rate = 0.71
    world.tick()
    assert world.condition("AwaitingDecision")["status"] == "True"
    lines = [json.loads(line) for line in world.lines]
    asked = next(i for i, line in enumerate(lines) if line["kind"] == "awaiting")
    before = [_epoch(line["end"]) for line in lines[:asked] if line["kind"] == "window"]
    after = [_epoch(line["end"]) for line in lines[asked:] if line["kind"] == "window"]
    limit = START.timestamp() + 60 - 2
    assert before and max(before) < limit <= min(after)


def test_at_the_end_a_source_that_does_not_answer_is_not_waited_for():
    world = ends_while_reading(late())
    world.source_down = True
    world.tick()
    assert world.status["decision"]["reason"] == "MaximumDurationReached"


def test_windows_that_are_over_only_after_the_end_are_not_waited_for():
    world = ran(late(), 50)
    world.wait(12)
    seen = world.look()
    limit = START.timestamp() + 60
    unripe = {n: r for n, r in seen.readings.items() if _ends(world, n) + 2 < limit}
    assert "decision" in decide(replace(seen, readings=unripe), world.now).status


def _ends(world: World, number: int) -> float:
    from retrainer.ab_experiment.counting import due_windows

    return next(w.end for w in due_windows(world.experiment, world.ledger, world.now) if w.number == number)


# --- two operators ----------------------------------------------------------------------------------------


def test_of_two_operators_that_decide_at_once_one_writes_and_the_other_looks_again():
    world = ran(World(), 11)
    world.wait(4)
    first, second = decide(world.look(), world.now), decide(world.look(), world.now)
    assert first.replaces and second.replaces
    world.carry_out(first)
    lines = world.lines
    with pytest.raises(Conflicts):
        world.carry_out(second)
    assert world.lines == lines
    ran(world, 5)
    numbers = [json.loads(line)["window"] for line in world.lines if '"kind":"window"' in line]
    assert numbers == sorted(set(numbers))


def test_of_two_operators_that_start_at_once_there_is_one_ledger():
    world = World()
    first, second = decide(world.look(), world.now), decide(world.look(), START + timedelta(seconds=1))
    world.carry_out(first)
    lines = world.lines
    world.carry_out(second)
    assert world.lines == lines
    world.run()
    assert world.status["decision"]["verdict"] == "PromoteCandidate"


# --- the status -------------------------------------------------------------------------------------------


def test_the_status_stays_small_with_as_many_metrics_as_there_can_be():
    def metric(number: int) -> dict:
        name = f"{'m' * 60}-{number}"
        return {**spec()["metrics"][0], "name": name, "role": "Guardrail", "goal": "Decrease", "margin": "0.05"}

    metrics = [metric(i) for i in range(7)] + [{**spec()["metrics"][1], "name": "p" * 63}]
    world = ran(World(spec=spec(metrics=metrics)), 60)
    assert world.status["windows"]["count"] > 3
    assert len(json.dumps(world.status).encode()) < 8 * 1024
    ABExperimentStatus.model_validate(world.status)
    world.run()
    assert len(json.dumps(world.status).encode()) < 8 * 1024
    ABExperimentStatus.model_validate(world.status)


def test_a_verdicts_message_is_cut_before_the_api_server_refuses_it(monkeypatch):
    monkeypatch.setattr(running, "_LONGEST_MESSAGE", 60)
    world = World().run()
    assert len(world.status["decision"]["message"]) == 60 and world.status["decision"]["message"].endswith("…")


def test_the_plan_tells_progress_pace_and_the_day_it_will_be_done():
    world = ran(World(candidate_rate=0.76, spec=spec(maximumDurationSeconds=3000)), 40)
    plan = world.status["plan"]
    counted, needed = map(int, plan["progress"].split("/"))
    assert needed == plan["unitsNeeded"] and counted == world.status["effects"][0]["units"]
    assert plan["unitsPerDay"] == pytest.approx(30 * 86_400, rel=0.02)
    assert plan["feasible"] is True
    remaining = (needed - counted) / 30
    end = _epoch(world.status["windows"]["last"]["end"]) + remaining
    assert _epoch(plan["estimatedCompletionTime"]) == pytest.approx(end, abs=2)
    assert world.status["effects"][0]["interval"].startswith("[")


def test_requests_without_a_vote_do_not_count_towards_the_plan():
    world = ran(World(missing_share=0.5, candidate_rate=0.72), 40)
    counted = int(world.status["plan"]["progress"].split("/")[0])
    assert counted == world.status["effects"][0]["units"]
    last = world.status["windows"]["last"]
    assert counted < 0.7 * world.status["windows"]["count"] * (last["candidateUnits"] + last["baselineUnits"])
