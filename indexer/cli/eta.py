"""The time that a run will still take, estimated from what it has done so far."""

from __future__ import annotations

from collections import deque

FORGOTTEN = 0.5  # of the work done: the start is slow until all workers have started


class Estimate:
    """Estimates the seconds that are left of `total` bytes of source.

    Source that was looked at is either *known* (unchanged, or all of it in the cache), which
    takes next to no time, or *found* to need embedding. Source that was not looked at yet is
    assumed to have the same mixture. `now` is the time of any clock that only goes forward.
    """

    def __init__(self, total: float, now: float) -> None:
        self._total = total
        self._start = now
        self._known = self._found = 0.0
        self._points: deque[tuple[float, float]] = deque([(now, 0.0)])

    def advance(
        self, now: float, *, known: float = 0, found: float = 0, embedded: float = 0
    ) -> None:
        """Add bytes that are known, that were found, and that were embedded of those found."""
        self._known += known
        self._found += found
        before, done = self._points[-1]
        done += embedded
        if before == now:
            self._points.pop()
        self._points.append((now, done))
        while len(self._points) > 2 and self._points[1][1] <= done * FORGOTTEN:
            self._points.popleft()

    @property
    def done(self) -> float:
        """The bytes that need no more work."""
        return self._known + self._points[-1][1]

    def remaining(self, now: float) -> float | None:
        """Seconds to the end; None while there is nothing to estimate from."""
        seen = self._known + self._found
        unseen = max(self._total - seen, 0)
        since, before = self._points[0]
        latest, done = self._points[-1]
        if seen and not self._found:
            return unseen * (now - self._start) / seen
        if done <= before or latest <= since:
            return None
        left = self._found - done + unseen * self._found / seen
        seconds = left * (latest - since) / (done - before)
        return max(seconds - (now - latest), 0.0)
