"""The scan: lists the candidate files of a tree with cheap stat fields, and opens none.

In a git work tree it takes git's list. Elsewhere, or where git is not wanted, it walks the
folders and honours nested `.gitignore` files. In both, `.codxignore` files leave out more: they have the same syntax,
and may lie in any folder from the project's root down. What is left out is counted with
its reason.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

from indexer.deadline import check_time
from indexer.errors import ProjectError
from indexer.tree import git
from indexer.tree.files import source_file
from indexer.tree.folders import VERSION_CONTROL, Folders
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
from indexer.types import SourceFile, Stat


@dataclass(frozen=True, slots=True)
class Scan:
    """What a tree holds.

    `files` are sorted by the bytes of their path, each once. `skipped` counts files by
    reason. `failures` are (path, error) of folders and entries that could not be looked at,
    so the scan may miss files. `object_format` is `sha1` or `sha256`.

    In a git work tree `listing` is what git listed. The other fields say what else the
    result depends on. `passed_over` are files that are skipped for what they are now, not
    for their names. `absent` are listed but not there. `consulted` are the files that decide
    about others, as in `Folders`. `started_ns` is the wall clock (ns) before the first look.
    """

    files: list[SourceFile]
    skipped: dict[str, int]
    failures: list[tuple[str, str]]
    object_format: str
    listing: git.Listing | None
    passed_over: list[SourceFile]
    absent: list[str]
    consulted: dict[str, Stat | None]
    started_ns: int = field(compare=False)


def scan(
    root: str,
    *,
    max_file_size: int,
    own_paths: Sequence[str],
    uses_git: bool = True,
    recurse_submodules: bool = True,
    include_secrets: bool = False,
    ignore: Sequence[str] = (),
    ignore_containing: Sequence[str] = (),
) -> Scan:
    """List the indexable files below `root`.

    `max_file_size` is in bytes. Unless it `uses_git`, a work tree is walked like any other
    folder. `include_secrets` lists files whose names say that they hold
    secrets. `ignore` has patterns as in a `.gitignore` at the root, which no ignore file
    overrides. `ignore_containing` has texts that no path may hold once a `/` is put before
    it. The `own_paths`, files and folders that this program writes, are left out, and so is
    every other `.codx/index`. Raises ProjectError where `root` is not a folder that can be
    read, and GitError where it is a work tree and there is no git, or git refuses to list it.
    """
    if not os.path.isdir(root):
        raise ProjectError(f"{root} is not a folder")
    started_ns = time.time_ns()
    tree = git.work_tree(root) if uses_git else None
    scanner = _Scanner(max_file_size, include_secrets)
    rules = SettingsRules(ignore, ignore_containing)
    folders = Folders(
        root,
        own_paths,
        rules,
        honours_gitignore=tree is None,
        on_error=scanner.fail,
        on_warning=scanner.warn,
    )
    listing = None
    if tree is None:
        paths = sorted(scanner.walk(folders))
    else:
        listing = git.list_files(
            root, partial(scanner.warn, "."), recurse_submodules=recurse_submodules
        )
        paths = listing.files
    for path in paths:
        check_time()
        scanner.look_at(path, folders)
    return Scan(
        files=scanner.files,
        skipped=dict(sorted(scanner.skipped.items())),
        failures=scanner.failures,
        object_format=tree.object_format if tree else "sha1",
        listing=listing,
        passed_over=scanner.passed_over,
        absent=scanner.absent,
        consulted=folders.consulted,
        started_ns=started_ns,
    )


class _Scanner:
    """One scan in progress. Paths are as in `Folders`."""

    def __init__(self, max_file_size: int, include_secrets: bool) -> None:
        self.files: list[SourceFile] = []
        self.skipped: Counter[str] = Counter()
        self.failures: list[tuple[str, str]] = []
        self.passed_over: list[SourceFile] = []
        self.absent: list[str] = []
        self._max_file_size = max_file_size
        self._include_secrets = include_secrets

    def walk(self, folders: Folders) -> Iterator[bytes]:
        """Yield every entry but folders, symlinks and all, that no `.gitignore` leaves out.

        Ignored folders are not entered.
        """
        pending = [b""]
        while pending:
            path = pending.pop()
            folder = folders.find(path)
            if folder is None or folder.is_ours:
                continue
            if folder.is_ignored:
                self.skipped[IGNORED] += 1
                continue
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
        elif folder.is_ignored or folders.is_left_out(path, folder.codxignore):
            self.skipped[IGNORED] += 1
        elif reason := skip_reason_by_path(name, include_secrets=self._include_secrets):
            self.skipped[reason] += 1
        elif reason := _skip_reason_by_stat(info, self._max_file_size):
            self.skipped[reason] += 1
            self.passed_over.append(source_file(name, info))
        else:
            self.files.append(source_file(name, info))

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
