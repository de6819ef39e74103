"""Batches of tokenized texts in, vectors of unit length out: what all embedders share.

A vector must follow from its text alone, but padding reaches into the last bits of a
result. So every text is padded to a width that follows from its own length, and only texts
of equal width share a batch.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from indexer.errors import ModelError
from indexer.types import ID_BYTES

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Another step changes the last bits of the vectors on a CPU: change it with the fingerprint.
WIDTH_STEP = 8


def group_by_width(
    lengths: Sequence[int],
    limit: int,
    size: int,
    tokens: int = sys.maxsize,
    step: int = WIDTH_STEP,
) -> Iterator[tuple[int, list[int]]]:
    """Group texts, given by how many tokens they have, into batches of at most `size`
    texts and `tokens` tokens, of which each has at least one text.

    Yields (width, indices of the texts). The width is the length rounded up to a multiple of
    `step`, so that few texts are alone. It does not exceed the model's `limit`, which may be its last position.
    """
    by_width: dict[int, list[int]] = {}
    for index, length in enumerate(lengths):
        width = min(-(-length // step) * step, limit)
        by_width.setdefault(width, []).append(index)
    for width, indices in by_width.items():
        most = max(1, min(size, tokens // max(width, 1)))
        for start in range(0, len(indices), most):
            yield width, indices[start : start + most]


def has_longer(ids: Sequence[bytes], limit: int) -> bool:
    """Whether any of the texts, given as `Chunk.ids`, has more tokens than `limit`."""
    return max(map(len, ids), default=0) > ID_BYTES * limit


def pad(
    texts: list[NDArray[np.uint32]], width: int, pad_id: int
) -> dict[str, NDArray[np.int64]]:
    """The inputs of a transformer for texts of at most `width` tokens.

    Each has the shape (texts, width).
    """
    import numpy as np

    shape = (len(texts), width)
    inputs = {
        "input_ids": np.full(shape, pad_id, np.int64),
        "attention_mask": np.zeros(shape, np.int64),
        "token_type_ids": np.zeros(shape, np.int64),
    }
    for row, tokens in enumerate(texts):
        inputs["input_ids"][row, : len(tokens)] = tokens
        inputs["attention_mask"][row, : len(tokens)] = 1
    return inputs


def scale_to_unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale rows to length 1, which not every model does itself.

    Raises `ModelError` on zero, infinite or NaN rows.
    """
    import numpy as np

    vectors = np.asarray(vectors, np.float32)
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    if not np.all(np.isfinite(norms) & (norms > 0)):
        raise ModelError(
            "the model gave a vector that is zero, infinite or not a number"
        )
    unit: NDArray[np.float32] = vectors / norms
    return unit
