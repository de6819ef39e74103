"""A destination of events: a bounded queue that counts what became of its events."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque

LIMIT = 100_000  # queued events; about 30 MB


class Sink(ABC):
    """Takes events without waiting for anything; a subclass delivers them beside the run.

    One thread at a time puts and counts events, another one delivers and counts them. `name`
    is what the user knows the sink by; `reason` says why the last lost event was lost.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.reason = ""
        self.delivered = 0
        self._offered = 0
        self._refused = 0  # counted by the thread that puts
        self._failed = 0  # counted by the thread that delivers
        self._queue: deque[bytes] = deque()
        self._stopping = False
        self._ended = False

    @property
    def lost(self) -> int:
        """How many events will not be delivered; after the end, how many were not."""
        if self._ended:
            return self._offered - self.delivered
        return self._refused + self._failed

    @property
    def problem(self) -> str:
        """One line about the lost events, or "" if there are none."""
        if not self.lost:
            return ""
        events = "1 event" if self.lost == 1 else f"{self.lost:,} events"
        reason = self.reason or "it did not accept them in time"
        return f"{self.name}: {events} undelivered: {reason}"

    def put(self, event: bytes) -> None:
        """Queue a JSON object; it is dropped and counted if it cannot be delivered."""
        self._offered += 1
        if self._ended or self._stopping or len(self._queue) >= LIMIT:
            self._refused += 1
            return
        self._queue.append(event)
        self._wake()

    def stop(self) -> None:
        """Say that no more events will come: deliver the queued ones, then end."""
        self._stopping = True
        self._wake()

    @abstractmethod
    def join(self, deadline: float) -> None:
        """Wait for the end until `deadline` (monotonic clock, seconds), then give up."""

    @abstractmethod
    def _wake(self) -> None:
        """Tell the delivering side that something is new."""
