"""The report of an artifact: plots as PNG and an HTML page that shows them."""

from __future__ import annotations

import html
import io
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from retrainer.api.v1alpha1.run_contract import MetricNumbers
from retrainer.api.v1alpha1.training_run import GateResult
from trainer.evaluate import Evaluation
from trainer.metrics import Scored

_MOST_CLASSES = 40


def build_report(
    title: str,
    losses: Mapping[str, Sequence[float]],
    evaluation: Evaluation,
    classes: Mapping[str, Sequence[str]],
    metrics: Sequence[MetricNumbers],
    gates: Sequence[GateResult],
) -> dict[str, bytes]:
    """Files of the folder `report/`. `classes` are those of the evaluation, per target; none for numbers."""
    plots: dict[str, bytes] = {}
    for (name, history), facts in zip(losses.items(), evaluation.targets, strict=True):
        if history:
            plots[f"learning-curve-{name}.png"] = _learning_curve(name, history)
        if facts.rows and classes[name]:
            if len(classes[name]) <= _MOST_CLASSES:
                plots[f"confusion-{name}.png"] = _confusion(name, facts.candidate, classes[name])
            plots[f"calibration-{name}.png"] = _calibration(name, facts.candidate)
        elif facts.rows:
            plots[f"residuals-{name}.png"] = _residuals(name, facts.candidate)
    if any(metric.champion is not None for metric in metrics):
        plots["changes.png"] = _changes(metrics)
    page = _page(title, list(plots), metrics, gates)
    return {f"report/{name}": content for name, content in {**plots, "index.html": page}.items()}


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    # No software name or date inside: equal runs give equal bytes, and so equal digests.
    figure.savefig(buffer, format="png", dpi=80, metadata={"Software": None})
    return buffer.getvalue()


def _axes(title: str, width: float = 6.0, height: float = 4.0) -> tuple[Figure, Any]:
    figure = Figure(figsize=(width, height), layout="tight")
    axes = figure.subplots()
    axes.set_title(title)
    return figure, axes


def _learning_curve(name: str, losses: Sequence[float]) -> bytes:
    figure, axes = _axes(f"{name}: loss per round")
    axes.plot(range(1, len(losses) + 1), losses)
    best = min(range(len(losses)), key=losses.__getitem__)
    axes.axvline(best + 1, linestyle="--", color="grey", label=f"least in round {best + 1}")
    axes.set_xlabel("boosting round")
    axes.set_ylabel("loss")
    axes.legend()
    return _png(figure)


def _confusion(name: str, scored: Scored, classes: Sequence[str]) -> bytes:
    counts = [[0] * len(classes) for _ in classes]
    for truth, answer in zip(scored.truth.astype(int), scored.answer.argmax(axis=1), strict=True):
        counts[truth][answer] += 1
    size = min(14.0, 3.0 + 0.45 * len(classes))
    figure, axes = _axes(f"{name}: rows of the evaluation", size + 1, size)
    image = axes.imshow(counts, cmap="Blues")
    figure.colorbar(image)
    ticks = range(len(classes))
    axes.set_xticks(ticks, [label[:12] for label in classes], rotation=90)
    axes.set_yticks(ticks, [label[:12] for label in classes])
    axes.set_xlabel("answer")
    axes.set_ylabel("truth")
    return _png(figure)


def _calibration(name: str, scored: Scored) -> bytes:
    confidence = scored.answer.max(axis=1)
    right = scored.answer.argmax(axis=1) == scored.truth
    figure, axes = _axes(f"{name}: is the model as sure as it is right?")
    points = []
    for low in [i / 10 for i in range(10)]:
        chosen = (confidence > low) & (confidence <= low + 0.1)
        if chosen.any():
            points.append((float(confidence[chosen].mean()), float(right[chosen].mean())))
    axes.plot([0, 1], [0, 1], linestyle="--", color="grey")
    axes.plot([p[0] for p in points], [p[1] for p in points], marker="o")
    axes.set_xlabel("mean confidence")
    axes.set_ylabel("share right")
    return _png(figure)


def _residuals(name: str, scored: Scored) -> bytes:
    figure, axes = _axes(f"{name}: answer and truth")
    axes.scatter(scored.truth, scored.answer, s=8)
    axes.axline((float(scored.truth.mean()), float(scored.truth.mean())), slope=1, linestyle="--", color="grey")
    axes.set_xlabel("truth")
    axes.set_ylabel("answer")
    return _png(figure)


def _changes(metrics: Sequence[MetricNumbers]) -> bytes:
    compared = [m for m in metrics if m.champion is not None and m.lower is not None and m.upper is not None]
    figure, axes = _axes("change from champion to candidate, 95 % interval", 7.0, 1.5 + 0.4 * len(compared))
    for place, metric in enumerate(compared):
        change = metric.candidate - (metric.champion or 0.0)
        axes.plot([metric.lower, metric.upper], [place, place], color="tab:blue")
        axes.plot([change], [place], marker="o", color="tab:blue")
    axes.axvline(0, linestyle="--", color="grey")
    axes.set_yticks(range(len(compared)), [metric.name for metric in compared])
    return _png(figure)


def _page(title: str, plots: Sequence[str], metrics: Sequence[MetricNumbers], gates: Sequence[GateResult]) -> bytes:
    rows = "".join(
        f"<tr><td>{html.escape(m.name)}</td><td>{m.candidate:.4g}</td>"
        f"<td>{'' if m.champion is None else f'{m.champion:.4g}'}</td></tr>"
        for m in metrics
    )
    judged = "".join(f"<li>{html.escape(g.result)}: {html.escape(g.message)}</li>" for g in gates)
    images = "".join(f'<p><img src="{html.escape(name)}" alt="{html.escape(name)}"></p>' for name in plots)
    page = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title></head>'
        f"<body><h1>{html.escape(title)}</h1><table><tr><th>metric</th><th>candidate</th><th>champion</th></tr>"
        f"{rows}</table><ul>{judged}</ul>{images}</body></html>\n"
    )
    return page.encode()
