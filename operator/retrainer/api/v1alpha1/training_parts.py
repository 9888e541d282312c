"""What a TrainingRun and a RetrainPolicy's `training` share: data, method, gates, job, output."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from retrainer.api.v1alpha1.schema import (
    ArtifactUri,
    Atomic,
    Decimal,
    Fraction,
    ItemName,
    ListMap,
    ObjectName,
    ObjectRef,
    PositiveDecimal,
    Rule,
    SpecModel,
    cel,
    exactly_one,
    validations,
)


class Strategy(StrEnum):
    """How a run uses what is already learnt."""

    INCREMENTAL = "Incremental"
    """Continue from the champion."""
    FULL = "Full"
    """Start anew."""


SourceRefs = Annotated[
    tuple[ObjectRef, ...],
    Field(min_length=1, max_length=8),
    Atomic(),
    cel(
        "self.all(a, self.exists_one(b, b.name == a.name))",
        "names a FeedbackSource twice: its records would count twice",
    ),
]
"""FeedbackSources of the same namespace."""


class DataSelection(SpecModel):
    """Which feedback becomes the data set, and how it is divided."""

    model_config = ConfigDict(
        json_schema_extra=validations(
            Rule(
                "!has(self.maximumSamples) || self.minimumSamples <= self.maximumSamples",
                "maximumSamples must not be less than minimumSamples: no run could have enough rows",
            )
        )
    )

    source_refs: SourceRefs
    """The FeedbackSources to read."""
    minimum_samples: Annotated[int, Field(ge=1, le=100_000_000)] = 100
    """Fewer usable rows than this: the run ends with InsufficientData."""
    minimum_units: Annotated[int, Field(ge=1, le=100_000_000)] = 20
    """Fewer units (people) than this: the run ends with InsufficientData."""
    maximum_samples: Annotated[int, Field(ge=1, le=100_000_000)] | None = None
    """Keep at most this many of the latest rows."""
    minimum_per_class: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """Fewer training rows of any class than this: the run ends with InsufficientData."""
    evaluation_percent: Annotated[int, Field(ge=5, le=50)] = 20
    """Share of rows meant for the comparison of candidate and champion."""
    validation_percent: Annotated[int, Field(ge=5, le=50)] = 10
    """Share of the training units kept for early stopping."""
    split: Literal["UnitAndTime", "Unit", "Time", "Random"] = "UnitAndTime"
    """How rows are divided: UnitAndTime keeps evaluation later than training and free of its units."""
    seed: Annotated[int, Field(ge=0, le=2_147_483_647)] = 42
    """Seed of every random choice."""


class Target(SpecModel):
    """One output of a tabular model; each gets a booster of its own."""

    name: ItemName
    """Name of the target: a label's name, or that of the correction."""
    type: Literal["Classification", "Regression"] | None = None
    """Kind of the target; Classification if unset."""


class Parameter(SpecModel):
    """One parameter of the library."""

    name: ItemName
    """As the library spells it."""
    value: Annotated[str, Field(max_length=128)]
    """As a string; read as number or truth value where it looks like one."""


class Tuning(SpecModel):
    """A search for good parameters before a Full run's training: Optuna, with cross-validation."""

    trials: Annotated[int, Field(ge=1, le=1000)] = 30
    """Settings tried per target; the first is the one without tuning."""
    folds: Annotated[int, Field(ge=2, le=20)] = 5
    """Parts of the training rows, divided by unit: each is predicted by a model trained on the others."""
    timeout_seconds: Annotated[int, Field(ge=1, le=2_592_000)] | None = None
    """Begin no trial after this much time over all targets; each target gets its share, and one trial at least."""


class XGBoost(SpecModel):
    """Gradient-boosted trees."""

    model_config = ConfigDict(
        json_schema_extra=validations(
            Rule(
                "!has(self.classWeights) || self.targets.exists(t, !has(t.type) || t.type == 'Classification')",
                "class weights need a target of type Classification; remove classWeights",
            ),
            Rule(
                "!has(self.classWeights) || !has(self.parameters) || "
                "!self.parameters.exists(p, p.name == 'scale_pos_weight')",
                "the classes would be weighed twice; set classWeights or the parameter scale_pos_weight",
            ),
        )
    )

    targets: Annotated[tuple[Target, ...], Field(min_length=1, max_length=16), ListMap()]
    """What is predicted."""
    trees: Annotated[int, Field(ge=1, le=10_000)] = 200
    """Boosting rounds of a Full run, at most; early stopping may end sooner."""
    additional_trees: Annotated[int, Field(ge=1, le=10_000)] = 20
    """Boosting rounds that an Incremental run adds."""
    learning_rate_scale: PositiveDecimal = "0.8"
    """Factor on the learning rate of an Incremental run."""
    early_stopping_rounds: Annotated[int, Field(ge=1, le=1000)] = 20
    """Stop after this many rounds without improvement on the validation rows."""
    class_weights: Literal["Balanced"] | None = None
    """Balanced: rows of a rare class count for more, so that every class has the same total weight."""
    tuning: Tuning | None = None
    """Search for parameters in a Full run; those set in `parameters` stay as they are."""
    parameters: Annotated[tuple[Parameter, ...], Field(max_length=32), ListMap()] | None = None
    """Parameters of the library: max_depth, eta, subsample …"""


class Method(SpecModel):
    """How to train; exactly one."""

    model_config = ConfigDict(json_schema_extra=validations(exactly_one("xgboost")))

    xgboost: XGBoost | None = None
    """Gradient-boosted trees for tabular data."""


class VersusChampion(SpecModel):
    """A demand on the change from champion to candidate."""

    model_config = ConfigDict(
        json_schema_extra=validations(exactly_one("improvementAtLeast", "regressionAtMost"))
    )

    improvement_at_least: Fraction | None = None
    """The change must be shown to be at least this."""
    regression_at_most: Fraction | None = None
    """A loss greater than this must be ruled out."""
    confidence: Annotated[
        str,
        Field(max_length=16),
        cel(
            "self.matches('^0[.][0-9]+$') && double(self) >= 0.5 && double(self) < 1.0",
            'must be a decimal string from 0.5 to below 1, for example "0.95"',
        ),
    ] | None = None
    """One-sided confidence of the interval; 0.95 if unset."""


class Gate(SpecModel):
    """A rule that a candidate must pass."""

    model_config = ConfigDict(
        json_schema_extra=validations(
            exactly_one("atLeast", "atMost", "versusChampion"),
            Rule(
                "!has(self.minimumUnits) || has(self.versusChampion)",
                "minimumUnits belongs to a comparison; set versusChampion too",
            ),
            Rule(
                "!has(self.allowUnderpowered) || has(self.versusChampion)",
                "allowUnderpowered belongs to a comparison; set versusChampion too",
            ),
        )
    )

    metric: Annotated[
        str,
        Field(min_length=1, max_length=63),
        cel(
            "self.matches('^[a-zA-Z][a-zA-Z0-9]*([(][a-zA-Z][a-zA-Z0-9]*[)])?$')",
            "must be a metric or a composite of one, for example accuracy or mean(accuracy)",
        ),
    ]
    """accuracy, logLoss, rootMeanSquaredError …, or a composite: mean(accuracy), worst(accuracy)."""
    target: ItemName | None = None
    """The target that is judged; with one target it may be left out."""
    at_least: Decimal | None = None
    """The candidate's value must be at least this."""
    at_most: Decimal | None = None
    """The candidate's value must be at most this."""
    versus_champion: VersusChampion | None = None
    """The candidate against the champion on the same rows."""
    minimum_units: Annotated[int, Field(ge=2, le=1_000_000)] | None = None
    """Fewer evaluation units than this prove nothing; 100 if unset."""
    allow_underpowered: bool | None = None
    """Train even where the gate could hardly pass an equal candidate."""


GATES_NAME_TARGETS = Rule(
    "!has(self.gates) || !has(self.method.xgboost) || self.gates.all(g, !has(g.target) || "
    "self.method.xgboost.targets.exists(t, t.name == g.target))",
    "gates: target names a target that method does not train",
)

Quantity = Annotated[
    str,
    Field(min_length=1, max_length=16),
    cel(
        "isQuantity(self) && quantity(self).isGreaterThan(quantity('0'))",
        'must be a positive quantity of Kubernetes, for example "4", "500m" or "16Gi"',
    ),
]
"""An amount of processors or memory."""


class Resources(SpecModel):
    """What the training container asks for (requests and limits alike)."""

    cpu: Quantity | None = None
    """Processors: "4" or "500m"."""
    memory: Quantity | None = None
    """Memory: "16Gi"."""
    gpu: Annotated[int, Field(ge=0, le=64)] | None = None
    """Number of GPUs; only the training Job asks for them."""
    gpu_resource: Annotated[str, Field(max_length=63)] | None = None
    """Resource name of the GPU; nvidia.com/gpu if unset."""


class VolumeClaim(SpecModel):
    """A PersistentVolumeClaim for the Jobs."""

    claim_name: ObjectName
    """Name of the claim."""
    mount_path: Annotated[
        str,
        Field(max_length=255),
        cel("self.startsWith('/') && self != '/'", "must be an absolute path other than /"),
    ]
    """Where it is mounted in the Jobs."""


class Toleration(SpecModel):
    """A toleration of the pods, as in Kubernetes."""

    key: Annotated[str, Field(max_length=253)] | None = None
    """Taint key."""
    operator: Literal["Exists", "Equal"] | None = None
    """How `value` is compared."""
    value: Annotated[str, Field(max_length=63)] | None = None
    """Taint value."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """Taint effect."""


class JobSettings(SpecModel):
    """How the Jobs run."""

    image: Annotated[str, Field(min_length=1, max_length=255)] | None = None
    """Trainer image, best by digest; the operator's default (RETRAINER_TRAINER_IMAGE) if unset."""
    resources: Resources | None = None
    """What the training container asks for."""
    service_account_name: ObjectName | None = None
    """ServiceAccount of the pods; they get no API token."""
    node_selector: Annotated[
        dict[str, Annotated[str, Field(max_length=63)]], Field(max_length=16)
    ] | None = None
    """Labels that a node must have."""
    tolerations: Annotated[tuple[Toleration, ...], Field(max_length=16), Atomic()] | None = None
    """Taints that are tolerated."""
    priority_class_name: ObjectName | None = None
    """PriorityClass of the pods."""
    volume_claims: Annotated[
        tuple[VolumeClaim, ...],
        Field(max_length=8),
        Atomic(),
        cel(
            "self.all(a, self.exists_one(b, b.mountPath == a.mountPath))",
            "two claims cannot be mounted at the same mountPath",
        ),
    ] | None = None
    """Claims for sources, artifacts and caches. SQLite paths are relative to the first one."""
    active_deadline_seconds: Annotated[int, Field(ge=30, le=2_592_000)] = 86_400
    """A Job that runs longer than this fails with DeadlineExceeded."""
    maximum_retries: Annotated[int, Field(ge=0, le=10)] = 3
    """How often a failed pod is tried again."""
    ttl_seconds_after_finished: Annotated[int, Field(ge=600, le=2_592_000)] = 3600
    """Finished Jobs are removed after this."""


class Output(SpecModel):
    """Where snapshots and artifacts are written."""

    uri: Annotated[
        ArtifactUri,
        cel("self.endsWith('/')", "must end with '/': artifacts are written below it"),
    ]
    """A folder; artifacts are written below it under their digest."""
