"""What a tabular model expects and answers: features with types and categories, targets with classes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.digest import canonical_json
from trainer.errors import ConfigurationError, SchemaMismatch
from trainer.methods.parameters import Setting
from trainer.rows import FeatureSpec
from trainer.snapshot import describe_features
from trainer.table import Matrix

SCHEMA_FILE = "schema.json"
FORMAT_VERSION = 1


@dataclass(frozen=True)
class TargetSchema:
    """One target of a model."""

    name: str
    type: str
    """Classification or Regression."""
    classes: tuple[str, ...]
    """In the order of the model's probabilities; empty for numbers."""
    weights: str
    """File of the artifact."""
    rounds: int
    """Boosting rounds kept."""
    learning_rate: float
    """Of the latest rounds."""
    full_learning_rate: float
    """Of the Full run that this model goes back to; Incremental runs scale it."""
    tuned: Mapping[str, Setting] = field(default_factory=dict)
    """What tuning found; Incremental runs keep it."""


@dataclass(frozen=True)
class ModelSchema:
    """The schema.json of a model."""

    features: tuple[FeatureSpec, ...]
    targets: tuple[TargetSchema, ...]

    def to_json(self) -> bytes:
        return canonical_json(
            {
                "formatVersion": FORMAT_VERSION,
                "features": describe_features(self.features),
                "targets": [_target_to_plain(target) for target in self.targets],
            }
        )

    @staticmethod
    def from_json(content: bytes) -> ModelSchema:
        """Raises ConfigurationError for another format."""
        plain = json.loads(content)
        if plain.get("formatVersion") != FORMAT_VERSION:
            raise ConfigurationError("the model's schema.json has a format that this trainer does not read")
        features = tuple(
            FeatureSpec(f["name"], None if f["type"] == "Numeric" else tuple(f["categories"]))
            for f in plain["features"]
        )
        return ModelSchema(features, tuple(_target_from_plain(target) for target in plain["targets"]))


def _target_to_plain(target: TargetSchema) -> dict[str, Any]:
    return {
        "name": target.name,
        "type": target.type,
        "classes": list(target.classes),
        "weights": target.weights,
        "rounds": target.rounds,
        "learningRate": target.learning_rate,
        "fullLearningRate": target.full_learning_rate,
        "tuned": dict(target.tuned),
    }


def _target_from_plain(plain: dict[str, Any]) -> TargetSchema:
    return TargetSchema(
        name=plain["name"],
        type=plain["type"],
        classes=tuple(plain["classes"]),
        weights=plain["weights"],
        rounds=int(plain["rounds"]),
        learning_rate=float(plain["learningRate"]),
        # Absent in models of before there was tuning.
        full_learning_rate=float(plain.get("fullLearningRate", plain["learningRate"])),
        tuned=dict(plain.get("tuned", {})),
    )


def feature_types(features: Sequence[FeatureSpec]) -> list[str] | None:
    """xgboost's letters: q for numbers, c for categories. None where all are numbers: xgboost reads the whole list
    again in every round, which with many features costs a tenth of the training."""
    letters = ["q" if feature.numeric else "c" for feature in features]
    return letters if "c" in letters else None


def require_continuable(
    parent: ModelSchema, features: Sequence[FeatureSpec], targets: Sequence[tuple[str, str, Sequence[str]]]
) -> None:
    """Raise SchemaMismatch unless training may continue from `parent`.

    `targets` are (name, type, classes in the new data). xgboost itself accepts some of these changes and then
    silently corrupts the model, so they are compared before it sees anything."""
    remedy = "run strategy Full once"
    if [f.name for f in parent.features] != [f.name for f in features]:
        raise SchemaMismatch(f"the champion has other features ({_difference(parent, features)}); {remedy}")
    for old, new in zip(parent.features, features, strict=True):
        if old.numeric != new.numeric:
            raise SchemaMismatch(f"feature {old.name}: its type differs from the champion's; {remedy}")
        if not set(new.categories or ()) <= set(old.categories or ()):
            raise SchemaMismatch(f"feature {old.name}: there are categories that the champion does not know; {remedy}")
    known = {target.name: target for target in parent.targets}
    if set(known) != {name for name, _, _ in targets}:
        raise SchemaMismatch(f"the champion has other targets ({', '.join(sorted(known))}); {remedy}")
    for name, kind, classes in targets:
        if known[name].type != kind:
            raise SchemaMismatch(f"target {name}: its type differs from the champion's; {remedy}")
        if not set(classes) <= set(known[name].classes):
            raise SchemaMismatch(f"target {name}: there are classes that the champion does not know; {remedy}")


def _difference(parent: ModelSchema, features: Sequence[FeatureSpec]) -> str:
    old, new = {f.name for f in parent.features}, {f.name for f in features}
    lost, gained = sorted(old - new), sorted(new - old)
    parts = [f"{len(gained)} new, for example {gained[0]}"] if gained else []
    parts += [f"{len(lost)} missing, for example {lost[0]}"] if lost else []
    return "; ".join(parts) or "in another order"


def aligned(matrix: Matrix, given: Sequence[FeatureSpec], wanted: Sequence[FeatureSpec]) -> Matrix | None:
    """Columns in the wanted order with the wanted category codes; None where a feature is missing or of
    another type. A category that is not wanted becomes a missing value."""
    places = {feature.name: place for place, feature in enumerate(given)}
    columns: list[NDArray[np.float32]] = []
    for feature in wanted:
        place = places.get(feature.name)
        if place is None or given[place].numeric != feature.numeric:
            return None
        column = matrix[:, place]
        if feature.categories is not None and feature.categories != given[place].categories:
            column = _recoded(column, given[place].categories or (), feature.categories)
        columns.append(column)
    return np.stack(columns, axis=1)


def _recoded(column: NDArray[np.float32], given: Sequence[str], wanted: Sequence[str]) -> NDArray[np.float32]:
    index = {category: place for place, category in enumerate(wanted)}
    codes = np.array([index.get(category, np.nan) for category in given], dtype=np.float32)
    return np.asarray(codes[column.astype(np.int64)])
