"""The time that a run may take."""

from __future__ import annotations

import time

from indexer.timeline import process_age

DRAIN_SECONDS = (
    1.5  # that the tasks in flight are given to end: they are half a second each
)
MAX_DRAIN_SHARE = 0.25  # of a small budget


class Budget:
    """`seconds` from the start of this process; 0: no limit.

    Some time before the end no more work is taken, so that what was begun is not lost.
    """

    def __init__(self, seconds: float) -> None:
        end = time.monotonic() - process_age() + seconds
        drain = min(DRAIN_SECONDS, seconds * MAX_DRAIN_SHARE)
        self._end = end if seconds else float("inf")
        self._close = end - drain if seconds else float("inf")

    @property
    def is_closing(self) -> bool:
        """Is it too late to begin anything?"""
        return time.monotonic() >= self._close

    @property
    def is_spent(self) -> bool:
        """Is it too late to wait for what has begun?"""
        return time.monotonic() >= self._end
