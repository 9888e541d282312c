"""The models read what people write and write what the API server reads."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import pytest
from crd.valid_objects import BASES, DIGEST, changed
from pydantic import ValidationError

from retrainer.api.v1alpha1 import KINDS
from retrainer.api.v1alpha1.ab_experiment import ABExperimentStatus, ExperimentReason, WindowStatus
from retrainer.api.v1alpha1.feedback_source import FeedbackSourceSpec, SourceReason
from retrainer.api.v1alpha1.kind import Kind
from retrainer.api.v1alpha1.retrain_policy import ChampionStatus, PolicyReason
from retrainer.api.v1alpha1.schema import Condition, SpecModel, StatusModel, exactly_one, immutable
from retrainer.api.v1alpha1.training_run import RunReason, TrainingRunSpec, TrainingRunStatus

each_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
MOMENT = datetime(2026, 11, 21, 12, 30, 15, 250_000, tzinfo=UTC)


def dumped(model: Any) -> Any:
    return json.loads(model.model_dump_json(by_alias=True, exclude_none=True))


@each_kind
def test_a_valid_object_is_read_and_written_again_with_nothing_lost(kind: Kind) -> None:
    written = BASES[kind.kind]()["spec"]
    spec = kind.spec.model_validate(written)
    assert kind.spec.model_validate(dumped(spec)) == spec
    assert contains(dumped(spec), written)


def contains(whole: Any, part: Any) -> bool:
    """Whether `whole` has everything that `part` has."""
    if isinstance(part, dict):
        return all(key in whole and contains(whole[key], value) for key, value in part.items())
    if isinstance(part, list):
        return len(whole) == len(part) and all(contains(w, p) for w, p in zip(whole, part, strict=True))
    return bool(whole == part)


@each_kind
def test_a_field_that_no_spec_has_is_an_error(kind: Kind) -> None:
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        kind.spec.model_validate({**BASES[kind.kind]()["spec"], "phase": "Running"})


@each_kind
def test_a_status_written_by_a_newer_operator_can_be_read(kind: Kind) -> None:
    status = kind.status.model_validate({"observedGeneration": 2, "fieldOfTheFuture": {"a": 1}})
    assert dumped(status)["observedGeneration"] == 2


@each_kind
def test_an_empty_status_can_be_read(kind: Kind) -> None:
    assert kind.status.model_validate({}) is not None


@each_kind
def test_what_was_read_cannot_be_changed(kind: Kind) -> None:
    spec = kind.spec.model_validate(BASES[kind.kind]()["spec"])
    with pytest.raises(ValidationError, match="frozen"):
        spec.suspend = True  # type: ignore[attr-defined]


def test_a_field_named_like_a_word_of_python_keeps_its_name_outside() -> None:
    run = TrainingRunSpec.model_validate(BASES["TrainingRun"]()["spec"])
    assert dumped(run)["data"]["window"] == {"from": "2026-08-01T00:00:00Z", "to": "2026-11-01T00:00:00Z"}
    columns = {"spec.record.features": {"columns": [{"name": "a", "from": "b.c"}]}}
    source = FeedbackSourceSpec.model_validate(changed(BASES["FeedbackSource"](), columns)["spec"])
    assert dumped(source)["record"]["features"]["columns"] == [{"name": "a", "from": "b.c"}]
    assert dumped(source)["signals"][0]["from"] == "rating"


class TestTimes:
    def test_a_time_is_written_to_the_second_in_utc(self) -> None:
        condition = Condition(type="Ready", status="True", reason="Synced", last_transition_time=MOMENT)
        assert dumped(condition)["lastTransitionTime"] == "2026-11-21T12:30:15Z"

    def test_the_edges_of_a_window_are_written_to_the_microsecond(self) -> None:
        window = WindowStatus(number=0, start=MOMENT, end=MOMENT, weight_percent=5, candidate_units=1, baseline_units=2)
        assert dumped(window)["start"] == "2026-11-21T12:30:15.250000Z"

    def test_a_time_as_the_api_server_writes_it_is_read(self) -> None:
        status = TrainingRunStatus.model_validate({"startTime": "2026-11-21T12:30:15Z"})
        assert status.start_time == MOMENT.replace(microsecond=0)


class TestRules:
    def test_exactly_one_names_its_choices_in_words(self) -> None:
        assert exactly_one("a", "b").message == "set exactly one of a and b"
        assert exactly_one("a", "b", "c").message == "set exactly one of a, b and c"
        assert exactly_one("a").message == "set a"

    def test_a_frozen_spec_names_every_field_but_the_exceptions(self) -> None:
        rule = immutable(TrainingRunSpec, after_start=False, except_for=("suspend",)).rule
        for field in TrainingRunSpec.model_fields.values():
            assert (f"self.spec.{field.alias} == " in rule) is (field.alias != "suspend")

    def test_an_optional_field_may_neither_appear_nor_vanish(self) -> None:
        rule = immutable(TrainingRunSpec, after_start=False).rule
        assert "has(self.spec.champion) == has(oldSelf.spec.champion)" in rule
        assert "has(self.spec.model)" not in rule

    def test_frozen_after_the_start_looks_at_the_old_status(self) -> None:
        rule = immutable(TrainingRunSpec, after_start=True)
        assert rule.rule.startswith("!has(oldSelf.status) || !has(oldSelf.status.startTime) || (")
        assert "after the start" in rule.message


@pytest.mark.parametrize("reasons", [SourceReason, PolicyReason, RunReason, ExperimentReason], ids=lambda r: r.__name__)
def test_reasons_are_single_words_that_conditions_accept(reasons: type[StrEnum]) -> None:
    for reason in reasons:
        assert reason.value.isalnum() and reason.value[0].isupper() and len(reason.value) <= 63


def test_names_of_the_kinds_are_told_apart() -> None:
    for names in ([k.kind for k in KINDS], [k.plural for k in KINDS], [k.short for k in KINDS]):
        assert len(set(names)) == 4


def test_numbers_of_a_status_are_decimal_strings_and_never_floats() -> None:
    champion = ChampionStatus.model_validate(
        {
            "revision": 1,
            "uri": "file:///m/",
            "digest": DIGEST,
            "promotedTime": "2026-11-21T12:30:15Z",
            "metrics": [{"name": "accuracy", "value": "0.85"}],
        }
    )
    assert dumped(champion)["metrics"] == [{"name": "accuracy", "value": "0.85"}]
    with pytest.raises(ValidationError):
        ABExperimentStatus.model_validate({"effects": [{"metric": "likes", "estimate": 0.1}]})


def test_an_error_never_quotes_what_was_written() -> None:
    """Errors of validation reach conditions and logs."""
    for model in (SpecModel, StatusModel):
        kind = type("Kind", (model,), {"__annotations__": {"count": int}})
        with pytest.raises(ValidationError) as error:
            kind.model_validate({"count": "hunter2"})
        assert "count" in str(error.value) and "hunter2" not in str(error.value)
