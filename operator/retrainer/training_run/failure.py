"""Why a Job failed: its condition, how its last container ended, and what that container said."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from retrainer.api.v1alpha1.run_contract import ExitCode
from retrainer.api.v1alpha1.training_run import RunReason, TrainingRunSpec
from retrainer.plan import Object
from retrainer.training_run.input import PodFacts, Stage, Terminated
from retrainer.training_run.job import KILLED
from retrainer.training_run.result import read_result

INTERRUPTIONS_WITHOUT_PROGRESS = 3

_EXIT_CODE_IN_MESSAGE = re.compile(r"\bexit code (\d{1,3})\b")
_NEVER = datetime(1, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Failure:
    """A reason of RunReason and a sentence with the remedy."""

    reason: RunReason
    message: str


_REASONS: dict[int, tuple[RunReason, ...]] = {
    ExitCode.CONFIGURATION: (RunReason.INVALID_CONFIGURATION, RunReason.SCHEMA_MISMATCH),
    ExitCode.DATA: (
        RunReason.INSUFFICIENT_DATA,
        RunReason.UNDERPOWERED,
        RunReason.SCHEMA_MISMATCH,
        RunReason.SOURCE_FAILED,
    ),
    ExitCode.OUT_OF_MEMORY: (RunReason.OUT_OF_MEMORY,),
    ExitCode.DISK_FULL: (RunReason.DISK_FULL,),
    ExitCode.DIVERGED: (RunReason.DIVERGED,),
    ExitCode.INTERRUPTED: (RunReason.INTERRUPTED,),
    KILLED: (RunReason.OUT_OF_MEMORY,),
}
"""Reasons that a message may give for an exit code; the first one where it gives none."""

_KEPT_AT_OUTPUT = (ExitCode.CONFIGURATION, ExitCode.DATA, ExitCode.DIVERGED)
"""Failures that another attempt would meet again; the trainer keeps their message like a result."""

_OTHER_REASONS = (RunReason.FAILED, RunReason.SOURCE_FAILED)

_REMEDIES = {
    RunReason.INVALID_CONFIGURATION: "the trainer refuses its configuration",
    RunReason.INSUFFICIENT_DATA: "the data is wrong or too little",
    RunReason.OUT_OF_MEMORY: (
        "it ran out of memory: raise job.resources.memory or lower data.maximumSamples; it is not tried again unchanged"
    ),
    RunReason.DISK_FULL: "there is no room to write: enlarge the claim of output.uri or the node's scratch space",
    RunReason.DIVERGED: "the loss is not a number any more: lower the learning rate",
    RunReason.INTERRUPTED: "it was interrupted",
    RunReason.FAILED: "it ended with an error",
}


def why_failed(job: Object, stage: Stage, pods: Iterable[PodFacts], spec: TrainingRunSpec) -> Failure:
    """The failure of a Job whose condition Failed is True."""
    name = job["metadata"]["name"]
    condition = job_condition(job, "Failed") or {}
    if condition.get("reason") == "DeadlineExceeded":
        limit = job["spec"].get("activeDeadlineSeconds", spec.job.active_deadline_seconds)
        return Failure(RunReason.DEADLINE_EXCEEDED, f"Job {name} ran longer than {limit} s (job.activeDeadlineSeconds)")
    last = last_failed(pods)
    if last is not None and last.terminated is not None:
        return _explain(name, stage, last.terminated, last.name)
    # The pod is gone; the Job controller's own message still names the exit code.
    found = _EXIT_CODE_IN_MESSAGE.search(str(condition.get("message") or ""))
    code = int(found[1]) if found else None
    if code is None:
        return Failure(RunReason.FAILED, f"Job {name} failed ({condition.get('reason') or 'no reason given'})")
    return _explain(name, stage, Terminated(code, "", "", None), None)


def failure_told(text: str, stage: Stage) -> Failure | None:
    """The final failure that a result Job found at the output, where the failed Job itself is gone."""
    result = read_result(text, stage)
    if result is None or not result.message:
        return None
    final = {reason for code in _KEPT_AT_OUTPUT for reason in _REASONS[code]}
    return next((Failure(reason, result.message) for reason in final if reason.value == result.reason), None)


def interrupted_too_often(stage: Stage, pods: Iterable[PodFacts]) -> int | None:
    """How many interruptions in a row came without progress, once there are too many; else None.

    Pods that the cluster ended (DisruptionTarget) are not counted: nothing is wrong with the run.
    Progress is the share that an interrupted container says it reached; unsaid counts as none.
    """
    best, in_vain = -1, 0
    for pod in sorted(pods, key=lambda p: p.created):
        if pod.disrupted or pod.terminated is None or pod.terminated.exit_code != ExitCode.INTERRUPTED:
            continue
        reached = _percent_reached(pod.terminated, stage)
        in_vain = 0 if reached > best >= 0 else in_vain + 1
        best = max(best, reached)
    return in_vain if in_vain >= INTERRUPTIONS_WITHOUT_PROGRESS else None


def last_failed(pods: Iterable[PodFacts]) -> PodFacts | None:
    """The pod that failed last."""
    failed = [p for p in pods if p.terminated is not None and p.terminated.exit_code != 0]
    return max(failed, key=_ended, default=None)


def last_succeeded(pods: Iterable[PodFacts]) -> PodFacts | None:
    """The pod whose container ended well, the last one if there are several."""
    ended = [p for p in pods if p.terminated is not None and p.terminated.exit_code == 0]
    return max(ended, key=_ended, default=None)


def job_condition(job: Object, type: str) -> Object | None:
    """The condition of a Job, if it is True."""
    for condition in (job.get("status") or {}).get("conditions") or ():
        if condition.get("type") == type and condition.get("status") == "True":
            return dict(condition)
    return None


def _explain(job: str, stage: Stage, end: Terminated, pod: str | None) -> Failure:
    allowed = _REASONS.get(end.exit_code, _OTHER_REASONS)
    result = read_result(end.message, stage)
    said = [reason for reason in allowed if result is not None and reason.value == result.reason]
    if said and result is not None and result.message:
        return Failure(said[0], result.message)
    reason = said[0] if said else allowed[0]
    if end.exit_code == KILLED and end.reason not in ("OOMKilled", ""):
        # SIGKILL by somebody else; the Job cannot tell them apart beforehand, a person can.
        return Failure(RunReason.FAILED, f"Job {job}: the container was killed (exit 137, not for memory)")
    where = f"; see kubectl logs {pod}" if pod else ""
    remedy = _REMEDIES.get(reason, _REMEDIES[RunReason.FAILED])
    return Failure(reason, f"Job {job}: {remedy} (exit {end.exit_code}){where}")


def _percent_reached(end: Terminated, stage: Stage) -> int:
    result = read_result(end.message, stage)
    return result.percent if result is not None and result.percent is not None else -1


def _ended(pod: PodFacts) -> tuple[datetime, datetime]:
    finished = pod.terminated.finished if pod.terminated is not None else None
    return finished or _NEVER, pod.created
