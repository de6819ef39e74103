"""What a run does, told to others while it does it: events, as `schema.json` has them."""

from __future__ import annotations

import fcntl
import json
import os
import threading
import time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime

from indexer.errors import UsageError
from indexer.hooks.loop import HookLoop
from indexer.hooks.sink import Sink
from indexer.hooks.stream import StreamSink, descriptor_of
from indexer.hooks.webhook import WebhookSink, public_part
from indexer.types import EventCounts

VERSION = 1  # of the events
PATIENCE = 5.0  # seconds that a run waits at its end for what is queued


class Events:
    """Tells what a run does to a stream of JSON Lines and to a webhook.

    `stream` and `webhook` are as `check_stream` and `check_webhook` let them pass, or ""
    for none. Whatever happens to them, the run neither fails nor waits: what cannot be
    delivered is dropped, and counted in `counts`. `problems` has, after `close`, a line for
    each of them that has missed some; no user, password, path or query of a URL is in it.
    """

    def __init__(
        self,
        stream: str,
        webhook: str,
        secret: str,
        loop: HookLoop,
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
        """Queue an event with what there is to say of it, as JSON-ready values.

        Never waits for a delivery, never fails, and may be called by any thread; the events
        of a stream are in the order of their `seq`. Without a place to tell it does nothing.
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
        """Wait, `patience` seconds at most, for what is queued; the rest is undelivered."""
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


def check_stream(stream: str) -> str:
    """`-` (stdout), `fd:N` for a descriptor that is open for writing, else a path: returned
    as given. Whether the path can be written shows when it is. Raises `UsageError`."""
    descriptor = descriptor_of(stream)
    if descriptor is not None:
        _check_descriptor(stream, descriptor)
    elif not stream or "\0" in stream:
        raise UsageError("events go to a file, to - or to fd:N")
    elif stream.startswith("fd:"):
        raise UsageError(f"{stream!r} is no fd:N; a file of that name is ./{stream}")
    return stream


def _check_descriptor(stream: str, descriptor: int) -> None:
    if descriptor == 0:
        raise UsageError("events cannot go to fd:0, which is the standard input")
    try:
        mode = fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE
    except OSError as error:
        raise UsageError(f"events cannot go to {stream}: it is not open") from error
    if mode == os.O_RDONLY:
        raise UsageError(f"events cannot go to {stream}: it is open for reading only")


def check_webhook(url: str) -> str:
    """An http or https URL with a host, returned as given. Raises `UsageError`, which
    repeats nothing of it."""
    import httpx2

    try:
        parts = httpx2.URL(url)
        public_part(url)
    except (httpx2.InvalidURL, ValueError):
        raise UsageError("the webhook is no valid URL") from None
    if parts.scheme not in ("http", "https") or not parts.host or "%" in parts.host:
        raise UsageError("the webhook must be an http or https URL with a host")
    if parts.port is not None and not 0 < parts.port < 1 << 16:
        raise UsageError("the webhook has a port that does not exist")
    return url
