"""Merges segments if many of their rows are dead or many segments are small, and deletions as well.

Rows are never changed in a segment: a newer row, or a deletion, makes them dead. milvus-lite merges files
of similar size, as long as they are small, and keeps each file of deletions. So the files of an index that
is edited for months grow to many times what it holds. Here at least two thirds of the rows of every
segment are live.

New files are written first, then the list of files is replaced, then old files are removed. A kill in
between leaves files that are not in the list, and milvus-lite removes these when it opens the database.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec import Struct

from indexer.faults import reach
from indexer.milvus.reads import Newest
from indexer.milvus.segments import SEQUENCE, SegmentColumns, files_apart, picked

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MOST_DEAD = 1 / 3  # of the rows of a segment
SMALL_ROWS = 4_096
MOST_SMALL = 8  # segments with fewer live rows than that
MOST_DELETIONS = 8  # files with deletions
MERGED_ROWS = 20_000  # in the segments that a merge writes


class Files(Struct, frozen=True):
    """How milvus-lite writes a partition's files.

    `write_rows` and `write_deletions` take an Arrow table, the folder of the partition, and the least and
    greatest sequence number, which become the file's name; they return its path in that folder.
    `deletions_schema` is the schema of a collection's deletions.
    """

    write_rows: Callable[[Any, str, int, int], str]
    write_deletions: Callable[[Any, str, int, int], str]
    deletions_schema: Callable[[Any], Any]


class Merge:
    """A merge in a partition of a collection, whose list of files is `manifest`."""

    def __init__(
        self, collection: Any, partition: str, newest: Newest, files: Files
    ) -> None:
        self._manifest = collection._manifest
        self._schema = collection.schema
        self._pk_field = collection.pk_field
        self._partition = partition
        self._folder = os.path.join(collection.data_dir, "partitions", partition)
        self._newest = newest
        self._files = files
        parts = _live_parts(newest)
        self._chosen = _chosen(parts)
        self._rest = [one for one, _ in parts if one not in dict(self._chosen)]

    @property
    def is_due(self) -> bool:
        """Whether there is anything to merge."""
        return bool(self._chosen) or len(self._deletions) > MOST_DELETIONS

    @property
    def _deletions(self) -> list[str]:
        found: list[str] = self._manifest.get_delta_files(self._partition)
        return found

    def write(self) -> list[str]:
        """Write the segments that replace the chosen ones. Returns their paths."""
        return [self._write_rows(table) for table in _tables(self._chosen)]

    def replace(self, written: Sequence[str], *, is_current: bool) -> list[str]:
        """Put the written segments into the list of files. Returns the paths of the files to remove.

        Unless the newest rows are still the `current` ones, deletions stay as they are.
        """
        manifest, partition = self._manifest, self._partition
        old = [os.path.relpath(one.file_path, self._folder) for one, _ in self._chosen]
        manifest.remove_data_files(partition, old)
        for path in written:
            manifest.add_data_file(partition, path)
        if is_current:
            deletions = self._deletions
            needed = self._needed()
            manifest.remove_delta_files(partition, deletions)
            if needed:
                manifest.add_delta_file(partition, self._write_deletions(needed))
            old += deletions
        reach("merging")
        manifest.save()
        reach("merged")
        return [os.path.join(self._folder, path) for path in old]

    def _write_rows(self, table: Any) -> str:
        seqs = table.column(SEQUENCE).to_numpy()
        low, high = self._free_range("data", int(seqs.min()), int(seqs.max()))
        return self._files.write_rows(table, self._folder, low, high)

    def _write_deletions(self, deleted: Mapping[Any, int]) -> str:
        import pyarrow

        seqs = [*deleted.values()]
        table = pyarrow.table(
            {self._pk_field: [*deleted], SEQUENCE: seqs},
            schema=self._files.deletions_schema(self._schema),
        )
        low, high = self._free_range("delta", min(seqs), max(seqs))
        return self._files.write_deletions(table, self._folder, low, high)

    def _free_range(self, kind: str, low: int, high: int) -> tuple[int, int]:
        """A range of sequence numbers that is at least as high, and whose file does not exist yet."""
        while os.path.exists(
            os.path.join(self._folder, kind, f"{kind}_{low:06d}_{high:06d}.parquet")
        ):
            high += 1
        return low, high

    def _needed(self) -> dict[Any, int]:
        """The deletions without which a row of the other segments would be live."""
        deleted = self._newest.deleted
        return {
            pk: deleted[pk]
            for segment in (self._rest if deleted else ())
            for pk, seq in zip(segment.pks, segment.seqs.tolist(), strict=True)
            if deleted.get(pk, -1) > seq
        }


def remove(paths: Sequence[str]) -> None:
    """Remove files that are no longer in the list, and what belongs to them."""
    for path in paths:
        for one in (path, *files_apart(path)):
            with suppress(OSError):
                os.unlink(one)


class Part(NamedTuple):
    """A segment, and which of its rows are live, of shape (rows,)."""

    segment: SegmentColumns
    live: NDArray[np.bool_]


def _live_parts(newest: Newest) -> list[Part]:
    parts, start = [], 0
    for segment in newest.segments:
        end = start + len(segment.pks)
        parts.append(Part(segment, newest.live[start:end]))
        start = end
    return parts


def _chosen(parts: Sequence[Part]) -> list[Part]:
    """The segments with too many dead rows, and the smallest ones if too many are small."""
    small = {one.segment for one in _smallest(parts)}
    return [
        part
        for part in parts
        if part.segment in small or (~part.live).sum() > MOST_DEAD * len(part.live)
    ]


def _smallest(parts: Sequence[Part]) -> list[Part]:
    """The small segments to join, if there are too many.

    A segment with more rows than all smaller ones together stays. So a row is written again each time that the
    number of rows with it has doubled, and not after every few edits.
    """
    sizes = [int(part.live.sum()) for part in parts]
    small = [n for n, size in enumerate(sizes) if size < SMALL_ROWS]
    if len(small) <= MOST_SMALL:
        return []
    small.sort(key=sizes.__getitem__)
    count = max(2, len(small) - MOST_SMALL + 1)
    while count < len(small) and sizes[small[count]] <= sum(
        sizes[n] for n in small[:count]
    ):
        count += 1
    return [parts[n] for n in small[:count]]


def _tables(parts: Sequence[Part]) -> Iterator[Any]:
    """Yield the live rows of these segments, in tables of `MERGED_ROWS` rows and one with the rest."""
    import pyarrow

    held: list[Any] = []
    count = 0
    for segment, live in parts:
        for start, table in segment.groups():
            rows = live[start : start + table.num_rows].nonzero()[0]
            if not len(rows):
                continue
            held.append(picked(table, rows.tolist()))
            count += len(rows)
            if count >= MERGED_ROWS:
                yield pyarrow.concat_tables(held)
                held, count = [], 0
    if held:
        yield pyarrow.concat_tables(held)
