"""What git's index says: its entries, and which of them differ from the work tree."""

from __future__ import annotations

import os
import re
import stat

from msgspec import Struct

from indexer.tree.git_process import run_git
from indexer.types import SourceFile, Stat, stat_fields

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
# Between the path of an entry and its stat fields, and what these are.
_BETWEEN = b"\0  ctime: "
_STAT = re.compile(rb"\d+:\d+\n  mtime: [^a-z]+dev: [^\0]*?\tflags: [0-9a-f]+\n")


class IndexEntry(Struct, frozen=True):
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
    def is_like_the_disk(self) -> bool:
        """Whether this is a file or a symlink without conflict, that is meant to be there."""
        is_usual = self.stage == 0 and not self.is_repository
        return is_usual and not self.flags & (_CE_VALID | _CE_SKIP_WORKTREE)

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


class GitIndex(Struct, frozen=True):
    """git's index of one repository.

    `path` is where it lies, `mtime_ns` when it was written. `entries` are those below the
    folder that was asked for, by their path relative to that folder, and `listing` is how git
    prints them.
    """

    path: str
    mtime_ns: int
    entries: dict[bytes, IndexEntry]
    listing: bytes

    def vouches_for(self, path: bytes, file: SourceFile) -> bool:
        """Whether git takes a file with these stat fields for the object of its entry, without
        opening it."""
        entry = self.entries[path]
        if entry.stage == 0 and entry.flags & (_CE_VALID | _CE_SKIP_WORKTREE):
            return True
        is_old = not _is_racy(entry, self.mtime_ns)
        return entry.is_plain and entry.is_of(file) and is_old

    def has_racy(self) -> bool:
        """Whether git would open some file to tell whether it changed."""
        return any(_is_racy(one, self.mtime_ns) for one in self.entries.values())


class IndexChange(Struct, frozen=True):
    """What became of git's index since it was listed.

    `entries` are those that differ, by path: as they were and as they are, None for one that was
    not or is not there. `stat` has the stat fields of the index, and `listing` its entries now.
    """

    stat: Stat
    listing: bytes
    entries: dict[bytes, tuple[IndexEntry | None, IndexEntry | None]]


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
    listing = _list(folder)
    # The entries of an index that was written meanwhile belong to another time.
    is_same = os.stat(where).st_mtime_ns == mtime_ns
    return GitIndex(where, mtime_ns, _parse(listing) if is_same else {}, listing)


def change_since(
    folder: str | bytes, path: str, before: Stat, listing: bytes
) -> IndexChange | None:
    """How the index at a path differs from what it was, when it had those stat fields and
    entries, none of which git would have opened a file for.

    None where that cannot be told, and where git would open a file now. Raises GitError and
    OSError.
    """
    now = stat_fields(os.stat(path))
    listing_now = _list(folder)
    if stat_fields(os.stat(path)) != now:
        return None
    old, new = _pairs(listing), _pairs(listing_now)
    known, wanted = {*old}, {*new}
    gone = [pair for pair in old if pair not in wanted]
    come = [pair for pair in new if pair not in known]
    was, entries = _parse(b"".join(map(_text, gone))), _parse(
        b"".join(map(_text, come))
    )
    if bool(gone) != bool(was) or bool(come) != bool(entries):
        return None
    written_ns = now[1]
    if written_ns < before[1] or any(
        _is_racy(one, written_ns) for one in entries.values()
    ):
        return None
    pairs = {path: (was.get(path), entries.get(path)) for path in {*was, *entries}}
    changed = {path: pair for path, pair in pairs.items() if pair[0] != pair[1]}
    return IndexChange(now, listing_now, changed)


def _is_racy(entry: IndexEntry, written_ns: int) -> bool:
    """Whether git would open the file of an entry, whose index was written then, to tell whether
    it changed. It compares whole seconds."""
    return entry.is_plain and entry.mtime_ns // _SECOND_NS >= written_ns // _SECOND_NS


def _list(folder: str | bytes) -> bytes:
    return run_git(folder, "ls-files", "-z", "--stage", "--debug").stdout


def _pairs(listing: bytes) -> list[tuple[bytes, bytes]]:
    """For each entry a pair that is another one if the entry is, and seldom else.

    Cut between path and stat fields, which C does for all entries at once, the parts have the end
    of one entry and the beginning of the next.
    """
    parts = listing.split(_BETWEEN)
    return list(zip(parts, parts[1:]))


def _text(pair: tuple[bytes, bytes]) -> bytes:
    """The entry of a pair, as git printed it, or what cannot be parsed."""
    beginning, end = pair
    if before := _STAT.match(beginning):
        beginning = beginning[before.end() :]
    own = _STAT.match(end)
    return beginning + _BETWEEN + (own[0] if own else b"")


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
