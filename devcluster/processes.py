"""Child processes of the supervisor: started with a log file, gone when the supervisor is gone."""

import asyncio
import ctypes
import os
import signal
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent(number: int = signal.SIGTERM) -> Callable[[], None]:
    """For `preexec_fn`: the kernel sends the signal when the thread that started the process ends."""

    def prepare() -> None:
        _libc.prctl(PR_SET_PDEATHSIG, number, 0, 0, 0)

    return prepare


def start(
    arguments: Sequence[str | Path],
    log: Path,
    *,
    environment: dict[str, str] | None = None,
    directory: Path | None = None,
    pass_fds: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Start a child in a session of its own, so that Ctrl-C reaches only the supervisor's caller."""
    with log.open("ab") as output:
        return subprocess.Popen(
            [str(a) for a in arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=directory,
            env={**os.environ, **(environment or {})},
            pass_fds=pass_fds,
            start_new_session=True,
            # Safe: the supervisor has one thread.
            preexec_fn=die_with_parent(),
        )


async def stop(process: subprocess.Popen[bytes], patience: float) -> None:
    """SIGTERM, and SIGKILL for a process that does not end within `patience` seconds."""
    if process.poll() is None:
        process.terminate()
    try:
        await asyncio.wait_for(ended(process), patience)
    except TimeoutError:
        process.kill()
        await ended(process)


async def ended(process: subprocess.Popen[bytes]) -> int:
    """Wait for the exit status without a thread."""
    loop = asyncio.get_running_loop()
    if process.poll() is None:
        descriptor = os.pidfd_open(process.pid)
        done = asyncio.Event()
        loop.add_reader(descriptor, done.set)
        try:
            await done.wait()
        finally:
            loop.remove_reader(descriptor)
            os.close(descriptor)
    return process.wait()


def tail(log: Path, lines: int = 15) -> str:
    """The end of a log, for error messages."""
    if not log.exists():
        return "(no log)"
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
