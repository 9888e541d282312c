"""The contract between operator and trainer image: run.json, exit codes, the termination message, gate rules."""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, Literal

from pydantic import Field

from retrainer.api.v1alpha1.feedback_source import FeedbackSourceSpec
from retrainer.api.v1alpha1.schema import SpecModel, StatusModel, Time
from retrainer.api.v1alpha1.training_parts import Gate
from retrainer.api.v1alpha1.training_run import GateOutcome, GateResult, SnapshotRef, TrainingRunSpec

TERMINATION_MESSAGE_BYTES = 4096
"""The kubelet keeps no more of a termination message."""

CONFIG_MOUNT = "/etc/retrainer"
"""Where the Jobs mount the run's ConfigMap; the configuration is `run.json` in it."""
SECRETS_MOUNT = "/etc/retrainer-secrets"
"""Where the data Job mounts source credentials: one folder per source, one file per key."""
WORKDIR_MOUNT = "/workdir"
"""Scratch space (emptyDir) of the Jobs."""
DATA_ROOT_VARIABLE = "RETRAINER_DATA_ROOT"
"""Environment variable: folder below which SQLite files may lie."""

DEFAULT_MINIMUM_UNITS = 100
DEFAULT_CONFIDENCE = 0.95


class ExitCode(IntEnum):
    """What a stage's exit code means; the Jobs' podFailurePolicy follows it."""

    OK = 0
    CONFIGURATION = 64
    DATA = 65
    OUT_OF_MEMORY = 71
    DISK_FULL = 72
    DIVERGED = 73
    INTERRUPTED = 75


class RunIdentity(SpecModel):
    """Which TrainingRun this is."""

    namespace: str
    name: str
    uid: str


class SourceConfig(SpecModel):
    """One FeedbackSource as the data stage reads it."""

    name: str
    """Name of the FeedbackSource."""
    spec: FeedbackSourceSpec
    """Its spec."""
    secret_file: str | None = None
    """File with the connection string."""
    allowed_hosts: tuple[str, ...] = ()
    """Hosts that the Secret may be sent to."""


class RunConfig(SpecModel):
    """run.json: everything a stage needs but secrets."""

    run: RunIdentity
    """Which run this is."""
    attempt: int
    """1 for the first."""
    spec: TrainingRunSpec
    """The run's spec."""
    sources: tuple[SourceConfig, ...] = ()
    """The sources, resolved; read by the data stage only."""
    snapshot: SnapshotRef | None = None
    """The frozen data set. The run's ConfigMap, which both Jobs mount, leaves it out: the argument
    `--snapshot-digest sha256:…` of the stages `train` and `result` sets it, at snapshot_uri(output.uri, digest)."""


class DatasetNumbers(StatusModel):
    """What the data stage froze. The snapshot lies at `<output.uri>snapshots/<digest hex>/`."""

    digest: str
    rows: int
    units: int
    train_rows: int
    validation_rows: int
    evaluation_rows: int
    trained_through: Time | None = None
    dropped: dict[str, int] = Field(default_factory=dict)
    """Rows left out, by reason."""


class MetricNumbers(StatusModel):
    """One metric on the evaluation rows; floats, rounded for the status by the operator."""

    name: str
    candidate: float
    champion: float | None = None
    lower: float | None = None
    upper: float | None = None


class GateNumbers(StatusModel):
    """What the operator needs to judge one gate again; in the order of spec.gates."""

    value: float | None = None
    """The candidate's value of the gate's metric."""
    change: float | None = None
    """Candidate minus champion; None without a champion."""
    bound: float | None = None
    """One-sided lower bound of the improvement (for metrics where less is better: of the reduction)."""
    units: int | None = None
    """Independent evaluation units behind the comparison."""
    minimum_detectable: float | None = None
    """Smallest change this gate can detect."""
    blocked: str | None = None
    """Why no comparison can pass: LabelsDependOnChampion, UnknownTrainedThrough …"""


class ArtifactNumbers(StatusModel):
    """What was packaged. The artifact lies at `<output.uri>artifacts/<digest hex>/`."""

    digest: str
    size_bytes: int


class StageResult(StatusModel):
    """The termination message: JSON, at most 4,096 bytes."""

    stage: Literal["Data", "Training"]
    reason: Annotated[str, Field(max_length=63)]
    """A reason of RunReason; Completed when the stage reached its target."""
    message: Annotated[str, Field(max_length=600)] = ""
    """For people: what is wrong and the remedy; never data."""
    dataset: DatasetNumbers | None = None
    metrics: tuple[MetricNumbers, ...] = ()
    """At most eight; result.json beside the artifact has all."""
    gates: tuple[GateNumbers, ...] = ()
    artifact: ArtifactNumbers | None = None
    result_digest: str | None = None
    """SHA-256 of result.json beside the artifact."""
    percent: int | None = None
    """How far it got; told when interrupted (exit 75), so that interruptions without progress are noticed."""


class ProgressLine(StatusModel):
    """One line of JSON on standard output, at least every ten seconds: `{"retrainer.progress": {…}}`."""

    percent: int
    step: int | None = None
    total_steps: int | None = None
    eta_seconds: int | None = None
    loss: float | None = None


def snapshot_uri(output_uri: str, digest: str) -> str:
    """Folder of a snapshot below the run's output."""
    return f"{output_uri}snapshots/{digest.removeprefix('sha256:')}/"


def artifact_uri(output_uri: str, digest: str) -> str:
    """Folder of an artifact below the run's output."""
    return f"{output_uri}artifacts/{digest.removeprefix('sha256:')}/"


def judge_gate(gate: Gate, numbers: GateNumbers) -> GateResult:
    """Decide one gate from its numbers alone; trainer and operator use the same rule."""
    outcome, message = _judge(gate, numbers)
    detectable = numbers.minimum_detectable
    return GateResult(
        metric=gate.metric,
        target=gate.target,
        result=outcome,
        minimum_detectable=None if detectable is None else f"{detectable:.4g}",
        message=message,
    )


def _judge(gate: Gate, numbers: GateNumbers) -> tuple[GateOutcome, str]:
    if gate.versus_champion is not None:
        return _judge_comparison(gate, numbers)
    if numbers.value is None:
        return GateOutcome.INSUFFICIENT_EVIDENCE, f"{gate.metric} could not be measured"
    if gate.at_least is not None:
        return _compare(gate.metric, numbers.value, "at least", gate.at_least, numbers.value >= float(gate.at_least))
    limit = gate.at_most or "0"
    return _compare(gate.metric, numbers.value, "at most", limit, numbers.value <= float(limit))


def _compare(metric: str, value: float, words: str, limit: str, met: bool) -> tuple[GateOutcome, str]:
    outcome = GateOutcome.PASSED if met else GateOutcome.FAILED
    return outcome, f"{metric} is {value:.4g}; demanded: {words} {limit}"


def _judge_comparison(gate: Gate, numbers: GateNumbers) -> tuple[GateOutcome, str]:
    demand = gate.versus_champion
    assert demand is not None
    if numbers.blocked:
        return GateOutcome.INSUFFICIENT_EVIDENCE, f"no comparison with the champion: {numbers.blocked}"
    if numbers.change is None or numbers.bound is None:
        return GateOutcome.NOT_APPLICABLE, "there is no champion to compare with"
    needed = gate.minimum_units or DEFAULT_MINIMUM_UNITS
    units = numbers.units or 0
    if units < needed:
        return GateOutcome.INSUFFICIENT_EVIDENCE, f"{units} evaluation units; {needed} are needed (minimumUnits)"
    if demand.improvement_at_least is not None:
        wanted, words = float(demand.improvement_at_least), f"improvement of at least {demand.improvement_at_least}"
    else:
        allowed = demand.regression_at_most or "0"
        wanted, words = -float(allowed), f"regression of at most {allowed}"
    confidence = demand.confidence or str(DEFAULT_CONFIDENCE)
    met = numbers.bound >= wanted
    message = (
        f"{gate.metric} changes by {numbers.change:+.4g}, at {confidence} confidence by no less than "
        f"{numbers.bound:+.4g}; demanded: {words}"
    )
    return (GateOutcome.PASSED if met else GateOutcome.FAILED), message
