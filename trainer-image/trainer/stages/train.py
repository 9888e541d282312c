"""Stage `train`: train, evaluate beside the champion, judge the gates, package."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retrainer.api.v1alpha1.run_contract import (
    ArtifactNumbers,
    GateNumbers,
    MetricNumbers,
    RunConfig,
    StageResult,
    judge_gate,
)
from retrainer.api.v1alpha1.training_parts import Strategy
from retrainer.api.v1alpha1.training_run import GateOutcome, GateResult, RunReason
from trainer.artifact import Artifact, publish_artifact
from trainer.card import model_card
from trainer.champion import champion_facts
from trainer.checkpoint import open_checkpoints
from trainer.config import method_of
from trainer.digest import canonical_json
from trainer.errors import ConfigurationError, SchemaMismatch
from trainer.evaluate import evaluate
from trainer.interrupt import Interrupt
from trainer.judgement import judge_models
from trainer.methods.tabular import SCHEMA_FILE
from trainer.methods.tuning import Search, check_settings
from trainer.methods.xgboost import TabularModel, Training, load_model, thread_count
from trainer.metrics import gate_measures
from trainer.places import local_path
from trainer.progress import Progress
from trainer.rows import Drop
from trainer.snapshot import Snapshot, open_snapshot
from trainer.table import Table, load_table

_LIBRARIES = ("xgboost-cpu", "xgboost", "optuna", "numpy", "scipy", "pyarrow")
RESULT_FILE = "result.json"
MOST_METRICS = 8


@dataclass(frozen=True)
class Trained:
    """What came out of the method."""

    model: TabularModel
    losses: Mapping[str, tuple[float, ...]]
    """Per target and round."""
    searches: Mapping[str, Search]
    """Per target, where parameters were tuned."""


def run_train(config: RunConfig, workdir: Path, progress: Progress, interrupt: Interrupt) -> StageResult:
    """The whole stage. Raises StageError."""
    # matplotlib keeps a list of fonts, and a container may have no home; nor shall a home's settings change plots.
    os.environ.setdefault("MPLCONFIGDIR", str(workdir / "matplotlib"))
    snapshot, table = _data(config)
    gate_measures(config.spec.gates or (), table.targets)
    threads = _threads(config, table)
    champion = _champion(config, threads)
    progress.say(f"train: {config.spec.strategy}, {len(table.train)} rows, {len(table.features)} features")
    progress.report(5)
    interrupt.check()
    checkpoints = open_checkpoints(config, snapshot.digest)
    model, losses = Training(
        settings=method_of(config),
        table=table,
        parent=champion if config.spec.strategy is Strategy.INCREMENTAL else None,
        seed=config.spec.data.seed,
        threads=threads,
        checkpoints=checkpoints,
        progress=progress,
        interrupt=interrupt,
    ).run()
    progress.report(86)
    interrupt.check()
    trained = Trained(model, losses, checkpoints.searches)
    result, artifact = _evaluate_and_package(config, snapshot, table, trained, champion, progress)
    checkpoints.discard()
    progress.report(100)
    progress.say(f"train: artifact {artifact.digest}")
    return result


def _data(config: RunConfig) -> tuple[Snapshot, Table]:
    method = method_of(config)
    check_settings(method)
    if config.snapshot is None:
        raise ConfigurationError("snapshot: run.json names no snapshot; the train stage needs that of the data stage")
    folder = local_path(config.snapshot.uri, "snapshot.uri")
    snapshot = open_snapshot(folder, config.snapshot.digest, "snapshot")
    wanted = [(t.name, t.type or "Classification") for t in method.targets]
    if [(t.name, t.type) for t in snapshot.targets] != wanted:
        raise SchemaMismatch("the snapshot was made for other targets than spec.method.xgboost.targets")
    return snapshot, load_table(snapshot)


def _threads(config: RunConfig, table: Table) -> int:
    resources = config.spec.job.resources
    return thread_count(resources.cpu if resources else None, table.train.features.size)


def _champion(config: RunConfig, threads: int) -> TabularModel | None:
    """The champion, every byte checked against its digest before it is loaded."""
    facts = champion_facts(config.spec.champion, config.spec.strategy)
    return None if facts is None else load_model(facts.artifact, threads)


def _evaluate_and_package(
    config: RunConfig,
    snapshot: Snapshot,
    table: Table,
    trained: Trained,
    champion: TabularModel | None,
    progress: Progress,
) -> tuple[StageResult, Artifact]:
    gates, model, losses = config.spec.gates or (), trained.model, trained.losses
    dataset = snapshot.description["dataset"]
    overlap = int(dataset.get("dropped", {}).get(Drop.EVALUATION_OVERLAPS_CHAMPION, 0))
    evaluation, classes = judge_models(table, model, champion, overlap)
    metrics, numbers = evaluate(evaluation, table.targets, gates, config.spec.champion, config.spec.data.seed)
    judged = tuple(judge_gate(gate, n) for gate, n in zip(gates, numbers, strict=True))
    for line in _lines(metrics, judged):
        progress.say(line)
    progress.report(92)
    manifest = _manifest(config, snapshot, metrics)
    result = _result(metrics, numbers, judged)
    from trainer.report import build_report  # matplotlib: only now, so that wrong input fails sooner

    files = {
        **{t.weights: bytes(b.save_raw("ubj")) for t, b in zip(model.schema.targets, model.boosters, strict=True)},
        SCHEMA_FILE: model.schema.to_json(),
        "README.md": model_card(manifest, model.schema, dataset, metrics, judged),
        "config.json": _config(config),
        RESULT_FILE: _whole_result(metrics, numbers, judged, trained, dataset),
        **build_report(config.spec.model, losses, evaluation, classes, metrics, judged),
    }
    parent = local_path(config.spec.output.uri, "spec.output.uri") / "artifacts"
    artifact = publish_artifact(parent, files, manifest)
    packaged = {
        "artifact": ArtifactNumbers(digest=artifact.digest, size_bytes=artifact.size_bytes),
        "result_digest": f"sha256:{hashlib.sha256(files[RESULT_FILE]).hexdigest()}",
    }
    return result.model_copy(update=packaged), artifact


def _result(
    metrics: tuple[MetricNumbers, ...], numbers: tuple[GateNumbers, ...], judged: tuple[GateResult, ...]
) -> StageResult:
    """A run whose gates fail has finished properly; it says so and is never promoted."""
    good = (GateOutcome.PASSED, GateOutcome.NOT_APPLICABLE)
    failed = [gate for gate in judged if gate.result not in good]
    return StageResult(
        stage="Training",
        reason=RunReason.GATES_FAILED if failed else RunReason.COMPLETED,
        message="; ".join(gate.message for gate in failed)[:600],
        metrics=metrics[:MOST_METRICS],
        gates=numbers,
    )


def _lines(metrics: tuple[MetricNumbers, ...], judged: tuple[GateResult, ...]) -> list[str]:
    lines = []
    for m in metrics:
        champion = "" if m.champion is None else f", champion {m.champion:.4g}"
        lines.append(f"evaluate: {m.name} {m.candidate:.4g}{champion}")
    return lines + [f"gate: {g.result}: {g.message}" for g in judged]


def _manifest(config: RunConfig, snapshot: Snapshot, metrics: tuple[MetricNumbers, ...]) -> dict[str, Any]:
    """Facts about the model. No time of day in it: the same run packaged twice has the same digest."""
    champion = config.spec.champion
    return {
        "method": "xgboost",
        "model": config.spec.model,
        "strategy": config.spec.strategy.value,
        "run": config.run.model_dump(mode="json"),
        "snapshot": snapshot.digest,
        "trainedThrough": snapshot.description["dataset"].get("trainedThrough"),
        "champion": champion.digest if champion else None,
        "metrics": [_plain(metric) for metric in metrics],
        "seed": config.spec.data.seed,
        "libraries": _versions(),
        "image": config.spec.job.image,
    }


def _config(config: RunConfig) -> bytes:
    """What decided the model. No addresses: where things lie differs between machines, their digests do not."""
    decisive = {"model", "strategy", "data", "method", "gates"}
    return canonical_json(config.spec.model_dump(mode="json", by_alias=True, exclude_none=True, include=decisive))


def _plain(metric: MetricNumbers) -> dict[str, Any]:
    return metric.model_dump(mode="json", by_alias=True, exclude_none=True)


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def _whole_result(
    metrics: tuple[MetricNumbers, ...],
    numbers: tuple[GateNumbers, ...],
    judged: tuple[GateResult, ...],
    trained: Trained,
    dataset: Any,
) -> bytes:
    """Everything, also what does not fit a termination message."""
    gates = [
        {
            **n.model_dump(mode="json", by_alias=True, exclude_none=True),
            **g.model_dump(mode="json", by_alias=True),
        }
        for n, g in zip(numbers, judged, strict=True)
    ]
    return canonical_json(
        {
            "metrics": [_plain(metric) for metric in metrics],
            "gates": gates,
            "losses": {name: list(history) for name, history in trained.losses.items()},
            "dataset": dataset,
            # Without their seconds: equal runs give equal bytes.
            "trials": {name: search.to_plain()["trials"] for name, search in trained.searches.items()},
        }
    )
