"""The status of a pod, computed from the states of its containers. Pure."""

import dataclasses
import datetime
from collections.abc import Sequence
from typing import Any

from devcluster.api import Object

OUR_CONDITIONS = ("PodScheduled", "PodReadyToStartContainers", "Initialized", "ContainersReady", "Ready")


@dataclasses.dataclass(frozen=True)
class Waiting:
    reason: str
    message: str = ""


@dataclasses.dataclass(frozen=True)
class Running:
    started: float


@dataclasses.dataclass(frozen=True)
class Terminated:
    code: int
    reason: str
    message: str
    started: float
    finished: float
    container_id: str


State = Waiting | Running | Terminated


@dataclasses.dataclass(frozen=True)
class ContainerView:
    """One container as the status shows it."""

    name: str
    image: str
    state: State
    last: Terminated | None = None
    restarts: int = 0
    started: bool = False
    ready: bool = False
    # It will not be started again.
    finished: bool = False
    container_id: str = ""

    @property
    def failed(self) -> bool:
        return self.finished and isinstance(self.state, Terminated) and self.state.code != 0


@dataclasses.dataclass(frozen=True)
class PodView:
    """Everything that the status of a pod is made from."""

    init: Sequence[ContainerView]
    main: Sequence[ContainerView]
    address: str
    node_address: str
    started: float
    terminating: bool = False
    # The pod was stopped as a whole; what has not succeeded by now has failed.
    ended: bool = False
    # Set where the pod as a whole was ended, such as DeadlineExceeded.
    reason: str = ""
    message: str = ""


def timestamp(seconds: float) -> str:
    """RFC 3339 in UTC, as the API writes it."""
    return datetime.datetime.fromtimestamp(int(seconds), datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def phase(view: PodView) -> str:
    """Pending, Running, Succeeded or Failed, by the rules of the pod life cycle."""
    if view.ended and (view.reason or not all(c.finished and not c.failed for c in view.main)):
        return "Failed"
    if any(c.failed for c in view.init):
        return "Failed"
    if not all(c.finished for c in view.init):
        return "Pending"
    if all(c.finished for c in view.main):
        return "Failed" if any(c.failed for c in view.main) else "Succeeded"
    if any(isinstance(c.state, Waiting) and c.last is None for c in view.main):
        return "Pending"
    return "Running"


def pod_status(view: PodView, previous: Sequence[Object], now: float) -> Object:
    """The status to write; of the `previous` conditions those that others wrote stay."""
    result: Object = {
        "phase": phase(view),
        "conditions": _conditions(view, previous, now),
        "hostIP": view.node_address,
        "hostIPs": [{"ip": view.node_address}],
        "podIP": view.address,
        "podIPs": [{"ip": view.address}],
        "startTime": timestamp(view.started),
        "containerStatuses": [_container(c) for c in view.main],
    }
    if view.init:
        result["initContainerStatuses"] = [_container(c) for c in view.init]
    if view.reason:
        result.update(reason=view.reason, message=view.message)
    return result


def termination_reason(code: int, problem: str, killed: bool, lost: bool) -> str:
    """The `reason` of a container that has ended.

    An exit status of 137 that nobody here asked for is what a container that ran out of memory
    leaves behind.
    """
    if lost:
        return "ContainerStatusUnknown"
    if problem:
        return "StartError"
    if code == 0:
        return "Completed"
    return "OOMKilled" if code == 137 and not killed else "Error"


def should_restart(policy: str, code: int) -> bool:
    return policy == "Always" or (policy == "OnFailure" and code != 0)


def _conditions(view: PodView, previous: Sequence[Object], now: float) -> list[Object]:
    ended = phase(view) in {"Succeeded", "Failed"}
    initialized = all(c.finished and not c.failed for c in view.init)
    ready = not ended and not view.terminating and all(c.ready for c in view.main)
    wanted = {
        "PodScheduled": True,
        "PodReadyToStartContainers": not ended,
        "Initialized": initialized,
        "ContainersReady": ready,
        "Ready": ready,
    }
    completed = "PodCompleted" if phase(view) == "Succeeded" else "ContainersNotReady"
    reasons = {"ContainersReady": completed, "Ready": completed, "Initialized": "ContainersNotInitialized"}
    old = {c["type"]: c for c in previous}
    result = [c for c in previous if c["type"] not in OUR_CONDITIONS]
    for kind, value in wanted.items():
        result.append(_condition(kind, value, reasons.get(kind, ""), old.get(kind), now))
    return result


def _condition(kind: str, value: bool, reason: str, old: Object | None, now: float) -> Object:
    status = str(value)
    same = old is not None and old["status"] == status
    since = old["lastTransitionTime"] if old and same else timestamp(now)
    condition: Object = {"type": kind, "status": status, "lastTransitionTime": since}
    if reason and not value:
        condition["reason"] = reason
    return condition


def _container(view: ContainerView) -> Object:
    result: Object = {
        "name": view.name,
        "image": view.image,
        "imageID": f"devcluster://{view.image}" if view.container_id else "",
        "ready": view.ready,
        "started": view.started,
        "restartCount": view.restarts,
        "state": _state(view.state),
        "lastState": _state(view.last) if view.last else {},
    }
    if view.container_id:
        result["containerID"] = view.container_id
    return result


def _state(state: State) -> dict[str, Any]:
    if isinstance(state, Waiting):
        return {"waiting": {"reason": state.reason, **({"message": state.message} if state.message else {})}}
    if isinstance(state, Running):
        return {"running": {"startedAt": timestamp(state.started)}}
    terminated: Object = {
        "exitCode": state.code,
        "reason": state.reason,
        "startedAt": timestamp(state.started),
        "finishedAt": timestamp(state.finished),
        "containerID": state.container_id,
    }
    if state.message:
        terminated["message"] = state.message
    return {"terminated": terminated}
