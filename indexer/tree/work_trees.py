"""The other work trees of a repository, as `git worktree list` has them."""

from __future__ import annotations

import os

from indexer.tree.git_process import run_git
from indexer.tree.repository import own_checkout, repository_around

_LIST = ("worktree", "list", "--porcelain")
_UNKNOWN_OPTION = 129


def has_linked(folder: str) -> bool:
    """Whether the repository around `folder` has more than one work tree. git is not asked."""
    common = own_checkout(folder)
    if common is None:
        return False
    try:
        return bool(os.listdir(os.path.join(common, b"worktrees")))
    except OSError:
        return False


def other_folders(folder: str) -> list[str]:
    """The folders that are in other work trees what `folder` is in its own, as far as they exist.

    A folder behind a symlink in such a tree is none of these: a commit can bring the link. Raises
    GitError where git refuses.
    """
    around = repository_around(os.fsencode(folder))
    if around is None:
        return []
    inner = os.path.relpath(os.path.realpath(os.fsencode(folder)), around)
    found = []
    for top in map(os.path.realpath, _tops(folder)):
        place = os.path.normpath(os.path.join(top, inner))
        is_real = os.path.isdir(place) and os.path.realpath(place) == place
        if top != around and is_real:
            found.append(os.fsdecode(place))
    return found


def _tops(folder: str) -> list[bytes]:
    # Before 2.36, git has no -z there.
    done = run_git(folder, *_LIST, "-z", accepted=(0, _UNKNOWN_OPTION))
    end = b"\0"
    if done.returncode:
        done, end = run_git(folder, *_LIST), b"\n"
    fields = done.stdout.split(end)
    name = b"worktree "
    return [one.removeprefix(name) for one in fields if one.startswith(name)]
