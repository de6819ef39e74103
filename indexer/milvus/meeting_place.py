"""The folder in which the processes that open one embedded database find each other.

For a project's own database that is the project's state folder. A database that projects share has
a folder for it inside its own, so that every process that opens the database finds it, from any project
and by any spelling of the path. Both are closed to other users. The folder holds the
lock of the run at work and the socket of the process that serves the database.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable

from indexer.config import STATE_FOLDER
from indexer.errors import StateError
from indexer.milvus.internals import socket_path

SHARED = ".codx-index"  # in the folder of a database that is in no state folder
SOCKET_PATH_LIMIT = 100  # bytes; the kernel's limit is 108 with the terminator


def meeting_place(database: str, state_dir: str) -> str:
    """The folder for this database; it need not exist."""
    if os.path.dirname(database) == state_dir:
        return state_dir
    real = os.path.realpath(database)
    around = os.path.dirname(real)
    if around.endswith(os.sep + STATE_FOLDER):  # another project's own
        return around
    return os.path.join(real, SHARED)


def make_meeting_place(database: str, state_dir: str) -> str:
    """The folder for this database, which now exists and is closed to other users.

    Raises `StateError` if it cannot be made, or belongs to somebody else.
    """
    folder = meeting_place(database, state_dir)
    if os.path.basename(folder) != SHARED:
        return folder
    if os.path.lexists(database) and not os.path.isdir(database):
        raise StateError(f"cannot open {database}: it is not a folder")
    try:
        os.makedirs(database, exist_ok=True)
        try:
            os.mkdir(folder, 0o700)
        except FileExistsError:
            if not stat.S_ISDIR(os.lstat(folder).st_mode):
                raise StateError(f"{folder} is not a folder: remove it") from None
        if os.stat(folder).st_mode & 0o077:
            os.chmod(folder, 0o700)
    except OSError as error:
        raise StateError(f"cannot write {folder}: {error.strerror}") from error
    return folder


def run_lock_path(database: str, state_dir: str) -> str:
    """The file that a run has locked while it uses this database."""
    return os.path.join(meeting_place(database, state_dir), "lock")


def short_path(folder: str) -> tuple[str, Callable[[], None]]:
    """A path of the folder that gRPC accepts for a socket, and how to release it.

    If the path is too long, or has characters with a meaning in a URI, the folder is
    reached through a handle.
    """
    is_short = len(os.fsencode(socket_path(folder))) <= SOCKET_PATH_LIMIT
    if is_short and re.fullmatch(r"[\w/.~+@=-]+", folder, re.ASCII):
        return folder, lambda: None
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise StateError(
            f"cannot open the folder {folder}: {error.strerror}"
        ) from error
    short = f"/proc/self/fd/{handle}"
    if not os.path.isdir(short):
        os.close(handle)
        raise StateError(f"cannot create a socket in the folder {folder}")
    return short, lambda: os.close(handle)
