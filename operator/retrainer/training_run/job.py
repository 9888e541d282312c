"""Pure builders of a run's children: its configuration, the data Job, the training Job and the result Job."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from retrainer.api.v1alpha1.kind import (
    API_VERSION,
    GROUP,
    MANAGED_LABEL,
    MANAGED_VALUE,
    OWNER_KIND_LABEL,
    OWNER_NAME_LABEL,
)
from retrainer.api.v1alpha1.run_contract import (
    CONFIG_MOUNT,
    WORKDIR_MOUNT,
    ExitCode,
    RunConfig,
    RunIdentity,
    SourceConfig,
)
from retrainer.api.v1alpha1.training_parts import JobSettings
from retrainer.api.v1alpha1.training_run import TrainingRunSpec
from retrainer.plan import Object
from retrainer.training_run.input import Stage
from retrainer.training_run.pod import CONTAINER, SecretMount, pod_template

STAGE_LABEL = f"{GROUP}/stage"
"""Label of Jobs and pods: data, training or result."""
RESULT_OF_LABEL = f"{GROUP}/result-of"
"""Label of the result Job: the stage whose result it reads, data or training."""

KILLED = 137
"""SIGKILL: out of memory, unless the cluster itself ended the pod."""

_SUFFIX = {Stage.DATA: "data", Stage.TRAINING: "train", Stage.RESULT: "result"}
_FINAL_CODES = sorted(
    [
        ExitCode.CONFIGURATION,
        ExitCode.DATA,
        ExitCode.OUT_OF_MEMORY,
        ExitCode.DISK_FULL,
        ExitCode.DIVERGED,
        KILLED,
    ]
)
_RESULT_DEADLINE_SECONDS = 600
_RESULT_RETRIES = 2


def job_name(run: str, stage: Stage, attempt: int) -> str:
    """Deterministic, so that a second pass meets the same object; at most 40 + 8 + digits characters."""
    return f"{run}-{_SUFFIX[stage]}-{attempt}"


def config_name(run: str, attempt: int) -> str:
    """Name of the ConfigMap with run.json."""
    return f"{run}-config-{attempt}"


def config_map(
    run: Mapping[str, Any], spec: TrainingRunSpec, attempt: int, sources: tuple[SourceConfig, ...]
) -> Object:
    """run.json for both stages; references only, never a secret. Immutable: a later edit reaches no stage."""
    meta = run["metadata"]
    config = RunConfig(
        run=RunIdentity(namespace=meta["namespace"], name=meta["name"], uid=meta["uid"]),
        attempt=attempt,
        spec=spec,
        sources=sources,
    )
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": _metadata(run, config_name(meta["name"], attempt)),
        "immutable": True,
        "data": {"run.json": config.model_dump_json(by_alias=True, exclude_none=True)},
    }


def data_job(
    run: Mapping[str, Any], spec: TrainingRunSpec, attempt: int, image: str, secrets: tuple[SecretMount, ...]
) -> Object:
    """The only Job with source credentials; asks for no GPU."""
    labels = _labels(run, Stage.DATA)
    template = pod_template(
        spec.job, image, _arguments("data"), config_name(run["metadata"]["name"], attempt), labels, secrets=secrets
    )
    return _job(run, Stage.DATA, attempt, labels, template, spec.job)


def training_job(
    run: Mapping[str, Any], spec: TrainingRunSpec, attempt: int, image: str, snapshot_digest: str
) -> Object:
    """The only Job with GPUs; knows the snapshot by its digest and no source credentials."""
    labels = _labels(run, Stage.TRAINING)
    gpus = (spec.job.resources.gpu if spec.job.resources else None) or 0
    template = pod_template(
        spec.job,
        image,
        _arguments("train", snapshot_digest),
        config_name(run["metadata"]["name"], attempt),
        labels,
        gpus=gpus,
    )
    return _job(run, Stage.TRAINING, attempt, labels, template, spec.job)


def result_job(
    run: Mapping[str, Any], spec: TrainingRunSpec, attempt: int, image: str, of: Stage, snapshot_digest: str | None
) -> Object:
    """Reads the result of stage `of` from the output, where its pod can tell it no more.

    The trainer tells the training's result if it is given the snapshot's digest, and the data's otherwise.
    """
    labels = _labels(run, Stage.RESULT) | {RESULT_OF_LABEL: of.value.lower()}
    arguments = _arguments("result", snapshot_digest if of is Stage.TRAINING else None)
    template = pod_template(spec.job, image, arguments, config_name(run["metadata"]["name"], attempt), labels)
    small = spec.job.model_copy(
        update={"active_deadline_seconds": _RESULT_DEADLINE_SECONDS, "maximum_retries": _RESULT_RETRIES}
    )
    return _job(run, Stage.RESULT, attempt, labels, template, small)


def reads_result_of(job: Object) -> str:
    """The stage whose result a result Job reads: the value of `Stage`, or empty."""
    return str((job["metadata"].get("labels") or {}).get(RESULT_OF_LABEL, "")).capitalize()


def _arguments(stage: str, snapshot_digest: str | None = None) -> tuple[str, ...]:
    """The digest is an argument, not part of run.json: one ConfigMap, written once, then serves all stages."""
    base = (stage, "--config", f"{CONFIG_MOUNT}/run.json", "--workdir", WORKDIR_MOUNT)
    return base if snapshot_digest is None else (*base, "--snapshot-digest", snapshot_digest)


def _job(
    run: Mapping[str, Any], stage: Stage, attempt: int, labels: dict[str, str], template: Object, settings: JobSettings
) -> Object:
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": _metadata(run, job_name(run["metadata"]["name"], stage, attempt), labels),
        "spec": {
            "backoffLimit": settings.maximum_retries,
            "activeDeadlineSeconds": settings.active_deadline_seconds,
            "ttlSecondsAfterFinished": settings.ttl_seconds_after_finished,
            # A new pod only when the one before has ended: two would write the same output.
            "podReplacementPolicy": "Failed",
            "podFailurePolicy": _failure_policy(),
            "template": template,
        },
    }


def _failure_policy() -> Object:
    """The first matching rule counts. Disruptions come first: a drained pod that is killed exits with 137 too."""
    return {
        "rules": [
            {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
            _on_codes("FailJob", [int(code) for code in _FINAL_CODES]),
            _on_codes("Ignore", [int(ExitCode.INTERRUPTED)]),
        ]
    }


def _on_codes(action: str, codes: list[int]) -> Object:
    return {"action": action, "onExitCodes": {"containerName": CONTAINER, "operator": "In", "values": codes}}


def _labels(run: Mapping[str, Any], stage: Stage | None = None) -> dict[str, str]:
    labels = {
        MANAGED_LABEL: MANAGED_VALUE,
        OWNER_KIND_LABEL: "trainingrun",
        OWNER_NAME_LABEL: run["metadata"]["name"],
    }
    return labels if stage is None else labels | {STAGE_LABEL: stage.value.lower()}


def _metadata(run: Mapping[str, Any], name: str, labels: dict[str, str] | None = None) -> Object:
    """Owned by the run; nothing of the run's own labels and annotations is copied."""
    meta = run["metadata"]
    owner = {
        "apiVersion": API_VERSION,
        "kind": "TrainingRun",
        "name": meta["name"],
        "uid": meta["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }
    return {
        "name": name,
        "namespace": meta["namespace"],
        "labels": labels or _labels(run),
        "ownerReferences": [owner],
    }
