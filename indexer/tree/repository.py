"""What the folders of git look like on the disk, told without asking git.

git is not asked about every folder of a walk, and cannot be asked about a work tree whose
repository is gone. The rules here are those of its `setup.c`.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Collection
from contextlib import suppress

from indexer.environment import git_ceilings
from indexer.tree.files import OPEN_FILE

DOT_GIT = b".git"
_MAX_BYTES = 4096 + len(b"gitdir: ")  # the longest path, in a file that holds one
_OBJECT_ID = re.compile(rb"[0-9a-f]{40}(?:[0-9a-f]{24})?\s*")


def repository_around(folder: bytes) -> bytes | None:
    """The nearest folder at or above `folder` that has a `.git`, or is bare; None if none is.

    Whether git accepts it is not said.
    """
    folder = os.path.realpath(folder)
    ceilings = git_ceilings()
    while not (os.path.lexists(os.path.join(folder, DOT_GIT)) or is_git_folder(folder)):
        folder, previous = os.path.dirname(folder), folder
        if folder == previous or os.fsdecode(folder) in ceilings:
            return None
    return folder


def is_repository(folder: bytes) -> bool:
    """Whether git takes `folder` for the top of a work tree, because of the `.git` in it."""
    leads_to = git_folder(folder)
    return leads_to is not None and is_git_folder(leads_to)


def is_git_folder(folder: bytes) -> bool:
    """Whether `folder` holds what git keeps of a repository: it is a `.git`, or bare."""
    if not os.path.lexists(os.path.join(folder, b"HEAD")):
        return False
    shared = _shared_folder(folder)
    has_all = all(
        os.path.isdir(os.path.join(shared, name)) for name in (b"objects", b"refs")
    )
    return has_all and _is_head(os.path.join(folder, b"HEAD"))


def git_folder(folder: bytes) -> bytes | None:
    """Where the `.git` in `folder` leads, whether there is anything or not; None without one."""
    dot_git = os.path.join(folder, DOT_GIT)
    if os.path.isdir(dot_git):
        return dot_git
    text = _short_text(dot_git)
    if not text.startswith(b"gitdir: "):
        return None
    return os.path.join(folder, text.removeprefix(b"gitdir: "))


def is_work_tree_of(folder: bytes, commons: Collection[bytes]) -> bool:
    """Whether `folder` is, or was, a linked work tree of one of these repositories.

    They are named by what their work trees share.
    """
    if not is_linked(folder):
        return False
    return common_folder(folder) in commons or any(
        entry_of_moved(folder, one) for one in commons
    )


def is_linked(folder: bytes) -> bool:
    """Whether `folder` is, or was, a linked work tree: git keeps some of it in `worktrees/`."""
    leads_to = git_folder(folder)
    return leads_to is not None and _is_entry(leads_to)


def common_folder(folder: bytes) -> bytes | None:
    """What all work trees of a repository share, for the one in `folder`; None without one.

    A linked work tree names it even when the repository has forgotten it, or is gone.
    """
    leads_to = git_folder(folder)
    if leads_to is None:
        return None
    if _is_entry(leads_to) and not os.path.isdir(leads_to):
        return os.path.realpath(os.path.dirname(os.path.dirname(leads_to)))
    return os.path.realpath(_shared_folder(leads_to))


def own_checkout(folder: str | bytes) -> bytes | None:
    """What the work trees of the repository share that has one around `folder`."""
    around = repository_around(os.fsencode(folder))
    common = common_folder(around) if around else None
    if around is None or common is None:
        return None
    has_tree = is_linked(around) or os.path.lexists(os.path.join(common, b"index"))
    return common if has_tree else None


def has_main_work_tree(common: bytes) -> bool:
    """Whether a repository, by what its work trees share, has a work tree around it."""
    # A bare one has no index.
    return os.path.basename(common) == DOT_GIT and os.path.lexists(
        os.path.join(common, b"index")
    )


def entry_of_moved(folder: bytes, common: bytes) -> bytes | None:
    """The file with which a repository remembers a linked work tree that was moved with it.

    Each then names the other's old place, which is gone; `git worktree repair` mends that.
    None where `folder` is no such work tree of this repository.
    """
    leads_to = git_folder(folder)
    if leads_to is None or not _is_entry(leads_to) or os.path.isdir(leads_to):
        return None
    entry = os.path.join(common, b"worktrees", os.path.basename(leads_to))
    place = _short_text(os.path.join(entry, b"gitdir"))
    is_lost = bool(place) and not os.path.lexists(os.path.join(entry, place))
    return os.path.join(entry, b"gitdir") if is_lost else None


def _is_entry(path: bytes) -> bool:
    return os.path.basename(os.path.dirname(path)) == b"worktrees"


def _shared_folder(folder: bytes) -> bytes:
    name = _short_text(os.path.join(folder, b"commondir"))
    return os.path.join(folder, name) if name else folder


def _is_head(path: bytes) -> bool:
    with suppress(OSError):
        return os.readlink(path).startswith(b"refs/")
    text = _short_text(path)
    if text.startswith(b"ref:"):
        return text.removeprefix(b"ref:").lstrip().startswith(b"refs/")
    return bool(_OBJECT_ID.fullmatch(text))


def _short_text(path: bytes) -> bytes:
    """The text of a regular file without the line breaks at its end, b"" if there is none."""
    try:
        fd = os.open(path, OPEN_FILE & ~os.O_NOFOLLOW)
    except OSError:
        return b""
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return b""
        return os.read(fd, _MAX_BYTES).rstrip(b"\r\n")
    except OSError:
        return b""
    finally:
        os.close(fd)
