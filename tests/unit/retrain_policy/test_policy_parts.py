"""The parts that decisions are made of: revisions, strategy, waiting times, runs, what is to be looked up."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrainer.api.v1alpha1.retrain_policy import (
    ChampionStatus,
    LastRun,
    PendingRun,
    RetrainPolicySpec,
    Revision,
    RevisionState,
    SnapshotFacts,
)
from retrainer.api.v1alpha1.training_parts import Strategy
from retrainer.api.v1alpha1.training_run import TrainingRunSpec
from retrainer.retrain_policy import children, revisions, runs, strategy, wanted
from retrainer.retrain_policy.input import CountWanted, UnitDaysWanted
from retrainer.retrain_policy.revisions import Record
from tests.unit.retrain_policy.policy_world import INITIAL, NOW, World, digest, policy, source

STATES = list(RevisionState)


def revision(number: int, state: str, minutes: int = 0) -> Revision:
    return Revision(
        revision=number,
        uri=f"file:///{number}",
        digest=digest(number),
        state=RevisionState(state),
        time=NOW + timedelta(minutes=minutes),
    )


def record(*states: str) -> Record:
    """Revisions 1, 2, … in these states; the champion is the one in state Champion."""
    items = [revision(n, s, n) for n, s in enumerate(states, start=1)]
    crowned = next((r for r in items if r.state == "Champion"), None)
    champion = crowned and ChampionStatus(
        revision=crowned.revision, uri=crowned.uri, digest=crowned.digest, promoted_time=crowned.time
    )
    return Record(champion, tuple(reversed(items)), len(items) + 1)


def states(of: Record) -> dict[int, str]:
    return {r.revision: str(r.state) for r in of.revisions}


# revisions


def test_a_promotion_retires_the_champion() -> None:
    after = revisions.promoted(record("Champion", "Candidate"), 2, "Promoted", NOW)
    assert states(after) == {1: "Retired", 2: "Champion"}
    assert after.champion is not None
    assert (after.champion.revision, after.champion.promoted_time) == (2, NOW)


@pytest.mark.parametrize("reason", ["RolledBack", "Pinned"])
def test_a_return_marks_the_one_that_leaves(reason: str) -> None:
    after = revisions.returned(record("Retired", "Champion"), 1, reason, NOW)
    assert states(after) == {1: "Champion", 2: "RolledBack"}
    assert [r.reason for r in after.revisions] == [reason, reason]


def test_promoting_an_unknown_revision_is_an_error() -> None:
    with pytest.raises(KeyError, match="revision 9"):
        revisions.promoted(record("Champion"), 9, "Promoted", NOW)


def test_a_revision_is_added_once() -> None:
    once = revisions.added(record("Champion"), revision(2, "Candidate"))
    assert revisions.added(once, revision(2, "Rejected")) == once
    assert once.next_revision == 3


@pytest.mark.parametrize(
    ("before", "limit", "left"),
    [
        (("Retired", "Champion"), 2, [2, 1]),
        (("Retired", "Rejected", "Champion"), 2, [3, 1]),  # Rejected first
        (("Retired", "Retired", "Champion", "Rejected"), 3, [3, 2, 1]),
        (("Retired", "Retired", "Champion", "Rejected"), 2, [3, 2]),  # then Retired, the oldest first
        (("Rejected", "Rejected", "Retired", "Champion"), 3, [4, 3, 2]),  # the oldest Rejected first
        (("Retired", "Retired", "Retired", "Champion", "Candidate"), 2, [5, 4, 3]),  # a candidate always stays
        (("Retired", "Champion", "RolledBack"), 2, [3, 2]),  # the predecessor of the champion is 3
    ],
)
def test_the_history_is_trimmed(before: tuple[str, ...], limit: int, left: list[int]) -> None:
    assert [r.revision for r in revisions.trimmed(record(*before), limit).revisions] == left


OTHERS = [s for s in STATES if s != "Champion"]


@given(st.lists(st.sampled_from(OTHERS), max_size=20), st.integers(2, 10), st.integers(1, 21))
def test_what_is_needed_is_never_trimmed(before: list[str], limit: int, pin: int) -> None:
    whole = record(*before, "Champion")
    left = revisions.trimmed(whole, limit, pin)
    kept = {r.revision for r in left.revisions}
    assert len(before) + 1 in kept
    former = [r for r in whole.revisions if r.state in ("Retired", "RolledBack")]
    assert not former or max(r.revision for r in former) in kept
    protected = {r.revision for r in whole.revisions if r.state in ("Candidate", "AwaitingApproval")}
    protected |= {r.revision for r in former if r.revision == pin}
    assert protected <= kept
    assert len(kept) <= max(limit, len(protected) + 2)
    assert revisions.trimmed(left, limit, pin) == left


# strategy


def rules(*items: dict[str, Any], default: str = "Full") -> RetrainPolicySpec:
    spec = policy(strategyRules=list(items) or None, defaultStrategy=default)["spec"]
    return RetrainPolicySpec.model_validate(spec)


FULL_WHEN_VOLUME = {"strategy": "Full", "when": {"triggered": ["volume"]}}
FULL_WHEN_OLD = {"strategy": "Full", "when": {"championAgeAtLeastDays": 21}}
INCREMENTAL_WHEN_YOUNG = {"strategy": "Incremental", "when": {"championAgeAtMostDays": 14}}
BOTH = {"strategy": "Incremental", "when": {"triggered": ["volume"], "championAgeAtMostDays": 14}}


@pytest.mark.parametrize(
    ("spec", "age", "fired", "chosen"),
    [
        (rules(), 3, (), "Full"),
        (rules(default="Incremental"), 3, (), "Incremental"),
        (rules(INCREMENTAL_WHEN_YOUNG), 14, (), "Incremental"),
        (rules(INCREMENTAL_WHEN_YOUNG), 15, (), "Full"),
        (rules(FULL_WHEN_OLD, default="Incremental"), 21, (), "Full"),
        (rules(FULL_WHEN_OLD, default="Incremental"), 20, (), "Incremental"),
        (rules(FULL_WHEN_VOLUME, INCREMENTAL_WHEN_YOUNG), 3, ("volume",), "Full"),  # the first match wins
        (rules(INCREMENTAL_WHEN_YOUNG, FULL_WHEN_VOLUME), 3, ("volume",), "Incremental"),
        (rules(BOTH), 3, ("volume",), "Incremental"),
        (rules(BOTH), 15, ("volume",), "Full"),  # all that is set must hold
        (rules(BOTH), 3, ("other",), "Full"),
    ],
)
def test_the_first_rule_that_matches_wins(spec: RetrainPolicySpec, age: int, fired: Any, chosen: str) -> None:
    champion = ChampionStatus(
        revision=1, uri="file:///m", digest=digest(1), promoted_time=NOW - timedelta(days=age)
    )
    assert strategy.choose(spec, champion, 0, fired, NOW) == chosen


def test_after_five_incremental_runs_comes_a_full_one() -> None:
    champion = ChampionStatus(revision=1, uri="file:///m", digest=digest(1), promoted_time=NOW)
    spec = rules(default="Incremental")
    chosen = [strategy.choose(spec, champion, chain, (), NOW) for chain in range(7)]
    assert chosen == ["Incremental"] * 5 + ["Full"] * 2


def test_without_a_champion_there_is_nothing_to_continue_from() -> None:
    assert strategy.choose(rules(default="Incremental"), None, 0, (), NOW) is Strategy.FULL


def test_the_chain_is_counted_over_real_promotions() -> None:
    world = World(policy(cooldownSeconds=0, defaultStrategy="Incremental", promotion={"method": "Immediate"}))
    world.count = 200
    world.until(lambda w: w.status.get("champion", {}).get("revision") == 8, passes=120)
    strategies = [world.need("TrainingRun", f"tutor-{n}")["spec"]["strategy"] for n in range(2, 9)]
    assert strategies == ["Incremental"] * 5 + ["Full", "Incremental"]


# waiting


@pytest.mark.parametrize(
    ("failures", "cooldown", "seconds"),
    [
        (0, 3600, 3600),
        (0, 0, 0),
        (1, 0, 60),
        (2, 0, 120),
        (5, 0, 960),
        (40, 0, 86_400),
        (3, 3600, 3600),
        (8, 3600, 7680),
    ],
)
def test_the_wait_is_the_cooldown_or_the_back_off(failures: int, cooldown: int, seconds: int) -> None:
    last = LastRun(name="tutor-2", result="x", time=NOW)
    assert runs.not_before(last, failures, cooldown) == NOW + timedelta(seconds=seconds)


def test_before_the_first_run_there_is_nothing_to_wait_for() -> None:
    assert runs.not_before(None, 0, 3600) is None


# runs


def champion_with(**snapshot: Any) -> ChampionStatus:
    facts = SnapshotFacts(**snapshot) if snapshot else None
    return ChampionStatus(revision=3, uri="file:///m", digest=digest(3), promoted_time=NOW, snapshot=facts)


PENDING = PendingRun(name="tutor-4", revision=4, strategy=Strategy.INCREMENTAL)


@pytest.mark.parametrize(
    ("champion", "block"),
    [
        (champion_with(), {}),
        (champion_with(trained_through=NOW), {"trainedThrough": "2026-11-21T12:00:00Z"}),
        (champion_with(uri="file:///s"), {}),  # a snapshot is named by both or not at all
        (
            champion_with(uri="file:///s", digest=digest(9)),
            {"snapshot": {"uri": "file:///s", "digest": digest(9)}},
        ),
    ],
)
def test_the_champion_block_says_what_is_known(champion: ChampionStatus, block: dict[str, Any]) -> None:
    run = runs.build_run(policy(), PENDING, champion, NOW, None)
    assert run["spec"]["champion"] == {"uri": "file:///m", "digest": digest(3), **block}
    TrainingRunSpec.model_validate(run["spec"])


def test_a_run_carries_its_number_and_its_owner() -> None:
    meta = runs.build_run(policy(), PENDING, None, NOW, None)["metadata"]
    assert meta["labels"]["retrainer.dev/revision"] == "4"
    assert meta["ownerReferences"][0]["uid"] == "policy-uid"
    assert meta["ownerReferences"][0]["controller"] is True


def test_an_image_in_the_spec_wins_over_the_default() -> None:
    obj = policy()
    obj["spec"]["training"]["job"] = {"image": "mine@sha256:1"}
    assert runs.build_run(obj, PENDING, None, NOW, "default")["spec"]["job"]["image"] == "mine@sha256:1"
    assert "image" not in runs.build_run(policy(), PENDING, None, NOW, None)["spec"]["job"]


def test_gates_reach_the_run() -> None:
    obj = policy()
    obj["spec"]["training"]["gates"] = [{"metric": "accuracy", "atLeast": "0.75"}]
    assert runs.build_run(obj, PENDING, None, NOW, None)["spec"]["gates"] == obj["spec"]["training"]["gates"]


def test_names_of_requested_runs_are_the_same_for_the_same_request() -> None:
    name = children.requested_run_name("tutor", "2026-11-21a")
    assert name == children.requested_run_name("tutor", "2026-11-21a")
    assert name != children.requested_run_name("tutor", "2026-11-21b")
    assert len(name) == len("tutor-") + 8


# what is to be looked up


def test_before_the_first_pass_nothing_is_read() -> None:
    assert wanted.wanted_readings(policy(), {"thumbs": source()}, NOW) == ()


LIKES = {"name": "likes", "positiveRate": {"signal": "vote", "below": "0.85"}}


def rested(**changes: Any) -> World:
    return World(policy(**changes)).rest()


def asked(world: World, now: datetime = NOW) -> tuple[Any, ...]:
    return wanted.wanted_readings(world.policy, {"thumbs": world.need("FeedbackSource", "thumbs")}, now)


def test_new_samples_are_counted_from_what_the_champion_was_trained_through() -> None:
    world = rested()
    (want,) = asked(world)
    assert want == CountWanted("volume", ("thumbs",), "Any", datetime(2026, 11, 1, tzinfo=UTC), 1)


def test_and_later_from_the_end_of_the_window_that_its_run_looked_at() -> None:
    world = World(policy(promotion={"method": "Immediate"}))
    world.count = 200
    world.until(lambda w: w.status.get("champion", {}).get("revision") == 2)
    world.count = 0
    world.rest()
    (want,) = asked(world)
    window = world.need("TrainingRun", "tutor-2")["spec"]["data"]["window"]
    assert want.since == datetime.fromisoformat(window["to"])
    assert want.revision == 2


def test_votes_are_read_for_whole_days_only_and_for_the_champion_only() -> None:
    world = rested(triggers=[LIKES])
    world.status["triggers"][0].pop("memory")
    (want,) = asked(world)
    assert isinstance(want, UnitDaysWanted)
    assert (want.first, want.before) == (date(2026, 11, 17), date(2026, 11, 21))
    assert want.models == ("1", INITIAL["digest"], "0" * 64)


def test_a_day_is_whole_a_little_after_midnight() -> None:
    world = rested(triggers=[LIKES])
    world.status["triggers"][0].pop("memory")
    (early,) = asked(world, datetime(2026, 11, 22, 0, 4, tzinfo=UTC))
    (later,) = asked(world, datetime(2026, 11, 22, 0, 5, tzinfo=UTC))
    assert early.before == date(2026, 11, 21)
    assert later.before == date(2026, 11, 22)


def test_days_that_are_counted_are_not_read_again() -> None:
    world = rested(triggers=[LIKES])
    assert asked(world) == ()
    (want,) = asked(world, NOW + timedelta(days=1))
    assert (want.first, want.before) == (date(2026, 11, 21), date(2026, 11, 22))


def test_while_something_is_under_way_nothing_is_read() -> None:
    world = World()
    world.count = 200
    while "champion" not in world.status or world.status["champion"]["revision"] == 1:
        busy = any(k in world.status for k in ("pendingRun", "activeRun", "activeExperiment"))
        assert not busy or asked(world) == ()
        world.play(1)


def test_a_suspended_policy_reads_nothing() -> None:
    world = rested()
    world.policy["spec"]["suspend"] = True
    assert asked(world) == ()


def test_an_invalid_spec_wants_nothing() -> None:
    world = rested()
    world.policy["spec"]["triggers"] = "none"
    assert asked(world) == ()


def test_every_source_that_the_spec_refers_to_is_looked_up_once() -> None:
    obj = policy(sourceRefs=[{"name": "a"}, {"name": "thumbs"}])
    assert wanted.source_names(obj) == ("a", "thumbs")


def refs(world: World) -> set[tuple[str, str]]:
    return {(r.kind, r.name) for r in wanted.wanted_names(world.policy)}


def test_children_whose_absence_would_decide_something_are_looked_up_live() -> None:
    world = World()
    assert refs(world) == {("HTTPRoute", "tutor")}
    world.count = 200
    world.until(lambda w: w.status.get("activeExperiment"))
    assert refs(world) == {
        ("HTTPRoute", "tutor"),
        ("ABExperiment", "tutor-2"),
        ("Deployment", "tutor-r1"),
        ("Service", "tutor-r1"),
        ("Deployment", "tutor-r2"),
        ("Service", "tutor-r2"),
    }


def test_a_pending_and_an_active_run_are_looked_up_live() -> None:
    world = World()
    world.count = 200
    world.step()
    world.step()
    assert ("TrainingRun", "tutor-2") in refs(world)
    world.step()
    assert world.status["activeRun"] == "tutor-2"
    assert ("TrainingRun", "tutor-2") in refs(world)


def test_the_target_of_a_rollback_is_looked_up_live() -> None:
    world = rested()
    world.request("rollback:7/x")
    assert ("Deployment", "tutor-r7") in refs(world)


def test_a_record_compares_by_what_it_holds() -> None:
    assert record("Champion") == record("Champion")
    assert replace(record("Champion"), next_revision=9) != record("Champion")
