"""What a run saw of the tree that no record of a file tells: folders, ignore files, git's own files."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from indexer.config import Settings
from indexer.tree import git, git_index
from indexer.tree.diff import TICK_NS, is_racy, stat_of
from indexer.types import SourceFile, Stat

if TYPE_CHECKING:
    from indexer.tree.scan import Scan


_SECOND = 1_000_000_000


_ANY_STATE = b"/.codx/index/"


@dataclass(frozen=True, slots=True)
class Repository:
    """One repository: `prefix` is its folder, `answer` what git said of it."""

    prefix: str
    index: str
    index_stat: Stat
    vouches: bool
    answer: git_index.Answer


class Unsure(Exception):
    """Something moved while we looked: no stamp this time."""


def stats_of(paths: Iterable[str]) -> dict[str, Stat | None]:
    """The stat fields of what the paths lead to, through symlinks."""
    found: dict[str, Stat | None] = {}
    for path in paths:
        try:
            found[path] = stat_fields(os.stat(path))
        except OSError:
            found[path] = None
    return found


def stat_fields(info: os.stat_result) -> Stat:
    """The fields of a stat call that tell whether a file was touched."""
    return (info.st_size, info.st_mtime_ns, info.st_ctime_ns, info.st_ino)


class Survey:
    """Splits the files of a scan into those that git vouches for and those to watch.

    A file is vouched for when git's index has the very stat fields that the scan saw, and
    when both are old enough: git compares whole seconds, so the last change must lie in an
    earlier second than the scan, for any later one to show; and in an earlier second than
    the index, or git would open the file, and run the repository's filters on it.

    Raises `Unsure` where the tree is not, or may not be, as it was scanned.
    """

    def __init__(self, settings: Settings, tree: Scan) -> None:
        if tree.listing is None or tree.failures:
            raise Unsure
        self._started_ns = time.time_ns()
        self._scanned_ns = tree.started_ns
        self._project = settings.project
        self._top = os.path.join(os.fsencode(settings.project), b"")
        self._own_folders = {
            os.path.join(os.fsencode(folder), b"")
            for folder in (settings.state_dir, settings.cache_dir, settings.wiki_dir)
        }
        self._nested = set(tree.listing.repositories[1:])
        self._unseen = {
            os.fsencode(file.path): file for file in (*tree.files, *tree.passed_over)
        }
        self._absent = {os.fsencode(path) for path in tree.absent}
        self._listed: set[bytes] = set()
        self._submodules: set[bytes] = set()
        self.repositories: list[Repository] = []
        self.watched: dict[str, Stat | None] = {}
        self.ignore_files: dict[str, Stat | None] = {}
        for name, rules in tree.ignore_files.items():
            self._watch_rules(os.fsencode(name), rules)
        for prefix in tree.listing.repositories:
            self._look_at(prefix)
        for path in tree.listing.vacant:
            self._watch_folder(path + b"/")
            is_wanted = settings.recurse_submodules or path not in self._submodules
            if is_wanted and git.is_checked_out(self._top + path):
                raise Unsure
        for path, file in self._unseen.items():  # untracked
            self._watch(path, stat_of(file))
        # What came or went since the scan is in no stamp.
        vacant = [path.removesuffix(b"/") for path in tree.listing.vacant]
        nested = [path.removesuffix(b"/") for path in self._nested]
        if self._listed != {*tree.listing.files, *vacant, *nested}:
            raise Unsure

    def _look_at(self, prefix: bytes) -> None:
        """Survey one repository, without those below it."""
        folder = self._top + prefix
        with git_index.Check(folder, stat_tracked=False) as check:
            before = check.answer()
            ignore_files = self._outside(prefix, before)
        with git_index.UntrackedListing(folder) as listing:
            index = git_index.read_index(folder)
            index_stat = stat_fields(os.stat(index.path))
            self._require_old(index_stat)
            vouches = not index.has_racy()
            untracked = listing.answer()
        # Asked after the listing: it went by the rules that this answer tells.
        with git_index.Check(folder, stat_tracked=vouches) as check:
            answer = check.answer()
        if (answer.places, answer.settings) != (before.places, before.settings):
            raise Unsure
        if self._outside(prefix, answer) != ignore_files:
            raise Unsure
        self._listed.update(
            prefix + path.removesuffix(b"/")
            for path in (*index.entries, *untracked.files)
        )
        holders = _parents([*index.entries, *untracked.files])
        for path in {*holders, *self._folders(prefix, untracked)}:
            self._watch_folder(prefix + path)
        self._sort(prefix, index, answer, vouches=vouches)
        if stat_fields(os.stat(index.path)) != index_stat:
            raise Unsure
        self.ignore_files |= ignore_files
        self.repositories.append(
            Repository(os.fsdecode(prefix), index.path, index_stat, vouches, answer)
        )

    def _outside(
        self, prefix: bytes, answer: git_index.Answer
    ) -> dict[str, Stat | None]:
        """The ignore files that count for a repository and are not below the project."""
        paths = answer.ignore_files
        if not paths:
            raise Unsure
        if not prefix:
            paths += answer.ignore_files_above(os.path.realpath(self._project))
        found = stats_of(paths)
        for path, stat in found.items():
            # For a file that is not there, and may have been there a moment ago, its folder
            # tells.
            while stat is None:
                path = os.path.dirname(path)
                stat = stats_of([path])[path]
            self._require_old(stat)
        return found

    def _folders(
        self, prefix: bytes, untracked: git_index.Untracked
    ) -> Iterator[bytes]:
        """Every folder that holds no tracked file, and in which a new one would count."""
        pending = list(untracked.folders)
        while pending:
            path = pending.pop()
            whole = prefix + path
            if path in untracked.excluded or whole in self._nested:
                continue
            if self._top + whole in self._own_folders:
                continue
            if (b"/" + whole).endswith(_ANY_STATE):
                continue
            yield path
            with os.scandir(self._top + whole) as entries:
                pending += [
                    path + entry.name + b"/"
                    for entry in entries
                    if entry.is_dir(follow_symlinks=False)
                ]

    def _watch_folder(self, path: bytes) -> None:
        """A change in a folder changes its times: nothing may have changed in it since
        the survey began, and everything that does later shows."""
        for name in (path.removesuffix(b"/"), path + b".gitignore"):
            try:
                stat = stat_fields(os.lstat(self._top + name))
            except (FileNotFoundError, NotADirectoryError):
                continue
            self._require_old(stat)
            self._watch(name, stat)

    def _sort(
        self,
        prefix: bytes,
        index: git_index.GitIndex,
        answer: git_index.Answer,
        *,
        vouches: bool,
    ) -> None:
        """Is each tracked file vouched for, or to be watched?"""
        changed = answer.changed_files
        for path, entry in index.entries.items():
            whole = prefix + path
            file = self._unseen.pop(whole, None)
            if entry.is_repository:
                self._submodules.add(whole)
            elif file is not None:
                is_old = (
                    file.ctime_ns // _SECOND < (self._scanned_ns - TICK_NS) // _SECOND
                )
                if not (vouches and is_old and entry.is_plain and entry.is_of(file)):
                    self._watch(whole, stat_of(file))
                elif path in changed:
                    raise Unsure  # since the scan
            elif whole in self._absent:
                if entry.is_sparse:
                    self._watch(whole, None)
                elif changed.get(path) != b"D" or os.path.isdir(self._top + whole):
                    raise Unsure

    def _watch_rules(self, path: bytes, rules: SourceFile | None) -> None:
        """A `.codxignore`, which must be as the scan read it."""
        if rules is None:
            if os.path.lexists(self._top + path):
                raise Unsure
        else:
            self._watch(path, stat_of(rules))
            self._require_old(stat_of(rules), self._scanned_ns)

    def _watch(self, path: bytes, stat: Stat | None) -> None:
        self.watched[os.fsdecode(path)] = stat

    def _require_old(self, stat: Stat, seen_ns: int = 0) -> None:
        if is_racy(SourceFile("", *stat), seen_ns or self._started_ns):
            raise Unsure


def _parents(paths: Iterable[bytes]) -> set[bytes]:
    """Every folder above the paths, `b""` and with a `/` at the end."""
    found = {b""}
    for path in paths:
        parent = path[: path.rfind(b"/") + 1]
        while parent not in found:
            found.add(parent)
            parent = parent[: parent.rfind(b"/", 0, -1) + 1]
    return found
