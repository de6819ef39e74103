"""A project that moves to another collection: its vectors come along, and nothing is embedded.

The embedding cache has them as a rule. What it does not have, the rows of the old collection do,
as long as the same model wrote them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Set
from dataclasses import replace
from shlex import quote
from typing import TYPE_CHECKING

from indexer.address import Address, is_local
from indexer.cache.entry import Key, key_of
from indexer.config import Settings
from indexer.errors import CodxIndexError
from indexer.index.collection import EMBEDDED, connect_to, store_maker
from indexer.index.manifest import Manifest
from indexer.milvus.on_disk import peek
from indexer.milvus.rows import row_id
from indexer.paths import escape_path
from indexer.types import ChangedFile, ChunkedFile

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from indexer.milvus.store import Store

_FIELDS = ("file_hash", "chunk_count", "symbol", "text", "embedded", "vector")


class OldIndex:
    """The index of a project at the `place` where it was, with vectors of the identity `vectors`.

    `settings` are those of the run. It only saves work: whatever goes wrong with it, the run
    embeds again.
    """

    def __init__(self, settings: Settings, place: str, vectors: str) -> None:
        self._place = place
        self._now = settings
        self._settings = _settings_of_old(settings, place)
        self._vectors = vectors
        self._store: Store | None = None
        self._is_of_use = self._settings is not None

    def vectors_of(
        self, change: ChangedFile, chunked: ChunkedFile, keys: Set[Key]
    ) -> dict[Key, NDArray[np.float32]]:
        """Those of the vectors with these keys that the rows of the file have, if they are of
        the very same content and chunks."""
        import numpy as np

        found: dict[Key, NDArray[np.float32]] = {}
        if self._settings is None or not self._is_of_use:
            return found
        project = self._settings.project_key
        wanted = {
            row_id(change.path, number, project): chunk
            for number, chunk in enumerate(chunked.chunks)
            if key_of(chunk) in keys
        }
        try:
            store = self._open()
            rows = store.fetch([*wanted], _FIELDS) if store else []
        except CodxIndexError:
            self._is_of_use = False
            return found
        for row in rows:
            chunk = wanted[row["id"]]
            content = row["file_hash"], row["chunk_count"], row["embedded"]
            if content != (change.file_hash, len(chunked.chunks), True):
                continue
            if (row["symbol"], row["text"]) == (chunk.full_symbol, chunk.text):
                found[key_of(chunk)] = np.asarray(row["vector"], np.float32)
        return found

    def close(self) -> None:
        """Let go of the old collection."""
        store, self._store = self._store, None
        if store is not None:
            store.close()

    def leave(self, manifest: Manifest, warn: Callable[[str], None]) -> None:
        """Forget the old place, now that all of the index is elsewhere, and say what is left."""
        manifest.set(moved_from="")
        if (
            self._settings is None
            or not self._settings.database
            or _has(self._settings)
        ):
            warn(_left_behind(self._now, self._place))

    def _open(self) -> Store | None:
        """The store, None if it is of no use."""
        if self._settings is None:
            return None
        if self._store is None:
            self._store = _connect(self._settings)
            properties = self._store.open()
            self._is_of_use = properties.get("codx.vectors") == self._vectors
        return self._store if self._is_of_use else None


def _has(settings: Settings) -> bool:
    """Whether an embedded database has a collection of this name."""
    return bool(peek(settings.database, settings.collection_name))


def _settings_of_old(settings: Settings, place: str) -> Settings | None:
    """The settings of the index at the `place` where the project was; None for another server,
    which might want another token."""
    collection, _, label = place.partition("\n")
    where, _, name = collection.rpartition(" ")
    uri = Address("" if where == EMBEDDED else where)
    if str(settings.uri) == where:
        uri = settings.uri
    elif uri and not is_local(where):
        return None
    old = replace(settings, uri=uri, collection=name, shared_collection="")
    if label:
        old = replace(old, collection="", shared_collection=name, project_name=label)
    return replace(old, searched=())


def _left_behind(settings: Settings, place: str) -> str:
    """What a person should know about the index at the place where the project was."""
    collection, _, label = place.partition("\n")
    where, _, name = collection.rpartition(" ")
    options = {"--uri": "" if where == EMBEDDED else where}
    if label:
        options |= {"--shared-collection": name, "--project": label}
        if settings.collection:
            options["--collection"] = ""
    else:
        if settings.shared_collection:
            options["--shared-collection"] = ""
        if settings.project_name:
            options["--project"] = ""
        if where != EMBEDDED:
            options["--collection"] = name
    command = " ".join(f"{option} {quote(value)}" for option, value in options.items())
    if _was_in_another_folder(settings, name, label):
        command += " --take-over"
    return (
        "the project's index has moved, and the old one still exists: codx-index clear "
        f"{command} {quote(settings.project)} removes it"
    )


def _was_in_another_folder(settings: Settings, name: str, label: str) -> bool:
    """Whether the old index has the name that the project had when its folder was elsewhere."""
    if label:
        return label.startswith(os.sep) and label != escape_path(settings.project)
    old = replace(settings, collection=name, shared_collection="")
    return bool(settings.uri) and old.has_name_of_another_folder


def _connect(settings: Settings) -> Store:
    if settings.uri and settings.database:
        from indexer.milvus.embedded import read

        # Perhaps it is the database that the run itself has open.
        return read(
            settings.database,
            settings.state_dir,
            settings.collection_name,
            make=store_maker(settings),
        )
    return connect_to(settings, is_reader=True)
