"""The contract of all traffic providers, with an API server in memory."""

from __future__ import annotations

import pytest
from routing_contract import RoutingContract

from tests.unit.routing.memory_bench import MemoryBench


@pytest.fixture
def bench_for():
    return MemoryBench.of


class TestInMemory(RoutingContract):
    """Every provider, in both units."""
