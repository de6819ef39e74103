"""The workers of runs, wherever they are: in this process, on this machine, or on a cluster."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import TYPE_CHECKING

from indexer.address import is_cluster
from indexer.config import Reading
from indexer.work.workers import Workers, open_workers

if TYPE_CHECKING:
    from indexer.vectors.backend import Backend


def open_anywhere(
    kind: str,
    jobs: int,
    backend: Backend,
    *,
    reading: Reading,
    task_timeout: float,
    on_step: Callable[[str], None] = lambda message: None,
    on_warning: Callable[[str], None] = lambda message: None,
) -> AbstractContextManager[Workers]:
    """Open workers as `open_workers` does, or those of the cluster that `kind` names.

    A cluster tells `on_step` of its workers, and `on_warning` of those that cannot be used.
    """
    if not is_cluster(kind):
        return open_workers(
            kind, jobs, backend, reading=reading, task_timeout=task_timeout
        )
    from indexer.work.cluster import open_cluster
    from indexer.work.recipe import recipe_of

    recipe = recipe_of(backend, task_timeout)
    return open_cluster(kind, jobs, recipe, reading, on_step, on_warning)


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
        """Open workers as `open_anywhere` does, or lend those that were kept."""
        opening = open_anywhere(
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
