"""Other programs' files: read as they are, and replaced whole or not at all.

A path that is a link stays a link, as for people who keep their settings in a repository: the
file that it leads to is replaced.
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from indexer.errors import ClientFileError

MOST_BYTES = 64 << 20
"""The most that is read of a file: a chat client keeps more than settings in its own."""


@contextmanager
def about(path: str) -> Iterator[None]:
    """A block whose `ClientFileError` becomes one line about this file."""
    try:
        yield
    except ClientFileError as error:
        raise ClientFileError(f"{path} {error}") from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise ClientFileError(f"{path} cannot be used: {reason}") from error


def read(path: str) -> bytes | None:
    """The bytes of a file, None if there is none. Raises `OSError` and `ClientFileError`."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(status.st_mode):
        raise ClientFileError("is not a file")
    if status.st_size > MOST_BYTES:
        raise ClientFileError("is too large for a file of settings")
    with open(path, "rb") as file:
        data = file.read()
    try:
        data.decode()
    except UnicodeDecodeError:
        raise ClientFileError("is not in UTF-8") from None
    return data


def missing_folders(path: str) -> list[str]:
    """The folders that this file needs and that do not exist yet, outermost first."""
    missing = []
    folder = os.path.dirname(path)
    while folder and not os.path.lexists(folder):
        missing.append(folder)
        folder = os.path.dirname(folder)
    return missing[::-1]


def replace(path: str, before: bytes | None, after: bytes, *, is_shared: bool) -> None:
    """Make a file hold `after`, if it still holds `before`. Its mode stays.

    A new file, and new folders, are for the user alone unless the file `is_shared`, as a project's
    file is. Raises `OSError`, and `ClientFileError` if somebody else has changed the file.
    """
    for folder in missing_folders(path):
        os.mkdir(folder)
        os.chmod(folder, 0o755 if is_shared else 0o700)
    mode = 0o644 if is_shared else 0o600
    if before is not None:
        mode = stat.S_IMODE(os.stat(path).st_mode)
        if not os.access(path, os.W_OK):
            raise ClientFileError("is read-only")
    number, draft = tempfile.mkstemp(".part", ".codx-index-", os.path.dirname(path))
    try:
        with open(number, "wb") as file:
            file.write(after)
            os.fchmod(number, mode)
            file.flush()
            os.fsync(number)
        _check(path, before)
        os.replace(draft, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(draft)
        raise


def remove(path: str, before: bytes, folders: Sequence[str]) -> None:
    """Remove a file that still holds `before`, and those of the folders that are then empty.

    Raises as `replace` does.
    """
    _check(path, before)
    os.unlink(path)
    for folder in sorted(folders, key=len, reverse=True):
        with suppress(OSError):
            os.rmdir(folder)


def _check(path: str, before: bytes | None) -> None:
    if read(path) != before:
        raise ClientFileError(
            "was changed in the meantime, so nothing was written: try it again"
        )
