"""What an index of a tree must hold, found out without the program: by git itself, hashlib and
a few rules of its own. Imports nothing of the program's."""

from __future__ import annotations

import hashlib
import os
import stat
import subprocess
import tempfile
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

SETTINGS = "codx-index.toml"
DEFAULT_SIZE = 1 << 20
VERSION_CONTROL = {".git", ".hg", ".svn"}
# The files that the fuzz makes and that are left out for their names.
SECRETS = {".env", "id_rsa"}
NEVER = {"poetry.lock", "app.min.js", "photo.png"}
# Of the folders that are left out by default, those that the fuzz makes.
DEFAULTS = "node_modules/\n__pycache__/\n"
PROBE = "no-rule-names-this"


@dataclass(frozen=True)
class Options:
    """What a run was told that decides which files belong to the index.

    None is what was not said: then the project's file decides, and else the default.
    """

    size: int | None = None
    ignore: tuple[str, ...] | None = None
    containing: tuple[str, ...] = ()
    recurses: bool | None = None
    uses_git: bool = True
    has_secrets: bool = False
    has_defaults: bool = True


class Refusal(Exception):
    """A run must end with this exit code, and leave the rows alone."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(code, reason)
        self.code = code


class Oracle:
    """Asks git about one tree, with the environment that a run has."""

    def __init__(self, root: Path, variables: Mapping[str, str]) -> None:
        self.root = root
        self.variables = dict(variables)

    def files(self, options: Options = Options()) -> dict[str, str]:  # noqa: B008
        """The path of each file that belongs to the index, and its blob id."""
        options = self._with_settings(options)
        is_repository = options.uses_git and self._has_repository()
        paths = set(self._listed(options) if is_repository else self._walked(options))
        paths = {path for path in paths if self._is_ordinary(path)}
        paths -= self._ignored(".codxignore", paths)
        paths -= self._matched("\n".join(options.ignore or ()), paths)
        object_format = "sha1"
        if is_repository:
            answer = self._git(self.root, "rev-parse", "--show-object-format")
            object_format = answer.decode().strip()
        found = {}
        for path in paths:
            if any(text in f"/{path}" for text in options.containing):
                continue
            if self._is_left_out_by_name(path, options):
                continue
            data = self.bytes_of(path)
            if 0 < len(data) <= (options.size or DEFAULT_SIZE) and is_text(data):
                found[path] = blob_id(data, object_format)
        return found

    def bytes_of(self, path: str) -> bytes:
        return (self.root / path).read_bytes()

    def _with_settings(self, options: Options) -> Options:
        try:
            said: dict[str, Any] = tomllib.loads((self.root / SETTINGS).read_text())
        except FileNotFoundError:
            return options
        except ValueError as error:
            raise Refusal(2, f"{SETTINGS}: {error}") from error
        if options.ignore is None and "ignore" in said:
            options = replace(options, ignore=tuple(said["ignore"]))
        if options.size is None and "max-file-size" in said:
            options = replace(options, size=said["max-file-size"])
        if options.recurses is None and "recurse-submodules" in said:
            options = replace(options, recurses=said["recurse-submodules"])
        return options

    # Which files there are

    def _has_repository(self) -> bool:
        return any(
            (folder / ".git").exists() for folder in [self.root, *self.root.parents]
        )

    def _listed(self, options: Options, prefix: str = "") -> Iterator[str]:
        """The files that git lists in one repository, and in those below it."""
        folder = self.root / prefix
        top = self._git(folder, "rev-parse", "--show-toplevel").decode().strip()
        if not os.path.samefile(top, folder) and prefix:
            raise Refusal(1, f"{folder} has the .git of {top}")
        tracked = self._git(folder, "ls-files", "-z", "--stage")
        submodules = set()
        for entry in names(tracked):
            about, _, path = entry.partition("\t")
            if about.startswith("160000"):
                submodules.add(path)
            else:
                yield prefix + path
        nested = set()
        others = ("ls-files", "-z", "--others", "--exclude-standard")
        for path in names(self._git(folder, *others)):
            if options.has_defaults and is_left_out_by_default(prefix + path):
                continue
            if path.endswith("/"):
                nested.add(path[:-1])
            elif not self._is_in_other_tree(prefix + path):
                yield prefix + path
        if options.recurses is False:
            submodules = set()
        for path in submodules | nested:
            below = f"{prefix}{path}/"
            if self._is_real(f"{below}.git") and not self._is_in_other_tree(below):
                yield from self._listed(options, below)

    def _walked(self, options: Options) -> Iterator[str]:
        found, repositories = [], []
        for folder, folders, files in os.walk(self.root):
            below = os.path.relpath(folder, self.root)
            prefix = "" if below == "." else f"{below}/"
            if prefix and options.uses_git and self._is_top(Path(folder)):
                repositories.append(prefix)
                folders.clear()
                continue
            folders[:] = [name for name in folders if name not in VERSION_CONTROL]
            found += [prefix + name for name in files if name not in VERSION_CONTROL]
        found += [f"{prefix}{PROBE}" for prefix in repositories]
        weakest = DEFAULTS if options.has_defaults else ""
        kept = set(found) - self._ignored(".gitignore", found, weakest)
        kept = {path for path in kept if not self._is_in_other_tree(path)}
        probes = {f"{prefix}{PROBE}": prefix for prefix in repositories}
        for path in kept:
            if path in probes:
                yield from self._listed(options, probes[path])
            else:
                yield path

    def _is_top(self, folder: Path) -> bool:
        """Whether git takes the folder for the top of a work tree."""
        if not os.path.lexists(folder / ".git"):
            return False
        try:
            top = self._git(folder, "rev-parse", "--show-toplevel").decode()
        except Refusal:
            return False
        return os.path.samefile(top.removesuffix("\n"), folder)

    def _is_in_other_tree(self, path: str) -> bool:
        """Whether the path lies in another work tree of the project's repository.

        All linked work trees of the fuzz are made of it.
        """
        if not self._has_repository():
            return False
        parts = path.split("/")[:-1]
        for end in range(1, len(parts) + 1):
            dot_git = self.root / "/".join(parts[:end]) / ".git"
            if dot_git.is_file() and not dot_git.is_fifo():
                leads_to = dot_git.read_text(errors="replace").removeprefix("gitdir: ")
                if self._is_work_tree_at(Path(leads_to.strip())):
                    return True
        return False

    def _is_work_tree_at(self, leads_to: Path) -> bool:
        """Whether git keeps there what is a linked work tree's, and not a submodule's in one.

        The repository is the project's by its place or, after a move, because it remembers
        the work tree. One that it has forgotten before the move is nobody's.
        """
        if leads_to.parent.name != "worktrees":
            return False
        shared = self._git(self.root, "rev-parse", "--git-common-dir").decode()
        common = (self.root / shared.removesuffix("\n")).resolve()
        is_remembered = (common / "worktrees" / leads_to.name).exists()
        return is_remembered or leads_to.parent.parent.resolve() == common

    def _is_ordinary(self, path: str) -> bool:
        """Whether this is a regular file that symlinks do not lead to, and not state of ours."""
        if f"/{path}".find("/.codx/index/") >= 0 or not self._is_real(path):
            return False
        return stat.S_ISREG(os.lstat(self.root / path).st_mode)

    def _is_real(self, path: str) -> bool:
        """Whether it is there, and no folder on the way to it is a symlink."""
        place = self.root
        for name in path.split("/")[:-1]:
            place /= name
            if place.is_symlink() or not place.is_dir():
                return False
        return os.path.lexists(self.root / path)

    @staticmethod
    def _is_left_out_by_name(path: str, options: Options) -> bool:
        name = path.rpartition("/")[2]
        return name in NEVER or (name in SECRETS and not options.has_secrets)

    # What matches, by git's own matcher in a repository that has nothing but the rules

    def _ignored(self, name: str, paths: Iterable[str], weakest: str = "") -> set[str]:
        """Those of the paths that the tree's files of this name leave out."""
        paths = sorted(paths)
        folders = {""}
        for path in paths:
            parts = path.split("/")[:-1]
            folders |= {"/".join(parts[: n + 1]) + "/" for n in range(len(parts))}
        rules = {}
        for folder in folders:
            file = self.root / folder / name
            if file.is_file() and not file.is_symlink():
                rules[folder] = file.read_bytes()
        return self._decide(rules, paths, weakest)

    def _matched(self, rules: str, paths: Iterable[str]) -> set[str]:
        return self._decide({"": rules.encode()}, sorted(paths)) if rules else set()

    def _decide(
        self, rules: Mapping[str, bytes], paths: list[str], weakest: str = ""
    ) -> set[str]:
        if not paths or not (rules or weakest):
            return set()
        with tempfile.TemporaryDirectory() as scratch:
            top = Path(scratch, "tree")
            top.mkdir()
            self._git(top, "init", "-q", "--template=")
            Path(scratch, "weakest").write_text(weakest)
            for folder, text in rules.items():
                (top / folder).mkdir(parents=True, exist_ok=True)
                (top / folder / ".gitignore").write_bytes(text)
            return set(
                names(
                    self._git(
                        top,
                        *("-c", f"core.excludesFile={scratch}/weakest"),
                        *("check-ignore", "--no-index", "-z", "--stdin"),
                        given="\0".join(paths),
                        accepted=(0, 1),
                    )
                )
            )

    def _git(
        self,
        folder: Path,
        *arguments: str,
        given: str = "",
        accepted: tuple[int, ...] = (0,),
    ) -> bytes:
        done = subprocess.run(
            ["git", *arguments],
            cwd=folder,
            env={**self.variables, "GIT_OPTIONAL_LOCKS": "0"},
            input=os.fsencode(given),
            capture_output=True,
        )
        if done.returncode not in accepted:
            raise Refusal(1, f"git {arguments}: {done.stderr.decode()}")
        return done.stdout


def is_left_out_by_default(path: str) -> bool:
    """Whether an untracked file lies in a folder that is left out by default."""
    return any(f"{name}/" in DEFAULTS.split() for name in path.split("/")[:-1])


def names(output: bytes) -> list[str]:
    return [os.fsdecode(name) for name in output.split(b"\0")[:-1]]


def blob_id(data: bytes, object_format: str) -> str:
    return hashlib.new(object_format, b"blob %d\0" % len(data) + data).hexdigest()


def is_text(data: bytes) -> bool:
    """Whether a file of the kinds that the fuzz makes is text, and not blank."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        with suppress(UnicodeDecodeError):  # something was appended
            return bool(data.decode("utf-16").strip())
    return b"\0" not in data and bool(data.strip())


def lines_of(data: bytes) -> list[str]:
    """The lines of a text, without what ends them."""
    is_wide = data.startswith((b"\xff\xfe", b"\xfe\xff"))
    text = data.decode("utf-16" if is_wide else "utf-8-sig", "replace")
    return [line.removesuffix("\r") for line in text.split("\n")]
