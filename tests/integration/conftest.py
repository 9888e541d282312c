"""Fixtures of the integration tests: the operator as a process under its own Role, the trainer's real processes."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from operator_process import Kubectl, Operator

from devcluster.cluster import Cluster
from tests.unit.trainer.trainer_world import World


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


@pytest.fixture
def world(tmp_path: Path) -> World:
    """An empty world of the trainer."""
    return World(tmp_path)
