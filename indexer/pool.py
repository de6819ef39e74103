"""Executors: where the CPU-bound work runs.

Any `concurrent.futures.Executor` will do, for a task carries all it needs.
"""

from __future__ import annotations

import math
import os
import re
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from itertools import cycle
from types import FrameType
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from indexer import worker
from indexer.config import MASK_SECRETS
from indexer.errors import TaskTimeoutError

if TYPE_CHECKING:
    from indexer.embedding import Backend

P = ParamSpec("P")
T = TypeVar("T")

CPU_TASK = 64  # chunks to embed: about half a second of one worker
GPU_TASK = 2048  # enough for large batches of like lengths


class SerialExecutor(Executor):
    """Runs a task at once, in this thread: no start-up, for small plans and debugging.

    In the main thread, a task that takes longer than `task_timeout` seconds (0: no limit)
    raises `TaskTimeoutError` as soon as the interpreter has its turn: native code that
    hangs is only stopped in a process.
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


def open_executor(
    kind: str,
    jobs: int,
    backend: Backend,
    *,
    secrets: str = MASK_SECRETS,
    task_timeout: float = 0,
) -> Executor:
    """An executor of `kind` ("process", "thread" or "serial") with `jobs` workers.

    A task has `task_timeout` seconds (0: no limit); a thread cannot be stopped.
    """
    if kind == "process":
        from indexer.process_pool import ProcessPool

        initialize = worker.initialize_process
        return ProcessPool(jobs, task_timeout, initialize, (backend, secrets))
    if kind == "thread":
        from concurrent.futures import ThreadPoolExecutor

        return ThreadPoolExecutor(
            jobs, "codx-index", worker.initialize, (backend, secrets)
        )
    worker.initialize(backend, secrets)
    return SerialExecutor(task_timeout)


@dataclass(frozen=True, slots=True)
class Workers:
    """Where files are chunked, and where texts are embedded.

    On a CPU the same processes do both, as there is no better use of a core. A GPU has one
    process, which gets large tasks; the others chunk and tokenize for it.
    """

    chunkers: Executor
    jobs: int
    embedders: Executor
    embed_jobs: int
    embed_task: int  # chunks

    @classmethod
    def alike(cls, executor: Executor, jobs: int) -> Workers:
        return cls(executor, jobs, executor, jobs, CPU_TASK)


@contextmanager
def open_workers(
    kind: str, jobs: int, backend: Backend, *, secrets: str, task_timeout: float
) -> Iterator[Workers]:
    """Workers of `kind`, see `open_executor`; those of GPUs are always processes, unless
    `kind` is "serial"."""
    with ExitStack() as stack:
        executor = stack.enter_context(
            open_executor(
                kind, jobs, backend, secrets=secrets, task_timeout=task_timeout
            )
        )
        if not backend.gpus or kind == "serial":
            yield Workers.alike(executor, jobs)
            return
        pools = [
            open_executor("process", 1, on_gpu(backend, number), secrets=secrets)
            for number in range(backend.gpus)
        ]
        for pool in pools:
            stack.enter_context(pool)
        yield Workers(executor, jobs, InTurn(pools), len(pools), GPU_TASK)


class Workshop:
    """Opens workers for one run after the other, or for several at once.

    A shared one keeps those that are worth keeping, processes and what they have loaded, for
    the next run that asks for the same, until it is closed.
    """

    def __init__(self, *, is_shared: bool = False) -> None:
        self._is_shared = is_shared
        self._kept: dict[tuple[object, ...], Workers] = {}
        self._stack = ExitStack()
        self._lock = threading.Lock()

    @contextmanager
    def workers(
        self,
        kind: str,
        jobs: int,
        backend: Backend,
        *,
        secrets: str,
        task_timeout: float,
    ) -> Iterator[Workers]:
        """As `open_workers`."""
        opening = open_workers(
            kind, jobs, backend, secrets=secrets, task_timeout=task_timeout
        )
        if not self._is_shared or kind == "serial":
            with opening as workers:
                yield workers
            return
        key = (kind, jobs, backend, secrets, task_timeout)
        with self._lock:
            if key not in self._kept:
                self._kept[key] = self._stack.enter_context(opening)
        yield self._kept[key]

    def close(self) -> None:
        """End the workers that were kept."""
        self._stack.close()


class InTurn(Executor):
    """Gives each of the executors one task after the other."""

    def __init__(self, executors: Sequence[Executor]) -> None:
        self._turns = cycle(executors)

    def submit(
        self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> Future[T]:
        return next(self._turns).submit(fn, *args, **kwargs)


def on_gpu(backend: Backend, number: int) -> Backend:
    """The backend for the process of one GPU."""
    return replace(backend, device=f"{backend.device}:{number}")


def available_cpus() -> int:
    """The CPUs this process may really use: its affinity, and its cgroup's quota."""
    try:
        count = len(os.sched_getaffinity(0))
    except AttributeError:  # not on this platform
        count = os.cpu_count() or 1
    return max(1, min(count, _cgroup_cpus() or count))


def _cgroup_cpus(root: str = "/sys/fs/cgroup", me: str = "/proc/self/cgroup") -> int:
    """CPUs of the tightest quota on the way up from our cgroup (version 2, and version 1
    as containers mount it), 0 without one. Format: the kernel's cgroup-v2, "cpu.max".
    """
    texts = [
        _read(os.path.join(folder, "cpu.max")) for folder in _cgroup_folders(root, me)
    ]
    quota = _read(os.path.join(root, "cpu", "cpu.cfs_quota_us"))
    texts.append(f"{quota} {_read(os.path.join(root, 'cpu', 'cpu.cfs_period_us'))}")
    # A quota and its period; "max" and -1 stand for no quota.
    found = [re.fullmatch("([1-9][0-9]*) ([1-9][0-9]*)", text) for text in texts]
    quotas = [int(match[1]) / int(match[2]) for match in found if match]
    return math.ceil(min(quotas)) if quotas else 0


def _cgroup_folders(root: str, me: str) -> list[str]:
    for line in _read(me).splitlines():
        if line.startswith("0::"):
            parts = [part for part in line[3:].split("/") if part]
            return [os.path.join(root, *parts[:n]) for n in range(len(parts) + 1)]
    return [root]


def _read(path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:
            return file.read().strip()
    except (OSError, ValueError):
        return ""
