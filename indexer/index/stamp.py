"""The stamp of a run: lets the next one see, as fast as `git status`, that nothing changed.

A run that leaves index and tree equal writes down what that equality depends on. Some files
are *vouched* for by git's index: git compares them with the disk itself, in C and without
opening them. The others are *watched*: their stat fields are compared here. These are files
that are untracked, changed since the last commit, or as new as git's index. Folders are watched
too, because a new file changes the times of its folder, and so is every file with ignore rules.
If all of these, git's index and the project's index are as they were, there is nothing to do. If
anything differs, the run looks at every file.

The stamp only saves work: nothing is lost without one, or with a wrong one. Outside a git work
tree there is none.
"""

from __future__ import annotations

import json
import os
import time
import zlib
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from indexer import __version__
from indexer.config import Settings, recheck_basis
from indexer.errors import GitError
from indexer.index.gate import admit
from indexer.index.lock import run_lock
from indexer.report import PlanCounts, Report
from indexer.tree.git_process import find_git
from indexer.tree.git_status import Answer
from indexer.tree.survey import Repository, Survey, compare_with_survey, stat_fields

if TYPE_CHECKING:
    from indexer.index.collection import Collection
    from indexer.tree.scan import Scan
    from indexer.types import Stat


@dataclass(frozen=True, slots=True)
class Stamp:
    """What an index that equals its tree depends on, and the counts that a report needs.

    `basis` is what must be unchanged apart from the tree. `watched` has the stat fields of
    files and folders by path, None for what was not there, and `ignore_files` those of files
    outside the tree.
    """

    basis: dict[str, object]
    repositories: list[Repository]
    watched: dict[str, Stat | None]
    ignore_files: dict[str, Stat | None]
    scanned: int
    unchanged: int
    skipped: dict[str, int]
    chunks: int
    unembedded: int
    pages: int


def is_unchanged(settings: Settings, report: Report) -> bool:
    """Whether the index is known to equal the tree; if so, the report says so. Opens no file.

    Raises `LockedError` while a run is at work.
    """
    admit(settings)
    stamp = _load(settings)
    if stamp is None or (stamp.unembedded and settings.embeds):
        return False
    with ExitStack() as stack:
        stack.enter_context(report.spans.span("scan"))
        deadline = time.monotonic() + settings.wait
        # Of a tree that is read-only, "unchanged" can be said all the same.
        lock = run_lock(settings.lock_path, deadline, is_reader=True)
        stack.enter_context(lock)
        try:
            agrees = stack.enter_context(_compare(settings, stamp))
            # Imported while git is at work.
            from indexer.index.collection import Collection
            from indexer.index.identity import identify

            index = Collection(settings, identify(settings))
            stack.callback(index.close)
            if not agrees():
                return False
            # Last, because the mark may have to be asked of a server.
            if stamp.basis != _basis(settings, index, index.mark()):
                return False
        except (GitError, OSError):
            return False  # The run that looks at everything says what is wrong.
    report.files.scanned = stamp.scanned
    report.tell_plan(PlanCounts(stamp.unchanged))
    report.status = "unchanged"
    report.fingerprint = index.identity.fingerprint
    report.files.unchanged = stamp.unchanged
    report.files.skipped.update(stamp.skipped)
    report.chunks.total = stamp.chunks
    report.chunks.unembedded = stamp.unembedded
    report.wiki.pages = stamp.pages
    return True


def is_as_stamped(settings: Settings) -> bool | None:
    """Whether tree and database are as the stamp says, None without a stamp.

    This is for readers, which do not know all settings of the run and take no lock.
    """
    if not os.path.exists(settings.stamp_path):
        return None
    stamp = _load(settings)
    if stamp is None:
        return False
    try:
        with _compare(settings, stamp) as agrees:
            from indexer.milvus.on_disk import signature
            from indexer.milvus.schema import physical_name

            basis = stamp.basis
            physical = physical_name(
                settings.collection_name, str(basis.get("fingerprint"))
            )
            if settings.database and basis.get("mark") != signature(
                settings.database, physical
            ):
                return False
            return agrees()
    except (GitError, OSError):
        return None


def write(
    settings: Settings, index: Collection, mark: str, tree: Scan, report: Report
) -> None:
    """Stamp an index that equals the tree as it was scanned, if that can be vouched for.

    `mark` is that of the collection, as in the manifest.
    """
    from indexer.tree.surveyor import Unsure, survey_tree

    try:
        if not mark or settings.external_folders:
            raise Unsure
        survey = survey_tree(settings, tree)
    except (Unsure, GitError, OSError):
        # Readers would take an older one for the state of this index.
        with suppress(OSError):
            os.unlink(settings.stamp_path)
        return
    stamp = Stamp(
        _basis(settings, index, mark),
        survey.repositories,
        survey.watched,
        survey.ignore_files,
        report.files.scanned,
        # What has changed counts as unchanged from now on.
        sum(
            (
                report.files.unchanged,
                report.files.added,
                report.files.modified,
                report.files.renamed,
                report.files.embedded,
            )
        ),
        report.files.skipped,
        report.chunks.total,
        report.chunks.unembedded,
        report.wiki.pages,
    )
    with suppress(OSError):
        before = os.stat(settings.state_dir)
        draft = settings.stamp_path + ".new"  # ours alone: we hold the lock
        with open(draft, "w", encoding="ascii") as file:
            text = json.dumps(asdict(stamp))
            file.write(f"{_checksum(text)}\n{text}")
        os.replace(draft, settings.stamp_path)
        # On some file systems the times of a folder do not change.
        if stat_fields(os.stat(settings.state_dir)) == stat_fields(before):
            os.unlink(settings.stamp_path)


def _load(settings: Settings) -> Stamp | None:
    """The stamp, None if there is none or git's index has changed since.

    Nor if it was written in the future: since the clock was set back, a file may have got
    the very times that it had before, which are whole seconds where git compares them.
    """
    try:
        with open(settings.stamp_path, encoding="ascii") as file:
            if os.fstat(file.fileno()).st_mtime > time.time():
                return None
            checksum, _, text = file.read().partition("\n")
        if checksum != _checksum(text):
            return None
        found = json.loads(text)
        repositories = []
        for one in found.pop("repositories"):
            answer, index_stat = Answer(**one.pop("answer")), one.pop("index_stat")
            if stat_fields(os.stat(one["index"])) != tuple(index_stat):
                return None
            repositories.append(
                Repository(**one, answer=answer, index_stat=tuple(index_stat))
            )
        for name in ("watched", "ignore_files"):
            found[name] = {
                path: None if stat is None else tuple(stat)
                for path, stat in found[name].items()
            }
        return Stamp(**found, repositories=repositories)
    except (OSError, ValueError, TypeError, KeyError):
        return None  # damaged, or of another version


def _compare(
    settings: Settings, stamp: Stamp
) -> AbstractContextManager[Callable[[], bool]]:
    survey = Survey(stamp.repositories, stamp.watched, stamp.ignore_files)
    return compare_with_survey(settings.project, survey)


def _checksum(text: str) -> str:
    return f"{zlib.crc32(text.encode()):08x}"


def _basis(settings: Settings, index: Collection, mark: str) -> dict[str, object]:
    try:
        manifest = list(stat_fields(os.lstat(settings.manifest_path)))
    except OSError:
        manifest = []
    below = os.path.join(settings.project, "")
    git = find_git()
    return {
        "version": __version__,
        "git": [git, *stat_fields(os.stat(git))] if git else [],
        "ceilings": os.environ.get("GIT_CEILING_DIRECTORIES", ""),
        "place": index.place,
        "fingerprint": index.identity.fingerprint,
        "mark": mark,
        "manifest": manifest,
        "own": [path for path in settings.own_paths if path.startswith(below)],
        **recheck_basis(settings),
    }
