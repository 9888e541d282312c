"""FeedbackSource: what do people say, and can we trust the data?"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from retrainer.api.v1alpha1.kind import Column as PrinterColumn
from retrainer.api.v1alpha1.kind import Kind
from retrainer.api.v1alpha1.schema import (
    Atomic,
    Column,
    Fraction,
    ItemName,
    ListMap,
    ObjectStatus,
    Rule,
    SecretKeyRef,
    SpecModel,
    StatusModel,
    Time,
    cel,
    exactly_one,
    validations,
)
from retrainer.api.v1alpha1.signals import Signal

_TABLE_OR_QUERY = exactly_one("table", "query")


class Postgres(SpecModel):
    """A table or query in PostgreSQL."""

    model_config = ConfigDict(json_schema_extra=validations(_TABLE_OR_QUERY))

    connection_secret_ref: SecretKeyRef
    """Secret key with the connection string. The Secret must carry the label
    retrainer.dev/allow-operator: "true" and the annotation retrainer.dev/allowed-hosts."""
    table: Annotated[str, Field(min_length=1, max_length=127)] | None = None
    """Table or view, optionally with its schema: public.feedback."""
    query: Annotated[str, Field(min_length=1, max_length=4096)] | None = None
    """A SELECT statement; it runs inside a read-only cursor."""


class SQLite(SpecModel):
    """A table or query in an SQLite file."""

    model_config = ConfigDict(json_schema_extra=validations(_TABLE_OR_QUERY))

    path: Annotated[
        str,
        Field(min_length=1, max_length=255),
        cel(
            "!self.startsWith('/') && !self.split('/').exists(p, p == '..')",
            "path must be relative to the data root and must not contain '..', for example feedback.db",
        ),
    ]
    """Path of the file, relative to the data root (RETRAINER_DATA_ROOT); opened read-only."""
    table: Annotated[str, Field(min_length=1, max_length=127)] | None = None
    """Table or view."""
    query: Annotated[str, Field(min_length=1, max_length=4096)] | None = None
    """A SELECT statement; other statements, ATTACH and writes are refused."""


class Feature(SpecModel):
    """One input of a tabular model."""

    model_config = ConfigDict(
        json_schema_extra=validations(
            Rule(
                "!has(self.categories) || (has(self.type) && self.type == 'Categorical')",
                "categories belong to a feature of type Categorical",
            )
        )
    )

    name: ItemName
    """Name of the feature."""
    from_: Column = Field(alias="from")
    """Column, or dotted path into a JSON column."""
    type: Literal["Numeric", "Categorical"] | None = None
    """Kind of values; Numeric if unset."""
    categories: Annotated[
        tuple[Annotated[str, Field(max_length=63)], ...], Field(max_length=64), Atomic()
    ] | None = None
    """The known categories of a Categorical feature, in order."""


class Features(SpecModel):
    """The inputs of a tabular model: one JSON column, or a column each."""

    model_config = ConfigDict(json_schema_extra=validations(exactly_one("from", "columns")))

    from_: Annotated[Column | None, Field(alias="from")] = None
    """A JSON column that holds an array (features are named f0, f1 …) or an object (features by key)."""
    columns: Annotated[tuple[Feature, ...], Field(min_length=1, max_length=512), ListMap()] | None = None
    """A column each."""


class Label(SpecModel):
    """One true outcome, given independently of the model's answer."""

    name: ItemName
    """Name of the target it labels."""
    from_: Column = Field(alias="from")
    """Column, or dotted path into a JSON column."""
    type: Literal["Classification", "Regression"] | None = None
    """Kind of the target; Classification if unset."""


class Quality(SpecModel):
    """One number about the answer."""

    name: ItemName
    """Name of the quality; an experiment's metric refers to it."""
    from_: Column = Field(alias="from")
    """Column, or dotted path into a JSON column."""


class RecordMapping(SpecModel):
    """Which column holds which canonical field."""

    id: Column
    """Identity of the record; unique within the source."""
    time: Column
    """When the answer was given; zone-less values are read as UTC."""
    unit: Column | None = None
    """Who gave the feedback, and what is randomised: a user, a session, a request."""
    session: Column | None = None
    """Conversation or visit; stands in for a missing unit."""
    input: Column | None = None
    """What was asked."""
    output: Column | None = None
    """What the model answered."""
    model: Column | None = None
    """Revision or digest of the model that answered; attributes outcomes to the arms of an experiment."""
    variant: Column | None = None
    """baseline or candidate, where the application knows it."""
    segment: Column | None = None
    """Subject, domain or language."""
    prediction: Column | None = None
    """What a tabular model predicted: a value, or a JSON object of target to value."""
    correction: Column | None = None
    """What would have been right, given after seeing the answer: a value, or a JSON object."""
    features: Features | None = None
    """Inputs of a tabular model."""
    labels: Annotated[tuple[Label, ...], Field(min_length=1, max_length=32), ListMap()] | None = None
    """Truths given independently of the answer."""
    qualities: Annotated[tuple[Quality, ...], Field(min_length=1, max_length=32), ListMap()] | None = None
    """Numbers about the answer: its latency, its length, a judge's mark."""


class FeedbackSourceSpec(SpecModel):
    """Where feedback lies and how to read it."""

    model_config = ConfigDict(
        json_schema_extra=validations(
            exactly_one("postgres", "sqlite"),
            Rule(
                "!self.signals.exists(s, has(s.label)) || has(self.record.labels)",
                "a label signal needs record.labels",
            ),
            Rule(
                "!self.signals.exists(s, has(s.correction)) || has(self.record.correction)",
                "a correction signal needs record.correction",
            ),
        )
    )

    suspend: bool = False
    """Read nothing while true."""
    sync_interval_seconds: Annotated[int, Field(ge=10, le=86400)] = 300
    """Seconds between two looks at the source."""
    postgres: Postgres | None = None
    """PostgreSQL."""
    sqlite: SQLite | None = None
    """An SQLite file."""
    record: RecordMapping
    """Which column holds what."""
    signals: Annotated[tuple[Signal, ...], Field(min_length=1, max_length=16), ListMap()]
    """What people tell us, by name."""


class SourceSummary(StatusModel):
    """Counts over all records read so far."""

    records: int
    """Readable records, the latest per identity."""
    quarantined: int
    """Records that could not be read."""
    superseded: int
    """Earlier votes replaced by a later vote of the same unit on the same answer."""
    units: int
    """Distinct units."""
    first_time: Time | None = None
    """Time of the earliest record."""
    last_time: Time | None = None
    """Time of the latest record."""


class SignalSummary(StatusModel):
    """Counts of one signal."""

    name: ItemName
    """Name of the signal."""
    total: int
    """Records that carry it."""
    positive: int = 0
    """Approvals."""
    neutral: int = 0
    """Neither."""
    negative: int = 0
    """Disapprovals."""
    positive_rate: Fraction | None = None
    """positive / (positive + negative)."""


class DailySummary(StatusModel):
    """Votes of one UTC day."""

    date: Annotated[str, Field(max_length=10)]
    """The day, YYYY-MM-DD."""
    total: int
    """All votes."""
    positive: int
    """Approvals."""
    negative: int
    """Disapprovals."""


class SegmentSummary(StatusModel):
    """Votes of one segment."""

    name: Annotated[str, Field(max_length=63)]
    """The segment."""
    total: int
    """All votes."""
    positive: int
    """Approvals."""
    negative: int
    """Disapprovals."""


class QuarantineCount(StatusModel):
    """Records set aside for one reason."""

    reason: Annotated[str, Field(max_length=63)]
    """Why they cannot be read."""
    count: int
    """How many."""
    example: Annotated[str, Field(max_length=200)] | None = None
    """Id and field of one of them; never its content."""


class FeedbackSourceStatus(ObjectStatus):
    """What was found in the source."""

    last_sync_time: Time | None = None
    """When the source was last read."""
    cursor: Annotated[str, Field(max_length=1024)] | None = None
    """How far it was read; opaque."""
    summary: SourceSummary | None = None
    """Counts over all records."""
    signals: Annotated[tuple[SignalSummary, ...], Field(max_length=16), ListMap()] | None = None
    """Counts per signal."""
    daily: Annotated[tuple[DailySummary, ...], Field(max_length=30), ListMap("date")] | None = None
    """The last days of the first signal with polarity."""
    segments: Annotated[tuple[SegmentSummary, ...], Field(max_length=20), Atomic()] | None = None
    """Segments, the least liked first."""
    quarantine: Annotated[tuple[QuarantineCount, ...], Field(max_length=20), ListMap("reason")] | None = None
    """Records that could not be read, by reason."""


class SourceReason(StrEnum):
    """Reasons of the conditions Ready and DataTrusted."""

    SYNCED = "Synced"
    """Ready=True: read to the end."""
    NO_RECORDS = "NoRecords"
    """Ready=True: reachable and well-formed, but empty."""
    SUSPENDED = "Suspended"
    """Ready=Unknown: spec.suspend is set; nothing is read."""
    SYNCING = "Syncing"
    """Ready=Unknown: the first read is under way."""
    UNREACHABLE = "Unreachable"
    """Ready=False: no connection, no file, or no answer in time; tried again."""
    UNAUTHORIZED = "Unauthorized"
    """Ready=False: the source refuses the credentials, or they may not be used."""
    SECRET_NOT_SHARED = "SecretNotShared"
    """Ready=False: the Secret lacks the label or annotation that shares it with the operator."""
    SCHEMA_MISMATCH = "SchemaMismatch"
    """Ready=False: a mapped column, table or query does not fit the source."""
    INVALID = "InvalidConfiguration"
    """Ready=False, Stalled: the API server accepts the spec, but this operator does not: another version wrote it."""
    TRUSTED = "Trusted"
    """DataTrusted=True: at most 5 % of the records are quarantined."""
    TOO_MANY_QUARANTINED = "TooManyQuarantined"
    """DataTrusted=False: more than 5 % of the records are quarantined; policies wait."""


FEEDBACK_SOURCE = Kind(
    kind="FeedbackSource",
    plural="feedbacksources",
    short="fbs",
    spec=FeedbackSourceSpec,
    status=FeedbackSourceStatus,
    columns=(
        PrinterColumn("Ready", "string", ".status.conditions[?(@.type=='Ready')].status"),
        PrinterColumn("Reason", "string", ".status.conditions[?(@.type=='Ready')].reason", wide=True),
        PrinterColumn("Records", "integer", ".status.summary.records"),
        PrinterColumn("Positive", "string", ".status.signals[0].positiveRate"),
        PrinterColumn("Quarantined", "integer", ".status.summary.quarantined"),
        PrinterColumn("Last Sync", "date", ".status.lastSyncTime"),
        PrinterColumn("Age", "date", ".metadata.creationTimestamp"),
    ),
)
