"""A small git project to which things happen, and what an index of it should hold.

Each function in it has a name that nothing else has: a probe. So whatever a program stores, be it
text, vectors or a graph of symbols, we can ask it in which files it finds which probe.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import stat
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from common import configure

# The probes that are found in each file, by its path relative to the root.
Found = dict[str, frozenset[str]]

PROBE = re.compile(r"\bprobe[a-z]{8}\b")
IDENTITY = ("-c", "user.name=benchmark", "-c", "user.email=benchmark@example.org")
FILES = (
    *("app.py", "tool.py", "util.py", "pkg/one.py", "pkg/two.py", "pkg/deep/three.py"),
    *("lib/four.py", "lib/five.py", "lib/inner/six.py", "docs/seven.py"),
)
OVER_THE_LIMIT = 3 << 20  # bytes; more than any of the programs reads
UTF_16 = (b"\xff\xfe", b"\xfe\xff")  # how it begins
DAY = 86_400 * 10**9  # nanoseconds


class Tool(Protocol):
    """A program that keeps an index of a tree.

    `state` names what it writes into the tree.
    """

    state: tuple[str, ...]
    is_only_for_tracked: bool

    def first(self, root: Path) -> None:
        """Index a project for the first time."""

    def update(self, root: Path) -> None:
        """Bring the index up to date, in the way that is documented."""

    def start(self, root: Path) -> subprocess.Popen[bytes]:
        """Start what `update` runs, in a process group of its own, and do not wait."""

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        """Kill what `start` returned, and all that it has started."""

    def leave_out(self, root: Path, folder: str) -> None:
        """Leave a folder out of the index, by the tool's own settings."""

    def restrict(self, is_restricted: bool) -> None:
        """Let file permissions apply to the next commands, even if root runs them."""


class World:
    """The project at `root`, which `tool` indexes."""

    def __init__(self, root: Path, tool: Tool, rng: random.Random) -> None:
        self.root = root
        self.tool = tool
        self.rng = rng
        self.seconds = 1.0  # that a first index takes
        self.left_out: set[str] = (
            set()
        )  # folders, by settings of the tool, each with a /
        self._top = root.parent

    # Making it

    def make(self) -> None:
        """Write the project and commit it."""
        self.root.mkdir(parents=True)
        self.git("init", "--quiet", "--initial-branch", "main")
        configure(self.root)
        self.hide_state(self.root)
        for path in FILES:
            self.write(path)
        self.write_rules(".gitignore", "build/", "*.log")
        self.commit()

    def hide_state(self, root: Path) -> None:
        """Let git ignore what the tool writes into the tree, as its users do."""
        common = self.git("rev-parse", "--git-common-dir", folder=root).strip()
        exclude = root / common / "info" / "exclude"
        exclude.parent.mkdir(exist_ok=True)
        exclude.write_text("".join(f"/{name}\n" for name in self.tool.state))

    def first(self) -> None:
        started = time.perf_counter()
        self.tool.first(self.root)
        self.seconds = time.perf_counter() - started

    def update(self) -> None:
        self.tool.update(self.root)

    def beside(self, name: str) -> Path:
        """A path next to the project, which did not exist."""
        path = self._top / name
        number = 0
        while path.exists():
            number += 1
            path = self._top / f"{name}-{number}"
        return path

    def git(self, *arguments: str, folder: Path | None = None) -> str:
        """What git prints. Raises `CalledProcessError` when it fails."""
        done = subprocess.run(
            ["git", *IDENTITY, "-c", "protocol.file.allow=always", *arguments],
            cwd=folder or self.root,
            env={**os.environ, "GIT_EDITOR": "true"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=True,
        )
        return os.fsdecode(done.stdout)

    def commit(self, folder: Path | None = None) -> None:
        self.git("add", "--all", folder=folder)
        self.git("commit", "--quiet", "--message", "A change", folder=folder)

    def commit_if_changed(self) -> None:
        if self.git("status", "--porcelain"):
            self.commit()

    # Changing files

    def name(self) -> str:
        """A name for a file, folder or branch that is no probe."""
        return f"name{self._letters()}"

    def probe(self) -> str:
        return f"probe{self._letters()}"

    def _letters(self) -> str:
        return "".join(self.rng.choices("bcdfghjklmnpqrstvwxz", k=8))

    def text(self, functions: int = 2) -> str:
        """Python source with so many functions."""
        return "\n\n".join(
            f"def {self.probe()}(value):\n    return value + {number}\n"
            for number in range(functions)
        )

    def write(self, path: str | Path, text: str | None = None) -> Path:
        """Write a file of new functions, or of this text."""
        place = self.root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(self.text() if text is None else text)
        return place

    def write_rules(self, path: str, *rules: str) -> None:
        """Add rules to a file of patterns."""
        place = self.root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        before = place.read_text() if place.exists() else ""
        place.write_text(before + "".join(f"{rule}\n" for rule in rules))

    def add_function(self, path: Path) -> None:
        with path.open("a") as file:
            file.write(f"\n\n{self.text(1)}")

    def exchange_function(self, path: Path) -> None:
        """Give another name to the first function; the size stays."""
        text = path.read_text()
        path.write_text(PROBE.sub(self.probe(), text, count=1))

    def first_probe(self, path: Path) -> str:
        """The first probe in a file. Raises `LookupError` without one."""
        return PROBE.findall(path.read_text())[0]  # type: ignore[no-any-return]

    # Choosing files

    def files(self) -> list[Path]:
        """The Python files that are there, but for symlinks, bytes and what the tool writes."""
        return [
            self.root / path
            for path in self.listed()
            if path.endswith(".py") and self._is_file(path) and self._is_text(path)
        ]

    def file(self) -> Path:
        return self.pick(1)[0]

    def pick(self, count: int) -> list[Path]:
        """Some files. Raises `LookupError` when there are fewer."""
        found = self.files()
        if len(found) < count:
            raise LookupError("too few files are left")
        return self.rng.sample(found, count)

    def folder(self) -> Path:
        """A folder with files. Raises `LookupError` without one."""
        found = sorted({path.parent for path in self.files()} - {self.root})
        if not found:
            raise LookupError("no folder is left")
        return self.rng.choice(found)

    # What is there

    def listed(self, *, only_tracked: bool = False) -> list[str]:
        """What git lists: tracked files, and others that are not ignored."""
        kinds = ["--cached"] if only_tracked else ["--cached", "--others"]
        output = self.git("ls-files", "-z", *kinds, "--exclude-standard")
        paths = {path for path in output.split("\0") if path}
        return sorted(path for path in paths if not self._is_state(path))

    def expected(self) -> tuple[Found, Found]:
        """What an index must hold, and what it may: with these probes or not at all.

        It may follow symlinks, enter submodules and read what is no text. One whose documentation
        says that it holds tracked files alone may hold others.
        """
        listed = self.listed()
        must = {path: self._probes(path) for path in listed if self._is_file(path)}
        may = dict(self._around(listed))
        may.update(
            {path: must.pop(path) for path in list(must) if not self._is_text(path)}
        )
        if self.tool.is_only_for_tracked:
            tracked = set(self.listed(only_tracked=True))
            may.update({path: must.pop(path) for path in must.keys() - tracked})
        return self._indexed(must), self._indexed(may)

    def _indexed(self, found: Found) -> Found:
        """Without files that have no probe, or that the tool was told to leave out."""
        return {
            path: probes
            for path, probes in found.items()
            if probes and not any(path.startswith(one) for one in self.left_out)
        }

    def _around(self, listed: list[str]) -> Iterator[tuple[str, frozenset[str]]]:
        for path in listed:
            place = self.root / path
            with suppress(OSError):
                if place.is_symlink() and place.is_file():
                    yield path, probes_of(place.read_bytes())
                elif place.is_dir():  # a symlink, or a submodule
                    for folder, _, names in os.walk(place):
                        for name in names:
                            file = Path(folder, name)
                            shown = str(file.relative_to(self.root))
                            if not {".git", *self.tool.state} & set(shown.split("/")):
                                yield shown, probes_of(file.read_bytes())

    def _probes(self, path: str) -> frozenset[str]:
        return probes_of((self.root / path).read_bytes())

    def _is_text(self, path: str) -> bool:
        data = (self.root / path).read_bytes()
        return b"\0" not in data or data.startswith(UTF_16)

    def _is_state(self, path: str) -> bool:
        return any(
            path == name or path.startswith(f"{name}/") for name in self.tool.state
        )

    def _is_file(self, path: str) -> bool:
        """Whether it is a regular file to which no symlink leads."""
        place = self.root
        for name in path.split("/"):
            place /= name
            try:
                mode = place.lstat().st_mode
            except OSError:
                return False
            if stat.S_ISLNK(mode):
                return False
        return stat.S_ISREG(mode)


def probes_of(data: bytes) -> frozenset[str]:
    """The probes in the bytes of a file."""
    is_wide = data.startswith(UTF_16)
    text = data.decode("utf-16" if is_wide else "latin-1", "replace")
    return frozenset(PROBE.findall(text))


def faults(must: Found, may: Found, found: Found) -> list[str]:
    """What is wrong with an index that holds what was found, one line for each probe."""
    must, may, found = comparable(must), comparable(may), comparable(found)
    lines = []
    for path in sorted(must.keys() | found.keys()):
        has = found.get(path, frozenset())
        if path in may and has in (may[path], frozenset()):
            continue
        wanted = must.get(path, may.get(path, frozenset()))
        lines += [f"lacks {probe} of {path}" for probe in sorted(wanted - has)]
        lines += [f"still has {probe} in {path}" for probe in sorted(has - wanted)]
    return lines


def comparable(found: Found) -> Found:
    """The same with each run of characters that programs write differently as one sign."""
    result: dict[str, frozenset[str]] = {}
    for path, probes in found.items():
        shown = re.sub(r"[^A-Za-z0-9_./ -]+", "?", path)
        result[shown] = result.get(shown, frozenset()) | probes
    return {path: probes for path, probes in result.items() if probes}


def exchange(one: Path, two: Path) -> None:
    """Each takes the name of the other."""
    aside = one.with_name("aside-for-a-moment")
    one.rename(aside)
    two.rename(one)
    aside.rename(two)


def times(path: Path) -> tuple[int, int]:
    """The times of access and change of a file, in nanoseconds."""
    found = path.stat()
    return found.st_atime_ns, found.st_mtime_ns


def remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
