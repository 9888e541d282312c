"""The demo itself, as a person runs it: both stories end as told, and Ctrl-C leaves nothing behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PNG = b"\x89PNG\r\n"
STORY_SECONDS = 420


def demo(state: Path, *words: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "demo", "--state-dir", str(state), *words]
    # Colours and line lengths must not depend on who runs the tests.
    environment = {**os.environ, "NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "120"}
    return subprocess.Popen(
        command,
        cwd=REPOSITORY,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def told(state: Path, story: str) -> str:
    """Everything the story printed; it must end as it should."""
    with demo(state, "--story", story) as process:
        try:
            output, _ = process.communicate(timeout=STORY_SECONDS)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGTERM)
            output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    return output


def left_running(state: Path) -> list[str]:
    """Command lines of processes that mention the state directory, or run with files of it."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
        except OSError:
            continue
        if str(state).encode() in words and int(process.name) != os.getpid():
            found.append(words.split(b"\0\0")[0].replace(b"\0", b" ").decode(errors="replace")[:200])
    return found


@pytest.mark.timeout(600)
def test_a_better_model_is_promoted_on_the_evidence(tmp_path: Path) -> None:
    output = told(tmp_path, "promote")
    for sentence in (
        "trigger likes fired",
        "digits-2: gates passed",
        "10 % of the traffic to revision 2",
        "25 % of the traffic to revision 2",
        "50 % of the traffic to revision 2",
        "digits-2: PromoteCandidate (CandidateBetter)",
        "revision 2 is champion, 100 % of the traffic",
        "revision 1 retired",
        " 0 failed",
        "The story ended as it should.",
    ):
        assert sentence in output, output
    assert (tmp_path / "promote.png").read_bytes().startswith(PNG)
    assert left_running(tmp_path) == []


@pytest.mark.timeout(600)
def test_a_bad_candidate_is_stopped_at_a_gate_and_then_by_the_experiment(tmp_path: Path) -> None:
    output = told(tmp_path, "bad-candidate")
    for sentence in (
        "digits-2: stopped at a gate",
        "digits-3: KeepBaseline (",
        "all traffic back on the baseline",
        "traffic by revision: {1: 100}",
        "The story ended as it should.",
    ):
        assert sentence in output, output
    assert "100 % of the traffic to revision 3" not in output
    assert (tmp_path / "bad-candidate.png").read_bytes().startswith(PNG)


@pytest.mark.timeout(300)
def test_an_interrupted_demo_leaves_nothing_running(tmp_path: Path) -> None:
    with demo(tmp_path) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "digits-first" in line:
                break
        assert left_running(tmp_path), "it was interrupted before anything ran"
        second = demo(tmp_path)
        assert "another demo runs in" in second.communicate(timeout=60)[0]
        assert second.returncode == 1
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=90)
    assert process.returncode == 130, output
    assert "nothing is left running" in output
    deadline = time.monotonic() + 10
    while left_running(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert left_running(tmp_path) == []


def test_an_unusable_cluster_is_told_with_the_remedy(tmp_path: Path) -> None:
    nowhere = tmp_path / "kubeconfig"
    command = [sys.executable, "-m", "demo", "--cluster", "current", "--state-dir", str(tmp_path)]
    done = subprocess.run(
        command,
        cwd=REPOSITORY,
        env={**os.environ, "KUBECONFIG": str(nowhere)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert "no usable kubeconfig" in done.stdout
