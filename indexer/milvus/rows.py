"""A row of the collection: its fields and primary key, how a file becomes rows, and how
many rows go into one call."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

from msgspec import Struct

from indexer.paths import escape_path
from indexer.types import Chunk, EmbeddedFile, Weights

PROJECT = "project"  # in a collection that projects share: the key of one of them
KEY_FIELDS = ["id", "path", "file_hash", "chunk_no", "chunk_count", "embedded"]
FIELDS = [
    *KEY_FIELDS[:-1],
    *("start_line", "end_line", "language", "symbol", "text"),
    *("embedded", "vector", "sparse"),
]
SHOWN_FIELDS = [
    *("path", "file_hash", "chunk_no", "chunk_count", "start_line", "end_line"),
    *("language", "symbol", "text"),
]

# Far below the servers' 64 MB a message, and small enough for a quick reaction to a signal.
UPSERT_ROWS = 1_000
UPSERT_BYTES = 16 * 1024 * 1024

Row = dict[str, Any]


class RowKey(Struct, frozen=True):
    """The fields of a row that tell whether it is current, without its text."""

    id: str
    path: str
    file_hash: str
    chunk_no: int
    chunk_count: int
    embedded: bool = True


def row_id(path: str, chunk_no: int, project: str = "") -> str:
    """Primary key: sha256 of the path's bytes, NUL and the decimal chunk number.

    In a collection that projects share, the key of the `project` and NUL come before them.
    """
    return _sha256(project, os.fsencode(path) + b"\0%d" % chunk_no)


def aside_id(path: str, chunk_no: int, file_hash: str, project: str = "") -> str:
    """Primary key of a row that was put aside, which no row of a file has (see the writer)."""
    about = b"\0%d\0" % chunk_no + file_hash.encode()
    return _sha256(project, os.fsencode(path) + about)


def _sha256(project: str, about: bytes) -> str:
    before = project.encode() + b"\0" if project else b""
    return hashlib.sha256(before + about).hexdigest()


def file_rows(file: EmbeddedFile, project: str = "") -> list[Row]:
    """The rows of a file, with all of their fields; see `chunk_rows`."""
    record = file.record
    keyed = chunk_rows(
        record.path,
        record.file_hash,
        file.language,
        file.chunks,
        file.weights,
        project,
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
    project: str = "",
) -> list[Row]:
    """The rows of a file, without `embedded` and `vector`.

    They have the key of the `project` if it shares the collection with others.
    """
    shown = escape_path(path)
    keyed = {PROJECT: project} if project else {}
    return [
        {
            "id": row_id(path, number, project),
            **keyed,
            "path": shown,
            "file_hash": file_hash,
            "chunk_no": number,
            "chunk_count": len(chunks),
            "start_line": chunk.start_line,
            "end_line": chunk.end_line,
            "language": language,
            "symbol": chunk.full_symbol,
            "text": chunk.text,
            "sparse": sparse,
        }
        for number, (chunk, sparse) in enumerate(zip(chunks, weights, strict=True))
    ]


def row_bytes(row: Row, vector: int) -> int:
    """The approximate size of the row in a message; `vector` is the size of its vector."""
    terms = 8 * len(row.get("sparse", ()))
    return len(row["text"].encode()) + vector + terms + 512


def batches(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """The rows in batches of at most UPSERT_ROWS rows and about UPSERT_BYTES bytes.

    A file's rows, which come one after another, are in one batch unless they are too many.
    """
    batch: list[Row] = []
    size = 0
    for _, of_file in groupby(rows, itemgetter("path")):
        costs = [(row, row_bytes(row, row["vector"].nbytes)) for row in of_file]
        total = sum(cost for _, cost in costs)
        fits = len(costs) <= UPSERT_ROWS and total <= UPSERT_BYTES
        is_next = len(batch) + len(costs) > UPSERT_ROWS or size + total > UPSERT_BYTES
        if batch and fits and is_next:
            yield batch
            batch, size = [], 0
        for row, cost in costs:
            if batch and (len(batch) == UPSERT_ROWS or size + cost > UPSERT_BYTES):
                yield batch
                batch, size = [], 0
            batch.append(row)
            size += cost
    if batch:
        yield batch
