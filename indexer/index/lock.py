"""One run per index: an advisory lock that dies with its process and is never broken by hand."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from indexer.errors import LockedError, StateError
from indexer.index.state_folder import REFUSALS, cannot_write

POLL = 0.1  # seconds between two tries while waiting
SIGNING = 0.3  # seconds that a holder has between taking the lock and signing it


@contextmanager
def run_lock(
    path: str, deadline: float = 0, what: str = "index", *, is_reader: bool = False
) -> Iterator[None]:
    """Hold the lock file of an index, or of `what` it guards, while the block runs.

    One that `is_reader` shares the lock with others where the file cannot be written, and holds
    none where there is no file: then no run can be at work. Raises `LockedError`, which names
    the holder, if another process still has the lock at the `deadline` (monotonic clock).
    """
    handle, is_shared = _open(path, is_reader)
    if handle is None:
        yield
        return
    try:
        while not _try(handle, path, is_shared):
            if time.monotonic() > deadline:
                raise LockedError(f"another run holds this {what} ({_holder(handle)})")
            time.sleep(POLL)
        if not is_shared:
            _sign(handle)
        yield
    finally:
        os.close(handle)


def _open(path: str, is_reader: bool) -> tuple[int | None, bool]:
    """The open lock file, None if a reader finds none, and whether it can only be shared."""
    flags = os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | flags, 0o600), False
    except OSError as error:
        if not is_reader or error.errno not in REFUSALS:
            raise cannot_write(path, error) from error
    try:
        return os.open(path, os.O_RDONLY | flags), True
    except FileNotFoundError:
        return None, True
    except OSError as error:
        raise StateError(f"cannot read {path}: {error.strerror}") from error


def _try(handle: int, path: str, is_shared: bool) -> bool:
    import fcntl

    kind = fcntl.LOCK_SH if is_shared else fcntl.LOCK_EX
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:  # some network file systems have no locks
        raise StateError(f"cannot lock {path}: {error.strerror}") from error
    return True


def _sign(handle: int) -> None:
    """Write down who holds the lock. Only people read it, so a full disk is not a failure."""
    holder = {"pid": os.getpid(), "host": os.uname().nodename, "since": time.time()}
    with suppress(OSError):
        os.ftruncate(handle, 0)
        os.pwrite(handle, json.dumps(holder).encode(), 0)


def _holder(handle: int) -> str:
    """Who signed the lock. A holder that took it a moment ago is given time to sign."""
    deadline = time.monotonic() + SIGNING
    while not os.pread(handle, 1, 0) and time.monotonic() < deadline:
        time.sleep(SIGNING / 30)
    try:
        holder = json.loads(os.pread(handle, 4096, 0))
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(holder["since"]))
        return f"pid {holder['pid']} on {holder['host']}, since {since}"
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
        return "it has just started"
