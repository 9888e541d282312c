"""The interval of a change: honest for small, clustered and identical data."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrainer.api.v1alpha1.training_parts import Target
from trainer.bootstrap import RESAMPLES, Change, changes, sum_by_unit
from trainer.metrics import Scored, standard_measures

MEASURES = {m.name: m for m in standard_measures((Target(name="t"),))}
NUMBERS = {m.name: m for m in standard_measures((Target(name="t", type="Regression"),))}


def answers(right: np.ndarray) -> Scored:
    """A model that is right on these rows; the truth is always class 0."""
    return Scored(np.zeros(len(right)), np.where(right[:, None], [[0.9, 0.1]], [[0.1, 0.9]]))


def compare(
    candidate: Scored, champion: Scored, unit: np.ndarray | None = None, metric: str = "accuracy", seed: int = 1
) -> Change:
    unit = np.arange(len(candidate.truth)) if unit is None else unit
    units = int(unit.max()) + 1
    measure = {**MEASURES, **NUMBERS}[metric]
    sums = sum_by_unit(measure.metric, candidate, champion, unit, units)
    return changes([(measure, [sums])], units, seed)[0]


@given(st.lists(st.booleans(), min_size=1, max_size=60), st.sampled_from(sorted(MEASURES)))
@settings(max_examples=30, deadline=None)
def test_identical_models_never_show_an_improvement(right: list[bool], metric: str) -> None:
    same = answers(np.array(right))
    found = compare(same, same, metric=metric)
    bound = found.bound(0.95)
    assert found.candidate == found.champion
    assert bound is not None and bound <= 0


def test_twenty_identical_answers_do_not_prove_that_nothing_was_lost() -> None:
    same = answers(np.arange(20) > 3)
    bound = compare(same, same).bound(0.95)
    assert bound is not None and bound < -0.05


def test_many_identical_answers_do_prove_it() -> None:
    same = answers(np.arange(400) > 60)
    bound = compare(same, same).bound(0.95)
    assert bound is not None and -0.02 < bound < 0


def test_the_point_values_leave_the_pseudo_units_out() -> None:
    found = compare(answers(np.arange(10) > 0), answers(np.arange(10) > 4))
    assert (found.candidate, found.champion) == (0.9, 0.5)


def test_a_clear_improvement_is_found() -> None:
    found = compare(answers(np.arange(200) >= 20), answers(np.arange(200) >= 80))
    bound = found.bound(0.95)
    assert bound is not None and 0.2 < bound < 0.3


def test_less_is_better_turns_the_sign_of_the_improvement() -> None:
    truth = np.linspace(0, 1, 200)
    close, far = Scored(truth, truth + 0.01), Scored(truth, truth + 0.3)
    better = compare(close, far, metric="meanAbsoluteError")
    assert better.candidate < (better.champion or 0)
    assert (better.bound(0.95) or 0) > 0.2
    assert (compare(far, close, metric="meanAbsoluteError").bound(0.95) or 0) < -0.2


def test_rows_of_few_units_say_less_than_rows_of_many() -> None:
    chance = np.random.default_rng(3)
    worse_unit = chance.random(10) < 0.4
    unit = np.repeat(np.arange(10), 30)
    candidate, champion = answers(np.ones(300, dtype=bool)), answers(~worse_unit[unit])
    clustered = compare(candidate, champion, unit).spread()
    alone = compare(candidate, champion).spread()
    assert clustered is not None and alone is not None
    assert clustered > 3 * alone


def test_the_interval_covers_the_true_change() -> None:
    """60 data sets of 150 units with a true change of 0.1: the one-sided 95 % bound lies below it nearly always."""
    below = 0
    for seed in range(60):
        chance = np.random.default_rng(seed)
        shared = chance.random(150)
        candidate, champion = answers(shared < 0.85), answers(shared < 0.75)
        bound = compare(candidate, champion, seed=seed).bound(0.95)
        below += bound is not None and bound <= 0.1
    assert below >= 55


def test_an_equal_model_passes_a_strict_gate_about_as_often_as_its_confidence_says() -> None:
    """Equal models with independent errors: a shown improvement above zero at 95 % is wrong in about 5 %."""
    wrong = 0
    for seed in range(60):
        chance = np.random.default_rng(1000 + seed)
        candidate, champion = answers(chance.random(120) < 0.8), answers(chance.random(120) < 0.8)
        wrong += (compare(candidate, champion, seed=seed).bound(0.95) or 0) > 0
    assert wrong <= 8


def test_the_same_seed_gives_the_same_interval() -> None:
    candidate, champion = answers(np.arange(50) > 5), answers(np.arange(50) > 9)
    one, other = compare(candidate, champion, seed=7), compare(candidate, champion, seed=7)
    assert one.improvements is not None and other.improvements is not None
    assert len(one.improvements) == RESAMPLES
    assert (one.improvements == other.improvements).all()


def test_without_a_champion_there_are_values_and_no_change() -> None:
    measure = MEASURES["accuracy"]
    sums = sum_by_unit(measure.metric, answers(np.arange(10) > 0), None, np.arange(10), 10)
    found = changes([(measure, [sums])], 10, 1)[0]
    assert (found.candidate, found.champion, found.improvements) == (0.9, None, None)
    assert found.bound(0.95) is None


def test_one_measure_without_a_champion_does_not_disturb_the_others() -> None:
    measure = MEASURES["accuracy"]
    one, other = answers(np.arange(30) > 0), answers(np.arange(30) > 9)
    unit = np.arange(30)
    alone = changes([(measure, [sum_by_unit(measure.metric, one, other, unit, 30)])], 30, 5)[0]
    mixed = changes(
        [
            (measure, [sum_by_unit(measure.metric, one, None, unit, 30)]),
            (measure, [sum_by_unit(measure.metric, one, other, unit, 30)]),
        ],
        30,
        5,
    )
    assert mixed[0].improvements is None
    assert mixed[1].bound(0.9) == pytest.approx(alone.bound(0.9))


@given(st.integers(2, 12), st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_a_better_candidate_in_every_row_is_never_shown_to_be_worse(rows: int, seed: int) -> None:
    found = compare(answers(np.ones(rows, dtype=bool)), answers(np.zeros(rows, dtype=bool)), seed=seed)
    assert found.improvements is not None
    assert np.median(found.improvements) > 0
