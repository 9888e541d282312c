"""The termination message: a StageResult as JSON of at most 4,096 bytes, and the copy kept at the output."""

from __future__ import annotations

import os
from pathlib import Path

from retrainer.api.v1alpha1.run_contract import (
    TERMINATION_MESSAGE_BYTES,
    DatasetNumbers,
    RunConfig,
    StageResult,
)
from trainer.places import local_path, write_atomically

PATH_VARIABLE = "TERMINATION_MESSAGE_PATH"
_KUBELET_PATH = Path("/dev/termination-log")
_FILE_NAME = "termination-message.json"
MOST_METRICS = 8


def message_path(workdir: Path) -> Path:
    """Where the message goes: the variable, else the kubelet's file, else the working directory."""
    named = os.environ.get(PATH_VARIABLE)
    if named:
        return Path(named)
    if _KUBELET_PATH.exists() and os.access(_KUBELET_PATH, os.W_OK):
        return _KUBELET_PATH
    return workdir / _FILE_NAME


def encode(result: StageResult) -> bytes:
    """JSON of the result; what matters least is shortened until it fits 4,096 bytes."""
    kept = result.model_copy(update={"metrics": result.metrics[:MOST_METRICS]})
    for _ in range(2 * MOST_METRICS):
        content = kept.model_dump_json(by_alias=True, exclude_none=True).encode()
        if len(content) <= TERMINATION_MESSAGE_BYTES:
            break
        kept = _shorten(kept)
    return content


def _shorten(result: StageResult) -> StageResult:
    if result.dataset is not None and len(result.dataset.dropped) > 4:
        return result.model_copy(update={"dataset": _fewer_drops(result.dataset)})
    if len(result.metrics) > 1:
        return result.model_copy(update={"metrics": result.metrics[:-1]})
    return result.model_copy(update={"message": result.message[: len(result.message) // 2]})


def _fewer_drops(dataset: DatasetNumbers) -> DatasetNumbers:
    most = sorted(dataset.dropped.items(), key=lambda item: -item[1])
    half = len(most) // 2
    rest = sum(count for _, count in most[half:])
    return dataset.model_copy(update={"dropped": {**dict(most[:half]), "Other": rest}})


def write_message(result: StageResult, workdir: Path) -> None:
    """Write the termination message."""
    path = message_path(workdir)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode(result))


def kept_copy(config: RunConfig, stage: str) -> Path:
    """The copy at the output, from which `result` prints the message again when the pod's is gone."""
    output = local_path(config.spec.output.uri, "spec.output.uri")
    return output / "results" / config.run.uid / f"{stage.lower()}-{config.attempt}.json"


def keep_copy(config: RunConfig, result: StageResult) -> None:
    """Write the copy."""
    write_atomically(kept_copy(config, result.stage), encode(result))
