"""The state folder of a project: made, or refused with what to do."""

from __future__ import annotations

import errno
import os
from contextlib import suppress

from indexer.config import Settings
from indexer.errors import StateError

REFUSALS = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})
"""Errors of who may not write a file or folder, however often they try."""

PROJECT_FILE = "project"
"""The file in a state folder below a state root that has the path of the project."""

_ELSEWHERE = "keep the state elsewhere with --state-dir (CODX_INDEX_STATE_DIR)"


def make_state_dir(settings: Settings) -> None:
    """Create the state folder, closed to other users and invisible to git.

    Below a state root, the folders around it are closed too: whoever may write them could put
    others in its place. Raises `StateError` if it cannot be written.
    """
    path = settings.state_dir
    try:
        if settings.state_root:
            os.makedirs(settings.state_root, exist_ok=True)
            for folder in (settings.state_home, os.path.dirname(path)):
                with suppress(FileExistsError):
                    os.mkdir(folder, mode=0o700)
        os.makedirs(path, mode=0o700, exist_ok=True)
        os.chmod(path, 0o700)
        ignore = os.path.join(path, ".gitignore")
        if not os.path.exists(ignore):
            with open(ignore, "w", encoding="ascii") as file:
                file.write("*\n")
        if settings.state_root and not settings.origin:
            _name_project(settings)
    except OSError as error:
        raise cannot_write(f"the state folder {path}", error) from error


def _name_project(settings: Settings) -> None:
    """Write down whose state it is, which nobody could tell once the project is gone."""
    path = os.path.join(settings.state_dir, PROJECT_FILE)
    if not os.path.exists(path):
        with open(path, "wb") as file:
            file.write(os.fsencode(settings.project))


def seed_draft(settings: Settings) -> str:
    """The folder in which a copy of another index is made, before it is put in place."""
    return os.path.join(settings.state_dir, "seed.new")


def remove_seed_draft(settings: Settings) -> None:
    """Remove what a run left of such a copy that was killed."""
    if os.path.lexists(draft := seed_draft(settings)):
        import shutil

        shutil.rmtree(draft, ignore_errors=True)


def cannot_write(what: str, error: OSError) -> StateError:
    """What to say where a part of the state cannot be written."""
    message = f"cannot write {what}: {error.strerror}"
    if error.errno in REFUSALS:
        message += f": {_ELSEWHERE}"
    return StateError(message)
