"""A shallow clone: the files of a repository at one revision, without its history."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from contextlib import suppress

from indexer.errors import RepositoryError
from indexer.tree.transport import PassingError, Remote, call_git

TRIES = 2
PAUSE = 1, 3  # seconds between two tries
MOST_PACKS = 50  # each fetch of a change leaves one

_WHOLE_ID = re.compile("[0-9a-f]{40}(?:[0-9a-f]{24})?")


def update_clone(
    folder: str, remote: Remote, check: Callable[[], object] = lambda: None
) -> bool:
    """Make `folder` the work tree of the remote's revision, and return whether it was another.

    Of a clone that is there, only what changed is fetched and written, so the other files keep
    their times. One that cannot be updated is made anew. `check` is called while git works, and
    may raise. Raises `RepositoryError`.
    """
    from tenacity import (
        Retrying,
        retry_if_exception_type,
        stop_after_attempt,
        wait_random,
    )

    is_there = _fetched(folder) != ""
    if is_there and _WHOLE_ID.fullmatch(remote.revision):
        if _fetched(folder) == remote.revision:
            return False
    if is_there and _packs(folder) > MOST_PACKS:
        remove(folder)
    retrying = Retrying(
        retry=retry_if_exception_type(PassingError),
        stop=stop_after_attempt(TRIES),
        wait=wait_random(*PAUSE),
        reraise=True,
    )
    try:
        for attempt in retrying:
            with attempt:
                if attempt.retry_state.attempt_number > 1:
                    remove(folder)
                return _update(folder, remote, check)
    except RepositoryError:
        if not _fetched(folder):
            remove(folder)
        raise
    raise AssertionError  # the last attempt returns or raises


def _update(folder: str, remote: Remote, check: Callable[[], object]) -> bool:
    def git(*arguments: str) -> None:
        call_git(folder, remote, *arguments, check=check)

    before = _fetched(folder)
    if not before:
        remove(folder)  # what is left of one that was never complete
        os.makedirs(folder, mode=0o700)
        git("init", "--quiet", "--template=")
    revision = remote.revision or "HEAD"
    git(
        "fetch",
        *("--quiet", "--depth=1", "--no-tags", "--no-recurse-submodules"),
        *("--", remote.url, revision),
    )
    found = _first_line(os.path.join(folder, ".git", "FETCH_HEAD"))[:64].split("\t")[0]
    if not _WHOLE_ID.fullmatch(found):
        raise RepositoryError("it cannot be fetched: git returned nothing")
    if found == before:
        return False
    with suppress(FileNotFoundError):
        os.unlink(_mark(folder))  # until it is all there
    git("checkout", "--quiet", "--force", "--detach", found)
    draft = _mark(folder) + ".new"
    with open(draft, "w", encoding="ascii") as file:
        file.write(found)
    os.replace(draft, _mark(folder))
    return True


def remove(folder: str) -> None:
    """Remove a clone, so that a part of it is never taken for the whole."""
    with suppress(FileNotFoundError):
        os.unlink(_mark(folder))
    with suppress(FileNotFoundError):
        shutil.rmtree(folder)


def size_of(folder: str) -> int:
    """The bytes that the files of a clone take on the disk."""
    total = 0
    for where, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                total += os.lstat(os.path.join(where, name)).st_blocks * 512
    return total


def _fetched(folder: str) -> str:
    """The id of what was checked out completely, "" if nothing was."""
    return _first_line(_mark(folder))


def _mark(folder: str) -> str:
    return os.path.join(folder, ".git", "codx-fetched")


def _packs(folder: str) -> int:
    with suppress(FileNotFoundError):
        names = os.listdir(os.path.join(folder, ".git", "objects", "pack"))
        return sum(name.endswith(".pack") for name in names)
    return 0


def _first_line(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.readline().rstrip("\n")
    except FileNotFoundError:
        return ""
