"""From a record to a row of tabular training: features in order, one truth per target, and where it came from."""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from retrainer.api.v1alpha1.training_parts import Target
from trainer.digest import text_field, value_field

Value = str | float
"""A class (string) or a number."""
_NUMBERS = frozenset({int, float})


class Drop(StrEnum):
    """Why a readable record is not in the data set."""

    NO_LABEL = "NoLabel"
    """No label, no correction, and no approval of a prediction."""
    INVALID_LABEL = "InvalidLabel"
    """A truth that its target's type does not allow."""
    MISSING_FEATURES = "MissingFeatures"
    """No features, or one of them has no value."""
    WRONG_FEATURES = "WrongFeatures"
    """Other features than the data set has, or values of another type."""
    UNKNOWN_CATEGORY = "UnknownCategory"
    """A category that the feature does not declare."""
    DUPLICATE = "Duplicate"
    """An earlier vote of the same unit on the same answer."""
    BEYOND_MAXIMUM = "BeyondMaximum"
    """Older than the latest `maximumSamples`."""
    SPLIT_DISCARDED = "SplitDiscarded"
    """On neither side of the split; the price of evaluation that is later and of other units."""
    EVALUATION_OVERLAPS_CHAMPION = "EvaluationOverlapsChampion"
    """The champion may have learnt from it, so it cannot judge."""


class Origin(StrEnum):
    """How the truth of a target became known."""

    LABEL = "Label"
    """Given independently of the model's answer."""
    CORRECTION = "Correction"
    """Given after seeing a wrong answer."""
    SELF_LABELLED = "SelfLabelled"
    """The model's own answer, approved."""


@dataclass(frozen=True, slots=True)
class FeatureSpec:
    """One feature; `categories` None for numbers, empty for a category list still to be learnt."""

    name: str
    categories: tuple[str, ...] | None = None

    @property
    def numeric(self) -> bool:
        return self.categories is None


@dataclass(frozen=True, slots=True)
class Record:
    """What the trainer needs of a canonical record; `time` in microseconds since 1970 UTC."""

    source: str
    id: str
    identity: str
    """What a later vote of the same unit replaces."""
    time: int
    unit: str
    segment: str | None
    model: str | None
    features: Mapping[str, Value | None] | None
    labels: Mapping[str, Value]
    corrections: Mapping[str, Value]
    predictions: Mapping[str, Value]
    approved: bool


@dataclass(frozen=True, slots=True)
class Row:
    """One usable row; `truths`, `origins` and `predictions` have one entry per target, None where unknown."""

    source: str
    id: str
    time: int
    unit: str
    segment: str | None
    model: str | None
    features: tuple[Value, ...]
    truths: tuple[Value | None, ...]
    origins: tuple[Origin | None, ...]
    predictions: tuple[Value | None, ...]


class Unusable(Exception):
    """A record that this run drops, for a reason that is counted."""

    def __init__(self, reason: Drop) -> None:
        super().__init__(reason)
        self.reason = reason


def to_row(record: Record, targets: Sequence[Target], features: Sequence[FeatureSpec]) -> Row:
    """The row of a record; raises Unusable."""
    truths = [_truth(record, target) for target in targets]
    if not any(value is not None for value, _ in truths):
        raise Unusable(Drop.NO_LABEL)
    return Row(
        source=record.source,
        id=record.id,
        time=record.time,
        unit=record.unit,
        segment=record.segment,
        model=record.model,
        features=_features(record.features, features),
        truths=tuple(value for value, _ in truths),
        origins=tuple(origin for _, origin in truths),
        predictions=tuple(_prediction(record, target) for target in targets),
    )


def _truth(record: Record, target: Target) -> tuple[Value | None, Origin | None]:
    """Label before correction before approved prediction; disapproval alone says nothing about the truth."""
    if target.name in record.labels:
        return _typed(record.labels[target.name], target), Origin.LABEL
    if target.name in record.corrections:
        return _typed(record.corrections[target.name], target), Origin.CORRECTION
    if record.approved and target.name in record.predictions:
        return _typed(record.predictions[target.name], target), Origin.SELF_LABELLED
    return None, None


def _prediction(record: Record, target: Target) -> Value | None:
    if target.name not in record.predictions:
        return None
    try:
        return _typed(record.predictions[target.name], target)
    except Unusable:
        return None


def _typed(value: Value, target: Target) -> Value:
    if target.type != "Regression":
        return value if isinstance(value, str) else number_text(value)
    try:
        number = float(value)
    except ValueError:
        raise Unusable(Drop.INVALID_LABEL) from None
    if not math.isfinite(number):
        raise Unusable(Drop.INVALID_LABEL)
    return number


def number_text(value: float) -> str:
    """A number as the name of a class: 3.0 is "3", so that 3 and 3.0 are one class."""
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else repr(float(value))


def _features(values: Mapping[str, Value | None] | None, specs: Sequence[FeatureSpec]) -> tuple[Value, ...]:
    if not values:
        raise Unusable(Drop.MISSING_FEATURES)
    if len(values) != len(specs):
        raise Unusable(Drop.WRONG_FEATURES)
    numbers = _all_numbers(values, specs)
    return tuple([_feature(values, spec) for spec in specs]) if numbers is None else numbers


def _all_numbers(values: Mapping[str, Value | None], specs: Sequence[FeatureSpec]) -> tuple[float, ...] | None:
    """The features where all are plain finite numbers, as they nearly always are; None where a closer look is
    needed (this is the innermost loop of the stage)."""
    found = [values.get(spec.name) if spec.categories is None else None for spec in specs]
    if not _NUMBERS.issuperset(map(type, found)):
        return None
    numbers = tuple(map(float, found))  # type: ignore[arg-type]
    return numbers if all(map(math.isfinite, numbers)) else None


def _feature(values: Mapping[str, Value | None], spec: FeatureSpec) -> Value:
    try:
        value = values[spec.name]
    except KeyError:
        raise Unusable(Drop.WRONG_FEATURES) from None
    if value is None:
        raise Unusable(Drop.MISSING_FEATURES)
    if spec.categories is not None:
        category = value if isinstance(value, str) else number_text(value)
        if spec.categories and category not in spec.categories:
            raise Unusable(Drop.UNKNOWN_CATEGORY)
        return category
    if isinstance(value, str):
        raise Unusable(Drop.WRONG_FEATURES)
    number = float(value)
    if not math.isfinite(number):
        raise Unusable(Drop.WRONG_FEATURES)
    return number


def content_digest(row: Row) -> bytes:
    """SHA-256 over all fields of a row but its side of the split."""
    head = (row.source, row.id, row.unit, row.segment, row.model)
    parts = [text_field(part) for part in head]
    parts.append(struct.pack(">q", row.time))
    parts.append(_packed(row.features))
    for truth, origin in zip(row.truths, row.origins, strict=True):
        parts.append(value_field(truth) + text_field(origin))
    return hashlib.sha256(b"".join(parts)).digest()


def _packed(features: tuple[Value, ...]) -> bytes:
    # A tag in front keeps the fast all-numeric spelling apart from the general one.
    try:
        return b"n" + struct.pack(f">I{len(features)}d", len(features), *features)
    except struct.error:
        return b"m" + b"".join(value_field(value) for value in features)


def row_digest(content: bytes, side: str) -> bytes:
    """Digest of a row on its side of the split."""
    return hashlib.sha256(content + text_field(side)).digest()
