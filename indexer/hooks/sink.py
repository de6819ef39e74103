"""A place that events go to: a bounded queue, and what became of what was put into it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque

LIMIT = 100_000  # events that may wait; some 30 MB of them


class Sink(ABC):
    """Takes events without waiting for anything; a subclass delivers them beside the run.

    Each event is put and counted by one thread at a time, delivered and counted by another.
    `name` is what a user knows it by, `reason` why the last that was lost was lost.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.reason = ""
        self.delivered = 0
        self._offered = 0
        self._refused = 0  # counted by who puts
        self._failed = 0  # counted by who delivers
        self._queue: deque[bytes] = deque()
        self._stopping = False
        self._ended = False

    @property
    def lost(self) -> int:
        """Events that will not be delivered; after the end, all that were not."""
        if self._ended:
            return self._offered - self.delivered
        return self._refused + self._failed

    @property
    def problem(self) -> str:
        """One line about what was lost, "" where nothing was."""
        if not self.lost:
            return ""
        events = "1 event" if self.lost == 1 else f"{self.lost:,} events"
        reason = self.reason or "it did not take them in time"
        return f"{self.name}: {events} undelivered: {reason}"

    def put(self, event: bytes) -> None:
        """Queue a JSON object; dropped and counted where it cannot be delivered."""
        self._offered += 1
        if self._ended or self._stopping or len(self._queue) >= LIMIT:
            self._refused += 1
            return
        self._queue.append(event)
        self._wake()

    def stop(self) -> None:
        """Nothing more will come: deliver what is queued, and end."""
        self._stopping = True
        self._wake()

    @abstractmethod
    def join(self, deadline: float) -> None:
        """Wait for the end, until `deadline` (monotonic clock) at most; then give up."""

    @abstractmethod
    def _wake(self) -> None:
        """Tell who delivers that there is something new."""
