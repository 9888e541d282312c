"""Fixtures of the end-to-end tests: one first champion trained per run."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from loop_world import train_first_champion
from operator_process import Kubectl, Operator

from devcluster.cluster import Cluster


@pytest.fixture(scope="session")
def first_champion(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return train_first_champion(tmp_path_factory.mktemp("champion"))


@pytest.fixture
def operator(cluster: Cluster, kubectl: Kubectl, tmp_path: Path) -> Iterator[Operator]:
    """Not started yet; stopped at the end, whatever happened."""
    root = cluster.volumes_dir(kubectl.namespace, "feedback")
    running = Operator(cluster, (kubectl.namespace,), tmp_path, RETRAINER_DATA_ROOT=str(root))
    yield running
    running.stop()
