"""Fixtures of the tests that need a real Kubernetes: one cluster per run, one namespace per test."""

import json
import os
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from crd.definitions import install
from operator_process import Kubectl, install_access

from devcluster.cluster import Cluster


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster with agent and gateway; RETRAINER_TEST_CLUSTER names the state directory of a running one."""
    running = os.environ.get("RETRAINER_TEST_CLUSTER")
    if running:
        yield Cluster.attach(Path(running))
        return
    started = Cluster.start(tmp_path_factory.mktemp("cluster"))
    yield started
    started.stop()


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    """A fresh namespace, deleted at the end without waiting for it."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    kubectl = ["kubectl", "--kubeconfig", str(cluster.kubeconfig)]
    subprocess.run([*kubectl, "create", "-f", "-"], input=json.dumps(manifest), text=True, check=True)
    yield name
    subprocess.run([*kubectl, "delete", "namespace", name, "--wait=false"], check=True)


@pytest.fixture(scope="session")
def definitions(cluster: Cluster) -> None:
    """The custom resource definitions, once per run."""
    install(cluster.kubeconfig)


@pytest.fixture
def kubectl(cluster: Cluster, definitions: None, namespace: str) -> Kubectl:
    """kubectl in the test's namespace, where the operator's ServiceAccount and Role are installed."""
    kubectl = Kubectl(cluster, namespace)
    install_access(kubectl)
    return kubectl
