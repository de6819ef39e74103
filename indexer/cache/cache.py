"""Content-addressed cache of embeddings, shared by all projects of the user.

(what decides the vectors, sha256 of the embedded text) → vector. One sqlite file for
each combination of model and precision; several runs may use it at once. It is only ever
a saving: whatever goes wrong with it, the run embeds again and says so once.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from indexer.cache.admin import cache_bytes, prune
from indexer.cache.file import File, open_for_writing
from indexer.cache.sqlite import Key, Source, is_damage, path_of, rebuilt
from indexer.config import DEFAULT_CACHE_SIZE
from indexer.types import Chunk

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_LOOKUP = 500  # keys a query; sqlite's limit of variables is far above


def key_of(chunk: Chunk) -> Key:
    """The cache's key of a chunk: the same text has the same vector, wherever it is."""
    return hashlib.sha256(chunk.embedded_text.encode()).digest()


class EmbeddingCache:
    """Vectors of shape (dimension,), float32, by key.

    Never raises: an entry whose checksum is wrong counts as absent, a file that cannot be
    read or written as an empty cache. The first thing that goes wrong is reported through
    `warn`. At most `limit` bytes are kept in the folder, over all files; with 0, none is
    read or written.
    """

    def __init__(
        self,
        folder: str,
        identity: str,
        dimension: int,
        warn: Callable[[str], None] = lambda message: None,
        *,
        model: str = "",
        precision: str = "",
        limit: int = DEFAULT_CACHE_SIZE,
    ) -> None:
        self._folder = folder
        self._source = Source(identity, dimension, model, precision)
        self._path = path_of(folder, self._source)
        self._warn = warn
        self._limit = limit
        self._has_warned = False
        self._pending: dict[Key, NDArray[np.float32]] = {}
        self._file: File | None = None
        # Once, and once more where the file turns out to be damaged or removed.
        self._opens_left = 2 if limit else 0
        self._takes_more = True
        self._has_grown = False

    def get(self, keys: Iterable[Key]) -> dict[Key, NDArray[np.float32]]:
        """Those of the keys that are known, with their vectors."""
        wanted = list(dict.fromkeys(keys))
        found = {key: self._pending[key] for key in wanted if key in self._pending}
        rest = [key for key in wanted if key not in found]
        for start in range(0, len(rest), _LOOKUP):
            found |= self._read(rest[start : start + _LOOKUP])
        return found

    def put(self, vectors: Mapping[Key, NDArray[np.float32]]) -> None:
        """Remember vectors; on disk after the next `commit`."""
        self._pending.update(vectors)

    def commit(self) -> None:
        """Write what was put since the last time, and which entries were used."""
        pending, self._pending = self._pending, {}
        if pending:
            vectors = {key: vector.tobytes() for key, vector in pending.items()}
            # What damage or removal takes is put into a fresh file.
            while self._takes_more and (file := self._present()) is not None:
                if self._write(file, vectors):
                    self._has_grown = True
                    return
        elif self._file is not None and self._takes_more:
            self._write(self._file, {})

    def close(self) -> None:
        """Close the file; what was not committed is forgotten. Prunes after growth."""
        self._pending = {}
        self.commit()
        self._let_go()
        self._opens_left = 0
        if self._has_grown and cache_bytes(self._folder) > self._limit:
            if error := prune(self._folder, self._limit).error:
                self._warn_once(f"the embedding cache could not be pruned: {error}")

    def _read(self, keys: list[Key]) -> dict[Key, NDArray[np.float32]]:
        import numpy as np

        if (file := self._opened()) is None:
            return {}
        try:
            found = file.find(keys)
        except sqlite3.Error as error:
            self._fail(error)
            return {}
        return {
            key: np.frombuffer(blob, dtype=np.float32) for key, blob in found.items()
        }

    def _write(self, file: File, vectors: Mapping[Key, bytes]) -> bool:
        try:
            file.write(vectors)
        except sqlite3.Error as error:
            if is_damage(error):
                self._fail(error)
            else:  # what is there can still be read
                self._takes_more = False
                self._warn_once(
                    f"nothing is added to the embedding cache {self._path}: {error}"
                )
            return False
        return True

    def _opened(self) -> File | None:
        """The file, opened at the first use: a run without changes does not need it."""
        if self._file is None and self._opens_left:
            self._opens_left -= 1
            try:
                self._file = open_for_writing(self._path, self._source, self._warn_once)
            except (sqlite3.Error, OSError) as error:
                self._give_up(error)
        return self._file

    def _present(self) -> File | None:
        """The file, if need be a new one: what is written to a removed one is lost."""
        if self._file is not None and self._file.is_removed():
            self._let_go()
            self._warn_once(
                f"the embedding cache {self._path} was removed during the run"
            )
        return self._opened()

    def _fail(self, error: sqlite3.Error) -> None:
        """Go on with a fresh file where this one is damaged, else without one."""
        if not is_damage(error):
            self._give_up(error)
        elif self._file is not None:
            self._warn_once(rebuilt(error))
            self._file.discard()
            self._file = None

    def _give_up(self, error: Exception) -> None:
        self._warn_once(
            f"going on without the embedding cache {self._path}: {error} "
            "(CODX_INDEX_CACHE_DIR names a folder for it)"
        )
        self._let_go()
        self._opens_left = 0

    def _let_go(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _warn_once(self, message: str) -> None:
        if not self._has_warned:
            self._has_warned = True
            self._warn(message)
