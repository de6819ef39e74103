"""How a signal ends a run in order."""

from __future__ import annotations

import os
import signal
import sys
import threading
from contextlib import contextmanager, suppress
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any

from indexer.errors import Stopped

if TYPE_CHECKING:
    from collections.abc import Iterator


class Signals:
    """The `Interrupts` of a run at a terminal: the first signal is a polite request to
    stop, the second an end."""

    _handled = ("SIGINT", "SIGTERM", "SIGHUP")

    def __init__(self) -> None:
        self.received = 0
        self._deferrals = 0  # of several runs at once
        self._lock = threading.Lock()
        self._old: dict[int, Any] = {}

    @contextmanager
    def deferred(self) -> Iterator[None]:
        with self._lock:
            self._deferrals += 1
        try:
            yield
        finally:
            with self._lock:
                self._deferrals -= 1

    def __enter__(self) -> Signals:
        for name in self._handled:
            if number := getattr(signal, name, None):
                self._old[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._old.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.received:
            # The manifest is dirty, so the next run reads the rows and repairs. Workers
            # end with this process.
            os._exit(128 + number)
        self.received = number
        if not self._deferrals:
            raise Stopped(number)
        with suppress(OSError, RuntimeError):  # the terminal is gone, or was in a print
            sys.stderr.write(
                "codx-index: stopping; what is done is kept (once more: stop at once)\n"
            )
