"""Fixtures of the end-to-end tests: definitions installed, one first champion trained per run."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from loop_world import train_first_champion
from operator_process import Kubectl, Operator, install_access, install_definitions

from devcluster.cluster import Cluster


@pytest.fixture(scope="session")
def definitions(cluster: Cluster) -> None:
    install_definitions(cluster)


@pytest.fixture(scope="session")
def first_champion(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return train_first_champion(tmp_path_factory.mktemp("champion"))


@pytest.fixture
def kubectl(cluster: Cluster, definitions: None, namespace: str) -> Kubectl:
    kubectl = Kubectl(cluster, namespace)
    install_access(kubectl)
    return kubectl


@pytest.fixture
def operator(cluster: Cluster, kubectl: Kubectl, tmp_path: Path) -> Iterator[Operator]:
    """Not started yet; stopped at the end, whatever happened."""
    root = cluster.volumes_dir(kubectl.namespace, "feedback")
    running = Operator(cluster, (kubectl.namespace,), tmp_path, RETRAINER_DATA_ROOT=str(root))
    yield running
    running.stop()
