"""Queries: the chunks whose embedding is nearest to the query's."""

from __future__ import annotations

import os
from dataclasses import dataclass

from indexer.config import STATE_FOLDER, Settings, require_state
from indexer.embedding import choose_backend, load_embedder, resolve_model
from indexer.errors import ModelError
from indexer.index import vectors_identity
from indexer.store import Store, connect, read


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


def search(settings: Settings, query: str, limit: int) -> list[Hit]:
    """The nearest chunks, best first.

    The query is embedded with the model that the collection names, so that an index goes
    on answering while the next one is built with another model. Raises `NoIndexError`
    where there is no index, `ModelError` where its model is not what it was.
    """
    store = _reader(settings)
    try:
        properties = store.open()
        model = resolve_model(
            properties.get("codx.model", settings.model), settings.cache_dir
        )
        backend = choose_backend(model, settings.cache_dir, convert=True)
        if properties.get("codx.vectors") != vectors_identity(backend):
            raise ModelError(
                f"the index was built with another {model.name} or precision: "
                "bring it up to date with codx-index run"
            )
        vector = load_embedder(backend).encode_query(query)
        rows = store.search(vector, limit)
    finally:
        store.close()
    return [
        Hit(
            row["path"],
            row["start_line"],
            row["end_line"],
            row["score"],
            row["symbol"],
            row["language"],
            row["text"],
        )
        for row in rows
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


def _reader(settings: Settings) -> Store:
    name = settings.collection_name
    if not settings.database:
        return connect(settings.uri, settings.token, name)
    require_state(settings)
    return read(settings.database, settings.state_dir, name)
