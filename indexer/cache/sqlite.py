"""SQLite as the cache uses it: the schema, connections, and what counts as damage."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from indexer.cache.entry import Source, checked_source

# Part of a file's name, so that versions with another layout leave the file alone.
FORMAT = "1"

PATIENCE = 10.0  # seconds to wait for another process that holds a file
DAY = 86400  # seconds

# A vector of float32 fills whole pages of this size, overflow pages, and they are freed with
# it. On larger pages, the entries that stay would hold the room of the pruned ones.
PAGE_BYTES = 512

CHECKPOINT_PAGES = 8192
ENTRY_BYTES = 100  # of an entry without its vector

_INCREMENTAL = 2  # value of PRAGMA auto_vacuum

_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS vectors (id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE,"
    " vector BLOB NOT NULL, crc INTEGER NOT NULL)",
    # Its own table, so that using an entry does not rewrite its vector. Days since the epoch.
    "CREATE TABLE IF NOT EXISTS uses (id INTEGER PRIMARY KEY, day INTEGER NOT NULL)",
    "CREATE INDEX IF NOT EXISTS uses_by_day ON uses (day)",
)


class Unreadable(sqlite3.DatabaseError):
    """SQLite can read the file, but it is not what it should be."""


def connect(path: str, options: str = "mode=rw") -> sqlite3.Connection:
    """Open a database, with options as in a URI of SQLite. Raises `sqlite3.Error`."""
    from urllib.parse import quote

    return sqlite3.connect(
        f"file://{quote(os.fsencode(os.path.abspath(path)))}?{options}",
        uri=True,
        timeout=PATIENCE,
        isolation_level=None,
    )


def create(db: sqlite3.Connection, source: Source) -> None:
    """Make the tables in a blank database. Another process may be doing the same."""
    if db.execute("SELECT count(*) FROM sqlite_master").fetchone() != (0,):
        return
    db.execute(f"PRAGMA page_size = {PAGE_BYTES}")
    db.execute("PRAGMA auto_vacuum = INCREMENTAL")
    _use_log(db)
    meta = {
        "format": FORMAT,
        "identity": source.identity,
        "dimension": str(source.dimension),
        "model": source.model,
        "precision": source.precision,
    }
    with transaction(db):
        for statement in _SCHEMA:
            db.execute(statement)
        db.executemany("INSERT OR IGNORE INTO meta VALUES (?, ?)", meta.items())


def _use_log(db: sqlite3.Connection) -> None:
    """Switch to a write-ahead log.

    Tries again while another process does the same, because SQLite refuses one of the two.
    """
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
    """The source of the vectors in a file. Raises `Unreadable` for a file of another format."""
    meta = dict(db.execute("SELECT key, value FROM meta").fetchall())
    (vacuum,) = db.execute("PRAGMA auto_vacuum").fetchone()
    if meta.get("format") != FORMAT or vacuum != _INCREMENTAL:
        raise Unreadable("it has another format")
    try:
        dimension = int(meta["dimension"])
        source = checked_source(
            meta["identity"], dimension, meta["model"], meta["precision"]
        )
    except (KeyError, TypeError, ValueError):
        source = None
    if source is None:
        raise Unreadable("it does not say which model its vectors come from")
    return source


def whole_size(db: sqlite3.Connection) -> int:
    """The bytes of a database without its log, as the database itself counts them."""
    (pages,) = db.execute("PRAGMA page_count").fetchone()
    (page,) = db.execute("PRAGMA page_size").fetchone()
    return int(pages * page)


def current_day() -> int:
    """Today (UTC), in days since the epoch."""
    return int(time.time()) // DAY


def sane_day(day: Any, today: int) -> int:
    """A day from a file, at most today: an entry with a later day would outlast all others."""
    return min(max(day, 0), today) if isinstance(day, int) else 0


# Primary result codes of SQLite for what is wrong around a file, not with it.
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


def is_damage(error: Exception) -> bool:
    """Whether the file itself is wrong, so that a fresh one would do."""
    if not isinstance(error, sqlite3.Error):
        return False
    cut_short = getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_IOERR_SHORT_READ
    return cut_short or _code(error) not in _CIRCUMSTANCES


def _code(error: sqlite3.Error) -> int:
    """The primary result code, 0 for an error that Python's module found itself."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def rebuilt_warning(error: Exception) -> str:
    """The warning about a damaged file, in one line."""
    return f"the embedding cache was unreadable and is being rebuilt ({error})"
