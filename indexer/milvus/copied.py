"""A copy of the embedded database for readers that cannot write where it is.

milvus-lite cannot open a database without writing: a lock, its socket, what a kill left in its log.
So on a read-only mount, or in a folder that the reader may not write, it gets a temporary folder
in which only the small files and the log are copies. Segments, which nobody ever writes to again, are
links to open files, which can be read even if a run has removed them in the meantime.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

from msgspec import Struct

from indexer.errors import LockedError, StateError
from indexer.milvus.internals import INDEXES, SEGMENT, lock_file
from indexer.milvus.meeting_place import SHARED
from indexer.milvus.store import DAMAGED

_NOT_COPIED = frozenset({INDEXES, SHARED})
_IN_MEMORY = "/dev/shm"  # if no folder for temporary files can be written

Look = dict[str, tuple[int, int, int]]
"""Size, time of change (ns) and inode of each file of a database, by path."""


def can_be_written(database: str, place: str) -> bool:
    """Whether this process may write everything that opening a database writes.

    `place` is the folder in which the processes that open it meet.
    """
    paths = [place, lock_file(database)]
    for folder, names in _walk(database):
        paths += [folder, *(os.path.join(folder, name) for name in names)]
    return all(os.access(path, os.W_OK) or not os.path.lexists(path) for path in paths)


def look_at(database: str) -> Look:
    """What the files of a database look like now. Any write changes it."""
    found = {}
    for folder, names in _walk(database):
        for name in names:
            path = os.path.join(folder, name)
            with suppress(FileNotFoundError):
                info = os.lstat(path)
                found[path] = (info.st_size, info.st_mtime_ns, info.st_ino)
    return found


class Copy(Struct, frozen=True):
    """A copy in `folder`, of a database that had this `look`."""

    folder: str
    database: str
    look: Look
    _opened: ExitStack

    def close(self) -> None:
        """Remove the copy."""
        self._opened.close()


def copy_database(database: str) -> Copy:
    """Copy a database that nobody has open to a temporary folder.

    Raises `LockedError` while somebody has it open, and `StateError` if it cannot be copied.
    """
    with ExitStack() as stack:
        stack.enter_context(_shared_lock(database))
        opened = ExitStack()
        try:
            folder = _temporary_folder()
            opened.callback(shutil.rmtree, folder, ignore_errors=True)
            target = os.path.join(folder, "milvus.db")
            look = look_at(database)
            for source, names in _walk(database):
                inner = os.path.normpath(
                    os.path.join(target, os.path.relpath(source, database))
                )
                os.mkdir(inner, 0o700)
                for name in names:
                    _bring(
                        os.path.join(source, name), os.path.join(inner, name), opened
                    )
        except OSError as error:
            opened.close()
            raise StateError(
                f"cannot copy {database}, which cannot be opened in place, to a temporary "
                f"folder (set by TMPDIR): {error.strerror}{DAMAGED}"
            ) from error
        return Copy(folder, target, look, opened)


def _bring(source: str, target: str, opened: ExitStack) -> None:
    """Copy a file, or link to a segment, which stays open as long as the copy exists."""
    handle = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    if source.endswith(SEGMENT):
        opened.callback(os.close, handle)
        still_open = f"/proc/self/fd/{handle}"
        os.symlink(still_open if os.path.exists(still_open) else source, target)
        return
    with open(handle, "rb") as file, open(target, "xb") as copy:
        shutil.copyfileobj(file, copy)


def _walk(database: str) -> Iterator[tuple[str, list[str]]]:
    """The folders of a database, and the names of the files in each, except the lock."""
    for folder, folders, names in os.walk(database):
        folders[:] = [name for name in folders if name not in _NOT_COPIED]
        if folder == database:
            names = [name for name in names if name != os.path.basename(lock_file(""))]
        yield folder, [one for one in names if _is_file(os.path.join(folder, one))]


def _is_file(path: str) -> bool:
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except OSError:
        return False


def _temporary_folder() -> str:
    import tempfile  # slow to import

    try:
        return tempfile.mkdtemp(prefix="codx-index-")
    except OSError:
        return tempfile.mkdtemp(prefix="codx-index-", dir=_IN_MEMORY)


@contextmanager
def _shared_lock(database: str) -> Iterator[None]:
    """Keep others from opening the database while it is copied."""
    import fcntl

    with ExitStack() as stack:
        try:
            handle = os.open(lock_file(database), os.O_RDONLY | os.O_CLOEXEC)
            stack.callback(os.close, handle)
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            pass  # nobody ever opened it
        except BlockingIOError:
            raise LockedError(
                f"the database {database} is in use by another process"
            ) from None
        except OSError as error:
            raise StateError(
                f"cannot lock {database}: {error.strerror}{DAMAGED}"
            ) from error
        yield
