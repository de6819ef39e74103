"""Contents that move to another path, found before anything is written.

The blob id of a changed file is known once it is read, which may be long after the rows of its
content's old path were overwritten. So the files that may have such a content are read ahead:
those that are as large as the old content of another changed file. After an edit there are
none. In a fresh clone, where every file has new times, there are many. Those that turn out to
be unchanged are not read again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress

from msgspec import Struct, field
from msgspec.structs import replace

from indexer.tree.changes import Changes
from indexer.tree.diff import stat_of
from indexer.tree.files import NotIndexable, Roots, Vanished, read_file
from indexer.tree.git import blob_id
from indexer.tree.reader import is_steady
from indexer.types import FileRecord, SourceFile, Stat


class Ahead(Struct, frozen=True):
    """What reading ahead found.

    `moving` has the blob ids of contents that changed files have now, and that the index has
    at the path of another changed file. A content at the path of a file that is gone is not
    among them, because such rows are deleted last. `unchanged` has the stat fields of files
    whose bytes are those of their records, by path, where they can be trusted.
    """

    moving: set[str] = field(default_factory=set)
    unchanged: dict[str, Stat] = field(default_factory=dict)


def read_ahead(
    changes: Changes,
    roots: Roots,
    max_bytes: int,
    should_stop: Callable[[], object] = lambda: False,
) -> Ahead:
    """Read the changed files whose content may be that of another one in the index."""
    suspects = changes.comparison.suspects
    replaced = {
        file.path: record
        for file in suspects
        if (record := _indexed(changes, file.path)) is not None
    }
    hashes = {record.file_hash for record in replaced.values()}
    ahead = Ahead()
    for file in _as_large(suspects, replaced):
        if should_stop():
            break  # and so will the run, before it reads a file
        with suppress(Vanished, NotIndexable, OSError):
            fd, path = roots.locate(file.path)
            content = read_file(fd, replace(file, path=path), max_bytes)
            found = blob_id(content.data, changes.tree.object_format)
            here = replaced.get(file.path)
            if found in hashes and (here is None or here.file_hash != found):
                ahead.moving.add(found)
            elif _is_unchanged(changes, file.path, found) and is_steady(content):
                ahead.unchanged[file.path] = stat_of(content.stat)
    return ahead


def _is_unchanged(changes: Changes, path: str, file_hash: str) -> bool:
    """Whether there is nothing to do about a file with these bytes."""
    record = changes.known.records.get(path)
    is_asked = path in changes.again or path in changes.failures
    return record is not None and record.file_hash == file_hash and not is_asked


def _indexed(changes: Changes, path: str) -> FileRecord | None:
    """The record of a path with its content in the index, whole, though perhaps in doubt."""
    record = changes.known.doubted.get(path) or changes.known.records.get(path)
    return record if record and record.file_hash and record.chunk_count else None


def _as_large(
    suspects: list[SourceFile], replaced: dict[str, FileRecord]
) -> Iterator[SourceFile]:
    """The suspects that are as large as the content that is replaced at another path.

    That of a record without stat fields may be of any size.
    """
    sizes = Counter(
        record.stat[0] if record.stat else None for record in replaced.values()
    )
    for file in suspects:
        own = replaced.get(file.path)
        size = own.stat[0] if own and own.stat else None
        others = sizes[file.size] + sizes[None]
        if own is not None and size in (file.size, None):
            others -= 1
        if others:
            yield file
