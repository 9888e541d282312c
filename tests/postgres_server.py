"""A throw-away PostgreSQL cluster for tests: its own data folder, a free port, loopback only, gone afterwards."""

from __future__ import annotations

import glob
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HINT = "PostgreSQL's server programs are missing; on Debian and Ubuntu: apt-get install postgresql"
PASSWORD = "s3cret-Marker-0451"
"""Of the role `reader`; tests look for it in everything that is shown."""


@dataclass(frozen=True)
class Server:
    """A running cluster. `admin` is the superuser, over the same port; `reader` may only SELECT."""

    port: int

    def dsn(
        self, user: str = "reader", password: str = PASSWORD, database: str = "postgres", host: str = "127.0.0.1"
    ) -> str:
        return f"postgresql://{user}:{password}@{host}:{self.port}/{database}"

    @property
    def admin(self) -> str:
        return self.dsn("postgres", "admin")


def programs() -> Path:
    """The folder of initdb and pg_ctl. Raises RuntimeError with what to install."""
    candidates = [Path(p) for p in sorted(glob.glob("/usr/lib/postgresql/*/bin"), reverse=True)]
    asked = shutil.which("pg_config")
    if asked:
        shown = subprocess.run([asked, "--bindir"], capture_output=True, text=True, check=True)
        candidates.append(Path(shown.stdout.strip()))
    for folder in candidates:
        if (folder / "initdb").exists() and (folder / "pg_ctl").exists():
            return folder
    raise RuntimeError(HINT)


@contextmanager
def running_server() -> Iterator[Server]:
    """Start a cluster, yield it, stop and remove it."""
    folder = programs()
    home = Path(tempfile.mkdtemp(prefix="retrainer-postgres-"))
    try:
        _own(home)
        secret = home / "password"
        secret.write_text("admin")
        _own(secret)
        data = home / "data"
        _run(folder / "initdb", "-D", data, "-U", "postgres", "-A", "scram-sha-256", f"--pwfile={secret}",
             "-E", "UTF8", "--locale=C", "--no-sync")  # fmt: skip
        port = _free_port()
        options = (
            f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={home} -c fsync=off "
            "-c max_connections=40"
        )
        _run(folder / "pg_ctl", "-D", data, "-o", options, "-l", home / "log", "-w", "-t", "60", "start")
        try:
            yield Server(port)
        finally:
            _run(folder / "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _run(*arguments: object) -> None:
    account = _account()
    demotion = {} if account is None else {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    subprocess.run([str(a) for a in arguments], check=True, stdout=subprocess.DEVNULL, cwd="/", **demotion)  # type: ignore[call-overload]


def _account() -> pwd.struct_passwd | None:
    """PostgreSQL refuses to run as root: then it runs as `postgres`."""
    return pwd.getpwnam("postgres") if os.geteuid() == 0 else None


def _own(path: Path) -> None:
    account = _account()
    if account is not None:
        os.chown(path, account.pw_uid, account.pw_gid)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
