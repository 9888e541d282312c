"""Stage `data`: feedback in a window becomes a frozen, digested snapshot that is worth training on."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from retrainer.api.v1alpha1.run_contract import DatasetNumbers, GateNumbers, RunConfig, StageResult
from retrainer.api.v1alpha1.training_parts import Strategy, Target
from retrainer.api.v1alpha1.training_run import RunReason
from trainer.champion import ChampionFacts, champion_facts, champion_past, require_same_schema
from trainer.config import method_of
from trainer.demands import Prospect, needed_units, require_folds, require_minimums
from trainer.digest import canonical_json, sha256_of
from trainer.interrupt import Interrupt
from trainer.methods.tuning import check_settings
from trainer.metrics import gate_measures
from trainer.places import local_path
from trainer.progress import Progress
from trainer.read import Reading, read_sources
from trainer.rows import Drop, FeatureSpec
from trainer.selection import Mask, latest_rows, latest_versions
from trainer.snapshot import (
    FORMAT_VERSION,
    class_counts,
    describe_features,
    next_second,
    snapshot_digest,
    write_snapshot,
)
from trainer.split import EVALUATION, SIDE_NAMES, TRAIN, VALIDATION, Division, divide
from trainer.spool import Facts, collect, table_schema


@dataclass(frozen=True)
class Selection:
    """The rows of this run, chosen and divided."""

    facts: Facts
    keep: Mask
    division: Division
    features: tuple[FeatureSpec, ...]
    dropped: Counter[str]


def run_data(config: RunConfig, workdir: Path, progress: Progress, interrupt: Interrupt) -> StageResult:
    """Read, choose, divide, check, freeze. Raises StageError."""
    method = method_of(config)
    targets, gates = method.targets, config.spec.gates or ()
    gate_measures(gates, targets)
    check_settings(method)
    spool = workdir / "rows.arrow"
    progress.say(f"data: {len(config.sources)} source(s), window of {config.spec.data.window.from_:%F} to "
                 f"{config.spec.data.window.to:%F}")  # fmt: skip
    champion = champion_facts(config.spec.champion, config.spec.strategy)
    selection = _select(config, targets, spool, interrupt)
    progress.report(60)
    numbers = _demand(config, targets, selection, champion)
    progress.report(70)
    dataset = _freeze(config, targets, selection, spool)
    progress.report(100)
    progress.say(_summary(dataset, selection.division.used))
    return StageResult(
        stage="Data",
        reason=RunReason.FROZEN,
        message=_split_note(config, selection),
        dataset=dataset,
        gates=numbers,
    )


def _demand(
    config: RunConfig, targets: tuple[Target, ...], selection: Selection, champion: ChampionFacts | None
) -> tuple[GateNumbers, ...]:
    """Everything that must hold before anything is trained; the numbers of the gates as far as they are known."""
    facts, division, features = selection.facts, selection.division, selection.features
    require_minimums(facts, selection.keep, division, config.spec.data, targets, selection.dropped)
    tuning = method_of(config).tuning
    if tuning is not None and config.spec.strategy is Strategy.FULL:
        require_folds(facts, division, targets, tuning.folds)
    if champion is not None and config.spec.strategy is Strategy.INCREMENTAL:
        require_same_schema(champion, features, targets, facts, division)
    prospect = Prospect(
        facts=facts,
        division=division,
        targets=targets,
        champion=config.spec.champion,
        comparable=champion is None or champion.answers(features, targets),
        known_error_rates=tuple(
            None if champion is None else champion.error_rate(t, len(targets) == 1) for t in targets
        ),
    )
    return prospect.numbers(config.spec.gates or ())


def _select(config: RunConfig, targets: tuple[Target, ...], spool: Path, interrupt: Interrupt) -> Selection:
    data, gates = config.spec.data, config.spec.gates or ()
    past = champion_past(config.spec.champion)
    with read_sources(config) as reading:
        facts, dropped = collect(reading.records, targets, reading.features, data.seed, spool, interrupt.check)
        features = _with_learned_categories(reading.features, facts)
        dropped += _quarantined(reading)
    versions = latest_versions(facts)
    keep = latest_rows(facts, versions, data.maximum_samples)
    dropped[Drop.DUPLICATE] += int((~versions).sum())
    dropped[Drop.BEYOND_MAXIMUM] += int((versions & ~keep).sum())
    division = divide(facts, keep, data, past, needed_units(gates, config.spec.champion))
    return Selection(facts, keep, division, features, +(dropped + division.drops))


def _quarantined(reading: Reading) -> Counter[str]:
    return Counter({f"Quarantined{reason}": count for reason, count in reading.quarantined.items()})


def _with_learned_categories(features: tuple[FeatureSpec, ...], facts: Facts) -> tuple[FeatureSpec, ...]:
    return tuple(
        replace(feature, categories=facts.categories[place]) if place in facts.categories else feature
        for place, feature in enumerate(features)
    )


def _rules(config: RunConfig, targets: tuple[Target, ...], selection: Selection) -> dict[str, Any]:
    """What decided which rows are in the snapshot and what their columns mean; part of its digest."""
    data = config.spec.data
    mapping = [
        {"name": source.name, "record": source.spec.record.model_dump(mode="json", by_alias=True),
         "signals": [s.model_dump(mode="json", by_alias=True) for s in source.spec.signals]}
        for source in sorted(config.sources, key=lambda s: s.name)
    ]  # fmt: skip
    return {
        "format": FORMAT_VERSION,
        "mapping": sha256_of(canonical_json(mapping)),
        "window": data.window.model_dump(mode="json", by_alias=True),
        "split": selection.division.used,
        "seed": data.seed,
        "targets": [{"name": t.name, "type": t.type or "Classification"} for t in targets],
        "features": describe_features(selection.features),
    }


def _freeze(config: RunConfig, targets: tuple[Target, ...], selection: Selection, spool: Path) -> DatasetNumbers:
    rules = _rules(config, targets, selection)
    numbers = _numbers(selection, snapshot_digest(rules, selection.facts, selection.division))
    description = {
        "formatVersion": FORMAT_VERSION,
        "rules": rules,
        "sources": [source.name for source in config.sources],
        "dataset": numbers.model_dump(mode="json", by_alias=True, exclude_none=True),
        "split": {"asked": config.spec.data.split, "used": selection.division.used},
        "sides": {name: _side(targets, selection, side) for side, name in SIDE_NAMES.items()},
    }
    parent = local_path(config.spec.output.uri, "spec.output.uri") / "snapshots"
    schema = table_schema(targets, selection.features)
    write_snapshot(parent, spool, schema, selection.division, numbers.digest, description)
    return numbers


def _numbers(selection: Selection, digest: str) -> DatasetNumbers:
    facts, division = selection.facts, selection.division
    learnt = (division.sides == TRAIN) | (division.sides == VALIDATION)
    return DatasetNumbers(
        digest=digest,
        rows=int(selection.keep.sum()),
        units=len(np.unique(facts.unit[selection.keep])),
        train_rows=division.count(TRAIN),
        validation_rows=division.count(VALIDATION),
        evaluation_rows=division.count(EVALUATION),
        trained_through=next_second(int(facts.times[learnt].max())),
        dropped=dict(sorted(selection.dropped.items())),
    )


def _side(targets: tuple[Target, ...], selection: Selection, side: int) -> dict[str, Any]:
    facts, division = selection.facts, selection.division
    rows = division.sides == side
    return {
        "rows": int(rows.sum()),
        "units": len(np.unique(facts.unit[rows])),
        "independent": {t.name: int(facts.independent[rows, n].sum()) for n, t in enumerate(targets)},
        "classes": {
            t.name: class_counts(facts, division, side, n) for n, t in enumerate(targets) if t.type != "Regression"
        },
    }


def _split_note(config: RunConfig, selection: Selection) -> str:
    if selection.division.used == config.spec.data.split:
        return ""
    return (
        f"{config.spec.data.split} left too little to evaluate on; evaluation is by time, and training is "
        "without its units"
    )


def _summary(dataset: DatasetNumbers, used: str) -> str:
    drops = ", ".join(f"{reason} {count}" for reason, count in dataset.dropped.items()) or "none"
    return (
        f"data: {dataset.rows} rows of {dataset.units} units; split {used}: train {dataset.train_rows}, "
        f"validation {dataset.validation_rows}, evaluation {dataset.evaluation_rows}; dropped: {drops}\n"
        f"data: snapshot {dataset.digest}"
    )
