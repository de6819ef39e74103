"""One SQLite file of the cache: its schema, its locks, and what counts as damage."""

from __future__ import annotations

import glob
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

Key = bytes
"""sha256 of the text that the model sees."""


PATIENCE = 10.0  # seconds to wait for another process that holds a file


DAY = 86400  # seconds


# Part of a file's name, so that versions with another layout leave it alone.
_FORMAT = "1"


# A vector of float32 fills pages of this size, overflow pages, and they are freed with it.
# In large pages the entries that stay would keep the room of those that were pruned.
PAGE_BYTES = 512


CHECKPOINT_PAGES = 8192


_INCREMENTAL = 2  # value of PRAGMA auto_vacuum


ENTRY_BYTES = 100  # of an entry without its vector


_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS vectors (id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE,"
    " vector BLOB NOT NULL, crc INTEGER NOT NULL)",
    # Apart, so that using an entry does not rewrite its vector. Days since the epoch.
    "CREATE TABLE IF NOT EXISTS uses (id INTEGER PRIMARY KEY, day INTEGER NOT NULL)",
    "CREATE INDEX IF NOT EXISTS uses_by_day ON uses (day)",
)


# What is wrong around a file, not with it: primary result codes of sqlite.
_CIRCUMSTANCES = {
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_INTERRUPT,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_NOLFS,
    sqlite3.SQLITE_AUTH,
}


@dataclass(frozen=True, slots=True)
class Source:
    """What decided the vectors of a file: `identity`, hex sha256, of all that decides.

    The vectors have shape (dimension,). `model` and `precision` are only shown.
    """

    identity: str
    dimension: int
    model: str = ""
    precision: str = ""


class Unreadable(sqlite3.DatabaseError):
    """sqlite can read the file, but it is not what it should be."""


@contextmanager
def folder_lock(path: str, *, exclusive: bool) -> Iterator[None]:
    """Lock the folder of a file: shared to open a file, exclusively to remove one.

    A database must not be opened while its files vanish one by one: the new one would
    share its log with the old one. Raises `OSError`.
    """
    import fcntl

    mode = fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH
    handle = os.open(os.path.dirname(path), os.O_RDONLY | os.O_CLOEXEC)
    try:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                fcntl.flock(handle, mode | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
            except OSError:  # some network file systems have no locks
                break
        yield
    finally:
        os.close(handle)


def connect(path: str, options: str = "mode=rw") -> sqlite3.Connection:
    """Open a database, with options as in an URI of sqlite. Raises `sqlite3.Error`."""
    from urllib.parse import quote

    return sqlite3.connect(
        f"file://{quote(os.fsencode(os.path.abspath(path)))}?{options}",
        uri=True,
        timeout=PATIENCE,
        isolation_level=None,
    )


def create(db: sqlite3.Connection, source: Source) -> None:
    """Make the tables in a blank database; another process may be doing the same."""
    if db.execute("SELECT count(*) FROM sqlite_master").fetchone() != (0,):
        return
    db.execute(f"PRAGMA page_size = {PAGE_BYTES}")
    db.execute("PRAGMA auto_vacuum = INCREMENTAL")
    _use_log(db)
    meta = {
        "format": _FORMAT,
        "identity": source.identity,
        "dimension": str(source.dimension),
        "model": source.model,
        "precision": source.precision,
    }
    with transaction(db):
        for statement in _SCHEMA:
            db.execute(statement)
        db.executemany("INSERT OR IGNORE INTO meta VALUES (?, ?)", meta.items())


def whole_size(db: sqlite3.Connection) -> int:
    """The bytes of a database, its log apart, by its own account."""
    (pages,) = db.execute("PRAGMA page_count").fetchone()
    (page,) = db.execute("PRAGMA page_size").fetchone()
    return int(pages * page)


def _use_log(db: sqlite3.Connection) -> None:
    """Switch to a write-ahead log. Two that do so at once are told to try again."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if _code(error) != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """A transaction that takes the write lock at once and is rolled back if the block raises."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):
            db.execute("ROLLBACK")
        raise


def source_of(db: sqlite3.Connection) -> Source:
    """What the file holds vectors of. Raises `Unreadable` for a file of another format."""
    meta = dict(db.execute("SELECT key, value FROM meta").fetchall())
    (vacuum,) = db.execute("PRAGMA auto_vacuum").fetchone()
    if meta.get("format") != _FORMAT or vacuum != _INCREMENTAL:
        raise Unreadable("it has another format")
    try:
        dimension = int(meta["dimension"])
        source = checked_source(
            meta["identity"], dimension, meta["model"], meta["precision"]
        )
    except (KeyError, TypeError, ValueError):
        source = None
    if source is None:
        raise Unreadable("it does not say what its vectors are of")
    return source


def checked_source(
    identity: object, dimension: object, model: object, precision: object
) -> Source | None:
    """A source, None where these values, from a file, cannot be right: they name files."""
    if not (isinstance(identity, str) and isinstance(dimension, int)):
        return None
    is_name = len(identity) == 64 and identity.isascii() and identity.isalnum()
    if not is_name or dimension < 1:
        return None
    return Source(identity, dimension, str(model), str(precision))


def is_damage(error: Exception) -> bool:
    """Is the file itself wrong, so that a fresh one would do?"""
    if not isinstance(error, sqlite3.Error):
        return False
    cut_short = getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_IOERR_SHORT_READ
    return cut_short or _code(error) not in _CIRCUMSTANCES


def _code(error: sqlite3.Error) -> int:
    """The primary result code, 0 for what Python's module found itself."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def rebuilt(error: Exception) -> str:
    """The warning about a damaged file, of one line."""
    return f"the embedding cache was unreadable and is rebuilt ({error})"


def path_of(folder: str, source: Source) -> str:
    """Where the file of a source is, or would be."""
    name = f"embeddings-{_FORMAT}-{source.identity[:16]}.sqlite"
    return os.path.join(folder, name)


def paths_in(folder: str) -> list[str]:
    """The files of the cache, of whichever format."""
    pattern = os.path.join(glob.escape(folder), "embeddings-*.sqlite")
    return sorted(path for path in glob.glob(pattern) if os.path.isfile(path))


def size_of(path: str) -> int:
    """The bytes that a file and its log take, 0 where it is gone. Opens nothing."""
    size = 0
    for name in (path, path + "-wal"):
        with suppress(OSError):
            size += os.stat(name).st_size
    return size


def make_private(path: str) -> None:
    """Make an empty file that only its owner can read; sqlite gives its own that mode."""
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC
    with suppress(FileExistsError):
        os.close(os.open(path, flags, 0o600))


def unlink(path: str) -> None:
    """Remove the file together with its write-ahead log."""
    for suffix in ("-wal", "-shm", ""):
        with suppress(FileNotFoundError):
            os.unlink(path + suffix)


def inode(path: str) -> tuple[int, int]:
    """The device and inode number that identify the file at `path`."""
    found = os.stat(path)
    return found.st_dev, found.st_ino


def sane_day(day: Any, today: int) -> int:
    """A day from a file: never one to come, which would outlast all others."""
    return min(max(day, 0), today) if isinstance(day, int) else 0


def current_day() -> int:
    """Today (UTC), in days since the epoch."""
    return int(time.time()) // DAY
