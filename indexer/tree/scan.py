"""The scan: lists the candidate files of a tree with cheap stat fields, and opens none.

In a git work tree it takes git's list. Elsewhere it walks the folders and honours nested
`.gitignore` files, but the repositories that it meets are listed by git; where git is not
wanted they are walked too. In all of them, `.codxignore` files leave out more: they have the
same syntax, and may lie in any folder from the project's root down. Folders that tools fill
are left out by default, unless git tracks what is in them. What is left out is counted with its
reason.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from msgspec import Struct, field

from indexer.deadline import check_time
from indexer.errors import ProjectError
from indexer.tree import git
from indexer.tree.files import source_file
from indexer.tree.folders import VERSION_CONTROL, Folder, Folders, LeftOut
from indexer.tree.ignore import SettingsRules
from indexer.tree.names import (
    EMPTY,
    IGNORED,
    PATH_TOO_LONG,
    SPECIAL,
    SYMLINK,
    TOO_LARGE,
    skip_reason_by_path,
)
from indexer.tree.repository import own_checkout
from indexer.tree.survey import Survey
from indexer.types import SourceFile, Stat

COUNT_EACH = 256  # files from one count that is told to the next


class Scan(Struct, frozen=True):
    """What a tree holds.

    `files` are sorted by the bytes of their path, each once. `skipped` counts files by
    reason. `failures` are (path, error) of folders and entries that could not be looked at,
    so the scan may miss files. `object_format` is `sha1` or `sha256`.

    In a git work tree `listing` is what git listed. The other fields say what else the
    result depends on. `passed_over` are files that are skipped for what they are now, not
    for their names, with the reason. `absent` are listed but not there. `consulted` are the
    files that decide about others, as in `Folders`. `left_out` are the folders that were left
    out as a whole, by default or as another work tree: the reason by path, which ends in `/`.
    `started_ns` is the wall clock (ns) before the first look. Where only a part of the tree was
    scanned again, `survey` is what is known of the whole, and `listings` is as in `survey_tree`.
    """

    files: list[SourceFile]
    skipped: dict[str, int]
    failures: list[tuple[str, str]]
    object_format: str
    listing: git.Listing | None
    passed_over: dict[SourceFile, str]
    absent: list[str]
    consulted: dict[str, Stat | None]
    left_out: dict[str, str]
    started_ns: int
    survey: Survey | None = None
    listings: dict[str, bytes] = field(default_factory=dict)


def scan(
    root: str,
    *,
    max_file_size: int,
    own_paths: Sequence[str],
    uses_git: bool = True,
    recurse_submodules: bool = True,
    has_defaults: bool = True,
    include_secrets: bool = False,
    ignore: Sequence[str] = (),
    ignore_containing: Sequence[str] = (),
    on_count: Callable[[int], None] = lambda count: None,
) -> Scan:
    """List the indexable files below `root`.

    `max_file_size` is in bytes. Unless it `uses_git`, a work tree is walked like any other
    folder. With `has_defaults`, folders that tools fill are left out where git does not track
    them. `include_secrets` lists files whose names say that they hold
    secrets. `ignore` has patterns as in a `.gitignore` at the root, which no ignore file
    overrides. `ignore_containing` has texts that no path may hold once a `/` is put before
    it. The `own_paths`, files and folders that this program writes, are left out, and so is
    every other `.codx/index`. `on_count` is told, again and again, how many files were looked
    at. Raises ProjectError where `root` is not a folder that can be
    read, and GitError where it is a work tree and there is no git, or git refuses to list it.
    """
    if not os.path.isdir(root):
        raise ProjectError(f"{root} is not a folder")
    started_ns = time.time_ns()
    tree = git.work_tree(root) if uses_git else None
    scanner = Scanner(max_file_size, include_secrets)
    rules = SettingsRules(ignore, ignore_containing)
    folders = Folders(
        root,
        own_paths,
        rules,
        honours_gitignore=tree is None,
        has_defaults=has_defaults,
        on_error=scanner.fail,
        on_warning=scanner.warn,
    )
    walked: frozenset[bytes] = frozenset()
    starts = [b""]
    if tree is None:
        starts = []
        if common := own_checkout(root):
            folders.checkouts[common] = b""
        walked = frozenset(scanner.walk(folders, starts if uses_git else None))
    listing = git.list_files(
        root,
        partial(scanner.warn, "."),
        recurse_submodules=recurse_submodules,
        leaves_out=lambda folder: folders.left_out(folder) is not None,
        starts=starts,
        checkouts=folders.checkouts,
    )
    for folder in listing.left_out:
        path = folder + b"/"
        scanner.leave_out(folders.left_out(path) or folders.other_work_tree(path))
    untracked = listing.untracked | walked
    for count, path in enumerate(sorted([*walked, *listing.files])):
        if not count % COUNT_EACH:
            on_count(count)
        check_time()
        if path in untracked and not folders.is_own(path):
            parent = path[: path.rfind(b"/") + 1]
            if found := folders.left_out(parent):
                scanner.leave_out(found)
                continue
        scanner.look_at(path, folders)
    scanner.skipped.update(scanner.left_out.values())
    return Scan(
        files=scanner.files,
        skipped=dict(sorted(scanner.skipped.items())),
        failures=scanner.failures,
        object_format=tree.object_format if tree else "sha1",
        listing=listing if tree else None,
        passed_over=scanner.passed_over,
        absent=scanner.absent,
        consulted=folders.consulted,
        left_out={os.fsdecode(path): why for path, why in scanner.left_out.items()},
        started_ns=started_ns,
    )


def walk(
    root: str,
    *,
    own_paths: Sequence[str],
    has_defaults: bool,
    ignore: Sequence[str],
    ignore_containing: Sequence[str],
) -> Iterator[bytes]:
    """Every file below `root` that a scan without git would look at, as it is found.

    What cannot be looked at is passed over. Raises ProjectError for `root` itself.
    """
    scanner = Scanner(0, include_secrets=False)
    folders = Folders(
        root,
        own_paths,
        SettingsRules(ignore, ignore_containing),
        honours_gitignore=True,
        has_defaults=has_defaults,
        on_error=scanner.fail,
        on_warning=scanner.warn,
    )
    return scanner.walk(folders, None)


class Scanner:
    """One scan in progress. Paths are as in `Folders`."""

    def __init__(self, max_file_size: int, include_secrets: bool) -> None:
        self.files: list[SourceFile] = []
        self.skipped: Counter[str] = Counter()
        self.failures: list[tuple[str, str]] = []
        self.passed_over: dict[SourceFile, str] = {}
        self.absent: list[str] = []
        self.left_out: dict[bytes, str] = {}
        self._max_file_size = max_file_size
        self._include_secrets = include_secrets

    def walk(
        self, folders: Folders, repositories: list[bytes] | None
    ) -> Iterator[bytes]:
        """Yield every entry but folders, symlinks and all, that no `.gitignore` leaves out.

        Folders that are left out are not entered. The `repositories` get the folders that are
        a repository of their own, without a `/`, and are not entered either; where it is None,
        they are.
        """
        pending = [b""]
        while pending:
            path = pending.pop()
            if found := folders.left_out(path):
                self.leave_out(found)
                continue
            folder = folders.find(path)
            if folder is None or folder.is_ours:
                continue
            if folder.is_ignored:
                self.skipped[IGNORED] += 1
                continue
            if path and folders.is_repository(path):
                if repositories is not None:
                    repositories.append(path[:-1])
                    continue
                folders.note_repository(path)
            try:
                with os.scandir(folders.top + path) as entries:
                    for entry in entries:
                        check_time()
                        child = path + entry.name
                        is_folder = entry.is_dir(follow_symlinks=False)
                        child += b"/" if is_folder else b""
                        if folder.gitignore.verdict(child):
                            continue
                        if is_folder:
                            pending.append(child)
                        elif entry.name not in VERSION_CONTROL:
                            yield child
            except OSError as error:
                if not path:
                    raise ProjectError(
                        f"the project folder cannot be read: {error}"
                    ) from error
                self.fail(path, error)

    def leave_out(self, found: LeftOut) -> None:
        """Count a folder that is left out as a whole; once, however often it is met."""
        self.left_out[found.folder] = found.reason

    def look_at(self, path: bytes, folders: Folders) -> None:
        """Sort a candidate into files, skipped and failures."""
        if folders.is_own(path):
            return
        name = os.fsdecode(path)
        folder = folders.find(path[: path.rfind(b"/") + 1])
        if folder is None:
            self.absent.append(name)
            return
        if folder.is_ours:
            return
        try:
            info = os.lstat(folders.top + path)
        except OSError as error:
            self.absent.append(name)
            self.fail(path, error)
            return
        if stat.S_ISDIR(info.st_mode):  # It took the place of a tracked file.
            self.absent.append(name)
        elif reason := self.reason_by_path(path, folder, folders):
            self.skipped[reason] += 1
        elif reason := _skip_reason_by_stat(info, self._max_file_size):
            self.skipped[reason] += 1
            self.passed_over[source_file(name, info)] = reason
        else:
            self.files.append(source_file(name, info))

    def reason_by_path(
        self, path: bytes, folder: Folder, folders: Folders
    ) -> str | None:
        """Why a file of a folder is skipped, whatever it is; None if it is not."""
        if folder.is_ignored or folders.is_left_out(path, folder.codxignore):
            return IGNORED
        return skip_reason_by_path(
            os.fsdecode(path), include_secrets=self._include_secrets
        )

    def fail(self, path: bytes, error: OSError) -> None:
        """Note that a path could not be looked at. One that is gone is no failure."""
        if error.errno == errno.ENAMETOOLONG:
            self.skipped[PATH_TOO_LONG] += 1
        elif error.errno not in (errno.ENOENT, errno.ENOTDIR):
            name = os.fsdecode(path.removesuffix(b"/"))
            self.failures.append((name, error.strerror or str(error)))

    def warn(self, path: str, message: str) -> None:
        """Note what may make the scan miss files."""
        self.failures.append((path, message))


def _skip_reason_by_stat(info: os.stat_result, max_file_size: int) -> str | None:
    if not stat.S_ISREG(info.st_mode):
        return SYMLINK if stat.S_ISLNK(info.st_mode) else SPECIAL
    if not info.st_size:
        return EMPTY
    return TOO_LARGE if info.st_size > max_file_size else None
