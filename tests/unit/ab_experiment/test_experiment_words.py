"""Numbers for people, and what a spec means in numbers."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.ab_experiment.world import spec

from retrainer.ab_experiment import words
from retrainer.ab_experiment.config import configure, spec_digest
from retrainer.api.v1alpha1.ab_experiment import ABExperimentSpec
from retrainer.statistics.metric import MetricPlan
from retrainer.statistics.verdicts import Finding

LIKES = MetricPlan("likes", "Primary", "Increase", "Exclude", 0.1, 0.7, 0.05, 0.025, 0.8)
ERRORS = MetricPlan("errors", "Guardrail", "Decrease", "Exclude", 0.5, 0.05, 0.05, 0.025, 0.8, scale="Events")

DECIMAL = re.compile(r"^-?[0-9]{1,9}([.][0-9]{1,9})?(e-?[0-9]{1,2})?$")
"""What the CRD accepts as a decimal string."""


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.171234, "0.1712"),
        (-0.05, "-0.05"),
        (0.0, "0"),
        (-1.0, "-1"),
        (0.00001234, "0.00001234"),
        (12345.6, "12346"),
        (-1e-12, "0"),
        (123_456_789.4, "123456789"),
        (-5.4321e12, "-5.432e12"),
        (9.99999e11, "9.999e11"),
        (1e250, "9.999e99"),
    ],
)
def test_decimals_have_a_sensible_length(value, text):
    assert words.decimal(value) == text


@pytest.mark.parametrize(
    ("log_evidence", "text"),
    [
        (0.0, "1"),
        (math.log(31.5462), "31.55"),
        (math.log(140882), "140882"),
        (math.log(1.32e7), "1.32e7"),
        (math.log(2.5e-9), "2.5e-9"),
        (-math.inf, "0"),
        (1000.0, "9.99e99"),
        (-1000.0, "0"),
    ],
)
def test_e_values_are_readable_at_any_size(log_evidence, text):
    assert words.e_value(log_evidence) == text


@settings(deadline=None)
@given(st.floats(-1, 1), st.floats(allow_nan=False, allow_infinity=False), st.floats(-2000, 2000))
def test_what_is_written_is_what_the_crd_accepts(value, large, log_evidence):
    assert DECIMAL.match(words.decimal(value))
    assert DECIMAL.match(words.decimal(large))
    assert DECIMAL.match(words.e_value(log_evidence))


@settings(deadline=None)
@given(st.floats(1e-8, 1))
def test_a_bound_above_zero_is_never_shown_as_zero(value):
    assert float(words.decimal(value)) > 0


def test_what_is_not_known_is_not_shown():
    assert words.optional(None) is None
    assert words.optional(math.inf) is None
    finding = Finding("Undecided", None, None, None, 0.0, 0)
    assert words.effect(LIKES, finding) == "likes: no outcomes yet"
    assert words.effect(ERRORS, finding) == "errors: no events yet"


def test_an_effect_is_told_with_sign_interval_evidence_and_units():
    finding = Finding("Better", 0.17123, 0.1, 0.25, math.log(1234.4), 1650)
    assert words.effect(LIKES, finding) == "likes +0.1712 [+0.1, +0.25], e-value 1234, 1,650 units"


@pytest.mark.parametrize(
    ("finding", "text"),
    [
        (Finding("Undecided", 0.12, -0.03, 0.301, 3.0, 650), "errors +12 % [-3.0 %, +30 %], e-value 20.09, 650 units"),
        (Finding("Undecided", 11.0, 0.5, None, 0.0, 12), "errors +1100 % [+50 %, ∞], e-value 1, 12 units"),
        (Finding("Undecided", None, -1.0, None, 0.0, 3), "errors unknown [-100 %, ∞], e-value 1, 3 units"),
    ],
)
def test_events_are_told_as_a_change_of_their_rate(finding, text):
    assert words.effect(ERRORS, finding) == text


def parsed(**overrides) -> ABExperimentSpec:
    return ABExperimentSpec.model_validate(spec(**overrides))


def test_the_primary_comes_first_and_the_error_budget_is_split_as_stated():
    metrics = spec()["metrics"]
    config = configure(parsed(metrics=[*metrics, {**metrics[0], "name": "complaints"}]), {"likes": 0.7})
    assert [m.name for m in config.metrics] == ["likes", "dislikes", "complaints"]
    assert all(m.alpha == 0.05 for m in config.metrics)
    assert all(m.alpha_worse == pytest.approx(0.05 / 3) for m in config.metrics)
    assert config.primary.alpha_small == 0.025
    assert [m.effect for m in config.metrics] == [0.10, 0.05, 0.05]


def test_what_is_unset_has_its_documented_value():
    ramp = {"steps": [{"weightPercent": 5}, {"weightPercent": 50}]}
    config = configure(parsed(ramp=ramp), {})
    assert [s.minimum_units for s in config.steps] == [100, 100]
    assert [m.rate for m in config.metrics] == [0.5, 0.5]
    assert all(m.missing == "Exclude" for m in config.metrics)


def test_the_plan_covers_the_metric_that_needs_most():
    both = configure(parsed(), {"likes": 0.7, "dislikes": 0.3})
    alone = configure(parsed(metrics=[spec()["metrics"][1]]), {"likes": 0.7})
    assert both.units_needed > alone.units_needed > 500


def test_the_digest_names_what_may_not_change_and_nothing_else():
    digest = spec_digest(parsed())
    assert spec_digest(parsed(suspend=True)) == digest
    assert spec_digest(parsed(onInconclusive="KeepBaseline")) == digest
    assert spec_digest(parsed(alpha="0.01")) != digest
    assert spec_digest(parsed(windowSeconds=6)) != digest
