"""The time that a run will still take, told from what it has done so far."""

from __future__ import annotations

from collections import deque

FORGOTTEN = 0.5  # of the work done: the start is slow, until all workers are there


class Estimate:
    """`total` is the source that may have to be embedded, in bytes; times are seconds of any
    clock that goes forward.

    Of what was looked at, some is *known* (unchanged, or all in the cache) and takes next to
    nothing, and some was *found* to be embedded. What was not looked at yet is taken to be
    of the same mixture.
    """

    def __init__(self, total: float, now: float) -> None:
        self._total = total
        self._start = now
        self._known = self._found = 0.0
        self._points: deque[tuple[float, float]] = deque([(now, 0.0)])

    def advance(
        self, now: float, *, known: float = 0, found: float = 0, embedded: float = 0
    ) -> None:
        """So many more bytes are known, found, or embedded of those that were found."""
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
        """The bytes that need nothing more."""
        return self._known + self._points[-1][1]

    def remaining(self, now: float) -> float | None:
        """Seconds to the end; None while nothing is known."""
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
