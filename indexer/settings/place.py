"""Where a command works: the project that a path means, and the part of it.

Every command finds its project like this, as git's commands find their repository: it is the
nearest folder at or above the path that has an index or settings, else the root of the git
work tree, else the folder itself.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace

from msgspec import Struct

from indexer.config import STATE_FOLDER, Settings, state_home
from indexer.environment import git_ceilings
from indexer.settings.files import settings_files


class Place(Struct, frozen=True):
    """A project's folder, and what a path means in it.

    `scope` is the path of a file or folder below it that was asked for, "" for the whole project.
    With `folder` "" there is no project: a collection is read where it is.
    """

    folder: str
    scope: str = ""

    def limited(self, settings: Settings) -> Settings:
        """The settings of this project, limited to the scope if there is one."""
        if (
            not self.scope or settings.project != self.folder
        ):  # its files name another folder
            return settings
        return replace(settings, only=frozenset([self.scope]))


NOWHERE = Place("")


def find_place(path: str, state_root: str = "", *, is_here: bool = False) -> Place:
    """The project that a PATH means; with "", that of the current folder as a whole.

    The indexes of projects may lie below a `state_root`.
    With `is_here` the path is a project of its own, whatever lies above it. What is no folder of
    a project stays as it was given, for `project_folder` to say what is wrong with it.
    """
    given = path or "."
    if not os.path.exists(given):
        return Place(given)
    whole = os.path.realpath(given)
    start = whole if os.path.isdir(whole) else os.path.dirname(whole)
    folder = "" if is_here else _enclosing_project(start, state_root)
    if not folder:
        return Place(given)
    if not path or whole == folder:
        return Place(folder)
    return Place(folder, os.path.relpath(whole, folder))


def is_in_project(state_root: str = "") -> bool:
    """Whether the current folder is one of a project, or in one, as far as anything marks it."""
    here = os.path.realpath(".")
    return os.path.isdir(here) and bool(_enclosing_project(here, state_root))


def _enclosing_project(start: str, state_root: str) -> str:
    """The folder of the project around a folder, "" if nothing marks one."""
    marked = (one for one in _upwards(start) if _is_project(one, start, state_root))
    return next(marked, "") or _work_tree(start)


def _work_tree(start: str) -> str:
    """The root of the git work tree around a folder, "" if there is none."""
    ceilings = git_ceilings()
    for folder in _upwards(start):
        if folder != start and folder in ceilings:
            return ""
        if os.path.lexists(os.path.join(folder, ".git")):
            return folder
    return ""


def _is_project(folder: str, start: str, state_root: str) -> bool:
    """Whether the folder has an index or settings.

    Where others may write above us, as in /tmp, they could make us index a folder of theirs. So
    above the start, only what belongs to this user or to the owner of the start counts.
    """
    homes = {folder, state_home(folder, state_root)}
    indexes = [os.path.join(home, STATE_FOLDER) for home in homes]
    markers = [*indexes, *settings_files(folder)]
    users = {os.geteuid(), os.stat(start).st_uid}
    return any(
        os.path.exists(one) and (folder == start or os.stat(one).st_uid in users)
        for one in markers
    )


def _upwards(folder: str) -> Iterator[str]:
    """The folder and those above it."""
    while True:
        yield folder
        folder, previous = os.path.dirname(folder), folder
        if folder == previous:
            return
