"""Export and import of the embedding cache: all of its entries in one SQLite file."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager

from msgspec import Struct
from msgspec.structs import astuple

from indexer.cache.entry import Entry, Key, Source, checked_source, is_sound
from indexer.cache.file import VectorFile, open_existing, open_for_writing
from indexer.cache.folder import path_of, paths_in
from indexer.cache.sqlite import connect, current_day, sane_day, whole_size
from indexer.errors import CacheError, UsageError

_EXPORT_ID = 0x434F4458  # "CODX", in the header of an export
_EXPORT_FORMAT = 1

_EXPORT_SCHEMA = (
    "CREATE TABLE sources (id INTEGER PRIMARY KEY, identity TEXT NOT NULL,"
    " dimension INTEGER NOT NULL, model TEXT NOT NULL, precision TEXT NOT NULL)",
    "CREATE TABLE vectors (source INTEGER NOT NULL, key BLOB NOT NULL,"
    " vector BLOB NOT NULL, crc INTEGER NOT NULL, day INTEGER NOT NULL)",
)


class Imported(Struct, frozen=True):
    """The number of entries in an export, of the new ones among them, and of the damaged ones,
    which were left out."""

    entries: int
    new: int
    damaged: int


def export_entries(
    folder: str, target: str, warn: Callable[[str], None] = lambda message: None
) -> int:
    """Write every entry of the cache to one file, for `import_entries`, and return how many.

    `target` appears complete or not at all. `warn` is told of what cannot be read. Raises
    `UsageError` where something else has that name, and `CacheError` where the file cannot be
    written.
    """
    target = os.path.abspath(target)
    if not _may_be_replaced(target):
        raise UsageError(
            f"{target} exists and is not an exported cache: not overwritten"
        )
    try:
        with _draft(target) as draft, closing(connect(draft)) as db:
            return _export(folder, db, warn)
    except (sqlite3.Error, OSError) as error:
        raise CacheError(f"cannot write {target}: {_reason(error)}") from error


def _export(folder: str, db: sqlite3.Connection, warn: Callable[[str], None]) -> int:
    # No journal is needed, because nobody sees the draft before it is complete.
    db.execute("PRAGMA journal_mode = OFF")
    db.execute("PRAGMA synchronous = OFF")
    db.execute(f"PRAGMA application_id = {_EXPORT_ID}")
    db.execute(f"PRAGMA user_version = {_EXPORT_FORMAT}")
    db.execute("BEGIN")
    for statement in _EXPORT_SCHEMA:
        db.execute(statement)
    for number, path in enumerate(paths_in(folder)):
        try:
            file = open_existing(path)
        except (sqlite3.Error, OSError) as error:
            warn(f"{path} is left out: {error}")
            continue
        with closing(file):
            db.execute(
                "INSERT INTO sources VALUES (?, ?, ?, ?, ?)",
                (number, *astuple(file.source)),
            )
            db.executemany(
                "INSERT INTO vectors VALUES (?, ?, ?, ?, ?)",
                ((number, *entry) for entry in _readable(file, warn)),
            )
    (count,) = db.execute("SELECT count(*) FROM vectors").fetchone()
    db.execute("COMMIT")
    return int(count)


def _readable(file: VectorFile, warn: Callable[[str], None]) -> Iterator[Entry]:
    try:
        yield from file.entries()
    except sqlite3.Error as error:
        warn(f"the rest of {file.path} is left out: {error}")


def import_entries(
    folder: str, origin: str, warn: Callable[[str], None] = lambda message: None
) -> Imported:
    """Check the entries of an export, and add those that the cache does not have yet.

    `warn` is told of a damaged file of the cache, which is rebuilt. Raises `CacheError` where
    `origin` is no export or a damaged one, or where the cache cannot be written.
    """
    with closing(_open_export(origin)) as db, ExitStack() as stack:
        files: dict[Source, VectorFile] = {}
        total = new = damaged = 0
        for groups, count in _exported(db, origin):
            total += count
            damaged += count - sum(len(entries) for entries in groups.values())
            try:
                for (source, day), entries in groups.items():
                    if source not in files:
                        path = path_of(folder, source)
                        file = open_for_writing(path, source, warn)
                        stack.callback(file.close)
                        files[source] = file
                    new += files[source].write(entries, day)
            except (sqlite3.Error, OSError) as error:
                raise CacheError(
                    f"cannot write the embedding cache in {folder}: {_reason(error)}"
                ) from error
    return Imported(total, new, damaged)


def _open_export(path: str) -> sqlite3.Connection:
    """Open a database that is an undamaged export. Raises `CacheError` for any other."""
    try:
        if not _is_export(path):
            raise CacheError(f"{path} is not an exported cache")
        # Nobody writes to an export, so it may be where it cannot even be locked.
        db = connect(path, "mode=ro&immutable=1")
    except (sqlite3.Error, OSError) as error:
        raise CacheError(f"cannot read {path}: {_reason(error)}") from error
    try:
        with _damage_of(path):
            db.execute("PRAGMA trusted_schema = OFF")
            (version,) = db.execute("PRAGMA user_version").fetchone()
            if version != _EXPORT_FORMAT:
                raise CacheError(
                    f"{path} was exported by another version of codx-index"
                )
            if whole_size(db) != os.stat(path).st_size:
                raise CacheError(f"{path} is damaged: it is truncated")
            (problem,) = db.execute("PRAGMA quick_check(1)").fetchone()
            if problem != "ok":
                raise CacheError(f"{path} is damaged: {problem}")
    except BaseException:
        db.close()
        raise
    return db


_SELECT_SOURCES = "SELECT id, identity, dimension, model, precision FROM sources"
_IMPORT_STEP = 2000  # entries a transaction


def _exported(
    db: sqlite3.Connection, path: str
) -> Iterator[tuple[dict[tuple[Source, int], dict[Key, bytes]], int]]:
    """Yield some entries at a time: the sound ones by source and day, and how many were read."""
    with _damage_of(path):
        sources = {
            row[0]: checked_source(*row[1:]) for row in db.execute(_SELECT_SOURCES)
        }
        rows = db.execute("SELECT source, key, vector, crc, day FROM vectors")
        today = current_day()
        while found := rows.fetchmany(_IMPORT_STEP):
            groups: defaultdict[tuple[Source, int], dict[Key, bytes]]
            groups = defaultdict(dict)
            for number, key, blob, crc, day in found:
                source = sources.get(number)
                if source is not None and is_sound(source, key, blob, crc):
                    groups[source, sane_day(day, today)][key] = blob
            yield groups, len(found)


def _may_be_replaced(target: str) -> bool:
    try:
        return not os.path.lexists(target) or _is_export(target)
    except OSError:
        return False


_HEADER_BYTES = 100


def _is_export(path: str) -> bool:
    if not stat.S_ISREG(os.stat(path).st_mode):
        return False
    with open(path, "rb") as file:
        header = file.read(_HEADER_BYTES)
    # A database's header: https://www.sqlite.org/fileformat.html
    is_database = header.startswith(b"SQLite format 3\0")
    return is_database and header[68:72] == _EXPORT_ID.to_bytes(4, "big")


@contextmanager
def _draft(target: str) -> Iterator[str]:
    """Make a file beside the target that only its owner can read. It takes the target's place if
    the block ends well."""
    import tempfile

    folder, name = os.path.split(target)
    handle, draft = tempfile.mkstemp(prefix=f".{name}.", suffix=".tmp", dir=folder)
    try:
        yield draft
        os.fsync(handle)
        os.replace(draft, target)
    except BaseException:
        os.unlink(draft)
        raise
    finally:
        os.close(handle)


@contextmanager
def _damage_of(path: str) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise CacheError(f"{path} is damaged: {error}") from error


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else "") or str(error)
