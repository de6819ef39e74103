"""Until when the work under way is waited for."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from indexer.errors import OutOfTimeError

_deadline = ContextVar("deadline", default=math.inf)


@contextmanager
def ends_by(deadline: float) -> Iterator[None]:
    """A block in which this thread waits for nothing past `deadline` (monotonic clock).

    An earlier deadline around the block still counts.
    """
    token = _deadline.set(min(deadline, _deadline.get()))
    try:
        yield
    finally:
        _deadline.reset(token)


def seconds_left() -> float:
    """Seconds until the deadline, infinite without one."""
    return _deadline.get() - time.monotonic()


def check_time() -> None:
    """Raise `OutOfTimeError` if the deadline has passed."""
    if seconds_left() <= 0:
        raise OutOfTimeError(
            "time ran out before the tree was scanned: allow more with --max-seconds"
        )
