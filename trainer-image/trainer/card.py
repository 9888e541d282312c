"""README.md of an artifact: a model card made of facts only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from retrainer.api.v1alpha1.run_contract import MetricNumbers
from retrainer.api.v1alpha1.training_run import GateResult
from trainer.methods.tabular import ModelSchema, TargetSchema


def model_card(
    manifest: Mapping[str, Any],
    schema: ModelSchema,
    dataset: Mapping[str, Any],
    metrics: Sequence[MetricNumbers],
    gates: Sequence[GateResult],
) -> bytes:
    """The card as Markdown."""
    parts = [
        f"# {manifest['model']}",
        _origin(manifest),
        "## Data\n\n" + _data(manifest, dataset),
        "## Model\n\n" + _model(schema),
        "## Evaluation\n\n" + _metrics(metrics),
    ]
    if gates:
        parts.append("## Gates\n\n" + "\n".join(f"- {g.result}: {g.message}" for g in gates))
    return ("\n\n".join(parts) + "\n").encode()


def _origin(manifest: Mapping[str, Any]) -> str:
    run = manifest["run"]
    text = (
        f"Trained with {manifest['method']} (strategy {manifest['strategy']}) by run {run['name']} of namespace "
        f"{run['namespace']} (uid {run['uid']}), seed {manifest['seed']}."
    )
    if manifest.get("champion"):
        text += f"\n\nThe model in service at that time: `{manifest['champion']}`."
    return text


def _data(manifest: Mapping[str, Any], dataset: Mapping[str, Any]) -> str:
    lines = [
        f"- snapshot `{manifest['snapshot']}`",
        f"- {dataset['rows']} rows of {dataset['units']} units: {dataset['trainRows']} for training, "
        f"{dataset['validationRows']} for validation, {dataset['evaluationRows']} for evaluation",
        f"- learnt from feedback up to {manifest['trainedThrough']}",
    ]
    dropped = ", ".join(f"{count} {reason}" for reason, count in dataset.get("dropped", {}).items())
    return "\n".join([*lines, f"- left out: {dropped}"] if dropped else lines)


def _model(schema: ModelSchema) -> str:
    lines = [f"{len(schema.features)} features.", ""]
    for target in schema.targets:
        what = f"{target.type}, {len(target.classes)} classes" if target.classes else target.type
        lines.append(f"- {target.name}: {what}; {target.rounds} boosting rounds{_tuned(target)}")
    return "\n".join(lines)


def _tuned(target: TargetSchema) -> str:
    found = ", ".join(f"{name} {value:.4g}" for name, value in sorted(target.tuned.items()))
    return f"; found by tuning: {found}" if found else ""


def _metrics(metrics: Sequence[MetricNumbers]) -> str:
    if not metrics:
        return "No evaluation row is labelled independently of the answers; nothing was measured."
    head = "On rows labelled independently of the answers.\n"
    rows = ["| metric | candidate | champion | change (95 % interval) |", "|---|---|---|---|"]
    for m in metrics:
        champion = "" if m.champion is None else f"{m.champion:.4g}"
        change = ""
        if m.champion is not None and m.lower is not None and m.upper is not None:
            change = f"{m.candidate - m.champion:+.4g} ({m.lower:+.4g} to {m.upper:+.4g})"
        rows.append(f"| {m.name} | {m.candidate:.4g} | {champion} | {change} |")
    return head + "\n" + "\n".join(rows)
