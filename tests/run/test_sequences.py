"""What people do to a tree, in any order: the index of a tree that had a life equals one
that is made afresh, and a second run finds nothing to do."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from stat import S_ISREG
from typing import Any

import pytest
from comparisons import comparable
from conftest import Project, make_cache

from indexer.tree.git import blob_id

SERIAL = ("--executor", "serial")
# Few texts, so that files meet again what others held, and all but the first runs embed
# nothing. Groups of one size, for edits that leave it alone.
TEXTS = [f"n = {number}\n" for number in range(10, 16)]
TEXTS += [f"def f{number}():\n    return {number}\n" for number in range(10, 16)]
TEXTS += [f"class A{n}:\n" + f"    x = {n}  # {'word ' * 40}\n" * 12 for n in range(3)]
NAMES = [
    *("a.py", "A.py", "b.py", "c.txt", "src/a.py", "src/b.py", "src/deep/d.py"),
    *("Src/a.py", "lib/e.py", "lib/f.md", "é.py", "e\u0301.py", "x y.py", "-f.py", "logs/a.log"),
]  # fmt: skip
RULES = [
    "a.py",
    "*.py",
    "!a.py",
    "src/",
    "/b.py",
    "lib",
    "*.md",
    "!*.md",
    "deep/",
    "*.log",
]
ROUND = 10  # sequences between two comparisons with a fresh index


class Life:
    """A project to which something happens, again and again."""

    def __init__(self, project: Project, seed: int) -> None:
        self.project = project
        self.root = project.root
        self.rng = random.Random(seed)
        self.log: list[str] = []
        for name in NAMES:
            project.write(name, self.text())
        project.git("add", "-A")
        project.git("commit", "-qm", "first")

    def sequence(self) -> None:
        """Some acts, one after the other."""
        acts: list[Callable[[], object]] = [
            *[self.edit, self.create, self.delete, self.rename, self.same_size] * 3,
            *[self.swap, self.case, self.mode, self.touch, self.skipped] * 2,
            *[self.kind, self.kind, self.move_folder, self.copy_folder, self.old_times],
            *[self.append, self.gitignore, self.codxignore, self.exclude, self.attributes],
            *[self.add, self.commit, self.commit, self.checkout, self.checkout, self.stash],
            *[self.reset, self.remove, self.merge, self.worktree_flag, self.status],
        ]  # fmt: skip
        for _ in range(self.rng.randint(1, 6)):
            act = self.rng.choice(acts)
            self.log.append(act.__name__)
            # What cannot be done is not done: a file in the way, nothing to commit.
            with suppress(OSError, subprocess.CalledProcessError, shutil.Error):
                act()

    def files(self) -> list[Path]:
        return [
            Path(folder, name)
            for folder, folders, names in sorted(os.walk(self.root))
            if not {".git", ".codx"} & set(Path(folder).relative_to(self.root).parts)
            for name in sorted(names)
            if not name.startswith(".")
            and S_ISREG(os.lstat(Path(folder, name)).st_mode)
        ]

    def file(self) -> Path:
        found = self.files()
        return self.rng.choice(found) if found else self.project.write("a.py", TEXTS[0])

    def name(self) -> Path:
        return self.root / self.rng.choice(NAMES)

    def text(self) -> str:
        return self.rng.choice(TEXTS)

    # Files

    def edit(self) -> None:
        self.file().write_text(self.text())

    def append(self) -> None:
        with self.file().open("a") as file:
            file.write(self.text())

    def same_size(self) -> None:
        """Other bytes, the same size and the same time of change."""
        path = self.file()
        before = path.stat()
        alike = [text for text in TEXTS if len(text) == before.st_size]
        path.write_text(self.rng.choice(alike or [path.read_text().swapcase()]))
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    def old_times(self) -> None:
        os.utime(self.file(), (1, 1))

    def create(self) -> None:
        name = self.name()
        if not name.is_fifo():
            self.project.write(str(name.relative_to(self.root)), self.text())

    def delete(self) -> None:
        self.file().unlink()

    def rename(self) -> None:
        target = self.name()
        target.parent.mkdir(parents=True, exist_ok=True)
        self.file().rename(target)

    def swap(self) -> None:
        one, two, aside = self.file(), self.file(), self.root / "aside"
        one.rename(aside)
        two.rename(one)
        aside.rename(two)

    def case(self) -> None:
        path = self.file()
        path.rename(path.with_name(path.name.swapcase()))

    def mode(self) -> None:
        self.file().chmod(self.rng.choice([0o600, 0o644, 0o755, 0o444]))

    def touch(self) -> None:
        self.file().touch()

    def skipped(self) -> None:
        """What has no rows, and had some."""
        data = self.rng.choice(
            [b"", b"\0" * 9, b" \n", b"x = 1\n" * 400_000, b"\xff\xfe\0"]
        )
        self.file().write_bytes(data)

    # Folders and kinds

    def kind(self) -> None:
        """File, folder, symlink or FIFO in the place of another of these."""
        path = self.rng.choice([self.name(), self.name().parent, self.file()])
        if path == self.root:
            return
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        target = self.rng.choice(
            ["a.py", "lib", "..", path.name, "/etc/passwd", "nowhere"]
        )
        kind = self.rng.choice(["file", "folder", "symlink", "fifo"])
        if kind == "file":
            path.write_text(self.text())
        elif kind == "folder":
            self.project.write(f"{path.relative_to(self.root)}/a.py", self.text())
        elif kind == "symlink":
            path.symlink_to(target)
        else:
            os.mkfifo(path)

    def move_folder(self) -> None:
        one, two = self.rng.sample(["src", "lib", "Src", "src/deep", "new", "logs"], 2)
        (self.root / one).rename(self.root / two)

    def copy_folder(self) -> None:
        one, two = self.rng.sample(["src", "lib", "Src", "new/deep"], 2)
        shutil.copytree(self.root / one, self.root / two, symlinks=True)

    # What is ignored

    def rules(self) -> str:
        return "".join(f"{rule}\n" for rule in self.rng.sample(RULES, 2))

    def gitignore(self) -> None:
        where = self.rng.choice(["", "src/", "lib/"])
        self.project.write(f"{where}.gitignore", self.rng.choice(["", self.rules()]))

    def codxignore(self) -> None:
        where = self.rng.choice(["", "src/", "lib/"])
        self.project.write(f"{where}.codxignore", self.rng.choice(["", self.rules()]))

    def exclude(self) -> None:
        self.project.write(".git/info/exclude", self.rng.choice(["", self.rules()]))

    def attributes(self) -> None:
        lines = self.rng.choice(
            ["", "*.py text eol=crlf\n", "*.py -text\n", "* ident\n"]
        )
        self.project.write(".gitattributes", lines)

    # git

    def add(self) -> None:
        self.project.git("add", "-A")

    def commit(self) -> None:
        self.project.git("add", "-A")
        self.project.git("commit", "-qm", "more")

    def checkout(self) -> None:
        branches = self.project.git("branch", "--format=%(refname:short)").split()
        name = self.rng.choice([*branches, f"b{len(branches)}"])
        new = [] if name in branches else ["-b"]
        force = self.rng.choice([[], ["-f"]])
        self.project.git("checkout", "-q", *force, *new, name)

    def merge(self) -> None:
        branches = self.project.git("branch", "--format=%(refname:short)").split()
        self.project.git("merge", "-q", "--no-edit", self.rng.choice(branches))

    def stash(self) -> None:
        self.project.git("stash", *self.rng.choice([["-q"], ["-qu"], ["pop", "-q"]]))

    def reset(self) -> None:
        how = self.rng.choice(["--hard", "--mixed", "--soft"])
        self.project.git("reset", "-q", how, self.rng.choice(["HEAD", "HEAD~1"]))

    def remove(self) -> None:
        cached = self.rng.choice([[], ["--cached"]])
        self.project.git("rm", "-qf", *cached, str(self.file()))

    def worktree_flag(self) -> None:
        flag = self.rng.choice(["assume-unchanged", "skip-worktree"])
        no = self.rng.choice(["", "no-"])
        self.project.git("update-index", f"--{no}{flag}", str(self.file()))

    def status(self) -> None:
        self.project.git("status")


def assert_fresh(project: Project) -> None:
    """The rows are those of an index that begins now, to the last bit."""
    kept = project.root.parent / "kept"
    found = comparable(project.rows())
    (project.root / ".codx").rename(kept)
    try:
        project.run(*SERIAL)
        assert found == comparable(project.rows())
    finally:
        shutil.rmtree(project.root / ".codx")
        kept.rename(project.root / ".codx")


def live(project: Project, seed: int, sequences: int) -> None:
    life = Life(project, seed)
    try:
        for number in range(1, sequences + 1):
            life.sequence()
            life.log.append("run")
            project.run(*SERIAL)
            again = project.run(*SERIAL)
            assert (again["status"], again["chunks"]["embedded"]) == ("unchanged", 0)
            if number % ROUND == 0:
                assert_fresh(project)
                assert project.command("verify").returncode == 0
    except BaseException:
        print(f"seed {seed}: {' '.join(life.log)}")
        raise


@pytest.fixture(scope="session")
def warm_cache(tmp_path_factory: pytest.TempPathFactory, model_cache: Path) -> Path:
    """A cache that holds the texts: runs then load no model."""
    folder = tmp_path_factory.mktemp("warm")
    project = Project(folder / "texts", make_cache(folder / "cache", model_cache))
    project.root.mkdir()
    for number, text in enumerate(TEXTS):
        project.write(f"{number}.py", text)
    project.run(*SERIAL)
    return project.cache_dir


@pytest.fixture
def project(tmp_path: Path, warm_cache: Path) -> Project:
    made = Project(tmp_path / "project", warm_cache)
    made.root.mkdir()
    made.git("init", "-q", "-b", "main")
    return made


def test_sequences(project: Project) -> None:
    live(project, 1, 10)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 125))
def test_many_sequences(seed: int, project: Project) -> None:
    live(project, seed, 20)


# A writer that does not wait

WRITER = """
import os, random, sys
rng = random.Random(int(sys.argv[1]))
print(flush=True)
while True:
    name = f"{rng.randrange(12)}.py"
    lines = [f"n = {rng.randrange(10, 40)}\\n" for _ in range(rng.choice([1, 3, 60]))]
    how = rng.randrange(5)
    if how == 0:  # in place, piece by piece
        with open(name, "w") as file:
            for line in lines:
                file.write(line)
                if rng.random() < 0.2:
                    file.flush()
    elif how == 1:  # all at once
        with open("aside", "w") as file:
            file.writelines(lines)
        os.replace("aside", name)
    elif how == 2:  # the same size, with the times put back
        try:
            before = os.stat(name)
            with open(name, "r+") as file:
                text = file.read()
                file.seek(0)
                file.write("".join(sorted(text.splitlines(True), key=lambda _: rng.random())))
            os.utime(name, ns=(before.st_atime_ns, before.st_mtime_ns))
        except FileNotFoundError:
            pass
    elif how == 3:
        with open(name, "a") as file:
            file.writelines(lines[:2])
    elif rng.random() < 0.3:
        try:
            os.unlink(name)
        except FileNotFoundError:
            pass
"""


@contextmanager
def writer(root: Path, seed: int) -> Iterator[None]:
    """A process that rewrites the files of a folder as fast as it can."""
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(seed)], cwd=root, stdout=subprocess.PIPE
    ) as process:
        try:
            assert process.stdout is not None and process.stdout.read(1)
            yield
        finally:
            process.kill()


def assert_consistent(rows: dict[str, dict[str, Any]]) -> int:
    """The rows of each file are of one version of it: its text has the stored hash."""
    files: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows.values():
        files[row["path"]].append(row)
    for path, found in files.items():
        found.sort(key=lambda row: int(row["chunk_no"]))
        assert [row["chunk_no"] for row in found] == list(range(len(found))), path
        assert {row["chunk_count"] for row in found} == {len(found)}, path
        (hash_,) = {row["file_hash"] for row in found}
        text = "\n".join(row["text"] for row in found)
        # Caught in the middle of a line, or behind one.
        versions = (f"{text}\n", text)
        assert hash_ in [blob_id(version.encode()) for version in versions], path
    return len(files)


@pytest.mark.parametrize(
    "runs", [pytest.param(3, marks=pytest.mark.slow), *(pytest.param(50, marks=pytest.mark.slow, id=f"50-{n}") for n in range(4))]
)  # fmt: skip
def test_a_writer_that_does_not_wait(
    runs: int, project: Project, request: pytest.FixtureRequest
) -> None:
    seed = sum(request.node.name.encode())
    seen = changed = 0
    for _ in range(runs):
        with writer(project.root, seed):
            seed += 1
            report = project.run(*SERIAL)
            changed += report["chunks"]["upserted"] > 0
            seen += assert_consistent(project.rows())
    assert seen > runs and changed > runs // 2
    project.run(*SERIAL)
    again = project.run(*SERIAL)
    assert (again["status"], again["files"]["read"]) == ("unchanged", 0)
    found = {row["path"]: row["file_hash"] for row in project.rows().values()}
    disk = {path.name: path.read_bytes() for path in project.root.glob("*.py")}
    assert found == {name: blob_id(data) for name, data in disk.items() if data}
    assert_consistent(project.rows())
    assert_fresh(project)
    assert project.command("verify").returncode == 0
