"""What a commit has: the one that a person names, and the blob ids of its files."""

from __future__ import annotations

import os
import re

from indexer.errors import UsageError
from indexer.tree.git_process import run_git

HEAD = "HEAD"
_OBJECT_ID = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")


def find_commit(folder: str | bytes, name: str) -> str:
    """The id of the commit that git calls `name` in the repository around `folder`.

    Raises UsageError if there is none, and GitError where git refuses.
    """
    if name and not name.startswith("-") and "\0" not in name:
        asked = ("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
        done = run_git(folder, *asked, accepted=(0, 1, 128))
        found = done.stdout.decode("ascii", "replace").strip()
        if _OBJECT_ID.fullmatch(found):
            return found
    where = os.fsdecode(folder)
    if name == HEAD:
        raise UsageError(f"the repository of {where} has no commits yet")
    raise UsageError(f"git knows no commit {name!r} in {where}")


def find_base(folder: str | bytes, name: str) -> str:
    """The id of the newest commit that HEAD and the one called `name` have in common.

    What changed since is what was done here: what others did on a branch meanwhile is not among
    it. Raises UsageError if there is none, and GitError where git refuses.
    """
    head = find_commit(folder, HEAD)
    if name == HEAD:
        return head
    other = find_commit(folder, name)
    done = run_git(folder, "merge-base", head, other, accepted=(0, 1))
    found = done.stdout.decode("ascii", "replace").strip()
    if not found:
        raise UsageError(
            f"HEAD and {name} have no commit in common in {os.fsdecode(folder)}: in a shallow "
            "clone, git fetch --unshallow fetches one"
        )
    return found


def ids_of(folder: str | bytes, commit: str) -> dict[bytes, str]:
    """The object ids that a commit has below `folder`, by path relative to that.

    That of a submodule is its commit. Raises GitError where git does not have the commit.
    """
    listing = run_git(folder, "ls-tree", "-r", "-z", commit).stdout
    found = {}
    for entry in listing.split(b"\0")[:-1]:
        about, _, path = entry.partition(b"\t")
        found[path] = about.rpartition(b" ")[2].decode("ascii")
    return found


def list_others(folder: str | bytes) -> list[bytes]:
    """What is neither tracked nor ignored below `folder`; a repository ends in `/`.

    Raises GitError where git refuses.
    """
    listing = ("ls-files", "-z", "--others", "--exclude-standard")
    return run_git(folder, *listing).stdout.split(b"\0")[:-1]
