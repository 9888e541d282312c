"""Progress on standard output: one JSON line at least every ten seconds, human lines beside it."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import TextIO

from retrainer.api.v1alpha1.run_contract import ProgressLine

KEY = "retrainer.progress"
REPEAT_SECONDS = 8.0
"""The last line is repeated after this, so that a reader of the log's tail finds one."""
LEAST_SECONDS_BETWEEN = 1.0
"""More often than this nobody looks."""


class Progress:
    """Prints how far a stage is; a context manager, because a thread repeats the last line."""

    def __init__(
        self,
        out: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
        repeat_seconds: float = REPEAT_SECONDS,
    ) -> None:
        self._out = out or sys.stdout
        self._clock = clock
        self._repeat = repeat_seconds
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._repeat_last, name="progress", daemon=True)
        self._started = clock()
        self._printed_at = float("-inf")
        self._last = ProgressLine(percent=0)

    def __enter__(self) -> Progress:
        self._print(self._last)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def say(self, text: str) -> None:
        """One line for people."""
        with self._lock:
            print(text, file=self._out, flush=True)

    def begin_steps(self) -> None:
        """Start the clock of the estimate anew."""
        self._started = self._clock()

    def report(
        self, percent: float, step: int | None = None, total: int | None = None, loss: float | None = None
    ) -> None:
        """Remember the state and print it, unless a line was printed within the last second; the first step and
        the end are always printed."""
        line = ProgressLine(
            percent=max(0, min(100, int(percent))),
            step=step,
            total_steps=total,
            eta_seconds=self._estimate(step, total),
            loss=None if loss is None else float(f"{loss:.6g}"),
        )
        with self._lock:
            self._last = line
        if step == 1 or percent >= 100 or self._clock() - self._printed_at >= LEAST_SECONDS_BETWEEN:
            self._print(line)

    def _estimate(self, step: int | None, total: int | None) -> int | None:
        if not step or total is None:
            return None
        return int((self._clock() - self._started) / step * (total - step))

    def _print(self, line: ProgressLine) -> None:
        text = json.dumps({KEY: line.model_dump(by_alias=True, exclude_none=True)}, separators=(",", ":"))
        with self._lock:
            self._printed_at = self._clock()
            print(text, file=self._out, flush=True)

    def _repeat_last(self) -> None:
        while not self._stop.wait(self._repeat / 4):
            if self._clock() - self._printed_at >= self._repeat:
                self._print(self._last)
