"""Keeps the embedding cache within a bound."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from msgspec import Struct

from indexer.cache.file import VectorFile, open_or_remove
from indexer.cache.folder import cache_bytes, paths_in, size_of
from indexer.cache.sqlite import is_damage

_PRUNE_SHARE = 0.9  # of the limit, so that not every run prunes


class Pruned(Struct, frozen=True):
    """What `prune` removed and left. `error` is one line, "" if all went well."""

    entries: int
    bytes: int
    bytes_left: int
    error: str = ""


def prune(folder: str, limit: int) -> Pruned:
    """Bring a cache that is over `limit` bytes to a tenth below it.

    Whole files that cannot be read go first, then the entries of any file that were not used
    for the longest time. Runs may go on meanwhile. Never raises.
    """
    before = cache_bytes(folder)
    if before <= limit:
        return Pruned(0, 0, before)
    with ExitStack() as stack:
        pruning = _Pruning(stack, folder)
        pruning.prune(int(limit * _PRUNE_SHARE))
    left = cache_bytes(folder)
    return Pruned(pruning.removed, max(before - left, 0), left, pruning.error)


class _Pruning:
    """The files of a cache while it is pruned. Those that cannot be pruned are passed over."""

    def __init__(self, stack: ExitStack, folder: str) -> None:
        self.removed = 0
        self.error = ""
        self._passed_over = 0  # bytes
        # The oldest day and the bytes of each file.
        self._files: dict[VectorFile, tuple[int | None, int]] = {}
        for path in paths_in(folder):
            try:
                if (file := open_or_remove(path)) is not None:
                    stack.callback(file.close)
                    with self._trying(file):
                        file.set_back_days()
                        self._survey(file)
            except (sqlite3.Error, OSError) as error:
                self._pass_over(path, error)

    def prune(self, target: int) -> None:
        """Remove entries until at most `target` bytes are in use, then give the space back."""
        while (excess := self._bytes() - target) > 0:
            days = {file: day for file, (day, _) in self._files.items()}
            filled = [file for file in days if days[file] is not None]
            if not filled:
                break
            oldest = min(filled, key=lambda file: (days[file], file.path))
            with self._trying(oldest):
                self.removed += oldest.remove_oldest(excess)
                self._survey(oldest)
        for file, (day, _) in list(self._files.items()):
            with self._trying(file):
                file.shrink()
                if day is None:
                    file.remove_unless_used()

    def _survey(self, file: VectorFile) -> None:
        self._files[file] = (file.oldest_day(), file.bytes_in_use())

    def _bytes(self) -> int:
        return self._passed_over + sum(used for _, used in self._files.values())

    @contextmanager
    def _trying(self, file: VectorFile) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            self._files.pop(file, None)
            if is_damage(error):
                file.discard()
            else:
                self._pass_over(file.path, error)

    def _pass_over(self, path: str, error: Exception) -> None:
        self._passed_over += size_of(path)
        self.error = self.error or f"{path}: {error}"
