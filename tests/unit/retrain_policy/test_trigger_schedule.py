"""schedule: time zones, the two days a year on which clocks jump, missed slots, and what is refused."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrainer.api.v1alpha1.retrain_policy import Schedule, TriggerState, TriggerStatus
from retrainer.retrain_policy.triggers import schedule
from retrainer.retrain_policy.triggers.result import Answer, InvalidTrigger, Question
from tests.unit.retrain_policy.policy_world import NOW

WEEKLY = Schedule(cron="0 2 * * 1")  # NOW is a Saturday


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def ask(settings: Schedule, now: datetime, previous: Answer | None = None) -> Answer:
    last = None if previous is None else TriggerStatus(name="w", state=previous.state, memory=previous.memory)
    return schedule.evaluate(settings, Question(now, None, "uid", last))


def test_slots_before_the_trigger_was_first_seen_do_not_count() -> None:
    answer = ask(WEEKLY, NOW)
    assert answer.state is TriggerState.QUIET
    assert answer.message == "the next slot is 2026-11-23T02:00:00Z"


def test_it_fires_when_the_slot_has_come() -> None:
    first = ask(WEEKLY, NOW)
    assert ask(WEEKLY, at("2026-11-23T01:59:59"), first).state is TriggerState.QUIET
    fired = ask(WEEKLY, at("2026-11-23T02:00:00"), first)
    assert fired.state is TriggerState.FIRED
    assert fired.observed == "2026-11-23T02:00:00Z"


def test_it_stays_fired_until_a_run_starts_so_that_no_cooldown_swallows_it() -> None:
    first = ask(WEEKLY, NOW)
    later = ask(WEEKLY, at("2026-11-26T10:00:00"), first)
    assert later.state is TriggerState.FIRED
    after = Answer(later.state, later.message, memory=schedule.consume(later.memory, at("2026-11-26T10:00:00")))
    assert ask(WEEKLY, at("2026-11-26T10:00:01"), after).state is TriggerState.QUIET
    assert ask(WEEKLY, at("2026-11-30T02:00:00"), after).state is TriggerState.FIRED


def test_slots_that_were_missed_fire_once() -> None:
    first = ask(WEEKLY, NOW)
    now = NOW + timedelta(days=30)
    fired = ask(WEEKLY, now, first)
    assert fired.state is TriggerState.FIRED
    after = Answer(fired.state, fired.message, memory=schedule.consume(fired.memory, now))
    assert ask(WEEKLY, now + timedelta(seconds=1), after).state is TriggerState.QUIET


def test_a_changed_schedule_begins_anew_and_does_not_fire_for_the_past() -> None:
    first = ask(WEEKLY, NOW)
    daily = Schedule(cron="0 1 * * *")
    answer = ask(daily, NOW + timedelta(days=1), first)
    assert answer.state is TriggerState.QUIET
    assert json.loads(answer.memory or "")["after"] == "2026-11-22T12:00:00Z"


def test_more_blanks_are_no_change() -> None:
    first = ask(WEEKLY, NOW)
    assert ask(Schedule(cron=" 0  2 * * 1"), at("2026-11-23T02:00:00"), first).state is TriggerState.FIRED


@pytest.mark.parametrize("memory", ["", "{", "[]", '{"after": "x"}', "null"])
def test_a_memory_that_cannot_be_read_begins_anew(memory: str) -> None:
    last = TriggerStatus(name="w", state=TriggerState.QUIET, memory=memory)
    assert schedule.evaluate(WEEKLY, Question(NOW, None, "uid", last)).state is TriggerState.QUIET


def test_the_slot_is_on_the_clock_of_the_zone() -> None:
    berlin = Schedule(cron="0 2 * * 1", time_zone="Europe/Berlin")
    assert schedule.next_slot(berlin, NOW) == at("2026-11-23T01:00:00")
    assert schedule.next_slot(berlin, at("2026-07-01T00:00:00")) == at("2026-07-06T00:00:00")


def slots(settings: Schedule, start: datetime, count: int) -> list[str]:
    found = []
    for _ in range(count):
        start = schedule.next_slot(settings, start)
        found.append(start.strftime("%d %H:%M"))
    return found


def test_a_slot_in_the_hour_that_spring_skips_comes_once() -> None:
    nightly = Schedule(cron="30 2 * * *", time_zone="Europe/Berlin")
    assert slots(nightly, at("2026-03-27T12:00:00"), 3) == ["28 01:30", "29 01:30", "30 00:30"]


def test_a_slot_in_the_hour_that_autumn_repeats_comes_once() -> None:
    nightly = Schedule(cron="30 2 * * *", time_zone="Europe/Berlin")
    assert slots(nightly, at("2026-10-23T12:00:00"), 3) == ["24 00:30", "25 00:30", "26 01:30"]


ZONES = ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "Etc/UTC"]


@pytest.mark.parametrize("zone", ZONES)
def test_a_nightly_slot_comes_once_on_every_day_of_a_year(zone: str) -> None:
    nightly = Schedule(cron="15 2 * * *", time_zone=zone)
    moment, seen = at("2026-01-01T00:00:00"), 0
    while moment < at("2027-01-01T00:00:00"):
        moment = schedule.next_slot(nightly, moment)
        seen += 1
    assert seen in (365, 366)


@given(
    st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1)),
    st.sampled_from(["0 2 * * 1", "*/20 * * * *", "30 2 * * *", "0 0 1 * *", "5 4 * * sun"]),
    st.sampled_from(ZONES),
)
def test_the_slot_that_was_announced_is_the_one_that_fires(moment: datetime, cron: str, zone: str) -> None:
    settings = Schedule(cron=cron, time_zone=zone)
    now = moment.replace(tzinfo=UTC, microsecond=0)
    first = ask(settings, now)
    assert first.state is TriggerState.QUIET
    coming = schedule.next_slot(settings, now)
    assert coming > now
    assert ask(settings, coming, first).state is TriggerState.FIRED


@pytest.mark.parametrize(
    "cron",
    [
        "00 02 * *",
        "0 0 2 * * 1",
        "@daily x x x x",
        "H 2 * * *",
        "r(1-5) 2 * * *",
        "61 * * * *",
        "0 24 * * *",
        "a b c d e",
        "0 2 * * 9",
    ],
)
def test_what_is_not_a_schedule_is_refused_with_an_example(cron: str) -> None:
    with pytest.raises(InvalidTrigger, match=r"trigger w: schedule\.cron .* is not a schedule"):
        schedule.validate("w", Schedule(cron=cron))


def test_a_date_that_never_comes_is_refused() -> None:
    with pytest.raises(InvalidTrigger, match="never comes"):
        schedule.validate("w", Schedule(cron="0 2 30 2 *"))


@pytest.mark.parametrize("zone", ["Mars/Base", "../../etc/passwd", "/etc/localtime", " "])
def test_a_zone_that_is_not_known_is_refused(zone: str) -> None:
    with pytest.raises(InvalidTrigger, match=r"schedule\.timeZone"):
        schedule.validate("w", Schedule(cron="0 2 * * 1", time_zone=zone))


def test_a_leap_day_is_a_date_that_comes() -> None:
    leap = Schedule(cron="0 0 29 2 *")
    schedule.validate("w", leap)
    assert schedule.next_slot(leap, NOW) == at("2028-02-29T00:00:00")


def test_memory_of_nothing_stays_nothing() -> None:
    assert schedule.consume(None, NOW) is None
