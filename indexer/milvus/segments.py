"""Segments whose columns are read when they are asked for, which `internals` puts into milvus-lite.

A segment is a file of rows. milvus-lite reads every column of each as soon as a collection is
opened. A run that writes needs no more than the ids and the sequence numbers of what is there.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SEQUENCE = "_seq"


class SegmentColumns:
    """What milvus-lite's `Segment` reads from its file, read when it is asked for.

    The file is kept open, because a merge may remove it while a reader still has its rows to fetch.
    Whatever is read is checked against its checksums. A page that nobody reads is not.
    """

    def __init__(
        self, file_path: str, partition: str, pk_field: str, vector_field: str | None
    ) -> None:
        import pyarrow

        self.file_path = file_path
        self.partition = partition
        self._pk_field = pk_field
        self._vector_field = vector_field or ""
        self._vectors: dict[str, NDArray[np.float32]] = {}
        self.index = None
        self.indexes: dict[str, Any] = {}
        self.scalar_indexes: dict[str, Any] = {}
        self.sparse_indexes: dict[str, Any] = {}
        self._file = pyarrow.OSFile(file_path, "rb")
        keys = self._read([pk_field, SEQUENCE])
        self.pks: list[str] = keys.column(pk_field).to_pylist()
        self.seqs: NDArray[np.uint64] = keys.column(SEQUENCE).to_numpy().astype("u8")

    @classmethod
    def load(
        cls, file_path: str, partition: str, pk_field: str, vector_field: str | None
    ) -> SegmentColumns:
        return cls(file_path, partition, pk_field, vector_field)

    @cached_property
    def table(self) -> Any:
        """All columns."""
        return self._read(None)

    @cached_property
    def pk_to_row(self) -> dict[str, int]:
        """The row of each id."""
        return {pk: row for row, pk in enumerate(self.pks)}

    @property
    def vectors(self) -> NDArray[np.float32]:
        """Of shape (rows, dimension)."""
        return self.vector_data(self._vector_field)[0]

    @property
    def vector_null_mask(self) -> None:
        """Every row has a vector."""
        return None

    def vector_data(self, field_name: str) -> tuple[NDArray[np.float32], None]:
        """The vectors of a field, of shape (rows, dimension); every row has one."""
        if field_name not in self._vectors:
            column = self._read([field_name]).column(field_name).combine_chunks()
            values = column.flatten().to_numpy(zero_copy_only=False)
            self._vectors[field_name] = values.reshape(len(column), -1)
        return self._vectors[field_name], None

    def build_or_load_index(self, spec: object, index_dir: str) -> None:
        """Nothing: what milvus-lite calls a FLAT index is a second file of the very vectors."""

    def close(self) -> None:
        """Close the file; nothing can be read any more."""
        self._file.close()

    def _read(self, columns: list[str] | None) -> Any:
        from importlib import import_module

        parquet = import_module("pyarrow.parquet")  # which has no types
        file = parquet.ParquetFile(self._file, page_checksum_verification=True)
        return file.read(columns)
