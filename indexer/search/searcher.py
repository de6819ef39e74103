"""Queries on an index: two searches in Milvus, then `ranking`.

Whoever has the embedded database open may close it at any moment, and a run may move the
alias and drop the collection behind it. Neither is an error for a reader: it asks again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from indexer.config import SPARSE, Settings
from indexer.errors import (
    ModelError,
    UsageError,
)
from indexer.milvus.store import HAS_VECTORS, Store
from indexer.search.answers import Answer, Hit, Properties, Wanted
from indexer.search.candidates import Found, _about, around, look, look_alike
from indexer.search.connection import Connection, _peek
from indexer.search.query import QueryEmbedder, vectors
from indexer.search.ranking import Candidate, Ranked, explanation, rank, rank_alike

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Searcher:
    """Answers queries on one index, from any thread.

    With `keeps_open`, the collection and the model stay open between queries; a run that
    wants the embedded database gets it within a moment, and is read through meanwhile.
    Several may share an `embedder`. Raises `NoIndexError` where there is no index.
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
        """Let go of everything; the searcher can still be used, and opens anew."""
        with self._lock:
            self._connection.close()

    def candidates(
        self, query: str, wanted: Wanted
    ) -> tuple[list[Candidate], list[str]]:
        """The chunks that may answer the query, and notes as in `Answer`."""
        with self._lock:
            self._properties = _peek(self.settings) or self._properties
            properties = self._properties
            if not properties:
                properties = self._connection.ask(Store.open)
            if not self._promises_vectors(properties, wanted.mode):
                found = self._ask(query, wanted, properties, None)
            elif self._embed is self._embedder and self._embedder.is_quick(properties):
                # Whoever wants the database can wait so long.
                with ThreadPoolExecutor(1) as pool:
                    vector = pool.submit(self._embed, query, properties)
                    found = self._ask(query, wanted, properties, vector)
            else:
                found = self._embed_and_ask(query, wanted, properties)
            while found.candidates is None:
                found = self._embed_and_ask(query, wanted, found.properties)
            self._properties = found.properties
            return found.candidates, list(found.notes)

    def embed(self, query: str) -> NDArray[np.float32]:
        """The query's vector, of unit length, by the model that the collection names."""
        with self._lock:
            properties = self._connection.ask(Store.open)
        return self._embed(clean(query), properties)

    def _promises_vectors(self, properties: Properties, mode: str) -> bool:
        """Is it sure that a vector will be asked for?"""
        is_old = "codx.sparse" not in properties
        return mode != SPARSE and (is_old or HAS_VECTORS in properties)

    def _embed_and_ask(
        self, query: str, wanted: Wanted, properties: Properties
    ) -> Found:
        """Nothing is open while it embeds: that may take seconds, for which a run that wants
        the database would have to wait."""
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
        return self._connection.ask(partial(look, query, wanted, properties, vector))

    def alike(self, path: str, line: int, wanted: Wanted) -> list[Candidate]:
        """The chunks that are like the one that holds this line of a file.

        Raises `UsageError` where the index has no such line.
        """
        with self._lock:
            return self._connection.ask(partial(look_alike, path, line, wanted))

    def hit(self, ranked: Ranked, context: int) -> Hit:
        """A ranked file with `context` lines around its chunk, as the index has them."""
        best = ranked.best
        before, after = "", ""
        if context:
            with self._lock:
                before, after = self._connection.ask(partial(around, best, context))
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

    def about(self) -> dict[str, Any]:
        """The collection's properties, and how many `chunks` of it are `embedded`."""
        with self._lock:
            return self._connection.ask(_about)


def search(searchers: Sequence[Searcher], query: str, wanted: Wanted) -> Answer:
    """The files that answer the query, of all these indexes, best first.

    Raises `UsageError` for a query that asks for nothing, and what the searchers raise.
    """
    query = clean(query)
    if not query.strip():
        raise UsageError("the query is empty: say what to look for")
    pool: list[Candidate] = []
    notes: dict[str, None] = {}
    for number, searcher in enumerate(searchers):
        found, said = searcher.candidates(query, wanted)
        pool += [replace(candidate, index=number) for candidate in found]
        notes |= dict.fromkeys(said)
    return Answer(_hits(searchers, rank(query, pool), wanted), list(notes))


def similar(searcher: Searcher, path: str, line: int, wanted: Wanted) -> Answer:
    """The files with code like that at a place; `path` as rows have it."""
    found = searcher.alike(path, line, wanted)
    return Answer(_hits([searcher], rank_alike(found), wanted), [])


def clean(query: str) -> str:
    """Bytes of a command line that are not UTF-8 become question marks."""
    return query.encode("utf-8", "replace").decode()


def _hits(
    searchers: Sequence[Searcher], ranked: Sequence[Ranked], wanted: Wanted
) -> list[Hit]:
    return [
        searchers[one.best.index].hit(one, wanted.context)
        for one in ranked[: wanted.limit]
    ]


# --- asking the store ------------------------------------------------------------------
