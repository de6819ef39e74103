"""Opens and reads the files of a tree without following a symlink."""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass

from indexer.config import Settings
from indexer.tree.names import EMPTY, SPECIAL, SYMLINK, TOO_LARGE
from indexer.types import SourceFile

READ_ATTEMPTS = 3


class Vanished(Exception):
    """The file is not there any more, nor is anything that could be read in its place."""


class NotIndexable(Exception):
    """The file turned into something that a scan would skip; `reason` is one of the above."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Content:
    """A file's bytes and the stat fields of the very file that they were read from.

    `read_ns` is the wall clock (ns) just before `stat` was taken. Not `stable`: the file
    changed during each attempt to read it, and the bytes may be of no single version.
    """

    data: bytes
    stat: SourceFile
    stable: bool
    read_ns: int


_OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


OPEN_FILE = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NOCTTY


@contextmanager
def open_root(root: str) -> Iterator[int]:
    """A file descriptor of the project folder, for `read_file`. Raises OSError."""
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


def read_file(root_fd: int, file: SourceFile, max_bytes: int) -> Content:
    """Read a file of the tree, following no symlink and blocking on no FIFO.

    A file that changes meanwhile is read again, three times at most. Raises Vanished,
    NotIndexable for what became a symlink, special, empty or larger than `max_bytes`,
    and OSError (such as PermissionError) for the rest.
    """
    for _ in range(READ_ATTEMPTS):
        fd = _open_below(root_fd, file.path)
        try:
            content = read_open_file(fd, file.path, max_bytes)
        finally:
            os.close(fd)
        if content.stable:
            break
    return content


def _open_below(root_fd: int, path: str) -> int:
    """Open a file one folder at a time: a check of the whole path, however fresh, would
    not notice a folder being swapped for a symlink."""
    *folders, name = path.split("/")
    if not {"", ".", ".."}.isdisjoint([*folders, name]):
        raise NotIndexable(SPECIAL)
    parent = root_fd
    try:
        for folder in folders:
            fd = os.open(folder, _OPEN_FOLDER, dir_fd=parent)
            if parent != root_fd:
                os.close(parent)
            parent = fd
        return os.open(name, OPEN_FILE, dir_fd=parent)
    except (FileNotFoundError, NotADirectoryError) as error:
        # A folder that is a symlink now is "not a directory": its files are gone.
        raise Vanished(path) from error
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EMLINK):
            raise NotIndexable(SYMLINK) from error
        if error.errno in (errno.ENXIO, errno.EOPNOTSUPP):  # A socket.
            raise NotIndexable(SPECIAL) from error
        raise
    finally:
        if parent != root_fd:
            os.close(parent)


def read_open_file(fd: int, path: str, max_bytes: int) -> Content:
    """The bytes behind a descriptor and the stat fields they belong to; see `read_file`."""
    read_ns = time.time_ns()
    info = os.fstat(fd)
    if stat.S_ISDIR(info.st_mode):
        raise Vanished(path)
    if not stat.S_ISREG(info.st_mode):
        raise NotIndexable(SPECIAL)
    if info.st_size > max_bytes:
        raise NotIndexable(TOO_LARGE)
    # One byte more than expected, so that growth shows.
    data = os.read(fd, info.st_size + 1)
    while len(data) <= info.st_size and (
        more := os.read(fd, info.st_size + 1 - len(data))
    ):
        data += more
    before, after = source_file(path, info), source_file(path, os.fstat(fd))
    stable = before == after and len(data) == info.st_size
    if stable and not data:
        raise NotIndexable(EMPTY)
    return Content(data, before, stable, read_ns)


def source_file(path: str, info: os.stat_result) -> SourceFile:
    """A candidate file from its path and what `os.lstat` says of it."""
    return SourceFile(
        path, info.st_size, info.st_mtime_ns, info.st_ctime_ns, info.st_ino
    )


@dataclass(frozen=True, slots=True)
class Roots:
    """Descriptors of the project's folder and, by absolute path, of the external ones."""

    project: int
    external: Mapping[str, int]

    def locate(self, path: str) -> tuple[int, str]:
        """The descriptor below which a file is to be opened, and its path from there.

        The path of a file in an external folder is absolute.
        """
        for folder, fd in self.external.items():
            if path.startswith(folder + "/"):
                return fd, path.removeprefix(folder + "/")
        return self.project, path


@contextmanager
def open_roots(settings: Settings) -> Iterator[Roots]:
    """Descriptors for the reader; an external folder that is not there has none."""
    with ExitStack() as stack:
        external = {}
        for folder in settings.external_folders:
            with suppress(OSError):
                external[folder] = stack.enter_context(open_root(folder))
        yield Roots(stack.enter_context(open_root(settings.project)), external)
