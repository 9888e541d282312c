"""The three sides: laws that hold for any feedback, whatever its order."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.trainer.trainer_world import DAY, EPOCH, facts_of, record, selection
from trainer.rows import Record
from trainer.selection import latest_rows, latest_versions
from trainer.split import (
    EVALUATION,
    NOWHERE,
    TIME_WITH_DISJOINT_UNITS,
    TRAIN,
    VALIDATION,
    ChampionPast,
    Division,
    divide,
    independent_units,
)
from trainer.spool import Facts, identity_key

FEEDBACK = st.lists(st.tuples(st.integers(0, 10 * DAY), st.integers(0, 30), st.booleans()), min_size=1, max_size=120)
SPLITS = st.sampled_from(["UnitAndTime", "Unit", "Time", "Random"])


DEPENDENT: dict[str, Any] = {"labels": {}, "corrections": {"digit": "no"}}


def records_of(feedback: list[tuple[int, int, bool]]) -> list[Record]:
    return [
        record(
            n,
            time=EPOCH + moment,
            unit=f"u{unit}",
            **({} if labelled else {"labels": {}, "corrections": {"digit": "x"}}),
        )
        for n, (moment, unit, labelled) in enumerate(feedback)
    ]


def split(
    records: list[Record], past: ChampionPast | None = None, needed: int = 0, **data: Any
) -> tuple[Facts, Division]:
    facts = facts_of(records, seed=data.get("seed", 42))
    keep = np.ones(len(facts), dtype=bool)
    return facts, divide(facts, keep, selection(**data), past or ChampionPast(), needed)


def by_identity(facts: Facts, division: Division) -> dict[bytes, int]:
    return dict(zip(facts.identity.tolist(), division.sides.tolist(), strict=True))


@given(FEEDBACK, SPLITS, st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_the_split_does_not_depend_on_the_order_of_rows(
    feedback: list[tuple[int, int, bool]], how: str, shuffler: random.Random
) -> None:
    records = records_of(feedback)
    first = by_identity(*split(records, split=how))
    shuffled = list(records)
    shuffler.shuffle(shuffled)
    assert by_identity(*split(shuffled, split=how)) == first


@given(FEEDBACK)
@settings(max_examples=40, deadline=None)
def test_evaluation_is_later_than_training_and_of_other_units(feedback: list[tuple[int, int, bool]]) -> None:
    facts, division = split(records_of(feedback), split="UnitAndTime", evaluation_percent=30)
    learnt = (division.sides == TRAIN) | (division.sides == VALIDATION)
    judged = division.sides == EVALUATION
    assert not set(facts.unit[learnt]) & set(facts.unit[judged])
    if learnt.any() and judged.any():
        assert facts.times[learnt].max() < facts.times[judged].min()


@given(FEEDBACK, SPLITS)
@settings(max_examples=40, deadline=None)
def test_every_row_is_on_one_side_or_counted_as_dropped(feedback: list[tuple[int, int, bool]], how: str) -> None:
    facts, division = split(records_of(feedback), ChampionPast(EPOCH + 5 * DAY), split=how)
    assert sum(division.drops.values()) == division.count(NOWHERE)
    counts = Counter(division.sides.tolist())
    assert sum(counts.values()) == len(facts)


@given(FEEDBACK, SPLITS)
@settings(max_examples=40, deadline=None)
def test_validation_and_training_have_no_unit_in_common(feedback: list[tuple[int, int, bool]], how: str) -> None:
    facts, division = split(records_of(feedback), split=how, validation_percent=40)
    assert not set(facts.unit[division.sides == TRAIN]) & set(facts.unit[division.sides == VALIDATION])
    learnt = division.count(TRAIN) + division.count(VALIDATION)
    assert division.count(VALIDATION) <= 0.4 * learnt


@given(FEEDBACK, SPLITS, st.integers(0, 10 * DAY))
@settings(max_examples=40, deadline=None)
def test_no_row_that_the_champion_may_know_is_evaluated(
    feedback: list[tuple[int, int, bool]], how: str, through: int
) -> None:
    records = records_of(feedback)
    known = np.array([identity_key("s", r.id) for r in records[::3]], dtype="S32")
    facts, division = split(records, ChampionPast(EPOCH + through, known), split=how)
    judged = division.sides == EVALUATION
    assert (facts.times[judged] > EPOCH + through).all()
    assert not np.isin(facts.identity[judged], known).any()


def many(count: int = 2000, units: int = 400, seed: int = 1) -> list[Record]:
    chance = random.Random(seed)
    return [
        record(n, time=EPOCH + chance.randrange(10 * DAY), unit=f"u{chance.randrange(units)}") for n in range(count)
    ]


@pytest.mark.parametrize("percent", [10, 20, 30])
def test_unit_and_time_share_the_root_of_the_percentage(percent: int) -> None:
    facts, division = split(many(), split="UnitAndTime", evaluation_percent=percent)
    share = (percent / 100) ** 0.5
    assert division.count(EVALUATION) / len(facts) == pytest.approx(percent / 100, abs=0.04)
    learnt = division.count(TRAIN) + division.count(VALIDATION)
    assert learnt / len(facts) == pytest.approx((1 - share) ** 2, abs=0.05)
    assert division.drops["SplitDiscarded"] / len(facts) == pytest.approx(2 * share * (1 - share), abs=0.05)
    assert division.used == "UnitAndTime"


def test_another_seed_evaluates_on_other_units() -> None:
    facts, one = split(many(), split="UnitAndTime", seed=1)
    _, other = split(many(), split="UnitAndTime", seed=2)
    assert set(facts.unit[one.sides == EVALUATION]) != set(facts.unit[other.sides == EVALUATION])


def loners(count: int = 40) -> list[Record]:
    """Few rows in which one late unit answers almost everything, so that its hash decides alone."""
    early = [record(n, unit=f"early{n}") for n in range(count)]
    late = [record(count + n, unit="heavy" if n % 8 else f"late{n}") for n in range(count)]
    return early + late


def test_where_unit_and_time_leave_too_little_evaluation_is_by_time_with_disjoint_units() -> None:
    used = set()
    for seed in range(6):
        facts, division = split(loners(), split="UnitAndTime", seed=seed, evaluation_percent=20)
        used.add(division.used)
        learnt = division.sides == TRAIN
        judged = division.sides == EVALUATION
        assert not set(facts.unit[learnt]) & set(facts.unit[judged])
        if division.used == TIME_WITH_DISJOINT_UNITS:
            assert division.count(EVALUATION) == 16
            assert facts.times[learnt].max() < facts.times[judged].min()
    assert used == {"UnitAndTime", TIME_WITH_DISJOINT_UNITS}


def test_the_fallback_is_taken_only_where_a_gate_lacks_its_units() -> None:
    records = [record(n, unit=f"u{n}") for n in range(300)]
    used = set()
    for seed in range(6):
        facts, plain = split(records, split="UnitAndTime", seed=seed)
        _, demanding = split(records, needed=60, split="UnitAndTime", seed=seed)
        found = independent_units(facts, plain)
        assert plain.used == "UnitAndTime"
        assert demanding.used == (TIME_WITH_DISJOINT_UNITS if found < 60 else "UnitAndTime")
        assert independent_units(facts, demanding) == max(found, 60)
        used.add(demanding.used)
    assert len(used) == 2


def test_only_rows_with_an_independent_truth_count_as_independent_units() -> None:
    records = [
        record(n, unit=f"u{n}", **({"labels": {}, "corrections": {"digit": "no"}} if n % 2 else {})) for n in range(60)
    ]
    facts, division = split(records, split="Time", evaluation_percent=50)
    assert division.count(EVALUATION) == 30
    assert independent_units(facts, division) == 15


def test_rows_at_the_same_moment_are_on_the_same_side() -> None:
    records = [record(n, time=EPOCH + (n // 10) * DAY) for n in range(100)]
    facts, division = split(records, split="Time", evaluation_percent=25, validation_percent=5)
    for moment in np.unique(facts.times):
        sides = set((division.sides[facts.times == moment] == EVALUATION).tolist())
        assert len(sides) == 1


def test_the_latest_vote_on_an_answer_counts() -> None:
    votes = [
        record(1, id="a", identity="q:a", unit="u", time=EPOCH + 5),
        record(2, id="b", identity="q:a", unit="u", time=EPOCH + 9),
        record(3, id="c", identity="q:a", unit="other", time=EPOCH + 1),
    ]
    facts = facts_of(votes)
    assert latest_versions(facts).tolist() == [False, True, True]
    assert latest_versions(facts_of(votes[::-1])).tolist() == [True, True, False]


@given(st.permutations(range(6)))
@settings(max_examples=20, deadline=None)
def test_of_votes_at_one_moment_the_same_one_counts_in_any_order(order: list[int]) -> None:
    votes = [record(n, identity="q:a", unit="u", time=EPOCH) for n in range(6)]
    facts = facts_of([votes[n] for n in order])
    kept = facts.identity[latest_versions(facts)].tolist()
    reference = facts_of(votes)
    assert kept == reference.identity[latest_versions(reference)].tolist()
    assert len(kept) == 1


@given(st.permutations(range(8)), st.integers(1, 8))
@settings(max_examples=20, deadline=None)
def test_the_maximum_keeps_the_latest_rows(order: list[int], maximum: int) -> None:
    facts = facts_of([record(n) for n in order])
    kept = latest_rows(facts, np.ones(8, dtype=bool), maximum)
    assert sorted(facts.times[kept].tolist()) == [EPOCH + n * 60_000_000 for n in range(8 - maximum, 8)]


def test_no_rows_are_no_error() -> None:
    facts, division = split([])
    assert len(facts) == 0
    assert division.count(TRAIN) == 0
