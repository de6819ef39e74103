"""The stamp of a run: lets the next one see, as fast as `git status`, that nothing changed.

A run that leaves index and tree equal writes down what that equality depends on. Some files
are *vouched* for by git's index: git compares them with the disk itself, in C and without
opening them. The others are *watched*: their stat fields are compared here. These are files
that are untracked, changed since the last commit, or as new as git's index. Folders are watched
too, because a new file changes the times of its folder, and so is every file with ignore rules.
If all of these, git's index and the project's index are as they were, there is nothing to do. If
files, folders or entries of git's index differ, the run looks at these; if anything else does, at
every file.

The stamp only saves work: nothing is lost without one, or with a wrong one. Outside a git work
tree there is none.
"""

from __future__ import annotations

import json
import os
import time
import zlib
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import asdict

from indexer import __version__
from indexer.config import Settings, recheck_basis
from indexer.errors import GitError
from indexer.index.gate import admit
from indexer.index.lock import run_lock
from indexer.report import PlanCounts, Report
from indexer.text.versions import MEANING_VERSION
from indexer.tree.git_process import find_git
from indexer.tree.git_status import Answer
from indexer.tree.survey import (
    Difference,
    Repository,
    Survey,
    Unsure,
    agrees,
    compare_with_survey,
)
from indexer.types import Stat, stat_fields

if TYPE_CHECKING:
    from indexer.index.collection import Collection
    from indexer.tree.scan import Scan


MOST_LISTED = 64 * 1024 * 1024  # bytes of a listing, of 300,000 files


class Stamp(Struct, frozen=True):
    """What an index that equals its tree depends on, and the counts that a report needs.

    `basis` is what must be unchanged apart from the tree, and `survey` is what the tree was like.
    `unchanged` files are indexed.
    """

    basis: dict[str, object]
    survey: Survey
    scanned: int
    unchanged: int
    skipped: dict[str, int]
    chunks: int
    unembedded: int
    by_words: int
    files_by_words: int
    pages: int


class Look(Struct, frozen=True):
    """What a look at the stamp told: all is as it says, apart from the `difference`.

    If there is one, whether anyone has written to the collection is not known. `fingerprint` is
    that of the index, and `stat` has the stat fields of the stamp.
    """

    stamp: Stamp
    difference: Difference
    fingerprint: str
    stat: Stat

    @property
    def is_unchanged(self) -> bool:
        """Whether the index equals the tree."""
        return agrees(self.stamp.survey, self.difference)

    def count(self, report: Report) -> None:
        """Put the counts of an index that equals its tree into the report."""
        stamp = self.stamp
        report.files.scanned = stamp.scanned
        report.files.unchanged = stamp.unchanged
        report.files.skipped.update(stamp.skipped)
        report.chunks.total = stamp.chunks
        report.chunks.unembedded = stamp.unembedded
        report.chunks.by_words = stamp.by_words
        report.files.by_words = stamp.files_by_words

    def tell(self, report: Report) -> None:
        """Report a run that had nothing to do."""
        self.count(report)
        report.tell_plan(PlanCounts(self.stamp.unchanged))
        report.status = "unchanged"
        report.fingerprint = self.fingerprint
        report.wiki.pages = self.stamp.pages

    def still_holds(self, settings: Settings) -> bool:
        """Whether no run was at work since, for one that holds the lock now."""
        try:
            now = stat_fields(os.stat(settings.stamp_path))
            manifest = stat_fields(os.lstat(settings.manifest_path))
        except OSError:
            return False
        return (now, [*manifest]) == (self.stat, self.stamp.basis["manifest"])


def look(settings: Settings, report: Report, *, locks: bool = True) -> Look | None:
    """Where the tree is not as the stamp says; None if that cannot be told. Opens no file.

    Nor can it for a command about a part of the tree, or one that doubts it. Raises `LockedError`
    while a run is at work, if it `locks`.
    """
    admit(settings)
    if settings.force or settings.only is not None:
        return None
    with ExitStack() as stack:
        stack.enter_context(report.spans.span("scan"))
        if (loaded := _load(settings)) is None:
            return None
        stamp, stat = loaded
        if stamp.unembedded and settings.embeds:
            return None
        if locks:
            deadline = time.monotonic() + settings.wait
            # Of a tree that is read-only, "unchanged" can be said all the same.
            lock = run_lock(settings.lock_path, deadline, is_reader=True)
            stack.enter_context(lock)
        try:
            comparison = compare_with_survey(
                settings.project, stamp.survey, Listings(settings, stamp.survey).find
            )
            difference_now = stack.enter_context(comparison)
            # Imported while git is at work.
            from indexer.index.collection import Collection
            from indexer.index.identity import identify

            settings = _agreed(settings, stamp)
            index = Collection(settings, identify(settings))
            stack.callback(index.close)
            difference = difference_now()
            if difference is None:
                return None
            # Last, because the mark may have to be asked of a server. If there is something to
            # do, whoever does it asks, with the lock.
            is_over = agrees(stamp.survey, difference)
            mark = index.mark() if is_over else str(stamp.basis["mark"])
            if stamp.basis != _basis(settings, index, mark):
                return None
        except (GitError, OSError):
            return None  # The run that looks at everything says what is wrong.
    return Look(stamp, difference, index.identity.fingerprint, stat)


def is_as_stamped(settings: Settings) -> bool | None:
    """Whether tree and database are as the stamp says, None without a stamp.

    This is for readers, which do not know all settings of the run and take no lock.
    """
    if not os.path.exists(settings.stamp_path):
        return None
    if (loaded := _load(settings)) is None:
        return False
    stamp, _ = loaded
    try:
        with compare_with_survey(settings.project, stamp.survey) as difference_now:
            from indexer.index.collection import mark_on_disk

            basis = stamp.basis
            if settings.database and basis.get("mark") != mark_on_disk(
                settings, str(basis.get("fingerprint"))
            ):
                return False
            return agrees(stamp.survey, difference_now())
    except (GitError, OSError):
        return None


def is_about(settings: Settings) -> bool:
    """Whether no run wrote to the manifest since the stamp was written."""
    loaded = _load(settings)
    try:
        manifest = stat_fields(os.lstat(settings.manifest_path))
    except OSError:
        return False
    return loaded is not None and loaded[0].basis["manifest"] == [*manifest]


def differing(settings: Settings) -> int | None:
    """How many files and folders are not as the stamp says, at least; None if that is not known.

    What a run did to the index since then is left aside, and no lock is taken.
    """
    if (loaded := _load(settings)) is None:
        return None
    stamp, _ = loaded
    survey = stamp.survey
    listing = Listings(settings, survey).find
    try:
        with compare_with_survey(settings.project, survey, listing) as difference_now:
            difference = difference_now()
    except (GitError, OSError):
        return None
    if difference is None:
        return None
    if agrees(survey, difference):
        return 0
    by_git = {
        name
        for answer, repository in zip(
            difference.answers, survey.repositories, strict=True
        )
        for name, _ in answer.changed_files.items()
        ^ repository.answer.changed_files.items()
    }
    changed = [one for one in difference.indexes if one is not None]
    count = len(difference.files) + len(difference.folders) + len(by_git)
    return count + sum(len(one.entries) for one in changed) or 1


def write(
    settings: Settings, index: Collection, mark: str, tree: Scan, report: Report
) -> None:
    """Stamp an index that equals the tree as it was scanned, if that can be vouched for.

    `mark` is that of the collection, as in the manifest.
    """
    from indexer.tree.surveyor import survey_tree

    try:
        if not mark or settings.external_folders:
            raise Unsure
        survey, listings = survey_tree(settings, tree)
    except (Unsure, GitError, OSError):
        # Readers would take an older one for the state of this index.
        with suppress(OSError):
            os.unlink(settings.stamp_path)
        return
    stamp = Stamp(
        _basis(settings, index, mark),
        survey,
        report.files.scanned,
        # What has changed counts as unchanged from now on.
        sum(
            (
                report.files.unchanged,
                report.files.added,
                report.files.modified,
                report.files.renamed,
                report.files.embedded,
                report.files.stripped,
                report.files.deferred,  # they only lack vectors, or there were no stamp
            )
        ),
        report.files.skipped,
        report.chunks.total,
        report.chunks.unembedded,
        report.chunks.by_words,
        report.files.by_words,
        report.wiki.pages,
    )
    with suppress(OSError):
        Listings(settings, survey).keep(listings)
        before = os.stat(settings.state_dir)
        draft = settings.stamp_path + ".new"  # ours alone: we hold the lock
        with open(draft, "w", encoding="ascii") as file:
            text = json.dumps(stamp, default=asdict)
            file.write(f"{_checksum(text)}\n{text}")
        os.replace(draft, settings.stamp_path)
        # On some file systems the times of a folder do not change.
        if stat_fields(os.stat(settings.state_dir)) == stat_fields(before):
            os.unlink(settings.stamp_path)


def _load(settings: Settings) -> tuple[Stamp, Stat] | None:
    """The stamp with its stat fields, None if there is none.

    Nor if it was written in the future: since the clock was set back, a file may have got
    the very times that it had before, which are whole seconds where git compares them.
    """
    try:
        with open(settings.stamp_path, encoding="ascii") as file:
            info = os.fstat(file.fileno())
            if info.st_mtime > time.time():
                return None
            checksum, _, text = file.read().partition("\n")
        if checksum != _checksum(text):
            return None
        found = json.loads(text)
        survey = found.pop("survey")
        repositories = []
        for one in survey.pop("repositories"):
            answer, index_stat = Answer(**one.pop("answer")), one.pop("index_stat")
            repositories.append(
                Repository(**one, answer=answer, index_stat=tuple(index_stat))
            )
        for name in ("watched", "folders", "ignore_files"):
            survey[name] = {
                path: None if stat is None else tuple(stat)
                for path, stat in survey[name].items()
            }
        survey = Survey(repositories, **survey)
        return Stamp(**found, survey=survey), stat_fields(info)
    except (OSError, ValueError, TypeError, KeyError):
        return None  # damaged, or of another version


class Listings:
    """What git listed of its indexes for a survey: a file beside the stamp for each repository.

    It tells which entries are others after git's index was written, as by a commit.
    """

    def __init__(self, settings: Settings, survey: Survey) -> None:
        self._state_dir = settings.state_dir
        self._repositories = survey.repositories

    def find(self, repository: Repository) -> bytes | None:
        """The listing that the survey had, None if it was not kept."""
        path = self._path(self._repositories.index(repository))
        with suppress(OSError), open(path, "rb") as file:
            listing = file.read()
            if zlib.crc32(listing) == repository.listing:
                return listing
        return None

    def keep(self, listings: Mapping[str, bytes]) -> None:
        """Keep those that are new, by the prefix of the repository, and forget the old ones.

        Called before the stamp is written: one that is torn, or younger than the stamp, is not
        taken for the listing of the survey.
        """
        for number, repository in enumerate(self._repositories):
            listing = listings.get(repository.prefix, b"")
            if listing and len(listing) <= MOST_LISTED:
                draft = self._path(number) + ".new"
                with open(draft, "wb") as file:
                    file.write(listing)
                os.replace(draft, self._path(number))
        number = len(self._repositories)
        with suppress(FileNotFoundError):
            while True:
                os.unlink(self._path(number))
                number += 1

    def _path(self, number: int) -> str:
        return os.path.join(self._state_dir, f"tracked.{number}")


def _agreed(settings: Settings, stamp: Stamp) -> Settings:
    """The settings as the run that wrote the stamp had them, where a shared collection decides."""
    if not settings.shared_collection:
        return settings
    from indexer.index.sharing import with_precision

    return with_precision(settings, str(stamp.basis.get("precision", "")))


def _checksum(text: str) -> str:
    return f"{zlib.crc32(text.encode()):08x}"


def _basis(settings: Settings, index: Collection, mark: str) -> dict[str, object]:
    try:
        manifest = list(stat_fields(os.lstat(settings.manifest_path)))
    except OSError:
        manifest = []
    below = os.path.join(settings.project, "")
    # What a shared collection decided is known again without asking it.
    precision = {"precision": index.identity.backend.precision}
    git = find_git()
    return {
        "version": __version__,
        "meaning": MEANING_VERSION,
        "git": [git, *stat_fields(os.stat(git))] if git else [],
        "ceilings": os.environ.get("GIT_CEILING_DIRECTORIES", ""),
        "place": index.place,
        "fingerprint": index.identity.fingerprint,
        "mark": mark,
        "manifest": manifest,
        "own": [path for path in settings.own_paths if path.startswith(below)],
        **(precision if settings.shared_collection else {}),
        **recheck_basis(settings),
    }
