"""What the next chunks of an embedded database will cost, as measured on this index.

A search has all vectors and words of the database in memory, and an edit reads the ids of all
rows, so both grow with it. Nothing is refused: whoever knows the cost can move to a server.
"""

from __future__ import annotations

import os
from contextlib import suppress

from indexer.config import Settings
from indexer.index.manifest import Manifest
from indexer.milvus.internals import VECTORS, collection_folder
from indexer.milvus.schema import physical_name
from indexer.report import KNEE, Growth, Report

# docs/benchmarks/growth.md has the measurements. Megabytes of a search over few rows, whose query a model here
# embeds, or not; and what a search has in memory of each row besides its vector: id and words.
MEGABYTES_WITH_MODEL, MEGABYTES_WITHOUT = 330.0, 140.0
MEMORY_OF_A_ROW = 1_500


def foretell(settings: Settings, report: Report) -> None:
    """Put into the report what the next chunks cost, where they are many in an embedded database.

    The report has the chunks of the index by then.
    """
    if report.chunks.total < KNEE or not settings.database:
        return
    physical = physical_name(settings.collection_name, report.fingerprint)
    size, vectors = _sizes_of(collection_folder(settings.database, physical))
    seconds = 0.0
    with suppress(ValueError):
        with Manifest(settings.manifest_path, readonly=True) as manifest:
            seconds = float(manifest.get("edit_seconds") or 0)
    has_model = settings.embeds and settings.endpoint is None
    base = MEGABYTES_WITH_MODEL if has_model else MEGABYTES_WITHOUT
    report.growth = grown(report.chunks.total, size, vectors, seconds, base)


def grown(rows: int, size: int, vectors: int, seconds: float, base: float) -> Growth:
    """The growth of so many rows, of `size` bytes on the disk, among them those of the `vectors`.

    `seconds` is what the store took of the last edit, 0 if there was none; `base` the megabytes of a
    search over few rows.
    """
    of_row = (vectors / rows + MEMORY_OF_A_ROW) / 1e6
    return Growth(
        rows,
        round(size / rows),
        round(base + rows * of_row),
        round(seconds, 2) if seconds else None,
        KNEE,
        round(KNEE * of_row),
        round(seconds * KNEE / rows, 2) if seconds else None,
    )


def _sizes_of(folder: str) -> tuple[int, int]:
    """The bytes of all files below a folder, and of those that hold vectors to be searched."""
    size = vectors = 0
    for where, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):  # a segment that was merged away meanwhile
                bytes_ = os.lstat(os.path.join(where, name)).st_size
                size += bytes_
                vectors += bytes_ if name.endswith(VECTORS) else 0
    return size, vectors
