"""A throw-away Prometheus for tests that scrapes throw-away exporters every second; loopback only."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

HINT = "Prometheus is missing; on Debian and Ubuntu: apt-get install prometheus"
_EXPORTER = Path(__file__).with_name("prometheus_exporter.py")


def program() -> str:
    """Prometheus's server program. Raises RuntimeError with what to install."""
    found = shutil.which("prometheus")
    if found is None:
        raise RuntimeError(HINT)
    return found


def until(condition: Callable[[], Any], what: str, seconds: float = 30.0) -> Any:
    """The first true value of the condition; raises AssertionError naming `what` when it does not come."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            value = condition()
        except OSError:
            value = None
        if value:
            return value
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds:.0f} s: {what}")


class Exporter:
    """A process of an application, at a port of its own."""

    def __init__(self) -> None:
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def is_running(self) -> bool:
        return self._process is not None

    def start(self) -> None:
        self._process = subprocess.Popen([sys.executable, str(_EXPORTER), str(self.port)])
        until(lambda: self._post({}), "the exporter answers")

    def rise(self, rises: dict[str, int]) -> None:
        """Let the counters of these series rise."""
        assert self._post(rises)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _post(self, rises: dict[str, int]) -> bool:
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/add", data=json.dumps(rises).encode())
        with urllib.request.urlopen(request, timeout=5) as answer:
            return bool(answer.status == 200)


class Prometheus:
    """The server, which can be killed and started again over the same data, or over none."""

    def __init__(self, folder: Path, exporters: Sequence[Exporter]) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        targets = ", ".join(f'"127.0.0.1:{e.port}"' for e in exporters)
        (folder / "prometheus.yml").write_text(
            "global: {scrape_interval: 1s, scrape_timeout: 1s}\n"
            f"scrape_configs: [{{job_name: app, static_configs: [{{targets: [{targets}]}}]}}]\n"
        )

    @property
    def is_running(self) -> bool:
        return self._process is not None

    def start(self, *, forgetful: bool = False) -> None:
        """Returns when it answers; `forgetful` lets it lose its data first."""
        data = self._folder / "data"
        if forgetful:
            shutil.rmtree(data, ignore_errors=True)
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [program(), f"--config.file={self._folder / 'prometheus.yml'}", f"--storage.tsdb.path={data}",
                 f"--web.listen-address=127.0.0.1:{self.port}"], stdout=log, stderr=log,
            )  # fmt: skip
        until(lambda: self._get("/-/ready") is not None, "Prometheus is ready")

    def kill(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def value(self, series: str) -> float | None:
        """What it last scraped of one series."""
        answer = self._get(f"/api/v1/query?{urlencode({'query': series})}")
        found = json.loads(answer or b"{}").get("data", {}).get("result", [])
        return float(found[0]["value"][1]) if found else None

    def shows(self, series: str, value: float) -> None:
        """Returns when the series was scraped with this value."""
        until(lambda: self.value(series) == value, f"{series} is {value}")

    def _get(self, path: str) -> bytes | None:
        with urllib.request.urlopen(self.url + path, timeout=5) as answer:
            return bytes(answer.read())


@contextmanager
def running_prometheus(folder: Path, number: int) -> Iterator[tuple[Prometheus, list[Exporter]]]:
    """Prometheus and so many exporters, all gone afterwards."""
    exporters = [Exporter() for _ in range(number)]
    prometheus = Prometheus(folder, exporters)
    with ExitStack() as stack:
        for exporter in exporters:
            stack.callback(exporter.stop)
            exporter.start()
        stack.callback(prometheus.kill)
        prometheus.start()
        yield prometheus, exporters


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
