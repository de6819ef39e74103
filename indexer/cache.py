"""Content-addressed cache of embeddings, shared by all projects of the user.

(what decides the vectors, sha256 of the embedded text) → vector. One sqlite file for
each combination of model and precision; several runs may use it at once. It is only ever
a saving: whatever goes wrong with it, the run embeds again and says so once.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import zlib
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from indexer.types import Chunk

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Key = bytes
"""sha256 of the text that the model sees."""

_LOOKUP = 500  # keys a query; sqlite's limit of variables is far above


def key_of(chunk: Chunk) -> Key:
    """The cache's key of a chunk: the same text has the same vector, wherever it is."""
    return hashlib.sha256(chunk.embedded_text.encode()).digest()


class EmbeddingCache:
    """Vectors of shape (dimension,), float32, by key.

    Never raises: an entry whose checksum is wrong counts as absent, a file that cannot be
    read or written as an empty cache, reported once through `warn`.
    """

    def __init__(
        self,
        folder: str,
        identity: str,
        dimension: int,
        warn: Callable[[str], None] = lambda message: None,
    ) -> None:
        self._path = os.path.join(folder, f"embeddings-{identity[:16]}.sqlite")
        self._dimension = dimension
        self._warn = warn
        self._pending: dict[Key, NDArray[np.float32]] = {}
        self._db: sqlite3.Connection | None = None
        self._is_opened = False

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
        """Write what was put since the last time."""
        pending, self._pending = self._pending, {}
        if not pending or (db := self._opened()) is None:
            return
        rows = (
            (key, blob := vector.tobytes(), zlib.crc32(key + blob))
            for key, vector in pending.items()
        )
        try:
            with db:
                db.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?, ?)", rows)
        except sqlite3.DatabaseError as error:
            self._give_up(error)

    def close(self) -> None:
        """Close the file; what was not committed is forgotten."""
        if self._db is not None:
            self._db.close()
            self._db = None

    def _read(self, keys: list[Key]) -> dict[Key, NDArray[np.float32]]:
        import numpy as np

        if (db := self._opened()) is None:
            return {}
        marks = ",".join("?" * len(keys))
        try:
            rows = db.execute(
                f"SELECT key, vector, crc FROM vectors WHERE key IN ({marks})", keys
            ).fetchall()
        except sqlite3.DatabaseError as error:
            self._give_up(error)
            return {}
        return {
            key: np.frombuffer(blob, dtype=np.float32)
            for key, blob, crc in rows
            if zlib.crc32(key + blob) == crc and len(blob) == 4 * self._dimension
        }

    def _opened(self) -> sqlite3.Connection | None:
        """The file, opened at the first use: a run without changes does not need it."""
        if not self._is_opened:
            self._is_opened = True
            self._db = self._open()
        return self._db

    def _open(self) -> sqlite3.Connection | None:
        try:
            os.makedirs(os.path.dirname(self._path), mode=0o700, exist_ok=True)
            return self._connect()
        except sqlite3.OperationalError as error:  # locked, read-only, no room
            self._give_up(error)
        except sqlite3.DatabaseError as error:
            self._warn(f"the embedding cache was unreadable and is rebuilt ({error})")
            self._remove()
            with suppress(sqlite3.DatabaseError):
                return self._connect()
        except OSError as error:
            self._give_up(error)
        return None

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._path, timeout=10)
        try:
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = NORMAL")
            db.execute(
                "CREATE TABLE IF NOT EXISTS vectors"
                " (key BLOB PRIMARY KEY, vector BLOB NOT NULL, crc INTEGER NOT NULL)"
                " WITHOUT ROWID"
            )
            db.execute("SELECT key FROM vectors LIMIT 1").fetchone()
        except BaseException:
            db.close()
            raise
        return db

    def _give_up(self, error: Exception) -> None:
        self._warn(f"going on without the embedding cache {self._path}: {error}")
        self.close()
        if not isinstance(error, (sqlite3.OperationalError, OSError)):
            self._remove()  # damaged inside: the next run begins a fresh one

    def _remove(self) -> None:
        for suffix in ("", "-wal", "-shm"):
            with suppress(OSError):
                os.unlink(self._path + suffix)
