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
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from indexer import __version__, git
from indexer.config import Settings, check_state_dir
from indexer.diff import TICK_NS, is_racy, stat_of
from indexer.errors import GitError
from indexer.lock import run_lock
from indexer.report import Report
from indexer.types import SourceFile, Stat

if TYPE_CHECKING:
    from indexer.index import Index
    from indexer.scan import Scan

_SECOND = 1_000_000_000
_ANY_STATE = b"/.codx/index/"


@dataclass(frozen=True, slots=True)
class _Repository:
    """One repository: `prefix` is its folder, `answer` what git said of it."""

    prefix: str
    index: str
    index_stat: Stat
    vouches: bool
    answer: git.Answer


@dataclass(frozen=True, slots=True)
class _Stamp:
    """`basis` is what must be as it was apart from the tree; `watched` has the stat fields
    by path, None for what was not there; `ignore_files` those of files outside the tree.
    """

    basis: dict[str, object]
    repositories: list[_Repository]
    watched: dict[str, Stat | None]
    ignore_files: dict[str, Stat | None]
    scanned: int
    unchanged: int
    skipped: dict[str, int]
    chunks: int
    unembedded: int


class _Unsure(Exception):
    """Something moved while we looked: no stamp this time."""


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
            agreement = stack.enter_context(_Agreement(settings, stamp))
            # Imported while git is at work.
            from indexer.index import Index, identify

            index = Index(settings, identify(settings))
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
        with _Agreement(settings, stamp) as agreement:
            from indexer.store import physical_name, signature

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


class _Agreement:
    """Are the files as the stamp has them? git looks from the start on; `holds` waits for it.

    Raises `GitError` and `OSError` where that cannot be told.
    """

    def __init__(self, settings: Settings, stamp: _Stamp) -> None:
        self._project = settings.project
        self._stamp = stamp
        self._stack = ExitStack()
        self._checks: list[git.Check] = []

    def __enter__(self) -> _Agreement:
        with ExitStack() as stack:
            for repository in self._stamp.repositories:
                folder = os.path.join(self._project, repository.prefix)
                check = git.Check(folder, stat_tracked=repository.vouches)
                self._checks.append(stack.enter_context(check))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def holds(self) -> bool:
        """Whether nothing changed."""
        stamp = self._stamp
        if not _is_as_it_was(self._project, stamp):
            return False
        for check, repository in zip(self._checks, stamp.repositories, strict=True):
            answer = check.answer()
            if answer != repository.answer:
                return False
            # HOME may be another.
            if not stamp.ignore_files.keys() >= set(answer.ignore_files):
                return False
            # Written while we looked?
            if _stat(os.stat(repository.index)) != repository.index_stat:
                return False
        return True


def write(
    settings: Settings, index: Index, mark: str, tree: Scan, report: Report
) -> None:
    """Stamp an index that equals the tree as it was scanned, where that can be vouched for.

    `mark` is the index's, as in the manifest.
    """
    if not mark or settings.external_folders:
        return
    try:
        survey = _Survey(settings, tree)
    except (_Unsure, GitError, OSError):
        return
    stamp = _Stamp(
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
        if _stat(os.stat(settings.state_dir)) == _stat(before):
            os.unlink(settings.stamp_path)


def _load(settings: Settings) -> _Stamp | None:
    """The stamp, if there is one and git's index is as it was then."""
    try:
        with open(settings.stamp_path, encoding="ascii") as file:
            checksum, _, text = file.read().partition("\n")
        if checksum != _checksum(text):
            return None
        found = json.loads(text)
        repositories = []
        for one in found.pop("repositories"):
            answer, index_stat = git.Answer(**one.pop("answer")), one.pop("index_stat")
            if _stat(os.stat(one["index"])) != tuple(index_stat):
                return None
            repositories.append(
                _Repository(**one, answer=answer, index_stat=tuple(index_stat))
            )
        for name in ("watched", "ignore_files"):
            found[name] = {
                path: None if stat is None else tuple(stat)
                for path, stat in found[name].items()
            }
        return _Stamp(**found, repositories=repositories)
    except (OSError, ValueError, TypeError, KeyError):
        return None  # damaged, or of another version


def _checksum(text: str) -> str:
    return f"{zlib.crc32(text.encode()):08x}"


def _basis(settings: Settings, index: Index, mark: str) -> dict[str, object]:
    try:
        manifest = list(_stat(os.lstat(settings.manifest_path)))
    except OSError:
        manifest = []
    return {
        "version": __version__,
        "project": settings.project,
        "place": index.place,
        "fingerprint": index.identity.fingerprint,
        "mark": mark,
        "manifest": manifest,
        "max_file_size": settings.max_file_size,
        "recurse_submodules": settings.recurse_submodules,
        "include_secrets": settings.include_secrets,
        "ignore": [*settings.ignore],
        "ignore_containing": [*settings.ignore_containing],
        "external_folders": [*settings.external_folders],
        "mentions": settings.mentions.enabled,
        "wiki": [settings.wiki.enabled, settings.wiki_dir, *settings.wiki.command],
    }


def _is_as_it_was(project: str, stamp: _Stamp) -> bool:
    top = os.path.join(project, "")
    for path, before in stamp.watched.items():
        try:
            now = _stat(os.lstat(top + path))
        except OSError:
            now = None
        if now != before:
            return False
    return stamp.ignore_files == _stat_all(stamp.ignore_files)


def _stat_all(paths: Iterable[str]) -> dict[str, Stat | None]:
    """The stat fields of what the paths lead to, through symlinks."""
    found: dict[str, Stat | None] = {}
    for path in paths:
        try:
            found[path] = _stat(os.stat(path))
        except OSError:
            found[path] = None
    return found


def _stat(info: os.stat_result) -> Stat:
    return (info.st_size, info.st_mtime_ns, info.st_ctime_ns, info.st_ino)


# Making a stamp


class _Survey:
    """Splits the files of a scan into those that git vouches for and those to watch.

    A file is vouched for when git's index has the very stat fields that the scan saw, and
    when both are old enough: git compares whole seconds, so the last change must lie in an
    earlier second than the scan, for any later one to show; and in an earlier second than
    the index, or git would open the file, and run the repository's filters on it.

    Raises `_Unsure` where the tree is not, or may not be, as it was scanned.
    """

    def __init__(self, settings: Settings, tree: Scan) -> None:
        if tree.listing is None or tree.failures:
            raise _Unsure
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
        self.repositories: list[_Repository] = []
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
                raise _Unsure
        for path, file in self._unseen.items():  # untracked
            self._watch(path, stat_of(file))
        # What came or went since the scan is in no stamp.
        vacant = [path.removesuffix(b"/") for path in tree.listing.vacant]
        nested = [path.removesuffix(b"/") for path in self._nested]
        if self._listed != {*tree.listing.files, *vacant, *nested}:
            raise _Unsure

    def _look_at(self, prefix: bytes) -> None:
        """Survey one repository, without those below it."""
        folder = self._top + prefix
        with git.Check(folder, stat_tracked=False) as check:
            before = check.answer()
            ignore_files = self._outside(prefix, before)
        with git.UntrackedListing(folder) as listing:
            index = git.read_index(folder)
            index_stat = _stat(os.stat(index.path))
            self._require_old(index_stat)
            vouches = not index.has_racy()
            untracked = listing.answer()
        # Asked after the listing: it went by the rules that this answer tells.
        with git.Check(folder, stat_tracked=vouches) as check:
            answer = check.answer()
        if (answer.places, answer.settings) != (before.places, before.settings):
            raise _Unsure
        if self._outside(prefix, answer) != ignore_files:
            raise _Unsure
        self._listed.update(
            prefix + path.removesuffix(b"/")
            for path in (*index.entries, *untracked.files)
        )
        holders = _parents([*index.entries, *untracked.files])
        for path in {*holders, *self._folders(prefix, untracked)}:
            self._watch_folder(prefix + path)
        self._sort(prefix, index, answer, vouches=vouches)
        if _stat(os.stat(index.path)) != index_stat:
            raise _Unsure
        self.ignore_files |= ignore_files
        self.repositories.append(
            _Repository(os.fsdecode(prefix), index.path, index_stat, vouches, answer)
        )

    def _outside(self, prefix: bytes, answer: git.Answer) -> dict[str, Stat | None]:
        """The ignore files that count for a repository and are not below the project."""
        paths = answer.ignore_files
        if not paths:
            raise _Unsure
        if not prefix:
            paths += answer.ignore_files_above(os.path.realpath(self._project))
        found = _stat_all(paths)
        for path, stat in found.items():
            # For a file that is not there, and may have been there a moment ago, its folder
            # tells.
            while stat is None:
                path = os.path.dirname(path)
                stat = _stat_all([path])[path]
            self._require_old(stat)
        return found

    def _folders(self, prefix: bytes, untracked: git.Untracked) -> Iterator[bytes]:
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
                stat = _stat(os.lstat(self._top + name))
            except (FileNotFoundError, NotADirectoryError):
                continue
            self._require_old(stat)
            self._watch(name, stat)

    def _sort(
        self, prefix: bytes, index: git.Index, answer: git.Answer, *, vouches: bool
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
                    raise _Unsure  # since the scan
            elif whole in self._absent:
                if entry.is_sparse:
                    self._watch(whole, None)
                elif changed.get(path) != b"D" or os.path.isdir(self._top + whole):
                    raise _Unsure

    def _watch_rules(self, path: bytes, rules: SourceFile | None) -> None:
        """A `.codxignore`, which must be as the scan read it."""
        if rules is None:
            if os.path.lexists(self._top + path):
                raise _Unsure
        else:
            self._watch(path, stat_of(rules))
            self._require_old(stat_of(rules), self._scanned_ns)

    def _watch(self, path: bytes, stat: Stat | None) -> None:
        self.watched[os.fsdecode(path)] = stat

    def _require_old(self, stat: Stat, seen_ns: int = 0) -> None:
        if is_racy(SourceFile("", *stat), seen_ns or self._started_ns):
            raise _Unsure


def _parents(paths: Iterable[bytes]) -> set[bytes]:
    """Every folder above the paths, `b""` and with a `/` at the end."""
    found = {b""}
    for path in paths:
        parent = path[: path.rfind(b"/") + 1]
        while parent not in found:
            found.add(parent)
            parent = parent[: parent.rfind(b"/", 0, -1) + 1]
    return found
