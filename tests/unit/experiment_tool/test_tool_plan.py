"""`plan`: the operator's own plan, before there is an object."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrainer.ab_experiment.config import configure
from retrainer.api.v1alpha1.ab_experiment import ABExperimentSpec
from retrainer.experiment_tool.assumptions import assumptions
from retrainer.experiment_tool.failure import InputError
from retrainer.experiment_tool.plan_text import plan_text
from retrainer.experiment_tool.planning import Planned, plan
from retrainer.experiment_tool.subjects import Subject
from retrainer.experiment_tool.tables import number, span, table
from tests.unit.experiment_tool.tool_files import experiment, feedback, primary_only, subject


def of(obj: dict[str, Any]) -> Subject:
    return Subject(obj["kind"], obj["metadata"]["name"], ABExperimentSpec.model_validate(obj["spec"]))


def planned(
    obj: dict[str, Any], *rates: str, deviations: tuple[str, ...] = (), units_per_day: float | None = None
) -> Planned:
    chosen = of(obj)
    return plan(chosen, assumptions(chosen, rates, deviations), units_per_day)


def quality(**overrides: Any) -> dict[str, Any]:
    """A latency that should fall by 5."""
    source = {"feedback": {"sourceRef": {"name": "chat"}, "quality": "latency"}}
    metric = {"name": "latency", "role": "Primary", "goal": "Decrease", "source": source}
    return experiment(**{"metrics": [metric], "minimumDetectableEffect": "5", **overrides})


def canary(**overrides: Any) -> dict[str, Any]:
    guardrail = {"name": "bad", "role": "Guardrail", "goal": "Decrease", "margin": "0.02"}
    metrics = [{**guardrail, "source": feedback("Negative")}]
    return experiment(**{"mode": "Canary", "metrics": metrics, **overrides})


def test_it_is_the_operators_plan():
    found = planned(experiment(), "0.82")
    config = configure(of(experiment()).spec, {"likes": 0.82, "dislikes": 0.18})
    assert found.config == config
    assert found.to_json()["unitsNeeded"] == config.units_needed


def test_the_rate_of_the_opposite_votes_follows():
    rates = planned(experiment(), "0.82").assumed.rates
    assert (rates["dislikes"].value, rates["dislikes"].origin) == (0.18, "Opposite")


def test_a_rate_that_is_given_for_a_metric_counts_for_it():
    rates = planned(experiment(), "likes=0.82", "dislikes=0.05").assumed.rates
    assert {name: (r.value, r.origin) for name, r in rates.items()} == {
        "likes": (0.82, "Given"),
        "dislikes": (0.05, "Given"),
    }


def test_without_a_rate_the_plan_is_the_most_cautious():
    unknown = planned(experiment())
    assert {r.origin for r in unknown.assumed.rates.values()} == {"Unknown"}
    assert unknown.config.units_needed >= planned(experiment(), "0.9").config.units_needed


def test_the_steps_add_up_to_the_units_needed():
    found = planned(experiment(), "0.82", units_per_day=1000)
    assert [step.units for step in found.steps[:-1]] == [500, 400]
    assert sum(step.units for step in found.steps) == found.config.units_needed
    assert sum(step.days or 0 for step in found.steps) == pytest.approx(found.config.units_needed / 1000)


def test_enough_traffic_is_feasible_and_too_little_is_not():
    assert planned(experiment(), "0.82", units_per_day=1000).feasible is True
    assert planned(experiment(), "0.82", units_per_day=100).feasible is False
    assert planned(experiment(), "0.82").feasible is None


def test_the_shortest_duration_counts():
    found = planned(experiment(minimumDurationSeconds=5 * 86_400), "0.82", units_per_day=1e6)
    assert found.days == 5.0


@settings(max_examples=20, deadline=None)
@given(st.floats(0.02, 0.98), st.floats(50, 5000), st.floats(1.05, 3))
def test_more_traffic_never_lowers_the_power_in_time(rate: float, units: float, factor: float):
    few = planned(primary_only(), str(rate), units_per_day=units).power_in_time or 0
    more = planned(primary_only(), str(rate), units_per_day=units * factor).power_in_time or 0
    assert 0 <= few <= more <= 0.999


def test_the_power_in_time_is_the_one_asked_for_where_time_is_just_enough():
    small = primary_only(minimumDetectableEffect="0.02")
    needed = planned(small, "0.7").config.units_needed
    assert planned(small, "0.7", units_per_day=needed / 10).power_in_time == pytest.approx(0.8, abs=1e-3)


def test_an_unbounded_metric_needs_its_spread_to_be_planned():
    without = planned(quality())
    assert without.units_by_metric == {"latency": None}
    assert "give --deviation latency=" in plan_text(without)
    narrow, wide = (planned(quality(), deviations=(f"latency={sd}",)).config.units_needed for sd in (100, 200))
    assert 3 < wide / narrow < 4.1


def test_a_canary_is_planned_by_its_guardrails():
    found = planned(canary(), "0.1", units_per_day=5000)
    assert found.to_json()["mode"] == "Canary"
    assert found.config.units_needed == configure(of(canary()).spec, {"bad": 0.1}).units_needed


def test_what_users_are_is_said():
    users = experiment(assignment={"unit": "User"})
    assert "users who come for the first time" in plan_text(planned(users, "0.8", units_per_day=100))


WRONG: list[tuple[tuple[str, ...], tuple[str, ...], str]] = [
    (("1.2",), (), "--rate 1.2: of likes it must lie from 0 to 1; for example --rate 0.82"),
    (("many",), (), "--rate many: 'many' is no number"),
    (("nan",), (), "must lie from 0 to 1"),
    (("clicks=0.5",), (), "there is no metric clicks; there is likes, dislikes"),
    (("0.5", "likes=0.5"), (), "likes is given twice"),
    ((), ("likes=0.3",), "--deviation likes=0.3: the spread of likes follows from its rate; leave it out"),
]


@pytest.mark.parametrize(("rates", "deviations", "words"), WRONG, ids=[w[2] for w in WRONG])
def test_an_assumption_that_cannot_be_is_refused(rates: tuple[str, ...], deviations: tuple[str, ...], words: str):
    with pytest.raises(InputError) as error:
        planned(experiment(), *rates, deviations=deviations)
    assert words in str(error.value)


def test_a_spread_above_what_a_score_can_have_is_refused():
    metrics = [{"name": "stars", "role": "Primary", "goal": "Increase", "source": feedback("Score")}]
    with pytest.raises(InputError, match=r"must lie from 1e-09 to 0\.5"):
        planned(experiment(metrics=metrics), deviations=("0.6",))


def test_the_table_says_all_that_matters(tmp_path: Path):
    chosen = subject(tmp_path)
    text = plan_text(plan(chosen, assumptions(chosen, ["0.82"], []), 1000))
    for words in (
        "ABExperiment/tutor: ABTest, unit Request, alpha 0.05, power 0.8, at most 10 days",
        "0.18 (at most: the opposite votes)",
        "units needed",
        "at 1,000 units a day",
        "feasible       yes",
    ):
        assert words in text
    assert "Inconclusive" not in text


def test_a_plan_that_cannot_work_says_what_to_change():
    assert "Raise minimumDetectableEffect" in plan_text(planned(experiment(), "0.82", units_per_day=100))


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (4203, "4,203"), (12.34, "12.3"), (0.02006, "0.0201"), (-0.0163, "-0.0163"), (1e3, "1,000")],
)
def test_numbers_are_short(value: float, text: str):
    assert number(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(1_209_600, "14 days"), (86_400, "1 day"), (5400, "1.5 hours"), (90, "1.5 minutes"), (5, "5 seconds")],
)
def test_spans_are_in_the_largest_unit(seconds: float, text: str):
    assert span(seconds) == text


def test_tables_are_aligned():
    assert table(["a", "n"], [["long", "1"], ["b", "200"]]) == "a       n\nlong    1\nb     200"
