"""Executors without processes of their own."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from itertools import cycle
from types import FrameType
from typing import ParamSpec, TypeVar

from indexer.errors import TaskTimeoutError

P = ParamSpec("P")
T = TypeVar("T")


class SerialExecutor(Executor):
    """Runs each task at once, in this thread. It needs no start-up, for small plans and debugging.

    In the main thread, a task that takes longer than `task_timeout` seconds (0: no limit)
    raises `TaskTimeoutError` as soon as the interpreter gets its turn. Native code that hangs
    can only be stopped in a process.
    """

    def __init__(self, task_timeout: float = 0) -> None:
        in_main = threading.current_thread() is threading.main_thread()
        self._timeout = task_timeout if in_main else 0

    def submit(
        self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> Future[T]:
        future: Future[T] = Future()
        try:
            with self._time_limit():
                result = fn(*args, **kwargs)
            future.set_result(result)
        except Exception as error:
            future.set_exception(error)
        return future

    @contextmanager
    def _time_limit(self) -> Iterator[None]:
        if not self._timeout:
            yield
            return
        old = signal.signal(signal.SIGALRM, self._stop)
        signal.setitimer(signal.ITIMER_REAL, self._timeout)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, old)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        raise TaskTimeoutError(f"took longer than {self._timeout:g} s")


class InTurn(Executor):
    """Gives one task to each of several executors in turn."""

    def __init__(self, executors: Sequence[Executor]) -> None:
        self._turns = cycle(executors)

    def submit(
        self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> Future[T]:
        return next(self._turns).submit(fn, *args, **kwargs)
