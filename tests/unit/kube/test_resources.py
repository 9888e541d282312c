"""Paths of the API, for core and grouped kinds."""

from __future__ import annotations

import pytest

from retrainer.kube.resources import (
    AB_EXPERIMENT,
    CONFIG_MAP,
    HTTP_ROUTE,
    JOB,
    POD,
    Resource,
    resource_of,
    resource_of_object,
)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (CONFIG_MAP.path("team"), "/api/v1/namespaces/team/configmaps"),
        (CONFIG_MAP.path(None), "/api/v1/configmaps"),
        (POD.path("team", "p", "log"), "/api/v1/namespaces/team/pods/p/log"),
        (JOB.path("team", "j"), "/apis/batch/v1/namespaces/team/jobs/j"),
        (
            AB_EXPERIMENT.path("team", "x", "status"),
            "/apis/retrainer.dev/v1alpha1/namespaces/team/abexperiments/x/status",
        ),
        (HTTP_ROUTE.path("team"), "/apis/gateway.networking.k8s.io/v1/namespaces/team/httproutes"),
    ],
)
def test_paths(path: str, expected: str) -> None:
    assert path == expected


@pytest.mark.parametrize(
    ("resource", "group", "version"),
    [(CONFIG_MAP, "", "v1"), (JOB, "batch", "v1"), (AB_EXPERIMENT, "retrainer.dev", "v1alpha1")],
)
def test_group_and_version(resource: Resource, group: str, version: str) -> None:
    assert (resource.group, resource.version) == (group, version)


def test_an_object_leads_to_its_resource() -> None:
    assert resource_of_object({"apiVersion": "batch/v1", "kind": "Job"}) is JOB
    assert resource_of("v1", "Pod") is POD


def test_a_kind_that_we_never_touch_is_an_error() -> None:
    with pytest.raises(KeyError):
        resource_of("rbac.authorization.k8s.io/v1", "ClusterRole")
