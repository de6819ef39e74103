"""How long a run may take."""

from __future__ import annotations

import time

from indexer.timeline import process_age

# A run may end up to 2 seconds late. Most of them go to the work in flight, which would be
# lost otherwise, and the rest to the last commit and the flush.
CLOSING_SECONDS = 0.2
DRAIN_SECONDS = 0.7
LISTING_SECONDS = 1.5


class Budget:
    """A budget of `seconds` from the start of this process; 0 means no limit.

    However long it took to find out what there is to do, `least` seconds are left for that if it is
    little: on a busy machine it is done all the same.
    """

    def __init__(self, seconds: float, least: float = 0) -> None:
        end = time.monotonic() - process_age() + seconds
        self._end = end if seconds else float("inf")
        self._least = least

    def begin_small_work(self) -> None:
        """Say that it is known what there is to do, and that it is little."""
        self._end = max(self._end, time.monotonic() + CLOSING_SECONDS + self._least)

    @property
    def seconds_to_list(self) -> float:
        """Seconds until listing the tree is given up, after which nothing is left to do."""
        return self._end + max(LISTING_SECONDS, self._least) - time.monotonic()

    @property
    def seconds_left(self) -> float:
        """Seconds until it is too late to begin anything; infinite without a limit."""
        return self._end - CLOSING_SECONDS - time.monotonic()

    @property
    def is_closing(self) -> bool:
        """Whether it is too late to begin anything."""
        return self.seconds_left <= 0

    @property
    def is_spent(self) -> bool:
        """Whether it is too late to wait for what has begun."""
        return time.monotonic() >= self._end + DRAIN_SECONDS
