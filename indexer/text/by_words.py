"""Which files are found by their words alone, and get no vector."""

from __future__ import annotations

import os
from functools import lru_cache
from typing import TYPE_CHECKING

from indexer.config import ALL, Embedding

if TYPE_CHECKING:
    from indexer.patterns import Patterns


def is_by_words(path: str, is_plain: bool, embedding: Embedding) -> bool:
    """Whether the file is found by words alone: what the user says of its path decides, and
    otherwise the rule, to which it `is_plain` or not (see `meaning.py`)."""
    if embedding.by_words:
        name = os.fsencode(path.removeprefix("/"))
        verdict = _patterns(embedding.by_words).verdict_with_folders(name)
        if verdict is not None:
            return verdict
    return is_plain and embedding.embed != ALL


@lru_cache(maxsize=8)
def _patterns(texts: tuple[str, ...]) -> Patterns:
    from indexer.patterns import Patterns

    return Patterns(map(os.fsencode, texts))
