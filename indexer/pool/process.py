"""How this program starts Python processes of its own."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing.context import SpawnContext, SpawnProcess
from typing import Any, TypeVar


def spawn_context() -> SpawnContext:
    """A context whose processes import nothing from the current folder.

    A spawned process begins as `python -c …`, which would look there first: a project
    with a `subprocess.py` would break the pool, and a hostile one run its code.
    Spawned, not forked: a fork after torch or gRPC has started threads hangs, and would
    hold the database's lock for good.
    """
    os.environ["PYTHONSAFEPATH"] = "1"
    return SpawnContext()


class RecordingContext(SpawnContext):
    """Such a context that knows the processes which were started with it."""

    def __init__(self) -> None:
        spawn_context()
        self._processes: list[SpawnProcess] = []

    def Process(self, *args: Any, **kwargs: Any) -> SpawnProcess:  # type: ignore[override]  # noqa: N802
        """A process that is remembered."""
        process = SpawnProcess(*args, **kwargs)
        self._processes.append(process)
        return process

    def exit_code(self, pid: int) -> int | None:
        """How the process ended, -n by signal n; None where that is not known."""
        codes = (p.exitcode for p in reversed(self._processes) if p.pid == pid)
        return next(codes, None)

    def has_lost_a_process(self) -> bool:
        """Whether one that was started has ended."""
        return any(process.exitcode is not None for process in self._processes)

    def kill_all(self) -> None:
        """SIGKILL to each process that is still there."""
        for process in self._processes:
            if process.is_alive():
                process.kill()


T = TypeVar("T")


_PR_SET_PDEATHSIG = 1  # prctl(2)


Slots = Any
"""A shared array of doubles, two a task in flight: since when a worker is at it (seconds
of the monotonic clock, which all processes share; 0 while none is), and that worker's pid."""


_slots: Slots = None


def run_task(slot: int, call: Callable[[], T]) -> T:
    """Run a task, and say meanwhile that it is this process that has it."""
    _slots[2 * slot + 1] = os.getpid()
    _slots[2 * slot] = time.monotonic()
    try:
        return call()
    finally:
        _slots[2 * slot] = 0


def become_worker(slots: Slots) -> None:
    """Make this process one of a pool: the parent answers ctrl-C, and the parent's death
    ends it."""
    global _slots
    _slots = slots
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_die_with_parent, daemon=True).start()
    _die_by_kernel()


def _die_with_parent() -> None:
    import multiprocessing
    from multiprocessing.connection import wait

    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _die_by_kernel() -> None:
    """Let Linux end this process with the parent's: a thread of Python's does not get its
    turn while a hanging grammar has the interpreter."""
    import ctypes

    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
