"""The time that a run will still take, estimated from what it has done so far."""

from __future__ import annotations

from collections import deque

from indexer.cli.mixture import Mixture
from indexer.types import Step

# What reading, chunking and writing a byte costs, in tokens to embed: as measured on the
# standard library of Python, where a byte has 0.3 tokens.
TOKENS_A_BYTE = 0.03
# The rate is that of the latest part of the work, so that it follows a machine that gets busy.
# Vectors come in batches, so a part of a few seconds has no rate.
LATEST, LATEST_S = 0.6, (15.0, 300.0)
# Nothing is said before so much of the work was measured, or for so long.
LEAST_WORK, LEAST_S, ENOUGH_S = 0.03, 2.0, 20.0
_EACH_S = 0.05  # points that are nearer to each other are one


class Estimate:
    """Estimates the seconds that are left of `total` bytes of source.

    The unit of work is a token to embed. How many there are is known of the source that was
    looked at. The rest is assumed to be of the same kind as what was looked at lately.
    `now` is the time of any clock that only goes forward.
    """

    def __init__(self, total: float, now: float) -> None:
        self._total = total
        self._latest = now
        self._start = now, 0.0  # of what is measured
        self._seen = 0.0  # bytes
        self._found = self._embedded = 0.0  # tokens
        self._mixture = Mixture()
        self._points: deque[tuple[float, float]] = deque([(now, 0.0)])

    def advance(self, now: float, step: Step) -> None:
        """Add what a step found, and what it embedded."""
        seen = step.known + step.found
        is_start = not self._embedded and bool(self._found)
        self._seen += seen
        self._found += step.found_tokens
        self._embedded += step.embedded_tokens
        if seen:
            self._mixture.add(seen, step.found_tokens)
        if not seen and not step.embedded_tokens:
            return
        self._latest = now
        done = self._done
        if is_start or (self._found and not self._embedded):
            # The workers still load their model, which says nothing about their rate.
            self._start = now, done
            self._points.clear()
        elif len(self._points) > 1 and now - self._points[-2][0] < _EACH_S:
            self._points.pop()
        self._points.append((now, done))
        while len(self._points) > 2 and self._is_past(now, done):
            self._points.popleft()

    def _is_past(self, now: float, done: float) -> bool:
        """Whether the oldest point is not needed for the rate of the latest work."""
        then, before = self._points[1]
        least, most = LATEST_S
        is_old = before <= done * (1 - LATEST) and then <= now - least
        return is_old or then <= now - most

    @property
    def _is_enough(self) -> bool:
        """Whether so much was measured that an estimate is worth saying."""
        start, before = self._start
        seconds, work = self._latest - start, self._done - before
        is_much = work >= LEAST_WORK * (self._done + self._left)
        return seconds >= (LEAST_S if is_much else ENOUGH_S)

    @property
    def _done(self) -> float:
        return self._embedded + TOKENS_A_BYTE * self._seen

    @property
    def _left(self) -> float:
        unseen = max(self._total - self._seen, 0)
        return max(self._found - self._embedded, 0) + unseen * (
            TOKENS_A_BYTE + self._mixture.recent
        )

    def remaining(self, now: float) -> float | None:
        """Seconds to the end; None as long as an estimate would be a guess."""
        since, before = self._points[0]
        seconds, work = self._latest - since, self._done - before
        if seconds <= 0 or work <= 0 or not self._is_enough:
            return None
        return max(self._left * seconds / work - (now - self._latest), 0.0)
