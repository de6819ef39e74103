"""The files of an embedded database at one moment, whoever has it open or writes it meanwhile.

No lock is taken, so nobody waits, fails or is turned away because of this. Files with rows are never written
to again, so it is enough to open them. All others are small, and so is the log. They are read
between two looks that find every file unchanged. That is a state that a process killed at that moment
would leave, and runs can go on from any of these.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

from msgspec import Struct, field

from indexer.errors import StateError
from indexer.milvus.copied import Look, look_at
from indexer.milvus.internals import INDEXES, MANIFEST, SEGMENT, VECTORS
from indexer.milvus.on_disk import listed_files

PATIENCE = 10.0  # seconds to find a moment at which nobody writes
TICK = 0.03  # seconds after which another write shows in the times of a file
PAUSE = 0.01
MOST_SMALL_BYTES = 256 << 20  # of the files that are read into memory, such as the log
_COPIED_AT_ONCE = 1 << 30


class Snapshot(Struct, frozen=True):
    """Some files by their path in the database: `small` ones as bytes, and `large` ones open.

    Nothing but time is lost without the `spare` files, which are open too.
    """

    small: dict[str, bytes] = field(default_factory=dict)
    large: dict[str, int] = field(default_factory=dict)
    spare: dict[str, int] = field(default_factory=dict)

    def copy_to(self, folder: str) -> None:
        """Write the database into a new `folder`, and wait until it is on the disk.

        Blocks are shared with the original if the file system can do that.
        """
        os.mkdir(folder, 0o700)
        for name, data in self.small.items():
            with open(_made(folder, name), "xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        for name, handle in {**self.large, **self.spare}.items():
            with open(_made(folder, name), "xb") as file:
                copy_bytes(handle, file.fileno())
                os.fsync(file.fileno())
        for inner, _, _ in os.walk(folder):
            sync_folder(inner)


@contextmanager
def snapshot(database: str, patience: float = PATIENCE) -> Iterator[Snapshot]:
    """The database at some moment within the next `patience` seconds.

    Raises `StateError` if it is written all the time, cannot be read, or is not a database.
    """
    deadline = time.monotonic() + patience
    with ExitStack() as stack:
        while True:
            files = ExitStack()
            try:
                found = _try(database, files)
            except FileNotFoundError:
                found = None  # what was looked at has been replaced
            except OSError as error:
                files.close()
                raise StateError(
                    f"{error.filename or database} cannot be read ({error.strerror})"
                ) from error
            if found is not None:
                stack.enter_context(files)
                break
            files.close()
            if not os.path.isdir(database):
                raise StateError(f"there is no database at {database}")
            if time.monotonic() > deadline:
                raise StateError(f"{database} is being written all the time")
            time.sleep(PAUSE)
        yield found


def _try(database: str, files: ExitStack) -> Snapshot | None:
    """A snapshot, None if somebody wrote meanwhile or a moment before."""
    look = look_at(database)
    if not look or _is_fresh(look):
        return None
    found, left = Snapshot(), MOST_SMALL_BYTES
    for path, (size, _, _) in look.items():
        name = os.path.relpath(path, database)
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        if path.endswith(SEGMENT):
            files.callback(os.close, handle)
            found.large[name] = handle
            continue
        with open(handle, "rb") as file:
            left -= size
            if left < 0:
                raise StateError(f"{path} is too large")
            found.small[name] = file.read(size + 1)
    if look_at(database) != look:
        return None
    _leave_out_unlisted(found)
    _add_spare(database, found, files)
    return found


def _leave_out_unlisted(found: Snapshot) -> None:
    """Leave out the segments that somebody is just writing, or left behind: no list has them."""
    for name, data in found.small.items():
        folder, file = os.path.split(name)
        if file != MANIFEST:
            continue
        with suppress(ValueError, TypeError, KeyError, AttributeError):
            listed = {os.path.join(folder, one) for one in listed_files(data)}
            for other in [*found.large]:
                if other.startswith(os.path.join(folder, "")) and other not in listed:
                    del found.large[other]


def _add_spare(database: str, found: Snapshot, files: ExitStack) -> None:
    """Open the copies of vectors; each of them shows by itself whether it is sound."""
    for folder, _, names in os.walk(database):
        for name in names:
            path = os.path.join(folder, name)
            if os.path.basename(folder) == INDEXES and name.endswith(VECTORS):
                with suppress(OSError):
                    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
                    handle = os.open(path, flags)
                    files.callback(os.close, handle)
                    found.spare[os.path.relpath(path, database)] = handle


def _is_fresh(look: Look) -> bool:
    """Whether a file changed so recently that another write might not show.

    Files with rows only need to exist.
    """
    since = time.time_ns() - round(TICK * 1e9)
    return any(
        mtime > since
        for path, (_, mtime, _) in look.items()
        if not path.endswith(SEGMENT)
    )


def _made(folder: str, name: str) -> str:
    path = os.path.join(folder, name)
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    return path


def copy_bytes(source: int, target: int) -> None:
    """Copy all bytes of one open file into another, inside the kernel if that is possible."""
    offset = 0
    try:
        while copied := os.copy_file_range(
            source, target, _COPIED_AT_ONCE, offset_src=offset
        ):
            offset += copied
    except OSError:  # between two file systems, or on one that cannot
        os.ftruncate(target, 0)
        os.lseek(target, 0, os.SEEK_SET)
        with open(os.dup(source), "rb") as original, open(os.dup(target), "wb") as copy:
            original.seek(0)
            shutil.copyfileobj(original, copy)


def sync_folder(folder: str) -> None:
    """Wait until the names in a folder are on the disk."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
