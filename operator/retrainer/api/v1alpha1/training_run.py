"""TrainingRun: one bounded training: snapshot, progress, metrics, gates, artifact."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from retrainer.api.v1alpha1.kind import Column as PrinterColumn
from retrainer.api.v1alpha1.kind import Kind
from retrainer.api.v1alpha1.schema import (
    ArtifactUri,
    Atomic,
    Decimal,
    Digest,
    ItemName,
    ListMap,
    ObjectName,
    ObjectStatus,
    Rule,
    SpecModel,
    StatusModel,
    Time,
    immutable,
    validations,
)
from retrainer.api.v1alpha1.training_parts import (
    GATES_NAME_TARGETS,
    DataSelection,
    Gate,
    JobSettings,
    Method,
    Output,
    Strategy,
)


class SnapshotRef(SpecModel):
    """A frozen data set."""

    uri: ArtifactUri
    """Where it lies."""
    digest: Digest
    """SHA-256 over its rows."""


class Champion(SpecModel):
    """The model in service: the candidate is compared with it, and Incremental continues from it."""

    uri: ArtifactUri
    """Where its artifact lies."""
    digest: Digest
    """Digest of its manifest."""
    trained_through: Time | None = None
    """Latest row it may have learnt from; unknown: no comparison with it can pass."""
    snapshot: SnapshotRef | None = None
    """The data set it was trained on."""


class Window(SpecModel):
    """A span of record times."""

    model_config = ConfigDict(
        json_schema_extra=validations(Rule("self.from < self.to", "`from` must lie before `to`"))
    )

    from_: Time = Field(alias="from")
    """First moment that counts."""
    to: Time
    """First moment that counts no more."""


class RunData(DataSelection):
    """The data of one run."""

    window: Window
    """Records of this span are read."""


class TrainingRunSpec(SpecModel):
    """One training, written down completely."""

    model_config = ConfigDict(
        json_schema_extra=validations(
            Rule(
                "self.strategy != 'Incremental' || has(self.champion)",
                "an Incremental run continues from the champion: set champion, or use strategy Full",
            ),
            GATES_NAME_TARGETS,
        )
    )

    suspend: bool = False
    """Suspend the run's Job while true."""
    model: ItemName
    """Name of the model."""
    strategy: Strategy = Strategy.FULL
    """Start anew or continue from the champion."""
    champion: Champion | None = None
    """The model in service; leave out for a first run."""
    data: RunData
    """Which feedback becomes the data set."""
    method: Method
    """How to train."""
    gates: Annotated[tuple[Gate, ...], Field(max_length=16), Atomic()] | None = None
    """Rules that the candidate must pass."""
    job: JobSettings = JobSettings()
    """How the Jobs run."""
    output: Output
    """Where snapshot and artifact are written."""


class JobRecord(StatusModel):
    """A Job of this run."""

    stage: Literal["Data", "Training", "Result"]
    """What it does."""
    name: ObjectName
    """Its name."""


class DroppedRows(StatusModel):
    """Rows left out for one reason."""

    reason: Annotated[str, Field(max_length=63)]
    """Why."""
    count: int
    """How many."""


class DatasetStatus(StatusModel):
    """The frozen data set."""

    uri: Annotated[str, Field(max_length=1024)]
    """Where it lies."""
    digest: Digest
    """SHA-256 over its rows, independent of their order."""
    rows: int
    """Rows in the window that can be used."""
    units: int
    """Distinct units among them."""
    train_rows: int
    """Rows learnt from."""
    validation_rows: int
    """Rows for early stopping."""
    evaluation_rows: int
    """Rows for the comparison."""
    trained_through: Time | None = None
    """Time of the latest row learnt from."""
    dropped: Annotated[tuple[DroppedRows, ...], Field(max_length=20), ListMap("reason")] | None = None
    """Rows left out, by reason."""


class Progress(StatusModel):
    """How far the Job is."""

    percent: Annotated[int, Field(ge=0, le=100)]
    """Share done."""
    step: int | None = None
    """Steps done."""
    total_steps: int | None = None
    """Steps in all, at most."""
    eta_seconds: int | None = None
    """Seconds left, estimated."""
    loss: Decimal | None = None
    """Loss on the validation rows."""
    updated_time: Time
    """When this was read."""


class MetricResult(StatusModel):
    """One metric of candidate and champion on the same rows."""

    name: Annotated[str, Field(max_length=63)]
    """Metric, with its target where there are several: accuracy/density."""
    candidate: Decimal
    """Of the candidate."""
    champion: Decimal | None = None
    """Of the champion."""
    change: Decimal | None = None
    """Candidate minus champion."""
    lower: Decimal | None = None
    """Lower end of the interval of the change."""
    upper: Decimal | None = None
    """Upper end of the interval of the change."""


class GateOutcome(StrEnum):
    """What became of a gate."""

    PASSED = "Passed"
    """The demand is met."""
    FAILED = "Failed"
    """The demand is not met."""
    NOT_APPLICABLE = "NotApplicable"
    """There is no champion to compare with."""
    INSUFFICIENT_EVIDENCE = "InsufficientEvidence"
    """Too little independent data to tell; does not pass."""


class GateResult(StatusModel):
    """One gate and what became of it."""

    metric: Annotated[str, Field(max_length=63)]
    """The metric."""
    target: ItemName | None = None
    """The target."""
    result: GateOutcome
    """Passed, Failed, NotApplicable or InsufficientEvidence."""
    minimum_detectable: Decimal | None = None
    """Smallest change that this gate can detect with the rows there are."""
    message: Annotated[str, Field(max_length=512)] = ""
    """The numbers, in a sentence."""


class ArtifactStatus(StatusModel):
    """What came out."""

    uri: Annotated[str, Field(max_length=1024)]
    """Where it lies."""
    digest: Digest
    """Digest of its manifest, which names the digest of every file."""
    size_bytes: int
    """Size of all files."""


class TrainingRunStatus(ObjectStatus):
    """How the run goes."""

    start_time: Time | None = None
    """When the first Job of this attempt was created."""
    completion_time: Time | None = None
    """When the run ended."""
    duration_seconds: int | None = None
    """From start to end."""
    stage: Annotated[str, Field(max_length=31)] | None = None
    """What is going on, for the STAGE column: Data, Training, Done."""
    attempts: int | None = None
    """How often this run was started (a `retry` request starts another)."""
    jobs: Annotated[tuple[JobRecord, ...], Field(max_length=16), Atomic()] | None = None
    """The Jobs of this run."""
    dataset: DatasetStatus | None = None
    """The frozen data set."""
    progress: Progress | None = None
    """How far the current Job is."""
    metrics: Annotated[tuple[MetricResult, ...], Field(max_length=20), ListMap()] | None = None
    """Candidate and champion on the evaluation rows."""
    gates: Annotated[tuple[GateResult, ...], Field(max_length=16), Atomic()] | None = None
    """What became of the gates, in their order."""
    artifact: ArtifactStatus | None = None
    """What came out."""


class RunReason(StrEnum):
    """Reasons of the conditions DataReady, Trained, Evaluated, GatesPassed and Succeeded."""

    PENDING = "Pending"
    """Unknown: not started yet."""
    RUNNING = "Running"
    """Unknown: its Job is at work."""
    SUSPENDED = "Suspended"
    """Unknown: spec.suspend is set."""
    WAITING = "Waiting"
    """Unknown: something it needs is missing; the message says what."""
    FROZEN = "Frozen"
    """DataReady=True: the snapshot is written and passes its minimums."""
    TRAINED = "Trained"
    """Trained=True."""
    EVALUATED = "Evaluated"
    """Evaluated=True."""
    COMPLETED = "Completed"
    """Succeeded=True: trained, and every gate passed."""
    GATES_PASSED = "GatesPassed"
    """GatesPassed=True."""
    GATES_FAILED = "GatesFailed"
    """Succeeded=True, GatesPassed=False: trained properly, but not good enough; never promoted."""
    INSUFFICIENT_DATA = "InsufficientData"
    """Succeeded=False: fewer rows, units or rows per class than demanded."""
    UNDERPOWERED = "Underpowered"
    """Succeeded=False: a gate could hardly pass an equal candidate with the rows there are."""
    SCHEMA_MISMATCH = "SchemaMismatch"
    """Succeeded=False: features, types, categories or classes differ from what is expected."""
    INVALID_CONFIGURATION = "InvalidConfiguration"
    """Succeeded=False: the spec cannot be carried out; the message names the field."""
    OUT_OF_MEMORY = "OutOfMemory"
    """Succeeded=False: killed for memory; not retried unchanged."""
    DISK_FULL = "DiskFull"
    """Succeeded=False: no room to write."""
    DIVERGED = "Diverged"
    """Succeeded=False: the loss is not a number any more."""
    DEADLINE_EXCEEDED = "DeadlineExceeded"
    """Succeeded=False: longer than job.activeDeadlineSeconds."""
    IMAGE_PULL_FAILED = "ImagePullFailed"
    """Succeeded=False: the image cannot be pulled."""
    UNSCHEDULABLE = "Unschedulable"
    """Unknown: no node fits at the moment."""
    INTERRUPTED = "Interrupted"
    """Succeeded=False: interrupted too often without progress."""
    SOURCE_FAILED = "SourceFailed"
    """Succeeded=False: a source could not be read."""
    RESULT_LOST = "ResultLost"
    """Succeeded=False: the Job ended but its result cannot be read."""
    FAILED = "Failed"
    """Succeeded=False: another error, retried as often as allowed."""
    CANCELLED = "Cancelled"
    """Succeeded=False: a person asked to stop it."""
    NAME_CONFLICT = "NameConflict"
    """Stalled=True: an object that is not ours bears the name of a child."""


TRAINING_RUN = Kind(
    kind="TrainingRun",
    plural="trainingruns",
    short="trun",
    spec=TrainingRunSpec,
    status=TrainingRunStatus,
    columns=(
        PrinterColumn("Succeeded", "string", ".status.conditions[?(@.type=='Succeeded')].reason"),
        PrinterColumn("Stage", "string", ".status.stage"),
        PrinterColumn("Progress", "integer", ".status.progress.percent"),
        PrinterColumn("Metric", "string", ".status.metrics[0].candidate"),
        PrinterColumn("Change", "string", ".status.metrics[0].change"),
        PrinterColumn("Duration", "integer", ".status.durationSeconds"),
        PrinterColumn("Age", "date", ".metadata.creationTimestamp"),
    ),
    root_rules=(immutable(TrainingRunSpec, after_start=False, except_for=("suspend",)),),
)
