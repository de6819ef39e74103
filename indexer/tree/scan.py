"""The candidate files of a tree, with cheap stat fields, and the safe way to read one.

`scan` opens no candidate. In a git work tree it takes git's list; elsewhere it walks the
folders and honours nested `.gitignore` files. In both, `.codxignore` files (same syntax,
nested too, from the project root down) leave out more. What is left out is counted with
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

from indexer.config import WIKI_MARKER, WIKI_SETTINGS
from indexer.errors import ProjectError
from indexer.tree import git
from indexer.tree.files import (
    OPEN_FILE,
    NotIndexable,
    Vanished,
    read_open_file,
    source_file,
)
from indexer.tree.ignore import IgnoreRules
from indexer.tree.names import (
    EMPTY,
    IGNORED,
    IGNORED_OUTSIDE_GIT,
    PATH_TOO_LONG,
    SPECIAL,
    SYMLINK,
    TOO_LARGE,
    skip_reason_by_path,
)
from indexer.types import SourceFile

# A larger ignore file is not one that a person wrote.
MAX_IGNORE_FILE_BYTES = 1 << 20

CODXIGNORE = b".codxignore"
VERSION_CONTROL = frozenset({b".git", b".hg", b".svn"})


@dataclass(frozen=True, slots=True)
class Scan:
    """What a tree holds.

    `files` are sorted by the bytes of their path, each once. `skipped` counts by reason.
    `failures` are (path, error) of folders and entries that could not be looked at, so
    that the scan may miss files. `object_format` is `sha1` or `sha256`.

    In a git work tree `listing` is what git listed, and the rest says what else the answer
    hangs on: `passed_over` are skipped for what they are now, not for their name; `absent`
    are listed and not there; `ignore_files` are the `.codxignore` files that were looked
    for, None where there is none. `started_ns` is the wall clock (ns) before the first
    look.
    """

    files: list[SourceFile]
    skipped: dict[str, int]
    failures: list[tuple[str, str]]
    object_format: str
    listing: git.Listing | None
    passed_over: list[SourceFile]
    absent: list[str]
    ignore_files: dict[str, SourceFile | None]
    started_ns: int = field(compare=False)

    @property
    def is_git(self) -> bool:
        """Was it git that listed the files?"""
        return self.listing is not None


def scan(
    root: str,
    *,
    max_file_size: int,
    own_paths: Sequence[str],
    recurse_submodules: bool = True,
    include_secrets: bool = False,
    ignore: Sequence[str] = (),
    ignore_containing: Sequence[str] = (),
) -> Scan:
    """List the indexable files below `root`.

    `max_file_size` is in bytes. `include_secrets` lists files whose names say that they hold
    secrets. `ignore` has patterns as in a `.gitignore` at the root, against which no file of
    patterns says anything; `ignore_containing` texts that no path with a `/` before it may
    hold. The `own_paths`, files and folders that we write, are left out, and so is any
    other `.codx/index`. Raises ProjectError where `root` is not a folder that can
    be read, and GitError where git refuses to list it.
    """
    if not os.path.isdir(root):
        raise ProjectError(f"{root} is not a folder")
    started_ns = time.time_ns()
    tree = git.work_tree(root)
    scanner = _Scanner(
        root,
        max_file_size,
        own_paths,
        honour_gitignore=tree is None,
        include_secrets=include_secrets,
        ignore=ignore,
        ignore_containing=ignore_containing,
    )
    listing = None
    if tree is not None:
        listing = git.list_files(
            root, scanner.warn, recurse_submodules=recurse_submodules
        )
    for path in listing.files if listing else sorted(scanner.walk()):
        scanner.look_at(path)
    return Scan(
        files=scanner.files,
        skipped=dict(sorted(scanner.skipped.items())),
        failures=scanner.failures,
        object_format=tree.object_format if tree else "sha1",
        listing=listing,
        passed_over=scanner.passed_over,
        absent=scanner.absent,
        ignore_files=scanner.ignore_files,
        started_ns=started_ns,
    )


# Ignore files from the deepest up, each with the length of the path of its folder.
_Rules = tuple[tuple[int, IgnoreRules], ...]


def _below(root: str, path: str) -> bytes:
    """The path from the root, without a `/` at the end."""
    return os.fsencode(os.path.relpath(os.path.realpath(path), os.path.realpath(root)))


def _is_ignored(path: bytes, rules: _Rules) -> bool:
    for start, file in rules:
        verdict = file.verdict(path[start:])
        if verdict is not None:
            return verdict
    return False


@dataclass(frozen=True, slots=True)
class _Folder:
    is_ignored: bool = False
    gitignore: _Rules = ()
    codxignore: _Rules = ()


class _Scanner:
    """One scan in progress. Paths are bytes relative to the root; a folder's ends with `/`,
    and the root's is empty."""

    def __init__(
        self,
        root: str,
        max_file_size: int,
        own_paths: Sequence[str],
        *,
        honour_gitignore: bool,
        include_secrets: bool,
        ignore: Sequence[str],
        ignore_containing: Sequence[str],
    ) -> None:
        self.files: list[SourceFile] = []
        self.skipped: Counter[str] = Counter()
        self.failures: list[tuple[str, str]] = []
        self.passed_over: list[SourceFile] = []
        self.absent: list[str] = []
        self.ignore_files: dict[str, SourceFile | None] = {}
        self._top = os.path.join(os.fsencode(root), b"")
        self._max_file_size = max_file_size
        self._honour_gitignore = honour_gitignore
        self._include_secrets = include_secrets
        self._own_paths = {_below(root, path) for path in own_paths}
        self._ignored_texts = [os.fsencode(text) for text in ignore_containing]
        self._ignored = IgnoreRules(os.fsencode("\n".join(ignore)))
        for pattern in self._ignored.unusable:
            self.warn(f"too complex a pattern to ignore: {pattern!r}")
        default = ((0, IgnoreRules(IGNORED_OUTSIDE_GIT)),) if honour_gitignore else ()
        self._folders: dict[bytes, _Folder | None] = {
            b"": self._with_own_rules(b"", _Folder(gitignore=default))
        }

    def warn(self, message: str) -> None:
        self.failures.append((".", message))

    def walk(self) -> Iterator[bytes]:
        """Every entry that is not a folder, symlinks and all, and that no `.gitignore`
        leaves out. Ignored folders are not entered."""
        pending = [b""]
        while pending:
            path = pending.pop()
            folder = self._folder(path)
            if folder is None:
                continue
            if folder.is_ignored:
                self.skipped[IGNORED] += 1
                continue
            try:
                with os.scandir(self._top + path) as entries:
                    for entry in entries:
                        child = path + entry.name
                        is_folder = entry.is_dir(follow_symlinks=False)
                        child += b"/" if is_folder else b""
                        if _is_ignored(child, folder.gitignore):
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
                self._failed(path, error)

    def look_at(self, path: bytes) -> None:
        """Sort a candidate into files, skipped and failures."""
        if path in self._own_paths:
            return
        name = os.fsdecode(path)
        folder = self._folder(path[: path.rfind(b"/") + 1])
        if folder is None:
            self.absent.append(name)
            return
        try:
            info = os.lstat(self._top + path)
        except OSError as error:
            self.absent.append(name)
            self._failed(path, error)
            return
        if stat.S_ISDIR(info.st_mode):  # It took the place of a tracked file.
            self.absent.append(name)
        elif folder.is_ignored or self._is_left_out(path, folder.codxignore):
            self.skipped[IGNORED] += 1
        elif reason := skip_reason_by_path(name, include_secrets=self._include_secrets):
            self.skipped[reason] += 1
        elif reason := self._skip_reason(info):
            self.skipped[reason] += 1
            self.passed_over.append(source_file(name, info))
        else:
            self.files.append(source_file(name, info))

    def _skip_reason(self, info: os.stat_result) -> str | None:
        if not stat.S_ISREG(info.st_mode):
            return SYMLINK if stat.S_ISLNK(info.st_mode) else SPECIAL
        if not info.st_size:
            return EMPTY
        return TOO_LARGE if info.st_size > self._max_file_size else None

    def _is_left_out(self, path: bytes, rules: _Rules) -> bool:
        """By a setting, or else by a `.codxignore`?"""
        if any(text in b"/" + path for text in self._ignored_texts):
            return True
        verdict = self._ignored.verdict(path)
        return _is_ignored(path, rules) if verdict is None else verdict

    def _folder(self, path: bytes) -> _Folder | None:
        """What is known of a folder, or None if nothing in it belongs to the tree."""
        if path in self._folders:
            return self._folders[path]
        unknown = []
        while path not in self._folders:
            unknown.append(path)
            path = path[: path.rfind(b"/", 0, -1) + 1]
        # A loop: a path can have more folders than Python allows nested calls.
        folder = self._folders[path]
        for path in reversed(unknown):
            folder = self._folders[path] = folder and self._enter(path, folder)
        return folder

    def _enter(self, path: bytes, parent: _Folder) -> _Folder | None:
        name = path[path.rfind(b"/", 0, -1) + 1 : -1]
        # A crafted git index can hold `..`, and even an honest one holds files below what
        # has meanwhile become a symlink.
        if name in (b"", b".", b"..") or name in VERSION_CONTROL:
            return None
        if path[:-1] in self._own_paths or self._is_wiki(path):
            return None
        if (b"/" + path).endswith(b"/.codx/index/"):
            return None
        try:
            if not stat.S_ISDIR(os.lstat(self._top + path[:-1]).st_mode):
                return None
        except OSError as error:
            self._failed(path, error)
            return None
        is_ignored = parent.is_ignored or self._is_left_out(path, parent.codxignore)
        folder = _Folder(is_ignored, parent.gitignore, parent.codxignore)
        return folder if is_ignored else self._with_own_rules(path, folder)

    def _is_wiki(self, path: bytes) -> bool:
        """Did we write a wiki into this folder, whatever the settings are now?"""
        try:
            fd = os.open(self._top + path + os.fsencode(WIKI_SETTINGS), OPEN_FILE)
        except OSError:
            return False
        try:
            return os.read(fd, len(WIKI_MARKER)) == WIKI_MARKER.encode()
        except OSError:
            return False
        finally:
            os.close(fd)

    def _with_own_rules(self, path: bytes, folder: _Folder) -> _Folder:
        gitignore: _Rules = ()
        if self._honour_gitignore:
            gitignore, _ = self._ignore_file(path, b".gitignore")
        codxignore, file = self._ignore_file(path, CODXIGNORE)
        self.ignore_files[os.fsdecode(path + CODXIGNORE)] = file
        if not gitignore and not codxignore:
            return folder
        return _Folder(
            False, gitignore + folder.gitignore, codxignore + folder.codxignore
        )

    def _ignore_file(
        self, folder: bytes, name: bytes
    ) -> tuple[_Rules, SourceFile | None]:
        """The rules of an ignore file, and the file they were read from."""
        path = folder + name
        shown = os.fsdecode(path)
        try:
            # As git does, not through a symlink; and a FIFO must not block.
            fd = os.open(self._top + path, OPEN_FILE)
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:
                self._failed(path, error)
            return (), None
        file = None
        try:
            file = source_file(shown, os.fstat(fd))
            text = read_open_file(fd, shown, MAX_IGNORE_FILE_BYTES).data
        except NotIndexable as error:
            if error.reason != EMPTY:
                self.failures.append((shown, f"not an ignore file: {error.reason}"))
            return (), file
        except Vanished:  # It is a folder.
            return (), file
        except OSError as error:
            self._failed(path, error)
            return (), file
        finally:
            os.close(fd)
        rules = IgnoreRules(text)
        for pattern in rules.unusable:
            self.failures.append((shown, f"too complex: {pattern!r}"))
        return ((len(folder), rules),), file

    def _failed(self, path: bytes, error: OSError) -> None:
        if error.errno == errno.ENAMETOOLONG:
            self.skipped[PATH_TOO_LONG] += 1
        elif error.errno not in (errno.ENOENT, errno.ENOTDIR):
            name = os.fsdecode(path.removesuffix(b"/"))
            self.failures.append((name, error.strerror or str(error)))
