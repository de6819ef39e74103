"""Queries on one index or several: two searches in Milvus, then `ranking`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from msgspec.structs import replace

from indexer.config import SPARSE, Settings
from indexer.errors import (
    CodxIndexError,
    GitError,
    ModelError,
    NoIndexError,
    StateError,
    StoreUnavailableError,
    UsageError,
)
from indexer.index.file_bytes import has_other_bytes
from indexer.milvus.internals import set_variables
from indexer.milvus.owner import OWNER
from indexer.milvus.store import HAS_VECTORS, Store
from indexer.paths import unescape_path
from indexer.search.answers import NO_GOOD_MATCH, Answer, Hit, Wanted
from indexer.search.candidates import Candidate
from indexer.search.connection import Connection, Properties, peek_properties
from indexer.search.file_rows import lines_around
from indexer.search.query import QueryEmbedder, vectors
from indexer.search.question import subject
from indexer.search.ranking import Ranked, explanation, rank, rank_alike
from indexer.search.retrieval import Found, find_alike, find_candidates
from indexer.search.scope import Scope
from indexer.search.strength import FLOOR, strength

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

T = TypeVar("T")

# Errors that concern one index, and say nothing about the others.
UNREADABLE = (NoIndexError, StoreUnavailableError, StateError, GitError)


def search(searchers: Sequence[Searcher], query: str, wanted: Wanted) -> Answer:
    """The files of all these indexes that answer the query, best first.

    They are ranked together. An index that cannot be read is a line in `Answer.missing`, as
    long as another one can be read. Raises `UsageError` for an empty query, and whatever the searchers
    raise.
    """
    query = clean(query)
    if not query.strip():
        raise UsageError("the query is empty: say what to look for")
    query = subject(query)
    pool, answers, missing = _candidates(searchers, query, wanted)
    known = strength(query, answers)
    hits = _hits(searchers, rank(query, pool), wanted, 1.0 if known is None else known)
    notes = dict.fromkeys(note for found in answers for note in found.notes)
    is_good = known is None or known >= FLOOR
    if hits and not is_good:
        notes = {NO_GOOD_MATCH: None, **notes}
    return Answer(hits, list(notes), missing, is_good)


def similar_to(searchers: Sequence[Searcher], code: str, wanted: Wanted) -> Answer:
    """The files of all these indexes with code like this, which need not be in any of them.

    Raises `UsageError` if it is blank, and whatever the searchers raise.
    """
    code = clean(code)
    if not code.strip():
        raise UsageError("there is no code: give some lines of it")
    pool, answers, missing = _candidates(searchers, code, wanted)
    notes = dict.fromkeys(note for found in answers for note in found.notes)
    hits = _hits(searchers, rank_alike(pool), wanted, _best_cosine(pool))
    return Answer(hits, list(notes), missing)


def _candidates(
    searchers: Sequence[Searcher], query: str, wanted: Wanted
) -> tuple[list[Candidate], list[Found], list[str]]:
    """The candidates of all readable indexes, how they were found, and why the others cannot be read.

    If none can be read, raises the error of the first.
    """
    pool: list[Candidate] = []
    answers: list[Found] = []
    missing: list[CodxIndexError] = []
    readable = [*range(len(searchers))]
    if len(searchers) > 1:  # refuse what must be refused before anything is embedded
        looks = [partial(one.look, wanted.mode) for one in searchers]
        readable = [n for n, look in enumerate(looks) if _tried(look, missing)]
    for number in readable:
        ask = partial(searchers[number].candidates, query, wanted)
        found = _tried(ask, missing)
        if found is not None:
            answers.append(found)
            pool += [replace(one, index=number) for one in found.candidates or []]
    if not answers:
        raise missing[0]
    return pool, answers, list(dict.fromkeys(map(str, missing)))


def _tried(ask: Callable[[], T], missing: list[CodxIndexError]) -> T | None:
    """What an index answers. If it cannot be read, None, and the reason is added to `missing`."""
    try:
        return ask()
    except UNREADABLE as error:
        missing.append(error)
        return None


def similar(searcher: Searcher, path: str, line: int, wanted: Wanted) -> Answer:
    """The files with code like that at a line (1-based) of a file; `path` is as in rows.

    Raises `UsageError` if the index does not have this line.
    """
    notes: list[str] = []
    found = searcher.alike(path, line, wanted, notes)
    hits = _hits([searcher], rank_alike(found), wanted, _best_cosine(found))
    return Answer(hits, list(dict.fromkeys(notes)))


def _best_cosine(found: Sequence[Candidate]) -> float:
    """The best cosine, 0 to 1; 1 where nothing was compared by meaning."""
    best = max((one.dense[1] for one in found if one.dense), default=1.0)
    return min(max(best, 0.0), 1.0)


def clean(query: str) -> str:
    """The query with question marks for the bytes of a command line that are not UTF-8."""
    return query.encode("utf-8", "replace").decode()


def _hits(
    searchers: Sequence[Searcher],
    ranked: Sequence[Ranked],
    wanted: Wanted,
    strength: float,
) -> list[Hit]:
    """The best of the files. The first one's score is the strength of the answer; the others get
    their share of it."""
    most = ranked[0].points if ranked else 0
    return [
        searchers[one.best.index].hit(
            one, wanted.context, strength * (one.points / most if most else 1)
        )
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
        self._projects: dict[str, str] = {}  # the names of others, by their keys

    def close(self) -> None:
        """Close everything. The searcher can still be used, and opens it again."""
        with self._lock:
            self._connection.close()

    def look(self, mode: str) -> Properties:
        """What the index says about itself, read from its files if that is enough.

        If embedding a query begins with a conversion of the model, the index is opened first, so
        that one that cannot be searched says so before the conversion. Raises what a query would.
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

    def candidates(self, query: str, wanted: Wanted) -> Found:
        """The chunks that may answer the query, and how they were found."""
        wanted = self._limited(wanted)
        with self._lock:
            properties = self.look(wanted.mode)
            if not _promises_vectors(properties, wanted.mode):
                found = self._ask(query, wanted, properties, None)
            elif self._embed is self._embedder and self._embedder.is_quick(properties):
                # Embedding is so quick that a run that wants the database can wait for it.
                set_variables()
                with ThreadPoolExecutor(1) as pool:
                    vector = self._embedder.begin(pool, query, properties)
                    found = self._ask(query, wanted, properties, vector)
            else:
                found = self._embed_and_ask(query, wanted, properties)
            while found.candidates is None:
                found = self._embed_and_ask(query, wanted, found.properties)
            self._properties = found.properties
            self._projects.update(found.projects)
            return found

    def alike(
        self, path: str, line: int, wanted: Wanted, notes: list[str]
    ) -> list[Candidate]:
        """The chunks that resemble the one at this line of a file.

        What was not searched is added to the `notes`. Raises `UsageError` if the index does not have this line.
        """
        wanted = self._limited(wanted)
        with self._lock:
            if not self._properties:
                self._properties = self._connection.ask(Store.open)
            key = self.settings.project_key
            ask = partial(find_alike, path, line, wanted, key, notes)
            return self._connection.ask(ask)

    def ask(self, question: Callable[[Store], T]) -> T:
        """What `question` finds out from the store; see `Connection.ask`."""
        with self._lock:
            return self._connection.ask(question)

    def hit(self, ranked: Ranked, context: int, score: float) -> Hit:
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
            score,
            best.symbol,
            best.language,
            best.text,
            self._project_of(best),
            before,
            after,
            explanation(ranked),
            self._is_stale(best),
        )

    def _is_stale(self, candidate: Candidate) -> bool | None:
        """Whether the file of a candidate has other bytes now, None if that cannot be told."""
        settings = self.settings
        if not settings.project or candidate.project != settings.project_key:
            return None
        return self.is_stale(candidate.path, {candidate.file_hash})

    def is_stale(self, path: str, file_hashes: Iterable[str]) -> bool:
        """Whether a file of the project has other bytes than those with one of these blob ids.

        `path` is as in rows. False if no folder is known.
        """
        settings = self.settings
        return bool(settings.project) and any(
            has_other_bytes(settings, path, one) for one in file_hashes
        )

    def _project_of(self, candidate: Candidate) -> str:
        """The project of a candidate: the folder of ours, or the name of another one."""
        if candidate.project in ("", self.settings.project_key):
            return self.project
        key = candidate.project
        if key not in self._projects:
            with self._lock:
                names = self._connection.ask(partial(_names_of, key))
            self._projects[key] = names.get(key, key)
        return self._projects[key]

    def embed(self, query: str) -> NDArray[np.float32]:
        """The query's vector, of unit length and shape (dimension,), by the index's model."""
        with self._lock:
            properties = self._connection.ask(Store.open)
        return self._embed(clean(query), properties)

    @property
    def project(self) -> str:
        """The folder of the project; if none is known, what the collection last said about it."""
        if self.settings.project:
            return self.settings.project
        with self._lock:
            owner = self._properties.get(OWNER, "")
        return unescape_path(owner) or self.settings.collection_name

    def about(self) -> dict[str, Any]:
        """The collection's properties and name, its `chunks`, and how many are `embedded`."""
        with self._lock:
            found = self._connection.ask(_describe)
            self._properties = found
            return found

    def _limited(self, wanted: Wanted) -> Wanted:
        """What is wanted, within the part of the project that the settings name."""
        scope = self.limited(wanted.scope)
        if wanted.changed is not None:
            from indexer.index.changed import changed_files

            scope = replace(scope, files=changed_files(self.settings, wanted.changed))
        return replace(wanted, scope=scope)

    def limited(self, scope: Scope) -> Scope:
        """The scope, within the part of the project that the settings name."""
        return scope.within(self.settings.only)

    def _embed_and_ask(
        self, query: str, wanted: Wanted, properties: Properties
    ) -> Found:
        """Embed the query before the collection is opened.

        Embedding may take seconds, and a run that wants the database would have to wait for them.
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


def _names_of(project: str, store: Store) -> dict[str, str]:
    store.open()
    return store.names([project])


def _describe(store: Store) -> dict[str, Any]:
    properties = store.open()
    return {
        **properties,
        "collection": store.physical,
        "chunks": store.count(),
        "embedded": store.count(embedded=True),
    }
