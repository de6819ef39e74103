"""What git's index says: its entries, and which of them differ from the work tree."""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass

from indexer.tree.git_process import run_git
from indexer.types import SourceFile

_SECOND_NS = 1_000_000_000
_GITLINK_MODE = 0o160000
_CE_VALID, _CE_SKIP_WORKTREE = (
    0x8000,
    0x40000000,
)  # flags of an entry, from git's cache.h

# One entry, as `git ls-files -z --stage --debug` prints it.
_ENTRY = re.compile(
    rb"(\d{6}) ([0-9a-f]+) (\d)\t([^\0]+)\0"
    rb"  ctime: (\d+):(\d+)\n  mtime: (\d+):(\d+)\n  dev: \d+\tino: (\d+)\n"
    rb"  uid: \d+\tgid: \d+\n  size: (\d+)\tflags: ([0-9a-f]+)\n"
)


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """What git's index knows of a tracked file.

    The stat fields are those that the file had when git last compared it with the object.
    `size` and `inode` are cut to 32 bits, as the index has them. `object_id` is in hex.
    """

    mode: int
    object_id: str
    stage: int
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    flags: int

    @property
    def is_plain(self) -> bool:
        """Whether this is a regular file without conflict that git compares with the disk."""
        is_regular = stat.S_ISREG(self.mode) and self.stage == 0
        return is_regular and not self.flags & (_CE_VALID | _CE_SKIP_WORKTREE)

    @property
    def is_sparse(self) -> bool:
        """Whether a sparse checkout leaves the file out of the work tree on purpose."""
        return bool(self.flags & _CE_SKIP_WORKTREE)

    @property
    def is_repository(self) -> bool:
        """Whether this is the commit of a submodule."""
        return self.mode == _GITLINK_MODE

    def is_of(self, file: SourceFile) -> bool:
        """Whether these are the stat fields of the file, to the nanosecond."""
        return (
            self.ctime_ns == file.ctime_ns
            and self.mtime_ns == file.mtime_ns
            and self.size == file.size & 0xFFFFFFFF
            and self.inode == file.inode & 0xFFFFFFFF
        )


@dataclass(frozen=True, slots=True)
class GitIndex:
    """git's index of one repository.

    `path` is where it lies, `mtime_ns` when it was written. `entries` are those below the
    folder that was asked for, by their path relative to that folder.
    """

    path: str
    mtime_ns: int
    entries: dict[bytes, IndexEntry]

    def has_racy(self) -> bool:
        """Whether git would open some file to tell whether it changed.

        It compares whole seconds.
        """
        written = self.mtime_ns // _SECOND_NS
        return any(
            entry.is_plain and entry.mtime_ns // _SECOND_NS >= written
            for entry in self.entries.values()
        )


def index_path(folder: str | bytes) -> str:
    """The absolute path of the index of the repository around `folder`.

    Raises GitError where git refuses.
    """
    arguments = ("rev-parse", "--path-format=absolute", "--git-path", "index")
    return os.fsdecode(run_git(folder, *arguments).stdout.removesuffix(b"\n"))


def read_index(folder: str | bytes) -> GitIndex:
    """The entries of the index for all files below `folder`.

    No file of the work tree is opened. The entries of submodules and of files in conflict
    are not `is_plain`. There are no entries where the index changed meanwhile. Raises
    GitError where git refuses, and OSError where there is no index.
    """
    where = index_path(folder)
    mtime_ns = os.stat(where).st_mtime_ns
    done = run_git(folder, "ls-files", "-z", "--stage", "--debug")
    # The entries of an index that was written meanwhile belong to another time.
    is_same = os.stat(where).st_mtime_ns == mtime_ns
    return GitIndex(where, mtime_ns, _parse(done.stdout) if is_same else {})


def _parse(output: bytes) -> dict[bytes, IndexEntry]:
    """The entries by path; none if the output is not as expected.

    git does not promise to keep this format.
    """
    entries: dict[bytes, IndexEntry] = {}
    end = 0
    for found in _ENTRY.finditer(output):
        if found.start() != end:
            return {}
        end = found.end()
        mode, object_id, stage, path, *rest = found.groups()
        ctime, ctime_ns, mtime, mtime_ns, inode, size, flags = rest
        entries[path] = IndexEntry(
            mode=int(mode, 8),
            object_id=object_id.decode("ascii"),
            stage=int(stage),
            size=int(size),
            mtime_ns=int(mtime) * _SECOND_NS + int(mtime_ns),
            ctime_ns=int(ctime) * _SECOND_NS + int(ctime_ns),
            inode=int(inode),
            flags=int(flags, 16),
        )
    return entries if end == len(output) else {}
