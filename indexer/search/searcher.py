"""Queries on one index or several: two searches in Milvus, then `ranking`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from indexer.config import SPARSE, Settings
from indexer.errors import ModelError, UsageError
from indexer.milvus.store import HAS_VECTORS, Store
from indexer.search.answers import Answer, Hit, Wanted
from indexer.search.candidates import Candidate
from indexer.search.connection import Connection, Properties, peek_properties
from indexer.search.file_rows import lines_around
from indexer.search.query import QueryEmbedder, vectors
from indexer.search.ranking import Ranked, explanation, rank, rank_alike
from indexer.search.retrieval import Found, find_alike, find_candidates

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def search(searchers: Sequence[Searcher], query: str, wanted: Wanted) -> Answer:
    """The files of all these indexes that answer the query, best first.

    Raises `UsageError` for an empty query, and whatever the searchers raise.
    """
    query = clean(query)
    if not query.strip():
        raise UsageError("the query is empty: say what to look for")
    if len(searchers) > 1:
        for searcher in searchers:  # one that is refused, before anything is embedded
            searcher.look(wanted.mode)
    pool: list[Candidate] = []
    notes: dict[str, None] = {}
    for number, searcher in enumerate(searchers):
        found, said = searcher.candidates(query, wanted)
        pool += [replace(candidate, index=number) for candidate in found]
        notes |= dict.fromkeys(said)
    return Answer(_hits(searchers, rank(query, pool), wanted), list(notes))


def similar(searcher: Searcher, path: str, line: int, wanted: Wanted) -> Answer:
    """The files with code like that at a line (1-based) of a file; `path` is as in rows.

    Raises `UsageError` if the index does not have this line.
    """
    found = searcher.alike(path, line, wanted)
    return Answer(_hits([searcher], rank_alike(found), wanted), [])


def clean(query: str) -> str:
    """The query with question marks for the bytes of a command line that are not UTF-8."""
    return query.encode("utf-8", "replace").decode()


def _hits(
    searchers: Sequence[Searcher], ranked: Sequence[Ranked], wanted: Wanted
) -> list[Hit]:
    return [
        searchers[one.best.index].hit(one, wanted.context)
        for one in ranked[: wanted.limit]
    ]


class Searcher:
    """Answers queries on one index. Threads may share it.

    With `keeps_open`, the collection and the model stay open between queries. A run that wants
    the embedded database still gets it within a moment, and the searcher then reads through
    the run. Several searchers may share an `embedder`. Raises `NoIndexError` if there is no
    index.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        keeps_open: bool = False,
        embedder: QueryEmbedder | None = None,
        embed: Callable[[str, Properties], NDArray[np.float32]] | None = None,
    ) -> None:
        self.settings = settings
        self._embedder = embedder or QueryEmbedder(settings)
        self._embed = embed or self._embedder
        self._connection = Connection(settings, keeps_open=keeps_open)
        self._lock = threading.RLock()
        self._properties: Properties = {}

    def close(self) -> None:
        """Close everything. The searcher can still be used, and opens it again."""
        with self._lock:
            self._connection.close()

    def look(self, mode: str) -> Properties:
        """What the index says of itself, read from its files where that will do.

        Where embedding a query begins with a conversion of the model, the index is opened:
        one that cannot be searched says so before. Raises what a query would.
        """
        with self._lock:
            found = peek_properties(self.settings) or self._properties
            if not found or self._must_convert(found, mode):
                found = self._connection.ask(Store.open)
            self._properties = found
            return found

    def _must_convert(self, properties: Properties, mode: str) -> bool:
        """Whether a model may have to be converted before the query is embedded."""
        return (
            self._embed is self._embedder
            and _promises_vectors(properties, mode)
            and not self._embedder.is_quick(properties)
        )

    def candidates(
        self, query: str, wanted: Wanted
    ) -> tuple[list[Candidate], list[str]]:
        """The chunks that may answer the query, and notes as in `Answer`."""
        wanted = self._limited(wanted)
        with self._lock:
            properties = self.look(wanted.mode)
            if not _promises_vectors(properties, wanted.mode):
                found = self._ask(query, wanted, properties, None)
            elif self._embed is self._embedder and self._embedder.is_quick(properties):
                # Embedding is so quick that a run which wants the database can wait for it.
                with ThreadPoolExecutor(1) as pool:
                    vector = pool.submit(self._embed, query, properties)
                    found = self._ask(query, wanted, properties, vector)
            else:
                found = self._embed_and_ask(query, wanted, properties)
            while found.candidates is None:
                found = self._embed_and_ask(query, wanted, found.properties)
            self._properties = found.properties
            return found.candidates, list(found.notes)

    def alike(self, path: str, line: int, wanted: Wanted) -> list[Candidate]:
        """The chunks that resemble the one at this line of a file.

        Raises `UsageError` if the index does not have this line.
        """
        wanted = self._limited(wanted)
        with self._lock:
            return self._connection.ask(partial(find_alike, path, line, wanted))

    def hit(self, ranked: Ranked, context: int) -> Hit:
        """A ranked file, with `context` lines around its chunk, as the index has them."""
        best = ranked.best
        before, after = "", ""
        if context:
            with self._lock:
                before, after = self._connection.ask(
                    partial(lines_around, best, context)
                )
        return Hit(
            best.path,
            best.start_line,
            best.end_line,
            ranked.score,
            best.symbol,
            best.language,
            best.text,
            self.settings.project,
            before,
            after,
            explanation(ranked),
        )

    def embed(self, query: str) -> NDArray[np.float32]:
        """The query's vector, of unit length and shape (dimension,), by the index's model."""
        with self._lock:
            properties = self._connection.ask(Store.open)
        return self._embed(clean(query), properties)

    def about(self) -> dict[str, Any]:
        """The collection's properties and name, its `chunks`, and how many are `embedded`."""
        with self._lock:
            return self._connection.ask(_describe)

    def _limited(self, wanted: Wanted) -> Wanted:
        """What is wanted, of the part of the project that the settings name."""
        return replace(wanted, scope=replace(wanted.scope, only=self.settings.only))

    def _embed_and_ask(
        self, query: str, wanted: Wanted, properties: Properties
    ) -> Found:
        """Embed the query before the collection is opened.

        Embedding may take seconds, for which a run that wants the database would have to wait.
        """
        vector: Future[NDArray[np.float32]] = Future()
        while not vector.done():
            try:
                vector.set_result(self._embed(query, properties))
            except ModelError:
                current = self._connection.ask(Store.open)
                if vectors(current) == vectors(properties):
                    raise
                properties = current  # the alias has moved to another model's index
        return self._ask(query, wanted, properties, vector)

    def _ask(
        self,
        query: str,
        wanted: Wanted,
        properties: Properties,
        vector: Future[NDArray[np.float32]] | None,
    ) -> Found:
        return self._connection.ask(
            partial(find_candidates, query, wanted, properties, vector)
        )


def _promises_vectors(properties: Properties, mode: str) -> bool:
    """Whether it is certain that a vector will be needed."""
    is_old = "codx.sparse" not in properties
    return mode != SPARSE and (is_old or HAS_VECTORS in properties)


def _describe(store: Store) -> dict[str, Any]:
    properties = store.open()
    return {
        **properties,
        "collection": store.physical,
        "chunks": store.count(),
        "embedded": store.count(embedded=True),
    }
