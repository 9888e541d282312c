"""Turns a stage's numbers into status: decimal strings, addresses from the spec, gates judged again."""

from __future__ import annotations

import math
from datetime import UTC, datetime

from retrainer.api.v1alpha1.run_contract import (
    DatasetNumbers,
    GateNumbers,
    MetricNumbers,
    ProgressLine,
    StageResult,
    artifact_uri,
    judge_gate,
    snapshot_uri,
)
from retrainer.api.v1alpha1.training_parts import Gate
from retrainer.api.v1alpha1.training_run import (
    ArtifactStatus,
    DatasetStatus,
    DroppedRows,
    GateOutcome,
    GateResult,
    MetricResult,
    Progress,
    TrainingRunSpec,
)

METRICS = 20
"""As many as the status holds."""
DROP_REASONS = 20

_PASSING = (GateOutcome.PASSED, GateOutcome.NOT_APPLICABLE)
_GATE_MESSAGE_CHARACTERS = 512


def decimal_string(number: float | None) -> str | None:
    """Four significant digits in the form that the API server accepts; None for what is no number there."""
    if number is None or not math.isfinite(number) or abs(number) >= 1e99:
        return None
    if abs(number) < 1e-99:
        return "0"
    magnitude = math.floor(math.log10(abs(number)))
    if -4 <= magnitude < 8:
        text = f"{number:.{max(0, 3 - magnitude)}f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    mantissa, _, exponent = f"{number:.3e}".partition("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"


def dataset_status(numbers: DatasetNumbers, spec: TrainingRunSpec) -> DatasetStatus:
    """The frozen data set; its address follows from output and digest."""
    dropped = sorted(numbers.dropped.items(), key=lambda item: (-item[1], item[0]))[:DROP_REASONS]
    return DatasetStatus(
        uri=snapshot_uri(spec.output.uri, numbers.digest),
        digest=numbers.digest,
        rows=numbers.rows,
        units=numbers.units,
        train_rows=numbers.train_rows,
        validation_rows=numbers.validation_rows,
        evaluation_rows=numbers.evaluation_rows,
        trained_through=_within_window(numbers.trained_through, spec.data.window.to),
        dropped=tuple(DroppedRows(reason=reason, count=count) for reason, count in dropped) or None,
    )


def metric_results(numbers: tuple[MetricNumbers, ...]) -> tuple[MetricResult, ...]:
    """Metrics as decimal strings, the trainer's order kept: the first is the METRIC column."""
    results = []
    for metric in numbers[:METRICS]:
        candidate = decimal_string(metric.candidate)
        if candidate is None:
            continue
        change = None if metric.champion is None else metric.candidate - metric.champion
        results.append(
            MetricResult(
                name=metric.name,
                candidate=candidate,
                champion=decimal_string(metric.champion),
                change=decimal_string(change),
                lower=decimal_string(metric.lower),
                upper=decimal_string(metric.upper),
            )
        )
    return tuple(results)


def judge_gates(spec: TrainingRunSpec, numbers: tuple[GateNumbers, ...]) -> tuple[GateResult, ...]:
    """Every gate of the spec, decided again from its numbers; the trainer's own verdict is not asked."""
    gates = spec.gates or ()
    padded = (*numbers, *(GateNumbers() for _ in gates))
    return tuple(_judge(gate, given, spec) for gate, given in zip(gates, padded, strict=False))


def gates_pass(results: tuple[GateResult, ...]) -> bool:
    """Whether all gates are passed or have nothing to compare with."""
    return all(result.result in _PASSING for result in results)


def artifact_status(result: StageResult, spec: TrainingRunSpec) -> ArtifactStatus | None:
    """The artifact; its address follows from output and digest."""
    if result.artifact is None:
        return None
    digest = result.artifact.digest
    return ArtifactStatus(
        uri=artifact_uri(spec.output.uri, digest), digest=digest, size_bytes=result.artifact.size_bytes
    )


def progress_status(line: ProgressLine, now: datetime) -> Progress:
    """What the log's last progress line says."""
    return Progress(
        percent=line.percent,
        step=line.step,
        total_steps=line.total_steps,
        eta_seconds=line.eta_seconds,
        loss=decimal_string(line.loss),
        updated_time=now,
    )


def _judge(gate: Gate, numbers: GateNumbers, spec: TrainingRunSpec) -> GateResult:
    verdict = judge_gate(gate, _consistent(gate, numbers, spec))
    return verdict.model_copy(
        update={
            "minimum_detectable": decimal_string(numbers.minimum_detectable),
            "message": verdict.message[:_GATE_MESSAGE_CHARACTERS],
        }
    )


def _consistent(gate: Gate, numbers: GateNumbers, spec: TrainingRunSpec) -> GateNumbers:
    """Whether there is a champion is the spec's to say: a missing comparison must not count as 'no champion'."""
    if gate.versus_champion is None:
        return numbers
    if spec.champion is None:
        return GateNumbers(value=numbers.value)
    if numbers.blocked is None and (numbers.change is None or numbers.bound is None):
        return numbers.model_copy(update={"blocked": "the trainer reported none"})
    return numbers


def _within_window(moment: datetime | None, end: datetime) -> datetime | None:
    """A row cannot be later than the window; a wild value would make every later comparison impossible."""
    if moment is None:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    try:
        return min(moment.astimezone(UTC), end)
    except OverflowError:
        return end
