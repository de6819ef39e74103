"""A row of the collection: its fields, its primary key, and how a file becomes rows."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from indexer.paths import escape_path
from indexer.types import Chunk, EmbeddedFile, Weights


@dataclass(frozen=True, slots=True)
class RowKey:
    """What tells, without its text, whether a row is current."""

    id: str
    path: str
    file_hash: str
    chunk_no: int
    chunk_count: int
    embedded: bool = True


KEY_FIELDS = ["id", "path", "file_hash", "chunk_no", "chunk_count", "embedded"]


Row = dict[str, Any]


def row_id(path: str, chunk_no: int) -> str:
    """Primary key: sha256 of the path's bytes, NUL and the decimal chunk number."""
    return hashlib.sha256(os.fsencode(path) + b"\0%d" % chunk_no).hexdigest()


FIELDS = [
    *KEY_FIELDS[:-1],
    *("start_line", "end_line", "language", "symbol", "text"),
    *("embedded", "vector", "sparse"),
]


SHOWN_FIELDS = [
    *("path", "chunk_no", "chunk_count", "start_line", "end_line"),
    *("language", "symbol", "text"),
]


def _rows(file: EmbeddedFile) -> list[Row]:
    record = file.record
    keyed = chunk_rows(
        record.path, record.file_hash, file.language, file.chunks, file.weights
    )
    return [
        {**row, "embedded": number not in file.unembedded, "vector": vector}
        for number, (row, vector) in enumerate(zip(keyed, file.vectors, strict=True))
    ]


def chunk_rows(
    path: str,
    file_hash: str,
    language: str,
    chunks: Sequence[Chunk],
    weights: Sequence[Weights],
) -> list[Row]:
    """The rows of a file, all fields but those of the vector."""
    shown = escape_path(path)
    return [
        {
            "id": row_id(path, number),
            "path": shown,
            "file_hash": file_hash,
            "chunk_no": number,
            "chunk_count": len(chunks),
            "start_line": chunk.start_line,
            "end_line": chunk.end_line,
            "language": language,
            "symbol": chunk.symbol,
            "text": chunk.text,
            "sparse": sparse,
        }
        for number, (chunk, sparse) in enumerate(zip(chunks, weights, strict=True))
    ]
