"""When the work of a git hook may begin: once the git that called it is done with the work tree."""

from __future__ import annotations

import os
import time

from indexer.tree.repository import git_folder

_LONGEST_CALL = 10.0  # seconds; a program that has git built in goes on for hours
_LONGEST_REBASE = 3600.0  # seconds; one that was forgotten must not keep an index old
_REBASES = (b"rebase-merge", b"rebase-apply")
_LOOK = 0.05  # seconds between two looks
_LOOK_AT_REBASE = 0.5


def wait_for_git(top: str, pid: int) -> None:
    """Return once the process `pid` has ended, and the rebase of the work tree at `top`.

    Other hooks may follow ours, and git itself may not be done. A rebase goes through states
    that nobody wants, and comes back from them if it is aborted. With `pid` 0, only the rebase counts.
    """
    deadline = time.monotonic() + _LONGEST_CALL
    while pid and _is_alive(pid) and time.monotonic() < deadline:
        time.sleep(_LOOK)
    deadline = time.monotonic() + _LONGEST_REBASE
    while _is_rebasing(top) and time.monotonic() < deadline:
        time.sleep(_LOOK_AT_REBASE)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (ProcessLookupError, OverflowError):
        return False
    return True


def _is_rebasing(top: str) -> bool:
    folder = git_folder(os.fsencode(top))
    return folder is not None and any(
        os.path.isdir(os.path.join(folder, name)) for name in _REBASES
    )
