"""The manifest: a local cache of what each indexed file looked like.

It is an SQLite file in the state folder that can be deleted at any time, because the rows of
the collection tell what is complete. It is marked dirty, on disk, before the first write of a
run, and no longer is after the last flush. A manifest that is found dirty is not believed.
"""

from __future__ import annotations

import os
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Set
from contextlib import ExitStack, closing, contextmanager, suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import astuple

from indexer.errors import StateError
from indexer.text.versions import MEANING_VERSION
from indexer.types import ANY_BYTES, Failure, FileRecord

if TYPE_CHECKING:
    from indexer.report import Report

# What another rule said of the contents tells nothing.
FORMAT = f"4 {MEANING_VERSION}"

# Values of "state".
DIRTY = "dirty"  # a run began to write: only the rows can tell
PARTIAL = "partial"  # the records are right, but a run stopped before its end
COMPLETE = "complete"  # the records are right, and the index equalled the tree

_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS files (
    path BLOB PRIMARY KEY,
    size INTEGER, mtime_ns INTEGER, ctime_ns INTEGER, inode INTEGER,
    file_hash TEXT NOT NULL, chunk_count INTEGER NOT NULL, reason TEXT NOT NULL,
    unembedded INTEGER NOT NULL, by_words INTEGER NOT NULL, is_plain INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS failures (
    path BLOB PRIMARY KEY, file_hash TEXT NOT NULL, error TEXT NOT NULL
) WITHOUT ROWID;
"""


_RECORDS = """SELECT path, size, mtime_ns, ctime_ns, inode, file_hash, chunk_count, reason,
    unembedded, by_words, is_plain FROM files"""

_SUMS = """SELECT count(*), coalesce(sum(chunk_count > 0), 0), coalesce(sum(chunk_count), 0),
    coalesce(sum(unembedded), 0), coalesce(sum(by_words), 0), coalesce(sum(by_words > 0), 0)
    FROM files"""

FEW_RECORDS = 100  # whose part of the sums is found sooner than all sums


class Totals(Struct, frozen=True):
    """Sums over all files: `files` that have a record, `indexed` ones that have rows, the rows
    that the collection should hold (`chunks`), and how many of these have no vector yet. As many as
    `by_words`, in `files_by_words` files, are to have none.
    """

    files: int = 0
    indexed: int = 0
    chunks: int = 0
    unembedded: int = 0
    by_words: int = 0
    files_by_words: int = 0

    def plus(self, other: Totals, times: int = 1) -> Totals:
        """The sums with those of other records, which count so many times."""
        pairs = zip(astuple(self), astuple(other), strict=True)
        return Totals(*(one + times * more for one, more in pairs))

    def count(self, report: Report) -> None:
        """Put the sums into the report."""
        chunks = report.chunks
        chunks.total, chunks.unembedded = self.chunks, self.unembedded
        chunks.by_words, report.files.by_words = self.by_words, self.files_by_words


class Manifest:
    """Records of files and a few named values. Every method commits before it returns.

    Raises `StateError` if the folder cannot be written. A file that SQLite cannot read is
    removed and begun anew, because nothing in it is the only copy. One that `is_sound` is not
    looked through for damage.
    """

    def __init__(
        self, path: str, *, readonly: bool = False, is_sound: bool = False
    ) -> None:
        self._path = path
        self._is_sound = is_sound
        self._totals: Totals | None = None
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
            # What is replaced is gone: once, an address had its password in it.
            db.execute("PRAGMA secure_delete = FAST")
            db.execute("PRAGMA journal_mode = TRUNCATE")
            db.executescript(_SCHEMA)
            if not self._is_sound:
                _check(db)
            found = db.execute("SELECT value FROM meta WHERE key = 'format'").fetchone()
            if found is None or found[0] != FORMAT:
                db.executescript(
                    "DROP TABLE meta; DROP TABLE files; DROP TABLE failures;" + _SCHEMA
                )
                db.execute("INSERT INTO meta VALUES ('format', ?)", (FORMAT,))
        except BaseException:
            db.close()
            raise
        return db

    def _open_readonly(self) -> sqlite3.Connection:
        """A copy of one moment, in memory; an empty one if the file cannot be read."""
        db = sqlite3.connect(":memory:")
        # Only "rw" can roll back what a kill left, and only in a copy where nothing can be written.
        for mode, is_copied in (("ro", False), ("rw", False), ("rw", True)):
            with suppress(sqlite3.DatabaseError, OSError), ExitStack() as stack:
                path = self._path
                if is_copied:
                    path = stack.enter_context(_copied(path))
                _copy_to(db, path, mode)
                found = db.execute("SELECT value FROM meta WHERE key = 'format'")
                if found.fetchone() == (FORMAT,):
                    _check(db)
                    return db
        db.close()
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
        """The named value, "" if there is none."""
        row = self._db.execute(
            "SELECT value FROM meta WHERE key = ?", (key,)
        ).fetchone()
        return str(row[0]) if row else ""

    def set(self, **values: str) -> None:
        """Set the named values, all of them or none. What they are already costs no write."""
        if any(self.get(key) != value for key, value in values.items()):
            self._write([], [], values)

    def records(self) -> dict[str, FileRecord]:
        """Every record, by path."""
        return dict(map(_record, self._db.execute(_RECORDS)))

    def records_of(self, paths: Iterable[str]) -> dict[str, FileRecord]:
        """The records of those of the paths that have one."""
        found: dict[str, FileRecord] = {}
        for path in paths:
            rows = self._db.execute(f"{_RECORDS} WHERE path = ?", (os.fsencode(path),))
            found.update(map(_record, rows))
        return found

    def holders(self, hashes: Set[str]) -> Counter[str]:
        """How many files with rows have each of these contents, by their blob ids."""
        if not hashes:
            return Counter()
        rows = self._db.execute("SELECT file_hash FROM files WHERE chunk_count > 0")
        return Counter(hash_ for (hash_,) in rows if hash_ in hashes)

    def failures(self) -> dict[str, Failure]:
        """Files that could not be indexed, by path."""
        rows = self._db.execute("SELECT path, file_hash, error FROM failures")
        return {os.fsdecode(path): Failure(*rest) for path, *rest in rows}

    def failed_hooks(self) -> Set[str]:
        """Paths of the files that were indexed although a hook on them failed."""
        failures = self.failures().items()
        return {path for path, one in failures if one.file_hash == ANY_BYTES}

    def fail(self, path: str, failure: Failure) -> None:
        """Remember a failure until the file is indexed or gone, or all failures are forgotten."""
        with self._transaction():
            self._db.execute(
                "INSERT OR REPLACE INTO failures VALUES (?, ?, ?)",
                (os.fsencode(path), failure.file_hash, failure.error),
            )

    def forget_failures(self) -> None:
        """Forget all failures, so that every file is tried again."""
        with self._transaction():
            self._db.execute("DELETE FROM failures")

    def totals(self) -> Totals:
        """The sums over all records."""
        if self._totals is None:
            self._totals = Totals(*self._db.execute(_SUMS).fetchone())
        return self._totals

    def _totals_of(self, paths: Iterable[str]) -> Totals:
        found = Totals()
        for path in paths:
            row = self._db.execute(f"{_SUMS} WHERE path = ?", (os.fsencode(path),))
            found = found.plus(Totals(*row.fetchone()))
        return found

    def commit(
        self, records: Iterable[FileRecord] = (), deleted: Iterable[str] = ()
    ) -> None:
        """Replace these records and remove those of the deleted paths, all of them or none."""
        records, deleted = list(records), list(deleted)
        if records or deleted:
            self._write(records, deleted, {})

    def reset(self, records: Iterable[FileRecord], **values: str) -> None:
        """Replace all records by these and set the named values, all of them or none.

        Failures stay, because they are about files and not about rows.
        """
        self._write(records, None, values)

    def _write(
        self,
        records: Iterable[FileRecord],
        deleted: Iterable[str] | None,
        values: dict[str, str],
    ) -> None:
        records = list(records)
        changed: set[str] = set()
        known, self._totals = self._totals, None
        if deleted is not None:
            deleted = list(deleted)
            changed = {*deleted, *(record.path for record in records)}
        if deleted is None or len(changed) > FEW_RECORDS:
            known = None
        with self._transaction():
            if known:
                known = known.plus(self._totals_of(changed), -1)
            if deleted is None:
                self._db.execute("DELETE FROM files")
            else:
                gone = [(os.fsencode(path),) for path in deleted]
                indexed = [(os.fsencode(record.path),) for record in records]
                self._db.executemany("DELETE FROM files WHERE path = ?", gone)
                self._db.executemany(
                    "DELETE FROM failures WHERE path = ?", gone + indexed
                )
            self._db.executemany(
                "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    (
                        os.fsencode(record.path),
                        *(record.stat or (None, None, None, None)),
                        record.file_hash,
                        record.chunk_count,
                        record.reason,
                        record.unembedded,
                        record.by_words,
                        record.is_plain,
                    )
                    for record in records
                ),
            )
            self._db.executemany(
                "INSERT OR REPLACE INTO meta VALUES (?, ?)", values.items()
            )
            if known:
                known = known.plus(self._totals_of(changed))
        self._totals = known

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            self._db.execute("BEGIN IMMEDIATE")
            yield
            self._db.execute("COMMIT")
        except sqlite3.DatabaseError as error:
            with suppress(sqlite3.DatabaseError):
                self._db.execute("ROLLBACK")
            raise StateError(f"cannot write {self._path}: {error}") from error


def read_values(path: str, *keys: str) -> list[str]:
    """Some named values of the manifest at this path, "" for what is not there.

    The records are neither copied nor looked through for damage, which takes a while where there are many.
    """
    with suppress(sqlite3.DatabaseError), closing(_connect(path, "ro")) as db:
        db.execute("BEGIN")
        _check(db, "meta")
        found = dict(db.execute("SELECT key, value FROM meta"))
        if found.get("format") == FORMAT:
            return [str(found.get(key, "")) for key in keys]
    with Manifest(path, readonly=True) as manifest:
        return [manifest.get(key) for key in keys]


def _record(row: tuple[Any, ...]) -> tuple[str, FileRecord]:
    path, size, mtime, ctime, inode, *rest = row
    name = os.fsdecode(path)
    stat = None if size is None else (size, mtime, ctime, inode)
    rest[-1] = bool(rest[-1])
    return name, FileRecord(name, stat, *rest)


def _connect(path: str, mode: str) -> sqlite3.Connection:
    from urllib.parse import quote

    where = f"file:{quote(os.fsencode(path))}?mode={mode}"
    return sqlite3.connect(where, uri=True, timeout=10)


def _copy_to(db: sqlite3.Connection, path: str, mode: str) -> None:
    with closing(_connect(path, mode)) as source:
        source.execute("BEGIN")
        source.execute("SELECT count(*) FROM sqlite_master").fetchone()
        source.backup(db)


@contextmanager
def _copied(path: str) -> Iterator[str]:
    """A temporary copy of the file, with what a kill left beside it."""
    import shutil
    import tempfile

    with tempfile.TemporaryDirectory(prefix="codx-index-") as folder:
        copy = os.path.join(folder, os.path.basename(path))
        shutil.copyfile(path, copy)
        shutil.copyfile(path + "-journal", copy + "-journal")
        yield copy


def _check(db: sqlite3.Connection, table: str = "1") -> None:
    """Raise `sqlite3.DatabaseError` for damage of all tables, or one, that opening alone does not find."""
    (problem,) = db.execute(f"PRAGMA quick_check({table})").fetchone()
    if problem != "ok":
        raise sqlite3.DatabaseError(problem)


def _remove(path: str) -> None:
    for name in (path, path + "-journal"):
        with suppress(OSError):
            os.unlink(name)
