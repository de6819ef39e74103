"""The chunks that may answer a query: found by terms, by vectors, or by likeness."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from indexer.config import DENSE, SPARSE
from indexer.errors import UsageError
from indexer.milvus.rows import Row, row_id
from indexer.milvus.store import HAS_VECTORS, Store
from indexer.milvus.table import MOST_HITS
from indexer.paths import unescape_path
from indexer.search.answers import Properties, Wanted
from indexer.search.query import vectors
from indexer.search.ranking import Candidate
from indexer.text.terms import SPARSE_VERSION, query_weights

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from indexer.types import Weights


NO_SPARSE = (
    "this Milvus has no sparse vectors (they came with 2.4): nothing is found by words"
)


OTHER_SPARSE = "the index is of another version: nothing is found by words until the next codx-index run"


NO_DENSE = (
    "nothing is embedded yet: nothing is found by meaning until a codx-index run embeds"
)


NO_WORDS = "the query has no words that tell files apart: nothing is found by words"


@dataclass(frozen=True, slots=True)
class Found:
    """What the collection says of itself, and the candidates; None where a vector is needed
    first, of the model that the collection names by now."""

    properties: Properties
    candidates: list[Candidate] | None
    notes: tuple[str, ...] = ()


def look(
    query: str,
    wanted: Wanted,
    properties: Properties,
    vector: Future[NDArray[np.float32]] | None,
    store: Store,
) -> Found:
    """The candidates for a query, and notes on what could not be searched."""
    current = store.open()
    notes: list[str] = []
    found: dict[str, Candidate] = {}
    if wanted.mode != DENSE:
        weights = query_weights(query)
        if not store.has_sparse:
            notes.append(NO_SPARSE if current.get("codx.sparse") else OTHER_SPARSE)
        elif current.get("codx.sparse") != str(SPARSE_VERSION):
            notes.append(OTHER_SPARSE)
        elif not weights:
            notes.append(NO_WORDS)
        else:
            _add(found, "sparse", _rows(store, "sparse", weights, wanted))
    if wanted.mode != SPARSE:
        if not (HAS_VECTORS in current or store.has_vectors()):
            notes.append(NO_DENSE)
        elif vector is None or vectors(current) != vectors(properties):
            return Found(current, None)
        else:
            _add(found, "vector", _rows(store, "vector", vector.result(), wanted))
    return Found(current, list(found.values()), tuple(notes))


def _rows(
    store: Store,
    field_name: str,
    query: NDArray[np.float32] | Weights,
    wanted: Wanted,
) -> list[Row]:
    """The best rows that the scope holds, as many as are wanted or there are.

    What Milvus cannot tell is compared here, of more and more rows.
    """
    scope, number = wanted.scope, wanted.candidates
    limit = number
    while True:
        rows = store.search(field_name, query, limit, scope.condition)
        kept = [row for row in rows if scope.holds(row["path"], row["language"])]
        if len(kept) >= number or len(rows) < limit or limit == MOST_HITS:
            return kept[:number]
        limit = min(8 * limit, MOST_HITS)


def _add(found: dict[str, Candidate], kind: str, rows: Sequence[Row]) -> None:
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
    )


def look_alike(path: str, line: int, wanted: Wanted, store: Store) -> list[Candidate]:
    """The candidates that are like the code at a line of an indexed file."""
    current = store.open()
    first = _rows_of(store, path, [0], ["chunk_count"])
    if not first:
        raise UsageError(f"{path} is not in the index")
    numbers = range(first[0]["chunk_count"])
    rows = _rows_of(store, path, numbers, ["vector", "embedded"])
    here = [row for row in rows if row["end_line"] >= line]
    if not here or line < 1:
        last = rows[-1]["end_line"]
        raise UsageError(f"{path} has no line {line} in the index; its last is {last}")
    place = here[0]
    found: dict[str, Candidate] = {}
    if wanted.mode != SPARSE and place.get("embedded", True):
        import numpy as np

        vector = np.asarray(place["vector"], np.float32)
        _add(found, "vector", _rows(store, "vector", vector, wanted))
    has_terms = store.has_sparse and current.get("codx.sparse") == str(SPARSE_VERSION)
    weights = query_weights(f"{place['symbol']}\n{place['text']}")
    if wanted.mode != DENSE and has_terms and weights:
        _add(found, "sparse", _rows(store, "sparse", weights, wanted))
    found.pop(place["id"], None)
    return list(found.values())


def _rows_of(
    store: Store, path: str, numbers: Iterable[int], extra: Sequence[str] = ()
) -> list[Row]:
    """The rows with these chunk numbers of a file, those that are there, in order."""
    name = unescape_path(path)
    try:
        ids = [row_id(name, number) for number in numbers]
    except UnicodeEncodeError:
        return []  # no file has such a name
    fields = [
        *("path", "chunk_no", "start_line", "end_line", "language", "symbol", "text"),
        *(name for name in extra if name in store.fields),
    ]
    return sorted(store.fetch(ids, fields), key=lambda row: int(row["chunk_no"]))


def around(best: Candidate, context: int, store: Store) -> tuple[str, str]:
    """The lines before and after a chunk, out of the chunks beside it."""
    store.open()
    first, last = best.start_line, best.end_line
    reach = context + 1  # chunks have a line at least
    numbers = range(max(0, best.chunk_no - reach), best.chunk_no + reach + 1)
    lines: dict[int, str] = {}
    for row in _rows_of(store, best.path, numbers):
        for number, text in enumerate(row["text"].split("\n"), row["start_line"]):
            lines.setdefault(number, text)
    last_known = min(last + context, max(lines, default=last))
    # Lines between chunks are blank.
    before = [lines.get(n, "") for n in range(max(1, first - context), first)]
    after = [lines.get(n, "") for n in range(last + 1, last_known + 1)]
    return "\n".join(before), "\n".join(after)


def _about(store: Store) -> dict[str, Any]:
    properties = store.open()
    return {
        **properties,
        "collection": store.physical,
        "chunks": store.count(),
        "embedded": store.count(embedded=True),
    }
