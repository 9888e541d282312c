"""Reads what a stage's container tells: termination message and progress lines. Both are untrusted text."""

from __future__ import annotations

import json
import math
import re
from typing import Any

from pydantic import ValidationError

from retrainer.api.v1alpha1.run_contract import (
    TERMINATION_MESSAGE_BYTES,
    GateNumbers,
    MetricNumbers,
    ProgressLine,
    StageResult,
)
from retrainer.training_run.input import Stage

PROGRESS_KEY = "retrainer.progress"
MESSAGE_CHARACTERS = 600

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_METRIC = re.compile(r"[a-zA-Z][-_.()/a-zA-Z0-9]{0,62}")
_REASON = re.compile(r"[A-Z][a-zA-Z0-9]{0,62}")
_LARGEST_COUNT = 2**53
_PROGRESS_LINE_CHARACTERS = 1000


def read_result(text: str, stage: Stage) -> StageResult | None:
    """The result in a termination message, checked and cleaned; None where it cannot be trusted to be one.

    A result is refused for what would be written on as a fact (another stage, digests, counts) and cleaned
    of what is only shown (control characters, metrics that are not numbers).
    """
    if not text or len(text.encode(errors="replace")) > TERMINATION_MESSAGE_BYTES:
        return None
    try:
        result = StageResult.model_validate_json(text)
    except (ValidationError, ValueError):
        return None
    if result.stage != stage.value or not _REASON.fullmatch(result.reason) or not _facts_hold(result):
        return None
    return result.model_copy(
        update={
            "message": clean(result.message),
            "metrics": tuple(m for m in map(_finite_metric, _unique(result.metrics)) if m is not None),
            "gates": tuple(map(_finite_gate, result.gates)),
        }
    )


def last_progress(log_tail: str) -> ProgressLine | None:
    """The last progress line in the tail of a log; lines of other form are for people and ignored."""
    for line in reversed(log_tail.splitlines()):
        progress = _progress(line.strip())
        if progress is not None:
            return progress
    return None


def clean(text: str) -> str:
    """One line of printable text of at most 600 characters."""
    printable = "".join(c if c.isprintable() else " " for c in text)
    return " ".join(printable.split())[:MESSAGE_CHARACTERS]


def _progress(line: str) -> ProgressLine | None:
    if not line.startswith("{") or PROGRESS_KEY not in line or len(line) > _PROGRESS_LINE_CHARACTERS:
        return None
    try:
        content = json.loads(line)[PROGRESS_KEY]
        progress = ProgressLine.model_validate(content)
    except (ValidationError, ValueError, KeyError, TypeError, RecursionError):
        return None
    counts = (progress.step, progress.total_steps, progress.eta_seconds)
    if any(count is not None and not _is_count(count) for count in counts):
        return None
    return progress.model_copy(update={"percent": min(100, max(0, progress.percent)), "loss": _finite(progress.loss)})


def _facts_hold(result: StageResult) -> bool:
    dataset, artifact = result.dataset, result.artifact
    counts: list[int] = []
    digests: list[str] = []
    if dataset is not None:
        counts += [dataset.rows, dataset.units, dataset.train_rows, dataset.validation_rows]
        counts += [dataset.evaluation_rows, *dataset.dropped.values()]
        digests.append(dataset.digest)
        if not all(_REASON.fullmatch(reason) for reason in dataset.dropped):
            return False
    if artifact is not None:
        counts.append(artifact.size_bytes)
        digests.append(artifact.digest)
    return all(map(_is_count, counts)) and all(_DIGEST.fullmatch(digest) for digest in digests)


def _is_count(number: int) -> bool:
    return 0 <= number <= _LARGEST_COUNT


def _unique(metrics: tuple[MetricNumbers, ...]) -> tuple[MetricNumbers, ...]:
    """The first of each name: the status is a map by name."""
    return tuple({metric.name: metric for metric in reversed(metrics)}.values())[::-1]


def _finite_metric(metric: MetricNumbers) -> MetricNumbers | None:
    if not _METRIC.fullmatch(metric.name) or not math.isfinite(metric.candidate):
        return None
    optional = {name: _finite(getattr(metric, name)) for name in ("champion", "lower", "upper")}
    return metric.model_copy(update=optional)


def _finite_gate(gate: GateNumbers) -> GateNumbers:
    """NaN never meets a demand, so it is as good as not measured; infinite bounds claim too much."""
    names = ("value", "change", "bound", "minimum_detectable")
    update: dict[str, Any] = {name: _finite(getattr(gate, name)) for name in names}
    if gate.units is not None and not _is_count(gate.units):
        update["units"] = None
    if gate.blocked is not None:
        update["blocked"] = clean(gate.blocked) or "no reason was given"
    return gate.model_copy(update=update)


def _finite(number: float | None) -> float | None:
    return number if number is not None and math.isfinite(number) else None
