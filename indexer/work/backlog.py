"""Texts that wait in the parent to be embedded."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from itertools import islice

from indexer.cache.entry import Key
from indexer.types import Chunk
from indexer.work.workers import Workers

BACKLOG_CHUNKS = 512  # texts that wait for each worker; bounds the parent's memory


class Backlog:
    """Chunks that wait to be embedded, and the tasks that were cut from them.

    The oldest go first, so that files become complete, and are committed, about in their order.
    """

    def __init__(self, workers: Workers) -> None:
        self._window = 2 * workers.embed_jobs  # tasks in flight
        self._task_chunks = workers.embed_task
        self._least = workers.least_task
        self._generation = self._window * self._task_chunks
        self._room = max(workers.jobs * BACKLOG_CHUNKS, 2 * self._generation)
        self._chunks: dict[Key, Chunk] = {}  # in no task yet
        self._tasks: deque[dict[Key, Chunk]] = deque()

    def __len__(self) -> int:
        return len(self._chunks) + sum(map(len, self._tasks))

    @property
    def has_room(self) -> bool:
        """Whether more files may be chunked."""
        return len(self) < self._room

    def add(self, chunks: Mapping[Key, Chunk]) -> None:
        """Add chunks, none of which is here already."""
        self._chunks.update(chunks)

    def cut(self, *, is_warm: bool, is_last: bool, is_idle: bool) -> None:
        """Cut the oldest chunks into tasks, sorted by length, unless more chunks are worth a wait.

        Nothing is waited for if no chunks will come (`is_last`), or if no task is in flight
        (`is_idle`) and none is here. Until the first vector is there (`is_warm`), tasks are
        small.
        """
        is_idle = is_idle and not self._tasks
        if not (is_last or is_idle or len(self._chunks) >= self._generation):
            return
        most = self._task_chunks if is_warm else self._least
        keys = list(islice(self._chunks, self._window * most))
        keys.sort(key=lambda key: -self._chunks[key].tokens)
        # Towards the end the tasks get smaller, so that no worker ends alone.
        share = math.ceil(len(keys) / self._window) if is_last else len(keys)
        size = min(most, max(share, self._least))
        for start in range(0, len(keys), size):
            task = keys[start : start + size]
            self._tasks.append({key: self._chunks.pop(key) for key in task})

    def next_task(self) -> dict[Key, Chunk] | None:
        """Take the oldest task out of the backlog, None where there is none."""
        return self._tasks.popleft() if self._tasks else None
