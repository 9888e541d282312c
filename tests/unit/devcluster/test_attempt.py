"""A container's process under its shim: exit status, signals, adoption, the end of the cluster."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from devcluster.agent.attempt import Attempt, Exit

ENVIRONMENT = {"PATH": os.environ["PATH"]}


@pytest.fixture
def lifeline() -> Iterator[tuple[int, int]]:
    """Reading and writing end of the pipe that stands for the cluster's life."""
    reader, writer = os.pipe()
    yield reader, writer
    for descriptor in (reader, writer):
        try:
            os.close(descriptor)
        except OSError:
            continue


def start(directory: Path, lifeline: int, *argv: str) -> Attempt:
    attempt = Attempt.at(directory, 0)
    attempt.start(argv, ENVIRONMENT, directory, lifeline)
    return attempt


async def outcome(attempt: Attempt) -> Exit:
    await attempt.running()
    return await attempt.wait()


def test_the_exit_status_and_the_output_are_kept(tmp_path: Path, lifeline: tuple[int, int]) -> None:
    attempt = start(tmp_path, lifeline[0], "sh", "-c", "echo out; echo err >&2; exit 64")

    assert asyncio.run(outcome(attempt)).code == 64
    assert attempt.log.read_text() == "out\nerr\n"


def test_death_by_a_signal_is_128_and_its_number(tmp_path: Path, lifeline: tuple[int, int]) -> None:
    ended = asyncio.run(outcome(start(tmp_path, lifeline[0], "sh", "-c", "kill -9 $$")))

    assert (ended.code, ended.killed) == (137, False)


def test_a_kill_of_ours_is_remembered(tmp_path: Path, lifeline: tuple[int, int]) -> None:
    async def scene() -> Exit:
        attempt = start(tmp_path, lifeline[0], "sleep", "60")
        await attempt.running()
        attempt.kill()
        return await attempt.wait()

    ended = asyncio.run(scene())
    assert (ended.code, ended.killed) == (137, True)


def test_a_program_that_is_missing_is_a_problem(tmp_path: Path, lifeline: tuple[int, int]) -> None:
    ended = asyncio.run(outcome(start(tmp_path, lifeline[0], "no-such-program")))

    assert (ended.code, ended.problem) == (128, "no-such-program: No such file or directory")


def test_what_the_container_leaves_behind_is_killed(tmp_path: Path, lifeline: tuple[int, int]) -> None:
    script = "setsid sleep 61 & echo $!; sleep 0.2"
    attempt = start(tmp_path, lifeline[0], "sh", "-c", script)

    asyncio.run(outcome(attempt))

    left = Path(f"/proc/{attempt.log.read_text().strip()}")
    assert not left.exists() or "sleep\x0061" not in (left / "cmdline").read_text()


def test_another_agent_adopts_a_running_attempt(tmp_path: Path, lifeline: tuple[int, int]) -> None:
    async def scene() -> Exit:
        first = start(tmp_path, lifeline[0], "sh", "-c", "sleep 0.5; exit 7")
        await first.running()
        adopted = Attempt.latest(tmp_path)
        assert adopted is not None
        return await outcome(adopted)

    assert asyncio.run(scene()).code == 7


def test_containers_end_with_the_cluster(tmp_path: Path, lifeline: tuple[int, int]) -> None:
    reader, writer = lifeline

    async def scene() -> Exit:
        attempt = start(tmp_path, reader, "sleep", "60")
        await attempt.running()
        os.close(writer)
        return await attempt.wait()

    ended = asyncio.run(scene())
    assert (ended.code, ended.killed) == (137, True)


def test_an_attempt_without_a_process_is_lost(tmp_path: Path) -> None:
    Attempt.at(tmp_path, 0)
    os.utime(tmp_path / "0", (1.0, 1.0))
    adopted = Attempt.latest(tmp_path)
    assert adopted is not None

    ended = asyncio.run(outcome(adopted))

    assert (ended.code, ended.lost) == (137, True)
