"""How the MCP server ends when a signal comes, whatever it is doing."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType

PATIENCE = 1.0  # seconds that closing may take

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def end_with_signals(close: Callable[[], None]) -> None:
    """End the process at once when a signal comes that is not ignored.

    An exception cannot end it, because a thread may be blocked in a read that only the client can end.
    What is open was only read, so it is closed only if that is quick.
    """

    def leave(number: int, frame: FrameType | None) -> None:
        for one in numbers:
            signal.signal(one, lambda again, _: os._exit(128 + again))
        close_soon(close)
        os._exit(128 + number)

    numbers = [one for one in _SIGNALS if signal.getsignal(one) != signal.SIG_IGN]
    for number in numbers:
        signal.signal(number, leave)


def close_soon(close: Callable[[], None]) -> bool:
    """Call `close`, but do not wait for a query that takes long. Returns whether it is done."""
    closing = threading.Thread(target=close, daemon=True)
    closing.start()
    closing.join(PATIENCE)
    return not closing.is_alive()
