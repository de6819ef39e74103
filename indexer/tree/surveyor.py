"""Surveys a tree after a run: what git vouches for, and what has to be watched."""

from __future__ import annotations

import os
import time
import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

from msgspec.structs import replace

from indexer.config import Settings
from indexer.tree import git, git_index, git_status
from indexer.tree.diff import TICK_NS, is_racy, stat_of
from indexer.tree.folders import is_state_folder
from indexer.tree.names import WORKTREE
from indexer.tree.repository import DOT_GIT
from indexer.tree.survey import Repository, Survey, Unsure, stats_of
from indexer.types import SourceFile, Stat, stat_fields

if TYPE_CHECKING:
    from indexer.tree.scan import Scan

_SECOND_NS = 1_000_000_000


def survey_tree(settings: Settings, tree: Scan) -> tuple[Survey, dict[str, bytes]]:
    """Split the files of a scan into those that git vouches for and those to watch.

    git vouches for a file when its index has the very stat fields that the scan saw, and
    both are old enough. git compares whole seconds. So the last change of the file must lie
    in an earlier second than the scan, or a later change might not show. It must also lie
    in an earlier second than the index, or git would open the file and run the repository's
    filters on it.

    Beside it come the listings of git's indexes, by the prefix of the repository; of a part of a
    tree only those that differ from what they were for the survey before.

    Raises `Unsure` where the tree is not, or may not be, as it was scanned. Raises
    `GitError` and `OSError` where that cannot be told.
    """
    if tree.survey is not None:
        return tree.survey, tree.listings
    if tree.listing is None or tree.failures:
        raise Unsure
    return _Surveyor(settings, tree, tree.listing).survey()


class _Surveyor:
    """One survey in progress.

    Paths are bytes, relative to the project unless a prefix stands before them. `_unseen`
    are the scanned files that no repository has claimed yet, and `_listed` is what git
    lists now. `_left_out` are the folders that the scan left out as a whole, and
    `_is_left_out` those that it was asked about, with all below the former.
    """

    def __init__(self, settings: Settings, tree: Scan, listing: git.Listing) -> None:
        self._started_ns = time.time_ns()
        self._settings = settings
        self._tree = tree
        self._listing = listing
        self._top = os.path.join(os.fsencode(settings.project), b"")
        self._own_folders = {
            os.path.join(os.fsencode(path), b"") for path in settings.own_paths
        }
        self._nested = set(listing.repositories[1:])
        self._absent = {os.fsencode(path) for path in tree.absent}
        self._unseen = {
            os.fsencode(file.path): file for file in (*tree.files, *tree.passed_over)
        }
        self._scanned = {*self._unseen}
        self._left_out = {os.fsencode(path) for path in tree.left_out}
        self._is_left_out: dict[bytes, bytes] = {b"": b""}
        self._listed: set[bytes] = set()
        self._submodules: set[bytes] = set()
        self._listings: dict[str, bytes] = {}
        self._found = Survey(
            repositories=[],
            watched={},
            folders={},
            ignore_files={},
            deciding=sorted({os.path.basename(name) for name in tree.consulted}),
            left_out=tree.left_out,
            passed_over={file.path: why for file, why in tree.passed_over.items()},
            unwatched=[],
            object_format=tree.object_format,
        )

    def survey(self) -> tuple[Survey, dict[str, bytes]]:
        """Look at everything; see `survey_tree`."""
        for name, stat in self._tree.consulted.items():
            self._watch_consulted(os.fsencode(name), stat)
        for prefix in self._listing.repositories:
            self._look_at(prefix)
        for path in self._listing.vacant:
            self._look_at_vacant(path)
        for path, file in self._unseen.items():  # the untracked ones are left
            self._watch(path, stat_of(file))
        self._require_same_listing()
        return self._found, self._listings

    def _look_at(self, prefix: bytes) -> None:
        """Survey one repository, without those below it."""
        folder = self._top + prefix
        with git_status.check(folder, stat_tracked=False) as answer:
            before = answer()
            ignore_files = self._outer_ignore_files(prefix, before)
        with git_status.list_untracked(folder) as wait_for_untracked:
            index = git_index.read_index(folder)
            index_stat = stat_fields(os.stat(index.path))
            self._require_old(index_stat)
            vouches = not index.has_racy()
            untracked = wait_for_untracked()
        # git is asked again after it listed, because the listing followed these rules.
        with git_status.check(folder, stat_tracked=vouches) as answer:
            after = answer()
        if replace(after, changed="") != before:
            raise Unsure
        if self._outer_ignore_files(prefix, after) != ignore_files:
            raise Unsure
        self._watch_folders(prefix, index, untracked)
        self._sort_tracked(prefix, index, after, vouches=vouches)
        if stat_fields(os.stat(index.path)) != index_stat:
            raise Unsure
        self._found.ignore_files.update(ignore_files)
        name, checksum = os.fsdecode(prefix), zlib.crc32(index.listing)
        self._listings[name] = index.listing
        self._found.repositories.append(
            Repository(name, index.path, index_stat, vouches, after, checksum)
        )

    def _outer_ignore_files(
        self, prefix: bytes, answer: git_status.Answer
    ) -> dict[str, Stat | None]:
        """The ignore files that count for a repository and lie outside the project."""
        paths = answer.ignore_files
        if not paths:
            raise Unsure
        if not prefix:
            project = os.path.realpath(self._settings.project)
            paths += answer.ignore_files_above(project)
        found = stats_of(paths)
        for path, stat in found.items():
            # A file that is not there may have been there a moment ago: the times of its
            # folder tell.
            while stat is None:
                path = os.path.dirname(path)
                stat = stats_of([path])[path]
            self._require_old(stat)
        return found

    def _watch_folders(
        self, prefix: bytes, index: git_index.GitIndex, untracked: git_status.Untracked
    ) -> None:
        """Watch the folders of one repository in which a new file would count."""
        paths = [*index.entries, *untracked.files]
        self._listed.update(prefix + path.removesuffix(b"/") for path in paths)
        self._leave_unwatched(prefix + path for path in untracked.files)
        paths = [*index.entries, *self._deciding(prefix, untracked.files)]
        for path in {*_parents(paths), *self._untracked_folders(prefix, untracked)}:
            self._watch_folder(prefix + path)

    def _deciding(self, prefix: bytes, paths: Iterable[bytes]) -> Iterator[bytes]:
        """The untracked files that count: of a folder that is left out, one is enough.

        As long as it is listed, there is something in the folder to be left out.
        """
        nearest: dict[bytes, bytes] = {}
        for path in paths:
            found = self._left_out_above(prefix + path)
            if not found:
                yield path
            elif self._tree.left_out[os.fsdecode(found)] == WORKTREE and (
                found == prefix + path
            ):
                yield path[:-1]  # whose `.git` was consulted
            else:
                known = nearest.setdefault(found, path)
                if path.count(b"/") < known.count(b"/"):
                    nearest[found] = path
        yield from nearest.values()

    def _left_out_above(self, path: bytes) -> bytes:
        """The folder above a path, or at it, that the scan left out; b"" if there is none."""
        path = path[: path.rfind(b"/") + 1]
        unknown = []
        while path not in self._is_left_out:
            unknown.append(path)
            path = path[: path.rfind(b"/", 0, -1) + 1]
        found = self._is_left_out[path]
        for path in reversed(unknown):
            found = found or (path if path in self._left_out else b"")
            self._is_left_out[path] = found
        return found

    def _untracked_folders(
        self, prefix: bytes, untracked: git_status.Untracked
    ) -> Iterator[bytes]:
        """Every folder that holds no tracked file, and in which a new one would count."""
        pending = list(untracked.folders)
        while pending:
            path = pending.pop()
            whole = prefix + path
            if path in untracked.excluded or whole in self._nested:
                continue
            if self._top + whole in self._own_folders or is_state_folder(whole):
                continue
            if self._left_out_above(whole):
                continue
            yield path
            with os.scandir(self._top + whole) as entries:
                for entry in entries:
                    if entry.name == DOT_GIT:
                        raise Unsure  # It may become a repository unseen.
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(path + entry.name + b"/")

    def _watch_folder(self, path: bytes) -> None:
        """Watch a folder and its `.gitignore`.

        A change in a folder changes its times. So nothing may have changed in it since the
        survey began, and whatever changes later shows.
        """
        with suppress(FileNotFoundError, NotADirectoryError):
            name = path.removesuffix(b"/")
            stat = stat_fields(os.lstat(self._top + name))
            self._require_old(stat)
            self._found.folders[os.fsdecode(name)] = stat
            name = path + b".gitignore"
            stat = stat_fields(os.lstat(self._top + name))
            self._require_old(stat)
            self._watch(name, stat)

    def _sort_tracked(
        self,
        prefix: bytes,
        index: git_index.GitIndex,
        answer: git_status.Answer,
        *,
        vouches: bool,
    ) -> None:
        """Watch the tracked files of one repository that git does not vouch for."""
        changed = answer.changed_files
        old_second = (self._tree.started_ns - TICK_NS) // _SECOND_NS
        for path, entry in index.entries.items():
            whole = prefix + path
            file = self._unseen.pop(whole, None)
            if entry.is_repository:
                self._submodules.add(whole)
            elif file is not None:
                is_old = file.ctime_ns // _SECOND_NS < old_second
                if not (vouches and is_old and entry.is_plain and entry.is_of(file)):
                    self._watch(whole, stat_of(file))
                elif path in changed:
                    raise Unsure  # It changed since the scan.
            elif whole in self._absent:
                if entry.is_sparse:
                    self._watch(whole, None)
                elif changed.get(path) != b"D" or os.path.isdir(self._top + whole):
                    raise Unsure
            elif not vouches:
                self._leave_unwatched([whole])

    def _leave_unwatched(self, paths: Iterable[bytes]) -> None:
        """Note those of the files that were skipped for their paths."""
        self._found.unwatched.extend(
            os.fsdecode(path)
            for path in paths
            if path not in self._scanned
            and path not in self._absent
            and not path.endswith(b"/")
            and not self._left_out_above(path)
        )

    def _look_at_vacant(self, path: bytes) -> None:
        """Watch the folder of a repository that was not listed, and must not have come."""
        self._watch_folder(path + b"/")
        is_wanted = self._settings.recurse_submodules or path not in self._submodules
        if is_wanted and git.is_checked_out(self._top + path):
            raise Unsure

    def _require_same_listing(self) -> None:
        """Require that nothing came or went since the scan: it would be in no stamp."""
        repositories = [
            *self._listing.vacant,
            *self._listing.left_out,
            *self._nested,
        ]
        folders = [path.removesuffix(b"/") for path in repositories]
        if self._listed != {*self._listing.files, *folders}:
            raise Unsure

    def _watch_consulted(self, path: bytes, stat: Stat | None) -> None:
        """Watch a file that decides about others, which must be as the scan saw it.

        One that is not there shows in the times of its folder when it comes.
        """
        if stat is None:
            if os.path.lexists(self._top + path):
                raise Unsure
        else:
            self._watch(path, stat)
            self._require_old(stat, self._tree.started_ns)

    def _watch(self, path: bytes, stat: Stat | None) -> None:
        self._found.watched[os.fsdecode(path)] = stat

    def _require_old(self, stat: Stat, seen_ns: int = 0) -> None:
        if is_racy(SourceFile("", *stat), seen_ns or self._started_ns):
            raise Unsure


def _parents(paths: Iterable[bytes]) -> set[bytes]:
    """Every folder above the paths, ending in `/`, and `b""`."""
    found = {b""}
    for path in paths:
        parent = path[: path.rfind(b"/") + 1]
        while parent not in found:
            found.add(parent)
            parent = parent[: parent.rfind(b"/", 0, -1) + 1]
    return found
