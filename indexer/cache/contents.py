"""What is in the embedding cache, file by file."""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing

from msgspec import Struct

from indexer.cache.file import open_existing
from indexer.cache.folder import paths_in, size_of
from indexer.cache.sqlite import DAY


class CacheFile(Struct, frozen=True):
    """A file of the cache, as `describe` finds it.

    `last_used` is a date (UTC) as in ISO 8601, "" without entries. `error` says why the file
    cannot be read. All fields but `name` and `bytes` are then empty.
    """

    name: str
    bytes: int
    model: str = ""
    dimension: int = 0
    precision: str = ""
    entries: int = 0
    last_used: str = ""
    error: str = ""


def describe(folder: str) -> list[CacheFile]:
    """The files of the cache by name, none where there is no folder."""
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
