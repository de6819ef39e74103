"""State that is kept for projects which are gone.

It lies outside of the project only below a state root; elsewhere it goes with the project.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import suppress

from indexer.config import STATE_FOLDER, state_home
from indexer.errors import LockedError, StateError
from indexer.index.lock import run_lock
from indexer.index.state_folder import PROJECT_FILE


def is_gone(project: str) -> bool:
    """Whether a project's folder was removed.

    Where the folder around it is gone too, or empty, that may be a disk which is not mounted.
    """
    if os.path.lexists(project):
        return False
    try:
        return bool(os.listdir(os.path.dirname(project)))
    except OSError:
        return False


def remove_gone(root: str) -> list[str]:
    """Remove what is kept below a state root for projects that are gone; returns their paths.

    What somebody uses just now is left, and so is everything that is not known to be of such a project.
    """
    removed = []
    for project, home in _kept(root):
        if not is_gone(project):
            continue
        state = os.path.join(home, STATE_FOLDER)
        with suppress(LockedError, StateError, OSError):
            with run_lock(os.path.join(state, "lock")):
                shutil.rmtree(home)
            removed.append(project)
    return removed


def _kept(root: str) -> Iterator[tuple[str, str]]:
    """The projects whose state lies below a state root, each with the folder that has it."""
    try:
        names = sorted(os.listdir(root))
    except OSError:
        return
    for name in names:
        home = os.path.join(root, name)
        with suppress(OSError, ValueError):
            info = os.lstat(home)
            if not stat.S_ISDIR(info.st_mode) or info.st_uid != os.geteuid():
                continue
            with open(os.path.join(home, STATE_FOLDER, PROJECT_FILE), "rb") as file:
                project = os.fsdecode(file.read())
            # The name has a hash of the path, so the file cannot be another project's.
            if os.path.isabs(project) and state_home(project, root) == home:
                yield project, home
