"""Queries on an index: two searches in Milvus, then `ranking`.

Whoever has the embedded database open may close it at any moment, and a run may move the
alias and drop the collection behind it. Neither is an error for a reader: it asks again.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from indexer.config import DENSE, HYBRID, SPARSE, STATE_FOLDER, Settings
from indexer.embedding import (
    Backend,
    Embedder,
    choose_backend,
    is_converted,
    load_embedder,
    resolve_model,
)
from indexer.errors import (
    ForeignCollectionError,
    LockedError,
    ModelError,
    NoIndexError,
    StoreError,
    StoreUnavailableError,
    UsageError,
)
from indexer.index import vectors_identity
from indexer.paths import unescape_path
from indexer.ranking import Candidate, Ranked, explanation, rank, rank_alike
from indexer.scope import Scope
from indexer.store import (
    HAS_VECTORS,
    MOST_HITS,
    Row,
    Store,
    connect,
    is_locked,
    peek,
    read,
    row_id,
)
from indexer.text.terms import SPARSE_VERSION, query_weights

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from indexer.types import Weights

T = TypeVar("T")
Properties = Mapping[str, str]

CANDIDATES = 100  # chunks that each search contributes, at least
CHUNKS_A_HIT = 3
PATIENCE = 60.0  # seconds until a reader gives up on a database that others hold
REFUSALS = 4  # times that Milvus may refuse, where it was not just that its server left
PAUSE = 0.05  # seconds; doubles with each refusal
LOOK = 0.1  # seconds between two looks whether a run wants the database

NO_SPARSE = (
    "this Milvus has no sparse vectors (they came with 2.4): nothing is found by words"
)
OTHER_SPARSE = "the index is of another version: nothing is found by words until the next codx-index run"
NO_DENSE = (
    "nothing is embedded yet: nothing is found by meaning until a codx-index run embeds"
)
NO_WORDS = "the query has no words that tell files apart: nothing is found by words"


@dataclass(frozen=True, slots=True)
class Hit:
    """A file that answers the query, by its best chunk: lines, symbol and text are those of
    the chunk. The higher the `score`, the better; it compares hits of one answer only.

    `before` and `after` are the lines around it that were asked for. `explanation` says where
    the score comes from. `project` is the folder of the project.
    """

    path: str
    start_line: int
    end_line: int
    score: float
    symbol: str
    language: str
    text: str
    project: str = ""
    before: str = ""
    after: str = ""
    explanation: Mapping[str, object] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """Hits, best first, and what a person should know about how they were found."""

    hits: list[Hit]
    notes: list[str]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for beside the query itself. Raises `UsageError` for what cannot be."""

    limit: int = 10
    mode: str = HYBRID
    scope: Scope = Scope()
    context: int = 0

    def __post_init__(self) -> None:
        if self.limit < 1 or self.context < 0:
            raise UsageError("limit must be at least 1, and context at least 0")
        if self.mode not in (HYBRID, DENSE, SPARSE):
            raise UsageError(f"no mode {self.mode!r}: use hybrid, dense or sparse")

    @property
    def candidates(self) -> int:
        """How many chunks each of the two searches is asked for."""
        return min(max(CANDIDATES, CHUNKS_A_HIT * self.limit), MOST_HITS)


@dataclass(frozen=True, slots=True)
class _Found:
    """What the collection says of itself, and the candidates; None where a vector is needed
    first, of the model that the collection names by now."""

    properties: Properties
    candidates: list[Candidate] | None
    notes: tuple[str, ...] = ()


class QueryEmbedder:
    """Embeds queries, from any thread, with the model that a collection names: so an index
    goes on answering while the next one is built with another model. Keeps them loaded.

    Raises `ModelError` where that model is not what it was.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._loaded: dict[str, Embedder] = {}
        self._lock = threading.Lock()

    def __call__(self, query: str, properties: Properties) -> NDArray[np.float32]:
        with self._lock:
            return self._embedder(properties).encode_query(query)

    def is_quick(self, properties: Properties) -> bool:
        """Is it known that the model needs no conversion first?"""
        if properties.get("codx.vectors") in self._loaded:
            return True
        try:
            return is_converted(self._backend(properties, convert=False))
        except (ModelError, UsageError):
            return False

    def _embedder(self, properties: Properties) -> Embedder:
        identity = properties.get("codx.vectors", "")
        if identity not in self._loaded:
            backend = self._backend(properties, convert=True)
            if identity != vectors_identity(backend):
                raise ModelError(
                    f"the index was built with another {backend.model.name} or precision: "
                    "bring it up to date with codx-index run, or search by words alone with "
                    "--mode sparse"
                )
            self._loaded[identity] = load_embedder(backend)
        return self._loaded[identity]

    def _backend(self, properties: Properties, *, convert: bool) -> Backend:
        settings = self._settings
        model = resolve_model(
            properties.get("codx.model", settings.model), settings.cache_dir
        )
        precision = properties.get("codx.precision", settings.precision)
        return choose_backend(model, settings.cache_dir, precision, convert=convert)


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
    ) -> _Found:
        """Nothing is open while it embeds: that may take seconds, for which a run that wants
        the database would have to wait."""
        vector: Future[NDArray[np.float32]] = Future()
        while not vector.done():
            try:
                vector.set_result(self._embed(query, properties))
            except ModelError:
                current = self._connection.ask(Store.open)
                if _vectors(current) == _vectors(properties):
                    raise
                properties = current  # the alias has moved to another model's index
        return self._ask(query, wanted, properties, vector)

    def _ask(
        self,
        query: str,
        wanted: Wanted,
        properties: Properties,
        vector: Future[NDArray[np.float32]] | None,
    ) -> _Found:
        return self._connection.ask(partial(_look, query, wanted, properties, vector))

    def alike(self, path: str, line: int, wanted: Wanted) -> list[Candidate]:
        """The chunks that are like the one that holds this line of a file.

        Raises `UsageError` where the index has no such line.
        """
        with self._lock:
            return self._connection.ask(partial(_look_alike, path, line, wanted))

    def hit(self, ranked: Ranked, context: int) -> Hit:
        """A ranked file with `context` lines around its chunk, as the index has them."""
        best = ranked.best
        before, after = "", ""
        if context:
            with self._lock:
                before, after = self._connection.ask(partial(_around, best, context))
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


def indexed_project(path: str) -> str:
    """The folder at or above `path` that holds an index, else `path` itself."""
    folder = path
    while not os.path.isdir(os.path.join(folder, STATE_FOLDER)):
        parent = os.path.dirname(folder)
        if parent == folder:
            return path
        folder = parent
    return folder


# --- asking the store ------------------------------------------------------------------


class Connection:
    """The store of these settings, opened for each question or kept open.

    Not safe to share between threads. What is kept and serves the embedded database is let go
    of as soon as a run wants it.
    """

    def __init__(self, settings: Settings, *, keeps_open: bool = False) -> None:
        self._settings = settings
        self._keeps_open = keeps_open
        self._store: Store | None = None
        self._place = 0  # the inode of the embedded database that is open
        self._in_use = threading.RLock()
        self._ends = threading.Event()
        self._guard: threading.Thread | None = None

    def ask(self, question: Callable[[Store], T]) -> T:
        """What the question gives.

        Asked again where the answer was cut off, so the question must only read, and begin
        with `Store.open`. Raises what stopped the last attempt.
        """
        deadline = time.monotonic() + PATIENCE
        refusals = 0
        while True:
            pause = PAUSE
            with self._in_use:
                try:
                    store = self._open()
                except (
                    LockedError
                ):  # the holder opens or closes it now, and serves nobody
                    if time.monotonic() > deadline:
                        raise
                    continue
                is_good = False
                try:
                    answer = question(store)
                    is_good = True
                    return answer
                except UsageError:
                    is_good = True
                    raise
                except ForeignCollectionError:
                    raise
                except StoreUnavailableError:
                    if time.monotonic() > deadline:
                        raise
                except (StoreError, NoIndexError):
                    if refusals == REFUSALS:
                        raise
                    pause *= 2**refusals
                    refusals += 1
                finally:
                    if not (is_good and self._keeps_open):
                        self._let_go()
            time.sleep(pause)

    def close(self) -> None:
        """Let go of the store."""
        self._ends.set()
        guard, self._guard = self._guard, None
        if guard is not None:
            guard.join()
        with self._in_use:
            self._let_go()
        self._ends = threading.Event()

    def _open(self) -> Store:
        if self._store is not None and self._place != _inode(self._settings.database):
            self._let_go()  # it was removed, and may have been built anew
        if self._store is None:
            self._store = _reader(self._settings)
            self._place = _inode(self._settings.database)
            if self._keeps_open and self._settings.database and self._guard is None:
                self._guard = threading.Thread(
                    target=self._give_way, args=[self._ends], daemon=True
                )
                self._guard.start()
        return self._store

    def _let_go(self) -> None:
        store, self._store = self._store, None
        if store is not None:
            store.close()

    def _give_way(self, ends: threading.Event) -> None:
        while not ends.wait(LOOK):
            store = self._store
            if store is None or not store.is_server:
                continue
            if is_locked(self._settings.lock_path):
                with self._in_use:
                    if self._store is store:
                        self._let_go()


def _inode(path: str) -> int:
    """0 where there is none."""
    try:
        return os.stat(path).st_ino if path else 0
    except OSError:
        return 0


def ask(settings: Settings, question: Callable[[Store], T]) -> T:
    """What the question gives, asked of the store of these settings; see `Connection`."""
    return Connection(settings).ask(question)


def _look(
    query: str,
    wanted: Wanted,
    properties: Properties,
    vector: Future[NDArray[np.float32]] | None,
    store: Store,
) -> _Found:
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
        elif vector is None or _vectors(current) != _vectors(properties):
            return _Found(current, None)
        else:
            _add(found, "vector", _rows(store, "vector", vector.result(), wanted))
    return _Found(current, list(found.values()), tuple(notes))


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


def _look_alike(path: str, line: int, wanted: Wanted, store: Store) -> list[Candidate]:
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


def _around(best: Candidate, context: int, store: Store) -> tuple[str, str]:
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


def _vectors(properties: Properties) -> tuple[str | None, str | None]:
    return properties.get("codx.model"), properties.get("codx.vectors")


def _peek(settings: Settings) -> Properties:
    if not settings.database:
        return {}
    return peek(settings.database, settings.collection_name)


def _reader(settings: Settings) -> Store:
    name = settings.collection_name
    if not settings.database:
        return connect(settings.uri, settings.token, name)
    if not os.path.isdir(settings.database) or not os.path.isdir(settings.state_dir):
        raise NoIndexError(
            f"no index in {settings.project}: build it with codx-index run"
        )
    return read(settings.database, settings.state_dir, name)
