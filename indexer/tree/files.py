"""Opening and reading the files of a tree without following a symlink."""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress

from msgspec import Struct

from indexer.config import Settings
from indexer.tree.names import EMPTY, SPECIAL, SYMLINK, TOO_LARGE
from indexer.types import SourceFile

READ_ATTEMPTS = 3
# Flags that follow no symlink and wait for no FIFO.
OPEN_FILE = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NOCTTY
_OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Vanished(Exception):
    """The file is gone, and there is nothing in its place that could be read."""


class NotIndexable(Exception):
    """The file became something that a scan would skip; `reason` is one of `names`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Content(Struct, frozen=True):
    """The bytes of a file and the stat fields of the very file that they were read from.

    `read_ns` is the wall clock (ns) just before `stat` was taken. Where it is not `stable`,
    the file changed during each attempt to read it, and the bytes may belong to no single
    version of it.
    """

    data: bytes
    stat: SourceFile
    stable: bool
    read_ns: int


def read_file(root_fd: int, file: SourceFile, max_bytes: int) -> Content:
    """Read a file below an open folder, following no symlink and blocking on no FIFO.

    A file that changes meanwhile is read up to `READ_ATTEMPTS` times. Raises Vanished;
    NotIndexable for what became a symlink, special, empty or larger than `max_bytes`; and
    OSError (such as PermissionError) for the rest.
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
    """Open a file one folder at a time.

    A check of the whole path, however fresh, would not notice that a folder was just
    swapped for a symlink.
    """
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
        # A folder that became a symlink is "not a directory", and its files are gone.
        raise Vanished(path) from error
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EMLINK):
            raise NotIndexable(SYMLINK) from error
        if error.errno in (errno.ENXIO, errno.EOPNOTSUPP):  # a socket
            raise NotIndexable(SPECIAL) from error
        raise
    finally:
        if parent != root_fd:
            os.close(parent)


def read_open_file(fd: int, path: str, max_bytes: int) -> Content:
    """Read the file behind a descriptor once. `path` only names it; see `read_file`."""
    read_ns = time.time_ns()
    info = os.fstat(fd)
    if stat.S_ISDIR(info.st_mode):
        raise Vanished(path)
    if not stat.S_ISREG(info.st_mode):
        raise NotIndexable(SPECIAL)
    if info.st_size > max_bytes:
        raise NotIndexable(TOO_LARGE)
    # One byte more than expected shows that the file grew.
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
    """The `SourceFile` with this path and these stat fields."""
    return SourceFile(
        path, info.st_size, info.st_mtime_ns, info.st_ctime_ns, info.st_ino
    )


@contextmanager
def open_root(root: str) -> Iterator[int]:
    """Open a folder, for `read_file`. Yields its file descriptor; raises OSError."""
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


class Roots(Struct, frozen=True):
    """Open folders: the project's, and the external ones by their absolute paths."""

    project: int
    external: Mapping[str, int]

    def locate(self, path: str) -> tuple[int, str]:
        """The descriptor of the folder that holds a file, and the file's path below it.

        `path` is absolute for a file in an external folder.
        """
        for folder, fd in self.external.items():
            if path.startswith(folder + "/"):
                return fd, path.removeprefix(folder + "/")
        return self.project, path


@contextmanager
def open_roots(settings: Settings) -> Iterator[Roots]:
    """Open the folders of a project. Raises OSError for its own.

    An external folder that cannot be opened is left out.
    """
    with ExitStack() as stack:
        external = {}
        for folder in settings.external_folders:
            with suppress(OSError):
                external[folder] = stack.enter_context(open_root(folder))
        yield Roots(stack.enter_context(open_root(settings.project)), external)
