"""A Job at work: suspension, interruptions, pods that cannot start, progress."""

from __future__ import annotations

from dataclasses import dataclass

from retrainer.api.v1alpha1.training_run import RunReason
from retrainer.conditions import get_condition
from retrainer.plan import Object, Plan, Ref
from retrainer.training_run import ending
from retrainer.training_run.draft import PROGRESS_SECONDS, Draft
from retrainer.training_run.failure import interrupted_too_often
from retrainer.training_run.input import PodFacts, Stage, parse_time
from retrainer.training_run.numbers import progress_status
from retrainer.training_run.step import Step, under_way

IMAGE_PULL_SECONDS = 60.0
"""A registry may fail for a moment; longer than this, a person must act."""
UNSCHEDULABLE_SECONDS = 10.0
"""Told only when it lasts: a pod is often unschedulable for the moment until its volume is bound."""
NO_POD_SECONDS = 60.0

_PULL_FAILS = {"ErrImagePull", "ImagePullBackOff", "RegistryUnavailable", "SignatureValidationFailed"}
_PULL_NEVER_WORKS = {"InvalidImageName", "ErrImageNeverPull"}
_CANNOT_START = {"CreateContainerConfigError", "CreateContainerError", "RunContainerError"}


@dataclass(frozen=True)
class Trouble:
    """Why the pod does not run yet."""

    reason: RunReason
    message: str
    hopeless: bool = False


def watch(step: Step, draft: Draft, job: Object) -> Plan:
    """The plan while the Job has neither completed nor failed."""
    suspended = bool(job["spec"].get("suspend"))
    merges = (_suspend(job, step.spec.suspend),) if suspended != step.spec.suspend else ()
    name = job["metadata"]["name"]
    if step.spec.suspend:
        text = f"spec.suspend is set: Job {name} is suspended"
        return under_way(step, draft, RunReason.SUSPENDED, text).plan(merges=merges)
    pods = step.pods_of(job)
    times = interrupted_too_often(step.stage, pods)
    if times is not None:
        text = (
            f"Job {name} was interrupted {times} times in a row without progress; request retry when the cause is gone"
        )
        return ending.stop(step.input, draft, RunReason.INTERRUPTED, text)
    trouble = None if merges else find_trouble(job, pods, draft)
    if trouble is None:
        draft = under_way(step, draft, RunReason.RUNNING, _at_work(step, name))
        return _with_progress(step, draft).plan(merges=merges, requeue_after=PROGRESS_SECONDS)
    return _troubled(step, draft, trouble)


def find_trouble(job: Object, pods: tuple[PodFacts, ...], draft: Draft) -> Trouble | None:
    """What keeps the newest pod from running."""
    name = job["metadata"]["name"]
    if not pods:
        started = parse_time((job.get("status") or {}).get("startTime") or job["metadata"]["creationTimestamp"])
        if (draft.now - started).total_seconds() < NO_POD_SECONDS:
            return None
        text = f"Job {name} has no pod after {NO_POD_SECONDS:.0f} s; kubectl describe job {name} says why"
        return Trouble(RunReason.WAITING, text)
    pod = max(pods, key=lambda p: (p.created, p.name))
    if pod.terminated is not None:
        return None
    if pod.waiting in _PULL_FAILS | _PULL_NEVER_WORKS:
        text = f"the image of pod {pod.name} cannot be pulled ({pod.waiting}): check job.image and its registry"
        return Trouble(RunReason.IMAGE_PULL_FAILED, text, hopeless=pod.waiting in _PULL_NEVER_WORKS)
    if pod.waiting in _CANNOT_START:
        text = f"the container of pod {pod.name} cannot start ({pod.waiting}): kubectl describe pod {pod.name}"
        return Trouble(RunReason.WAITING, text)
    if pod.unschedulable is not None and (draft.now - pod.created).total_seconds() >= UNSCHEDULABLE_SECONDS:
        return Trouble(RunReason.UNSCHEDULABLE, f"no node fits pod {pod.name}: {pod.unschedulable}"[:1000])
    return None


def _troubled(step: Step, draft: Draft, trouble: Trouble) -> Plan:
    if trouble.reason is not RunReason.IMAGE_PULL_FAILED:
        return under_way(step, draft, trouble.reason, trouble.message).plan(requeue_after=PROGRESS_SECONDS)
    if trouble.hopeless:
        return ending.stop(step.input, draft, trouble.reason, trouble.message)
    condition = get_condition(draft.before.get("conditions"), step.condition) or {}
    is_new = condition.get("reason") != trouble.reason
    left = IMAGE_PULL_SECONDS - (0.0 if is_new else (draft.now - draft.since(step.condition)).total_seconds())
    if left <= 0:
        return ending.stop(step.input, draft, trouble.reason, trouble.message)
    return under_way(step, draft, trouble.reason, trouble.message).plan(requeue_after=left)


def _at_work(step: Step, job: str) -> str:
    if step.stage is Stage.DATA:
        return f"Job {job} reads {len(step.spec.data.source_refs)} source(s) and freezes the data set"
    return f"Job {job} trains, evaluates and packages the candidate"


def _with_progress(step: Step, draft: Draft) -> Draft:
    line = step.input.progress
    if line is None:
        return draft
    progress = progress_status(line, draft.now).model_dump(mode="json", by_alias=True, exclude_none=True)
    before = draft.before.get("progress") or {}
    same = {**before, "updatedTime": None} == {**progress, "updatedTime": None}
    return draft if same else draft.put(progress=progress)


def _suspend(job: Object, wanted: bool) -> tuple[Ref, Object]:
    meta = job["metadata"]
    return Ref("batch/v1", "Job", meta["namespace"], meta["name"], meta["uid"]), {"spec": {"suspend": wanted}}
