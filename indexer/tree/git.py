"""What git says of a tree: its work tree, the files it lists, and the ids of blobs."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from indexer.errors import GitError
from indexer.tree.git_process import nonsense, run_git

_OBJECT_FORMATS = ("sha1", "sha256")


@dataclass(frozen=True, slots=True)
class WorkTree:
    """A work tree that git accepts.

    `toplevel` is absolute and has no symlinks in it. `object_format` is `sha1` or `sha256`.
    """

    toplevel: str
    object_format: str


@dataclass(frozen=True, slots=True)
class Listing:
    """What git lists below a folder. Paths are bytes, relative to that folder.

    `files` are tracked, or untracked and not ignored; they are sorted, each once.
    `repositories` are the folders of the repositories that were listed: `b""` first, the
    others ending in `/`. `vacant` are the folders of repositories that were not listed:
    submodules that are not checked out, or that nobody asked for.
    """

    files: list[bytes]
    repositories: list[bytes]
    vacant: list[bytes]


def work_tree(root: str) -> WorkTree | None:
    """The work tree that holds `root`, or None without a repository.

    Raises GitError where there is a repository, but no git that can be asked about it, or
    one that does not accept it, such as one of another user: its ignore rules are then
    unknown, so nothing may be listed.
    """
    # git's message does not tell whether there is a repository: it can be translated, and
    # it says "not a git repository" of a damaged one as well.
    if not _has_repository(root):
        return None
    # Before 2.31, git repeats the first of these options in place of an answer.
    asked = ("--path-format=absolute", "--show-object-format", "--show-toplevel")
    done = run_git(root, "rev-parse", *asked)
    # The folder's name may hold line breaks. The format, which comes first, does not.
    first, _, toplevel = done.stdout.removesuffix(b"\n").partition(b"\n")
    object_format = first.decode("ascii", "replace")
    if object_format not in _OBJECT_FORMATS or not toplevel:
        raise nonsense(root)
    tree = WorkTree(os.fsdecode(toplevel), object_format)
    real = os.path.realpath(root)
    if os.path.commonpath([tree.toplevel, real]) != tree.toplevel:
        dot_git = os.path.join(root, ".git")
        # The repository of a submodule lies elsewhere, and says where the submodule is.
        remedy = (
            f"{dot_git} is that of another folder, as in a copy of a submodule; remove it"
            if os.path.isfile(dot_git)
            else "core.worktree names another folder; unset it"
        )
        raise GitError(
            f"{root} is not in the work tree of its repository, {tree.toplevel}: {remedy}"
        )
    return tree


def _has_repository(root: str) -> bool:
    folder = os.path.realpath(root)
    ceilings = _ceilings()
    while not os.path.lexists(os.path.join(folder, ".git")):
        folder, previous = os.path.dirname(folder), folder
        if folder == previous or folder in ceilings:
            return False
    return True


def _ceilings() -> set[str]:
    """The folders, above the one that it starts in, where the user has git stop its search.

    As in git: what follows an empty entry is taken as it is, without following symlinks.
    """
    found = set()
    follows_links = True
    entries = os.environ.get("GIT_CEILING_DIRECTORIES", "").split(os.pathsep)
    for entry in entries:
        if not entry:
            follows_links = False
        elif os.path.isabs(entry):
            resolve = os.path.realpath if follows_links else os.path.normpath
            found.add(resolve(entry))
    return found


def is_checked_out(folder: bytes) -> bool:
    """Whether `folder` is the top of a repository of its own.

    A submodule that is not checked out is an empty folder, in which git would find the
    repository around it.
    """
    if os.path.islink(folder) or not os.path.lexists(os.path.join(folder, b".git")):
        return False
    tree = work_tree(os.fsdecode(folder))
    return tree is not None and os.path.samefile(tree.toplevel, folder)


def list_files(
    root: str,
    on_warning: Callable[[str], None] | None = None,
    *,
    recurse_submodules: bool = True,
) -> Listing:
    """The files below `root`, a folder in a work tree, that are tracked or not ignored.

    Nested repositories are listed by their own rules, and so are the submodules that are
    checked out, with `recurse_submodules`. Tracked files that are not on the disk
    (deleted, sparse checkout) are listed too: only a stat call tells. `on_warning` gets
    what git could not read, one line each. Raises GitError where git refuses, here or in a
    nested repository.
    """
    top = os.fsencode(root)
    files: set[bytes] = set()
    repositories, vacant = [], []
    pending = [b""]
    while pending:
        prefix = pending.pop()
        repositories.append(prefix)
        submodules: set[bytes] = set()  # sets, because a conflict has several entries
        nested: set[bytes] = set()
        for path, mode in _entries(os.path.join(top, prefix), on_warning):
            if mode == b"160000":
                submodules.add(prefix + path)
            elif path.endswith(b"/"):
                nested.add(prefix + path[:-1])
            else:
                files.add(prefix + path)
        for path in sorted(submodules | nested):
            is_wanted = recurse_submodules or path in nested
            if is_wanted and is_checked_out(os.path.join(top, path)):
                pending.append(path + b"/")
            else:
                vacant.append(path)
    return Listing(sorted(files), repositories, vacant)


def _entries(
    folder: bytes, on_warning: Callable[[str], None] | None
) -> Iterator[tuple[bytes, bytes]]:
    """Each entry of one repository below `folder`, with the mode of a tracked one.

    The path of an untracked repository ends in `/`.
    """
    # `--recurse-submodules` excludes `--others`. So this asks for `--stage`, whose modes
    # tell submodules from files, and for `-t`, which tells these lines from the names of
    # untracked files, which may look like anything. It is one call, so that a file that is
    # just being added is in one half or the other.
    listing = ("ls-files", "-z", "-t", "--stage")
    done = run_git(folder, *listing, "--cached", "--others", "--exclude-standard")
    if on_warning:
        for line in done.stderr.decode("utf-8", "replace").splitlines():
            on_warning(line.removeprefix("warning: "))
    for entry in done.stdout.split(b"\0")[:-1]:
        if entry.startswith(b"? "):
            yield entry[2:], b""
        else:
            about, _, path = entry.partition(b"\t")
            yield path, about[2:8]


def blob_id(data: bytes, object_format: str = "sha1") -> str:
    """git's object id of a file with these bytes, in hex: 40 digits, or 64 for `sha256`."""
    # `git hash-object <path>` would apply the repository's filters.
    digest = hashlib.new(object_format, b"blob %d\0" % len(data), usedforsecurity=False)
    digest.update(data)
    return digest.hexdigest()
