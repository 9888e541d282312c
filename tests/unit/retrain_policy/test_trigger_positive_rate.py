"""positiveRate: the e-CUSUM bets as written down, counts whole days once, and forgets with the champion."""

import json
import math
import random
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrainer.api.v1alpha1.retrain_policy import ChampionStatus, PositiveRate, TriggerState, TriggerStatus
from retrainer.retrain_policy.input import ReadFailed, UnitDay, UnitDaysRead, UnitDaysWanted
from retrainer.retrain_policy.triggers import positive_rate
from retrainer.retrain_policy.triggers.result import Answer, Question
from tests.unit.retrain_policy.policy_world import NOW, digest

DAY = date(2026, 11, 17)
SETTINGS = PositiveRate(signal="vote", below="0.85", minimum_samples=200)


def champion(revision: int = 1) -> ChampionStatus:
    return ChampionStatus(revision=revision, uri="file:///m", digest=digest(revision), promoted_time=NOW)


def wanted(first: date = DAY, before: date = DAY + timedelta(days=4), revision: int = 1) -> UnitDaysWanted:
    return UnitDaysWanted("likes", ("thumbs",), "vote", ("1",), first, before, revision)


def votes(count: int, share: float, first: date = DAY, days: int = 4, seed: int = 1) -> tuple[UnitDay, ...]:
    """Unit-days with exactly this share of ones, spread over the days."""
    ones = round(count * share)
    values = [1.0] * ones + [0.0] * (count - ones)
    random.Random(seed).shuffle(values)
    return tuple(UnitDay(first + timedelta(days=i % days), f"unit-{i}", y, 1) for i, y in enumerate(values))


def ask(days: tuple[UnitDay, ...] | None, previous: Answer | None = None, revision: int = 1) -> Answer:
    last = None
    if previous is not None:
        last = TriggerStatus(name="likes", state=previous.state, memory=previous.memory)
    reading = None if days is None else UnitDaysRead(wanted(revision=revision), days)
    return positive_rate.evaluate(SETTINGS, Question(NOW, champion(revision), "uid", last, reading))


def test_people_who_like_it_less_than_wanted_fire_it() -> None:
    answer = ask(votes(1000, 0.70))
    assert answer.state is TriggerState.FIRED
    assert answer.observed == "0.700"
    assert answer.threshold == "0.85"
    assert "beyond chance" in answer.message


def test_a_point_estimate_below_target_is_quiet_with_its_interval() -> None:
    answer = ask(votes(300, 0.83))
    assert answer.state is TriggerState.QUIET
    assert "rate 0.830 (95 % interval 0.783 to 0.868)" in answer.message
    assert "not beyond chance yet" in answer.message


def test_people_who_like_it_leave_it_quiet() -> None:
    answer = ask(votes(1000, 0.90))
    assert answer.state is TriggerState.QUIET
    assert "chance" not in answer.message


def test_fewer_votes_than_the_minimum_prove_nothing_however_bad_they_are() -> None:
    answer = ask(votes(199, 0.0))
    assert answer.state is TriggerState.INSUFFICIENT_DATA
    assert "199 votes" in answer.message
    assert "200 are needed" in answer.message


def test_a_source_that_cannot_be_read_is_unknown_and_forgets_nothing() -> None:
    before = ask(votes(1000, 0.70))
    last = TriggerStatus(name="likes", state=before.state, memory=before.memory)
    failed = ReadFailed(wanted(), "source thumbs: no answer in time")
    answer = positive_rate.evaluate(SETTINGS, Question(NOW, champion(), "uid", last, failed))
    assert answer.state is TriggerState.UNKNOWN
    assert answer.memory == before.memory


def test_without_a_champion_there_is_nothing_to_vote_on() -> None:
    answer = positive_rate.evaluate(SETTINGS, Question(NOW, None, "uid"))
    assert answer.state is TriggerState.INSUFFICIENT_DATA


def test_what_was_learnt_stands_while_nothing_new_is_read() -> None:
    before = ask(votes(1000, 0.70))
    assert ask(None, before) == before


def test_days_that_were_counted_are_not_counted_again() -> None:
    before = ask(votes(1000, 0.70))
    assert ask(votes(1000, 0.70), before).memory == before.memory


def test_the_memory_resets_with_the_champion() -> None:
    before = ask(votes(1000, 0.70))
    after = ask(None, before, revision=2)
    assert after.state is TriggerState.INSUFFICIENT_DATA
    assert json.loads(after.memory or "")["votes"] == 0


def test_votes_about_another_champion_are_not_learnt_from() -> None:
    reading = UnitDaysRead(wanted(revision=1), votes(1000, 0.70))
    answer = positive_rate.evaluate(SETTINGS, Question(NOW, champion(2), "uid", None, reading))
    assert answer.state is TriggerState.INSUFFICIENT_DATA


def test_the_alarm_ends_when_the_rate_recovers() -> None:
    fired = ask(votes(5000, 0.50))
    assert fired.state is TriggerState.FIRED
    last = TriggerStatus(name="likes", state=fired.state, memory=fired.memory)
    first = DAY + timedelta(days=4)
    reading = UnitDaysRead(wanted(first, first + timedelta(days=4)), votes(3000, 0.95, first))
    answer = positive_rate.evaluate(SETTINGS, Question(NOW, champion(), "uid", last, reading))
    assert answer.state is TriggerState.QUIET


@pytest.mark.parametrize("memory", ["", "{", "[]", '{"revision": 1}', '{"revision": 1, "m": [1], "votes": 3}', "null"])
def test_a_memory_that_cannot_be_read_begins_anew(memory: str) -> None:
    assert positive_rate.recall(memory, 1) == positive_rate.Memory(1)


def test_one_bet_by_hand() -> None:
    """p0 = .85, y = 0: each M grows by 1 + .85 λ; y = 1: shrinks by 1 - .15 λ from at least 1."""
    rates = positive_rate.capped_rates(0.85)
    assert rates == (0.2, 0.4, 0.8, 1.6, 3.2)
    down = positive_rate.step((1.0,) * 5, 0.0, 0.85, rates)
    assert down == pytest.approx([1.17, 1.34, 1.68, 2.36, 3.72])
    up = positive_rate.step(down, 1.0, 0.85, rates)
    assert up == pytest.approx([1.17 * 0.97, 1.34 * 0.94, 1.68 * 0.88, 2.36 * 0.76, 3.72 * 0.52])
    assert positive_rate.step((0.01,) * 5, 0.0, 0.85, rates) == pytest.approx(down), "it restarts at 1"


def test_no_bet_loses_more_than_nine_tenths() -> None:
    for target in (0.01, 0.1, 0.5, 0.72, 0.85, 0.99):
        rates = positive_rate.capped_rates(target)
        assert min(1 + rate * (target - 1.0) for rate in rates) >= 0.1 - 1e-12


def test_the_alarm_is_the_mean_of_the_bets_at_twenty_thousand() -> None:
    below, at = (0.0, 0.0, 0.0, 0.0, 99_999.9), (0.0, 0.0, 0.0, 0.0, 100_000.0)
    assert positive_rate.evidence(below) < positive_rate.ALARM <= positive_rate.evidence(at)


def test_within_a_day_the_order_is_a_keyed_hash_that_nobody_can_choose() -> None:
    days = votes(50, 0.5)
    assert positive_rate.in_order(days, "uid") == positive_rate.in_order(reversed(days), "uid")
    assert positive_rate.in_order(days, "uid") != positive_rate.in_order(days, "other")
    ordered = positive_rate.in_order(days, "uid")
    assert [d.day for d in ordered] == sorted(d.day for d in days)
    # HMAC-SHA-256 with key "uid2026-11-17": independently computed.
    import hashlib
    import hmac

    first_day = [d.unit for d in ordered if d.day == DAY]
    by_hand = sorted(first_day, key=lambda u: hmac.new(b"uid2026-11-17", u.encode(), hashlib.sha256).digest())
    assert first_day == by_hand


@given(
    st.lists(st.tuples(st.integers(0, 9), st.floats(0, 1), st.integers(1, 5)), max_size=120),
    st.integers(0, 9),
)
def test_reading_day_by_day_or_all_at_once_comes_to_the_same(rows: list[tuple[int, float, int]], cut: int) -> None:
    days = tuple(UnitDay(DAY + timedelta(days=d), f"u{i}", y, n) for i, (d, y, n) in enumerate(rows))
    end, middle = DAY + timedelta(days=10), DAY + timedelta(days=cut)
    begin = positive_rate.Memory(1)
    whole = positive_rate.learn(begin, UnitDaysRead(wanted(DAY, end), days), 0.85, "uid")
    early = tuple(d for d in days if d.day < middle)
    late = tuple(d for d in days if d.day >= middle)
    half = positive_rate.learn(begin, UnitDaysRead(wanted(DAY, middle), early), 0.85, "uid")
    kept = positive_rate.recall(positive_rate.keep(half), 1)
    parts = positive_rate.learn(kept, UnitDaysRead(wanted(middle, end), late), 0.85, "uid")
    assert parts.values == whole.values
    assert (parts.votes, parts.unit_days, parts.through) == (whole.votes, whole.unit_days, whole.through)
    assert math.isclose(parts.total, whole.total, abs_tol=1e-9)


@given(
    st.tuples(*[st.floats(0, 1e9, allow_nan=False)] * 5),
    st.integers(0, 10**12),
    st.integers(0, 10**12),
    st.floats(0, 1e12, allow_nan=False),
    st.integers(1, 10**9),
)
def test_the_memory_is_exact_and_below_one_kibibyte(
    values: tuple[float, ...], n: int, days: int, total: float, revision: int
) -> None:
    memory = positive_rate.Memory(revision, values, DAY, n, days, total)
    text = positive_rate.keep(memory)
    assert len(text.encode()) <= 1024
    assert positive_rate.recall(text, revision) == memory


def test_wilson_by_hand() -> None:
    """8 of 10: .4902 to .9433 (Wilson 1927, z = 1.96)."""
    low, high = positive_rate.wilson(0.8, 10)
    assert (round(low, 4), round(high, 4)) == (0.4902, 0.9433)
    assert positive_rate.wilson(1.0, 10)[1] == 1.0
    assert positive_rate.wilson(0.0, 10)[0] == 0.0
