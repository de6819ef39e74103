"""Which files git knows to have a content, so that they need not be read.

git's index has the stat fields that each file had when git wrote or read it, and the blob id. Where
the fields are still the same, git takes the file for unchanged, and so does this module, but not
where the bytes of a file may be others than those of the blob.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress

from indexer.errors import GitError
from indexer.tree.diff import TICK_NS, stat_of
from indexer.tree.files import source_file
from indexer.tree.git_index import GitIndex, read_index
from indexer.tree.git_process import run_git
from indexer.types import SourceFile, Stat

# Attributes with which the bytes of a file and of its blob differ. Line ends are not among them:
# where they differ, so does the size.
_CONVERTING = {b"filter", b"ident", b"working-tree-encoding"}
_NOT = {b"unset", b"unspecified"}
_SECOND_NS = 1_000_000_000


class Vouched:
    """What git's index says of the files below a project's folder; nothing outside of git."""

    def __init__(self, project: str) -> None:
        self._project = os.fsencode(project)
        self._index = GitIndex("", 0, {}, b"")
        with suppress(GitError, OSError):
            self._index = read_index(project)

    def agreement(self, hashes: Mapping[str, str]) -> int:
        """How many files have, by git's index, the blob id that is expected at their path."""
        entries = self._index.entries
        return sum(
            (entry := entries.get(os.fsencode(path))) is not None
            and entry.object_id == hash_
            for path, hash_ in hashes.items()
        )

    def stats(self, hashes: Mapping[str, str]) -> dict[str, Stat]:
        """The stat fields of those files that git knows to have the blob id at their path."""
        files = dict(self._unchanged(hashes))
        if not files:
            return {}
        try:
            converted = self._converted(files)
            sizes = self._sizes({hashes[path] for path in files})
        except GitError:
            return {}
        return {
            path: stat_of(file)
            for path, file in files.items()
            if path not in converted and sizes.get(hashes[path]) == file.size
        }

    def _unchanged(self, hashes: Mapping[str, str]) -> Iterator[tuple[str, SourceFile]]:
        for path, hash_ in hashes.items():
            name = os.fsencode(path)
            entry = self._index.entries.get(name)
            if entry is None or not entry.is_plain or entry.object_id != hash_:
                continue
            with suppress(OSError):
                info = os.lstat(os.path.join(self._project, name))
                file = source_file(path, info)
                if entry.is_of(file) and self._is_old(file):
                    yield path, file

    def _is_old(self, file: SourceFile) -> bool:
        """Whether git's index is so much younger than the file that git would not open it.

        git's own rule counts whole seconds, in which a whole checkout may fit. Here finer times
        count, where the file system keeps them.
        """
        latest = max(file.ctime_ns, file.mtime_ns)
        is_coarse = not file.ctime_ns % _SECOND_NS
        return not is_coarse and latest < self._index.mtime_ns - TICK_NS

    def _converted(self, files: Mapping[str, SourceFile]) -> set[str]:
        """The files whose bytes a setting of the repository may change on their way to the disk."""
        names = b"".join(os.fsencode(path) + b"\0" for path in files)
        asked = ("check-attr", "--stdin", "-z", "--all")
        found = run_git(self._project, *asked, standard_input=names).stdout
        fields = found.split(b"\0")
        return {
            os.fsdecode(path)
            for path, name, value in zip(fields[::3], fields[1::3], fields[2::3])
            if name in _CONVERTING and value not in _NOT
        }

    def _sizes(self, hashes: set[str]) -> dict[str, int]:
        """The size of each blob that the repository has."""
        asked = ("cat-file", "--batch-check=%(objectname) %(objectsize)")
        given = b"".join(hash_.encode("ascii") + b"\n" for hash_ in sorted(hashes))
        found = run_git(self._project, *asked, standard_input=given).stdout
        sizes = {}
        for line in found.splitlines():
            name, _, size = line.partition(b" ")
            if size.isdigit():
                sizes[name.decode("ascii")] = int(size)
        return sizes
