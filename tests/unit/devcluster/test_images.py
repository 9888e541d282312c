"""Image names find their local commands."""

import sys

import pytest

from devcluster.images import DEFAULT_IMAGES, command_line, prefix_for


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("retrainer/trainer:0.1.0", [sys.executable, "-m", "trainer"]),
        ("retrainer/trainer", [sys.executable, "-m", "trainer"]),
        ("retrainer/trainer:1@sha256:abc", [sys.executable, "-m", "trainer"]),
        ("retrainer/operator:dev", [sys.executable, "-m", "retrainer"]),
        ("busybox", []),
        ("busybox:1.36", []),
        ("nginx:latest", None),
        ("other/retrainer/trainer:1", None),
    ],
)
def test_the_default_table(image: str, expected: list[str] | None) -> None:
    assert prefix_for(image, DEFAULT_IMAGES) == expected


def test_the_most_specific_pattern_wins() -> None:
    table = {"app*": ["any"], "app:stable": ["stable"]}
    assert prefix_for("app:stable", table) == ["stable"]
    assert prefix_for("app:edge", table) == ["any"]


def test_a_command_replaces_the_entry_point_and_arguments_follow_it() -> None:
    assert command_line(["python", "-m", "trainer"], [], ["--fast"]) == ["python", "-m", "trainer", "--fast"]
    assert command_line(["python", "-m", "trainer"], ["sh"], ["-c", "true"]) == ["sh", "-c", "true"]
