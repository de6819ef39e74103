"""The folder of the embedding cache: the paths, sizes and lock of its files."""

from __future__ import annotations

import glob
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from indexer.cache.entry import Source
from indexer.cache.sqlite import FORMAT, PATIENCE


def path_of(folder: str, source: Source) -> str:
    """The path of a source's file, whether or not it exists."""
    name = f"embeddings-{FORMAT}-{source.identity[:16]}.sqlite"
    return os.path.join(folder, name)


def paths_in(folder: str) -> list[str]:
    """The files of the cache in any format, sorted."""
    pattern = os.path.join(glob.escape(folder), "embeddings-*.sqlite")
    return sorted(path for path in glob.glob(pattern) if os.path.isfile(path))


def cache_bytes(folder: str) -> int:
    """The bytes that the files of the cache take. Opens none."""
    return sum(size_of(path) for path in paths_in(folder))


def size_of(path: str) -> int:
    """The bytes that a file and its log take, 0 where it is gone. Opens nothing."""
    size = 0
    for name in (path, path + "-wal"):
        with suppress(OSError):
            size += os.stat(name).st_size
    return size


def inode(path: str) -> tuple[int, int]:
    """The device and inode number that identify the file at `path`."""
    found = os.stat(path)
    return found.st_dev, found.st_ino


def make_private(path: str) -> None:
    """Make an empty file that only its owner can read, if there is none.

    SQLite gives the files that it makes beside it the same mode.
    """
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC
    with suppress(FileExistsError):
        os.close(os.open(path, flags, 0o600))


def unlink(path: str) -> None:
    """Remove a file together with its write-ahead log."""
    for suffix in ("-wal", "-shm", ""):
        with suppress(FileNotFoundError):
            os.unlink(path + suffix)


@contextmanager
def folder_lock(path: str, *, exclusive: bool) -> Iterator[None]:
    """Lock the folder of a file, shared to open a file and exclusively to remove one.

    A database must not be opened while its files vanish one by one: the new one would share
    its log with the old one. Raises `OSError`.
    """
    import fcntl

    mode = fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH
    handle = os.open(os.path.dirname(path), os.O_RDONLY | os.O_CLOEXEC)
    try:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                fcntl.flock(handle, mode | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
            except OSError:  # some network file systems have no locks
                break
        yield
    finally:
        os.close(handle)
