"""What git says of a tree: its work tree, the files it lists, and the ids of blobs."""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator

from msgspec import Struct

from indexer.errors import GitError
from indexer.tree.git_process import INSTEAD, nonsense, run_git
from indexer.tree.repository import (
    DOT_GIT,
    common_folder,
    is_git_folder,
    is_linked,
    is_repository,
    is_work_tree_of,
    repository_around,
)

_OBJECT_FORMATS = ("sha1", "sha256")


class WorkTree(Struct, frozen=True):
    """A work tree that git accepts.

    `toplevel` is absolute and has no symlinks in it. `object_format` is `sha1` or `sha256`.
    """

    toplevel: str
    object_format: str


class Listing(Struct, frozen=True):
    """What git lists below a folder. Paths are bytes, relative to that folder.

    `files` are tracked, or untracked and not ignored; they are sorted, each once. `untracked`
    are those that are not tracked. `repositories` are the folders of the repositories that
    were listed: `b""` first, the others ending in `/`. `vacant` are the folders of
    repositories that were not listed: submodules that are not checked out, or that nobody
    asked for. `left_out` are those that do not belong to the tree: untracked ones in folders
    that are left out, and other work trees of the repositories.
    """

    files: list[bytes]
    repositories: list[bytes]
    vacant: list[bytes]
    untracked: frozenset[bytes] = frozenset()
    left_out: tuple[bytes, ...] = ()


def work_tree(root: str) -> WorkTree | None:
    """The work tree that holds `root`, or None without a repository.

    Raises GitError where there is a repository, but no git that can be asked about it, or
    one that does not accept it, such as one of another user: its ignore rules are then
    unknown, so nothing may be listed.
    """
    # git's message does not tell whether there is a repository: it can be translated, and
    # it says "not a git repository" of a damaged one as well.
    around = repository_around(os.fsencode(root))
    if around is None:
        return None
    # Before 2.31, git repeats the first of these options in place of an answer.
    asked = ("--path-format=absolute", "--show-object-format", "--show-toplevel")
    try:
        done = run_git(root, "rev-parse", *asked)
    except GitError:
        _explain_why_not(root, around)
        raise
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
            f"{dot_git} belongs to another folder, as in a copy of a submodule; remove it"
            if os.path.isfile(dot_git)
            else "core.worktree names another folder; unset it"
        )
        raise GitError(
            f"{root} is not in the work tree of its repository, {tree.toplevel}: {remedy}"
        )
    return tree


def _explain_why_not(root: str, around: bytes) -> None:
    """Raise GitError with more than git says where a repository has no work tree here."""
    top = os.fsdecode(around)
    shared = around if is_git_folder(around) else common_folder(around)
    if is_linked(around) and shared and not is_repository(around):
        raise GitError(
            f"{top} is a work tree of a repository that was removed or moved: it was "
            f"{os.fsdecode(shared)}; git worktree repair, run in the repository, fixes it "
            f"({INSTEAD})"
        )
    if shared is None or is_linked(around) or not is_git_folder(shared):
        return
    if run_git(around, "rev-parse", "--is-bare-repository").stdout == b"true\n":
        trees = _linked_work_trees(shared)
        remedy = (
            f"index a work tree of it, such as {trees[0]}"
            if trees
            else "make a work tree of it with git worktree add, and index that"
        )
        raise GitError(
            f"{top} has a bare repository and no work tree of its own: {remedy} ({INSTEAD})"
        )
    if os.path.basename(around) == DOT_GIT:
        top = os.path.dirname(top)
        raise GitError(
            f"{root} is where git keeps the repository of {top}: index {top} ({INSTEAD})"
        )


def _linked_work_trees(shared: bytes) -> list[str]:
    """The work trees of a bare repository that are there, the first by name first."""
    found = []
    entries = os.path.join(shared, b"worktrees")
    for name in sorted(os.listdir(entries)) if os.path.isdir(entries) else ():
        place = os.path.join(entries, name, b"gitdir")
        if os.path.isfile(place):
            with open(place, "rb") as file:
                dot_git = os.path.join(entries, name, file.read().rstrip(b"\r\n"))
            if os.path.lexists(dot_git):
                found.append(os.fsdecode(os.path.dirname(dot_git)))
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
    leaves_out: Callable[[bytes], bool] = lambda folder: False,
    starts: Iterable[bytes] = (b"",),
    checkouts: dict[bytes, bytes] | None = None,
) -> Listing:
    """The files below `root`, a folder in a work tree, that are tracked or not ignored.

    Nested repositories are listed by their own rules, and so are the submodules that are
    checked out, with `recurse_submodules`. Of several work trees of one repository, only the
    outermost is listed, and of those that lie side by side the main one, or else the first by
    its path. An untracked repository is not listed where `leaves_out` says so of its folder,
    which ends in `/`. Tracked files that are not on the disk
    (deleted, sparse checkout) are listed too: only a stat call tells. `on_warning` gets
    what git could not read, one line each. `starts` are the repositories that are listed, where
    `root` is in none. The folder of each repository of the tree is added to `checkouts`, by
    what its work trees share, before `leaves_out` is asked about the folders in it. Raises
    GitError where git refuses, here or in a nested repository.
    """
    known: dict[bytes, bytes] = {} if checkouts is None else checkouts
    return _Lister(root, on_warning, recurse_submodules, leaves_out, known).run(starts)


class _Lister:
    """A listing in progress. Paths are as in `Listing`.

    Of the repositories that are met, those that are linked work trees, or lie in one, wait until
    all others are known: only then it is known whether they belong to the tree.
    """

    def __init__(
        self,
        root: str,
        on_warning: Callable[[str], None] | None,
        recurse_submodules: bool,
        leaves_out: Callable[[bytes], bool],
        checkouts: dict[bytes, bytes],
    ) -> None:
        self._top = os.path.join(os.fsencode(root), b"")
        self._on_warning = on_warning
        self._recurse_submodules = recurse_submodules
        self._leaves_out = leaves_out
        self._files: set[bytes] = set()
        self._untracked: set[bytes] = set()
        self._repositories: list[bytes] = []
        self._vacant: list[bytes] = []
        self._left_out: list[bytes] = []
        self._checkouts = checkouts
        self._submodules: set[bytes] = set()
        self._met: deque[bytes] = deque()
        self._met_linked: deque[bytes] = deque()

    def run(self, starts: Iterable[bytes]) -> Listing:
        """List the repositories that it starts with, and those below them."""
        for path in sorted(starts):
            if path:
                self._meet(path)
            elif around := repository_around(self._top):
                self._list_one(b"", common_folder(around))
        while paths := self._met or self._met_linked:
            self._decide(paths.popleft())
        return Listing(
            sorted(self._files),
            self._repositories,
            self._vacant,
            frozenset(self._untracked),
            tuple(self._left_out),
        )

    def _meet(self, path: bytes) -> None:
        """Put a repository where its turn comes."""
        folders = [path]
        while parent := os.path.dirname(folders[-1]):
            folders.append(parent)
        if any(is_linked(self._top + folder) for folder in folders):
            self._met_linked.append(path)
        else:
            self._met.append(path)

    def _decide(self, path: bytes) -> None:
        """List a repository, or note why not."""
        folder = self._top + path
        # Neither is git asked about a work tree that is left out in any case.
        if is_work_tree_of(folder, self._checkouts):
            self._left_out.append(path)
        elif path not in self._submodules and self._leaves_out(path + b"/"):
            self._left_out.append(path)
        elif not is_checked_out(folder):
            self._vacant.append(path)
        elif (common := common_folder(folder)) in self._checkouts:
            self._left_out.append(path)
        else:
            self._list_one(path + b"/", common)

    def _list_one(self, prefix: bytes, common: bytes | None) -> None:
        """List one repository, known by what its work trees share, and meet those below it."""
        self._repositories.append(prefix)
        if common is not None:
            self._checkouts[common] = prefix
        submodules: set[bytes] = set()  # sets, because a conflict has several entries
        nested: set[bytes] = set()
        for path, mode in _entries(self._top + prefix, self._on_warning):
            if mode == b"160000":
                submodules.add(prefix + path)
            elif path.endswith(b"/"):
                nested.add(prefix + path[:-1])
            else:
                self._files.add(prefix + path)
                if not mode:
                    self._untracked.add(prefix + path)
        if self._recurse_submodules:
            self._submodules |= submodules
        else:
            self._vacant += sorted(submodules - nested)
            submodules = set()
        for path in sorted(submodules | nested):
            self._meet(path)


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
