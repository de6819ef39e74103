"""Which files of a project differ from a commit, as they are on the disk now.

git is not asked for that, because it would run the filters that a repository names: it lists
what the commit and its index have, and a file whose stat fields are not those of the index is
read here. Its bytes are compared as they are.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress

from indexer.config import Settings
from indexer.errors import GitError, UsageError
from indexer.tree.commit import HEAD, find_base, find_commit, ids_of, list_others
from indexer.tree.files import (
    NotIndexable,
    Vanished,
    open_root,
    read_file,
    source_file,
)
from indexer.tree.git import blob_id, is_checked_out, work_tree
from indexer.tree.git_index import GitIndex, read_index
from indexer.tree.repository import (
    common_folder,
    is_work_tree_of,
    repository_around,
)

_ATTEMPTS = 3  # to list an index that others write meanwhile
_UNREADABLE = "unreadable"  # differs from every object id


def changed_files(settings: Settings, name: str) -> frozenset[str]:
    """The files of the project that differ from the commit that git calls `name`.

    That is the newest commit that HEAD has in common with it. Untracked files are among them
    unless they are ignored. A submodule is compared with the commit that is recorded there, any
    other repository in the project with its own HEAD. Files of external folders are never
    among them. Raises UsageError where there is no such commit, or no repository, and GitError.
    """
    project = settings.project
    if not project or settings.searched != ():
        raise UsageError(
            "which files have changed is known only in a project's folder: give it as PATH"
        )
    if work_tree(project) is None:
        raise UsageError(
            f"{project} is not in a git repository, so nothing tells which files have changed"
        )
    base = ids_of(project, find_base(project, name))
    with open_root(project) as root_fd:
        comparison = _Comparison(project, root_fd, settings.max_file_size)
        comparison.add(b"", base)
    return frozenset(map(os.fsdecode, comparison.changed))


class _Comparison:
    """A comparison in progress. Paths are relative to the project."""

    def __init__(self, project: str, root_fd: int, max_bytes: int) -> None:
        self._top = os.path.join(os.fsencode(project), b"")
        self._root_fd = root_fd
        self._max_bytes = max_bytes
        self._common = common_folder(repository_around(self._top) or self._top)
        self.changed: set[bytes] = set()

    def add(self, prefix: bytes, base: dict[bytes, str]) -> None:
        """Compare one repository, whose folder is `prefix`, with the ids of a commit, and those
        in it."""
        folder = self._top + prefix
        index = _index_of(folder)
        for path, entry in index.entries.items():
            if entry.is_repository:
                self._add_nested(prefix + path, base.get(path, ""))
            elif base.get(path) != (now := self._id_now(prefix, path, index)) and now:
                self.changed.add(prefix + path)
        for path in list_others(folder):
            if path.endswith(b"/"):
                self._add_nested(prefix + path[:-1], None)
            else:
                self.changed.add(prefix + path)

    def _add_nested(self, path: bytes, commit: str | None) -> None:
        """Compare a repository with a commit, "" if there is none, or for None with its own HEAD."""
        folder = self._top + path
        if self._common and is_work_tree_of(folder, {self._common}):
            return  # another work tree of ours belongs to no tree
        if not is_checked_out(folder):
            return
        base: dict[bytes, str] = {}
        # Where it does not have that commit, every file counts as changed.
        with suppress(UsageError, GitError):
            base = ids_of(
                folder, find_commit(folder, HEAD if commit is None else commit)
            )
        self.add(path + b"/", base)

    def _id_now(self, prefix: bytes, path: bytes, index: GitIndex) -> str | None:
        """The blob id of a tracked file as it is on the disk, None if no file is there."""
        name = os.fsdecode(prefix + path)
        try:
            info = os.stat(name, dir_fd=self._root_fd, follow_symlinks=False)
            file = source_file(name, info)
            if not stat.S_ISREG(info.st_mode):
                return None
            if index.vouches_for(path, file):
                return index.entries[path].object_id
            content = read_file(self._root_fd, file, self._max_bytes)
        except (FileNotFoundError, NotADirectoryError, Vanished):
            return None
        except (NotIndexable, OSError):
            return _UNREADABLE
        is_long = len(index.entries[path].object_id) == 64
        return blob_id(content.data, "sha256" if is_long else "sha1")


def _index_of(folder: bytes) -> GitIndex:
    """git's index of a repository; none is an empty one. Raises GitError."""
    for _ in range(_ATTEMPTS):
        try:
            index = read_index(folder)
        except FileNotFoundError:
            return GitIndex("", 0, {}, b"")
        if index.entries or not index.listing:
            return index
    raise GitError(f"git's index of {os.fsdecode(folder)} cannot be read: try again")
