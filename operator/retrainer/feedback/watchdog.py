"""A hard time limit for conversations over a socket."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from typing import Protocol


class HasDescriptor(Protocol):
    """A socket, or a connection over one."""

    def fileno(self) -> int: ...


class Watchdog:
    """Shuts a socket down under the thread that waits for it, `seconds` after the last `restart`.

    Time-outs of sockets alone are no limit: a server that sends a byte now and then is never late.
    """

    def __init__(self, connection: HasDescriptor, seconds: float) -> None:
        self._descriptor = os.dup(connection.fileno())
        self._seconds = seconds
        self._timer: threading.Timer | None = None
        self.fired = False
        self.restart()

    def restart(self) -> None:
        """Count from now."""
        self._cancel()
        self._timer = threading.Timer(self._seconds, self._fire)
        self._timer.daemon = True
        self._timer.start()

    def stop(self) -> None:
        self._cancel()
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer.join()
            self._timer = None

    def _fire(self) -> None:
        self.fired = True
        # An error means that it is gone already: then the waiting thread has noticed.
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(self._descriptor)) as other_end:
            other_end.shutdown(socket.SHUT_RDWR)
