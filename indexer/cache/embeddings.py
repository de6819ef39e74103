"""Content-addressed cache of embeddings, shared by all projects of the user.

It maps what decides the vectors and the sha256 of the embedded text to a vector. There is one
SQLite file for each combination of model and precision, and several runs may use it at once.
The cache only ever saves work: whatever goes wrong with it, the run embeds again and says so
once.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from indexer.cache.entry import Key, Source
from indexer.cache.file import VectorFile, open_for_writing
from indexer.cache.folder import cache_bytes, path_of
from indexer.cache.pruning import prune
from indexer.cache.sqlite import is_damage, rebuilt_warning
from indexer.config import DEFAULT_CACHE_SIZE, NO_FOLDER

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_LOOKUP = 500  # keys a query; SQLite's limit of variables is far above


class EmbeddingCache:
    """Vectors of shape (dimension,), float32, by key.

    Never raises. An entry whose checksum is wrong counts as absent, and a file that cannot be
    read or written counts as an empty cache. `warn` is told of the first thing that goes
    wrong. At most `limit` bytes are kept in the folder, over all files; with 0, nothing is
    read or written.
    """

    def __init__(
        self,
        folder: str,
        source: Source,
        warn: Callable[[str], None] = lambda message: None,
        *,
        limit: int = DEFAULT_CACHE_SIZE,
    ) -> None:
        self._folder = folder
        self._source = source
        self._path = path_of(folder, source)
        self._warn = warn
        self._limit = limit
        self._has_warned = False
        self._pending: dict[Key, NDArray[np.float32]] = {}
        self._file: VectorFile | None = None
        # It is opened once, and once more where it turns out to be damaged or removed.
        self._opens_left = 2 if limit else 0
        self._takes_more = True
        self._has_grown = False

    @property
    def dimension(self) -> int:
        """The length of each vector."""
        return self._source.dimension

    def get(self, keys: Iterable[Key]) -> dict[Key, NDArray[np.float32]]:
        """The vectors of those keys that are known."""
        wanted = list(dict.fromkeys(keys))
        found = {key: self._pending[key] for key in wanted if key in self._pending}
        rest = [key for key in wanted if key not in found]
        for start in range(0, len(rest), _LOOKUP):
            found |= self._read(rest[start : start + _LOOKUP])
        return found

    def put(self, vectors: Mapping[Key, NDArray[np.float32]]) -> None:
        """Remember vectors. They are on disk after the next `commit`."""
        self._pending.update(vectors)

    def commit(self) -> None:
        """Write what was put since the last commit, and which entries were used."""
        pending, self._pending = self._pending, {}
        if pending:
            vectors = {key: vector.tobytes() for key, vector in pending.items()}
            # What damage or removal took away is put into a fresh file.
            while self._takes_more and (file := self._present()) is not None:
                if self._write(file, vectors):
                    self._has_grown = True
                    return
        elif self._file is not None and self._takes_more:
            self._write(self._file, {})

    def close(self) -> None:
        """Close the file, forget what was not committed, and prune the cache if it grew."""
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

    def _write(self, file: VectorFile, vectors: Mapping[Key, bytes]) -> bool:
        try:
            file.write(vectors)
        except sqlite3.Error as error:
            if is_damage(error):
                self._fail(error)
            else:  # existing entries can still be read
                self._takes_more = False
                self._warn_once(
                    f"nothing is added to the embedding cache {self._path}: {error}"
                )
            return False
        return True

    def _opened(self) -> VectorFile | None:
        """The file, opened at its first use because a run without changes does not need it."""
        if self._file is None and self._opens_left:
            self._opens_left -= 1
            try:
                self._file = open_for_writing(self._path, self._source, self._warn_once)
            except (sqlite3.Error, OSError) as error:
                self._give_up(error)
        return self._file

    def _present(self) -> VectorFile | None:
        """The file, or a new one if it was removed: what is written to that is lost."""
        if self._file is not None and self._file.is_removed():
            self._let_go()
            self._warn_once(
                f"the embedding cache {self._path} was removed during the run"
            )
        return self._opened()

    def _fail(self, error: sqlite3.Error) -> None:
        """Go on with a fresh file if this one is damaged, else without any."""
        if not is_damage(error):
            self._give_up(error)
        elif self._file is not None:
            self._warn_once(rebuilt_warning(error))
            self._file.discard()
            self._file = None

    def _give_up(self, error: Exception) -> None:
        about = f"the embedding cache {self._path}: {error}"
        if self._folder == NO_FOLDER:
            about = "an embedding cache, because no home folder is known"
        self._warn_once(
            f"continuing without {about} (CODX_INDEX_CACHE_DIR names a folder for it)"
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
