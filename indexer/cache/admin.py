"""What is in the embedding cache, and keeping that within a bound."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass

from indexer.cache.file import File, open_existing, open_or_remove
from indexer.cache.sqlite import DAY, is_damage, paths_in, size_of

_PRUNE_SHARE = 0.9  # of the limit, so that not every run prunes


@dataclass(frozen=True, slots=True)
class CacheFile:
    """A file of the cache, as `describe` finds it.

    `last_used` is a date (UTC) as in ISO 8601, "" without entries. `error` says why the
    file cannot be read; all but `name` and `bytes` are then empty.
    """

    name: str
    bytes: int
    model: str = ""
    dimension: int = 0
    precision: str = ""
    entries: int = 0
    last_used: str = ""
    error: str = ""


def cache_bytes(folder: str) -> int:
    """The bytes that the files of the cache take; opens none."""
    return sum(size_of(path) for path in paths_in(folder))


def describe(folder: str) -> list[CacheFile]:
    """The files of the cache, by name; none where there is no folder."""
    return [_describe(path) for path in paths_in(folder)]


def _describe(path: str) -> CacheFile:
    name, size = os.path.basename(path), size_of(path)
    try:
        with closing(open_existing(path)) as file:
            entries, day = file.count()
            source = file.source
    except (sqlite3.Error, OSError) as error:
        return CacheFile(name, size, error=str(error))
    return CacheFile(
        name,
        size,
        source.model,
        source.dimension,
        source.precision,
        entries,
        time.strftime("%Y-%m-%d", time.gmtime(day * DAY)) if entries else "",
    )


@dataclass(frozen=True, slots=True)
class Pruned:
    """What `prune` removed and left; `error`, "" if all went well, is one line."""

    entries: int
    bytes: int
    bytes_left: int
    error: str = ""


def prune(folder: str, limit: int) -> Pruned:
    """Bring the cache under `limit` bytes, a tenth below, if it is over it.

    Whole files that cannot be read go first, then the entries that were not used for the
    longest time, from whichever file. Runs may go on meanwhile. Never raises.
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
    """The files of a cache while it is pruned; those that resist are passed over."""

    def __init__(self, stack: ExitStack, folder: str) -> None:
        self.removed = 0
        self.error = ""
        self._resisting = 0  # bytes
        self._files: dict[File, tuple[int | None, int]] = {}  # oldest day, bytes
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
        """Remove entries until no more than `target` bytes are in use, then give back."""
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

    def _survey(self, file: File) -> None:
        self._files[file] = (file.oldest_day(), file.bytes_in_use())

    def _bytes(self) -> int:
        return self._resisting + sum(used for _, used in self._files.values())

    @contextmanager
    def _trying(self, file: File) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            self._files.pop(file, None)
            if is_damage(error):
                file.discard()
            else:
                self._pass_over(file.path, error)

    def _pass_over(self, path: str, error: Exception) -> None:
        self._resisting += size_of(path)
        self.error = self.error or f"{path}: {error}"
