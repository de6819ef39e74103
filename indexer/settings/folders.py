"""Folders that a user names, outside of the project: of the state, and of the cache."""

from __future__ import annotations

import os
from collections.abc import Mapping

from indexer.config import NO_FOLDER
from indexer.errors import UsageError
from indexer.settings.declarations import STATE_DIR
from indexer.settings.setting import Setting
from indexer.settings.values import Value


def state_root(given: Mapping[Setting, Value]) -> str:
    """The folder below which the state of all projects lies, "" if it lies in each of them.

    No project's file names it, so it is known before the project is. Raises `UsageError`.
    """
    value = given.get(STATE_DIR)
    return state_folder(value.value if value else STATE_DIR.from_environment())


def state_folder(path: str) -> str:
    """The real path of the folder, "" for none. Raises `UsageError`."""
    return os.path.realpath(_in_home(path)) if path else ""


def cache_folder(cache_dir: str) -> str:
    """The absolute path of the cache, by default the one that the platform has for caches.

    It is `NO_FOLDER` where the platform's is not known. Raises `UsageError` for a path in a
    home folder that is not.
    """
    if not cache_dir:
        import platformdirs

        try:
            cache_dir = platformdirs.user_cache_dir("codx-index", appauthor=False)
        except RuntimeError:  # no HOME, and no entry for the user
            return NO_FOLDER
    return os.path.abspath(_in_home(cache_dir))


def _in_home(path: str) -> str:
    whole = os.path.expanduser(path)
    if whole.startswith("~"):
        raise UsageError(f"{path} is in an unknown home folder: give an absolute path")
    return whole
