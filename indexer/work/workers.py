"""Where the CPU-bound work runs.

Any `concurrent.futures.Executor` will do, because a task carries all that it needs.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

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


class Workers(Struct):
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
) -> Iterator[Workers]:
    """Open workers of a `kind` as in `open_executor`.

    Those of GPUs are processes in any case, unless the kind is "serial".
    """
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


def on_gpu(backend: Backend, number: int) -> Backend:
    """The backend for the process of one GPU."""
    return replace(backend, device=f"{backend.device}:{number}")
