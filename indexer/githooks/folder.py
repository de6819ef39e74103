"""Where the git hooks of a work tree are, and who else would see what is written there."""

from __future__ import annotations

import os

from msgspec import Struct

from indexer.errors import UsageError
from indexer.tree.git_process import run_git
from indexer.tree.repository import DOT_GIT, common_folder, repository_around

_COMMAND_LINE = b"command line:"  # the place that git names for our own settings


class HooksFolder(Struct, frozen=True):
    """The `path` of the folder with the hooks of a repository.

    `concern` says who else is affected by what is written there, "" if nobody is.
    """

    path: str
    concern: str = ""


def work_tree_around(path: str) -> str:
    """The top of git's work tree around a path. Raises `UsageError` if there is none."""
    folder = path if os.path.isdir(path) else os.path.dirname(path)
    top = repository_around(os.fsencode(folder))
    if top is None:
        raise UsageError(
            f"{path} is not in a git repository, so there are no git hooks"
        )
    if not os.path.lexists(os.path.join(top, DOT_GIT)):
        raise UsageError(
            f"{os.fsdecode(top)} is a repository without a work tree, so there is nothing to "
            "index: install the git hooks in one of its work trees"
        )
    return os.fsdecode(top)


def project_in(top: str, project: str) -> str:
    """The folder of a project, relative to the top of any work tree of the same repository."""
    around = repository_around(os.fsencode(project))
    is_above = top.startswith(os.path.join(project, ""))
    if is_above and around and common_folder(around) == _common_folder(top):
        return "."  # this work tree is inside another one
    return os.path.relpath(project, top)


def find_hooks_folder(top: str) -> HooksFolder:
    """The folder with the hooks of the work tree at `top`, whether it exists or not.

    Raises `UsageError` if hooks are switched off, and `GitError`.
    """
    common = os.fsdecode(_common_folder(top))
    origin, named = _hooks_path(top)
    if not named:
        return HooksFolder(os.path.join(common, "hooks"))
    path = os.path.realpath(os.path.join(top, named))
    if os.path.exists(path) and not os.path.isdir(path):
        raise UsageError(
            f"git hooks are switched off: core.hooksPath is {named} ({origin})"
        )
    about = f"{path} ({origin}: core.hooksPath)"
    if _is_in(path, common):
        return HooksFolder(path)
    if _is_in(path, top):
        return HooksFolder(path, f"{about} is in the work tree and may be committed")
    return HooksFolder(
        path, f"{about} is outside of the repository, and others may use it too"
    )


def _common_folder(top: str) -> bytes:
    common = common_folder(os.fsencode(top))
    if common is None:
        raise UsageError(f"{top} is not a git work tree")
    return common


def _hooks_path(top: str) -> tuple[str, str]:
    """Where core.hooksPath is set, and to what; "" if it is not.

    Our own calls of git set it as well, so that no hook runs in them.
    """
    asked = ("config", "-z", "--show-origin", "--path", "--get-all", "core.hooksPath")
    done = run_git(top, *asked, accepted=(0, 1))
    fields = done.stdout.split(b"\0")[:-1]
    found = [
        (os.fsdecode(origin.removeprefix(b"file:")), os.fsdecode(value))
        for origin, value in zip(fields[::2], fields[1::2])
        if origin != _COMMAND_LINE
    ]
    return found[-1] if found else ("", "")


def _is_in(path: str, folder: str) -> bool:
    return path.startswith(os.path.join(os.path.realpath(folder), ""))
