"""The sparse vectors of many rows, in arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct

from indexer.types import Weights

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Postings(Struct, frozen=True):
    """The weights with their terms and rows: three arrays of equal length. There are `count` rows."""

    terms: NDArray[np.uint32]
    weights: NDArray[np.float32]
    rows: NDArray[np.int32]
    count: int

    @classmethod
    def of(cls, column: Any) -> Postings:
        """The postings of an Arrow column of vectors as milvus-lite packs them: term, weight, term, and so on."""
        import numpy as np

        packed, sizes = [], []
        for part in column.chunks:
            _, offsets, data = part.buffers()
            ends = np.frombuffer(offsets, np.int32)[part.offset :][: len(part) + 1]
            sizes.append(np.diff(ends) // 8)
            pairs = np.frombuffer(data or b"", np.uint32)
            packed.append(pairs[ends[0] // 4 : ends[-1] // 4])
        pairs = np.concatenate([np.empty(0, np.uint32), *packed]).reshape(-1, 2)
        lengths = np.concatenate([np.empty(0, np.int32), *sizes])
        return cls(
            np.ascontiguousarray(pairs[:, 0]),
            np.ascontiguousarray(pairs[:, 1]).view(np.float32),
            np.repeat(np.arange(len(lengths), dtype=np.int32), lengths),
            len(lengths),
        )

    def scores(self, query: Weights) -> NDArray[np.float64]:
        """The inner product of each row with the query: of shape (rows,)."""
        import numpy as np

        scores = np.zeros(self.count)
        for term, weight in query.items():
            found = np.flatnonzero(self.terms == term)
            # No row occurs twice in `found`, because a vector has each term once.
            scores[self.rows[found]] += weight * self.weights[found]
        return scores
