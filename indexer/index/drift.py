"""Whether the tree differs from what the index has, as far as a reader can afford to look.

A run knows it for certain, because it reads each file whose stat fields changed. Here only a few
files are read. Which files belong to the tree is decided by the settings of the last run.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable

from indexer.config import Settings, with_rules
from indexer.errors import GitError, ProjectError
from indexer.index import stamp
from indexer.index.manifest import COMPLETE, Manifest
from indexer.report import Report
from indexer.tree.diff import stat_of
from indexer.tree.files import NotIndexable, Roots, Vanished, open_roots, read_file
from indexer.tree.git import blob_id
from indexer.tree.project import scan_project
from indexer.types import FileRecord, SourceFile, stat_fields

MOST_FILES = 20_000  # listing more takes longer than a search
MOST_READ, MOST_BYTES = 200, 16 << 20


def has_drifted(settings: Settings, manifest: Manifest) -> bool | None:
    """Whether a file differs from what the index has of it; None where that is not known."""
    if manifest.get("state") != COMPLETE:
        return None
    rules = manifest.get("rules")
    if not rules or manifest.totals().files > MOST_FILES:
        return None
    records = manifest.records()
    settings = with_rules(settings, json.loads(rules))
    try:
        suspects = _suspects(settings.project, records.values())
        with open_roots(settings) as roots:
            if not all(_is_equal(roots, record, size) for record, size in suspects):
                return True
        tree = scan_project(settings, Report())
    except (_TooMuch, Vanished, OSError, GitError, ProjectError) as error:
        return True if isinstance(error, Vanished) else None
    if tree.failures:
        return None
    return records.keys() != {file.path for file in tree.files}


def differing(settings: Settings) -> int | None:
    """How many files and folders are not as the last settled run saw them; None if unknown.

    Stat fields alone decide. What a run did to the index since then is left aside, no lock is
    taken, and the settings are those of the last run.
    """
    if (known := stamp.differing(settings)) is not None:
        return known
    with Manifest(settings.manifest_path, readonly=True) as manifest:
        if manifest.totals().files > MOST_FILES:
            return None
        records = manifest.records()
    try:
        tree = scan_project(settings, Report())
    except (OSError, GitError, ProjectError):
        return None
    found = {file.path: stat_of(file) for file in tree.files}
    seen = {path: record.stat for path, record in records.items()}
    return len({path for path, _ in found.items() ^ seen.items()})


class _TooMuch(Exception):
    """More would have to be read than a search can wait for."""


def _suspects(
    project: str, records: Iterable[FileRecord]
) -> list[tuple[FileRecord, int]]:
    """The records of files whose stat fields changed, with the sizes (bytes) that they have now.

    Raises `Vanished` for a file that is gone, `_TooMuch`, and `OSError`.
    """
    found = []
    for record in records:
        try:
            now = os.lstat(os.path.join(project, record.path))
        except (FileNotFoundError, NotADirectoryError) as error:
            raise Vanished(record.path) from error
        if stat_fields(now) != record.stat:
            found.append((record, now.st_size))
    if len(found) > MOST_READ or sum(size for _, size in found) > MOST_BYTES:
        raise _TooMuch
    return found


def _is_equal(roots: Roots, record: FileRecord, size: int) -> bool:
    """Whether the file has the bytes that were indexed. Raises `Vanished` and `OSError`."""
    root, path = roots.locate(record.path)
    try:
        content = read_file(root, SourceFile(path, 0, 0, 0, 0), max(size, 1))
    except NotIndexable as error:
        return error.reason == record.reason
    format_ = "sha256" if len(record.file_hash) == 64 else "sha1"
    return blob_id(content.data, format_) == record.file_hash
