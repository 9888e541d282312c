"""What operator and trainer agree on: addresses, sizes, exit codes and the rule of each gate."""

from __future__ import annotations

import math

import pytest
from crd.valid_objects import BASES, DIGEST
from hypothesis import given
from hypothesis import strategies as st

from retrainer.api.v1alpha1.run_contract import (
    TERMINATION_MESSAGE_BYTES,
    ArtifactNumbers,
    DatasetNumbers,
    ExitCode,
    GateNumbers,
    MetricNumbers,
    RunConfig,
    RunIdentity,
    StageResult,
    artifact_uri,
    judge_gate,
    snapshot_uri,
)
from retrainer.api.v1alpha1.training_parts import Gate
from retrainer.api.v1alpha1.training_run import GateOutcome, TrainingRunSpec

PASSED, FAILED = GateOutcome.PASSED, GateOutcome.FAILED
NOT_APPLICABLE, INSUFFICIENT = GateOutcome.NOT_APPLICABLE, GateOutcome.INSUFFICIENT_EVIDENCE

AT_LEAST = {"metric": "accuracy", "atLeast": "0.75"}
AT_MOST = {"metric": "logLoss", "atMost": "0.5"}
NOT_WORSE = {"metric": "accuracy", "versusChampion": {"regressionAtMost": "0.02"}}
BETTER = {"metric": "accuracy", "versusChampion": {"improvementAtLeast": "0.01"}}


def compared(bound: float | None, units: int | None = 200, change: float | None = 0.0, **more: object) -> GateNumbers:
    return GateNumbers(value=0.8, change=change, bound=bound, units=units, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("sentence", "gate", "numbers", "outcome"),
    [
        ("a value above the least", AT_LEAST, GateNumbers(value=0.8), PASSED),
        ("a value at the least", AT_LEAST, GateNumbers(value=0.75), PASSED),
        ("a value below the least", AT_LEAST, GateNumbers(value=0.7499), FAILED),
        ("a value that is no number", AT_LEAST, GateNumbers(value=math.nan), FAILED),
        ("no value", AT_LEAST, GateNumbers(), INSUFFICIENT),
        ("a value at the most", AT_MOST, GateNumbers(value=0.5), PASSED),
        ("a value above the most", AT_MOST, GateNumbers(value=0.51), FAILED),
        ("a limit of zero", {"metric": "logLoss", "atMost": "0"}, GateNumbers(value=0.1), FAILED),
        ("a loss that is ruled out", NOT_WORSE, compared(-0.01), PASSED),
        ("a bound exactly at the allowed loss", NOT_WORSE, compared(-0.02), PASSED),
        ("a loss that is possible", NOT_WORSE, compared(-0.021), FAILED),
        ("a bound that is no number", NOT_WORSE, compared(math.nan), FAILED),
        ("an improvement that is shown", BETTER, compared(0.012, change=0.03), PASSED),
        ("an improvement that is likely but not shown", BETTER, compared(0.005, change=0.03), FAILED),
        ("fewer units than 100, which is the default", NOT_WORSE, compared(0.1, units=99), INSUFFICIENT),
        ("units unknown", NOT_WORSE, compared(0.1, units=None), INSUFFICIENT),
        ("fewer units allowed", {**NOT_WORSE, "minimumUnits": 50}, compared(0.1, units=50), PASSED),
        ("no champion", NOT_WORSE, GateNumbers(value=0.8), NOT_APPLICABLE),
        ("a comparison that is blocked", NOT_WORSE, compared(0.1, blocked="LabelsDependOnChampion"), INSUFFICIENT),
    ],
)
def test_a_gate_judges(sentence: str, gate: dict[str, object], numbers: GateNumbers, outcome: GateOutcome) -> None:
    result = judge_gate(Gate.model_validate(gate), numbers)
    assert result.result is outcome
    assert len(result.message) > 10


def test_the_message_of_a_comparison_gives_change_bound_confidence_and_demand() -> None:
    result = judge_gate(Gate.model_validate(NOT_WORSE), compared(-0.0123, change=0.01))
    for part in ("+0.01", "-0.0123", "0.95", "regression of at most 0.02"):
        assert part in result.message


def test_the_message_of_a_blocked_comparison_says_why() -> None:
    result = judge_gate(Gate.model_validate(NOT_WORSE), compared(0.1, blocked="UnknownTrainedThrough"))
    assert "UnknownTrainedThrough" in result.message


@given(st.floats(-1, 1), st.floats(-1, 1), st.integers(2, 10_000))
def test_more_evidence_never_turns_a_pass_into_a_failure(lower: float, higher: float, units: int) -> None:
    """Law: the verdict is monotone in the bound and in the number of units."""
    lower, higher = sorted((lower, higher))
    gate = Gate.model_validate(NOT_WORSE)
    if judge_gate(gate, compared(lower, units=units)).result is PASSED:
        assert judge_gate(gate, compared(higher, units=units + 1)).result is PASSED


@given(st.floats(allow_nan=True, allow_infinity=True), st.floats(allow_nan=True, allow_infinity=True))
def test_whatever_the_trainer_reports_there_is_a_verdict(value: float, bound: float) -> None:
    numbers = GateNumbers(value=value, change=bound, bound=bound, units=200)
    for gate in (AT_LEAST, AT_MOST, NOT_WORSE, BETTER):
        assert isinstance(judge_gate(Gate.model_validate(gate), numbers).result, GateOutcome)


def test_snapshots_and_artifacts_lie_below_the_output_under_their_digest() -> None:
    assert snapshot_uri("file:///out/", DIGEST) == f"file:///out/snapshots/{'0' * 64}/"
    assert artifact_uri("file:///out/", DIGEST) == f"file:///out/artifacts/{'0' * 64}/"


def test_the_longest_result_fits_a_termination_message() -> None:
    numbers = {"value": -0.123456, "change": -0.123456, "bound": -0.123456, "units": 1_000_000}
    result = StageResult(
        stage="Training",
        reason="GatesFailed",
        message="m" * 600,
        metrics=tuple(
            MetricNumbers(
                name=f"accuracy/{'t' * 20}{n}", candidate=-0.123456, champion=-0.123456, lower=-0.1, upper=0.1
            )
            for n in range(8)
        ),
        gates=tuple(GateNumbers(**numbers, minimum_detectable=0.1234) for _ in range(16)),
        artifact=ArtifactNumbers(digest=DIGEST, size_bytes=10**12),
        result_digest=DIGEST,
    )
    text = result.model_dump_json(by_alias=True, exclude_none=True)
    assert len(text.encode()) <= TERMINATION_MESSAGE_BYTES
    assert StageResult.model_validate_json(text) == result


def test_the_longest_result_of_the_data_stage_fits_too() -> None:
    dropped = {f"Reason{n}{'x' * 30}": 10**7 for n in range(20)}
    counts = dict.fromkeys(("rows", "units", "train_rows", "validation_rows", "evaluation_rows"), 10**8)
    dataset = DatasetNumbers(digest=DIGEST, dropped=dropped, trained_through="2026-11-21T12:00:00Z", **counts)  # type: ignore[arg-type]
    text = StageResult(stage="Data", reason="Completed", message="m" * 600, dataset=dataset).model_dump_json()
    assert len(text.encode()) <= TERMINATION_MESSAGE_BYTES


def test_a_configuration_survives_its_file() -> None:
    spec = TrainingRunSpec.model_validate(BASES["TrainingRun"]()["spec"])
    config = RunConfig(run=RunIdentity(namespace="team", name="run", uid="u"), attempt=1, spec=spec)
    assert RunConfig.model_validate_json(config.model_dump_json(by_alias=True, exclude_none=True)) == config


def test_exit_codes_are_those_that_people_know() -> None:
    assert {code.name: int(code) for code in ExitCode} == {
        "OK": 0,
        "CONFIGURATION": 64,
        "DATA": 65,
        "OUT_OF_MEMORY": 71,
        "DISK_FULL": 72,
        "DIVERGED": 73,
        "INTERRUPTED": 75,
    }
