"""An index of sparse vectors in arrays, which `internals` puts into milvus-lite."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING

from indexer.types import Weights

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class SparseIndex:
    """Exact inner products over sparse vectors.

    It has the methods of milvus-lite's `SparseIpIndex` that a search calls.
    """

    def __init__(self) -> None:
        import numpy as np

        self._terms: NDArray[np.uint32] = np.empty(0, np.uint32)
        self._weights: NDArray[np.float32] = np.empty(0, np.float32)
        self._rows: NDArray[np.intp] = np.empty(0, np.intp)
        self.num_rows = 0

    def build(
        self, vectors: Sequence[Weights], valid_mask: NDArray[np.bool_] | None = None
    ) -> None:
        """Index these vectors; `valid_mask`, of shape (vectors,), tells which can be found.

        A vector's position is its row.
        """
        import numpy as np

        if valid_mask is not None:
            vectors = [
                vector if valid else {}
                for vector, valid in zip(vectors, valid_mask, strict=True)
            ]
        sizes = np.fromiter(map(len, vectors), np.intp, len(vectors))
        every, count = chain.from_iterable, int(sizes.sum())
        self._terms = np.fromiter(every(vectors), np.uint32, count)
        weights = (vector.values() for vector in vectors)
        self._weights = np.fromiter(every(weights), np.float32, count)
        self._rows = np.repeat(np.arange(len(vectors)), sizes)
        self.num_rows = len(vectors)

    def _search_prepared(
        self,
        queries: Sequence[Weights],
        top_k: int,
        valid_mask: NDArray[np.bool_] | None = None,
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The best rows of each query, best first, and their negated scores.

        Both have the shape (queries, top_k). Where a query has fewer rows with a positive
        score, the rest is row -1 and score infinity. `valid_mask`, of shape (rows,), tells
        which rows may be found.
        """
        import numpy as np

        ids = np.full((len(queries), top_k), -1, np.int64)
        distances = np.full((len(queries), top_k), np.inf, np.float32)
        for number, query in enumerate(queries):
            scores = np.zeros(self.num_rows)
            for term, weight in query.items():
                found = np.flatnonzero(self._terms == term)
                # No row comes twice in `found`: a vector has each term once.
                scores[self._rows[found]] += weight * self._weights[found]
            if valid_mask is not None:
                scores[~valid_mask] = 0
            best = np.argsort(-scores, kind="stable")[:top_k]
            best = best[scores[best] > 0]
            ids[number, : len(best)] = best
            distances[number, : len(best)] = -scores[best]
        return ids, distances
