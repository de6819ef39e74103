"""How a signal ends a run in order."""

from __future__ import annotations

import os
import signal
import sys
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from indexer.errors import Stopped

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

_HANDLED = ("SIGINT", "SIGTERM", "SIGHUP")


class Signals:
    """The `Interrupts` of a run: the first signal asks it to stop, the second ends it at once.

    `received` is the number of the first signal, 0 until one comes.
    """

    def __init__(self) -> None:
        self.received = 0
        self._deferrals = 0  # several runs may defer at the same time
        self._lock = threading.Lock()

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """A block in which the first signal only sets `received`."""
        with self._lock:
            self._deferrals += 1
        try:
            yield
        finally:
            with self._lock:
                self._deferrals -= 1

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Receive a signal. Raises `Stopped` for the first one outside of `deferred`."""
        if self.received:
            # The manifest is dirty, so the next run reads the rows and repairs them.
            # Workers end with this process.
            os._exit(128 + number)
        self.received = number
        if not self._deferrals:
            raise Stopped(number)
        # The terminal may be gone, or the signal may have come in the middle of a print.
        with suppress(OSError, RuntimeError):
            sys.stderr.write(
                "codx-index: stopping; finished work is kept (interrupt again to stop at "
                "once)\n"
            )


@contextmanager
def handled_signals() -> Iterator[Signals]:
    """A block in which signals are handled; afterwards the earlier handlers are restored."""
    signals = Signals()
    numbers = [getattr(signal, name) for name in _HANDLED if hasattr(signal, name)]
    old = {number: signal.signal(number, signals.handle) for number in numbers}
    try:
        yield signals
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
