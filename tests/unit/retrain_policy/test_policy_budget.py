"""budget.runsPerWeek: a rolling week of starts; triggers wait for room in it, a person does not."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrainer.retrain_policy import budget
from tests.unit.retrain_policy.policy_world import NOW, World, policy

WEEK = timedelta(days=7)


def spending(runs_per_week: int | None = 2, **changes: Any) -> World:
    """A trigger fires without end, there is no cooldown, and each run goes live at once."""
    limit = {"runsPerWeek": runs_per_week} if runs_per_week else None
    spec = {"cooldownSeconds": 0, "budget": limit, "promotion": {"method": "Immediate"}, **changes}
    world = World(policy(**spec))
    world.count = 200
    return world


def spent(runs_per_week: int = 2) -> World:
    """The budget is used up."""
    world = spending(runs_per_week)
    world.until(lambda w: w.condition("Triggered").get("reason") == "BudgetSpent")
    return world.rest()


def starts(world: World) -> list[datetime]:
    return [datetime.fromisoformat(t) for t in world.status["runStarts"]]


@pytest.mark.parametrize("runs_per_week", [1, 2, 3])
def test_triggers_start_as_many_runs_as_the_budget_has(runs_per_week: int) -> None:
    world = spent(runs_per_week)
    world.play(3, seconds=86_400)
    assert len(world.names("TrainingRun")) == runs_per_week


def test_without_a_budget_runs_follow_each_other() -> None:
    world = spending(None)
    world.until(lambda w: len(w.names("TrainingRun")) == 5)


def test_the_next_run_starts_when_the_earliest_is_a_week_old_and_not_a_second_before() -> None:
    world = spent()
    world.now = starts(world)[0] + WEEK - timedelta(seconds=1)
    plan = world.step()
    assert len(world.names("TrainingRun")) == 2
    assert plan.requeue_after == 1
    world.now += timedelta(seconds=1)
    world.play(2, seconds=0)
    assert len(world.names("TrainingRun")) == 3


def test_the_trigger_says_why_it_waits_and_how_long() -> None:
    world = spent()
    triggered = world.condition("Triggered")
    until = (starts(world)[0] + WEEK).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert (triggered["status"], triggered["reason"]) == ("True", "BudgetSpent")
    assert triggered["message"] == (
        "fired: volume; runs started in the last seven days: 2, budget.runsPerWeek: 2; no new run before " + until
    )
    assert world.status["nextRunTime"] == until
    assert [e.message for e in world.events if e.reason == "BudgetSpent"] == [triggered["message"]]


def test_the_longer_of_cooldown_and_budget_is_named() -> None:
    world = spent()
    world.policy["spec"]["cooldownSeconds"] = 30 * 86_400
    world.step()
    assert world.condition("Triggered")["reason"] == "Cooldown"
    world.policy["spec"]["cooldownSeconds"] = 3600
    world.step()
    assert world.condition("Triggered")["reason"] == "BudgetSpent"


def test_waiting_writes_nothing() -> None:
    world = spent()
    writes = world.writes
    world.play(5)
    assert world.writes == writes


def test_a_requested_run_is_not_refused_and_counts() -> None:
    world = spent()
    world.request("run/monday")
    world.rest()
    assert len(world.names("TrainingRun")) == 3
    assert len(starts(world)) == 3
    world.now = starts(world)[0] + WEEK
    world.play(3, seconds=0)
    assert len(world.names("TrainingRun")) == 3, "two of the three are younger than a week"
    assert "in the last seven days: 2" in world.condition("Triggered")["message"]


def test_a_run_that_failed_counts() -> None:
    world = spending(1)
    world.until(lambda w: w.names("TrainingRun"))
    world.finish_run("tutor-2", "OutOfMemory", "False", artifact=False)
    world.play(3, seconds=3600)
    assert world.condition("Triggered")["reason"] == "BudgetSpent"
    assert world.names("TrainingRun") == {"tutor-2"}


def test_a_run_that_was_deleted_counts() -> None:
    world = spent(1)
    del world.objects["TrainingRun", "tutor-2"]
    world.play(3, seconds=86_400)
    assert world.names("TrainingRun") == set()


def test_the_budget_counts_as_it_is_now() -> None:
    world = spent()
    world.policy["spec"]["budget"] = {"runsPerWeek": 3}
    world.rest()
    assert len(world.names("TrainingRun")) == 3
    del world.policy["spec"]["budget"]
    world.until(lambda w: len(w.names("TrainingRun")) == 4)


def test_a_budget_that_is_set_later_counts_what_started_before() -> None:
    world = spending(None)
    world.until(lambda w: len(w.names("TrainingRun")) == 3)
    world.policy["spec"]["budget"] = {"runsPerWeek": 2}
    world.rest()
    assert world.condition("Triggered")["reason"] == "BudgetSpent"
    assert len(world.names("TrainingRun")) == 3


def test_a_quiet_trigger_is_quiet_whatever_the_budget() -> None:
    world = spent()
    world.count = 0
    world.rest()
    assert world.condition("Triggered")["reason"] == "Quiet"


# --- laws -------------------------------------------------------------------------------------------------


def moments(hours: list[int]) -> tuple[datetime, ...]:
    return tuple(NOW - timedelta(hours=h) for h in hours)


@given(st.lists(st.integers(0, 400), max_size=60), st.integers(1, 10))
def test_no_seven_days_ever_hold_more_starts_than_allowed(gaps: list[int], allowed: int) -> None:
    now, kept, everything = NOW, (), []
    for gap in gaps:
        now += timedelta(hours=gap)
        if budget.free_at(kept, allowed, now) is None:
            kept = budget.with_start(kept, now)
            everything.append(now)
    for last in everything:
        assert sum(last - WEEK < s <= last for s in everything) <= allowed


@given(st.lists(st.integers(0, 400), max_size=150), st.integers(1, 32))
def test_there_is_room_at_the_moment_that_is_named_and_none_before(hours: list[int], allowed: int) -> None:
    past = moments(hours)
    free = budget.free_at(past, allowed, NOW)
    if free is not None:
        assert free > NOW
        assert budget.free_at(past, allowed, free) is None
        assert budget.free_at(past, allowed, free - timedelta(seconds=1)) == free


@given(st.lists(st.integers(0, 400), max_size=150), st.integers(1, 32))
def test_what_is_forgotten_changes_no_answer(hours: list[int], allowed: int) -> None:
    past = tuple(sorted(moments(hours)))
    kept: tuple[datetime, ...] = ()
    for start in past:
        kept = budget.with_start(kept, start)
    assert len(kept) <= budget.REMEMBERED
    assert budget.free_at(kept, allowed, NOW) == budget.free_at(past, allowed, NOW)
