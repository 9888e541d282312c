"""What the data stage must know of the champion: what it learnt from, what it expects, how often it errs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from retrainer.api.v1alpha1.training_parts import Strategy, Target
from retrainer.api.v1alpha1.training_run import Champion
from retrainer.feedback.quality import microseconds
from trainer.artifact import Artifact, open_artifact
from trainer.errors import ConfigurationError
from trainer.methods.tabular import SCHEMA_FILE, ModelSchema, require_continuable
from trainer.places import local_path
from trainer.rows import FeatureSpec
from trainer.snapshot import DESCRIPTION, class_counts, open_snapshot, read_rows
from trainer.split import SIDE_NAMES, TRAIN, VALIDATION, ChampionPast, Division
from trainer.spool import KEY_TYPE, Facts, identity_key


@dataclass(frozen=True)
class ChampionFacts:
    """The champion as its artifact describes it; its weights are not read here."""

    artifact: Artifact
    schema: ModelSchema

    def error_rate(self, target: Target, only: bool) -> float | None:
        """1 - accuracy in its own evaluation; None where the manifest has none."""
        values = {m["name"]: float(m["candidate"]) for m in self.artifact.manifest.get("metrics", ())}
        names = ("accuracy", "mean(accuracy)") if only else (f"accuracy/{target.name}",)
        return next((1 - values[name] for name in names if name in values), None)

    def answers(self, features: Sequence[FeatureSpec], targets: Sequence[Target]) -> bool:
        """Whether it can answer rows with these features, for all of these targets."""
        given = {feature.name: feature.numeric for feature in features}
        known = all(given.get(feature.name) is feature.numeric for feature in self.schema.features)
        return known and {t.name for t in targets} <= {t.name for t in self.schema.targets}


def champion_facts(champion: Champion | None, strategy: Strategy) -> ChampionFacts | None:
    """Open the champion's artifact. Raises ConfigurationError when it is absent or changed, or when an
    Incremental run has none."""
    if champion is None:
        if strategy is Strategy.INCREMENTAL:
            raise ConfigurationError("spec.champion: an Incremental run continues from a champion; set it, or use Full")
        return None
    artifact = open_artifact(local_path(champion.uri, "spec.champion.uri"), champion.digest, "spec.champion")
    return ChampionFacts(artifact, ModelSchema.from_json(artifact.read(SCHEMA_FILE)))


def champion_past(champion: Champion | None) -> ChampionPast:
    """Until when, and from which rows, the champion learnt."""
    if champion is None:
        return ChampionPast()
    through = None if champion.trained_through is None else microseconds(champion.trained_through)
    if champion.snapshot is None:
        return ChampionPast(through)
    folder = local_path(champion.snapshot.uri, "spec.champion.snapshot.uri")
    if not (folder / DESCRIPTION).is_file():
        # Retention may have removed it; trainedThrough alone keeps its rows out then.
        return ChampionPast(through)
    snapshot = open_snapshot(folder, champion.snapshot.digest, "spec.champion.snapshot")
    learnt = (SIDE_NAMES[TRAIN], SIDE_NAMES[VALIDATION])
    keys = [
        identity_key(source, record)
        for side, batch, _ in read_rows(snapshot)
        if side in learnt
        for source, record in zip(batch.column("source").to_pylist(), batch.column("id").to_pylist(), strict=True)
    ]
    return ChampionPast(through, np.array(keys, dtype=KEY_TYPE))


def require_same_schema(
    champion: ChampionFacts,
    features: Sequence[FeatureSpec],
    targets: Sequence[Target],
    facts: Facts,
    division: Division,
) -> None:
    """Raise SchemaMismatch unless an Incremental run may continue on these rows: before a GPU is asked for."""
    described = []
    for number, target in enumerate(targets):
        kind = target.type or "Classification"
        counts = [class_counts(facts, division, side, number) for side in (TRAIN, VALIDATION)]
        classes = {name for found in counts for name, count in found.items() if count}
        described.append((target.name, kind, sorted(classes)))
    require_continuable(champion.schema, features, described)
