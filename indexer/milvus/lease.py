"""One writer per collection of a server, whatever host it is on: a lease that runs out.

Milvus has no compare-and-set. This is Fischer's algorithm for mutual exclusion by timing
(L. Lamport, "A Fast Mutual Exclusion Algorithm", 1987, section 2): see that the lease is
free, write our name, wait for longer than anybody may take between these two, and hold it
if the name is still ours. A holder that is too slow to renew it finds out before it writes.
Hosts must agree on the time to within some ten seconds. What a killed run of this machine
has left is seen at once.
"""

from __future__ import annotations

import json
import os
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from typing import Protocol

from indexer.errors import (
    CodxIndexError,
    LeaseLostError,
    LockedError,
    StoreUnavailableError,
)

DURATION = 60.0  # seconds; a run that dies keeps others out for as long
RENEWAL = 15.0  # seconds
SETTLE = 0.5  # seconds between writing our name and believing it
MAX_SLOW = 10  # writes of our name that took too long
POLL = 0.5  # seconds between two looks at a lease that another run holds


@dataclass(frozen=True, slots=True)
class _Holder:
    """Who has the lease, and until when (wall clock, seconds). `machine` tells whether the
    process can be looked for here, `started` whether a process of that number is the one.
    """

    name: str
    host: str
    machine: str
    pid: int
    started: str
    expires: float

    @property
    def is_gone(self) -> bool:
        """Has the lease run out, or its process ended?"""
        if self.expires < time.time():
            return True
        return self.machine == _machine() != "" and _started(self.pid) != self.started


class Board(Protocol):
    """Where the lease stands: a text that all hosts read and write."""

    def read_lease(self) -> str:
        """The text, "" where there is none."""

    def write_lease(self, text: str) -> None:
        """Replace the text."""


class Lease:
    """Held by `hold`. `was_taken_over`: its last holder did not give it back."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._name = uuid.uuid4().hex
        self._until = 0.0
        self._problem = ""
        self._ended = threading.Event()
        self.was_taken_over = False

    @contextmanager
    def hold(self, deadline: float) -> Iterator[None]:
        """Hold the lease for the length of the block.

        Raises `LockedError` where another run has it until `deadline` (monotonic clock).
        """
        self._acquire(deadline)
        renewing = threading.Thread(target=self._renew, daemon=True)
        renewing.start()
        try:
            yield
        finally:
            self._ended.set()
            renewing.join()
            if not self._problem and time.monotonic() < self._until:
                with suppress(CodxIndexError):  # it runs out by itself
                    self._board.write_lease("")

    def check(self) -> None:
        """To be called before each write; raises `LeaseLostError`."""
        if self._problem or time.monotonic() > self._until:
            raise LeaseLostError(
                self._problem or "the lease of the collection ran out: run again"
            )

    def _acquire(self, deadline: float) -> None:
        slow = 0
        while True:
            before = time.monotonic()
            holder = self._holder()
            if holder and holder.name == self._name:
                holder = None  # our own last try, which was too slow
            if holder and not holder.is_gone:
                if before > deadline:
                    raise LockedError(
                        "another run writes this collection "
                        f"(pid {holder.pid} on {holder.host})"
                    )
                time.sleep(POLL)
                continue
            self._write()
            self.was_taken_over |= holder is not None
            if time.monotonic() - before > SETTLE:
                slow += 1  # too slow to be sure that nobody came between
                if slow == MAX_SLOW:
                    raise StoreUnavailableError(
                        f"Milvus took longer than {SETTLE:g} s to write the lease of the "
                        f"collection, {slow} times in a row: try again later"
                    )
                continue
            time.sleep(SETTLE)
            if self._is_ours():
                return

    def _renew(self) -> None:
        while not self._ended.wait(RENEWAL):
            try:
                if not self._is_ours():
                    self._problem = "another run took over the collection: run again"
                    return
                self._write()
            except CodxIndexError:
                continue  # the next write meets it, or the lease runs out

    def _holder(self) -> _Holder | None:
        try:
            return _Holder(**json.loads(self._board.read_lease()))
        except (ValueError, TypeError):  # also "", which is nobody
            return None

    def _is_ours(self) -> bool:
        holder = self._holder()
        return holder is not None and holder.name == self._name

    def _write(self) -> None:
        now, pid = time.monotonic(), os.getpid()
        holder = _Holder(
            self._name,
            os.uname().nodename,
            _machine(),
            pid,
            _started(pid),
            time.time() + DURATION,
        )
        self._board.write_lease(json.dumps(asdict(holder)))
        self._until = now + DURATION


def _machine() -> str:
    """This boot of this machine and its pid namespace; "" where that cannot be told."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return f"{file.read().strip()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def _started(pid: int) -> str:
    """When the process began, in the kernel's ticks; "" if there is none, or only what its
    parent has not buried yet (proc(5))."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
            return "" if fields[0] in "ZX" else fields[19]
    except (OSError, IndexError):
        return ""
