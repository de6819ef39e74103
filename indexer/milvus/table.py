"""How rows are divided among calls."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from indexer.milvus.rows import Row

# Far under the servers' 64 MB a message, and small enough to answer a signal between two.
UPSERT_ROWS = 1_000
UPSERT_BYTES = 16 * 1024 * 1024


def batches(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """The rows in batches of at most UPSERT_ROWS rows and about UPSERT_BYTES bytes."""
    batch: list[Row] = []
    size = 0
    for row in rows:
        cost = (
            len(row["text"].encode())
            + row["vector"].nbytes
            + 8 * len(row.get("sparse", ()))
            + 512
        )
        if batch and (len(batch) == UPSERT_ROWS or size + cost > UPSERT_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(row)
        size += cost
    if batch:
        yield batch
