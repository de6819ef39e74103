"""From changed files to embedded files: the bounded window between parent and workers.

There are two kinds of tasks. *Chunk* tasks carry a few files each. What they return meets the
cache in the parent, so that a text is embedded once however many files, branches or runs it
appears in. The rest goes out in *embed* tasks sorted by length across files, which takes
little padding and spreads a huge file over all workers.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Any

from msgspec import Struct

from indexer.cache.embeddings import EmbeddingCache
from indexer.cache.entry import Key
from indexer.config import BY_MEANING, Embedding
from indexer.errors import TaskError, WorkerCrashedError
from indexer.types import ChangedFile, Chunk, EmbeddedFile, Step
from indexer.work import worker
from indexer.work.assembly import Assembly, Lend
from indexer.work.backlog import Backlog, size_of
from indexer.work.feedback import Feedback
from indexer.work.tasks import chunk_tasks
from indexer.work.workers import Workers

POLL = 0.2  # seconds between two looks at the stop signal
# In flight at most, of each kind of tasks. Many workers have many tasks, and each is here as well.
FLIGHT_BYTES = 64 << 20


class Limits(Struct, frozen=True):
    """When a scheduler ends early.

    Without `seconds_left` no new task begins. Before that, no file is chunked that could not
    be embedded in time. Once it `should_stop`, no task is waited for.
    """

    should_stop: Callable[[], object] = lambda: False
    seconds_left: Callable[[], float] = lambda: math.inf


class Scheduler:
    """Runs changed files through workers; `files` yields them as they get ready.

    A task that costs a worker (`TaskError`) is given out again in its smallest parts, so that
    only the file to blame fails. A file at which a worker crashes is chunked without its
    syntax. Raises any other error of a task, such as `ModelError`.

    Unless it `embeds`, only what the cache knows gets a vector. `embedding` is as in `Settings`,
    and `lend` as in `Assembly`.
    """

    def __init__(
        self,
        workers: Workers,
        cache: EmbeddingCache,
        feedback: Feedback,
        limits: Limits,
        *,
        embeds: bool = True,
        embedding: Embedding = BY_MEANING,
        lend: Lend | None = None,
    ) -> None:
        self._workers = workers
        self._feedback = feedback
        self._counts, self._spans = feedback.counts, feedback.spans
        self._limits = limits
        self._assembly = Assembly(
            cache, feedback, embeds=embeds, embedding=embedding, lend=lend
        )
        self._backlog = Backlog(workers)
        self._chunking: dict[Future[worker.ChunkedBatch], list[ChangedFile]] = {}
        self._embedding: dict[Future[worker.EmbeddedBatch], dict[Key, Chunk]] = {}
        self._crashing: set[str] = set()  # paths of files to chunk without syntax
        self._chunking_bytes = self._embedding_bytes = 0  # in flight
        self._since = 0.0  # when the first embed task was given out

    def files(self, changes: Iterable[ChangedFile | None]) -> Iterator[EmbeddedFile]:
        """Yield each file once all of its vectors are there.

        Stops early on a signal. A None among the changes says that the next one is not there
        yet.
        """
        tasks = chunk_tasks(changes)
        has_more = True
        while not self._limits.should_stop():
            seconds = self._limits.seconds_left()
            if seconds > 0:
                is_enough = self._has_work_for(seconds)
                if not is_enough:
                    has_more = has_more and self._submit_chunking(tasks)
                is_last = not has_more and not self._chunking
                self._submit_embedding(is_last=is_last or is_enough)
            elif not self._embedding:
                break
            if not self._chunking and not self._embedding and not has_more:
                break
            self._collect()
            yield from self._assembly.take_ready()
        yield from self._assembly.take_ready()

    def _has_work_for(self, seconds: float) -> bool:
        """Whether more texts wait than can be embedded in this time, at the rate so far."""
        if seconds == math.inf or not self._counts.embedded:
            return False
        rate = self._counts.embedded / (time.monotonic() - self._since)
        return self._assembly.awaited >= rate * seconds

    @property
    def _is_warm(self) -> bool:
        """Whether the first vector is there. Until then, tasks are small and do not queue."""
        return bool(self._counts.embedded or self._counts.cached)

    def _submit_chunking(self, tasks: Iterator[list[ChangedFile]]) -> bool:
        """Keep the workers in chunk tasks while the backlog has room.

        Returns whether there may be more tasks.
        """
        jobs = self._workers.jobs
        window = 2 * jobs if self._is_warm else jobs
        while (
            len(self._chunking) < window
            and self._chunking_bytes < FLIGHT_BYTES
            and self._backlog.has_room
        ):
            with self._spans.span("read"):
                task = next(tasks, None)
            if task is None:
                return False
            if not task:
                break  # not yet
            self._chunk(task)
        return True

    def _chunk(self, task: list[ChangedFile]) -> None:
        files = [(change.path, change.data) for change in task]
        with_syntax = task[0].path not in self._crashing
        future = self._workers.chunkers.submit(
            worker.chunk_files, files, with_syntax=with_syntax
        )
        self._chunking[future] = task
        self._chunking_bytes += _size_of(task)

    def _submit_embedding(self, *, is_last: bool) -> None:
        """Keep the workers in embed tasks."""
        self._backlog.cut(
            is_warm=self._is_warm, is_last=is_last, is_idle=not self._embedding
        )
        while (
            len(self._embedding) < 2 * self._workers.embed_jobs
            and self._embedding_bytes < FLIGHT_BYTES
        ):
            task = self._backlog.next_task()
            if task is None:
                break
            self._embed(task)

    def _embed(self, task: dict[Key, Chunk]) -> None:
        self._since = self._since or time.monotonic()
        texts = [chunk.embedded_text for chunk in task.values()]
        ids = [chunk.ids for chunk in task.values()]
        future = self._workers.embedders.submit(worker.embed_texts, texts, ids)
        self._embedding[future] = task
        self._embedding_bytes += size_of(task)

    def _collect(self) -> None:
        """Wait until a task is done, or for a moment, and deal with all that are."""
        tasks: list[Future[Any]] = [*self._chunking, *self._embedding]
        if not wait(tasks, timeout=POLL, return_when=FIRST_COMPLETED).done:
            self._feedback.on_progress(Step())
        for chunking in [task for task in self._chunking if task.done()]:
            changes = self._chunking.pop(chunking)
            self._chunking_bytes -= _size_of(changes)
            try:
                files = chunking.result()
            except TaskError as error:
                self._not_chunked(changes, error)
            else:
                self._chunked(changes, files)
        embedded = [task for task in self._embedding if task.done()]
        # What one task raises may end the run, which keeps what the others brought.
        embedded.sort(key=lambda task: task.exception() is not None)
        for embedding in embedded:
            chunks = self._embedding.pop(embedding)
            self._embedding_bytes -= size_of(chunks)
            try:
                batch = embedding.result()
            except TaskError as error:
                self._not_embedded(chunks, error)
            else:
                self._spans.found.extend(batch.spans)
                self._assembly.deliver(list(chunks), batch)

    def _chunked(self, task: list[ChangedFile], batch: worker.ChunkedBatch) -> None:
        self._spans.found.extend(batch.spans)
        for change, file, seconds in zip(task, batch.files, batch.seconds, strict=True):
            if file.error:
                self._fail(change, file.error)
            else:
                self._backlog.add(self._assembly.open(change, file, seconds))

    def _not_chunked(self, task: list[ChangedFile], error: TaskError) -> None:
        change, *others = task
        if others:
            for change in task:
                self._chunk([change])
        elif (
            isinstance(error, WorkerCrashedError) and change.path not in self._crashing
        ):
            # In a chunk task, only a grammar's native code does that.
            self._crashing.add(change.path)
            self._chunk(task)
        else:
            self._fail(change, str(error))

    def _fail(self, change: ChangedFile, error: str) -> None:
        self._feedback.on_failure(change.path, change.file_hash, error)
        self._feedback.on_progress(Step(known=len(change.data), files=1))

    def _not_embedded(self, task: dict[Key, Chunk], error: TaskError) -> None:
        for key, chunk in task.items():
            if len(task) > 1:
                self._embed({key: chunk})
            else:
                self._assembly.give_up(key, str(error))


def _size_of(task: list[ChangedFile]) -> int:
    return sum(len(change.data) for change in task)
