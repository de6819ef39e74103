"""How well a file as a whole fits a query, judging by its chunks that were found."""

from __future__ import annotations

from collections.abc import Sequence

from indexer.search.candidates import Candidate
from indexer.text.terms import idf, row_weights, terms
from indexer.types import Weights

FIRST_LINES = 12  # of a file; they tend to say what it is for


def coverage(query: frozenset[str], chunks: Sequence[Candidate]) -> float:
    """The share of the query's terms that the chunks have between them, 0 to 1; rare ones count more."""
    most = sum(map(idf, query))
    found: set[str] = set()
    for chunk in chunks:
        found |= query.intersection(terms(f"{chunk.symbol}\n{chunk.text}"))
        if len(found) == len(query):
            break
    return sum(map(idf, found)) / most if most else 0.0


def outline_score(query: Weights, path: str, chunks: Sequence[Candidate]) -> float:
    """The inner product of the query with the file's outline.

    The outline is the file's path, the names of what the chunks define, and the first lines of
    the file if they are among the chunks. It is weighted like a row.
    """
    symbols = dict.fromkeys(chunk.symbol for chunk in chunks)
    first = next((chunk.text for chunk in chunks if chunk.chunk_no == 0), "")
    head = "\n".join(first.split("\n", FIRST_LINES)[:FIRST_LINES])
    outline = row_weights(path, " ".join(symbols), head)
    return sum(weight * outline.get(term, 0.0) for term, weight in query.items())
