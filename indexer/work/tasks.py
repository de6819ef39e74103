"""Chunk tasks: the changed files in groups that are worth their way to a worker."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor, Future
from itertools import islice

from indexer.errors import TaskError, WorkerCrashedError
from indexer.types import ChangedFile, ChunkedFile
from indexer.work import worker

CHUNK_TASK_BYTES = 128 * 1024
FIRST_TASK_BYTES = 8 * 1024


def chunk_tasks(
    changes: Iterable[ChangedFile | None],
) -> Iterator[list[ChangedFile]]:
    """Yield the files in groups, where a large file is alone.

    The first groups are small, so that something is embedded soon. For a None among the
    changes, which says that the next one is not there yet, yields the group so far, which may
    be empty.
    """
    task: list[ChangedFile] = []
    size, limit = 0, FIRST_TASK_BYTES
    for change in changes:
        if change is None:
            yield task
            task, size = [], 0
            continue
        if task and len(change.data) >= CHUNK_TASK_BYTES:
            yield task  # does not wait for the large file
            task, size = [], 0
        task.append(change)
        size += len(change.data)
        if size >= limit:
            yield task
            task, size = [], 0
            limit = min(2 * limit, CHUNK_TASK_BYTES)
    if task:
        yield task


def chunked_files(
    changes: Iterable[ChangedFile], executor: Executor, jobs: int
) -> Iterator[tuple[ChangedFile, ChunkedFile]]:
    """Chunk the files without embedding them, and yield them in the order of `changes`.

    At most 2 × jobs tasks are in flight. A file that costs its worker has that as its error,
    unless it can be chunked without its syntax.
    """
    tasks = chunk_tasks(changes)
    window: deque[tuple[list[ChangedFile], Future[worker.ChunkedBatch]]] = deque()
    while True:
        for task in islice(tasks, 2 * jobs - len(window)):
            files = [(change.path, change.data) for change in task]
            window.append((task, executor.submit(worker.chunk_files, files)))
        if not window:
            return
        task, future = window.popleft()
        try:
            chunked = future.result().files
        except TaskError:
            chunked = [_chunked_alone(change, executor) for change in task]
        yield from zip(task, chunked, strict=True)


def _chunked_alone(
    change: ChangedFile, executor: Executor, *, with_syntax: bool = True
) -> ChunkedFile:
    files = [(change.path, change.data)]
    task = executor.submit(worker.chunk_files, files, with_syntax=with_syntax)
    try:
        return task.result().files[0]
    except TaskError as error:
        if with_syntax and isinstance(error, WorkerCrashedError):
            return _chunked_alone(change, executor, with_syntax=False)
        return ChunkedFile(change.path, "", (), error=str(error))
