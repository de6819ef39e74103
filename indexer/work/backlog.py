"""Texts that wait in the parent to be embedded."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from itertools import islice

from indexer.cache.entry import Key
from indexer.types import Chunk
from indexer.work.workers import Workers

# Texts that wait for each worker, and bytes that wait in all: they bound the parent's memory.
BACKLOG_CHUNKS = 512
BACKLOG_BYTES = 128 << 20


class Backlog:
    """Chunks that wait to be embedded, and the tasks that were cut from them.

    The oldest go first, so that files become complete, and are committed, about in their order. How
    many there are follows the workers, which may come and go.
    """

    def __init__(self, workers: Workers) -> None:
        self._workers = workers
        self._bytes = 0
        self._chunks: dict[Key, Chunk] = {}  # in no task yet
        self._tasks: deque[dict[Key, Chunk]] = deque()

    def __len__(self) -> int:
        return len(self._chunks) + sum(map(len, self._tasks))

    @property
    def has_room(self) -> bool:
        """Whether more files may be chunked."""
        room = max(self._workers.jobs * BACKLOG_CHUNKS, 2 * self._generation)
        return len(self) < room and self._bytes < BACKLOG_BYTES

    @property
    def _window(self) -> int:
        """Tasks in flight."""
        return 2 * self._workers.embed_jobs

    @property
    def _generation(self) -> int:
        """Chunks that fill the window."""
        return self._window * self._workers.embed_task

    def add(self, chunks: Mapping[Key, Chunk]) -> None:
        """Add chunks, none of which is here already."""
        self._chunks.update(chunks)
        self._bytes += size_of(chunks)

    def cut(self, *, is_warm: bool, is_last: bool, is_idle: bool) -> None:
        """Cut the oldest chunks into tasks, sorted by length, unless more chunks are worth a wait.

        Nothing is waited for if no chunks will come (`is_last`), or if no task is in flight
        (`is_idle`) and none is here. Until the first vector is there (`is_warm`), tasks are
        small.
        """
        is_idle = is_idle and not self._tasks
        is_full = len(self._chunks) >= self._generation
        is_full |= self._bytes >= BACKLOG_BYTES and not self._tasks
        if not (is_last or is_idle or is_full):
            return
        most = self._workers.embed_task if is_warm else self._workers.least_task
        keys = list(islice(self._chunks, self._window * most))
        keys.sort(key=lambda key: -self._chunks[key].tokens)
        # Towards the end the tasks get smaller, so that no worker ends alone.
        share = math.ceil(len(keys) / self._window) if is_last else len(keys)
        size = min(most, max(share, self._workers.least_task))
        for start in range(0, len(keys), size):
            task = keys[start : start + size]
            self._tasks.append({key: self._chunks.pop(key) for key in task})

    def next_task(self) -> dict[Key, Chunk] | None:
        """Take the oldest task out of the backlog, None where there is none."""
        if not self._tasks:
            return None
        task = self._tasks.popleft()
        self._bytes -= size_of(task)
        return task


def size_of(chunks: Mapping[Key, Chunk]) -> int:
    """About how many bytes chunks take, here and on their way."""
    return sum(len(chunk.text) + len(chunk.ids) for chunk in chunks.values())
