"""newSamples, staleness, and all triggers together: latches, what counts as reason enough, what is Unknown."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from retrainer.api.v1alpha1.retrain_policy import (
    ChampionStatus,
    NewSamples,
    RetrainPolicySpec,
    Staleness,
    TriggerState,
    TriggerStatus,
)
from retrainer.retrain_policy.input import CountRead, CountWanted, ReadFailed, Reading
from retrainer.retrain_policy.triggers import evaluate, new_samples, staleness
from retrainer.retrain_policy.triggers.result import Question
from tests.unit.retrain_policy.policy_world import NOW, World, digest, policy

CHAMPION = ChampionStatus(revision=4, uri="file:///m", digest=digest(4), promoted_time=NOW - timedelta(days=10))


def counted(count: int, revision: int | None = 4, trigger: str = "volume") -> CountRead:
    return CountRead(CountWanted(trigger, ("thumbs",), "Any", None, revision), count)


def samples(reading: Reading | None, previous: TriggerStatus | None = None, value: Any = None) -> Any:
    settings = NewSamples(at_least=100, value=value)
    return new_samples.evaluate(settings, Question(NOW, CHAMPION, "uid", previous, reading))


@pytest.mark.parametrize(("count", "state"), [(0, "Quiet"), (99, "Quiet"), (100, "Fired"), (1000, "Fired")])
def test_enough_new_samples_fire(count: int, state: str) -> None:
    answer = samples(counted(count))
    assert answer.state == state
    assert (answer.observed, answer.threshold) == (str(count), "100")
    assert answer.message == f"{count} new records since the data set of revision 4; 100 are wanted"


def test_the_sentence_names_the_votes_that_count() -> None:
    assert "7 new negative records" in samples(counted(7), value="Negative").message


def test_a_source_that_cannot_be_read_is_unknown() -> None:
    failed = ReadFailed(counted(0).wanted, "source thumbs: no answer in time")
    answer = samples(failed)
    assert answer.state is TriggerState.UNKNOWN
    assert "no answer in time" in answer.message


def test_what_was_counted_last_stands_while_nothing_is_read() -> None:
    first = samples(counted(150))
    last = TriggerStatus(name="volume", state=first.state, message=first.message, memory=first.memory)
    assert samples(None, last).state is TriggerState.FIRED


def test_a_count_about_another_champion_says_nothing() -> None:
    old = new_samples.evaluate(
        NewSamples(at_least=100),
        Question(NOW, CHAMPION.model_copy(update={"revision": 3}), "uid", None, counted(150, revision=3)),
    )
    last = TriggerStatus(name="volume", state=old.state, memory=old.memory)
    assert samples(None, last).state is TriggerState.UNKNOWN
    assert samples(counted(150, revision=3), last).state is TriggerState.UNKNOWN


@pytest.mark.parametrize(("days", "state"), [(9, "Fired"), (10, "Fired"), (11, "Quiet")])
def test_an_old_champion_is_stale(days: int, state: str) -> None:
    answer = staleness.evaluate(Staleness(maximum_age_days=days), Question(NOW, CHAMPION, "uid"))
    assert answer.state == state
    assert answer.observed == "10"


def test_nobody_is_too_old_when_there_is_no_champion() -> None:
    answer = staleness.evaluate(Staleness(maximum_age_days=1), Question(NOW, None, "uid"))
    assert answer.state is TriggerState.INSUFFICIENT_DATA
    assert "request run" in answer.message


TWO = [
    {"name": "volume", "newSamples": {"atLeast": 100}},
    {"name": "old", "staleness": {"maximumAgeDays": 30}},
]


def spec(mode: str = "Any", triggers: list[dict[str, Any]] = TWO) -> RetrainPolicySpec:
    return RetrainPolicySpec.model_validate(policy(triggerMode=mode, triggers=triggers)["spec"])


def evaluated(
    mode: str, count: int | None, age_days: int, previous: tuple[TriggerStatus, ...] = (), now: datetime = NOW
) -> tuple[TriggerStatus, ...]:
    champion = CHAMPION.model_copy(update={"promoted_time": now - timedelta(days=age_days)})
    readings: dict[str, Reading] = {"volume": counted(0 if count is None else count)}
    if count is None:
        readings = {"volume": ReadFailed(counted(0).wanted, "down")}
    return evaluate.evaluate(spec(mode), previous, champion, readings, "uid", now)


@pytest.mark.parametrize(
    ("mode", "count", "age", "enough"),
    [
        ("Any", 100, 0, True),
        ("Any", 0, 30, True),
        ("Any", 0, 0, False),
        ("Any", None, 30, True),  # Unknown hides no other
        ("Any", None, 0, False),  # and never fires
        ("All", 100, 0, False),
        ("All", 100, 30, True),
        ("All", None, 30, False),
    ],
)
def test_one_is_enough_or_all_are_needed(mode: str, count: int | None, age: int, enough: bool) -> None:
    assert evaluate.reason_to_run(spec(mode), evaluated(mode, count, age)) is enough


def test_in_mode_all_a_trigger_that_fired_is_remembered_until_a_run_starts() -> None:
    first = evaluated("All", 100, 0)
    assert [t.latched for t in first] == [True, None]
    later = evaluated("All", 0, 30, first)
    assert [t.state for t in later] == ["Quiet", "Fired"]
    assert evaluate.fired(later) == ("volume", "old")
    assert evaluate.reason_to_run(spec("All"), later)
    started = evaluate.after_start(later, spec("All"), NOW)
    assert [t.latched for t in started] == [None, None]


def test_in_mode_any_nothing_is_latched() -> None:
    assert [t.latched for t in evaluated("Any", 100, 30)] == [None, None]


def test_the_time_of_firing_is_that_of_the_change() -> None:
    first = evaluated("Any", 100, 0)
    assert first[0].last_fired_time == NOW
    later = evaluated("Any", 200, 0, first, NOW + timedelta(hours=1))
    assert later[0].last_fired_time == NOW
    quiet = evaluated("Any", 0, 0, later, NOW + timedelta(hours=2))
    assert quiet[0].last_fired_time == NOW
    again = evaluated("Any", 100, 0, quiet, NOW + timedelta(hours=3))
    assert again[0].last_fired_time == NOW + timedelta(hours=3)


def test_a_trigger_that_left_the_spec_leaves_the_status() -> None:
    before = evaluated("Any", 100, 0)
    only = spec("Any", TWO[1:])
    after = evaluate.evaluate(only, before, CHAMPION, {}, "uid", NOW)
    assert [t.name for t in after] == ["old"]


LIKES = {"name": "likes", "positiveRate": {"signal": "vote", "below": "0.85", "minimumSamples": 200}}


def test_a_low_like_rate_leads_to_a_run_and_the_next_champion_begins_anew() -> None:
    from tests.unit.retrain_policy.test_trigger_positive_rate import votes

    world = World(policy(triggers=[LIKES]))
    world.unit_days = lambda wanted: votes(1000, 0.7) if wanted.revision == 1 else ()
    world.until(lambda w: w.status.get("champion", {}).get("revision") == 2)
    world.rest()
    (said,) = world.status["triggers"]
    assert said["state"] == "InsufficientData"
    assert "revision 2" in said["message"]
    assert world.names("TrainingRun") == {"tutor-2"}
    fired = next(e for e in world.events if e.reason == "TriggerFired")
    assert fired.message.startswith("likes: rate 0.700")


def test_the_next_look_at_votes_is_just_after_the_next_day_is_whole() -> None:
    world = World(policy(triggers=[LIKES]))
    plan = world.rest(horizon=60).step()
    whole = datetime(2026, 11, 22, 0, 5, tzinfo=NOW.tzinfo)
    assert plan.requeue_after == (whole - world.now).total_seconds()


def test_a_long_history_is_read_in_pieces_at_once() -> None:
    world = World(policy(triggers=[LIKES]))
    world.need("FeedbackSource", "thumbs")["status"]["summary"]["firstTime"] = "2026-08-01T08:00:00Z"
    asked: list[Any] = []
    world.unit_days = lambda wanted: asked.append(wanted) or ()
    world.rest()
    spans = [(str(w.first), str(w.before)) for w in dict.fromkeys(asked)]
    assert spans == [
        ("2026-08-01", "2026-09-01"),
        ("2026-09-01", "2026-10-02"),
        ("2026-10-02", "2026-11-02"),
        ("2026-11-02", "2026-11-21"),
    ]


def test_a_schedule_starts_one_run_and_shows_its_next_slot() -> None:
    world = World(policy(triggers=[{"name": "weekly", "schedule": {"cron": "0 2 * * 1"}}]))
    world.rest()
    assert world.status["nextScheduleTime"] == "2026-11-23T02:00:00Z"
    assert world.names("TrainingRun") == set()
    world.now = datetime(2026, 11, 23, 2, 0, tzinfo=NOW.tzinfo)
    world.rest()
    assert world.names("TrainingRun") == {"tutor-2"}
    world.now = datetime(2026, 11, 24, 2, 0, tzinfo=NOW.tzinfo)
    world.rest()
    assert world.names("TrainingRun") == {"tutor-2"}
    assert world.status["nextScheduleTime"] == "2026-11-30T02:00:00Z"


def test_all_triggers_over_time_lead_to_one_run() -> None:
    both = [TWO[0], {"name": "weekly", "schedule": {"cron": "0 2 * * 1"}}]
    world = World(policy(triggers=both, triggerMode="All"))
    world.count = 150
    world.rest()
    assert "waits for the others" in world.condition("Triggered")["message"]
    world.count = 3  # people took votes back
    world.now = datetime(2026, 11, 23, 2, 0, tzinfo=NOW.tzinfo)
    world.rest()
    assert world.names("TrainingRun") == {"tutor-2"}
    assert not any(t.get("latched") for t in world.status["triggers"])


def test_an_unreadable_source_is_told_and_starts_nothing() -> None:
    world = World()
    world.reads_fail = "source thumbs: no answer in time"
    world.rest()
    assert world.status["triggers"][0]["state"] == "Unknown"
    assert "not known: volume" in world.condition("Triggered")["message"]
    assert world.names("TrainingRun") == set()


def test_what_was_counted_under_other_settings_says_nothing() -> None:
    first = samples(counted(150))
    last = TriggerStatus(name="volume", state=first.state, message=first.message, memory=first.memory)
    assert samples(None, last, value="Negative").state is TriggerState.UNKNOWN
    more = new_samples.evaluate(NewSamples(at_least=1000), Question(NOW, CHAMPION, "uid", last, None))
    assert more.state is TriggerState.UNKNOWN


def test_votes_that_cannot_be_read_for_days_are_not_asked_for_at_once_again() -> None:
    world = World(policy(triggers=[LIKES]))
    world.rest(horizon=60)
    world.now += timedelta(days=3)
    world.reads_fail = "source thumbs: no answer in time"
    assert (world.settle().requeue_after or 0) > 60
    world.reads_fail = None
    assert world.rest(horizon=60).status["triggers"][0]["memory"].count("2026-11-23") == 1


def test_votes_that_another_invalid_trigger_keeps_from_being_counted_are_not_read_in_a_loop() -> None:
    world = World(policy(triggers=[LIKES]))
    world.rest(horizon=60)
    world.now += timedelta(days=3)
    broken = {"name": "weekly", "schedule": {"cron": "0 2 31 2 *"}}
    world.policy["spec"]["triggers"] = [LIKES, broken]
    assert (world.settle().requeue_after or 0) > 60
    assert world.condition("Stalled")
