"""The time that a run may take."""

from __future__ import annotations

import time

from indexer.timeline import process_age

# A run may end up to 2 seconds late. What is in flight at its end gets most of them, for it
# would be lost otherwise; the rest is for the last commit and the flush.
CLOSING_SECONDS = 0.2
DRAIN_SECONDS = 0.7


class Budget:
    """`seconds` from the start of this process; 0: no limit."""

    def __init__(self, seconds: float) -> None:
        end = time.monotonic() - process_age() + seconds
        self._end = end if seconds else float("inf")

    @property
    def seconds_left(self) -> float:
        """Until it is too late to begin anything; infinite without a limit."""
        return self._end - CLOSING_SECONDS - time.monotonic()

    @property
    def is_closing(self) -> bool:
        """Is it too late to begin anything?"""
        return self.seconds_left <= 0

    @property
    def is_spent(self) -> bool:
        """Is it too late to wait for what has begun?"""
        return time.monotonic() >= self._end + DRAIN_SECONDS
