"""What a run has to look at: the comparison of tree and index, with all that bears on it."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Set
from contextlib import suppress
from dataclasses import dataclass, field

from indexer.tree import git_index
from indexer.tree.diff import Comparison
from indexer.tree.scan import Scan
from indexer.types import Audit, Failure, FileRecord, SourceFile


@dataclass(frozen=True, slots=True)
class Changes:
    """The difference between `tree` and index, as far as it shows without opening a file.

    `known` is what the index holds. Paths in `again` are indexed again though their bytes are
    unchanged, because a hook failed on them. `failures` are those of earlier runs, by path:
    the same bytes fail again. The bytes of files that are `known_to_git` are those of their
    records, so they need not be opened.
    """

    tree: Scan
    known: Audit
    comparison: Comparison
    again: Set[str] = frozenset()
    failures: Mapping[str, Failure] = field(default_factory=dict)
    known_to_git: Set[str] = frozenset()


def known_to_git(
    project: str,
    tree: Scan,
    suspects: Iterable[SourceFile],
    records: Mapping[str, FileRecord],
) -> set[str]:
    """Paths of the suspects whose bytes git's index knows to be those of their records.

    No suspect is opened. Git's object holds the file's own bytes unless git converts the
    file. A conversion that changes the size shows in the record, so only those that keep the
    size have to be ruled out.
    """
    if tree.listing is None:
        return set()
    by_repository: defaultdict[bytes, dict[bytes, SourceFile]] = defaultdict(dict)
    prefixes = sorted(tree.listing.repositories, key=len)
    for file in suspects:
        record = records.get(file.path)
        if record is None or record.stat is None or record.stat[0] != file.size:
            continue
        if os.path.isabs(file.path):  # in an external folder
            continue
        path = os.fsencode(file.path)
        prefix = [prefix for prefix in prefixes if path.startswith(prefix)][-1]
        by_repository[prefix][path.removeprefix(prefix)] = file
    known: set[str] = set()
    for prefix, files in by_repository.items():
        folder = os.path.join(os.fsencode(project), prefix)
        with suppress(FileNotFoundError):  # a repository in which nothing was added yet
            known.update(_same(folder, files, records))
    return known


def _same(
    folder: bytes, files: dict[bytes, SourceFile], records: Mapping[str, FileRecord]
) -> Iterator[str]:
    index = git_index.read_index(folder, files)
    same = {
        path
        for path, file in files.items()
        if (entry := index.entries.get(path))
        and entry.object_id == records[file.path].file_hash
        and entry.is_of(file)
        and index.knows(entry)
    }
    for path in same - (git_index.converted(folder, same) if same else same):
        yield files[path].path
