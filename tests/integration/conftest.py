"""Fixtures of the integration tests that run the operator as a process under its own Role."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from operator_process import Kubectl, Operator, install_access, install_definitions

from devcluster.cluster import Cluster


@pytest.fixture(scope="session")
def definitions(cluster: Cluster) -> None:
    install_definitions(cluster)


@pytest.fixture
def kubectl(cluster: Cluster, definitions: None, namespace: str) -> Kubectl:
    """kubectl in the test's namespace, where the operator's ServiceAccount and Role are installed."""
    kubectl = Kubectl(cluster, namespace)
    install_access(kubectl)
    return kubectl


@pytest.fixture
def operator(cluster: Cluster, kubectl: Kubectl, tmp_path: Path) -> Iterator[Operator]:
    """Running, with short time-outs for sources; stopped at the end, whatever happened."""
    root = cluster.volumes_dir(kubectl.namespace, "feedback")
    root.mkdir(parents=True, exist_ok=True)
    running = Operator(
        cluster,
        (kubectl.namespace,),
        tmp_path,
        RETRAINER_DATA_ROOT=str(root),
        RETRAINER_SOURCE_TIMEOUT_SECONDS="5",
    )
    running.start()
    yield running
    running.stop()
