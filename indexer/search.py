"""Queries: the chunks whose embedding is nearest to the query's.

Whoever has the embedded database open may close it at any moment, and a run may move the
alias and drop the collection behind it. Neither is an error for a reader: it asks again.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from indexer.config import STATE_FOLDER, Settings
from indexer.embedding import choose_backend, load_embedder, resolve_model
from indexer.errors import (
    ForeignCollectionError,
    LockedError,
    ModelError,
    NoIndexError,
    StoreError,
    StoreUnavailableError,
)
from indexer.index import vectors_identity
from indexer.store import Row, Store, connect, peek, read

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

T = TypeVar("T")
Properties = Mapping[str, str]

PATIENCE = 60.0  # seconds until a reader gives up on a database that others hold
REFUSALS = 4  # times that Milvus may refuse, where it was not just that its server left
PAUSE = 0.05  # seconds; doubles with each refusal


@dataclass(frozen=True, slots=True)
class Hit:
    """A chunk that answers the query; `score` is the cosine, at most 1."""

    path: str
    start_line: int
    end_line: int
    score: float
    symbol: str
    language: str
    text: str


@dataclass(frozen=True, slots=True)
class _Found:
    """What the collection says of itself, and the nearest rows unless it is another
    model's by now."""

    properties: Properties
    rows: list[Row] | None


def search(settings: Settings, query: str, limit: int) -> list[Hit]:
    """The nearest chunks, best first.

    The query is embedded with the model that the collection names, so that an index goes
    on answering while the next one is built with another model. Raises `NoIndexError`
    where there is no index, `ModelError` where its model is not what it was.
    """
    return nearest(settings, partial(embed_query, settings, query), limit)


def nearest(
    settings: Settings,
    embed: Callable[[Properties], NDArray[np.float32]],
    limit: int,
) -> list[Hit]:
    """The chunks nearest to what `embed` makes of the collection's properties.

    Nothing is open while it embeds: that may take seconds, for which a run that wants
    the database would have to wait.
    """
    properties = _peek(settings)
    if not properties:
        properties = ask(settings, Store.open)
    while True:
        try:
            vector = embed(properties)
        except ModelError:
            current = ask(settings, Store.open)
            if _vectors(current) == _vectors(properties):
                raise
            properties = current
            continue
        found = ask(settings, partial(_look, properties, vector, limit))
        if found.rows is not None:
            return [_hit(row) for row in found.rows]
        properties = found.properties  # the alias has moved to another model's index


def ask(settings: Settings, question: Callable[[Store], T]) -> T:
    """What the question gives, asked of the store of these settings.

    Asked again where the answer was cut off, so the question must only read, and begin
    with `Store.open`. Raises what stopped the last attempt.
    """
    deadline = time.monotonic() + PATIENCE
    refusals = 0
    while True:
        pause = PAUSE
        try:
            store = _reader(settings)
        except LockedError:  # the holder opens or closes it just now, and serves nobody
            if time.monotonic() > deadline:
                raise
            continue
        try:
            return question(store)
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
            store.close()
        time.sleep(pause)


def embed_query(
    settings: Settings, query: str, properties: Properties
) -> NDArray[np.float32]:
    """The query as a vector of the model, and in the precision, that the collection names."""
    model = resolve_model(
        properties.get("codx.model", settings.model), settings.cache_dir
    )
    precision = properties.get("codx.precision", settings.precision)
    backend = choose_backend(model, settings.cache_dir, precision, convert=True)
    if properties.get("codx.vectors") != vectors_identity(backend):
        raise ModelError(
            f"the index was built with another {model.name} or precision: "
            "bring it up to date with codx-index run"
        )
    return load_embedder(backend).encode_query(query)


def indexed_project(path: str) -> str:
    """The folder at or above `path` that holds an index, else `path` itself."""
    folder = path
    while not os.path.isdir(os.path.join(folder, STATE_FOLDER)):
        parent = os.path.dirname(folder)
        if parent == folder:
            return path
        folder = parent
    return folder


def _look(
    properties: Properties, vector: NDArray[np.float32], limit: int, store: Store
) -> _Found:
    current = store.open()
    if _vectors(current) != _vectors(properties):
        return _Found(current, None)
    return _Found(current, store.search(vector, limit))


def _vectors(properties: Properties) -> tuple[str | None, str | None]:
    return properties.get("codx.model"), properties.get("codx.vectors")


def _hit(row: Row) -> Hit:
    return Hit(
        row["path"],
        row["start_line"],
        row["end_line"],
        row["score"],
        row["symbol"],
        row["language"],
        row["text"],
    )


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
