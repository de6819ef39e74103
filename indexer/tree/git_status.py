"""What `git status` would say, asked so that nothing of the repository runs.

Each question is a context manager. git is at work from its start, and the function that it
yields waits for the answer.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from msgspec import Struct

from indexer.tree.git_process import run_git, running_git

# Sections of git's configuration that change often and have nothing to do with a listing.
# All others count, also those that a later git may bring.
_IRRELEVANT = (b"branch.", b"remote.", b"user.")


class Answer(Struct, frozen=True):
    """What git says of a repository without opening a file, as it printed it.

    It is there to be compared with an answer of another time. `places` says where the
    index, the repository's own ignore file and its top lie. `excludes_file` is the ignore
    file that the user has set, None for git's default. `configuration` is a hash of all that
    git's configuration says, because it may hold passwords. `changed` has the tracked files
    that do not look as the index has them.
    """

    places: str
    excludes_file: str | None
    configuration: str
    changed: str

    @property
    def ignore_files(self) -> list[str]:
        """The absolute paths of the ignore files outside the tree; [] if they are not clear."""
        lines = self.places.removesuffix("\n").split("\n")
        if len(lines) != 3:
            return []  # a folder has a line break in its name
        home = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
        default = os.path.join(home, "git", "ignore")
        chosen = default if self.excludes_file is None else self.excludes_file
        chosen = os.path.expanduser(chosen)
        return [lines[1], chosen] if os.path.isabs(chosen) else []

    def ignore_files_above(self, project: str) -> list[str]:
        """Where a `.gitignore` would count that lies between the top and `project`."""
        top = self.places.removesuffix("\n").split("\n")[-1]
        found = []
        while os.path.commonpath([top, project]) == top != project:
            project = os.path.dirname(project)
            found.append(os.path.join(project, ".gitignore"))
        return found

    @property
    def changed_files(self) -> dict[bytes, bytes]:
        """The letter of each file that looks changed: M, D, T, U, …"""
        fields = os.fsencode(self.changed).split(b"\0")[:-1]
        return {
            path: about[-1:]
            for about, path in zip(fields[::2], fields[1::2], strict=True)
        }


@contextmanager
def check(folder: str | bytes, *, stat_tracked: bool) -> Iterator[Callable[[], Answer]]:
    """Ask git what it knows of the repository around `folder` without opening a file.

    Only with `stat_tracked` does it look at the tracked files. It compares whole seconds
    then, and opens a file whose entry is as new as the index (`GitIndex.has_racy`).
    Raises GitError where git refuses.
    """
    places = ("--git-path", "index", "--git-path", "info/exclude", "--show-toplevel")
    calls: list[tuple[str, ...]] = [
        ("rev-parse", "--path-format=absolute", *places),
        ("config", "-z", "--list"),
    ]
    if stat_tracked:
        how = ("-z", "--raw", "--relative", "--ignore-submodules=all")
        calls.append(("diff-files", *how, "--no-renames", "--", "."))
    with running_git(folder, *calls) as outputs:

        def answer() -> Answer:
            places, configuration, *changed = outputs()
            settings = configuration.split(b"\0")
            relevant = (one for one in settings if not one.startswith(_IRRELEVANT))
            return Answer(
                os.fsdecode(places),
                _excludes_file(settings),
                hashlib.sha256(b"\0".join(relevant)).hexdigest(),
                os.fsdecode(b"".join(changed)),
            )

        yield answer


def _excludes_file(settings: list[bytes]) -> str | None:
    """The last value of `core.excludesFile` in git's configuration."""
    pairs = (one.partition(b"\n") for one in settings)
    values = [value for name, _, value in pairs if name == b"core.excludesfile"]
    return os.fsdecode(values[-1]) if values else None


class Untracked(Struct, frozen=True):
    """What git does not track. Paths are bytes, relative to the folder that was listed.

    `files` are untracked and not ignored, nested repositories among them. `folders` hold no
    tracked file, in git's shortest form. `excluded` are folders below those that a rule
    names, so that nothing in them counts. A folder ends in `/`.
    """

    files: list[bytes]
    folders: list[bytes]
    excluded: set[bytes]


@contextmanager
def list_untracked(folder: str | bytes) -> Iterator[Callable[[], Untracked]]:
    """List what is not tracked in one repository below `folder`.

    Raises GitError where git refuses, or could not read a folder.
    """
    listing = ("ls-files", "-z", "--others", "--exclude-standard")
    shortest = (*listing, "--directory")

    with running_git(folder, listing, shortest, (*shortest, "--ignored")) as outputs:

        def untracked() -> Untracked:
            files, others, ignored = [output.split(b"\0")[:-1] for output in outputs()]
            folders = [path for path in others if path.endswith(b"/")]
            holders = set(folders)
            # A folder of which git would show nothing is among these as well.
            inner = [
                path
                for path in ignored
                if path.endswith(b"/") and _is_below(path, holders)
            ]
            return Untracked(files, folders, _excluded(folder, inner))

        yield untracked


def untracked_among(folder: str | bytes, paths: list[bytes]) -> list[bytes]:
    """Those of the paths that are neither tracked nor ignored; a folder that is not ends in `/`.

    Paths are relative to `folder`. Raises GitError where git refuses, or could not read a folder.
    """
    listing = ("ls-files", "-z", "--others", "--exclude-standard", "--directory")
    names = [os.fsdecode(path) for path in paths]
    with running_git(folder, ("--literal-pathspecs", *listing, "--", *names)) as found:
        return found()[0].split(b"\0")[:-1]


def _is_below(path: bytes, folders: set[bytes]) -> bool:
    while path:
        if path in folders:
            return True
        path = path[: path.rfind(b"/", 0, -1) + 1]
    return False


def _excluded(folder: str | bytes, paths: list[bytes]) -> set[bytes]:
    """Those of the folders that an ignore rule names."""
    if not paths:
        return set()
    # They begin with `./` because a name can begin like git's pathspec magic. They do not
    # end in `/` because git would then ask the rules inside the folder.
    given = b"".join(b"./" + path.removesuffix(b"/") + b"\0" for path in paths)
    asked = ("check-ignore", "-z", "--stdin")
    # It exits with 1 where a rule names none of them.
    done = run_git(folder, *asked, standard_input=given, accepted=(0, 1))
    return {path.removeprefix(b"./") + b"/" for path in done.stdout.split(b"\0")[:-1]}
