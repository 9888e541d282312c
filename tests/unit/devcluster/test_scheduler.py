"""Which pods fit on the node."""

from fractions import Fraction
from typing import Any

import pytest

from devcluster.agent.quantity import Quantities
from devcluster.agent.scheduler import is_waiting, obstacle, occupies, requests_of

Object = dict[str, Any]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1", Fraction(1)),
        ("500m", Fraction(1, 2)),
        ("0.5", Fraction(1, 2)),
        ("2Ki", Fraction(2048)),
        ("1G", Fraction(10**9)),
        ("1e3", Fraction(1000)),
    ],
)
def test_quantities_are_exact(text: str, expected: Fraction) -> None:
    assert Quantities.parse(text) == expected


def pod(*requests: Object, init: Object | None = None, **spec: Any) -> Object:
    containers = [{"name": str(n), "resources": {"requests": r}} for n, r in enumerate(requests)]
    found: Object = {"metadata": {"name": "p"}, "spec": {"containers": containers, **spec}}
    if init:
        found["spec"]["initContainers"] = [{"name": "i", "resources": {"requests": init}}]
    return found


def test_containers_add_up_and_init_containers_count_only_when_larger() -> None:
    wanted = requests_of(pod({"cpu": "1"}, {"cpu": "500m"}, init={"cpu": "1", "memory": "1Gi"}))

    assert wanted == {"cpu": Fraction(3, 2), "memory": Fraction(2**30), "pods": Fraction(1)}


@pytest.mark.parametrize(
    ("request_", "free", "expected"),
    [
        ({"cpu": "1"}, {"cpu": "1", "pods": "1"}, None),
        ({"nvidia.com/gpu": "1"}, {"nvidia.com/gpu": "0", "pods": "1"}, "Insufficient nvidia.com/gpu"),
        ({"example.com/fpga": "1"}, {"pods": "1"}, "Insufficient example.com/fpga"),
        ({}, {"pods": "0"}, "Too many pods"),
    ],
)
def test_what_does_not_fit_is_named(request_: Object, free: Object, expected: str | None) -> None:
    thing = pod(request_)

    reason = obstacle(thing, requests_of(thing), Quantities.of(free))

    assert reason == (f"0/1 nodes are available: 1 {expected}." if expected else None)


def test_a_selector_for_another_node_is_an_obstacle() -> None:
    thing = pod({}, nodeSelector={"kubernetes.io/hostname": "elsewhere"})

    assert "selector" in str(obstacle(thing, requests_of(thing), Quantities.of({"pods": "9"})))


def test_finished_pods_free_their_share() -> None:
    assert occupies({"status": {"phase": "Running"}})
    assert not occupies({"status": {"phase": "Succeeded"}})


def test_gated_bound_and_deleted_pods_are_not_scheduled() -> None:
    assert is_waiting(pod({}))
    assert not is_waiting(pod({}, schedulingGates=[{"name": "kueue"}]))
    assert not is_waiting(pod({}, nodeName="devcluster"))
    assert not is_waiting({"metadata": {"deletionTimestamp": "now"}, "spec": {}})
