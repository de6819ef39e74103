"""The stamp of a run: lets the next one see, as fast as `git status`, that nothing changed.

A run that leaves index and tree equal writes down what that hangs on. Two kinds of files:
those that git's index *vouches* for, which git compares with the disk itself, in C and
without opening them; and those that are *watched*, whose stat fields are compared here:
what is untracked, changed since the last commit, or as new as git's index. Folders are
watched as well, for a new file changes the times of its folder, and so is every file with
ignore rules. With all of that, git's index and the index of the project as they were, there
is nothing to do. Whatever differs, the answer is no, and the run looks at every file.

The stamp is a saving only: without one, or with a wrong one, nothing is lost. Outside a git
work tree there is none.
"""

from __future__ import annotations

import json
import os
import time
import zlib
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from indexer import __version__
from indexer.config import Settings, check_state_dir, recheck_basis
from indexer.errors import GitError
from indexer.index.lock import run_lock
from indexer.report import Report
from indexer.tree import git_index
from indexer.tree.agreement import Agreement
from indexer.tree.survey import Repository, Survey, Unsure, stat_fields
from indexer.types import Stat

if TYPE_CHECKING:
    from indexer.index.collection import Collection
    from indexer.tree.scan import Scan


@dataclass(frozen=True, slots=True)
class Stamp:
    """`basis` is what must be as it was apart from the tree; `watched` has the stat fields
    by path, None for what was not there; `ignore_files` those of files outside the tree.
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


def is_unchanged(settings: Settings, report: Report) -> bool:
    """Is the index known to equal the tree? Then the report says so; opens no file.

    Raises `LockedError` while a run is at work.
    """
    check_state_dir(settings.state_dir)
    stamp = _load(settings)
    if stamp is None or (stamp.unembedded and settings.embeds):
        return False
    with ExitStack() as stack:
        stack.enter_context(report.spans.span("scan"))
        deadline = time.monotonic() + settings.wait
        stack.enter_context(run_lock(settings.lock_path, deadline))
        try:
            agreement = stack.enter_context(_agreement(settings, stamp))
            # Imported while git is at work.
            from indexer.index.collection import Collection
            from indexer.index.identity import identify

            index = Collection(settings, identify(settings))
            stack.callback(index.close)
            if stamp.basis != _basis(settings, index, index.mark()):
                return False
            if not agreement.holds():
                return False
        except (GitError, OSError):
            return False  # The run that looks at everything says what is wrong.
    report.tell(
        "plan",
        scanned=stamp.scanned,
        unchanged=stamp.unchanged,
        changed=0,
        bytes=0,
        gone=0,
    )
    report.status = "unchanged"
    report.fingerprint = index.identity.fingerprint
    report.files.scanned = stamp.scanned
    report.files.unchanged = stamp.unchanged
    report.files.skipped.update(stamp.skipped)
    report.chunks.total = stamp.chunks
    report.chunks.unembedded = stamp.unembedded
    return True


def is_as_stamped(settings: Settings) -> bool | None:
    """The same for somebody who only reads, and does not know all settings of the run: looks
    at tree and database alone, and takes no lock. None without a stamp."""
    if not os.path.exists(settings.stamp_path):
        return None
    stamp = _load(settings)
    if stamp is None:
        return False
    try:
        with _agreement(settings, stamp) as agreement:
            from indexer.milvus.on_disk import physical_name, signature

            basis = stamp.basis
            physical = physical_name(
                settings.collection_name, str(basis.get("fingerprint"))
            )
            if settings.database and basis.get("mark") != signature(
                settings.database, physical
            ):
                return False
            return agreement.holds()
    except (GitError, OSError):
        return None


def write(
    settings: Settings, index: Collection, mark: str, tree: Scan, report: Report
) -> None:
    """Stamp an index that equals the tree as it was scanned, where that can be vouched for.

    `mark` is the index's, as in the manifest.
    """
    if not mark or settings.external_folders:
        return
    try:
        survey = Survey(settings, tree)
    except (Unsure, GitError, OSError):
        return
    stamp = Stamp(
        _basis(settings, index, mark),
        survey.repositories,
        survey.watched,
        survey.ignore_files,
        report.files.scanned,
        # What changed is unchanged from now on.
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
    )
    with suppress(OSError):
        before = os.stat(settings.state_dir)
        draft = settings.stamp_path + ".new"  # ours alone: we hold the lock
        with open(draft, "w", encoding="ascii") as file:
            text = json.dumps(asdict(stamp))
            file.write(f"{_checksum(text)}\n{text}")
        os.replace(draft, settings.stamp_path)
        # There are file systems whose folders do not tell.
        if stat_fields(os.stat(settings.state_dir)) == stat_fields(before):
            os.unlink(settings.stamp_path)


def _load(settings: Settings) -> Stamp | None:
    """The stamp, if there is one and git's index is as it was then."""
    try:
        with open(settings.stamp_path, encoding="ascii") as file:
            checksum, _, text = file.read().partition("\n")
        if checksum != _checksum(text):
            return None
        found = json.loads(text)
        repositories = []
        for one in found.pop("repositories"):
            answer, index_stat = git_index.Answer(**one.pop("answer")), one.pop(
                "index_stat"
            )
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


def _agreement(settings: Settings, stamp: Stamp) -> Agreement:
    return Agreement(
        settings.project, stamp.repositories, stamp.watched, stamp.ignore_files
    )


def _checksum(text: str) -> str:
    return f"{zlib.crc32(text.encode()):08x}"


def _basis(settings: Settings, index: Collection, mark: str) -> dict[str, object]:
    try:
        manifest = list(stat_fields(os.lstat(settings.manifest_path)))
    except OSError:
        manifest = []
    return {
        "version": __version__,
        "project": settings.project,
        "place": index.place,
        "fingerprint": index.identity.fingerprint,
        "mark": mark,
        "manifest": manifest,
        **recheck_basis(settings),
    }
