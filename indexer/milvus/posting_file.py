"""The sparse vectors of a segment by term, in a file of their own, of which a search reads little.

A question has a few terms. Reading all sparse vectors of 50,000 rows from Parquet to find those terms takes 0.1 s
of CPU and 36 MB; from here, a thousandth of both. The file only saves time: the segment has the vectors too.

It has a head (numbers of terms and of rows), a directory in the order of the terms, the postings of each term in
the order of the rows, and a checksum of the head, the directory and the ids of the rows. The directory has a checksum
of each term's postings. So a file that a kill cut short or a disk changed is not believed.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from indexer.milvus.postings import Postings
from indexer.milvus.vector_file import CRC_BYTES, MARK, path_beside, write_beside
from indexer.types import Weights

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_HEAD_BYTES = 16
_ENTRY = [("term", "<u4"), ("end", "<u4"), ("checksum", "<u4")]
_ENTRY_BYTES = 12
_POSTING = [("row", "<u4"), ("weight", "<f4")]
_POSTING_BYTES = 8


def path_of(segment: str, field: str) -> str:
    """The file of a field's sparse vectors that belongs to the segment at this path.

    milvus-lite has no such files itself, and never reads one.
    """
    return path_beside(segment, field, "sparse_inverted_index")


def write(path: str, postings: Postings, pks: Sequence[str]) -> None:
    """Write the sparse vectors of these rows. It only saves time, so a failure is no error."""
    import numpy as np

    order = np.argsort(postings.terms, kind="stable")
    sorted_terms = postings.terms[order]
    found = np.empty(len(order), _POSTING)
    found["row"] = postings.rows[order]
    found["weight"] = postings.weights[order]
    is_last = np.ones(len(order), bool)  # of its term
    is_last[:-1] = sorted_terms[1:] != sorted_terms[:-1]
    ends = np.flatnonzero(is_last) + 1
    directory = np.empty(len(ends), _ENTRY)
    directory["term"] = sorted_terms[is_last]
    directory["end"] = ends
    data = found.tobytes()
    directory["checksum"] = [
        zlib.crc32(data[_POSTING_BYTES * start : _POSTING_BYTES * end])
        for start, end in pairwise([0, *ends.tolist()])
    ]
    head = np.array([len(ends), postings.count], "<u8").tobytes()
    top = head + directory.tobytes()
    write_beside(path, [top, data, MARK + _checksum(top, pks)])


class PostingFile:
    """The file at a path, kept open: a merge may remove it while it is read."""

    def __init__(
        self, handle: int, directory: NDArray[np.void], data_at: int, rows: int
    ) -> None:
        import numpy as np

        self._handle = handle
        self._terms = np.ascontiguousarray(directory["term"])
        self._ends = directory["end"]
        self._checksums = directory["checksum"]
        self._data_at = data_at
        self._rows = rows

    @classmethod
    def open(cls, path: str, pks: Sequence[str]) -> PostingFile | None:
        """The file at this path, if it was written for these rows."""
        try:
            handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None
        file = cls._checked(handle, pks)
        if file is None:
            os.close(handle)
        return file

    @classmethod
    def _checked(cls, handle: int, pks: Sequence[str]) -> PostingFile | None:
        import numpy as np

        size = os.fstat(handle).st_size
        head = os.pread(handle, _HEAD_BYTES, 0)
        if len(head) < _HEAD_BYTES:
            return None
        terms, rows = np.frombuffer(head, "<u8").tolist()
        data_at = _HEAD_BYTES + _ENTRY_BYTES * terms
        tail_at = size - len(MARK) - CRC_BYTES
        if rows != len(pks) or data_at > tail_at:
            return None
        top = os.pread(handle, data_at, 0)
        tail = os.pread(handle, size - tail_at, tail_at)
        if len(top) < data_at or tail != MARK + _checksum(top, pks):
            return None
        directory = np.frombuffer(top[_HEAD_BYTES:], _ENTRY)
        count = int(directory["end"][-1]) if terms else 0
        if data_at + _POSTING_BYTES * count != tail_at:
            return None
        return cls(handle, directory, data_at, rows)

    def scores(self, query: Weights) -> NDArray[np.float64] | None:
        """The inner product of each row with the query, of shape (rows,): as `Postings.scores` has it.

        None if the file is damaged.
        """
        import numpy as np

        scores = np.zeros(self._rows)
        for term, weight in query.items():
            found = self._postings(term)
            if found is None:
                return None
            scores[found["row"]] += weight * found["weight"]
        return scores

    def close(self) -> None:
        """Close the file; nothing can be read any more."""
        os.close(self._handle)

    def _postings(self, term: int) -> NDArray[np.void] | None:
        """Those of a term, in the order of the rows; None if they are damaged."""
        import numpy as np

        place = int(np.searchsorted(self._terms, term))
        if place == len(self._terms) or self._terms[place] != term:
            return np.empty(0, _POSTING)
        start = int(self._ends[place - 1]) if place else 0
        size = _POSTING_BYTES * (int(self._ends[place]) - start)
        data = os.pread(self._handle, size, self._data_at + _POSTING_BYTES * start)
        if zlib.crc32(data) != self._checksums[place]:
            return None
        return np.frombuffer(data, _POSTING)


def _checksum(top: bytes, pks: Sequence[str]) -> bytes:
    rows = zlib.crc32("\0".join(pks).encode())
    return zlib.crc32(top, rows).to_bytes(CRC_BYTES, "big")
