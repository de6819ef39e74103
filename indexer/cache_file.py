"""One sqlite file of the embedding cache: opened, made or rebuilt, read and written.

A folder has one for each combination of model and precision. Several processes may use,
rebuild and remove the same one at once.
"""

from __future__ import annotations

import glob
import os
import sqlite3
import time
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping
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
_PAGE_BYTES = 512
_CHECKPOINT_PAGES = 8192
_INCREMENTAL = 2  # value of PRAGMA auto_vacuum
_ENTRY_BYTES = 100  # of an entry without its vector
_PRUNE_STEP = 2000  # entries a transaction, so that no run waits long

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


Entry = tuple[Key, bytes, int, int]
"""(key, vector, checksum, day of the last use)."""


class _Unreadable(sqlite3.DatabaseError):
    """sqlite can read the file, but it is not what it should be."""


class File:
    """One file of the cache, open. Its methods raise `sqlite3.Error`.

    `source`, where given, makes a file that is missing or blank; else it must be there.
    """

    def __init__(self, path: str, source: Source | None = None) -> None:
        self.path = path
        self._used: set[int] = set()  # entries whose day is to be set
        self._unsound: set[Key] = set()
        if source is not None:
            _make_private(path)
        self._db = connect(path)
        try:
            if source is not None:
                _create(self._db, source)
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
            self.source = _source_of(self._db)
            if source is not None and not _same_vectors(self.source, source):
                raise _Unreadable("it has vectors of another model")
            self._inode = _inode(path)
        except BaseException:
            self._db.close()
            raise

    def close(self) -> None:
        """Close it; which entries were used is forgotten unless written."""
        self._db.close()

    def find(self, keys: Collection[Key]) -> dict[Key, bytes]:
        """Those of the keys that have a sound entry, with their vectors."""
        marks = ",".join("?" * len(keys))
        rows = self._db.execute(
            "SELECT key, vector, crc, vectors.id, day FROM vectors"
            f" LEFT JOIN uses ON uses.id = vectors.id WHERE key IN ({marks})",
            tuple(keys),
        ).fetchall()
        today = current_day()
        found = {}
        for key, blob, crc, number, day in rows:
            if not is_sound(self.source, key, blob, crc):
                self._unsound.add(key)
                continue
            found[key] = blob
            if day != today:
                self._used.add(number)
        return found

    def write(self, vectors: Mapping[Key, bytes], day: int | None = None) -> int:
        """Add the entries that are not there; how many were they?

        Replaces those that `find` found unsound. Sets the days of those that it found.
        """
        if not vectors and not self._used:
            return 0
        today = current_day()
        rows = (
            (key, blob, checksum(self.source, key, blob), key in self._unsound)
            for key, blob in vectors.items()
        )
        with self._transaction() as db:
            (last,) = db.execute("SELECT max(id) FROM vectors").fetchone()
            db.executemany(
                "INSERT INTO vectors (key, vector, crc) VALUES (?, ?, ?)"
                " ON CONFLICT (key) DO UPDATE"
                " SET vector = excluded.vector, crc = excluded.crc WHERE ?",
                rows,
            )
            added = db.execute(
                "INSERT OR REPLACE INTO uses SELECT id, ? FROM vectors WHERE id > ?",
                (today if day is None else day, last or 0),
            ).rowcount
            # Another process may have pruned some: UPDATE does not bring them back.
            db.executemany(
                "UPDATE uses SET day = ? WHERE id = ?",
                ((today, number) for number in self._used),
            )
        self._used.clear()
        self._unsound -= vectors.keys()
        return added

    def entries(self) -> Iterator[Entry]:
        """Every sound entry."""
        today = current_day()
        for key, blob, crc, day in self._db.execute(
            "SELECT key, vector, crc, day FROM vectors"
            " LEFT JOIN uses ON uses.id = vectors.id"
        ):
            if is_sound(self.source, key, blob, crc):
                yield key, blob, crc, sane_day(day, today)

    def count(self) -> tuple[int, int]:
        """The number of entries, and the last day that one was used."""
        row = self._db.execute("SELECT count(*), max(day) FROM uses").fetchone()
        return row[0], sane_day(row[1], current_day())

    def oldest_day(self) -> int | None:
        """The day since which some entry was not used, None without entries."""
        (day,) = self._db.execute("SELECT min(day) FROM uses").fetchone()
        return None if day is None else sane_day(day, current_day())

    def bytes_in_use(self) -> int:
        """The size of the file, when it has been shrunk."""
        (free,) = self._db.execute("PRAGMA freelist_count").fetchone()
        return whole_size(self._db) - int(free) * _PAGE_BYTES

    def remove_oldest(self, size: int) -> int:
        """Remove some of the entries of the oldest day, of about `size` bytes at most.

        At least one, and so many that no other process has to wait; how many?
        """
        entry = 4 * self.source.dimension + _ENTRY_BYTES
        count = min(max(size // entry, 1), _PRUNE_STEP)
        some = (
            "(SELECT id FROM uses WHERE day = (SELECT min(day) FROM uses)"
            " ORDER BY id LIMIT ?)"
        )
        with self._transaction() as db:
            db.execute(f"DELETE FROM vectors WHERE id IN {some}", (count,))
            removed = db.execute(f"DELETE FROM uses WHERE id IN {some}", (count,))
        self._give_back_pages()
        return removed.rowcount

    def set_back_days(self) -> None:
        """No day is one to come: a clock that went ahead would make entries immortal."""
        today = current_day()
        self._db.execute("UPDATE uses SET day = ? WHERE day > ?", (today, today))

    def shrink(self) -> None:
        """Give the free pages back, and what the log holds to the file."""
        self._give_back_pages()
        self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def is_removed(self) -> bool:
        """Is the file no longer what its path leads to?"""
        try:
            return _inode(self.path) != self._inode
        except OSError:
            return True

    def discard(self) -> None:
        """Close the file and remove it, unless another has taken its place.

        A run that has it open writes on into what nobody sees, until it looks.
        """
        with suppress(OSError), _folder_lock(self.path, exclusive=True):
            if not self.is_removed():
                _unlink(self.path)
        self.close()

    def remove_unless_used(self) -> None:
        """Close the file and remove it, if it is empty and no other process has it open."""
        with _folder_lock(self.path, exclusive=True):
            if not self.is_removed() and self._is_ours_alone() and not self.count()[0]:
                self.close()
                _unlink(self.path)

    def _is_ours_alone(self) -> bool:
        """Only then can the journal mode be changed."""
        self._db.execute("PRAGMA busy_timeout = 0")
        try:
            (mode,) = self._db.execute("PRAGMA journal_mode = DELETE").fetchone()
        except sqlite3.OperationalError:
            return False
        return bool(mode == "delete")

    def _give_back_pages(self) -> None:
        # `execute` would stop after the first page.
        self._db.executescript("PRAGMA incremental_vacuum")

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with _transaction(self._db):
            yield self._db


def open_for_writing(path: str, source: Source, warn: Callable[[str], None]) -> File:
    """The file, made where it is missing and rebuilt where it is damaged.

    Raises `sqlite3.Error` or `OSError` where neither can be done.
    """
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    try:
        with _folder_lock(path, exclusive=False):
            return File(path, source)
    except sqlite3.Error as error:
        if not is_damage(error):
            raise
        warn(rebuilt(error))
    with _folder_lock(path, exclusive=True):
        # Another process may have rebuilt it meanwhile.
        return _unless_damaged(path, source) or File(path, source)


def open_existing(path: str) -> File:
    """The file as it is. Raises `sqlite3.Error`, for damage too, or `OSError`."""
    with _folder_lock(path, exclusive=False):
        return File(path)


def open_or_remove(path: str) -> File | None:
    """The file, or None where it was damaged and was removed.

    Raises `sqlite3.Error` or `OSError` where neither can be done.
    """
    try:
        return open_existing(path)
    except sqlite3.Error as error:
        if not is_damage(error):
            raise
    with _folder_lock(path, exclusive=True):
        return _unless_damaged(path)


def _unless_damaged(path: str, source: Source | None = None) -> File | None:
    """The file, removed where it is damaged. The folder must be locked exclusively."""
    try:
        return File(path, source)
    except sqlite3.Error as error:
        if not is_damage(error):
            raise
        _unlink(path)
        return None


@contextmanager
def _folder_lock(path: str, *, exclusive: bool) -> Iterator[None]:
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


def _create(db: sqlite3.Connection, source: Source) -> None:
    """Make the tables in a blank database; another process may be doing the same."""
    if db.execute("SELECT count(*) FROM sqlite_master").fetchone() != (0,):
        return
    db.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
    db.execute("PRAGMA auto_vacuum = INCREMENTAL")
    _use_log(db)
    meta = {
        "format": _FORMAT,
        "identity": source.identity,
        "dimension": str(source.dimension),
        "model": source.model,
        "precision": source.precision,
    }
    with _transaction(db):
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
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):
            db.execute("ROLLBACK")
        raise


def _source_of(db: sqlite3.Connection) -> Source:
    meta = dict(db.execute("SELECT key, value FROM meta").fetchall())
    (vacuum,) = db.execute("PRAGMA auto_vacuum").fetchone()
    if meta.get("format") != _FORMAT or vacuum != _INCREMENTAL:
        raise _Unreadable("it has another format")
    try:
        dimension = int(meta["dimension"])
        source = checked_source(
            meta["identity"], dimension, meta["model"], meta["precision"]
        )
    except (KeyError, TypeError, ValueError):
        source = None
    if source is None:
        raise _Unreadable("it does not say what its vectors are of")
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


def _same_vectors(a: Source, b: Source) -> bool:
    return (a.identity, a.dimension) == (b.identity, b.dimension)


def checksum(source: Source, key: Key, blob: bytes) -> int:
    """The checksum of an entry; it is another one for another source."""
    return zlib.crc32(blob, zlib.crc32(key, zlib.crc32(source.identity.encode())))


def is_sound(source: Source, key: Any, blob: Any, crc: Any) -> bool:
    """Is this an entry as it was written? From a damaged file comes anything."""
    return (
        isinstance(key, bytes)
        and isinstance(blob, bytes)
        and len(blob) == 4 * source.dimension
        and bool(checksum(source, key, blob) == crc)
    )


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


def _make_private(path: str) -> None:
    """Make an empty file that only its owner can read; sqlite gives its own that mode."""
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC
    with suppress(FileExistsError):
        os.close(os.open(path, flags, 0o600))


def _unlink(path: str) -> None:
    for suffix in ("-wal", "-shm", ""):
        with suppress(FileNotFoundError):
            os.unlink(path + suffix)


def _inode(path: str) -> tuple[int, int]:
    found = os.stat(path)
    return found.st_dev, found.st_ino


def sane_day(day: Any, today: int) -> int:
    """A day from a file: never one to come, which would outlast all others."""
    return min(max(day, 0), today) if isinstance(day, int) else 0


def current_day() -> int:
    """Today (UTC), in days since the epoch."""
    return int(time.time()) // DAY
