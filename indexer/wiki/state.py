"""What the last update of a wiki knew, in a sqlite file that may be deleted at any time."""

from __future__ import annotations

import json
import os
import sqlite3
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

from msgspec import Struct
from msgspec.structs import astuple

from indexer.wiki.describe import Definition, Description
from indexer.wiki.output import Fields
from indexer.wiki.related import Place, Related

_FORMAT = "2"

# Texts are kept for this run only, in a temporary table, which sqlite does not keep in memory.
_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS files (
    path BLOB PRIMARY KEY, file_hash TEXT NOT NULL, language TEXT NOT NULL,
    module TEXT NOT NULL, purpose TEXT NOT NULL, imports TEXT NOT NULL,
    definitions TEXT NOT NULL, lines INTEGER NOT NULL, vector BLOB, related TEXT
);
CREATE TABLE IF NOT EXISTS pages (
    name TEXT PRIMARY KEY, key TEXT NOT NULL, size INTEGER, mtime_ns INTEGER
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS summaries (
    file_hash TEXT, command TEXT, summary TEXT NOT NULL, PRIMARY KEY (file_hash, command)
) WITHOUT ROWID;
CREATE TEMPORARY TABLE texts (path BLOB PRIMARY KEY, text BLOB NOT NULL);
"""
_TABLES = ("meta", "files", "pages", "summaries")


class KnownFile(Struct, frozen=True):
    """The `Description` of a file without definitions and text, and how many lines it has."""

    file_hash: str
    language: str
    module: str
    purpose: str
    imports: tuple[str, ...]
    lines: int


class KnownPage(Struct, frozen=True):
    """A page of ours: the hash of what it was made of, and the fields that it had right after it
    was written; None if it may not have been written."""

    key: str
    fields: Fields | None


class WikiState:
    """The state in the file `path`, which starts afresh if it is damaged, or has another format
    or another `key`.

    Every method raises sqlite3.Error if the file cannot be read or written.
    """

    def __init__(self, path: str, key: str) -> None:
        try:
            self._db = _open(path)
        except sqlite3.DatabaseError:
            for name in (path, path + "-journal"):
                with suppress(OSError):
                    os.unlink(name)
            self._db = _open(path)
        wanted = json.dumps([_FORMAT, key])
        if self._meta("key") != wanted:
            with self._transaction():
                for table in _TABLES:
                    if table != "summaries":  # they depend on nothing but the bytes
                        self._db.execute(f"DELETE FROM {table}")
                self._db.execute("INSERT INTO meta VALUES ('key', ?)", (wanted,))

    @property
    def folder(self) -> str:
        """The folder that the pages were written to; "" if none were."""
        return self._meta("folder")

    def set_folder(self, folder: str) -> None:
        """Set the folder that the pages are written to."""
        with self._transaction():
            self._db.execute(
                "INSERT OR REPLACE INTO meta VALUES ('folder', ?)", (folder,)
            )

    def _meta(self, key: str) -> str:
        row = self._db.execute(
            "SELECT value FROM meta WHERE key = ?", (key,)
        ).fetchone()
        return str(row[0]) if row else ""

    def close(self) -> None:
        """Close the file, and forget the texts."""
        self._db.close()

    # -- Files --

    def files(self) -> dict[str, KnownFile]:
        """All files, by path."""
        rows = self._db.execute(
            "SELECT path, file_hash, language, module, purpose, imports, lines FROM files"
        )
        return {
            os.fsdecode(path): KnownFile(
                file_hash, language, module, purpose, tuple(json.loads(imports)), lines
            )
            for path, file_hash, language, module, purpose, imports, lines in rows
        }

    def describe(self, found: Iterable[Description]) -> None:
        """Replace what is known of files. Their vectors and related files are forgotten."""
        with self._transaction():
            self._db.executemany(
                "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?, ?, ?, NULL, NULL)",
                (
                    (
                        os.fsencode(file.path),
                        file.file_hash,
                        file.language,
                        file.module,
                        file.purpose,
                        json.dumps(file.imports),
                        json.dumps([astuple(one) for one in file.definitions]),
                        _line_count(file.text),
                    )
                    for file in found
                ),
            )

    def definitions(self, path: str) -> tuple[Definition, ...]:
        """The definitions of a known file."""
        (found,) = self._db.execute(
            "SELECT definitions FROM files WHERE path = ?", (os.fsencode(path),)
        ).fetchone()
        return tuple(Definition(*one) for one in json.loads(found))

    def without_vector(self) -> list[str]:
        """The paths of files without a vector, sorted."""
        rows = self._db.execute("SELECT path FROM files WHERE vector IS NULL")
        return sorted(os.fsdecode(path) for (path,) in rows)

    def set_vectors(self, vectors: Iterable[tuple[str, bytes]]) -> None:
        """Set mean vectors by path. The related files of these files are forgotten."""
        with self._transaction():
            self._db.executemany(
                "UPDATE files SET vector = ?, related = NULL WHERE path = ?",
                ((vector, os.fsencode(path)) for path, vector in vectors),
            )

    def forget_vectors(self, paths: Iterable[str]) -> None:
        """Forget the vectors of those of these files that have one, and their related files."""
        with self._transaction():
            self._db.executemany(
                "UPDATE files SET vector = NULL, related = NULL"
                " WHERE path = ? AND vector IS NOT NULL",
                ((os.fsencode(path),) for path in paths),
            )

    def places(self) -> dict[str, Place]:
        """All files by path, for `update_related`."""
        rows = self._db.execute("SELECT path, vector, related FROM files")
        return {
            os.fsdecode(path): Place(
                vector or b"",
                None if related is None else _related(related),
            )
            for path, vector, related in rows
        }

    def relate(
        self, related: Iterable[tuple[str, Related]], gone: Iterable[str]
    ) -> None:
        """Set the related files of files and forget files that are gone, in one transaction."""
        with self._transaction():
            self._db.executemany(
                "DELETE FROM files WHERE path = ?", ((os.fsencode(p),) for p in gone)
            )
            self._db.executemany(
                "UPDATE files SET related = ? WHERE path = ?",
                ((json.dumps(files), os.fsencode(path)) for path, files in related),
            )

    # -- Texts, of this run --

    def keep_texts(self, texts: Iterable[tuple[str, str]]) -> None:
        """Keep texts, given as (path, text), until the state is closed."""
        with self._transaction():
            self._db.executemany(
                "INSERT OR REPLACE INTO texts VALUES (?, ?)",
                (
                    (os.fsencode(path), zlib.compress(text.encode(), 1))
                    for path, text in texts
                ),
            )

    def text(self, path: str) -> str | None:
        """The text of a file; None if it was not kept."""
        row = self._db.execute(
            "SELECT text FROM texts WHERE path = ?", (os.fsencode(path),)
        ).fetchone()
        return zlib.decompress(row[0]).decode() if row else None

    def kept(self) -> set[str]:
        """The paths of files whose texts are kept."""
        rows = self._db.execute("SELECT path FROM texts")
        return {os.fsdecode(path) for (path,) in rows}

    # -- Pages --

    def pages(self) -> dict[str, KnownPage]:
        """All pages of ours that may exist, by name."""
        rows = self._db.execute("SELECT name, key, size, mtime_ns FROM pages")
        return {
            name: KnownPage(key, None if size is None else (size, mtime))
            for name, key, size, mtime in rows
        }

    def claim(self, names: Iterable[str]) -> None:
        """Record that pages are about to be written, or were written by an earlier state."""
        with self._transaction():
            self._db.executemany(
                "INSERT OR REPLACE INTO pages VALUES (?, '', NULL, NULL)",
                ((name,) for name in names),
            )

    def set_pages(self, pages: Iterable[tuple[str, KnownPage]]) -> None:
        """Record pages that have been written."""
        with self._transaction():
            self._db.executemany(
                "INSERT OR REPLACE INTO pages VALUES (?, ?, ?, ?)",
                (
                    (name, page.key, *(page.fields or (None, None)))
                    for name, page in pages
                ),
            )

    def forget_pages(self, names: Iterable[str]) -> None:
        """Record that pages are gone."""
        with self._transaction():
            self._db.executemany(
                "DELETE FROM pages WHERE name = ?", ((name,) for name in names)
            )

    # -- Summaries --

    def summaries(self, command: str) -> dict[str, str]:
        """The summaries by a command, by file_hash."""
        rows = self._db.execute(
            "SELECT file_hash, summary FROM summaries WHERE command = ?", (command,)
        )
        return dict(rows.fetchall())

    def set_summaries(self, command: str, found: Iterable[tuple[str, str]]) -> None:
        """Add summaries by a command, given as (file_hash, text)."""
        with self._transaction():
            self._db.executemany(
                "INSERT OR REPLACE INTO summaries VALUES (?, ?, ?)",
                ((file_hash, command, summary) for file_hash, summary in found),
            )

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            raise


def _line_count(text: str) -> int:
    """The number of lines of a text; a line break at its end does not start another."""
    return text.count("\n") + (not text.endswith("\n")) if text else 0


def _related(text: str) -> Related:
    return tuple((path, score) for path, score in json.loads(text))


def _open(path: str) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None)
    try:
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute("PRAGMA journal_mode = TRUNCATE")
        (problem,) = db.execute("PRAGMA quick_check(1)").fetchone()
        if problem != "ok":
            raise sqlite3.DatabaseError(problem)
        db.executescript(_SCHEMA)
        for table in _TABLES:
            db.execute(f"SELECT * FROM {table} LIMIT 1").fetchone()
    except BaseException:
        db.close()
        raise
    return db
