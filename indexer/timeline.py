"""Where the time of a run goes: a span for each stage and for each task of a worker.

All times are seconds on the monotonic clock, which all processes of a machine share.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import IO

from msgspec import Struct, field
from msgspec.structs import replace


class Span(Struct, frozen=True):
    """What a thread did from `started` to `ended`; `about` holds counts and escaped paths. `host` is
    the name of the machine, "" for this one."""

    name: str
    started: float
    ended: float
    pid: int
    thread: int
    about: Mapping[str, object]
    host: str = ""

    @property
    def seconds(self) -> float:
        """How long it took, in seconds."""
        return self.ended - self.started


class FileTime(Struct, frozen=True):
    """The seconds that workers spent on a file of `size` bytes: `chunk` and `embed`.

    If it was embedded in a batch with others, its share of the time is that of its tokens.
    """

    path: str
    size: int
    chunks: int
    chunk: float
    embed: float

    @property
    def seconds(self) -> float:
        """The seconds of both."""
        return self.chunk + self.embed


class Spans(Struct):
    """The spans of one process, in the order in which they ended."""

    found: list[Span] = field(default_factory=list)

    @contextmanager
    def span(self, name: str, **about: object) -> Iterator[dict[str, object]]:
        """A block that is one span; what it puts into the yielded dict becomes `about`."""
        started = time.monotonic()
        try:
            yield about
        finally:
            ended = time.monotonic()
            self.found.append(
                Span(name, started, ended, os.getpid(), threading.get_ident(), about)
            )

    def begin(self, name: str) -> None:
        """Add a span that began with this process and ends now."""
        now = time.monotonic()
        self.found.append(
            Span(name, now - process_age(), now, os.getpid(), threading.get_ident(), {})
        )

    def take(self) -> list[Span]:
        """Remove the spans so far and return them."""
        found, self.found = self.found, []
        return found


def moved(span: Span, host: str, seconds: float) -> Span:
    """The span of another `host`, whose monotonic clock is so many seconds behind ours."""
    return replace(
        span, started=span.started + seconds, ended=span.ended + seconds, host=host
    )


def process_age() -> float:
    """Seconds since this process was started, to about 10 ms; 0 if that is unknown.

    On Linux the start is field 22 of /proc/self/stat, in clock ticks since the boot: proc(5).
    """
    try:
        with open("/proc/self/stat", encoding="ascii", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
        ticks = int(fields[19])
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError, AttributeError):
        return 0.0
    return max(age, 0.0)


def write_trace(file: IO[str], spans: Iterable[Span], workers: str) -> None:
    """Write spans in the Chrome trace format, which Perfetto opens.

    Each process has a row. All but this one are called `workers` and numbered, and those of a
    cluster have the name of their host. Source: "Trace Event Format" of the Chromium project,
    complete events ("X"), times in µs.
    """
    found = sorted(spans, key=lambda span: span.started)
    zero = found[0].started if found else 0.0
    me = ("", os.getpid())
    processes = dict.fromkeys([me, *((span.host, span.pid) for span in found)])
    rows: dict[tuple[str, int], int] = {}
    events: list[dict[str, object]] = []
    for number, process in enumerate(processes):
        host, pid = process
        # Two hosts may have the same one.
        rows[process] = pid if not host else -number
        name = f"{workers} {number}" if number else "codx-index"
        name += f" on {host}" if host else ""
        events += [
            _metadata("process_name", rows[process], {"name": name}),
            _metadata("process_sort_index", rows[process], {"sort_index": number}),
        ]
    for span in found:
        process = span.host, span.pid
        events.append(
            {
                "name": span.name,
                "cat": "worker" if process != me else "run",
                "ph": "X",
                "ts": round((span.started - zero) * 1e6),
                "dur": round(span.seconds * 1e6),
                "pid": rows[process],
                "tid": span.thread,
                "args": dict(span.about),
            }
        )
    json.dump({"traceEvents": events, "displayTimeUnit": "ms"}, file)


def _metadata(name: str, pid: int, about: dict[str, object]) -> dict[str, object]:
    return {"name": name, "ph": "M", "pid": pid, "args": about}
