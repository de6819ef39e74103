"""Rows of the embedded database, in columns that are read when they are asked for.

milvus-lite keeps rows in segments, which are files that nobody writes to again, and the latest rows in
memory. It reads every column of each segment as soon as a collection is opened. A run that writes needs
only the ids and the sequence numbers of what is there.
"""

from __future__ import annotations

import sys
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from importlib import import_module
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from indexer.milvus import posting_file, vector_file
from indexer.milvus.posting_file import PostingFile
from indexer.milvus.postings import Postings
from indexer.types import Weights

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SEQUENCE = "_seq"

# A hit costs reading its group. More groups than this would cost a writer more.
GROUP_ROWS = 1_024

MOST_SLICES = 200

LEAST_ROWS_APART = 64
"""The vectors of fewer rows are read just as quickly from Parquet."""


class Columns:
    """Rows in columns: `pks` are their ids, `seqs` (uint64) tell which of two rows is newer."""

    pks: list[Any]
    seqs: NDArray[np.uint64]

    def __init__(self) -> None:
        self._vectors: dict[str, tuple[NDArray[np.float32], NDArray[np.float32]]] = {}
        self._postings: dict[str, Postings] = {}
        self._kept: dict[tuple[str, ...], Any] = {}

    def read(self, names: Iterable[str]) -> Any:
        """These columns, as an Arrow table."""
        raise NotImplementedError

    def kept(self, names: tuple[str, ...]) -> Any:
        """These columns, kept in memory for the next call."""
        if names not in self._kept:
            self._kept[names] = self.read(names)
        return self._kept[names]

    def records(
        self, rows: Sequence[int], names: Sequence[str], *, keep: bool = False
    ) -> list[dict[str, Any]]:
        """These columns of some rows, in the order of `rows`.

        With `keep`, what is read for that is kept in memory for the next call.
        """
        raise NotImplementedError

    def vectors_of(self, field: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The vectors of a field, of shape (rows, dimension), and their lengths, or 1 for none.

        There is at least one row.
        """
        import numpy as np

        if field not in self._vectors:
            vectors = self._mapped(field)
            if vectors is None:
                vectors = _as_array(self.read([field]).column(field))
            lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
            lengths[lengths == 0] = 1
            self._vectors[field] = vectors, lengths
        return self._vectors[field]

    def _mapped(self, field: str) -> NDArray[np.float32] | None:
        """The vectors of a field, if they are in a file that can be mapped."""
        return None

    def inner_products(self, field: str, query: Weights) -> NDArray[np.float64]:
        """Those of the sparse vectors of a field with the query: of shape (rows,)."""
        if field not in self._postings:
            self._postings[field] = Postings.of(self.read([field]).column(field))
        return self._postings[field].scores(query)


class MemoryColumns(Columns):
    """The rows that are not in a segment yet, as an Arrow table."""

    def __init__(self, table: Any, pk_field: str) -> None:
        super().__init__()
        self._table = table
        self.pks = table.column(pk_field).to_pylist()
        self.seqs = table.column(SEQUENCE).to_numpy()

    def read(self, names: Iterable[str]) -> Any:
        return self._table.select(list(names))

    def records(
        self, rows: Sequence[int], names: Sequence[str], *, keep: bool = False
    ) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = picked(self.read(names), rows).to_pylist()
        return found


class SegmentColumns(Columns):
    """What milvus-lite's `Segment` reads from its file, but only when it is asked for.

    The file is kept open, because a merge may remove it while a reader still has its rows to fetch.
    Whatever is read is checked against its checksums. A page that nobody reads is not.
    """

    def __init__(
        self, file_path: str, partition: str, pk_field: str, vector_field: str | None
    ) -> None:
        import pyarrow

        super().__init__()
        self.file_path = file_path
        self.partition = partition
        self._pk_field = pk_field
        self._vector_field = vector_field or ""
        self.index = None
        self.indexes: dict[str, Any] = {}
        self.scalar_indexes: dict[str, Any] = {}
        self.sparse_indexes: dict[str, Any] = {}
        self._file = pyarrow.OSFile(file_path, "rb")
        self._groups: dict[tuple[int, tuple[str, ...]], Any] = {}
        self._posting_files: dict[str, PostingFile | None] = {}
        keys = self.read([pk_field, SEQUENCE])
        self.pks = keys.column(pk_field).to_pylist()
        self.seqs = keys.column(SEQUENCE).to_numpy().astype("u8")

    @classmethod
    def load(
        cls, file_path: str, partition: str, pk_field: str, vector_field: str | None
    ) -> SegmentColumns:
        return cls(file_path, partition, pk_field, vector_field)

    @cached_property
    def table(self) -> Any:
        """All columns."""
        return self._parquet.read()

    @cached_property
    def pk_to_row(self) -> dict[Any, int]:
        """The row of each id."""
        return {pk: row for row, pk in enumerate(self.pks)}

    @property
    def vectors(self) -> NDArray[np.float32]:
        """Of shape (rows, dimension)."""
        return self.vectors_of(self._vector_field)[0]

    @property
    def vector_null_mask(self) -> None:
        """Every row has a vector."""
        return None

    def vector_data(self, field_name: str) -> tuple[NDArray[np.float32], None]:
        """The vectors of a field, of shape (rows, dimension); every row has one."""
        return self.vectors_of(field_name)[0], None

    def build_or_load_index(self, spec: object, index_dir: str) -> None:
        """Do nothing: what milvus-lite calls a FLAT index is a second file of the same vectors."""

    def read(self, names: Iterable[str]) -> Any:
        return self._parquet.read(list(names))

    def records(
        self, rows: Sequence[int], names: Sequence[str], *, keep: bool = False
    ) -> list[dict[str, Any]]:
        places: defaultdict[int, list[int]] = defaultdict(list)
        for place, row in enumerate(rows):
            places[bisect_right(self._starts, row) - 1].append(place)
        found: list[dict[str, Any]] = [{}] * len(rows)
        for group, here in places.items():
            start = self._starts[group]
            table = self._group(group, tuple(names), keep)
            some = picked(table, [rows[place] - start for place in here]).to_pylist()
            for place, record in zip(here, some, strict=True):
                found[place] = record
        return found

    def inner_products(self, field: str, query: Weights) -> NDArray[np.float64]:
        if field not in self._posting_files:
            path = posting_file.path_of(self.file_path, field)
            self._posting_files[field] = PostingFile.open(path, self.pks)
        file = self._posting_files[field]
        found = file.scores(query) if file else None
        return super().inner_products(field, query) if found is None else found

    def groups(self) -> Iterator[tuple[int, Any]]:
        """Yield all columns of each group of rows, as an Arrow table, with the number of its first row."""
        for number, start in enumerate(self._starts):
            yield start, self._parquet.read_row_group(number)

    def close(self) -> None:
        """Close the file and free the memory; nothing can be read any more."""
        self._file.close()
        for file in self._posting_files.values():
            if file:
                file.close()
        self._posting_files.clear()
        for kept in (self._vectors, self._postings, self._kept, self._groups):
            kept.clear()

    def _mapped(self, field: str) -> NDArray[np.float32] | None:
        return vector_file.read(vector_file.path_of(self.file_path, field), self.pks)

    @cached_property
    def _parquet(self) -> Any:
        parquet = import_module("pyarrow.parquet")  # which has no types
        return parquet.ParquetFile(self._file, page_checksum_verification=True)

    @cached_property
    def _starts(self) -> list[int]:
        """The first row of each group. Earlier versions wrote one group."""
        about = self._parquet.metadata
        sizes = [about.row_group(n).num_rows for n in range(about.num_row_groups)]
        return list(accumulate(sizes[:-1], initial=0))

    def _group(self, number: int, names: tuple[str, ...], keep: bool) -> Any:
        found = self._groups.get((number, names))
        if found is None:
            found = self._parquet.read_row_group(number, list(names))
            if keep:
                self._groups[number, names] = found
        return found


def picked(table: Any, rows: Sequence[int]) -> Any:
    """These rows of an Arrow table, in their order.

    Arrow's `take` is in a module that takes longer to import than a few slices take.
    """
    import pyarrow

    starts = [n for n in range(len(rows)) if n == 0 or rows[n] != rows[n - 1] + 1]
    if not rows or len(starts) > MOST_SLICES or "pyarrow.compute" in sys.modules:
        return table.take(pyarrow.array(rows, pyarrow.int64()))
    ends = [*starts[1:], len(rows)]
    return pyarrow.concat_tables(
        table.slice(rows[start], end - start)
        for start, end in zip(starts, ends, strict=True)
    )


def _as_array(column: Any) -> NDArray[np.float32]:
    """An Arrow column of vectors, as an array of shape (rows, dimension)."""
    import numpy as np

    parts = [part.flatten().to_numpy(zero_copy_only=False) for part in column.chunks]
    values = parts[0] if len(parts) == 1 else np.concatenate(parts)
    vectors: NDArray[np.float32] = values.reshape(len(column), -1)
    return vectors


_REPEATED = frozenset({"path", "file_hash", "language", "symbol"})
_TEXT = "text"


def write_segment(table: Any, path: str) -> None:
    """Write rows to a file for quick reading, with a checksum of each page.

    Without checksums, a flipped bit in a page gives another row. Looking for equal texts or vectors, or
    compressing numbers that look random, gains nothing.
    """
    parquet = import_module("pyarrow.parquet")
    codecs = {
        field.name: "LZ4" if field.name == _TEXT else "SNAPPY"
        for field in table.schema
        if str(field.type) in ("string", "uint64", "int64", "int32", "bool")
    }
    _write_apart(table, path)
    parquet.write_table(
        table,
        path,
        row_group_size=GROUP_ROWS,
        use_dictionary=[name for name in table.column_names if name in _REPEATED],
        compression=codecs or "NONE",
        write_page_checksum=True,
    )


def files_apart(segment: str) -> tuple[str, str]:
    """The files with the vectors and the sparse vectors of the segment at this path, if they were written."""
    return (
        vector_file.path_of(segment, "vector"),
        posting_file.path_of(segment, "sparse"),
    )


def _write_apart(table: Any, segment: str) -> None:
    """Write the vectors of these rows once more, if they are our rows and many."""
    names = {*table.column_names}
    if not {"id", "embedded"} <= names or table.num_rows < LEAST_ROWS_APART:
        return
    pks = table.column("id").to_pylist()
    vectors_path, postings_path = files_apart(segment)
    if any(table.column("embedded").to_pylist()):
        vector_file.write(vectors_path, _as_array(table.column("vector")), pks)
    if "sparse" in names:
        posting_file.write(postings_path, Postings.of(table.column("sparse")), pks)
