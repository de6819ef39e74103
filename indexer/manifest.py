"""The manifest: a local cache of what each indexed file looked like.

sqlite, in the state folder, safe to delete at any time: the collection's own rows tell
what is complete. `dirty` is set, and on disk, before the first write of a run and cleared
after the last flush; a manifest found dirty is not believed.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable
from contextlib import suppress
from types import TracebackType

from indexer.errors import StateError
from indexer.types import FileRecord

FORMAT = "1"

# Values of "state".
DIRTY = "dirty"  # a run began to write: only the rows tell
PARTIAL = "partial"  # the records are right, but a run was stopped before its end
COMPLETE = "complete"  # the records are right, and the index was equal to the tree

_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS files (
    path BLOB PRIMARY KEY,
    size INTEGER, mtime_ns INTEGER, ctime_ns INTEGER, inode INTEGER,
    file_hash TEXT NOT NULL, chunk_count INTEGER NOT NULL, reason TEXT NOT NULL
) WITHOUT ROWID;
"""


class Manifest:
    """Records of files and a few named values; every method commits before it returns.

    Raises `StateError` where the folder cannot be written. A file that sqlite cannot
    read is set aside and a fresh one begun, for nothing in it is the only copy.
    """

    def __init__(self, path: str, *, readonly: bool = False) -> None:
        self._path = path
        if readonly:
            self._db = self._open_readonly()
            return
        try:
            self._db = self._open()
        except sqlite3.DatabaseError:
            _remove(path)
            try:
                self._db = self._open()
            except sqlite3.DatabaseError as error:
                raise StateError(f"cannot write {path}: {error}") from error

    def _open(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._path, isolation_level=None)
        try:
            # Every commit is on disk before the next step of the write protocol.
            db.execute("PRAGMA synchronous = FULL")
            db.execute("PRAGMA journal_mode = TRUNCATE")
            db.executescript(_SCHEMA)
            _check(db)
            found = db.execute("SELECT value FROM meta WHERE key = 'format'").fetchone()
            if found is None or found[0] != FORMAT:
                db.executescript("DELETE FROM meta; DELETE FROM files;")
                db.execute("INSERT INTO meta VALUES ('format', ?)", (FORMAT,))
        except BaseException:
            db.close()
            raise
        return db

    def _open_readonly(self) -> sqlite3.Connection:
        """The file as it is; an empty manifest in memory where it cannot be read."""
        from urllib.parse import quote

        try:
            name = quote(os.fsencode(self._path))
            where = f"file:{name}?mode=ro"
            db = sqlite3.connect(where, uri=True, timeout=10)
            found = db.execute("SELECT value FROM meta WHERE key = 'format'").fetchone()
            if found is not None and found[0] == FORMAT:
                _check(db)
                return db
            db.close()
        except sqlite3.DatabaseError:
            pass
        db = sqlite3.connect(":memory:")
        db.executescript(_SCHEMA)
        return db

    def __enter__(self) -> Manifest:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._db.close()

    def get(self, key: str) -> str:
        """The named value, "" where there is none."""
        row = self._db.execute(
            "SELECT value FROM meta WHERE key = ?", (key,)
        ).fetchone()
        return str(row[0]) if row else ""

    def set(self, **values: str) -> None:
        """Set named values, all or none."""
        self._write([], [], values)

    def records(self) -> dict[str, FileRecord]:
        """Every record, by path."""
        rows = self._db.execute(
            "SELECT path, size, mtime_ns, ctime_ns, inode, file_hash, chunk_count, reason"
            " FROM files"
        )
        return {
            (name := os.fsdecode(path)): FileRecord(
                name,
                None if size is None else (size, mtime, ctime, inode),
                file_hash,
                chunk_count,
                reason,
            )
            for path, size, mtime, ctime, inode, file_hash, chunk_count, reason in rows
        }

    def chunk_total(self) -> int:
        """How many rows the collection should hold."""
        row = self._db.execute("SELECT sum(chunk_count) FROM files").fetchone()
        return int(row[0] or 0)

    def commit(
        self, records: Iterable[FileRecord] = (), deleted: Iterable[str] = ()
    ) -> None:
        """Replace these records and remove those of the deleted paths, all or none."""
        records, deleted = list(records), list(deleted)
        if records or deleted:
            self._write(records, deleted, {})

    def reset(self, records: Iterable[FileRecord], **values: str) -> None:
        """Forget every record, then put these and the named values, all or none."""
        self._write(records, None, values)

    def _write(
        self,
        records: Iterable[FileRecord],
        deleted: Iterable[str] | None,
        values: dict[str, str],
    ) -> None:
        try:
            self._db.execute("BEGIN IMMEDIATE")
            if deleted is None:
                self._db.execute("DELETE FROM files")
            else:
                self._db.executemany(
                    "DELETE FROM files WHERE path = ?",
                    ((os.fsencode(path),) for path in deleted),
                )
            self._db.executemany(
                "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    (
                        os.fsencode(record.path),
                        *(record.stat or (None, None, None, None)),
                        record.file_hash,
                        record.chunk_count,
                        record.reason,
                    )
                    for record in records
                ),
            )
            self._db.executemany(
                "INSERT OR REPLACE INTO meta VALUES (?, ?)", values.items()
            )
            self._db.execute("COMMIT")
        except sqlite3.DatabaseError as error:
            with suppress(sqlite3.DatabaseError):
                self._db.execute("ROLLBACK")
            raise StateError(f"cannot write {self._path}: {error}") from error


def _check(db: sqlite3.Connection) -> None:
    """Raise `sqlite3.DatabaseError` for damage that opening alone would not meet."""
    (problem,) = db.execute("PRAGMA quick_check(1)").fetchone()
    if problem != "ok":
        raise sqlite3.DatabaseError(problem)


def _remove(path: str) -> None:
    for name in (path, path + "-journal"):
        with suppress(OSError):
            os.unlink(name)
