"""The status of pods, as a table of sentences."""

import dataclasses

import pytest

from devcluster.agent.status import (
    ContainerView,
    PodView,
    Running,
    State,
    Terminated,
    Waiting,
    phase,
    pod_status,
    should_restart,
    termination_reason,
)

RUNNING, WAITING = Running(10.0), Waiting("ContainerCreating")


def ended(code: int) -> Terminated:
    return Terminated(code, "Completed" if code == 0 else "Error", "", 10.0, 20.0, "id")


def container(state: State, finished: bool = False, ready: bool = False) -> ContainerView:
    return ContainerView("main", "image", state, finished=finished, ready=ready, container_id="id")


def view(*main: ContainerView, init: tuple[ContainerView, ...] = ()) -> PodView:
    return PodView(init=init, main=main, address="10.244.0.9", node_address="10.244.0.1", started=5.0)


DONE, BROKEN = container(ended(0), finished=True), container(ended(1), finished=True)


@pytest.mark.parametrize(
    ("pod", "expected"),
    [
        (view(container(WAITING)), "Pending"),
        (view(container(RUNNING)), "Running"),
        (view(container(RUNNING), container(WAITING)), "Pending"),
        (view(DONE), "Succeeded"),
        (view(DONE, container(RUNNING)), "Running"),
        (view(DONE, BROKEN), "Failed"),
        (view(container(WAITING), init=(container(RUNNING),)), "Pending"),
        (view(container(WAITING), init=(BROKEN,)), "Failed"),
        (view(container(RUNNING), init=(DONE,)), "Running"),
        (view(dataclasses.replace(container(Waiting("CrashLoopBackOff")), last=ended(1))), "Running"),
        (dataclasses.replace(view(container(WAITING)), ended=True), "Failed"),
        (dataclasses.replace(view(DONE), ended=True), "Succeeded"),
        (dataclasses.replace(view(DONE), ended=True, reason="DeadlineExceeded"), "Failed"),
    ],
)
def test_phase(pod: PodView, expected: str) -> None:
    assert phase(pod) == expected


@pytest.mark.parametrize(
    ("code", "problem", "killed", "lost", "expected"),
    [
        (0, "", False, False, "Completed"),
        (64, "", False, False, "Error"),
        (137, "", False, False, "OOMKilled"),
        (137, "", True, False, "Error"),
        (143, "", False, False, "Error"),
        (128, "no such program", False, False, "StartError"),
        (137, "", True, True, "ContainerStatusUnknown"),
    ],
)
def test_reason(code: int, problem: str, killed: bool, lost: bool, expected: str) -> None:
    assert termination_reason(code, problem, killed, lost) == expected


@pytest.mark.parametrize(
    ("policy", "code", "expected"),
    [("Always", 0, True), ("OnFailure", 0, False), ("OnFailure", 1, True), ("Never", 1, False)],
)
def test_restart(policy: str, code: int, expected: bool) -> None:
    assert should_restart(policy, code) is expected


def condition(status: dict[str, list[dict[str, str]]], kind: str) -> dict[str, str]:
    return next(c for c in status["conditions"] if c["type"] == kind)


def test_a_pod_is_ready_when_its_containers_are_and_it_does_not_end() -> None:
    pod = view(container(RUNNING, ready=True))

    assert condition(pod_status(pod, [], 30.0), "Ready")["status"] == "True"
    ending = dataclasses.replace(pod, terminating=True)
    assert condition(pod_status(ending, [], 30.0), "Ready")["status"] == "False"


def test_transition_times_change_only_with_the_status() -> None:
    pod = view(container(RUNNING, ready=True))
    first = pod_status(pod, [], 30.0)["conditions"]

    assert pod_status(pod, first, 90.0)["conditions"] == first
    later = pod_status(view(container(RUNNING)), first, 90.0)
    assert condition(later, "Ready")["lastTransitionTime"] == "1970-01-01T00:01:30Z"


def test_conditions_of_others_stay() -> None:
    target = {"type": "DisruptionTarget", "status": "True"}

    assert target in pod_status(view(DONE), [target], 1.0)["conditions"]


def test_the_termination_message_is_shown() -> None:
    state = dataclasses.replace(ended(64), message="why")
    status = pod_status(view(container(state, finished=True)), [], 1.0)

    terminated = status["containerStatuses"][0]["state"]["terminated"]
    assert (terminated["exitCode"], terminated["message"]) == (64, "why")
