"""Runs one container's process, waits for it and writes its exit status to a file.

Started as `python -I -S shim.py ATTEMPT_DIR LIFELINE`, one per container, outside the agent's life:
the agent may die and come back, the shim and its container stay. LIFELINE is an inherited pipe
whose other end only the supervisor holds; when it closes the cluster is gone and so is the
container. A burst starts hundreds of these, so it imports only what costs next to nothing: not
even `json` or `signal`, which would triple its start.
"""

import _signal as signal  # type: ignore[import-not-found]
import ctypes
import marshal
import os
import select
import sys
import time

PR_SET_CHILD_SUBREAPER = 36


def main() -> None:
    directory, lifeline = sys.argv[1], int(sys.argv[2])
    os.set_inheritable(lifeline, False)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    wakeup, wakeup_writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(wakeup_writer)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    # Grandchildren that left the process group end up here and can be ended with the container.
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

    with open(os.path.join(directory, "spec"), "rb") as file:
        spec = marshal.load(file)
    started = time.time()
    pid, problem = spawn(spec)
    identity = f'{{"shim": {os.getpid()}, "shimStart": {start_time(os.getpid())}, "pid": {pid}'
    write(directory, "process.json", f'{identity}, "startedAt": {started}}}')
    status = wait(pid, wakeup, lifeline, directory)
    end_group(pid)
    code = os.waitstatus_to_exitcode(status)
    if problem:
        write(directory, "problem", problem)
    code = 128 - code if code < 0 else code
    write(directory, "exit.json", f'{{"code": {code}, "startedAt": {started}, "finishedAt": {time.time()}}}')


def spawn(spec: dict) -> tuple[int, str]:  # type: ignore[type-arg]
    """Start the container's process; returns its id and why it could not be executed, if so."""
    reader, writer = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        try:
            become(spec)
        except OSError as error:
            os.write(writer, f"{spec['argv'][0]}: {error.strerror}".encode())
        os._exit(128)
    os.close(writer)
    with os.fdopen(reader) as file:
        return pid, file.read()


def become(spec: dict) -> None:  # type: ignore[type-arg]
    """Turn this child into the container's process."""
    os.setsid()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    null = os.open(os.devnull, os.O_RDONLY)
    log = os.open(spec["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for source, target in ((null, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    os.chdir(spec["cwd"])
    os.execvpe(spec["argv"][0], spec["argv"], spec["env"])


def wait(pid: int, wakeup: int, lifeline: int, directory: str) -> int:
    """Reap children until the container's process ends; kill it when the cluster is gone."""
    watched = [wakeup, lifeline]
    while True:
        readable, _, _ = select.select(watched, [], [])
        if lifeline in readable:
            watched.remove(lifeline)
            write(directory, "killed.json", '{"by": "the end of the cluster"}')
            end_group(pid, reap=False)
        if wakeup in readable:
            os.read(wakeup, 4096)
        while True:
            try:
                reaped, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return 0
            if reaped == pid:
                return status
            if reaped == 0:
                break


def end_group(pid: int, reap: bool = True) -> None:
    """Kill what the container's process has left behind, in its group or outside it."""
    try:  # noqa: SIM105 (contextlib would cost a third of the start)
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass
    while reap and (left := children()):
        for child in left:
            try:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
            except (ProcessLookupError, ChildProcessError):
                pass


def children() -> list[int]:
    try:
        with open(f"/proc/self/task/{os.getpid()}/children") as file:
            return [int(word) for word in file.read().split()]
    except OSError:
        return []


def start_time(pid: int) -> int:
    """In clock ticks since boot; with the process id it identifies a process for good."""
    with open(f"/proc/{pid}/stat") as file:
        return int(file.read().rpartition(")")[2].split()[19])


def write(directory: str, name: str, text: str) -> None:
    """Replace a file in one step."""
    temporary = os.path.join(directory, f".{name}")
    with open(temporary, "w") as file:
        file.write(text)
    os.replace(temporary, os.path.join(directory, name))


if __name__ == "__main__":
    main()
