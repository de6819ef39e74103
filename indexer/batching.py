"""From changed files to embedded files: the bounded window between parent and workers.

Two kinds of tasks share one executor. *Chunk* tasks carry a few files each. What they
return meets the cache in the parent, so that a text is embedded once however many files,
branches or runs it appears in. What is left goes out in *embed* tasks sorted by length
across files: little padding, and a huge file is spread over all workers.
"""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from indexer import worker
from indexer.cache import EmbeddingCache, key_of
from indexer.cache_file import Key
from indexer.types import (
    ChangedFile,
    Chunk,
    ChunkCounts,
    ChunkedFile,
    EmbeddedFile,
    FileRecord,
    Seconds,
    Stat,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CHUNK_TASK_BYTES = 128 * 1024
EMBED_TASK_CHUNKS = 64  # about half a second of one worker
BACKLOG_CHUNKS = 512  # texts a worker that wait in the parent; bounds its memory
POLL = 0.2  # seconds between two looks at the stop signal


@dataclass(frozen=True, slots=True)
class _Asked:
    """A changed file whose bytes are with a worker."""

    path: str
    size: int
    file_hash: str
    stat: Stat | None


@dataclass(slots=True)
class _OpenFile:
    """A chunked file that waits for the vectors of some of its chunks."""

    record: FileRecord
    size: int
    language: str
    chunks: tuple[Chunk, ...]
    vectors: NDArray[np.float32]
    missing: int


class Embedding:
    """Runs changed files through an executor; `files` yields them as they get ready.

    `on_failure(path, error)` is told of each file that cannot be indexed. `counts` and
    `seconds` grow while it runs. Raises what a task raises, `ModelError` for instance.
    """

    def __init__(
        self,
        executor: Executor,
        jobs: int,
        cache: EmbeddingCache,
        dimension: int,
        *,
        counts: ChunkCounts,
        seconds: Seconds,
        on_failure: Callable[[str, str], None],
        should_stop: Callable[[], int] = lambda: 0,
    ) -> None:
        self._executor = executor
        self._jobs = jobs
        self._cache = cache
        self._dimension = dimension
        self._counts = counts
        self._seconds = seconds
        self._on_failure = on_failure
        self._generation = 2 * jobs * EMBED_TASK_CHUNKS
        self._room = jobs * BACKLOG_CHUNKS
        self._should_stop = should_stop
        self._chunking: dict[Future[worker.ChunkedBatch], list[_Asked]] = {}
        self._embedding: dict[Future[worker.EmbeddedBatch], list[Key]] = {}
        self._unsent: dict[Key, str] = {}  # texts of the backlog and of the batches
        self._backlog: dict[Key, int] = {}  # their lengths in tokens, oldest first
        self._batches: deque[list[Key]] = deque()
        self._waiting: defaultdict[Key, list[tuple[_OpenFile, int]]] = defaultdict(list)
        self._ready: list[EmbeddedFile] = []

    def files(self, changes: Iterable[ChangedFile]) -> Iterator[EmbeddedFile]:
        """Yield each file once all of its vectors are there; stops early on a signal."""
        tasks = _chunk_tasks(changes)
        source_open = True
        while not self._should_stop():
            source_open = source_open and self._submit_chunking(tasks)
            self._submit_embedding(last=not source_open and not self._chunking)
            if not self._chunking and not self._embedding:
                break
            self._collect()
            yield from self._take_ready()
        yield from self._take_ready()

    def _submit_chunking(self, tasks: Iterator[list[ChangedFile]]) -> bool:
        """Keep the workers in chunk tasks while the backlog has room; False at the end."""
        while len(self._chunking) < 2 * self._jobs and len(self._unsent) < self._room:
            task = next(tasks, None)
            if task is None:
                return False
            files = [(change.path, change.data) for change in task]
            # The bytes stay with the task: the parent does not keep them.
            self._chunking[self._executor.submit(worker.chunk_files, files)] = [
                _Asked(change.path, len(change.data), change.file_hash, change.stat)
                for change in task
            ]
        return True

    def _submit_embedding(self, *, last: bool) -> None:
        """Cut the oldest part of the backlog into tasks, sorted by length.

        Oldest first, so that files get complete, and committed, about in their order.
        """
        idle = not self._embedding and not self._batches
        if self._backlog and (last or idle or len(self._backlog) >= self._generation):
            keys = list(islice(self._backlog, self._generation))
            keys.sort(key=lambda key: -self._backlog[key])
            # Towards the end the tasks get smaller, so that no worker ends alone.
            share = math.ceil(len(keys) / (2 * self._jobs)) if last else len(keys)
            size = min(EMBED_TASK_CHUNKS, max(share, 4))
            self._batches.extend(
                keys[start : start + size] for start in range(0, len(keys), size)
            )
            for key in keys:
                del self._backlog[key]
        while self._batches and len(self._embedding) < 2 * self._jobs:
            batch = self._batches.popleft()
            texts = [self._unsent.pop(key) for key in batch]
            future = self._executor.submit(worker.embed_texts, texts)
            self._embedding[future] = batch

    def _collect(self) -> None:
        tasks: list[Future[Any]] = [*self._chunking, *self._embedding]
        wait(tasks, timeout=POLL, return_when=FIRST_COMPLETED)
        for chunking in [task for task in self._chunking if task.done()]:
            self._chunked(self._chunking.pop(chunking), chunking.result())
        for embedding in [task for task in self._embedding if task.done()]:
            self._embedded(self._embedding.pop(embedding), embedding.result())

    def _chunked(self, task: list[_Asked], batch: worker.ChunkedBatch) -> None:
        self._seconds.chunk += batch.seconds
        for asked, file in zip(task, batch.files, strict=True):
            if file.error:
                self._on_failure(asked.path, file.error)
            else:
                self._open(asked, file)

    def _open(self, asked: _Asked, file: ChunkedFile) -> None:
        """Take what the cache has; queue the rest, each text once."""
        import numpy as np

        record = FileRecord(
            asked.path, asked.stat, asked.file_hash, len(file.chunks), file.reason
        )
        keys = [key_of(chunk) for chunk in file.chunks]
        known = self._cache.get(keys)
        vectors = np.empty((len(keys), self._dimension), np.float32)
        opened = _OpenFile(record, asked.size, file.language, file.chunks, vectors, 0)
        for number, (key, chunk) in enumerate(zip(keys, file.chunks, strict=True)):
            if key in known:
                vectors[number] = known[key]
                self._counts.cached += 1
                continue
            if key not in self._waiting:
                self._backlog[key] = chunk.tokens
                self._unsent[key] = chunk.embedded_text
            else:
                self._counts.cached += 1
            self._waiting[key].append((opened, number))
            opened.missing += 1
        if not opened.missing:
            self._close(opened)

    def _embedded(self, keys: list[Key], batch: worker.EmbeddedBatch) -> None:
        self._seconds.embed += batch.seconds
        self._counts.embedded += len(keys)
        self._counts.truncated += batch.truncated
        self._cache.put(dict(zip(keys, batch.vectors, strict=True)))
        for key, vector in zip(keys, batch.vectors, strict=True):
            for opened, number in self._waiting.pop(key):
                opened.vectors[number] = vector
                opened.missing -= 1
                if not opened.missing:
                    self._close(opened)

    def _close(self, file: _OpenFile) -> None:
        self._ready.append(
            EmbeddedFile(
                file.record, file.size, file.language, file.chunks, file.vectors
            )
        )

    def _take_ready(self) -> list[EmbeddedFile]:
        ready, self._ready = self._ready, []
        return ready


def chunked_files(
    changes: Iterable[ChangedFile], executor: Executor, jobs: int
) -> Iterator[tuple[ChangedFile, ChunkedFile]]:
    """Only chunk, in the order of `changes`, at most 2 × jobs tasks in flight."""
    tasks = _chunk_tasks(changes)
    window: deque[tuple[list[ChangedFile], Future[worker.ChunkedBatch]]] = deque()
    while True:
        for task in islice(tasks, 2 * jobs - len(window)):
            files = [(change.path, change.data) for change in task]
            window.append((task, executor.submit(worker.chunk_files, files)))
        if not window:
            return
        task, future = window.popleft()
        yield from zip(task, future.result().files, strict=True)


def _chunk_tasks(changes: Iterable[ChangedFile]) -> Iterator[list[ChangedFile]]:
    """Group small files, so that a task is worth its way to a worker."""
    task: list[ChangedFile] = []
    size = 0
    for change in changes:
        task.append(change)
        size += len(change.data)
        if size >= CHUNK_TASK_BYTES:
            yield task
            task, size = [], 0
    if task:
        yield task
