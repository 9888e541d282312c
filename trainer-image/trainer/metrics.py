"""Metrics as ratios of sums over rows, so that one resampling of units serves all of them.

A metric has k columns; row i adds `numerator[i, j]` and `denominator[i, j]` to column j, and the value is a
function of the column means. Accuracy has one column, recall per class has one column per class."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retrainer.api.v1alpha1.training_parts import Gate, Target
from trainer.errors import ConfigurationError

Floats = NDArray[np.float64]
LEAST_PROBABILITY = 1e-15
"""Log loss of a class that the model holds for impossible (as in scikit-learn)."""


@dataclass(frozen=True)
class Scored:
    """One model's answers for one target on n rows.

    Classification: `truth` (n) are indices into one class list that serves all models compared, and `answer`
    (n, classes) probabilities, 0 for a class that the model does not know. Regression: both (n) are numbers."""

    truth: Floats
    answer: Floats


@dataclass(frozen=True)
class Metric:
    """One metric of one target."""

    name: str
    kind: str
    """Classification or Regression."""
    greater_is_better: bool
    bounded: bool
    """Rows add 0 or 1; otherwise the range is taken from the rows."""
    rows: Callable[[Scored], tuple[Floats, Floats]]
    """Numerator and denominator, (n, k) each."""
    combine: Callable[[Floats], Floats]
    """Column means (…, k), NaN for a column without rows, to values (…)."""


def _hits(scored: Scored) -> Floats:
    return np.asarray(scored.answer.argmax(axis=1) == scored.truth, dtype=np.float64)


def _accuracy(scored: Scored) -> tuple[Floats, Floats]:
    hits = _hits(scored)[:, None]
    return hits, np.ones_like(hits)


def _log_loss(scored: Scored) -> tuple[Floats, Floats]:
    probability = scored.answer[np.arange(len(scored.truth)), scored.truth.astype(np.int64)]
    loss = -np.log(np.clip(probability, LEAST_PROBABILITY, 1.0))[:, None]
    return loss, np.ones_like(loss)


def _recall(scored: Scored) -> tuple[Floats, Floats]:
    classes = np.arange(scored.answer.shape[1])
    member = (scored.truth[:, None] == classes[None, :]).astype(np.float64)
    return member * _hits(scored)[:, None], member


def _squared(scored: Scored) -> tuple[Floats, Floats]:
    error = ((scored.answer - scored.truth) ** 2)[:, None]
    return error, np.ones_like(error)


def _absolute(scored: Scored) -> tuple[Floats, Floats]:
    error = np.abs(scored.answer - scored.truth)[:, None]
    return error, np.ones_like(error)


def _only(means: Floats) -> Floats:
    return np.asarray(means[..., 0])


def _root(means: Floats) -> Floats:
    return np.asarray(np.sqrt(means[..., 0]))


def _mean_present(means: Floats) -> Floats:
    present = ~np.isnan(means)
    return np.asarray(np.nansum(means, axis=-1) / np.maximum(present.sum(axis=-1), 1))


def _worst_present(means: Floats) -> Floats:
    return np.asarray(np.where(np.isnan(means), np.inf, means).min(axis=-1))


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("accuracy", "Classification", True, True, _accuracy, _only),
        Metric("logLoss", "Classification", False, False, _log_loss, _only),
        Metric("macroRecall", "Classification", True, True, _recall, _mean_present),
        Metric("worstRecall", "Classification", True, True, _recall, _worst_present),
        Metric("rootMeanSquaredError", "Regression", False, False, _squared, _root),
        Metric("meanAbsoluteError", "Regression", False, False, _absolute, _only),
    )
}

_COMPOSITE = re.compile(r"(mean|worst)\(([a-zA-Z0-9]+)\)")


@dataclass(frozen=True)
class Measure:
    """A metric of one target, or a composite over all targets it fits."""

    name: str
    """As shown: accuracy, accuracy/density, mean(accuracy)."""
    metric: Metric
    targets: tuple[int, ...]
    """Indices of the run's targets."""
    composite: str | None = None
    """mean, worst or None."""

    def combine(self, values: list[Floats]) -> Floats:
        """One value from those of the targets."""
        stacked = np.stack(values)
        if self.composite == "worst":
            return np.asarray(stacked.min(axis=0) if self.metric.greater_is_better else stacked.max(axis=0))
        return np.asarray(stacked.mean(axis=0))


def gate_measure(gate: Gate, targets: tuple[Target, ...], field: str) -> Measure:
    """What a gate measures. Raises ConfigurationError naming the field and the nearest known metric."""
    match = _COMPOSITE.fullmatch(gate.metric)
    composite, base = (match[1], match[2]) if match else (None, gate.metric)
    metric = METRICS.get(base)
    if metric is None:
        near = difflib.get_close_matches(base, METRICS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(METRICS)}"
        raise ConfigurationError(f"{field}.metric: {base} is not a metric; {hint}")
    fitting = tuple(i for i, target in enumerate(targets) if (target.type or "Classification") == metric.kind)
    chosen = tuple(i for i in fitting if gate.target in (None, targets[i].name))
    if gate.target is not None and gate.target not in {target.name for target in targets}:
        raise ConfigurationError(f"{field}.target: there is no target of this name")
    if not chosen:
        raise ConfigurationError(f"{field}.metric: {base} needs a {metric.kind} target")
    if composite is None and len(chosen) > 1:
        raise ConfigurationError(f"{field}.target: several targets; name one, or use mean({base})")
    return _measure(metric, chosen, targets, composite)


def _measure(metric: Metric, chosen: tuple[int, ...], targets: tuple[Target, ...], composite: str | None) -> Measure:
    if composite is not None:
        return Measure(f"{composite}({metric.name})", metric, chosen, composite)
    suffix = f"/{targets[chosen[0]].name}" if len(targets) > 1 else ""
    return Measure(metric.name + suffix, metric, chosen)


def standard_measures(targets: tuple[Target, ...]) -> list[Measure]:
    """What every run reports, beside its gates: the metrics of each target that fit its type."""
    return [
        _measure(metric, (number,), targets, None)
        for number, target in enumerate(targets)
        for metric in METRICS.values()
        if metric.kind == (target.type or "Classification")
    ]


def gate_measures(gates: tuple[Gate, ...], targets: tuple[Target, ...]) -> list[Measure]:
    """The measure of each gate, in order."""
    return [gate_measure(gate, targets, f"spec.gates[{i}]") for i, gate in enumerate(gates)]
