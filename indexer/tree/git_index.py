"""What git's index says: its entries, and which of them differ from the work tree."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass

from indexer.tree.git import (
    CE_SKIP_WORKTREE,
    CE_VALID,
    CONVERTING,
    DEBUG_ENTRY,
    GITLINK,
    MAX_ARGUMENTS,
    SECOND,
    Calls,
    _run,
    finish,
    start,
)
from indexer.types import SourceFile


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """What git's index knows of a tracked file.

    The stat fields are those of the file when git last compared it with the object; as
    the index has it, `size` and `inode` are cut to 32 bits.
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
        """A regular file, without conflict, that git is asked to compare with the disk?"""
        is_regular = stat.S_ISREG(self.mode) and self.stage == 0
        return is_regular and not self.flags & (CE_VALID | CE_SKIP_WORKTREE)

    @property
    def is_sparse(self) -> bool:
        """Left out of the work tree, on purpose?"""
        return bool(self.flags & CE_SKIP_WORKTREE)

    @property
    def is_repository(self) -> bool:
        """The commit of a submodule?"""
        return self.mode == GITLINK

    def is_of(self, file: SourceFile) -> bool:
        """Are these the stat fields of the file, to the nanosecond?"""
        return (
            self.ctime_ns == file.ctime_ns
            and self.mtime_ns == file.mtime_ns
            and self.size == file.size & 0xFFFFFFFF
            and self.inode == file.inode & 0xFFFFFFFF
        )


@dataclass(frozen=True, slots=True)
class GitIndex:
    """git's index of one repository: where it lies, when it was written, its entries
    below the folder that was asked for, by path relative to that folder."""

    path: str
    mtime_ns: int
    entries: dict[bytes, IndexEntry]

    def knows(self, entry: IndexEntry) -> bool:
        """May the entry be believed? One as new as the index itself may hide a change
        (Documentation/technical/racy-git)."""
        return entry.is_plain and max(entry.mtime_ns, entry.ctime_ns) < self.mtime_ns

    def has_racy(self) -> bool:
        """Would git, which compares whole seconds, open a file to tell whether it changed?"""
        written = self.mtime_ns // SECOND
        return any(
            entry.is_plain and entry.mtime_ns // SECOND >= written
            for entry in self.entries.values()
        )


def index_path(folder: str | bytes) -> str:
    """Where the index of the repository around `folder` lies, absolute.

    Raises GitError where git refuses.
    """
    arguments = ("rev-parse", "--path-format=absolute", "--git-path", "index")
    return os.fsdecode(_run(folder, *arguments).stdout.removesuffix(b"\n"))


def read_index(folder: str | bytes, paths: Iterable[bytes] = ()) -> GitIndex:
    """The index's entries of `paths` (relative to `folder`), or of all files below it.

    Opens no file of the work tree. Submodules and what is in conflict are not entries of
    one file. Raises GitError where git refuses, and OSError where there is no index.
    """
    where = index_path(folder)
    mtime_ns = os.stat(where).st_mtime_ns
    named = list(paths)
    given = [] if len(named) > MAX_ARGUMENTS else [os.fsdecode(path) for path in named]
    listing = ("--literal-pathspecs", "ls-files", "-z", "--stage", "--debug", "--")
    done = _run(folder, *listing, *given)
    # An index that was written meanwhile is of another time than its entries.
    is_same = os.stat(where).st_mtime_ns == mtime_ns
    return GitIndex(where, mtime_ns, _parse_index(done.stdout) if is_same else {})


def _parse_index(output: bytes) -> dict[bytes, IndexEntry]:
    """Nothing where the output is not as expected: git may change this format."""
    entries: dict[bytes, IndexEntry] = {}
    end = 0
    for found in DEBUG_ENTRY.finditer(output):
        if found.start() != end:
            return {}
        end = found.end()
        mode, oid, stage, path, c_s, c_ns, m_s, m_ns, inode, size, flags = (
            found.groups()
        )
        entries[path] = IndexEntry(
            int(mode, 8),
            oid.decode("ascii"),
            int(stage),
            int(size),
            int(m_s) * SECOND + int(m_ns),
            int(c_s) * SECOND + int(c_ns),
            int(inode),
            int(flags, 16),
        )
    return entries if end == len(output) else {}


def converted(folder: str | bytes, paths: Iterable[bytes]) -> set[bytes]:
    """Those of the paths (relative to `folder`) whose object may be of other bytes than
    the file although both have the same size. Raises GitError where git refuses."""
    given = b"".join(path + b"\0" for path in paths)
    done = _run(
        folder, "check-attr", "-z", "--stdin", *CONVERTING, standard_input=given
    )
    fields = done.stdout.split(b"\0")[:-1]
    return {
        path
        for path, value in zip(fields[0::3], fields[2::3], strict=True)
        if value not in (b"unspecified", b"unset")
    }


class Check(Calls):
    """What git knows without opening a file.

    The answer is what git printed, to compare with that of another time: where the index,
    the repository's own ignore file and its top lie; which ignore file the user has set; and with
    `stat_tracked` the tracked files that do not look as the index has them. Git compares
    whole seconds, and opens a file whose entry is as new as the index
    (`GitIndex.has_racy`).
    """

    def __init__(self, folder: str | bytes, *, stat_tracked: bool) -> None:
        places = (
            "--git-path",
            "index",
            "--git-path",
            "info/exclude",
            "--show-toplevel",
        )
        settings = r"^core\.(excludesfile|ignorecase)$"
        calls: list[tuple[str, ...]] = [
            ("rev-parse", "--path-format=absolute", *places),
            ("config", "-z", "--get-regexp", settings),
        ]
        if stat_tracked:
            how = ("-z", "--raw", "--relative", "--ignore-submodules=all")
            calls.append(("diff-files", *how, "--no-renames", "--", "."))
        super().__init__(folder, *calls)

    def answer(self) -> Answer:
        """Wait for git. Raises GitError where it refuses."""
        # 1: there is no such setting.
        places, settings, *changed = self.outputs(accepted=(0, 1))
        return Answer(*map(os.fsdecode, (places, settings, b"".join(changed))))


@dataclass(frozen=True, slots=True)
class Answer:
    """What a `Check` found, as git printed it."""

    places: str
    settings: str
    changed: str

    @property
    def ignore_files(self) -> list[str]:
        """The ignore files outside of the tree, absolute; [] where it is not clear."""
        lines = self.places.removesuffix("\n").split("\n")
        if len(lines) != 3:
            return []  # a folder with a line break in its name
        found = dict(
            one.partition("\n")[::2] for one in self.settings.split("\0") if one
        )
        home = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
        default = os.path.join(home, "git", "ignore")
        chosen = os.path.expanduser(found.get("core.excludesfile", default))
        return [lines[1], chosen] if os.path.isabs(chosen) else []

    def ignore_files_above(self, project: str) -> list[str]:
        """The `.gitignore` files between the top and `project`, there or not."""
        top = self.places.removesuffix("\n").split("\n")[-1]
        found = []
        while os.path.commonpath([top, project]) == top != project:
            project = os.path.dirname(project)
            found.append(os.path.join(project, ".gitignore"))
        return found

    @property
    def changed_files(self) -> dict[bytes, bytes]:
        """The letter of each file that looks changed: M, D, T, U, …"""
        fields = os.fsencode(self.changed).split(b"\0")[:-1]
        return {
            path: about[-1:]
            for about, path in zip(fields[::2], fields[1::2], strict=True)
        }


@dataclass(frozen=True, slots=True)
class Untracked:
    """Bytes, relative to the folder that was listed; folders end in `/`.

    `files` are untracked and not ignored, nested repositories among them; `folders` hold
    no tracked file, in git's shortest form; `excluded` are folders below them that a rule
    names, so that nothing in them counts.
    """

    files: list[bytes]
    folders: list[bytes]
    excluded: set[bytes]


class UntrackedListing(Calls):
    """Lists everything in one repository below a folder that is not tracked."""

    def __init__(self, folder: str | bytes) -> None:
        listing = ("ls-files", "-z", "--others", "--exclude-standard")
        shortest = (*listing, "--directory")
        super().__init__(folder, listing, shortest, (*shortest, "--ignored"))

    def answer(self) -> Untracked:
        """Wait for git. Raises GitError where it refuses, or could not read a folder."""
        files, others, ignored = [one.split(b"\0")[:-1] for one in self.outputs()]
        folders = [path for path in others if path.endswith(b"/")]
        # A folder of which git would show nothing is among them as well.
        inner = [
            path
            for path in ignored
            if path.endswith(b"/") and _is_below(path, {*folders})
        ]
        return Untracked(files, folders, _excluded(self._folder, inner))


def _is_below(path: bytes, folders: set[bytes]) -> bool:
    while path:
        if path in folders:
            return True
        path = path[: path.rfind(b"/", 0, -1) + 1]
    return False


def _excluded(folder: str, paths: list[bytes]) -> set[bytes]:
    if not paths:
        return set()
    # `./`, for a name can begin like git's pathspec magic. No slash at the end: git would
    # ask the rules inside the folder.
    given = b"".join(b"./" + path.removesuffix(b"/") + b"\0" for path in paths)
    process = start(folder, "check-ignore", "-z", "--stdin", has_input=True)
    done = finish(folder, process, given, accepted=(0, 1))  # 1: none
    return {path.removeprefix(b"./") + b"/" for path in done.stdout.split(b"\0")[:-1]}
