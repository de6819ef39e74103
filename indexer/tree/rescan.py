"""Scans the part of a tree that is not as a survey saw it, instead of the whole tree.

What the survey saw, and that an index equals that tree, is known. So each file that may have
changed is looked at by the rules of the scan, and the counts of the whole tree follow from what
it was before. Where that does not tell enough, such as in a new folder or after a change of an
ignore file, the whole tree has to be scanned.
"""

from __future__ import annotations

import os
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from indexer.config import Settings
from indexer.paths import upwards
from indexer.tree import git_status
from indexer.tree.diff import is_racy, stat_of
from indexer.tree.folders import Folders
from indexer.tree.ignore import SettingsRules
from indexer.tree.repository import own_checkout
from indexer.tree.scan import Scan, Scanner
from indexer.tree.survey import Difference, Repository, Survey, Unsure
from indexer.types import FileRecord, SourceFile, Stat

if TYPE_CHECKING:
    from indexer.tree.git_index import IndexChange

MOST_FILES = 2_000  # of more, a scan of the whole tree takes no longer
_GONE = b"D"
_MODIFIED = b"MTD"  # letters of what git may say of a file that was changed on the disk
# These decide about others, although no scan may have consulted any.
_DECIDING = {".git", ".gitignore", ".codxignore"}

Records = Callable[[Iterable[str]], Mapping[str, FileRecord]]


class Part(Struct, frozen=True):
    """The part of a tree that may have changed.

    `tree` has its files, and the survey of the whole tree if that can be vouched for. `records`
    are those of the files that were looked at, by path. The others are as they were: `unchanged`
    of them are indexed, and `skipped` counts the rest by reason.
    """

    tree: Scan
    records: Mapping[str, FileRecord]
    unchanged: int
    skipped: dict[str, int]


def rescan(
    settings: Settings,
    survey: Survey,
    difference: Difference,
    unchanged: int,
    skipped: Mapping[str, int],
    records: Records,
) -> Part:
    """Scan what differs from the survey of a tree that an index equals.

    In that tree, `unchanged` files were indexed and the others were `skipped`, by reason. `records`
    finds what the index has of some paths. Raises `Unsure` where the whole tree has to be scanned,
    `GitError` and `OSError`.
    """
    part = _Rescan(settings, survey, difference, records)
    part.gather()
    return part.look(unchanged, Counter(skipped))


class _Rescan:
    """A part in progress. `_was_there` has each path to look at, and whether it was there before."""

    def __init__(
        self,
        settings: Settings,
        survey: Survey,
        difference: Difference,
        records: Records,
    ) -> None:
        self._settings = settings
        self._survey = survey
        self._difference = difference
        self._find_records = records
        self._started_ns = time.time_ns()
        self._top = os.path.join(settings.project, "")
        self._unwatched = {*survey.unwatched}
        self._was_there: dict[str, bool] = {}
        self._untracked: set[str] = set()
        self._deciding = _DECIDING | {*survey.deciding}
        self._dot_gits = {f"{one.prefix}.git" for one in survey.repositories}
        self._scanner = Scanner(settings.max_file_size, settings.include_secrets)

    def gather(self) -> None:
        """Find the paths to look at."""
        survey, difference = self._survey, self._difference
        for path in difference.files:
            self._add(path, survey.watched[path] is not None)
        written = zip(survey.repositories, difference.indexes, strict=True)
        for repository, change in written:
            if change is not None:
                self._compare_entries(repository, change)
        pairs = zip(survey.repositories, difference.answers, strict=True)
        for repository, answer in pairs:
            before, now = repository.answer.changed_files, answer.changed_files
            for name, letter in before.items() ^ now.items():
                if letter not in _MODIFIED:
                    raise Unsure
                path = repository.prefix + os.fsdecode(name)
                if path not in survey.watched and path not in self._was_there:
                    self._add(path, before.get(name) != _GONE)
        for folder, stat in difference.folders.items():
            if self._is_left_out(folder):
                raise Unsure  # it counts as long as there is anything in it
            if stat is not None:
                self._look_into(folder)
        for path in survey.unwatched:
            is_suspect = os.path.dirname(path) in difference.folders
            if is_suspect and not os.path.lexists(self._top + path):
                self._add(path, was_there=True)

    def _compare_entries(self, repository: Repository, change: IndexChange) -> None:
        """Add the files of which git's index has another entry than before.

        From now on they are watched. What git vouches for besides is as it was.
        """
        survey, letters = self._survey, repository.answer.changed_files
        removed = []
        for name, (before, now) in change.entries.items():
            entries = [entry for entry in (before, now) if entry is not None]
            if not all(entry.is_like_the_disk for entry in entries):
                raise Unsure
            path = repository.prefix + os.fsdecode(name)
            folder = os.path.dirname(path)
            if folder not in survey.folders or self._is_left_out(folder):
                raise Unsure
            if path in survey.watched:
                was_there = survey.watched[path] is not None
            elif before is not None:
                was_there = letters.get(name) != _GONE
            else:
                was_there = path in survey.passed_over or path in self._unwatched
            self._add(path, was_there)
            if now is None and os.path.lexists(self._top + path):
                removed.append(name)
        if removed:
            self._require_untracked(repository.prefix, removed)

    def _is_left_out(self, folder: str) -> bool:
        return any(f"{one}/" in self._survey.left_out for one in upwards(folder))

    def _require_untracked(self, prefix: str, names: list[bytes]) -> None:
        """Require that git lists all of these, which it no longer tracks: ignores none."""
        folder = os.path.join(self._settings.project, prefix)
        if {*git_status.untracked_among(folder, sorted(names))} != {*names}:
            raise Unsure
        self._untracked.update(prefix + os.fsdecode(name) for name in names)

    def _add(self, path: str, was_there: bool) -> None:
        if os.path.basename(path) in self._deciding:
            raise Unsure
        if len(self._was_there) == MOST_FILES:
            raise Unsure
        self._was_there[path] = was_there

    def _look_into(self, folder: str) -> None:
        """Add the files that are new in a folder in which something came or went."""
        survey = self._survey
        below = f"{folder}/" if folder else ""
        folders, files = [], []
        with os.scandir(self._top + folder) as entries:
            for entry in entries:
                path = below + entry.name
                if entry.is_dir(follow_symlinks=False):
                    if path not in survey.folders and f"{path}/" not in survey.left_out:
                        folders.append(path)
                elif not self._is_known(path):
                    files.append(path)
        # git does not list a folder that took the place of a tracked file.
        if any(map(self._is_known, folders)) or self._find_records(folders):
            raise Unsure
        records = self._find_records(files)
        unknown = [*folders, *(path for path in files if path not in records)]
        if any(map(self._decides, unknown)) or len(unknown) > MOST_FILES:
            raise Unsure
        if unknown:
            self._ask_git(unknown)

    def _is_known(self, path: str) -> bool:
        return (
            path in self._was_there
            or path in self._survey.watched
            or path in self._survey.passed_over
            or path in self._unwatched
        )

    def _decides(self, path: str) -> bool:
        """Whether a path that nobody watched may decide about others."""
        is_deciding = os.path.basename(path) in self._deciding
        return is_deciding and path not in self._dot_gits

    def _ask_git(self, paths: list[str]) -> None:
        """Add those of the paths in one folder that git neither tracks nor ignores."""
        prefix = max(
            (
                repository.prefix
                for repository in self._survey.repositories
                if paths[0].startswith(repository.prefix)
            ),
            key=len,
        )
        asked = {os.fsencode(path.removeprefix(prefix)) for path in paths}
        folder = os.path.join(self._settings.project, prefix)
        for name in git_status.untracked_among(folder, sorted(asked)):
            if name not in asked:
                raise Unsure  # a new folder
            path = prefix + os.fsdecode(name)
            self._add(path, was_there=False)
            self._untracked.add(path)

    def look(self, unchanged: int, skipped: Counter[str]) -> Part:
        """Look at each of the paths; the counts are those of the whole tree before."""
        scanner, folders = self._scanner, self._folders()
        records = self._find_records(self._was_there)
        for path, was_there in sorted(self._was_there.items()):
            if (record := records.get(path)) is not None:
                if record.reason:
                    skipped[record.reason] -= 1
                else:
                    unchanged -= 1
            elif was_there and (reason := self._reason_before(path, folders)):
                skipped[reason] -= 1
            name = os.fsencode(path)
            if path in self._untracked and folders.left_out(_parent(name)):
                raise Unsure
            scanner.look_at(name, folders)
        if scanner.failures:
            raise Unsure
        skipped.update(scanner.skipped)
        tree = Scan(
            files=scanner.files,
            skipped=dict(scanner.skipped),
            failures=[],
            object_format=self._survey.object_format,
            listing=None,
            passed_over=scanner.passed_over,
            absent=scanner.absent,
            consulted=folders.consulted,
            left_out=self._survey.left_out,
            started_ns=self._started_ns,
            survey=self._survey_now(),
            listings=self._listings(),
        )
        counts = {reason: count for reason, count in skipped.items() if count}
        return Part(tree, records, unchanged, counts)

    def _folders(self) -> Folders:
        settings = self._settings
        folders = Folders(
            settings.project,
            settings.own_paths,
            SettingsRules(settings.ignore, settings.ignore_containing),
            honours_gitignore=False,
            has_defaults=settings.default_excludes,
            on_error=self._scanner.fail,
            on_warning=self._scanner.warn,
        )
        for repository in self._survey.repositories:
            prefix = os.fsencode(repository.prefix)
            if common := own_checkout(os.path.join(self._top, repository.prefix)):
                folders.checkouts[common] = prefix
        return folders

    def _reason_before(self, path: str, folders: Folders) -> str | None:
        """Why a file that the index does not know was skipped, None if it was not counted."""
        if path in self._survey.passed_over:
            return self._survey.passed_over[path]
        name = os.fsencode(path)
        if folders.is_own(name):
            return None
        folder = folders.find(_parent(name))
        if folder is None:
            raise Unsure
        if folder.is_ours:
            return None
        reason = self._scanner.reason_by_path(name, folder, folders)
        if reason is None:
            raise Unsure
        return reason

    def _listings(self) -> dict[str, bytes]:
        """What git lists of its indexes that were written, by the prefix of the repository."""
        pairs = zip(self._survey.repositories, self._difference.indexes, strict=True)
        return {one.prefix: change.listing for one, change in pairs if change}

    def _survey_now(self) -> Survey | None:
        """The survey of the whole tree, None if a folder, or git's index, changed just when it was
        looked at."""
        survey, difference, scanner = self._survey, self._difference, self._scanner
        repositories = []
        for repository, answer, change in zip(
            survey.repositories, difference.answers, difference.indexes, strict=True
        ):
            if change is None:
                repositories.append(replace(repository, answer=answer))
                continue
            if is_racy(SourceFile("", *change.stat), difference.looked_ns):
                return None
            checksum = zlib.crc32(change.listing)
            repositories.append(
                replace(
                    repository,
                    answer=answer,
                    index_stat=change.stat,
                    listing=checksum,
                )
            )
        folders = dict(survey.folders)
        for path, stat in difference.folders.items():
            if stat is None:
                del folders[path]
                continue
            if is_racy(SourceFile("", *stat), difference.looked_ns):
                return None
            folders[path] = stat
        seen: dict[str, Stat | None] = dict.fromkeys(scanner.absent)
        seen |= {file.path: stat_of(file) for file in scanner.files}
        seen |= {file.path: stat_of(file) for file in scanner.passed_over}
        for path, stat in difference.files.items():
            if seen.get(path) is None:
                seen[path] = stat
        passed_over = {
            path: reason
            for path, reason in survey.passed_over.items()
            if path not in self._was_there
        }
        passed_over |= {file.path: why for file, why in scanner.passed_over.items()}
        unwatched = {*survey.unwatched, *self._untracked}.difference(seen)
        return replace(
            survey,
            repositories=repositories,
            watched=survey.watched | seen,
            folders=folders,
            passed_over=passed_over,
            unwatched=sorted(unwatched),
        )


def _parent(path: bytes) -> bytes:
    return path[: path.rfind(b"/") + 1]
