"""One SQLite file of the embedding cache: opened, made or rebuilt, read and written.

A folder has one for each combination of model and precision. Several processes may use,
rebuild and remove the same file at once.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress

from indexer.cache.entry import Entry, Key, Source, checksum, is_sound
from indexer.cache.folder import folder_lock, inode, make_private, unlink
from indexer.cache.sqlite import (
    CHECKPOINT_PAGES,
    ENTRY_BYTES,
    PAGE_BYTES,
    Unreadable,
    connect,
    create,
    current_day,
    is_damage,
    rebuilt_warning,
    sane_day,
    source_of,
    transaction,
    whole_size,
)

_PRUNE_STEP = 2000  # entries a transaction, so that no other process waits long


class VectorFile:
    """One open file of the cache. Its methods raise `sqlite3.Error`.

    With a `source`, a file that is missing or blank is made. Without one, it must be there.
    """

    def __init__(self, path: str, source: Source | None = None) -> None:
        self.path = path
        self._used: set[int] = set()  # entries whose day is to be set
        self._unsound: set[Key] = set()
        if source is not None:
            make_private(path)
        self._db = connect(path)
        try:
            if source is not None:
                create(self._db, source)
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
            self.source = source_of(self._db)
            if source is not None and not _same_vectors(self.source, source):
                raise Unreadable("it has vectors of another model")
            self.inode = inode(path)
        except BaseException:
            self._db.close()
            raise

    def close(self) -> None:
        """Close the file. Which entries were used is forgotten unless it was written."""
        self._db.close()

    def find(self, keys: Collection[Key]) -> dict[Key, bytes]:
        """The vectors of those keys that have a sound entry."""
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
        """Add the entries that are missing, and return how many those were.

        Replaces the entries that `find` found unsound, and sets the day of those that it
        returned.
        """
        if not vectors and not self._used:
            return 0
        today = current_day()
        rows = (
            (key, blob, checksum(self.source, key, blob), key in self._unsound)
            for key, blob in vectors.items()
        )
        with transaction(self._db):
            (last,) = self._db.execute("SELECT max(id) FROM vectors").fetchone()
            self._db.executemany(
                "INSERT INTO vectors (key, vector, crc) VALUES (?, ?, ?)"
                " ON CONFLICT (key) DO UPDATE"
                " SET vector = excluded.vector, crc = excluded.crc WHERE ?",
                rows,
            )
            added = self._db.execute(
                "INSERT OR REPLACE INTO uses SELECT id, ? FROM vectors WHERE id > ?",
                (today if day is None else day, last or 0),
            ).rowcount
            # UPDATE does not bring back those that another process has pruned meanwhile.
            self._db.executemany(
                "UPDATE uses SET day = ? WHERE id = ?",
                ((today, number) for number in self._used),
            )
        self._used.clear()
        self._unsound -= vectors.keys()
        return added

    def entries(self) -> Iterator[Entry]:
        """Yield every sound entry."""
        today = current_day()
        for key, blob, crc, day in self._db.execute(
            "SELECT key, vector, crc, day FROM vectors"
            " LEFT JOIN uses ON uses.id = vectors.id"
        ):
            if is_sound(self.source, key, blob, crc):
                yield key, blob, crc, sane_day(day, today)

    def count(self) -> tuple[int, int]:
        """The number of entries, and the last day on which one was used."""
        row = self._db.execute("SELECT count(*), max(day) FROM uses").fetchone()
        return row[0], sane_day(row[1], current_day())

    def oldest_day(self) -> int | None:
        """The day on which the entry unused for longest was last used, None without entries."""
        (day,) = self._db.execute("SELECT min(day) FROM uses").fetchone()
        return None if day is None else sane_day(day, current_day())

    def bytes_in_use(self) -> int:
        """The size that the file would have after `shrink`."""
        (free,) = self._db.execute("PRAGMA freelist_count").fetchone()
        return whole_size(self._db) - int(free) * PAGE_BYTES

    def remove_oldest(self, size: int) -> int:
        """Remove entries of the oldest day, about `size` bytes of them at most.

        Removes at least one entry, and so few that no other process waits long. Returns how
        many. Raises `Unreadable` where the list of days names entries that are not there.
        """
        entry = 4 * self.source.dimension + ENTRY_BYTES
        count = min(max(size // entry, 1), _PRUNE_STEP)
        some = (
            "(SELECT id FROM uses WHERE day = (SELECT min(day) FROM uses)"
            " ORDER BY id LIMIT ?)"
        )
        with transaction(self._db):
            self._db.execute(f"DELETE FROM vectors WHERE id IN {some}", (count,))
            removed = self._db.execute(f"DELETE FROM uses WHERE id IN {some}", (count,))
            # Whoever prunes would go on for ever.
            if removed.rowcount == 0 and self.oldest_day() is not None:
                raise Unreadable("its entries and their days disagree")
        self._give_back_pages()
        return removed.rowcount

    def set_back_days(self) -> None:
        """Set days in the future to today: a clock that went ahead would make entries immortal."""
        today = current_day()
        self._db.execute("UPDATE uses SET day = ? WHERE day > ?", (today, today))

    def shrink(self) -> None:
        """Give the free pages back, and move what the log holds into the file."""
        self._give_back_pages()
        self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def is_removed(self) -> bool:
        """Whether the path no longer leads to this file."""
        try:
            return inode(self.path) != self.inode
        except OSError:
            return True

    def discard(self) -> None:
        """Close the file and remove it, unless another file has taken its place.

        A run that has it open writes on into a file that nobody sees, until it looks.
        """
        with suppress(OSError), folder_lock(self.path, exclusive=True):
            if not self.is_removed():
                unlink(self.path)
        self.close()

    def remove_unless_used(self) -> None:
        """Close and remove the file if it is empty and no other process has it open."""
        with folder_lock(self.path, exclusive=True):
            if not self.is_removed() and self._is_ours_alone() and not self.count()[0]:
                self.close()
                unlink(self.path)

    def _is_ours_alone(self) -> bool:
        """Whether no other process has the file open: only then can the journal mode change."""
        self._db.execute("PRAGMA busy_timeout = 0")
        try:
            (mode,) = self._db.execute("PRAGMA journal_mode = DELETE").fetchone()
        except sqlite3.OperationalError:
            return False
        return bool(mode == "delete")

    def _give_back_pages(self) -> None:
        # `execute` would stop after the first page.
        self._db.executescript("PRAGMA incremental_vacuum")


def open_for_writing(
    path: str, source: Source, warn: Callable[[str], None]
) -> VectorFile:
    """Open a file, which is made where it is missing and rebuilt where it is damaged.

    Raises `sqlite3.Error` or `OSError` where neither is possible.
    """
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    try:
        with folder_lock(path, exclusive=False):
            return VectorFile(path, source)
    except sqlite3.Error as error:
        if not is_damage(error):
            raise
        warn(rebuilt_warning(error))
    with folder_lock(path, exclusive=True):
        # Another process may have rebuilt it in the meantime.
        return _unless_damaged(path, source) or VectorFile(path, source)


def open_existing(path: str) -> VectorFile:
    """Open a file as it is. Raises `sqlite3.Error`, for damage too, or `OSError`."""
    with folder_lock(path, exclusive=False):
        return VectorFile(path)


def open_or_remove(path: str) -> VectorFile | None:
    """Open a file, or remove it and return None where it is damaged.

    Raises `sqlite3.Error` or `OSError` where neither is possible.
    """
    try:
        return open_existing(path)
    except sqlite3.Error as error:
        if not is_damage(error):
            raise
    with folder_lock(path, exclusive=True):
        return _unless_damaged(path)


def _unless_damaged(path: str, source: Source | None = None) -> VectorFile | None:
    """Open a file, or remove it and return None where it is damaged.

    The folder must be locked exclusively.
    """
    try:
        return VectorFile(path, source)
    except sqlite3.Error as error:
        if not is_damage(error):
            raise
        unlink(path)
        return None


def _same_vectors(a: Source, b: Source) -> bool:
    return (a.identity, a.dimension) == (b.identity, b.dimension)
