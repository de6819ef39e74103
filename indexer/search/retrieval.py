"""The two searches in Milvus, by terms and by vectors, that find candidates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING

from msgspec import Struct, field
from msgspec.structs import replace

from indexer.config import DENSE, SPARSE
from indexer.errors import UsageError
from indexer.milvus.rows import Row
from indexer.milvus.store import HAS_VECTORS, Store
from indexer.search.answers import Wanted
from indexer.search.best_rows import best_rows
from indexer.search.candidates import Candidate
from indexer.search.connection import Properties
from indexer.search.file_rows import rows_of
from indexer.search.query import vectors
from indexer.text.terms import query_weights
from indexer.text.versions import SPARSE_VERSION

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NO_SPARSE = (
    "this Milvus has no sparse vectors (they came with 2.4): nothing is found by words"
)
OTHER_SPARSE = (
    "the index was built by another version: nothing is found by words until the next "
    "codx-index run"
)
NO_DENSE = (
    "nothing is embedded yet: nothing is found by meaning until a codx-index run embeds"
)
NO_WORDS = "the query has no words that distinguish files: nothing is found by words"


class Found(Struct, frozen=True):
    """The properties of the collection, the candidates, and notes on what was not searched.

    `candidates` is None if the query must first be embedded with the model that `properties`
    name. The collection was searched `by_words`, `by_meaning`, or both.
    `projects` has the names of the candidates' projects by their keys, if projects share the collection.
    """

    properties: Properties
    candidates: list[Candidate] | None
    notes: tuple[str, ...] = ()
    by_words: bool = False
    by_meaning: bool = False
    projects: Mapping[str, str] = field(default_factory=dict)


def find_candidates(
    query: str,
    wanted: Wanted,
    properties: Properties,
    vector: Future[NDArray[np.float32]] | None,
    store: Store,
) -> Found:
    """The candidates for a query.

    `vector` is the embedded query, of shape (dimension,), if one was computed for a collection
    with these `properties`.
    """
    current = store.open()
    notes: list[str] = []
    found: dict[str, Candidate] = {}
    by_words = by_meaning = False
    if wanted.mode != DENSE:
        weights = query_weights(query)
        if (
            not store.has_sparse
            and wanted.mode == SPARSE
            and current.get("codx.sparse")
        ):
            raise UsageError(f"{NO_SPARSE}; leave out --mode sparse")
        if not store.has_sparse:
            notes.append(NO_SPARSE if current.get("codx.sparse") else OTHER_SPARSE)
        elif not _has_our_terms(current):
            notes.append(OTHER_SPARSE)
        elif not weights:
            notes.append(NO_WORDS)
        else:
            by_words = True
            _add(found, "sparse", best_rows(store, "sparse", weights, wanted, notes))
    if wanted.mode != SPARSE:
        if not (HAS_VECTORS in current or store.has_vectors()):
            notes.append(NO_DENSE)
        elif vector is None or vectors(current) != vectors(properties):
            return Found(current, None)
        else:
            by_meaning = True
            _add(
                found,
                "vector",
                best_rows(store, "vector", vector.result(), wanted, notes),
            )
    projects = store.names({one.project for one in found.values()} - {""})
    return Found(
        current, list(found.values()), tuple(notes), by_words, by_meaning, projects
    )


def find_alike(
    path: str, line: int, wanted: Wanted, project: str, notes: list[str], store: Store
) -> list[Candidate]:
    """The candidates that resemble the chunk at a line of an indexed file, without that chunk.

    The file is in the project with the key `project`, "" if that shares no collection. What was not
    searched is added to the `notes`. Raises `UsageError` if the index does not have this line.
    """
    current = store.open()
    first = rows_of(store, path, [0], ["chunk_count"], project)
    if not first:
        raise UsageError(f"{path} is not in the index")
    numbers = range(first[0]["chunk_count"])
    rows = rows_of(store, path, numbers, ["vector", "embedded"], project)
    # The outputs of a notebook follow their cell, but come before it in the file.
    rows.sort(key=lambda row: (row["start_line"], row["chunk_no"]))
    here = [row for row in rows if row["end_line"] >= line]
    if not here or line < 1:
        last = max(row["end_line"] for row in rows)
        raise UsageError(f"{path} has no line {line} in the index; its last is {last}")
    place = here[0]
    found: dict[str, Candidate] = {}
    if wanted.mode != SPARSE and place.get("embedded", True):
        import numpy as np

        vector = np.asarray(place["vector"], np.float32)
        _add(found, "vector", best_rows(store, "vector", vector, wanted, notes))
    weights = query_weights(f"{place['symbol']}\n{place['text']}")
    has_terms = store.has_sparse and _has_our_terms(current)
    if wanted.mode != DENSE and has_terms and weights:
        _add(found, "sparse", best_rows(store, "sparse", weights, wanted, notes))
    found.pop(place["id"], None)
    return list(found.values())


def _has_our_terms(properties: Properties) -> bool:
    """Whether the rows have terms of the version that `query_weights` makes."""
    return properties.get("codx.sparse") == str(SPARSE_VERSION)


def _add(found: dict[str, Candidate], kind: str, rows: Sequence[Row]) -> None:
    """Add what one search found to the candidates, which are found by the ids of their rows."""
    for place, row in enumerate(rows, 1):
        candidate = found.get(row["id"]) or _candidate(row)
        where = place, float(row["score"])
        found[row["id"]] = (
            replace(candidate, dense=where)
            if kind == "vector"
            else replace(candidate, sparse=where)
        )


def _candidate(row: Row) -> Candidate:
    return Candidate(
        row["path"],
        row["chunk_no"],
        row["start_line"],
        row["end_line"],
        row["language"],
        row["symbol"],
        row["text"],
        project=row.get("project", ""),
        has_vector=row.get("embedded", True),
        file_hash=row["file_hash"],
    )
