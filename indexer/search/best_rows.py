"""The best rows of one search in Milvus that also meet conditions which Milvus cannot check."""

from __future__ import annotations

from typing import TYPE_CHECKING

from indexer.milvus.rows import Row
from indexer.milvus.store import Store
from indexer.milvus.table import MOST_HITS
from indexer.search.answers import Wanted

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from indexer.types import Weights

NO_CHANGES = "no file has changed: nothing is searched"
NOT_ALL = f"only the {MOST_HITS:,} chunks nearest to the query were checked: others may match too"


def best_rows(
    store: Store,
    field_name: str,
    query: NDArray[np.float32] | Weights,
    wanted: Wanted,
    notes: list[str],
) -> list[Row]:
    """The best rows that are wanted, as many as are asked for or exist.

    Milvus can check only a part of the scope. The rest is checked here, in more and more rows
    until enough are left. If there may be more, a line is added to the `notes`.
    """
    scope, number = wanted.scope, wanted.candidates
    if scope.files is not None and not scope.files:
        notes.append(NO_CHANGES)
        return []
    limit = number
    while True:
        rows = store.search(field_name, query, limit, scope.condition)
        kept = [row for row in rows if scope.holds(row["path"], row["language"])]
        if wanted.grep is not None:
            places = wanted.grep.rows([row["text"] for row in kept])
            kept = [row for row, place in zip(kept, places) if place is not None]
        if len(kept) >= number or len(rows) < limit:
            return kept[:number]
        if limit == MOST_HITS:
            notes.append(NOT_ALL)
            return kept
        limit = min(8 * limit, MOST_HITS)
