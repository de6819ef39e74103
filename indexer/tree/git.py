"""git as a source of facts, never as a runner of the repository's code.

Every call is hardened: no shell, a scrubbed environment, no fsmonitor, no hooks, no lazy
fetch from a remote. Only plumbing that reads the index and the folders is used, since
`git status` and `git diff` would run the repository's filters. Needs git 2.31 or later
(tried with 2.39).

The module also knows git's definition of a blob's id, for use without git.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING

from indexer.errors import GitError

if TYPE_CHECKING:
    from typing import Self

# More paths than this are not named on a command line: all are listed then.
MAX_ARGUMENTS = 200
# Attributes of a file whose bytes git converts, perhaps without changing their number.
# What the others do (text, eol, ident) changes the size as well.
CONVERTING = ("filter", "working-tree-encoding")


@dataclass(frozen=True, slots=True)
class WorkTree:
    """A work tree that git accepts. `toplevel` is absolute, without symlinks;
    `object_format` is `sha1` or `sha256`."""

    toplevel: str
    object_format: str


@dataclass(frozen=True, slots=True)
class Listing:
    """What git lists below a folder. Paths are bytes, relative to that folder.

    `files` are tracked, or untracked but not ignored; sorted, each once. `repositories`
    are the folders of the repositories listed, `b""` first, the others ending in `/`;
    `vacant` are those that were not: submodules that are not checked out, or not asked for.
    """

    files: list[bytes]
    repositories: list[bytes]
    vacant: list[bytes]


def work_tree(root: str) -> WorkTree | None:
    """The work tree that holds `root`, or None without a repository or without git.

    Raises GitError where there is a repository and git does not accept it, such as one
    owned by another user: its ignore rules are then unknown, so nothing may be listed.
    """
    # Whether there is a repository is not read from git's message: it can be
    # translated, and says "not a git repository" of a damaged one as well.
    if _git() is None or not _has_repository(root):
        return None
    output = _run(root, "rev-parse", "--show-object-format", "--show-toplevel").stdout
    # A folder's name may hold line breaks; the format, printed first, does not.
    object_format, _, toplevel = output.removesuffix(b"\n").partition(b"\n")
    tree = WorkTree(os.fsdecode(toplevel), object_format.decode("ascii"))
    real = os.path.realpath(root)
    if os.path.commonpath([tree.toplevel, real]) != tree.toplevel:
        raise GitError(
            f"{root} is not in the work tree of its repository, {tree.toplevel}: "
            "core.worktree names another folder; unset it"
        )
    return tree


def list_files(
    root: str,
    on_warning: Callable[[str], None] | None = None,
    *,
    recurse_submodules: bool = True,
) -> Listing:
    """Tracked and untracked-but-not-ignored files below `root`, a folder in a work tree.

    Nested repositories are listed as well, by their own rules, and so are checked-out
    submodules with `recurse_submodules`.
    Tracked files that are absent from the disk (deleted, sparse checkout) are listed too:
    only a stat tells. `on_warning` gets what git could not read, one line each.
    Raises GitError where git refuses, here or in a nested repository.
    """
    top = os.fsencode(root)
    files: set[bytes] = set()
    repositories, vacant = [], []
    pending = [b""]
    while pending:
        prefix = pending.pop()
        repositories.append(prefix)
        submodules: set[bytes] = set()  # a conflict has several entries
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
    """Each entry of one repository below `folder`, and the mode of what is tracked. An
    untracked repository ends in `/`."""
    # `--recurse-submodules` excludes `--others`, hence `--stage`, which tells submodules
    # by their mode. `-t` tells its lines from the names of untracked files, which may look
    # like anything. One call, so that a file being added is in one half or the other.
    listing = ("ls-files", "-z", "-t", "--stage")
    done = _run(folder, *listing, "--cached", "--others", "--exclude-standard")
    if on_warning:
        for line in done.stderr.decode("utf-8", "replace").splitlines():
            on_warning(line.removeprefix("warning: "))
    for entry in done.stdout.split(b"\0")[:-1]:
        if entry.startswith(b"? "):
            yield entry[2:], b""
        else:
            about, _, path = entry.partition(b"\t")
            yield path, about[2:8]


DEBUG_ENTRY = re.compile(
    rb"(\d{6}) ([0-9a-f]+) (\d)\t([^\0]+)\0"
    rb"  ctime: (\d+):(\d+)\n  mtime: (\d+):(\d+)\n  dev: \d+\tino: (\d+)\n"
    rb"  uid: \d+\tgid: \d+\n  size: (\d+)\tflags: ([0-9a-f]+)\n"
)
SECOND = 1_000_000_000
GITLINK = 0o160000
CE_VALID, CE_SKIP_WORKTREE = 0x8000, 0x40000000  # cache.h


class Calls:
    """Calls of git in one folder, side by side, from the first moment on."""

    def __init__(self, folder: str | bytes, *calls: tuple[str, ...]) -> None:
        self._folder = os.fsdecode(folder)
        self._started = [start(folder, *call) for call in calls]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for process in self._started:
            if process.returncode is None:
                process.kill()  # nobody wants the answer any more
                process.communicate()

    def outputs(self, accepted: tuple[int, ...] = (0,)) -> list[bytes]:
        """Wait for all. Raises GitError where git refuses, or says anything on stderr."""
        done = [
            finish(self._folder, process, accepted=accepted)
            for process in self._started
        ]
        for one in done:
            if one.stderr:
                raise _refusal(self._folder, one)
        return [one.stdout for one in done]


def is_checked_out(folder: bytes) -> bool:
    """Whether `folder` is the top of a repository of its own.

    A submodule that is not checked out is an empty folder, where git would find the
    repository around it.
    """
    if os.path.islink(folder) or not os.path.lexists(os.path.join(folder, b".git")):
        return False
    tree = work_tree(os.fsdecode(folder))
    return tree is not None and os.path.samefile(tree.toplevel, folder)


def _has_repository(root: str) -> bool:
    folder = os.path.realpath(root)
    while not os.path.lexists(os.path.join(folder, ".git")):
        folder, previous = os.path.dirname(folder), folder
        if folder == previous:
            return False
    return True


def _search_path() -> str:
    """PATH without relative entries: git is started in the repository, and `.` or an
    empty entry would run a file of it."""
    return os.pathsep.join(filter(os.path.isabs, os.get_exec_path()))


def _git() -> str | None:
    return shutil.which("git", path=_search_path())


_HARDENING = (
    # An empty core.fsmonitor means "none" to every git; `false` is a command's name to
    # those before 2.36.
    *("-c", "core.fsmonitor="),
    *("-c", f"core.hooksPath={os.devnull}"),
    # All stat fields count, whatever the repository says.
    *("-c", "core.trustctime=true"),
    *("-c", "core.checkStat=default"),
)


def _environment() -> dict[str, str]:
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith("GIT_")
    }
    return kept | {
        "PATH": _search_path(),
        "LC_ALL": "C",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_TERMINAL_PROMPT": "0",
        # A partial clone fetches what it misses, through whatever command its
        # configuration names. The first is known to git 2.45 and later only.
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_ALLOW_PROTOCOL": "none",
        # `_has_repository` does not stop at mount points either.
        "GIT_DISCOVERY_ACROSS_FILESYSTEM": "1",
    }


def _run(
    folder: str | bytes, *arguments: str, standard_input: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    """Run git in `folder`. Raises GitError unless it succeeds."""
    process = start(folder, *arguments, has_input=bool(standard_input))
    return finish(os.fsdecode(folder), process, standard_input)


def start(
    folder: str | bytes,
    *arguments: str,
    has_input: bool = False,
) -> subprocess.Popen[bytes]:
    """Start git in a folder, with settings of the project that could run programs switched off."""
    name = os.fsdecode(folder)
    git = _git()
    if git is None:
        raise GitError(f"{name} is a git work tree, but there is no git on PATH")
    try:
        return subprocess.Popen(
            [git, *_HARDENING, *arguments],
            cwd=folder,
            env=_environment(),
            stdin=subprocess.PIPE if has_input else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
    except OSError as error:
        raise GitError(f"git cannot be started in {name}: {error.strerror}") from error


def finish(
    name: str,
    process: subprocess.Popen[bytes],
    standard_input: bytes = b"",
    accepted: tuple[int, ...] = (0,),
) -> subprocess.CompletedProcess[bytes]:
    """Wait for a git process. Raises `GitError` for an exit code that is not among `accepted`."""
    with process:
        output, errors = process.communicate(standard_input or None)
    done = subprocess.CompletedProcess(process.args, process.returncode, output, errors)
    if done.returncode not in accepted:
        raise _refusal(name, done)
    return done


def _refusal(folder: str, done: subprocess.CompletedProcess[bytes]) -> GitError:
    lines = [
        line.strip() for line in done.stderr.decode("utf-8", "replace").splitlines()
    ]
    advice = [line for line in lines if line.startswith("git config ")]
    if advice:  # Only a repository of another user comes with one.
        return GitError(
            f"git refuses {folder}: the repository belongs to another user (dubious "
            f"ownership). If you trust it, run: {advice[0]}"
        )
    reason = lines[0] if lines else f"exit status {done.returncode}"
    return GitError(f"git cannot list {folder}: {reason.removeprefix('fatal: ')}")


def blob_id(data: bytes, object_format: str = "sha1") -> str:
    """git's object id of a file with these bytes, in hex: 40 digits, or 64 for `sha256`."""
    # Not `git hash-object <path>`: that one would apply the repository's filters.
    digest = hashlib.new(object_format, b"blob %d\0" % len(data), usedforsecurity=False)
    digest.update(data)
    return digest.hexdigest()
