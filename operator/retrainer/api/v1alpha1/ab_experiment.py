"""ABExperiment: is the candidate really better? Traffic weights, evidence, verdict."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from retrainer.api.v1alpha1.kind import Column as PrinterColumn
from retrainer.api.v1alpha1.kind import Kind
from retrainer.api.v1alpha1.metrics import Metric
from retrainer.api.v1alpha1.schema import (
    Atomic,
    Decimal,
    ErrorRate,
    Fraction,
    ItemName,
    ListMap,
    MicroTime,
    ObjectRef,
    ObjectStatus,
    PositiveDecimal,
    Rule,
    SpecModel,
    StatusModel,
    Time,
    cel,
    immutable,
    validations,
)
from retrainer.api.v1alpha1.traffic import Arm, Traffic


class RampStep(SpecModel):
    """One weight, and how much evidence it must bring before the next."""

    weight_percent: Annotated[int, Field(ge=1, le=50)]
    """Share of the traffic for the candidate."""
    minimum_units: Annotated[int, Field(ge=1, le=100_000_000)] | None = None
    """Units the candidate must have answered at this step; 100 if unset."""


class Ramp(SpecModel):
    """How the candidate's share grows; it is decided at the last step."""

    model_config = ConfigDict(
        json_schema_extra=validations(
            Rule(
                "self.steps.map(s, s.weightPercent).isSorted() && "
                "self.steps.all(a, self.steps.exists_one(b, b.weightPercent == a.weightPercent))",
                "steps must have increasing weightPercent, each larger than the one before",
            )
        )
    )

    steps: Annotated[tuple[RampStep, ...], Field(min_length=1, max_length=20), Atomic()]
    """Increasing weights, 50 at most."""


class Assignment(SpecModel):
    """What is randomised, and how."""

    unit: Literal["Request", "User"] | None = None
    """Request: the gateway draws an arm for each. User: the application assigns each user by hash
    (docs/assignment.md) and says so in the header x-retrainer-variant. Request if unset."""
    salt: Annotated[
        str,
        Field(min_length=1, max_length=63),
        cel("self.matches('^[-_.:a-zA-Z0-9]+$')", "must contain only letters, digits, '-', '_', '.' and ':'"),
    ] | None = None
    """Goes into the hash, so that two experiments divide the users differently; the experiment's name if unset."""
    settle_seconds: Annotated[int, Field(ge=0, le=3600)] | None = None
    """Outcomes are left out for this long after a weight was applied, while those that divide the traffic take it
    up. If unset: 1 for gateways, 10 for a VirtualService, 60 for an InferenceService, 90 where the application reads
    a ConfigMap."""


_PRIMARY_UNLESS_CANARY = (
    Rule(
        "self.mode != 'ABTest' || self.metrics.exists_one(m, m.role == 'Primary')",
        "exactly one metric must have role Primary: it decides (mode: Canary needs none)",
    ),
    Rule(
        "self.mode != 'Canary' || !self.metrics.exists(m, m.role == 'Primary')",
        "mode: Canary has no Primary metric: it promotes when every guardrail is proven harmless",
    ),
)

_EXPERIMENT_RULES = (
    Rule(
        "self.metrics.exists(m, has(m.source.feedback) || has(m.source.prometheus.unitsQuery))",
        "at least one metric must count units: a FeedbackSource, or Prometheus with unitsQuery",
    ),
    Rule(
        "double(self.minimumDetectableEffect) <= 1.0 || self.metrics.exists(m, m.role == 'Primary' && "
        "has(m.source.feedback) && has(m.source.feedback.quality))",
        "minimumDetectableEffect must be at most 1: the primary metric lies between 0 and 1",
    ),
    Rule(
        "self.minimumDurationSeconds < self.maximumDurationSeconds",
        "minimumDurationSeconds must be less than maximumDurationSeconds",
    ),
)


class PromotionExperiment(SpecModel):
    """The settings of an experiment that a policy starts."""

    model_config = ConfigDict(json_schema_extra=validations(*_EXPERIMENT_RULES))

    ramp: Ramp
    """How the candidate's share grows."""
    window_seconds: Annotated[int, Field(ge=5, le=86_400)] = 300
    """Length of the windows in which outcomes are counted."""
    maturity_seconds: Annotated[int, Field(ge=0, le=2_592_000)] = 0
    """Wait this long after a window's end before its outcomes are counted."""
    metrics: Annotated[tuple[Metric, ...], Field(min_length=1, max_length=8), ListMap()]
    """One Primary, unless it is a canary, and any number of Guardrails."""
    assignment: Assignment | None = None
    """What is randomised; requests if unset."""
    alpha: ErrorRate = "0.05"
    """Probability of promoting a candidate that is not better, at most."""
    power: Annotated[
        Fraction, cel("double(self) >= 0.5 && double(self) < 1.0", "must be from 0.5 to below 1")
    ] = "0.8"
    """Probability of finding an effect of minimumDetectableEffect; used by the plan."""
    minimum_detectable_effect: PositiveDecimal = "0.02"
    """The smallest effect worth promoting for, in units of the primary metric."""
    minimum_duration_seconds: Annotated[int, Field(ge=0, le=31_536_000)] = 86_400
    """No promotion before this."""
    maximum_duration_seconds: Annotated[int, Field(ge=10, le=31_536_000)] = 1_209_600
    """Undecided after this: Inconclusive."""
    on_inconclusive: Literal["KeepBaseline", "Hold"] = "KeepBaseline"
    """What to do when undecided: end, or wait for a person."""


class ABExperimentSpec(PromotionExperiment):
    """One comparison of two running models."""

    model_config = ConfigDict(
        json_schema_extra=validations(
            *_EXPERIMENT_RULES,
            *_PRIMARY_UNLESS_CANARY,
            Rule(
                "has(self.baseline.serviceRef) == !has(self.traffic.inferenceService) && "
                "has(self.candidate.serviceRef) == !has(self.traffic.inferenceService)",
                "baseline and candidate need their serviceRef, except with traffic.inferenceService, "
                "whose revisions are the arms",
            ),
            Rule(
                "!has(self.baseline.serviceRef) || !has(self.candidate.serviceRef) || "
                "self.baseline.serviceRef.name != self.candidate.serviceRef.name || "
                "self.baseline.serviceRef.port != self.candidate.serviceRef.port",
                "baseline and candidate must have different Services: the route divides the traffic between them",
            ),
            Rule(
                "has(self.baseline.model.revision) && has(self.candidate.model.revision) ? "
                "self.baseline.model.revision != self.candidate.model.revision : "
                "!has(self.baseline.model.digest) || !has(self.candidate.model.digest) || "
                "self.baseline.model.digest != self.candidate.model.digest",
                "baseline and candidate name the same model: outcomes could not be attributed; give each its "
                "revision or digest",
            ),
        )
    )

    suspend: bool = False
    """Hold the weight and promote nothing while true; guardrails still stop it."""
    mode: Literal["ABTest", "Canary"] = "ABTest"
    """ABTest promotes what is better; Canary what is proven not to be worse."""
    baseline: Arm
    """The model in service."""
    candidate: Arm
    """Its challenger."""
    traffic: Traffic
    """Who carries the weights."""


class Plan(StatusModel):
    """What it takes to decide."""

    units_needed: int
    """Units, both arms together, to find minimumDetectableEffect with the wanted power."""
    units_per_day: int | None = None
    """Observed rate of units."""
    estimated_completion_time: Time | None = None
    """When enough units will have been seen at this rate."""
    feasible: bool | None = None
    """Whether that is before maximumDurationSeconds."""
    progress: Annotated[str, Field(max_length=63)] | None = None
    """Units counted so far, of those needed: 1650/4200."""


class Effect(StatusModel):
    """The evidence on one metric."""

    metric: ItemName
    """Name of the metric."""
    estimate: Decimal | None = None
    """Candidate minus baseline."""
    lower: Decimal | None = None
    """Lower end of the interval, valid at every look."""
    upper: Decimal | None = None
    """Upper end of the interval."""
    interval: Annotated[str, Field(max_length=63)] | None = None
    """Both ends, for reading: [+0.1044, +0.2513]."""
    evidence: Decimal | None = None
    """e-value against the null that matters (Better for the primary, NotWorse for a guardrail)."""
    units: int = 0
    """Units with an outcome, both arms."""
    verdict: Literal["Better", "Worse", "TooSmall", "NotWorse", "Undecided"] = "Undecided"
    """What the evidence says."""


class SampleRatio(StatusModel):
    """Whether the split is the one that was asked for."""

    expected: Fraction | None = None
    """Candidate share asked for, over the counted windows."""
    observed: Fraction | None = None
    """Candidate share seen."""
    evidence: Decimal | None = None
    """e-value against the split that was asked for; alarm at 1,000."""
    ok: bool
    """No alarm."""


class Decision(StatusModel):
    """The verdict; never changes."""

    verdict: Literal["PromoteCandidate", "KeepBaseline", "Inconclusive"]
    """What happens to the traffic."""
    reason: Annotated[str, Field(max_length=63)]
    """Why, one word."""
    message: Annotated[str, Field(max_length=1024)]
    """Why, with the numbers."""
    time: Time
    """When."""


class WindowStatus(StatusModel):
    """The last counted window."""

    number: int
    """Its number, from 0."""
    start: MicroTime
    """Its beginning."""
    end: MicroTime
    """Its end."""
    weight_percent: int
    """The candidate's share in it."""
    candidate_units: int
    """Requests the candidate answered."""
    baseline_units: int
    """Requests the baseline answered."""


class Windows(StatusModel):
    """Windows counted so far."""

    count: int
    """How many."""
    last: WindowStatus | None = None
    """The last one."""


class ABExperimentStatus(ObjectStatus):
    """How the experiment stands."""

    start_time: Time | None = None
    """When traffic was first shifted."""
    weight_percent: Annotated[int, Field(ge=0, le=100)] | None = None
    """The candidate's share of the traffic."""
    paused: bool | None = None
    """A person asked to hold the weight."""
    plan: Plan | None = None
    """What it takes to decide."""
    effects: Annotated[tuple[Effect, ...], Field(max_length=8), ListMap("metric")] | None = None
    """The evidence per metric, the primary first."""
    sample_ratio: SampleRatio | None = None
    """Whether the split is the one that was asked for."""
    decision: Decision | None = None
    """The verdict."""
    windows: Windows | None = None
    """Windows counted so far."""
    ledger_ref: ObjectRef | None = None
    """ConfigMap with all windows."""


class ExperimentReason(StrEnum):
    """Reasons of the conditions and of the decision."""

    STARTING = "Starting"
    """Waiting for both arms to be ready."""
    RUNNING = "Running"
    """Succeeded=Unknown: evidence is being gathered."""
    PAUSED = "Paused"
    """Succeeded=Unknown: a person asked to hold the weight."""
    SUSPENDED = "Suspended"
    """Succeeded=Unknown: spec.suspend is set."""
    CANDIDATE_BETTER = "CandidateBetter"
    """Decision PromoteCandidate: better, and no guardrail worse."""
    CANARY_PASSED = "CanaryPassed"
    """Decision PromoteCandidate: mode Canary, and every guardrail is proven harmless."""
    PRIMARY_WORSE = "PrimaryWorse"
    """Decision KeepBaseline: the primary metric got worse."""
    GUARDRAIL_WORSE = "GuardrailWorse"
    """Decision KeepBaseline: a guardrail got worse."""
    EFFECT_TOO_SMALL = "EffectTooSmall"
    """Decision KeepBaseline: not worth minimumDetectableEffect."""
    MAXIMUM_DURATION = "MaximumDurationReached"
    """Decision Inconclusive: undecided after maximumDurationSeconds."""
    LEDGER_LOST = "LedgerLost"
    """Decision Inconclusive: the ledger is missing or was altered."""
    CANDIDATE_REPLACED = "CandidateReplaced"
    """Decision Inconclusive: another model is served as candidate than at the start."""
    MANUAL_PROMOTE = "ManualPromote"
    """Decision PromoteCandidate: a person asked for it."""
    MANUAL_ABORT = "ManualAbort"
    """Decision KeepBaseline: a person asked for it."""
    APPLIED = "Applied"
    """RouteApplied=True: the gateway accepted the weights."""
    ROUTE_PENDING = "RoutePending"
    """RouteApplied=False: the gateway has not accepted the weights yet."""
    ROUTE_REFUSED = "RouteRefused"
    """RouteApplied=False: the gateway refused the route."""
    ARM_NOT_READY = "ArmNotReady"
    """RouteApplied=False: a Service is missing or has no ready endpoints; users stay on the baseline."""
    ENOUGH = "Enough"
    """SufficientData=True: this step has its units."""
    COLLECTING = "Collecting"
    """SufficientData=False: this step needs more units."""
    NO_DATA = "NoData"
    """SufficientData=False: no outcomes in the counted windows."""
    SOURCE_UNAVAILABLE = "SourceUnavailable"
    """SufficientData=False: outcomes cannot be read; the weight is held."""
    CLOCK = "ClockDiffers"
    """SufficientData=False: it is not certain what time it is; nothing is raised, promoted or ended by time."""
    AS_ASKED = "AsAsked"
    """SampleRatioOK=True."""
    MISMATCH = "SampleRatioMismatch"
    """SampleRatioOK=False: the split is not the one asked for; blocks promotion."""
    SIMILAR = "Similar"
    """ResponseRate=True: both arms get feedback equally often."""
    DIFFERENT = "Different"
    """ResponseRate=False: the arms get feedback at different rates."""
    NOT_WORSE = "NotWorse"
    """GuardrailsPassed=True: no guardrail got worse by its margin."""
    UNDECIDED = "Undecided"
    """GuardrailsPassed=Unknown."""
    NAME_CONFLICT = "NameConflict"
    """Stalled=True: an object that is not ours bears the name of a child."""
    INVALID = "InvalidConfiguration"
    """Stalled=True: something the spec refers to is missing or does not fit."""


_DECISION_LOCK = Rule(
    "!has(oldSelf.status) || !has(oldSelf.status.decision) || "
    "(has(self.status) && has(self.status.decision) && self.status.decision == oldSelf.status.decision)",
    "status.decision is final: it can neither change nor be removed",
)

AB_EXPERIMENT = Kind(
    kind="ABExperiment",
    plural="abexperiments",
    short="abx",
    spec=ABExperimentSpec,
    status=ABExperimentStatus,
    columns=(
        PrinterColumn("Verdict", "string", ".status.decision.verdict"),
        PrinterColumn("Weight", "integer", ".status.weightPercent"),
        PrinterColumn("Effect", "string", ".status.effects[0].estimate"),
        PrinterColumn("Interval", "string", ".status.effects[0].interval", wide=True),
        PrinterColumn("Evidence", "string", ".status.effects[0].evidence", wide=True),
        PrinterColumn("Units", "string", ".status.plan.progress"),
        PrinterColumn("ETA", "string", ".status.plan.estimatedCompletionTime"),
        PrinterColumn("Reason", "string", '.status.conditions[?(@.type=="Succeeded")].reason', wide=True),
        PrinterColumn("Age", "date", ".metadata.creationTimestamp"),
    ),
    root_rules=(
        _DECISION_LOCK,
        immutable(ABExperimentSpec, after_start=True, except_for=("suspend",)),
    ),
)
