"""The operator as a process of this machine, under its own ServiceAccount and Role."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

STOP_SECONDS = 15.0
_COMMAND = (sys.executable, "-m", "retrainer", "operator")
_PR_SET_PDEATHSIG = 1


class OperatorProcess:
    """One running operator; its process id is kept in a file, so that a kept one can be stopped later."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    @classmethod
    def start(cls, log: Path, pid_file: Path, settings: Mapping[str, str], survives: bool) -> OperatorProcess:
        """With `survives` it outlives this process; otherwise it ends with it, however that ends."""
        with log.open("ab") as output:
            process = subprocess.Popen(
                _COMMAND,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, **settings},
                # Ctrl-C in the terminal is for the demo, which then stops its operator in good order.
                start_new_session=True,
                preexec_fn=None if survives else _die_with_parent,
            )
        pid_file.write_text(str(process.pid))
        return cls(process)

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def stop(self) -> None:
        """SIGTERM, and SIGKILL for one that does not end."""
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def stop_kept(pid_file: Path) -> bool:
    """Stop the operator of a kept demo; False where none runs."""
    try:
        pid = int(pid_file.read_text())
    except (OSError, ValueError):
        return False
    running = _is_operator(pid)
    if running:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        while _is_operator(pid) and time.monotonic() < deadline:
            time.sleep(0.1)
        if _is_operator(pid):
            os.kill(pid, signal.SIGKILL)
    pid_file.unlink(missing_ok=True)
    return running


def _is_operator(pid: int) -> bool:
    """Whether the process is an operator and not a later one that got its number."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return state != "Z" and words[1:4] == [b"-m", b"retrainer", b"operator"]
