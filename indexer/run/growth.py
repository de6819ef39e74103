"""What the next chunks of an embedded database will cost, as measured on this index.

A search has all vectors and words of the database in memory, and an edit reads the ids of all
rows, so both grow with it. Nothing is refused: whoever knows the cost can move to a server.
"""

from __future__ import annotations

import os
from contextlib import suppress

from indexer.config import Settings
from indexer.index.manifest import Manifest
from indexer.milvus.internals import collection_folder
from indexer.milvus.schema import physical_name
from indexer.report import KNEE, Growth, Report

# docs/growth.md: a search takes 305 MiB at 20,000 chunks, 968 MiB at 200,000; that of few rows is
# the program and the model. Beside what the files of the rows hold, it has ids and places of words.
SEARCH_MEGABYTES = 230.0
MEMORY_OF_FILES = 1.7  # bytes in memory for each byte on the disk


def foretell(settings: Settings, report: Report) -> None:
    """Put into the report what the next chunks cost, where they are many in an embedded database.

    The report has the chunks of the index by then.
    """
    if report.chunks.total < KNEE or not settings.database:
        return
    physical = physical_name(settings.collection_name, report.fingerprint)
    size = _size_of(collection_folder(settings.database, physical))
    seconds = 0.0
    with suppress(ValueError):
        with Manifest(settings.manifest_path, readonly=True) as manifest:
            seconds = float(manifest.get("edit_seconds") or 0)
    report.growth = grown(report.chunks.total, size, seconds)


def grown(rows: int, size: int, seconds: float) -> Growth:
    """The growth of so many rows, of `size` bytes on the disk.

    `seconds` is what the store took of the last edit, 0 if there was none.
    """
    of_rows = MEMORY_OF_FILES * size / rows / 1e6
    return Growth(
        rows,
        round(size / rows),
        round(SEARCH_MEGABYTES + rows * of_rows),
        round(seconds, 2) if seconds else None,
        KNEE,
        round(KNEE * of_rows),
        round(seconds * KNEE / rows, 2) if seconds else None,
    )


def _size_of(folder: str) -> int:
    """The bytes of all files below a folder."""
    size = 0
    for where, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):  # a segment that was merged away meanwhile
                size += os.lstat(os.path.join(where, name)).st_size
    return size
