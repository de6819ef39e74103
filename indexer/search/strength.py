"""How well an answer fits its query, in numbers that mean the same for every query.

A rank says which file is best, not whether it is any good: even among nonsense, one is best.
The strength of an answer uses what is absolute about its candidates: the cosine in the search
by vectors, and in the search by terms the share of the most that the query's words could give.
"""

from __future__ import annotations

from collections.abc import Iterable

from indexer.config import DEFAULT_MODEL
from indexer.search.likeness import SURE_COSINE, SURE_SHARE
from indexer.search.retrieval import Found
from indexer.text.terms import most_of, query_weights

FLOOR = 0.5  # anything below is merely nearest


def strength(query: str, answers: Iterable[Found]) -> float | None:
    """How well the best of what several indexes found fits the query, 0 to 1.

    None if no index can tell.
    """
    known = [one for found in answers if (one := _strength(query, found)) is not None]
    return max(known, default=None)


def _strength(query: str, found: Found) -> float | None:
    """The better of two kinds of evidence, that of words and that of meaning.

    Meaning counts with the default model alone, because cosines of other models were not measured.
    """
    most = most_of(query_weights(query))
    candidates = found.candidates or []
    words = _evidence((c.sparse for c in candidates), most * SURE_SHARE)
    meaning = _evidence((c.dense for c in candidates), SURE_COSINE)
    is_measured = found.properties.get("codx.model") == DEFAULT_MODEL
    if not is_measured:
        return words if found.by_words else None
    return max(words, meaning)


def _evidence(places: Iterable[tuple[int, float] | None], sure: float) -> float:
    """The best score of one search as a share of what leaves no doubt, 0 to 1."""
    best = max((place[1] for place in places if place), default=0.0)
    return min(max(best, 0.0) / sure, 1.0) if sure else 0.0
