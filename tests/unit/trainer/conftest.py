"""Fixtures of the trainer's tests."""

from pathlib import Path

import pytest

from tests.unit.trainer.trainer_world import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    """An empty world."""
    return World(tmp_path)
