"""Python processes of this program: how they are started, and what a worker does in one."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing.context import SpawnContext, SpawnProcess
from multiprocessing.queues import SimpleQueue
from typing import Any, TypeVar

from indexer.environment import claim_process, set_for_libraries

T = TypeVar("T")


def spawn_context() -> SpawnContext:
    """A context whose processes import nothing from the current folder.

    A spawned process begins as `python -c …`, which would look there first: a project with a
    `subprocess.py` would break the pool, and a hostile one would run its code. Processes are
    spawned and not forked, because a fork hangs after torch or gRPC has started threads, and
    would hold the database's lock for good.
    """
    set_for_libraries("PYTHONSAFEPATH", "1")
    return SpawnContext()


class RecordingContext(SpawnContext):
    """A `spawn_context` that remembers the processes it started, and the queues it made."""

    def __init__(self) -> None:
        spawn_context()
        self._processes: list[SpawnProcess] = []
        self._queues: list[SimpleQueue[Any]] = []

    def Process(self, *args: Any, **kwargs: Any) -> SpawnProcess:  # type: ignore[override]  # noqa: N802
        """Make a process that is remembered."""
        process = SpawnProcess(*args, **kwargs)
        self._processes.append(process)
        return process

    def SimpleQueue(self) -> SimpleQueue[Any]:  # noqa: N802
        """Make the queue of a pool's results."""
        made: SimpleQueue[Any] = super().SimpleQueue()
        self._queues.append(made)
        return made

    def exit_code(self, pid: int) -> int | None:
        """How the process ended, -n by signal n; None where that is not known."""
        codes = (p.exitcode for p in reversed(self._processes) if p.pid == pid)
        return next(codes, None)

    def has_lost_a_process(self) -> bool:
        """Whether a process that was started has ended."""
        return any(process.exitcode is not None for process in self._processes)

    def kill_all(self) -> None:
        """Send SIGKILL to each process that is still alive, and end the queues.

        Who dies while it sends a result leaves a part of it in the pipe. CPython's pool waits for
        the rest, for ever if anybody can still write it: this process could.
        """
        for process in self._processes:
            if process.is_alive():
                process.kill()
        for results in self._queues:
            results._writer.close()  # type: ignore[attr-defined]


Slots = Any
"""A shared array of doubles, two for each task in flight: when a worker began it and that
worker's pid. Times are seconds of the monotonic clock, which all processes share; 0 means that
no worker has the task."""

_slots: Slots = None


def become_worker(slots: Slots) -> None:
    """Make this process a worker of a pool.

    It leaves ctrl-C to the parent, and ends when the parent dies.
    """
    global _slots
    _slots = slots
    claim_process()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        threading.Thread(target=_die_with_parent, daemon=True).start()
        _die_by_kernel()
    except (MemoryError, OSError, RuntimeError):  # no memory for a thread
        os._exit(1)  # CPython's pool would print a traceback; ours starts another one


def run_task(slot: int, call: Callable[[], T]) -> T:
    """Run a task, and show meanwhile that this process has it."""
    _slots[2 * slot + 1] = os.getpid()
    _slots[2 * slot] = time.monotonic()
    try:
        return call()
    finally:
        _slots[2 * slot] = 0


def _die_with_parent() -> None:
    import multiprocessing
    from multiprocessing.connection import wait

    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


_PR_SET_PDEATHSIG = 1  # prctl(2)


def _die_by_kernel() -> None:
    """Let Linux end this process together with its parent.

    A Python thread gets no turn while a hanging grammar holds the interpreter.
    """
    import ctypes

    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
