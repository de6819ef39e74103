"""Rows, and an embedded store to write them to."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from indexer.milvus import embedded
from indexer.milvus.rows import Row, row_id
from indexer.milvus.schema import physical_name
from indexer.milvus.store import MakeStore, Store

DIMENSION = 8


PRINT = "a1" * 32


PHYSICAL = physical_name("code", PRINT)


def serve(
    folder: Path,
    name: str = "code",
    patience: float = 1.0,
    *,
    is_alone: bool = False,
    make: MakeStore = Store,
) -> Store:
    return embedded.serve(
        str(folder / "milvus.db"),
        str(folder),
        name,
        patience=patience,
        make=make,
        is_alone=is_alone,
    )


def prepare(store: Store, fingerprint: str = PRINT) -> Store:
    store.prepare(fingerprint, DIMENSION, {"codx.model": "m"})
    return store


def make_row(number: int, path: str = "a.py", text: str = "x = 1", of: int = 1) -> Row:
    vector = np.random.default_rng(number).standard_normal(DIMENSION)
    return {
        "id": row_id(path, number),
        "path": path,
        "file_hash": "h" * 40,
        "chunk_no": number,
        "chunk_count": of,
        "start_line": number + 1,
        "end_line": number + 2,
        "language": "python",
        "symbol": "A.f",
        "text": text,
        "embedded": True,
        "sparse": {number + 1: 1.0, 7: 0.5},
        "vector": (vector / np.linalg.norm(vector)).astype(np.float32),
    }


def make_rows(count: int) -> list[Row]:
    return [make_row(n, of=count) for n in range(count)]
