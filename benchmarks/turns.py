"""What does a day's work cost, now and at another revision, at several sizes?

`updates.py --small` and `updates.py --against REV` run this: one file edited, renamed or
deleted, one edited and committed together with these, nothing to do, `status --check`, the first
search of a new process, and the next ones in one process. It keeps wall and CPU seconds and the
peak of resident memory (MiB) of each; `growth.py` prints and draws them.

With a revision, its sources are taken out of the repository into a folder, and run by this
interpreter with the packages that are installed here. Each side has a cache and a project of
its own, with the same files, and both do each act in turn, in changing order. A first round is
not counted. The ratios are medians over the pairs.

The modules of a project share texts, as `updates.py` says, so nothing but distinct texts is
embedded at first. No vector is made up. In a project of many rows, a module has about 19
chunks. Both sides answer the same questions, each time another one.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common import (
    LARGE_FILE,
    VERBS,
    WORDS,
    Indexer,
    Unexpected,
    Usage,
    commit_project,
    git,
    measure,
    median,
    prepared,
    tracked,
    write_project,
)
from growth import (
    ACTS,
    CHECK,
    CHUNKS,
    COMMIT,
    DELETE,
    EDIT,
    FIGURES,
    FIRST,
    NEXT_SEARCH,
    NO_OP,
    NOW,
    RENAME,
    ROWS,
    SEARCH,
    table,
)
from updates import UNCHANGED, append_line, check, first_run, folder_size

ROOT = Path(__file__).resolve().parents[1]
CLASSES = 22  # of a module in a project of many rows: about CHUNKS chunks
SETTLED = 0.15  # seconds, so that no time stamp is too fresh to be trusted
NEXT = 20  # searches in one process

SEARCHES = """
import json, statistics, sys, time
from indexer import Index

def timed(question):
    wall, cpu = time.perf_counter(), time.process_time()
    if not index.search(question, limit=3):
        sys.exit("nothing found for " + question)
    return time.perf_counter() - wall, time.process_time() - cpu

with Index.open(sys.argv[1]) as index:
    first, *others = map(timed, sys.argv[2:])
print(json.dumps([statistics.median(part) for part in zip(*others)]))
"""


@dataclass(frozen=True, slots=True)
class Size:
    """A project to generate: its files, each but two of so many classes."""

    files: int
    classes: int = 1

    @property
    def title(self) -> str:
        many = f" of about {CHUNKS} chunks" if self.classes > 1 else ""
        return f"{self.files:,} files{many}"

    def write(self, root: Path, distinct: int) -> None:
        texts = min(max(1, distinct // self.classes), self.files - 2)
        write_project(
            root,
            self.files,
            distinct=texts,
            group=folder_size(self.files),
            parts=self.classes,
        )
        commit_project(root)


@dataclass(slots=True)
class Side:
    """A revision of the command, its copy of the project, and what each act took there."""

    name: str
    indexer: Indexer
    root: Path
    rows: int = 0
    samples: dict[str, list[Usage]] = field(default_factory=dict)
    _modules: Iterator[Path] = iter(())

    def begin(self, size: Size, distinct: int) -> None:
        """Write the project and index it."""
        shutil.rmtree(self.root, ignore_errors=True)
        size.write(self.root, distinct)
        self.samples = {}
        paths = sorted(tracked(self.root), key=lambda path: path[::-1])
        modules = [p for p in paths if p.endswith(".py") and p != LARGE_FILE]
        self._modules = (self.root / path for path in modules)
        run = first_run(self.root, self.indexer, FIRST)
        check(
            FIRST,
            run,
            {"files.added": size.files, "chunks.embedded": range(1, sys.maxsize)},
        )
        self.rows = run.count("chunks.total")
        self.samples[FIRST] = [run.usage]
        # Until git has looked once, it reads again what is as young as its index.
        time.sleep(1)
        git(self.root, "status")
        time.sleep(SETTLED)
        self._run(NO_OP, {**UNCHANGED, "files.read": 0})

    def act(self, name: str, number: int) -> Usage:
        """Do something and measure what the command takes for it."""
        if name in (EDIT, COMMIT):
            append_line(self._next_module(), number)
            if name == COMMIT:
                time.sleep(1)  # or the file is as young as git's index
                git(self.root, "add", "--all")
                git(self.root, "commit", "--quiet", "--message", name)
            embedded = {"chunks.embedded": range(1, 3)}  # a chunk may be cut in two
            return self._run(name, {"files.modified": 1, **embedded})
        if name == RENAME:
            path = self._next_module()
            path.rename(path.with_stem(f"{path.stem}_renamed"))
            return self._run(name, {"files.renamed": 1})
        if name == DELETE:
            self._next_module().unlink()
            return self._run(name, {"files.deleted": 1})
        if name == NO_OP:
            return self._run(name, {**UNCHANGED, "files.read": 0})
        if name == CHECK:
            return self.indexer.call("status", self.root, name, "--check").usage
        questions = asked(number)
        if name == SEARCH:
            options = ("--limit", "3", questions[0])
            return self.indexer.call("search", self.root, name, *options).usage
        return self._search_on(questions)

    def _next_module(self) -> Path:
        found = next(self._modules, None)
        if found is None:
            raise Unexpected(f"{self.root}: too few files for so many rounds")
        return found

    def _run(self, scenario: str, expected: Mapping[str, object]) -> Usage:
        time.sleep(SETTLED)
        run = self.indexer.run(self.root, scenario)
        check(f"{scenario}, {self.name}", run, expected)
        return run.usage

    def _search_on(self, questions: Sequence[str]) -> Usage:
        """A search in a process that has answered before: the median of many."""
        command = (*self.indexer.python(), "-c", SEARCHES, str(self.root), *questions)
        ended = measure(*command, variables=self.indexer.variables())
        if ended.code:
            raise Unexpected(f"{NEXT_SEARCH}, {self.name}: {ended.errors.strip()}")
        wall, cpu = json.loads(ended.output)
        return Usage(wall, cpu, ended.usage.parent_mib, ended.usage.worker_mib)


def asked(number: int) -> list[str]:
    """Questions about the modules, others for each number."""
    rng = random.Random(number)
    return [
        f"{rng.choice(VERBS)} the {' of a '.join(rng.sample(WORDS, 2))}"
        for _ in range(1 + NEXT)
    ]


def sides(folder: Path, options: argparse.Namespace) -> list[Side]:
    """The command as it is, and that of the other revision if there is one."""
    here = ROOT if options.against else None
    trees: dict[str, Path | None] = {NOW: here}
    if options.against:
        trees.update([taken_out(options.against, folder)])
    found = []
    for name, tree in trees.items():
        own = folder / name
        own.mkdir()
        if tree:
            make_ready(tree)
        # Each converts the model in its own way.
        kept = options.cache_dir and options.cache_dir / (name if name != NOW else "")
        indexer = prepared(own, kept, options.jobs, tree)
        found.append(Side(name, indexer, own / "project"))
    return found


def taken_out(revision: str, folder: Path) -> tuple[str, Path]:
    """The short name of a commit, and a folder with its sources."""
    repository = ("git", "-C", str(ROOT))
    wanted = ("rev-parse", "--verify", "--quiet", "--short=7", revision + "^{commit}")
    found = subprocess.run([*repository, *wanted], capture_output=True, text=True)
    name = found.stdout.strip()
    if found.returncode:
        raise Unexpected(f"--against: this repository has no commit {revision!r}")
    archive = subprocess.check_output([*repository, "archive", name, "indexer"])
    tree = folder / f"sources-{name}"
    with tarfile.open(fileobj=io.BytesIO(archive)) as members:
        members.extractall(tree, filter="data")
    return name, tree


def make_ready(tree: Path) -> None:
    """Write the bytecode of the sources, which no run should have to do, and look for them."""
    compiling = (sys.executable, "-m", "compileall", "-q", str(tree / "indexer"))
    subprocess.run(compiling, check=True)
    indexer = Indexer(tree, tree=tree)
    asking = (*indexer.python(), "-c", "import indexer; print(indexer.__file__)")
    ended = measure(*asking, variables=indexer.variables())
    if not Path(ended.output.strip()).is_relative_to(tree):
        raise Unexpected(f"not {tree}, but {ended.output} would run {ended.errors}")


def take_turns(both: list[Side], rounds: int) -> None:
    """Let each side do each act, once more than it counts."""
    for number in range(rounds + 1):
        for name in ACTS:
            for side in both[:: -1 if number % 2 else 1]:
                usage = side.act(name, number)
                if number:
                    side.samples.setdefault(name, []).append(usage)


def measured(
    both: list[Side], size: Size, distinct: int, rounds: int
) -> dict[str, Any]:
    """Measure a size; what goes into the JSON file."""
    for side in both:
        side.begin(size, distinct)
    take_turns(both, rounds)
    found = {
        "title": size.title,
        "files": size.files,
        "rows": {side.name: side.rows for side in both},
        "is_many_rows": size.classes > 1,
        "acts": {
            name: {side.name: figures(side.samples[name]) for side in both}
            for name in ROWS
        },
    }
    for side in both:
        shutil.rmtree(side.root)
    return found


def figures(samples: list[Usage]) -> dict[str, Any]:
    each = {
        "wall": [usage.wall for usage in samples],
        "cpu": [usage.cpu for usage in samples],
        "mib": [usage.parent_mib for usage in samples],
    }
    return {**{name: median(each[name]) for name in FIGURES}, "samples": each}


def sizes(options: argparse.Namespace) -> list[Size]:
    small = [Size(files) for files in options.files]
    return small + [Size(rows // CHUNKS, CLASSES) for rows in options.rows]


def benchmark(folder: Path, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Measure each size and print it. Raises `Unexpected`."""
    folder.mkdir()
    both = sides(folder, options)
    for size in sizes(options):
        found = measured(both, size, options.distinct, options.rounds)
        print(table(found), flush=True)
        yield found
