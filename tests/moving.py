"""Trees in which contents move onto the paths of others, and who looks for them meanwhile."""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from conftest import Project

WORDS = "alpha beta gamma delta epsilon zeta eta theta iota kappa".split()


def source(word: str, functions: int) -> str:
    """Python with this word, which nothing else has, in its first and its last line."""
    rng = random.Random(word)
    lines = [f"{word} = 1", ""]
    for number in range(functions):
        some = " ".join(rng.choice(WORDS) for _ in range(60))
        lines += [f"def fn_{word}_{number}(x):", f"    return '{some}'", ""]
    return "\n".join([*lines, f"last = {word}", ""])


def blob_id(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def contents(project: Project) -> dict[str, str]:
    """The word of each content in the tree, by blob id."""
    found = {}
    for path in project.root.rglob("*.py"):
        data = path.read_bytes()
        found[blob_id(data)] = data.decode().partition(" ")[0]
    return found


def swap(folder: Path, one: str, other: str) -> None:
    os.rename(folder / one, folder / "t")
    os.rename(folder / other, folder / one)
    os.rename(folder / "t", folder / other)


def rotate(folder: Path, *names: str) -> None:
    """The first moves onto the second, that onto the third, …, the last onto the first."""
    for name in names[1:]:
        swap(folder, names[0], name)


# Each is (files of its own: functions by name, what happens to them).
Move = tuple[dict[str, int], Callable[[Path], None]]


def _chain(folder: Path) -> None:
    for one, other in (("c", "d"), ("b", "c"), ("a", "b")):
        os.replace(folder / f"{one}.py", folder / f"{other}.py")


def _renewed(folder: Path) -> None:
    os.rename(folder / "a.py", folder / "z.py")
    (folder / "a.py").write_text(source("newcontent", 3))


def _copies(folder: Path) -> None:
    """One content at two paths moves to a third, and both get others."""
    (folder / "b.py").write_bytes((folder / "a.py").read_bytes())


def _copies_move(folder: Path) -> None:
    os.replace(folder / "a.py", folder / "c.py")
    (folder / "b.py").write_text(source("copyone", 2))
    (folder / "a.py").write_text(source("copytwo", 12))


MOVES: dict[str, Move] = {
    "swap": (
        {"a.py": 1, "b.py": 30},
        lambda folder: swap(folder, "a.py", "b.py"),
    ),
    "chain": ({"a.py": 2, "b.py": 9, "c.py": 1, "d.py": 30}, _chain),
    "cycle": (
        {"a.py": 1, "b.py": 12, "c.py": 30},
        lambda folder: rotate(folder, "a.py", "b.py", "c.py"),
    ),
    "folders": (
        {"x/a.py": 1, "x/b.py": 20, "y/a.py": 30, "y/c.py": 3},
        lambda folder: swap(folder, "x", "y"),
    ),
    "onto": (
        {"a.py": 25, "b.py": 1},
        lambda folder: os.replace(folder / "a.py", folder / "b.py"),
    ),
    "renewed": ({"a.py": 10, "b.py": 2}, _renewed),
    "copies": ({"a.py": 5, "c.py": 2}, _copies_move),
    "large": (
        {"a.py": 1, "b.py": 1500},
        lambda folder: swap(folder, "a.py", "b.py"),
    ),
}


def build(project: Project, *names: str) -> None:
    """Write the files of these moves, each in a folder of its own."""
    for name in names:
        for path, functions in MOVES[name][0].items():
            word = "u" + name + path.replace("/", "").removesuffix(".py")
            project.write(f"{name}/{path}", source(word, functions))
        if name == "copies":
            _copies(project.root / name)


def move(project: Project, *names: str) -> None:
    for name in names:
        MOVES[name][1](project.root / name)


# Readers

READER = """
import json, os, sys, time
from indexer import Index

wanted = json.loads(sys.argv[1])
looks, absent, failures, pause = 0, {}, [], wanted["pause"]
with Index.open(wanted["project"]) as index:
    while not os.path.exists(wanted["stop"]):
        for word in wanted["words"]:
            try:
                hits = index.search(word, limit=5, mode="sparse")
            except Exception as error:
                failures.append(repr(error))
                continue
            if not any(word in hit.text for hit in hits):
                absent[word] = absent.get(word, 0) + 1
            looks += 1
        with open(wanted["looked"] + ".new", "w") as file:
            file.write(str(looks))
        os.replace(wanted["looked"] + ".new", wanted["looked"])
        time.sleep(pause)
print(json.dumps([looks, absent, failures]))
"""


@dataclass
class Seen:
    """What a reader saw; complete once its block is left."""

    folder: Path
    looks: int = 0
    absent: dict[str, int] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    @property
    def so_far(self) -> int:
        looked = self.folder / "looked"
        return int(looked.read_text()) if looked.exists() else 0


@contextmanager
def reading(project: Project, words: list[str]) -> Iterator[Seen]:
    """A process that looks for words for the length of the block."""
    folder = Path(tempfile.mkdtemp(dir=project.root.parent))
    wanted = {
        "project": str(project.root),
        "words": words,
        "stop": str(folder / "stop"),
        "looked": str(folder / "looked"),
        "pause": 0.002,
    }
    seen = Seen(folder)
    with subprocess.Popen(
        [sys.executable, "-c", READER, json.dumps(wanted)],
        env=project.variables(),
        stdout=subprocess.PIPE,
        text=True,
    ) as reader:
        try:
            yield seen
        finally:
            (folder / "stop").touch()
            out, _ = reader.communicate()
    seen.looks, seen.absent, seen.failures = json.loads(out)
