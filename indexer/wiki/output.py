"""Writes files below a folder, each atomically, and never through a symlink.

The folder itself may be a symlink, because the user has chosen it. What is in it may have been put
there by others.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_OLD_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

TEMPORARY = ".codx-index.tmp"
"""The file that is being written, until it gets its name. One that a killed run left behind is
overwritten."""

Fields = tuple[int, int]
"""(size, mtime_ns) of a file."""


class Output:
    """The files below the folder `path`, which is created if need be.

    Names are relative to it, with `/`. New files and folders get the given modes, whatever the
    umask is. Every method may raise OSError. Only one process may use a folder at a time.
    """

    def __init__(self, path: str, mode: int, folder_mode: int) -> None:
        self._mode = mode
        self._folder_mode = folder_mode
        try:
            os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
            os.mkdir(path)
            os.chmod(path, folder_mode)
        except FileExistsError:
            pass  # if it is not a folder, opening it fails
        self._root = os.open(path, _FOLDER & ~os.O_NOFOLLOW)

    def close(self) -> None:
        """Close the folder."""
        os.close(self._root)

    def is_empty(self) -> bool:
        """Whether the folder holds nothing, or only what a killed run left."""
        return set(os.listdir(self._root)) <= {TEMPORARY}

    def write(self, name: str, data: bytes) -> Fields:
        """Replace the bytes of a file atomically; returns its new fields."""
        with suppress(FileNotFoundError):
            os.unlink(TEMPORARY, dir_fd=self._root)
        descriptor = os.open(TEMPORARY, _NEW_FILE, 0o600, dir_fd=self._root)
        try:
            with open(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fchmod(descriptor, self._mode)
                found = os.fstat(descriptor)
            with self._folder_of(name, make=True) as folder:
                base = os.path.basename(name)
                os.replace(TEMPORARY, base, src_dir_fd=self._root, dst_dir_fd=folder)
        except OSError:
            with suppress(OSError):
                os.unlink(TEMPORARY, dir_fd=self._root)
            raise
        return found.st_size, found.st_mtime_ns

    def fields(self, name: str) -> Fields | None:
        """The fields of a regular file; None if there is none of that name."""
        try:
            found = os.stat(name, dir_fd=self._root, follow_symlinks=False)
        except OSError:
            return None
        if not stat.S_ISREG(found.st_mode):
            return None
        return found.st_size, found.st_mtime_ns

    def head(self, name: str, size: int) -> bytes:
        """The first `size` bytes of a regular file; b"" if there is none of that name."""
        try:
            with self._folder_of(name) as folder:
                base = os.path.basename(name)
                descriptor = os.open(base, _OLD_FILE, dir_fd=folder)
        except OSError:
            return b""
        with open(descriptor, "rb") as file:
            is_regular = stat.S_ISREG(os.fstat(descriptor).st_mode)
            return file.read(size) if is_regular else b""

    def delete(self, name: str) -> bool:
        """Delete a file and the folders around it that are empty then. Returns whether the file
        existed."""
        try:
            with self._folder_of(name) as folder:
                os.unlink(os.path.basename(name), dir_fd=folder)
        except (FileNotFoundError, NotADirectoryError):
            return False
        while name := os.path.dirname(name):
            try:
                with self._folder_of(name) as folder:
                    os.rmdir(os.path.basename(name), dir_fd=folder)
            except OSError:
                break
        return True

    def names(self, folder: str) -> Iterator[str]:
        """The names of all regular files below a folder."""
        pending = [folder]
        while pending:
            inner = pending.pop()
            with suppress(OSError), self._folder_of(f"{inner}/-") as descriptor:
                for entry in os.scandir(descriptor):
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(f"{inner}/{entry.name}")
                    elif entry.is_file(follow_symlinks=False):
                        yield f"{inner}/{entry.name}"

    @contextmanager
    def _folder_of(self, name: str, *, make: bool = False) -> Iterator[int]:
        descriptor = os.dup(self._root)
        try:
            for part in name.split("/")[:-1]:
                inner = self._open_folder(part, descriptor, make)
                os.close(descriptor)
                descriptor = inner
            yield descriptor
        finally:
            os.close(descriptor)

    def _open_folder(self, name: str, around: int, make: bool) -> int:
        try:
            return os.open(name, _FOLDER, dir_fd=around)
        except FileNotFoundError:
            if not make:
                raise
        os.mkdir(name, dir_fd=around)
        descriptor = os.open(name, _FOLDER, dir_fd=around)
        os.fchmod(descriptor, self._folder_mode)
        return descriptor
