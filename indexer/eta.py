"""The time that a run will still take, told from what it has done so far."""

from __future__ import annotations

from collections import deque

WINDOW = 0.5  # of the work done: what is older says little of what comes


class Estimate:
    """`total` is the work, in bytes. Times are seconds of any clock that goes forward.

    The rate is that of the latest part of the work, for files differ: the largest come first,
    and what the cache knows takes next to nothing.
    """

    def __init__(self, total: float, now: float) -> None:
        self._total = total
        self._points: deque[tuple[float, float]] = deque([(now, 0.0)])

    def advance(self, size: float, now: float) -> None:
        """So much more is done."""
        done = self._points[-1][1] + size
        if self._points[-1][0] == now:
            self._points.pop()
        self._points.append((now, done))
        while len(self._points) > 2 and self._points[1][1] <= done * WINDOW:
            self._points.popleft()

    @property
    def done(self) -> float:
        """The work that is done, in bytes."""
        return self._points[-1][1]

    def remaining(self, now: float) -> float | None:
        """Seconds to the end; None while nothing is known."""
        since, before = self._points[0]
        latest, done = self._points[-1]
        if done <= before or latest <= since:
            return None
        left = max(self._total - done, 0) * (latest - since) / (done - before)
        return max(left - (now - latest), 0.0)
