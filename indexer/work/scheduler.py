"""From changed files to embedded files: the bounded window between parent and workers.

There are two kinds of tasks. *Chunk* tasks carry a few files each. What they
return meets the cache in the parent, so that a text is embedded once however many files,
branches or runs it appears in. What is left goes out in *embed* tasks sorted by length
across files: little padding, and a huge file is spread over all workers.
"""

from __future__ import annotations

import math
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from indexer.cache.embeddings import EmbeddingCache
from indexer.cache.entry import Key, key_of
from indexer.errors import TaskError
from indexer.timeline import Spans
from indexer.types import (
    ChangedFile,
    Chunk,
    ChunkCounts,
    ChunkedFile,
    EmbeddedFile,
    FileRecord,
    Step,
    Weights,
)
from indexer.work import worker
from indexer.work.tasks import chunk_tasks
from indexer.work.workers import Workers

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LEAST_TASK_CHUNKS = 4
BACKLOG_CHUNKS = 512  # texts a worker that wait in the parent; bounds its memory
POLL = 0.2  # seconds between two looks at the stop signal


@dataclass(slots=True)
class _OpenFile:
    """A chunked file that waits for the vectors of some of its chunks."""

    record: FileRecord
    size: int
    language: str
    chunks: tuple[Chunk, ...]
    weights: tuple[Weights, ...]
    vectors: NDArray[np.float32]
    missing: int
    masked: int
    tokens: int
    chunk_seconds: float
    embed_seconds: float = 0.0
    has_failed: bool = False
    unembedded: frozenset[int] = frozenset()

    def share(self, tokens: int) -> float:
        """The bytes of the file that chunks with so many tokens stand for."""
        return self.size * tokens / self.tokens if self.tokens else self.size


class Scheduler:
    """Runs changed files through an executor; `files` yields them as they get ready.

    `on_failure(path, file_hash, error)` is told of each file that cannot be indexed: a task
    that costs a worker (`TaskError`) is given out again in its smallest parts, so that
    only the file to blame fails. `counts` and `spans` grow while it runs. Raises what else
    a task raises, `ModelError` for instance.

    Unless it `embeds`, only what the cache knows gets a vector.
    With no `seconds_left`, no new task begins, and before no file is chunked that could not
    be embedded; once it `should_stop`, no task is waited for.
    """

    def __init__(
        self,
        workers: Workers,
        cache: EmbeddingCache,
        dimension: int,
        *,
        counts: ChunkCounts,
        spans: Spans,
        on_failure: Callable[[str, str, str], None],
        embeds: bool = True,
        on_progress: Callable[[Step], None] = lambda step: None,
        should_stop: Callable[[], object] = lambda: False,
        seconds_left: Callable[[], float] = lambda: math.inf,
    ) -> None:
        self._workers = workers
        self._cache = cache
        self._dimension = dimension
        self._counts = counts
        self._spans = spans
        self._on_failure = on_failure
        self._embeds = embeds
        self._on_progress = on_progress
        self._generation = 2 * workers.embed_jobs * workers.embed_task
        self._room = max(workers.jobs * BACKLOG_CHUNKS, 2 * self._generation)
        self._should_stop = should_stop
        self._seconds_left = seconds_left
        self._since = 0.0  # the first embed task was given out
        self._chunking: dict[Future[worker.ChunkedBatch], list[ChangedFile]] = {}
        self._embedding: dict[Future[worker.EmbeddedBatch], dict[Key, Chunk]] = {}
        self._unsent: dict[Key, Chunk] = {}  # those of the backlog and of the batches
        self._backlog: dict[Key, int] = {}  # their lengths in tokens, oldest first
        self._batches: deque[list[Key]] = deque()
        self._waiting: defaultdict[Key, list[tuple[_OpenFile, int]]] = defaultdict(list)
        self._ready: list[EmbeddedFile] = []

    def files(self, changes: Iterable[ChangedFile | None]) -> Iterator[EmbeddedFile]:
        """Yield each file once all of its vectors are there; stops early on a signal. A None
        among the changes: there is nothing to take yet."""
        tasks = chunk_tasks(changes)
        source_open = True
        while not self._should_stop():
            seconds = self._seconds_left()
            if seconds > 0:
                is_enough = self._has_work_for(seconds)
                if not is_enough:
                    source_open = source_open and self._submit_chunking(tasks)
                is_last = not source_open and not self._chunking
                self._submit_embedding(last=is_last or is_enough)
            elif not self._embedding:
                break
            if not self._chunking and not self._embedding and not source_open:
                break
            self._collect()
            yield from self._take_ready()
        yield from self._take_ready()

    def _has_work_for(self, seconds: float) -> bool:
        """Do more texts wait than can be embedded in this time, at the rate so far?"""
        if seconds == math.inf or not self._counts.embedded:
            return False
        rate = self._counts.embedded / (time.monotonic() - self._since)
        return len(self._waiting) >= rate * seconds

    def _submit_chunking(self, tasks: Iterator[list[ChangedFile]]) -> bool:
        """Keep the workers in chunk tasks while the backlog has room; False at the end."""
        jobs = self._workers.jobs
        window = 2 * jobs if self._is_warm else jobs
        while len(self._chunking) < window and len(self._unsent) < self._room:
            with self._spans.span("read"):
                task = next(tasks, None)
            if task is None:
                return False
            if not task:
                break  # not yet
            self._chunk(task)
        return True

    @property
    def _is_warm(self) -> bool:
        """Is the first vector there? Until then, tasks are small and do not queue."""
        return bool(self._counts.embedded or self._counts.cached)

    def _chunk(self, task: list[ChangedFile]) -> None:
        files = [(change.path, change.data) for change in task]
        self._chunking[self._workers.chunkers.submit(worker.chunk_files, files)] = task

    def _submit_embedding(self, *, last: bool) -> None:
        """Cut the oldest part of the backlog into tasks, sorted by length.

        Oldest first, so that files get complete, and committed, about in their order.
        """
        jobs = self._workers.embed_jobs
        idle = not self._embedding and not self._batches
        if self._backlog and (last or idle or len(self._backlog) >= self._generation):
            most = self._workers.embed_task if self._is_warm else LEAST_TASK_CHUNKS
            keys = list(islice(self._backlog, 2 * jobs * most))
            keys.sort(key=lambda key: -self._backlog[key])
            # Towards the end the tasks get smaller, so that no worker ends alone.
            share = math.ceil(len(keys) / (2 * jobs)) if last else len(keys)
            size = min(most, max(share, LEAST_TASK_CHUNKS))
            self._batches.extend(
                keys[start : start + size] for start in range(0, len(keys), size)
            )
            for key in keys:
                del self._backlog[key]
        while self._batches and len(self._embedding) < 2 * jobs:
            self._embed({key: self._unsent.pop(key) for key in self._batches.popleft()})

    def _embed(self, task: dict[Key, Chunk]) -> None:
        self._since = self._since or time.monotonic()
        texts = [chunk.embedded_text for chunk in task.values()]
        ids = [chunk.ids for chunk in task.values()]
        future = self._workers.embedders.submit(worker.embed_texts, texts, ids)
        self._embedding[future] = task

    def _collect(self) -> None:
        tasks: list[Future[Any]] = [*self._chunking, *self._embedding]
        wait(tasks, timeout=POLL, return_when=FIRST_COMPLETED)
        for chunking in [task for task in self._chunking if task.done()]:
            changes = self._chunking.pop(chunking)
            try:
                self._chunked(changes, chunking.result())
            except TaskError as error:
                self._not_chunked(changes, error)
        for embedding in [task for task in self._embedding if task.done()]:
            task = self._embedding.pop(embedding)
            try:
                self._embedded(list(task), embedding.result())
            except TaskError as error:
                self._not_embedded(task, error)

    def _not_chunked(self, task: list[ChangedFile], error: TaskError) -> None:
        if len(task) == 1:
            self._on_failure(task[0].path, task[0].file_hash, str(error))
            return
        for change in task:
            self._chunk([change])

    def _not_embedded(self, task: dict[Key, Chunk], error: TaskError) -> None:
        if len(task) > 1:
            for key, chunk in task.items():
                self._embed({key: chunk})
            return
        for key in task:
            for opened, _ in self._waiting.pop(key):
                if not opened.has_failed:
                    opened.has_failed = True
                    record = opened.record
                    self._on_failure(record.path, record.file_hash, str(error))

    def _chunked(self, task: list[ChangedFile], batch: worker.ChunkedBatch) -> None:
        self._spans.found.extend(batch.spans)
        for change, file, seconds in zip(task, batch.files, batch.seconds, strict=True):
            if file.error:
                self._on_failure(change.path, change.file_hash, file.error)
            else:
                self._open(change, file, seconds)

    def _open(self, change: ChangedFile, file: ChunkedFile, seconds: float) -> None:
        """Take what the cache has; queue the rest, each text once."""
        import numpy as np

        keys = [key_of(chunk) for chunk in file.chunks]
        known = self._cache.get(keys)
        vectors = np.empty((len(keys), self._dimension), np.float32)
        without: list[int] = []
        if not self._embeds:
            without = [number for number, key in enumerate(keys) if key not in known]
        vectors[without] = np.eye(1, self._dimension, dtype=np.float32)
        record = FileRecord(
            change.path,
            change.stat,
            change.file_hash,
            len(file.chunks),
            file.reason,
            len(without),
        )
        opened = _OpenFile(
            record,
            len(change.data),
            file.language,
            file.chunks,
            file.weights,
            vectors,
            0,
            file.masked,
            sum(chunk.tokens for chunk in file.chunks),
            seconds,
            unembedded=frozenset(without),
        )
        cached = 0
        for number, (key, chunk) in enumerate(zip(keys, file.chunks, strict=True)):
            if key in known:
                vectors[number] = known[key]
                self._counts.cached += 1
                cached += chunk.tokens
                continue
            if not self._embeds:
                cached += chunk.tokens  # nothing is to be done about it either
                continue
            if key not in self._waiting:
                self._backlog[key] = chunk.tokens
                self._unsent[key] = chunk
            else:
                self._counts.cached += 1
            self._waiting[key].append((opened, number))
            opened.missing += 1
        share = opened.share(cached)
        chunks = len(keys) - opened.missing
        self._on_progress(Step(share, opened.size - share, chunks=chunks))
        if not opened.missing:
            self._close(opened)

    def _embedded(self, keys: list[Key], batch: worker.EmbeddedBatch) -> None:
        self._spans.found.extend(batch.spans)
        self._counts.embedded += len(keys)
        self._counts.truncated += batch.truncated
        self._counts.tokens += batch.tokens
        self._counts.padding += batch.padding
        self._cache.put(dict(zip(keys, batch.vectors, strict=True)))
        for key, vector in zip(keys, batch.vectors, strict=True):
            waiting = self._waiting.pop(key)
            first, number = waiting[0]
            share = first.chunks[number].tokens / batch.tokens
            first.embed_seconds += share * batch.seconds
            for opened, number in waiting:
                opened.vectors[number] = vector
                opened.missing -= 1
                size = opened.share(opened.chunks[number].tokens)
                self._on_progress(Step(embedded=size, chunks=1))
                if not opened.missing and not opened.has_failed:
                    self._close(opened)

    def _close(self, file: _OpenFile) -> None:
        self._on_progress(Step(files=1))
        self._ready.append(
            EmbeddedFile(
                file.record,
                file.size,
                file.language,
                file.chunks,
                file.weights,
                file.vectors,
                file.unembedded,
                file.masked,
                file.chunk_seconds,
                file.embed_seconds,
            )
        )

    def _take_ready(self) -> list[EmbeddedFile]:
        ready, self._ready = self._ready, []
        return ready
