"""Events: what a run does, told to others as it happens. `schema.json` describes them."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime

from indexer.hooks.sink import Sink
from indexer.hooks.stream import StreamSink
from indexer.hooks.webhook import WebhookSink
from indexer.loop import LoopThread
from indexer.report import EventCounts

VERSION = 1  # of the event format
PATIENCE = 5.0  # seconds that `close` waits for queued events


class Events:
    """Reports what a run does to a stream of JSON Lines and to a webhook.

    `stream` and `webhook` have passed `check_stream` and `check_webhook`, or are "" for none.
    Whatever happens to them, the run neither fails nor waits: an event that cannot be
    delivered is dropped and counted in `counts`. After `close`, `problems` holds one line for
    each of the two that missed events; it shows no user, password, path or query of a URL.
    """

    def __init__(
        self,
        stream: str,
        webhook: str,
        secret: str,
        loop: LoopThread,
        *,
        patience: float = PATIENCE,
    ) -> None:
        self.counts = EventCounts()
        self.problems: list[str] = []
        self._run = uuid.uuid4().hex
        self._patience = patience
        self._lock = threading.Lock()
        self._sinks: list[Sink] = []
        if stream:
            self._sinks.append(StreamSink(stream))
        if webhook:
            self._sinks.append(WebhookSink(webhook, secret, self._run, loop))

    def emit(self, event: str, about: Mapping[str, object]) -> None:
        """Queue an event; `about` holds its fields as JSON-ready values.

        Never waits for a delivery, never fails, and may be called from any thread. A stream
        gets its events in the order of their `seq`. Does nothing if nobody is listening.
        """
        if not self._sinks:
            return
        with self._lock:
            head = {
                "event": event,
                "version": VERSION,
                "run": self._run,
                "seq": self.counts.emitted,
                "time": _now(),
            }
            self.counts.emitted += 1
            line = json.dumps({**head, **about}, default=str).encode()
            for sink in self._sinks:
                sink.put(line)
            self._count()

    def close(self) -> None:
        """Wait at most `patience` seconds for queued events; the rest stays undelivered."""
        deadline = time.monotonic() + self._patience
        for sink in self._sinks:
            sink.stop()
        for sink in self._sinks:
            sink.join(deadline)
        with self._lock:
            self._count()
            self.problems = [sink.problem for sink in self._sinks if sink.problem]

    def _count(self) -> None:
        self.counts.undelivered = sum(sink.lost for sink in self._sinks)


def _now() -> str:
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    return now.replace("+00:00", "Z")
