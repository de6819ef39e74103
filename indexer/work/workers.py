"""Where the CPU-bound work runs.

Any `concurrent.futures.Executor` will do, because a task carries all that it needs.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from indexer.address import is_cluster
from indexer.config import AS_USUAL, Reading
from indexer.pool.serial import InTurn, SerialExecutor
from indexer.work import worker

if TYPE_CHECKING:
    from indexer.vectors.backend import Backend

CPU_TASK = 64  # chunks to embed: about half a second of one worker
LEAST_TASK = 4  # until the first vector is there, and towards the end
GPU_TASK = 2048  # chunks to embed: enough for large batches of similar lengths


def open_executor(
    kind: str,
    jobs: int,
    backend: Backend,
    *,
    reading: Reading = AS_USUAL,
    task_timeout: float = 0,
) -> Executor:
    """An executor of `kind` ("process", "thread" or "serial") with `jobs` workers.

    A task may take `task_timeout` seconds (0: no limit), but a thread cannot be stopped.
    """
    if kind == "process":
        from indexer.pool.process_pool import ProcessPool

        initialize = worker.initialize_process
        return ProcessPool(jobs, task_timeout, initialize, (backend, reading))
    if kind == "thread":
        from concurrent.futures import ThreadPoolExecutor

        return ThreadPoolExecutor(
            jobs, "codx-index", worker.initialize, (backend, reading)
        )
    worker.initialize(backend, reading)
    return SerialExecutor(task_timeout)


@dataclass(slots=True)
class Workers:
    """Where files are chunked, and where texts are embedded.

    On a CPU the same processes do both, as there is no better use of a core. A GPU has one
    process, which gets large tasks, and the other processes chunk and tokenize for it. The numbers
    change while workers of a cluster come and go.
    """

    chunkers: Executor
    jobs: int
    embedders: Executor
    embed_jobs: int
    embed_task: int  # chunks
    least_task: int = LEAST_TASK  # chunks

    @classmethod
    def alike(cls, executor: Executor, jobs: int) -> Workers:
        """The workers of one executor, which do both."""
        return cls(executor, jobs, executor, jobs, CPU_TASK)


@contextmanager
def open_workers(
    kind: str,
    jobs: int,
    backend: Backend,
    *,
    reading: Reading = AS_USUAL,
    task_timeout: float,
    on_step: Callable[[str], None] = lambda message: None,
    on_warning: Callable[[str], None] = lambda message: None,
) -> Iterator[Workers]:
    """Open workers of a `kind` as in `open_executor`, or those of a cluster.

    Those of GPUs are processes in any case, unless the kind is "serial". A cluster tells `on_step`
    of its workers, and `on_warning` of those that cannot be used.
    """
    if is_cluster(kind):
        from indexer.work.cluster import open_cluster
        from indexer.work.recipe import recipe_of

        recipe = recipe_of(backend, task_timeout)
        with open_cluster(kind, jobs, recipe, reading, on_step, on_warning) as workers:
            yield workers
        return
    with ExitStack() as stack:
        executor = stack.enter_context(
            open_executor(
                kind, jobs, backend, reading=reading, task_timeout=task_timeout
            )
        )
        if not backend.gpus or kind == "serial":
            yield Workers.alike(executor, jobs)
            return
        pools = [
            open_executor("process", 1, on_gpu(backend, number), reading=reading)
            for number in range(backend.gpus)
        ]
        for pool in pools:
            stack.enter_context(pool)
        yield Workers(executor, jobs, InTurn(pools), len(pools), GPU_TASK)


class Workshop:
    """Opens the workers of runs, one run after another or several at once.

    A shared workshop keeps workers, with what they have loaded, for the next run that asks for
    the same, until it is closed. Workers in this process are not worth keeping. With one that
    `is_apart`, small plans go to processes too, so that no file can end this one.
    """

    def __init__(self, *, is_shared: bool = False, is_apart: bool = False) -> None:
        self.is_apart = is_apart
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
        reading: Reading,
        task_timeout: float,
        on_step: Callable[[str], None],
        on_warning: Callable[[str], None],
    ) -> Iterator[Workers]:
        """Open workers as `open_workers` does, or lend those that were kept."""
        opening = open_workers(
            kind,
            jobs,
            backend,
            reading=reading,
            task_timeout=task_timeout,
            on_step=on_step,
            on_warning=on_warning,
        )
        if not self._is_shared or kind == "serial":
            with opening as workers:
                yield workers
            return
        key = (kind, jobs, backend, reading, task_timeout)
        with self._lock:
            if key not in self._kept:
                self._kept[key] = self._stack.enter_context(opening)
        yield self._kept[key]

    def close(self) -> None:
        """End the workers that were kept."""
        self._stack.close()


def on_gpu(backend: Backend, number: int) -> Backend:
    """The backend for the process of one GPU."""
    return replace(backend, device=f"{backend.device}:{number}")
