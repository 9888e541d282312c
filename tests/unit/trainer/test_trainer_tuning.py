"""The search for parameters: what it tries, what it may look at, where it continues, and what it keeps."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrainer.api.v1alpha1.training_parts import Parameter, Tuning, XGBoost
from tests.unit.trainer.trainer_tables import (
    training,
)
from tests.unit.trainer.trainer_world import DIGIT, facts_of, record
from trainer.demands import require_folds
from trainer.errors import ConfigurationError, DataError, Diverged, Interrupted
from trainer.methods.class_weights import balanced
from trainer.methods.folds import grouped_folds
from trainer.methods.tuning import SPACE, Search, Trial, Tuner, check_settings, space_of
from trainer.split import TRAIN, Division
from trainer.table import Table


def bowl(parameters: Mapping[str, Any], fold: int) -> float:
    """A made-up loss, least at eta 0.1 and depth 4."""
    return math.log(float(parameters["eta"]) / 0.1) ** 2 + (int(parameters["max_depth"]) - 4) ** 2 / 10 + fold / 100


def tuner(loss: Callable[[Mapping[str, Any], int], float] = bowl, **changes: Any) -> Tuner:
    base: dict[str, Any] = {
        "settings": Tuning(trials=14, folds=2),
        "target": "digit",
        "space": {name: SPACE[name] for name in ("eta", "max_depth")},
        "fold_weights": (1.0, 1.0),
        "seed": 42,
        "budget": math.inf,
        "loss": loss,
        "report": lambda search: None,
        "save": lambda search: None,
        "clock": lambda: 0.0,
    }
    return Tuner(**{**base, **changes})


def test_the_first_trial_is_the_setting_without_tuning_and_later_ones_beat_it() -> None:
    search = tuner().run(Search())
    first, best = search.trials[0], tuner().best(search)
    assert first.parameters == {"eta": 0.3, "max_depth": 6}
    assert len(search.trials) == 14
    assert tuner().value(best) < tuner().value(first) / 4
    assert {type(trial.parameters["max_depth"]) for trial in search.trials} == {int}


def test_the_seed_decides_what_is_tried() -> None:
    assert tuner().run(Search()) == tuner().run(Search())
    assert tuner().run(Search()) != tuner(seed=43).run(Search())


@pytest.mark.parametrize("folds_done", [1, 22])
def test_a_search_that_was_stopped_tries_what_it_would_have_tried(folds_done: int) -> None:
    whole = tuner().run(Search())
    calls = Counter[str]()

    def stops(parameters: Mapping[str, Any], fold: int) -> float:
        if calls["before"] == folds_done:
            raise Interrupted("stop")
        calls["before"] += 1
        return bowl(parameters, fold)

    def counts(parameters: Mapping[str, Any], fold: int) -> float:
        calls["after"] += 1
        return bowl(parameters, fold)

    saved: list[Search] = []
    with pytest.raises(Interrupted):
        tuner(stops, save=saved.append).run(Search())
    read_again = Search.from_plain(saved[-1].to_plain())
    assert tuner(counts).run(read_again) == whole
    assert calls["before"] + calls["after"] == 28, "no fold is computed twice"


def test_time_over_ends_the_search_after_a_whole_trial_and_counts_earlier_attempts() -> None:
    now = [0.0]

    def slow(parameters: Mapping[str, Any], fold: int) -> float:
        now[0] += 10
        return bowl(parameters, fold)

    limited = tuner(slow, budget=50.0, clock=lambda: now[0])
    search = limited.run(Search())
    assert [len(t.losses) for t in search.trials] == [2, 2, 2]
    assert search.seconds == 60.0
    assert limited.run(search) == search
    assert len(tuner(slow, budget=0.0, clock=lambda: now[0]).run(Search()).trials) == 1, "one trial at least"


def test_a_trial_that_diverges_is_worse_than_any_other() -> None:
    def steep(parameters: Mapping[str, Any], fold: int) -> float:
        if float(parameters["eta"]) > 0.15:
            raise Diverged("not finite")
        return bowl(parameters, fold)

    search = tuner(steep).run(Search())
    assert search.trials[0].losses == (None,)
    assert not tuner().best(search).failed

    def hopeless(parameters: Mapping[str, Any], fold: int) -> float:
        raise Diverged("not finite")

    with pytest.raises(Diverged, match="target digit: no trial"):
        tuner().best(tuner(hopeless).run(Search()))


def test_folds_count_by_their_rows_and_the_first_of_equal_trials_wins() -> None:
    weighted = tuner(fold_weights=(3.0, 1.0))
    search = Search((Trial({"eta": 0.1}, (0.375, 0.375)), Trial({"eta": 0.2}, (0.25, 0.75))))
    assert [weighted.value(trial) for trial in search.trials] == [0.375, 0.375]
    assert weighted.best(search).parameters == {"eta": 0.1}
    assert "2 trials of 2 folds" in weighted.summary(search) and "eta 0.1" in weighted.summary(search)


def test_parameters_that_a_person_set_are_not_searched() -> None:
    assert "eta" not in space_of({"eta": 0.1})
    every = tuple(Parameter(name=name, value="1") for name in SPACE)
    with pytest.raises(ConfigurationError, match=r"spec\.method\.xgboost\.tuning: every parameter"):
        check_settings(XGBoost(targets=(DIGIT,), tuning=Tuning(), parameters=every))
    check_settings(XGBoost(targets=(DIGIT,), parameters=every))


def test_a_trainer_without_optuna_says_so_before_anything_is_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match="lacks Optuna; install the extra trainer-tabular"):
        check_settings(XGBoost(targets=(DIGIT,), tuning=Tuning()))
    check_settings(XGBoost(targets=(DIGIT,)))


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 2)), min_size=30, max_size=80), st.integers(2, 5))
@settings(max_examples=15, deadline=None)
def test_no_unit_is_in_two_folds_and_no_fold_is_empty(rows: list[tuple[int, int]], folds: int) -> None:
    units = np.array([f"u{unit}" for unit, _ in rows], dtype=object)
    codes = np.array([code for _, code in rows], dtype=np.float32)
    if len(set(units)) < folds:
        with pytest.raises(DataError, match=r"tuning\.folds"):
            grouped_folds(units, codes, folds, 1, "digit")
        return
    found = grouped_folds(units, codes, folds, 1, "digit")
    assert set(found.tolist()) == set(range(folds))
    assert all(len(set(found[units == unit].tolist())) == 1 for unit in set(units))
    back = np.arange(len(rows))[::-1]
    assert grouped_folds(units[back], codes[back], folds, 1, "digit").tolist() == found[back].tolist()


def test_folds_have_alike_many_rows_of_every_class() -> None:
    codes = np.array([0] * 100 + [1] * 10, dtype=np.float32)
    units = np.array([f"u{n}" for n in range(110)], dtype=object)
    found = grouped_folds(units, codes, 5, 42, "digit")
    assert [(int((found == f).sum()), int(codes[found == f].sum())) for f in range(5)] == [(22, 2)] * 5
    numbers = grouped_folds(units, None, 5, 42, "price")
    assert np.bincount(numbers).tolist() == [22] * 5


def test_fewer_units_than_folds_are_noticed_before_the_training() -> None:
    facts = facts_of([record(n, unit=f"u{n % 3}") for n in range(12)])
    division = Division(np.full(12, TRAIN, dtype=np.int8), "Random", Counter())
    require_folds(facts, division, (DIGIT,), 3)
    with pytest.raises(DataError, match="3 units among the labelled training rows") as caught:
        require_folds(facts, division, (DIGIT,), 4)
    assert "lower spec.method.xgboost.tuning.folds" in caught.value.message


def test_the_time_is_divided_among_the_targets(tmp_path: Path) -> None:
    three = tuple(DIGIT.model_copy(update={"name": name}) for name in ("a", "b", "c"))
    limited = Tuning(timeout_seconds=90)
    table = Table((), three, {})
    given = training(table, tmp_path, settings=XGBoost(targets=three, tuning=limited))
    assert given._budget(0, limited) == 30
    given.checkpoints.searches.update(a=Search((), 50.0), b=Search((), 60.0))
    assert given._budget(1, limited) == 20
    assert given._budget(2, limited) == 0
    assert given._budget(2, Tuning()) == math.inf


def test_a_balanced_class_weighs_what_every_other_weighs() -> None:
    codes = np.array([0] * 90 + [1] * 10, dtype=np.float32)
    found = balanced(codes, 3)
    assert found.tolist() == pytest.approx([100 / 180, 5.0, 1.0])
    assert found[codes.astype(int)].sum() == pytest.approx(100)


def test_classes_weighed_twice_are_refused() -> None:
    weight = (Parameter(name="scale_pos_weight", value="2"),)
    twice = XGBoost(targets=(DIGIT,), class_weights="Balanced", parameters=weight)
    with pytest.raises(ConfigurationError, match="scale_pos_weight; both weigh"):
        check_settings(twice)
