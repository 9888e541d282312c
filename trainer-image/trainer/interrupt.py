"""SIGTERM: remembered by the handler, honoured where the work can stop cleanly."""

from __future__ import annotations

import signal
import threading

from trainer.errors import Interrupted


class Interrupt:
    """Whether the stage was asked to stop."""

    def __init__(self) -> None:
        self._asked = threading.Event()

    def ask(self) -> None:
        """Ask the stage to stop at its next opportunity."""
        self._asked.set()

    @property
    def asked(self) -> bool:
        return self._asked.is_set()

    def check(self) -> None:
        """Raise Interrupted if the stage was asked to stop."""
        if self.asked:
            raise Interrupted("stopped by SIGTERM; the next attempt continues")

    def listen(self) -> None:
        """Install the handler; only the main thread may."""
        signal.signal(signal.SIGTERM, lambda *_: self.ask())
