"""RetrainPolicy: when to retrain which model, how, and how it goes live; which revision is champion."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from retrainer.api.v1alpha1.ab_experiment import PromotionExperiment
from retrainer.api.v1alpha1.kind import Column as PrinterColumn
from retrainer.api.v1alpha1.kind import Kind
from retrainer.api.v1alpha1.schema import (
    ArtifactUri,
    Atomic,
    Cel,
    Decimal,
    Digest,
    Fraction,
    ItemName,
    ListMap,
    ObjectName,
    ObjectRef,
    ObjectStatus,
    Rule,
    SpecModel,
    StatusModel,
    Time,
    cel,
    exactly_one,
    validations,
)
from retrainer.api.v1alpha1.traffic import RouteAttachment
from retrainer.api.v1alpha1.training_parts import (
    GATES_NAME_TARGETS,
    DataSelection,
    Gate,
    JobSettings,
    Method,
    Output,
    SourceRefs,
    Strategy,
)


class InitialModel(SpecModel):
    """The model in service before the first run."""

    uri: ArtifactUri
    """Where its artifact lies."""
    digest: Digest
    """Digest of its manifest."""
    trained_through: Time | None = None
    """Latest row it may have learnt from; unknown: no comparison with it can pass."""


class PolicyModel(SpecModel):
    """The model this policy cares for."""

    name: ItemName
    """Its name."""
    initial: InitialModel | None = None
    """Revision 1; without it the first run that passes its gates becomes revision 1."""
    pin: Annotated[int, Field(ge=1, le=1_000_000_000)] | None = None
    """While set: this revision, which was champion before, is champion; no run starts and nothing is promoted."""


class NewSamples(SpecModel):
    """Enough new feedback since the champion's data set."""

    at_least: Annotated[int, Field(ge=1, le=100_000_000)]
    """How much."""
    value: Literal["Any", "Positive", "Negative"] | None = None
    """Which votes count; Any if unset."""


class Staleness(SpecModel):
    """The champion is old."""

    maximum_age_days: Annotated[int, Field(ge=1, le=3650)]
    """Days since its promotion."""


class Schedule(SpecModel):
    """At fixed times."""

    cron: Annotated[
        str,
        Field(min_length=9, max_length=64),
        Cel(
            (
                Rule(
                    "self.trim().split(' ').filter(f, f != '').size() == 5",
                    "cron must have five fields: minute, hour, day of month, month, day of week (no seconds)",
                ),
                Rule(
                    "self.trim().split(' ').filter(f, f != '').all(f, f.matches("
                    "'^([*]|[0-9]{1,2}|[a-zA-Z]{3})(-([0-9]{1,2}|[a-zA-Z]{3}))?(/[0-9]{1,2})?"
                    "(,([*]|[0-9]{1,2}|[a-zA-Z]{3})(-([0-9]{1,2}|[a-zA-Z]{3}))?(/[0-9]{1,2})?)*$'))",
                    "each field of cron must be *, a number, a name (mon, jan), a range (1-5), a step (*/15) or a "
                    "list of these",
                ),
            )
        ),
    ]
    """Minute, hour, day of month, month, day of week: "0 2 * * 1"."""
    time_zone: Annotated[str, Field(max_length=63)] | None = None
    """IANA time zone: Europe/Berlin; Etc/UTC if unset."""


class PositiveRate(SpecModel):
    """People like the champion's answers less often than they should, beyond chance."""

    signal: ItemName
    """A signal with polarity."""
    below: Annotated[Fraction, cel("double(self) > 0.0 && double(self) < 1.0", "must lie between 0 and 1")]
    """The rate that is wanted."""
    minimum_samples: Annotated[int, Field(ge=1, le=100_000_000)] | None = None
    """Fewer votes than this prove nothing; 100 if unset."""


class Trigger(SpecModel):
    """One reason to retrain; exactly one sub-object."""

    model_config = ConfigDict(
        json_schema_extra=validations(exactly_one("newSamples", "staleness", "schedule", "positiveRate"))
    )

    name: ItemName
    """Name of the trigger; strategyRules refer to it."""
    new_samples: NewSamples | None = None
    """Enough new feedback."""
    staleness: Staleness | None = None
    """The champion is old."""
    schedule: Schedule | None = None
    """At fixed times."""
    positive_rate: PositiveRate | None = None
    """The like rate is below target; a sequential test, not a point estimate."""


class StrategyCondition(SpecModel):
    """All that is set must hold."""

    model_config = ConfigDict(
        json_schema_extra=validations(
            Rule(
                "has(self.triggered) || has(self.championAgeAtLeastDays) || has(self.championAgeAtMostDays)",
                "set triggered, championAgeAtLeastDays or championAgeAtMostDays",
            ),
            Rule(
                "!has(self.championAgeAtLeastDays) || !has(self.championAgeAtMostDays) || "
                "self.championAgeAtLeastDays <= self.championAgeAtMostDays",
                "championAgeAtLeastDays must not exceed championAgeAtMostDays: no champion could match",
            ),
        )
    )

    triggered: Annotated[tuple[ItemName, ...], Field(min_length=1, max_length=32), Atomic()] | None = None
    """One of these triggers fired."""
    champion_age_at_least_days: Annotated[int, Field(ge=0, le=3650)] | None = None
    """The champion is at least this old."""
    champion_age_at_most_days: Annotated[int, Field(ge=0, le=3650)] | None = None
    """The champion is at most this old."""


class StrategyRule(SpecModel):
    """Chooses the strategy of the next run."""

    strategy: Strategy
    """The strategy."""
    when: StrategyCondition
    """When it is chosen; the first rule that matches wins."""


class PolicyData(DataSelection):
    """The data of the runs."""

    window_days: Annotated[int, Field(ge=1, le=3650)] = 90
    """A run reads the records of this many days before its creation."""


class Training(SpecModel):
    """What a run is made of."""

    model_config = ConfigDict(json_schema_extra=validations(GATES_NAME_TARGETS))

    data: PolicyData
    """Which feedback becomes the data set."""
    method: Method
    """How to train."""
    gates: Annotated[tuple[Gate, ...], Field(max_length=16), Atomic()] | None = None
    """Rules that the candidate must pass."""
    job: JobSettings = JobSettings()
    """How the Jobs run."""
    output: Output
    """Where snapshots and artifacts are written."""


class Promotion(SpecModel):
    """How a run that passed its gates goes live."""

    model_config = ConfigDict(
        json_schema_extra=validations(
            Rule(
                "self.method == 'Immediate' || has(self.experiment)",
                "methods ABTest and Canary need promotion.experiment; without an experiment use method Immediate",
            ),
            Rule(
                "self.method != 'Immediate' || !has(self.experiment)",
                "method Immediate runs no experiment: remove promotion.experiment or use method ABTest",
            ),
            Rule(
                "self.method != 'ABTest' || !has(self.experiment) || "
                "self.experiment.metrics.exists_one(m, m.role == 'Primary')",
                "method ABTest: exactly one metric must have role Primary: it decides",
            ),
            Rule(
                "self.method != 'Canary' || !has(self.experiment) || "
                "!self.experiment.metrics.exists(m, m.role == 'Primary')",
                "method Canary has no Primary metric: it promotes when every guardrail is proven harmless",
            ),
        )
    )

    method: Literal["ABTest", "Canary", "Immediate"] = "ABTest"
    """By an experiment on live traffic that must show it better (ABTest) or harmless (Canary), or at once."""
    approval: Literal["Automatic", "Manual"] = "Automatic"
    """Manual: a person must approve a candidate that won, before it becomes champion; until then it gets no traffic."""
    experiment: PromotionExperiment | None = None
    """Settings of the experiment."""


class Serving(SpecModel):
    """The operator runs champion and candidate."""

    pod_template_ref: ObjectRef
    """A core PodTemplate; its pods get MODEL_URI, MODEL_DIGEST and MODEL_REVISION."""
    replicas: Annotated[int, Field(ge=0, le=1000)] | None = None
    """Replicas per revision; omitted: never applied, so that an autoscaler can own them."""
    port: Annotated[int, Field(ge=1, le=65535)]
    """Port of the container and of the Services."""
    http_route: RouteAttachment
    """How the traffic arrives; the policy owns the HTTPRoute."""
    progress_deadline_seconds: Annotated[int, Field(ge=10, le=86_400)] = 600
    """A candidate that is not Available by then is rejected."""
    retire_after_seconds: Annotated[int, Field(ge=0, le=2_592_000)] = 3600
    """A replaced revision keeps running this long, so that a rollback is quick."""


class Budget(SpecModel):
    """How much may be spent on training."""

    runs_per_week: Annotated[int, Field(ge=1, le=32)]
    """Triggers start no run while so many started in the last seven days; requested runs count and are not refused."""


class RetrainPolicySpec(SpecModel):
    """When, how and what to retrain."""

    model_config = ConfigDict(
        json_schema_extra=validations(
            Rule(
                "!has(self.strategyRules) || self.strategyRules.all(r, !has(r.when.triggered) || "
                "r.when.triggered.all(t, self.triggers.exists(x, x.name == t)))",
                "strategyRules: when.triggered names a trigger that does not exist",
            ),
            Rule(
                "self.promotion.method == 'Immediate' || has(self.serving)",
                "promotion.method ABTest or Canary needs serving: the operator must run both models and own the route; "
                "without serving use method Immediate",
            ),
        )
    )

    suspend: bool = False
    """No new run or experiment while true; route and Deployments are left alone."""
    model: PolicyModel
    """The model."""
    source_refs: SourceRefs
    """The FeedbackSources that triggers look at."""
    triggers: Annotated[tuple[Trigger, ...], Field(min_length=1, max_length=32), ListMap()]
    """Reasons to retrain."""
    trigger_mode: Literal["Any", "All"] = "Any"
    """Whether one trigger is enough."""
    cooldown_seconds: Annotated[int, Field(ge=0, le=31_536_000)] = 604_800
    """No new run sooner than this after the last one ended."""
    budget: Budget | None = None
    """How much may be spent on training."""
    strategy_rules: Annotated[tuple[StrategyRule, ...], Field(max_length=16), Atomic()] | None = None
    """How the strategy is chosen."""
    default_strategy: Strategy = Strategy.FULL
    """Strategy when no rule matches."""
    training: Training
    """What a run is made of."""
    promotion: Promotion
    """How a candidate goes live."""
    serving: Serving | None = None
    """Where the models run; omitted: others serve, and read the champion from the ConfigMap."""
    revision_history_limit: Annotated[int, Field(ge=2, le=100)] = 5
    """Revisions to remember; the champion and its predecessor always are."""


class SnapshotFacts(StatusModel):
    """The data set a revision was trained on."""

    uri: Annotated[str, Field(max_length=1024)] | None = None
    """Where it lies."""
    digest: Digest | None = None
    """SHA-256 over its rows."""
    trained_through: Time | None = None
    """Time of the latest row learnt from."""
    window_end: Time | None = None
    """Records up to this were looked at; newSamples counts later ones."""
    records: int | None = None
    """Rows."""


class NamedValue(StatusModel):
    """A metric and its value."""

    name: Annotated[str, Field(max_length=63)]
    """Name of the metric."""
    value: Decimal
    """Its value."""


class ChampionStatus(StatusModel):
    """The model in service."""

    revision: int
    """Its number."""
    uri: Annotated[str, Field(max_length=1024)]
    """Where its artifact lies."""
    digest: Digest
    """Digest of its manifest."""
    training_run: ObjectName | None = None
    """The run that made it."""
    promoted_time: Time
    """Since when it is champion."""
    snapshot: SnapshotFacts | None = None
    """What it was trained on."""
    metrics: Annotated[tuple[NamedValue, ...], Field(max_length=20), ListMap()] | None = None
    """Its metrics in its run."""


class RevisionState(StrEnum):
    """What became of a revision."""

    CANDIDATE = "Candidate"
    """In an experiment, or about to be."""
    AWAITING_APPROVAL = "AwaitingApproval"
    """Won, and waits for a person."""
    CHAMPION = "Champion"
    """In service."""
    RETIRED = "Retired"
    """Was champion."""
    REJECTED = "Rejected"
    """Never became champion."""
    ROLLED_BACK = "RolledBack"
    """Was champion, until a person rolled back or pinned another one."""


class Revision(StatusModel):
    """A numbered version of the model."""

    revision: int
    """Its number."""
    uri: Annotated[str, Field(max_length=1024)]
    """Where its artifact lies."""
    digest: Digest
    """Digest of its manifest."""
    training_run: ObjectName | None = None
    """The run that made it."""
    state: RevisionState
    """What became of it."""
    time: Time
    """Since when."""
    reason: Annotated[str, Field(max_length=63)] | None = None
    """Why, one word."""
    incremental_chain: int | None = None
    """Incremental runs in a row that led to it."""
    snapshot: SnapshotFacts | None = None
    """What it was trained on."""
    metrics: Annotated[tuple[NamedValue, ...], Field(max_length=20), ListMap()] | None = None
    """Its metrics in its run."""


class TriggerState(StrEnum):
    """What a trigger says."""

    FIRED = "Fired"
    """There is reason to retrain."""
    QUIET = "Quiet"
    """There is none."""
    INSUFFICIENT_DATA = "InsufficientData"
    """Too little to tell."""
    UNKNOWN = "Unknown"
    """A source cannot be read; never fires, never hides another."""


class TriggerStatus(StatusModel):
    """What a trigger says, and why."""

    name: ItemName
    """Name of the trigger."""
    state: TriggerState
    """Fired, Quiet, InsufficientData or Unknown."""
    observed: Annotated[str, Field(max_length=63)] | None = None
    """What was measured."""
    threshold: Annotated[str, Field(max_length=63)] | None = None
    """What it is compared with."""
    message: Annotated[str, Field(max_length=512)] = ""
    """In a sentence."""
    last_fired_time: Time | None = None
    """When it last fired."""
    latched: bool | None = None
    """triggerMode All: fired since the last run, and remembered."""
    memory: Annotated[str, Field(max_length=1024)] | None = None
    """State of a sequential test; opaque."""


class LastRun(StatusModel):
    """How the last run ended."""

    name: ObjectName
    """The run."""
    result: Annotated[str, Field(max_length=63)]
    """Reason of its Succeeded condition, or Deleted."""
    time: Time
    """When."""


class PendingRun(StatusModel):
    """A run that is announced and about to be created; its number is taken."""

    name: ObjectName
    """Name of the run."""
    revision: int
    """Number of the revision that it may become."""
    strategy: Strategy
    """Its strategy."""


class RetrainPolicyStatus(ObjectStatus):
    """How the model fares."""

    champion: ChampionStatus | None = None
    """The model in service."""
    revisions: Annotated[tuple[Revision, ...], Field(max_length=128), ListMap("revision")] | None = None
    """Versions of the model, the latest first."""
    next_revision: int | None = None
    """Number of the next revision; only grows."""
    triggers: Annotated[tuple[TriggerStatus, ...], Field(max_length=32), ListMap()] | None = None
    """What the triggers say."""
    triggered: Annotated[str, Field(max_length=253)] | None = None
    """The triggers that have fired, for the TRIGGERED column."""
    pending_run: PendingRun | None = None
    """Announced before it is created, so that an interrupted pass never makes a second one."""
    active_run: ObjectName | None = None
    """The run under way."""
    active_experiment: ObjectName | None = None
    """The experiment under way."""
    last_run: LastRun | None = None
    """How the last run ended."""
    consecutive_failures: int | None = None
    """Runs that failed in a row; the wait doubles with each."""
    next_run_time: Time | None = None
    """Not before this: cooldown, back-off or budget."""
    run_starts: Annotated[tuple[Time, ...], Field(max_length=32), Atomic()] | None = None
    """When the runs of about the last seven days started; budget.runsPerWeek counts them."""
    next_schedule_time: Time | None = None
    """Next slot of the schedule."""
    incremental_chain: int | None = None
    """Incremental runs in a row that led to the champion; after five comes a Full one."""
    serving_template_hash: Annotated[str, Field(max_length=64)] | None = None
    """Hash of the frozen PodTemplate."""


class PolicyReason(StrEnum):
    """Reasons of the conditions Ready, Triggered, Training, Experimenting and AwaitingApproval, and of revisions."""

    READY = "Ready"
    """Ready=True: the champion is known and, with serving, available."""
    NO_CHAMPION = "NoChampion"
    """Ready=True: no model yet; the first run that passes its gates becomes revision 1."""
    SUSPENDED = "Suspended"
    """Ready=True: spec.suspend is set; nothing new is started."""
    SERVING_NOT_READY = "ServingNotReady"
    """Ready=False: the champion's Deployment is not available yet."""
    ROUTE_NOT_READY = "RouteNotReady"
    """Ready=False: the gateway has not accepted the route."""
    MISSING_REFERENCE = "MissingReference"
    """Ready=False, Stalled=True: a referenced object does not exist; the message names it."""
    INVALID = "InvalidConfiguration"
    """Ready=False, Stalled=True: the spec cannot be carried out; the message names the field."""
    NAME_CONFLICT = "NameConflict"
    """Ready=False, Stalled=True: an object that is not ours bears the name of a child."""
    FIRED = "Fired"
    """Triggered=True."""
    QUIET = "Quiet"
    """Triggered=False."""
    COOLDOWN = "Cooldown"
    """Triggered=True, but held back until status.nextRunTime."""
    BUDGET_SPENT = "BudgetSpent"
    """Triggered=True, but held back until status.nextRunTime by budget.runsPerWeek."""
    DATA_UNTRUSTED = "DataUntrusted"
    """Triggered=Unknown: a source is not trusted; nothing is started."""
    RUNNING = "Running"
    """Training=True or Experimenting=True."""
    IDLE = "Idle"
    """Training=False, Experimenting=False or AwaitingApproval=False."""
    PREPARING = "Preparing"
    """Experimenting=Unknown: the candidate's Deployment is being prepared."""
    APPROVAL_NEEDED = "ApprovalNeeded"
    """AwaitingApproval=True: a person decides; nothing new starts until then."""
    PINNED = "Pinned"
    """Ready=True or Triggered=True: spec.model.pin is set. Revision: champion by it, left for it or given up for it."""
    NOT_APPROVED = "NotApproved"
    """Revision Rejected: a person refused it."""
    GATES_PASSED = "GatesPassed"
    """Revision AwaitingApproval: there is no experiment, and its gates passed."""
    PROMOTED = "Promoted"
    """Revision: became champion."""
    INITIAL = "Initial"
    """Revision: model.initial."""
    CANDIDATE_NOT_READY = "CandidateNotReady"
    """Revision Rejected: its Deployment was not available in time."""
    EXPERIMENT_DELETED = "ExperimentDeleted"
    """Revision Rejected: its experiment was deleted."""
    ROLLED_BACK = "RolledBack"
    """Revision: a person rolled back."""
    GATES_FAILED = "GatesFailed"
    """Revision Rejected: a gate did not pass."""
    CHAMPION_CHANGED = "ChampionChanged"
    """Revision Rejected: it was compared with a champion that is no longer in service."""
    CREATING = "Creating"
    """Reconciling=True: Deployments, Services or the route are being created."""
    WAITING = "Waiting"
    """Reconciling=True: remains of an earlier policy of this name are being removed."""
    SUPERSEDED = "Superseded"
    """Revision Retired: another one became champion."""


RETRAIN_POLICY = Kind(
    kind="RetrainPolicy",
    plural="retrainpolicies",
    short="rtp",
    spec=RetrainPolicySpec,
    status=RetrainPolicyStatus,
    columns=(
        PrinterColumn("Ready", "string", ".status.conditions[?(@.type=='Ready')].status"),
        PrinterColumn("Champion", "integer", ".status.champion.revision"),
        PrinterColumn("Triggered", "string", ".status.triggered"),
        PrinterColumn("Run", "string", ".status.activeRun"),
        PrinterColumn("Experiment", "string", ".status.activeExperiment"),
        PrinterColumn("Age", "date", ".metadata.creationTimestamp"),
    ),
)
