"""The token that the MCP server demands over HTTP."""

from __future__ import annotations

import os
import secrets
import stat
import tempfile
from contextlib import suppress

from msgspec import Struct

from indexer.errors import CodxIndexError, UsageError

VARIABLE = "CODX_INDEX_MCP_TOKEN"
FILE = "mcp-token"  # in the cache folder

_SHORTEST = 16  # characters
_BYTES = 32


class Token(Struct, frozen=True):
    """A token and the file that holds it, "" if it came from the environment."""

    value: str
    path: str = ""


def find_token(cache_dir: str) -> Token:
    """The token from the environment, or else from the user's file, which is made if need be.

    The file stays, so that the settings of clients are valid for the next server too.
    Raises `UsageError` for a token that can be guessed, and `CodxIndexError` for a file that others
    may read or that cannot be written.
    """
    if value := os.environ.get(VARIABLE, ""):
        return Token(_checked(value, VARIABLE))
    path = os.path.join(cache_dir, FILE)
    try:
        if not os.path.lexists(path):
            _make(path)
        return Token(_checked(_read(path), path), path)
    except OSError as error:
        raise CodxIndexError(
            f"cannot keep a token in {path}: {error.strerror}; set {VARIABLE} instead"
        ) from error


def _checked(value: str, where: str) -> str:
    if len(value) < _SHORTEST or not value.isascii() or not value.isprintable():
        raise UsageError(
            f"the token in {where} must have at least {_SHORTEST} printable ASCII characters"
        )
    return value


def _make(path: str) -> None:
    """Write a new token, unless another process is quicker."""
    folder = os.path.dirname(path)
    os.makedirs(folder, mode=0o700, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f"{FILE}-", dir=folder)  # with mode 0600
    try:
        with open(handle, "w", encoding="ascii") as file:
            file.write(f"{secrets.token_urlsafe(_BYTES)}\n")
        with suppress(FileExistsError):
            os.link(name, path)
    finally:
        os.unlink(name)


def _read(path: str) -> str:
    with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), encoding="ascii") as file:
        about = os.fstat(file.fileno())
        is_private = stat.S_ISREG(about.st_mode) and not about.st_mode & 0o077
        if not is_private or about.st_uid != os.geteuid():
            raise CodxIndexError(
                f"others may have read the token in {path}: delete the file, and a new token "
                "will be created"
            )
        return file.read(4096).strip()
