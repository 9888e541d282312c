"""What a decision about a TrainingRun needs to know; `observe` fills it in, `decide` reads nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from retrainer.api.v1alpha1.kind import ALLOW_OPERATOR_LABEL, ALLOWED_HOSTS_ANNOTATION
from retrainer.api.v1alpha1.run_contract import ProgressLine
from retrainer.plan import Object


class Stage(StrEnum):
    """The Jobs of a run; the value is `status.jobs[].stage`."""

    DATA = "Data"
    TRAINING = "Training"
    RESULT = "Result"


@dataclass(frozen=True)
class Terminated:
    """How the container of a pod ended."""

    exit_code: int
    reason: str
    """The kubelet's word: Completed, Error, OOMKilled …"""
    message: str
    """The termination message as it was written: untrusted text."""
    finished: datetime | None


@dataclass(frozen=True)
class PodFacts:
    """One pod of a Job, reduced to what decisions look at; see `pod_facts`."""

    name: str
    job_uid: str
    """uid of the Job that controls the pod."""
    created: datetime
    phase: str
    waiting: str | None = None
    """Why the container waits: ImagePullBackOff, CreateContainerConfigError …"""
    unschedulable: str | None = None
    """The scheduler's message while no node fits."""
    disrupted: bool = False
    """Whether the cluster ended it (condition DisruptionTarget): eviction, preemption, node drain."""
    terminated: Terminated | None = None


@dataclass(frozen=True)
class SecretFacts:
    """What may be known about a Secret without its content."""

    has_key: bool
    """Whether the key that the source names is there."""
    shared: bool
    """Whether the label and the annotation that share it are there."""
    allowed_hosts: tuple[str, ...]


@dataclass(frozen=True)
class SourceFacts:
    """A FeedbackSource that the run names."""

    name: str
    obj: Object | None
    """The FeedbackSource; None: a live GET found none."""
    secret: SecretFacts | None = None
    """The Secret named by `secret_of(obj)`; None: there is no such Secret, or the source names none."""


@dataclass(frozen=True)
class RunInput:
    """One pass's view of a run."""

    obj: Object
    """The TrainingRun as read."""
    jobs: Mapping[Stage, Object | None]
    """The Jobs named `job_name(run, stage, attempt_of(obj))`, by whomever they are owned. None is a fact,
    not a gap in a cache: a live GET answered 404."""
    pods: tuple[PodFacts, ...] = ()
    """Pods of those Jobs. When a Job is finished and none of its pods in the cache has terminated, they are
    listed live: the watch of Jobs may be ahead of the watch of pods."""
    progress: ProgressLine | None = None
    """`result.last_progress` of the log's tail of the newest running pod; None where there is none."""
    sources: tuple[SourceFacts, ...] = ()
    """The sources of `spec.data.sourceRefs`, in their order; needed only while there is no data Job."""
    default_image: str = ""
    """Trainer image of runs that name none (RETRAINER_TRAINER_IMAGE); empty: there is none."""
    name_conflict: str | None = None
    """Set when a write of this pass met an object of that name that is not ours."""


def attempt_of(obj: Object) -> int:
    """The attempt whose Jobs count now: 1 until a `retry` request has been accepted."""
    return int((obj.get("status") or {}).get("attempts") or 1)


def pod_facts(pod: Object) -> PodFacts:
    """Reduce a pod; our pods have one container."""
    status = pod.get("status") or {}
    container: Mapping[str, Any] = next(iter(status.get("containerStatuses") or ()), {})
    state = container.get("state") or {}
    meta = pod["metadata"]
    return PodFacts(
        name=meta["name"],
        job_uid=_controller_uid(pod),
        created=parse_time(meta["creationTimestamp"]),
        phase=status.get("phase") or "Pending",
        waiting=(state.get("waiting") or {}).get("reason"),
        unschedulable=_unschedulable(status),
        disrupted=any(
            c.get("type") == "DisruptionTarget" and c.get("status") == "True" for c in status.get("conditions") or ()
        ),
        terminated=_terminated(state.get("terminated")),
    )


def secret_of(source: Object) -> tuple[str, str] | None:
    """Name and key of the Secret that a FeedbackSource needs; None where it needs none."""
    reference = ((source.get("spec") or {}).get("postgres") or {}).get("connectionSecretRef")
    return (reference["name"], reference["key"]) if reference else None


def secret_facts(secret: Object, key: str) -> SecretFacts:
    """Reduce a Secret so that its content goes no further than `observe`."""
    meta = secret.get("metadata") or {}
    hosts = (meta.get("annotations") or {}).get(ALLOWED_HOSTS_ANNOTATION, "")
    allowed = tuple(host.strip() for host in hosts.split(",") if host.strip())
    label = (meta.get("labels") or {}).get(ALLOW_OPERATOR_LABEL)
    return SecretFacts(
        has_key=key in (secret.get("data") or {}),
        shared=label == "true" and bool(allowed),
        allowed_hosts=allowed,
    )


def parse_time(text: str) -> datetime:
    """A time as the API server writes it."""
    return datetime.fromisoformat(text)


def _controller_uid(obj: Object) -> str:
    owners = obj["metadata"].get("ownerReferences") or ()
    return next((str(owner["uid"]) for owner in owners if owner.get("controller")), "")


def is_owned_by(obj: Object, uid: str) -> bool:
    """Whether the controlling owner of `obj` is the object with that uid."""
    return _controller_uid(obj) == uid


def _unschedulable(status: Mapping[str, Any]) -> str | None:
    for condition in status.get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return str(condition.get("message") or "") if condition.get("reason") == "Unschedulable" else None
    return None


def _terminated(state: Mapping[str, Any] | None) -> Terminated | None:
    if not state:
        return None
    finished = state.get("finishedAt")
    return Terminated(
        exit_code=int(state.get("exitCode") or 0),
        reason=str(state.get("reason") or ""),
        message=str(state.get("message") or ""),
        finished=parse_time(finished) if finished else None,
    )
