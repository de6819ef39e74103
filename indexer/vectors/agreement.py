"""How close a converted model comes to the original: the texts, and the original's vectors."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from indexer.vectors.backend import ModelInfo
from indexer.vectors.embedders import Embedder

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from sentence_transformers import SentenceTransformer

# Of the default model, whose graph is built from weights that are known, and compared with vectors
# that are stored. Of any other model the original is asked.
_DEFAULT_DIGEST = "ef48a353b473d18ce459dca015db486295f5d544ea504186ac97586bfb7b6b10"
_STORED = "original.npy"


def is_default(model: ModelInfo) -> bool:
    """Whether all files of the model are those of the default one."""
    return model.digest == _DEFAULT_DIGEST


def compared_texts() -> list[str]:
    """Texts of many lengths, so that each is in a batch with others."""
    text = "def main(argv: list[str]) -> int:  # Über 'naïve' café\n    return 0\n"
    lengths = (1, 2, 3, 5, 8, 13, 21, 22, 34, 55, 89)
    return [(text * 40)[: 3 * length] for length in lengths] + [
        text * repeat for repeat in (5, 8, 13)
    ]


def stored_vectors() -> NDArray[np.float32]:
    """What sentence-transformers makes of the `compared_texts` with the default model.

    Shape (texts, 384), of unit length but for the last bits: they are stored as float16.
    """
    import numpy as np

    file = os.path.join(os.path.dirname(__file__), _STORED)
    stored: NDArray[np.float32] = np.load(file).astype(np.float32)
    return stored


def original_vectors(original: SentenceTransformer) -> NDArray[np.float32]:
    """What the original makes of the `compared_texts`: shape (texts, dimension), of unit length."""
    return original.encode(
        compared_texts(), normalize_embeddings=True, show_progress_bar=False
    )


def least_cosine(expected: NDArray[np.float32], converted: Embedder) -> float:
    """The least agreement of the converted model with the original's vectors of the texts."""
    import numpy as np

    found = converted.encode(compared_texts()).vectors
    lengths = np.linalg.norm(expected, axis=1)
    return float(((found * expected).sum(axis=1) / lengths).min())
