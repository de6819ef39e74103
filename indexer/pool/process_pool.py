"""A pool of worker processes that outlives its workers.

A `ProcessPoolExecutor` is lost with the first of its processes that dies: all of its futures
fail, and nothing says which task was to blame. Here one such pool after another does the work,
and a task is only given up when its worker dies while the task runs alone.
"""

from __future__ import annotations

import os
import queue
import signal
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from functools import partial
from threading import Thread
from typing import Any, ParamSpec, TypeVar

from msgspec import Struct, field

from indexer.errors import (
    OUT_OF_MEMORY,
    OutOfMemoryError,
    TaskTimeoutError,
    WorkerCrashedError,
    WorkerDiedError,
    WorkerError,
)
from indexer.pool.process import RecordingContext, Slots, run_task

P = ParamSpec("P")
T = TypeVar("T")
TICK = 0.2  # seconds between two looks at the clock
CRASHES = {signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGILL, signal.SIGFPE}
MAX_RESTARTS = 4  # pools in a row that are lost before a task was done or begun


class _Task(Struct, eq=False):
    """`future` is the caller's, `inner` belongs to the pool that has the task now."""

    call: Callable[[], Any]
    future: Future[Any]
    inner: Future[Any] = field(default_factory=Future)
    is_suspect: bool = False
    is_overdue: bool = False


class ProcessPool(Executor):
    """An executor of `jobs` processes, each prepared by `initializer(slots, *initargs)`.

    Tasks that were lost with a worker go out again. Those that no worker had begun go out as
    before. The others are suspects, each of which runs alone. A task raises

    - `WorkerDiedError` if its worker dies while the task runs alone, `WorkerCrashedError` if
      that was the doing of native code,
    - `TaskTimeoutError` if it runs longer than `task_timeout` seconds (0: no limit), for which
      its worker is killed,
    - `OutOfMemoryError` if it raised a `MemoryError`,
    - `WorkerError` if workers cannot be kept alive at all.

    `shutdown` ends running tasks at once.
    """

    def __init__(
        self,
        jobs: int,
        task_timeout: float,
        initializer: Callable[..., None],
        initargs: tuple[Any, ...],
    ) -> None:
        self._jobs = jobs
        self._timeout = task_timeout
        self._context = RecordingContext()  # of the current pool, or the last one
        self._slots: Slots = self._context.RawArray("d", 4 * jobs)
        self._initializer = initializer
        self._initargs = (self._slots, *initargs)
        self._pool: ProcessPoolExecutor | None = None
        self._free = list(range(2 * jobs))
        self._sent: dict[int, _Task] = {}  # by slot
        self._suspects: deque[_Task] = deque()
        self._waiting: deque[_Task] = deque()
        self._restarts = 0
        # Only the thread touches the above. It receives new tasks here, the slot of each task
        # that is done, and None as the end.
        self._inbox: queue.SimpleQueue[_Task | int | None] = queue.SimpleQueue()
        self._thread = Thread(target=self._serve, name="codx-index pool", daemon=True)
        self._thread.start()

    def submit(
        self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> Future[T]:
        task = _Task(partial(fn, *args, **kwargs), Future())
        self._inbox.put(task)
        return task.future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self._inbox.put(None)
        if wait:
            self._thread.join()

    def _serve(self) -> None:
        while True:
            news: _Task | int | None = -1
            try:
                news = self._inbox.get(timeout=TICK if self._sent else None)
            except queue.Empty:
                # CPython's pool misses a death while it is starting a process.
                if self._context.has_lost_a_process():
                    self._begin_afresh()
            if news is None:
                break
            if isinstance(news, _Task):
                self._waiting.append(news)
            elif news in self._sent and self._sent[news].inner.done():
                self._take(news)
            self._end_overdue()
            self._send()
        self._end_pool()
        for task in (*self._sent.values(), *self._suspects, *self._waiting):
            task.future.cancel()

    def _send(self) -> None:
        """Keep each worker busy, with a second task at hand, unless a suspect runs alone."""
        while self._free and not any(task.is_suspect for task in self._sent.values()):
            if self._suspects and self._sent:
                return
            tasks = self._suspects or self._waiting
            if not tasks:
                return
            task, slot = tasks.popleft(), self._free.pop()
            self._slots[2 * slot] = 0
            self._sent[slot] = task
            try:
                task.inner = self._running_pool().submit(run_task, slot, task.call)
            except Exception as error:
                # A worker has just died, or no process can be started. If one dies while
                # another is being started, CPython's pool fails in half a dozen ways:
                # BrokenProcessPool, OSError (handle is closed), ValueError (fds), ...
                task.inner = Future()
                task.inner.set_exception(BrokenProcessPool(str(error)))
            task.inner.add_done_callback(partial(self._tell, slot))

    def _tell(self, slot: int, inner: Future[Any]) -> None:
        self._inbox.put(slot)

    def _running_pool(self) -> ProcessPoolExecutor:
        if self._pool is None:
            self._context = RecordingContext()
            self._pool = ProcessPoolExecutor(
                self._jobs,
                mp_context=self._context,
                initializer=self._initializer,
                initargs=self._initargs,
            )
        return self._pool

    def _take(self, slot: int) -> None:
        """Deal with an inner future that is done: its task is, or else the pool is broken."""
        if _is_lost(self._sent[slot]):
            self._begin_afresh()
            return
        task = self._sent.pop(slot)
        self._free.append(slot)
        self._restarts = 0
        error = task.inner.exception()
        if error is None:
            task.future.set_result(task.inner.result())
        elif isinstance(error, MemoryError):
            task.future.set_exception(OutOfMemoryError(OUT_OF_MEMORY))
        else:
            task.future.set_exception(error)

    def _begin_afresh(self) -> None:
        """End a broken pool, and sort its tasks into culprits, suspects and others."""
        for slot, task in sorted(self._sent.items()):
            if task.inner.done() and not _is_lost(task):
                self._take(slot)
        self._end_pool()
        begun = any(self._slots[2 * slot] for slot in self._sent)
        self._restarts = 0 if begun else self._restarts + 1
        lost, self._sent = self._sent, {}
        for slot, task in lost.items():
            self._free.append(slot)
            if task.is_overdue:
                task.future.set_exception(
                    TaskTimeoutError(f"took longer than {self._timeout:g} s")
                )
            elif not self._slots[2 * slot]:
                self._waiting.appendleft(task)
            elif task.is_suspect:
                task.future.set_exception(self._epitaph(slot))
            else:
                task.is_suspect = True
                self._suspects.append(task)
        if self._restarts > MAX_RESTARTS:
            self._give_up()

    def _give_up(self) -> None:
        error = WorkerError("the worker processes die as soon as they start")
        for task in (*self._suspects, *self._waiting):
            task.future.set_exception(error)
        self._suspects.clear()
        self._waiting.clear()

    def _epitaph(self, slot: int) -> WorkerDiedError:
        code = self._context.exit_code(int(self._slots[2 * slot + 1]))
        if code is None or code >= 0:
            return WorkerDiedError("its worker process ended by itself")
        name = signal.Signals(-code).name
        hint = ", as when memory runs out" if -code == signal.SIGKILL else ""
        error = WorkerCrashedError if -code in CRASHES else WorkerDiedError
        return error(f"its worker process died ({name}{hint})")

    def _end_overdue(self) -> None:
        if not self._timeout:
            return
        now = time.monotonic()
        for slot, task in self._sent.items():
            started = self._slots[2 * slot]
            if started and now - started > self._timeout and not task.is_overdue:
                task.is_overdue = True
                with suppress(ProcessLookupError):
                    os.kill(int(self._slots[2 * slot + 1]), signal.SIGKILL)

    def _end_pool(self) -> None:
        """End the processes, and kill them if one may still be at work."""
        if self._pool is not None:
            if self._sent or self._context.has_lost_a_process():
                self._context.kill_all()
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None


def _is_lost(task: _Task) -> bool:
    """Whether the pool broke before the task, whose inner future is done, had a result."""
    return isinstance(task.inner.exception(), BrokenProcessPool)
