"""A lease that expires: across all hosts, one run at a time writes a collection.

Milvus has no compare-and-set. This is Fischer's algorithm for mutual exclusion by timing
(L. Lamport, "A Fast Mutual Exclusion Algorithm", 1987, section 2): see that the lease is
free, write our name, wait longer than anyone may take between these two steps, and hold
the lease if the name is still ours. A holder that renews it too late notices before its
next write. A lease that a killed run of this machine left behind is free at once. Another
host's lease is free once it has been watched for `DURATION` without a renewal. Clocks that are
wrong, or are set meanwhile, do no harm, because each host measures time by its own monotonic
clock.
"""

from __future__ import annotations

import json
import os
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Protocol

from msgspec import Struct
from msgspec.structs import asdict

from indexer.errors import (
    CodxIndexError,
    LeaseLostError,
    LockedError,
    StoreUnavailableError,
)

DURATION = 60.0  # seconds; a run that dies keeps other hosts out for this long
RENEWAL = 15.0  # seconds
SETTLE = 0.5  # seconds between writing our name and believing it
MAX_TRIES = 10  # times that writing our name may take too long, or not show
PATIENCE = 10.0  # seconds to wait at the end for a renewal that is under way
POLL = 0.5  # seconds between two looks at a lease of another run
SKEW = 10.0  # seconds by which clocks differ if all is well


class _Holder(Struct, frozen=True):
    """Who has the lease, and until when by the holder's wall clock, in seconds.

    `machine` tells whether the process would be found on this machine, and `started` whether a process
    with this `pid` is the same one.
    """

    name: str
    host: str
    machine: str
    pid: int
    started: str
    expires: float

    @property
    def is_dead(self) -> bool:
        """Whether its process ended, on this machine."""
        return self.machine == machine() != "" and started(self.pid) != self.started

    @property
    def is_doubtful(self) -> bool:
        """Whether no lease could expire then by our clock: the holder died, or a clock is wrong."""
        return not 0 <= self.expires - time.time() <= DURATION + SKEW


class _Watch:
    """The lease of another run, as we see it change; `is_renewed` tells whether it did."""

    def __init__(self) -> None:
        self._text = ""
        self._since = 0.0
        self.is_renewed = False

    def has_run_out(self, text: str) -> bool:
        """Whether this text has been on the board for so long that its holder has given up."""
        now = time.monotonic()
        if text != self._text:
            self.is_renewed = self._text != ""
            self._text, self._since = text, now
        return now - self._since > DURATION


class Board(Protocol):
    """Where the lease is written: a text that all hosts read and write."""

    def read(self) -> str:
        """The text, "" if there is none."""

    def write(self, text: str) -> None:
        """Replace the text."""


class Lease:
    """The lease on a board; `hold` takes it.

    `was_taken_over` tells whether its last holder failed to give it back.
    """

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

        Raises `LockedError` if another run still has it at `deadline` (monotonic clock). If
        it is in doubt whether there is such a run, the lease is watched all the same.
        """
        self._acquire(deadline)
        renewing = threading.Thread(target=self._renew, daemon=True)
        renewing.start()
        try:
            yield
        finally:
            self._ended.set()
            renewing.join(PATIENCE)  # it may be in a call that nobody answers
            if not self._problem and time.monotonic() < self._until:
                with suppress(CodxIndexError):  # it expires by itself
                    self._board.write("")

    def until(self) -> float:
        """When the lease expires if nothing renews it (monotonic clock)."""
        return self._until

    def check(self) -> None:
        """Raise `LeaseLostError` if the lease is lost. To be called before each write."""
        if self._problem or time.monotonic() > self._until:
            raise LeaseLostError(
                self._problem or "the lease of the collection ran out: run again"
            )

    def _acquire(self, deadline: float) -> None:
        slow = lost = 0
        watch = _Watch()
        while True:
            before = time.monotonic()
            text = self._board.read()
            holder = _holder_in(text)
            if holder and holder.name == self._name:
                holder = None  # our own last attempt, which was too slow
            if holder and not (holder.is_dead or watch.has_run_out(text)):
                is_there = watch.is_renewed or not holder.is_doubtful
                if is_there and before > deadline:
                    raise LockedError(
                        "another run writes this collection "
                        f"(pid {holder.pid} on {holder.host})"
                    )
                time.sleep(POLL)
                continue
            self._write()
            self.was_taken_over |= holder is not None
            if time.monotonic() - before > SETTLE:
                slow += 1  # another host may have been faster
                if slow == MAX_TRIES:
                    raise StoreUnavailableError(
                        f"Milvus took longer than {SETTLE:g} s to write the lease of the "
                        f"collection, {slow} times in a row: try again later"
                    )
                continue
            time.sleep(SETTLE)
            holder = self._holder()
            if holder is not None:
                if holder.name == self._name:
                    return
                continue  # another host was as fast
            lost += 1
            if lost == MAX_TRIES:
                raise StoreUnavailableError(
                    "Milvus accepted the lease of the collection but did not return it, "
                    f"{lost} times in a row: try again later"
                )

    def _renew(self) -> None:
        while not self._ended.wait(RENEWAL):
            try:
                if not self._is_ours():
                    self._problem = "another run took over the collection: run again"
                    return
                self.check()  # reading it may have taken long
                self._write()
            except CodxIndexError:
                continue  # the next write fails too, or the lease expires

    def _holder(self) -> _Holder | None:
        return _holder_in(self._board.read())

    def _is_ours(self) -> bool:
        holder = self._holder()
        return holder is not None and holder.name == self._name

    def _write(self) -> None:
        now, pid = time.monotonic(), os.getpid()
        holder = _Holder(
            self._name,
            os.uname().nodename,
            machine(),
            pid,
            started(pid),
            time.time() + DURATION,
        )
        self._board.write(json.dumps(asdict(holder)))
        self._until = now + DURATION


def _holder_in(text: str) -> _Holder | None:
    try:
        found = _Holder(**json.loads(text))
    except (ValueError, TypeError):  # "" too: nobody has it
        return None
    return found if isinstance(found.expires, int | float) else None


def machine() -> str:
    """This boot of this machine and its pid namespace; "" if they are unknown."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return f"{file.read().strip()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def started(pid: int) -> str:
    """When the process started, in clock ticks since boot (proc(5), field 22).

    "" if there is none, or only a zombie.
    """
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
            return "" if fields[0] in "ZX" else fields[19]
    except (OSError, IndexError):
        return ""
