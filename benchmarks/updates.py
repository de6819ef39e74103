"""What does an update cost, by the size of the project and by the size of the change?

Makes repositories of several sizes (or clones real ones), indexes each with the installed
command, changes it as everyday work does, and runs the command after each change. Every run is
checked: its exit code and its counts must match the change.

    python benchmarks/updates.py [--files 1000,10000,50000] [--rows 200000]
        [--repo PATH ...] [--rounds N] [--json FILE] [--plot FILE.png]
    python benchmarks/updates.py --small | --against REV [--files …] [--rows …] …

The second form measures only changes of one file, looks and searches, by `turns.py`, with
`--against` at another revision too, in turn. The first does so after all the rest; `--rows`
are projects of fewer files with many chunks each, which only this measures.

Generated files share `--distinct` texts, because embedding 50,000 different ones takes long.
Each file has its own blob and its own row, but the first index embeds only the distinct texts,
and its time is the time for these. Updates are not affected: each embeds what it changed.

`git status -uall` is measured after each run, in the same state of the tree. It takes turns
with the runs that have nothing to do, and their ratio is the median over the pairs. The start
of a pool (interpreter, workers, the model in each, a new collection) is measured separately, on
the smallest project that gets a pool. It is subtracted from the first index only where the
output says so. p95 is by nearest rank: of fewer than 20 samples it is the largest.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from common import (
    LARGE_LINES,
    STATE,
    Indexer,
    Run,
    Unexpected,
    Usage,
    check_plot,
    clone,
    commit_project,
    emptied,
    git,
    headline,
    measure,
    median,
    module_text,
    p95,
    prepared,
    surroundings,
    tracked,
    write_json,
    write_project,
)

from indexer.config import DEFAULT_MAX_FILE_SIZE
from indexer.pool.cpus import available_cpus
from indexer.run.passes import SMALL_PLAN_BYTES
from indexer.text.decode import read_text
from indexer.tree.scan import scan

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FILES, ROWS = [1_000, 10_000, 50_000], [200_000]
EDITS = (1, 10, 100, 1_000)
FOLDER = 1_000  # files to rename, or to delete and bring back
BRANCH = 100  # files that differ between two branches
DISTINCT = 1_000
LEAST_FILES = 20
SUBMODULE = "160000"
PLOTTED = 10_000  # the project of about this many files has its edits plotted
FIRST, NO_OP, EDIT = "first", "no-op", "edit"
SHOWN = (
    *(FIRST, NO_OP, "clone", "touch", f"{EDIT} 1", "function"),
    *("rename", "switch", "back", "delete", "revert"),
)

# What the report says when nothing happened; each scenario names only what differs.
NOTHING: Mapping[str, object] = {
    "status": "updated",
    "files.added": 0,
    "files.modified": 0,
    "files.renamed": 0,
    "files.deleted": 0,
    "files.failed": 0,
    "chunks.embedded": 0,
    "chunks.truncated": 0,
}
UNCHANGED: Mapping[str, object] = {"status": "unchanged", "chunks.upserted": 0}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=numbers, help=f"'' for none; default: {FILES}")
    parser.add_argument(
        "--rows", type=numbers, help=f"default, without --files: {ROWS}"
    )
    parser.add_argument("--small", action="store_true", help="only a day's work")
    parser.add_argument("--against", metavar="REV", help="measure that too, in turn")
    parser.add_argument("--repo", type=Path, action="append", default=[])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--first-rounds", type=int, help="of the first index alone")
    parser.add_argument("--pairs", type=int, default=20, help="no-op with git status")
    parser.add_argument("--distinct", type=int, default=DISTINCT, help="texts")
    parser.add_argument("--jobs", type=int, default=0)
    parser.add_argument("--cache-dir", type=Path, help="where the converted model is")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    check_plot(options.plot)
    options.small = options.small or options.against is not None
    if options.small and (options.repo or options.plot):
        parser.error("--small and --against have no --repo, and growth.py plots them")
    if options.rows is None:
        options.rows = ROWS if options.files is None else []
    if options.files is None:
        options.files = FILES
    with tempfile.TemporaryDirectory() as name:
        benchmark(Path(name), options)


def numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",") if number]


def benchmark(folder: Path, options: argparse.Namespace) -> None:
    print(headline())
    results: dict[str, Any] = {**surroundings(), "rounds": options.rounds}
    if not options.small:
        measure_changes(folder, options, results)
    import turns

    results["growth"] = []
    for found in turns.benchmark(folder / "growth", options):
        results["growth"].append(found)
        write_json(options.json, results)


def measure_changes(
    folder: Path, options: argparse.Namespace, results: dict[str, Any]
) -> None:
    """Measure every scenario in every project but those of many rows."""
    indexer = prepared(folder, options.cache_dir, options.jobs)
    starts = measure_start(folder / "start", indexer, options.rounds)
    start = median([run.usage.wall for run in starts])
    print(f"start of a pool with its models: {start:.2f} s")
    results |= {"start": [run.as_dict() for run in starts], "repositories": []}
    measured: list[Session] = []
    for source in [*options.files, *options.repo]:
        root = folder / "project"
        if isinstance(source, int):
            project = generated(root, source, options.distinct)
        else:
            project = cloned(root, source)
        session = Session(project, indexer, options.rounds, options.pairs)
        session.measure(options.first_rounds or options.rounds)
        shutil.rmtree(root)
        measured.append(session)
        print(session.table(start), flush=True)
        results["repositories"].append(session.as_dict(start))
        write_json(options.json, results)
    if options.plot:
        plot(measured, options.plot)


def measure_start(root: Path, indexer: Indexer, rounds: int) -> list[Run]:
    """Measure first indexes of the smallest project that gets a pool.

    It has just enough different texts for each worker to get some, so that embedding them takes
    almost no time.
    """
    distinct = 4 * (indexer.jobs or available_cpus())
    root.mkdir()
    size = number = 0
    while size < SMALL_PLAN_BYTES:
        text = module_text(number % distinct) + "\n" * (number // distinct)
        (root / f"{number}.py").write_text(text)
        size += len(text)
        number += 1
    runs = []
    for _ in range(rounds):
        run = first_run(root, indexer, "start")
        check("start", run, {"files.added": number, "chunks.embedded": distinct})
        runs.append(run)
    return runs


def first_run(root: Path, indexer: Indexer, scenario: str) -> Run:
    """Index a project that has no index, with no embedding in the cache."""
    shutil.rmtree(root / STATE, ignore_errors=True)
    return emptied(indexer, indexer.cache).run(root, scenario)


def check(scenario: str, run: Run, expected: Mapping[str, object]) -> None:
    """Raise `Unexpected` unless each field of the report, by its path, is as expected.

    A field is compared with a value or looked up in a range.
    """
    for name, wanted in {**NOTHING, **expected}.items():
        found = run.value(name)
        if not (found in wanted if isinstance(wanted, range) else found == wanted):
            raise Unexpected(
                f"{scenario}: {name} is {found} where it should be {wanted}"
            )


# ---- Projects ----


@dataclass(frozen=True, slots=True)
class Project:
    """A repository, and which of its files are going to be changed.

    `candidates` counts the files that a run reads when it knows nothing. `editable` lists the
    indexed UTF-8 files in the order in which they are edited. `folder`, with its numbers of
    candidates and of indexed files, is the one to rename and to delete. `distinct` is the
    number of texts that the small files of a generated project share, 0 for a real project.
    """

    name: str
    root: Path
    candidates: int
    editable: list[str]
    large: str
    folder: str
    folder_candidates: int
    folder_indexed: int
    distinct: int

    @property
    def is_exact(self) -> bool:
        """Whether the chunks are known in advance, and an edited file has exactly one."""
        return self.distinct > 0


def generated(root: Path, files: int, distinct: int) -> Project:
    distinct = min(distinct, files - 2)
    write_project(root, files, distinct=distinct, group=folder_size(files))
    commit_project(root)
    return described(f"{files:,} generated files", root, distinct)


def cloned(root: Path, source: Path) -> Project:
    clone(source, root)
    return described(source.resolve().name, root, distinct=0)


def described(name: str, root: Path, distinct: int) -> Project:
    """Choose what to change; equal repositories give equal choices."""
    git(root, "checkout", "--quiet", "-B", "benchmark")
    tree = scan(
        str(root), max_file_size=DEFAULT_MAX_FILE_SIZE, own_paths=[str(root / STATE)]
    )
    lines: dict[str, int] = {}  # of each editable file
    indexed = Counter[str]()  # files below each folder
    for file in tree.files:
        data = (root / file.path).read_bytes()
        if read_text(file.path, data)[1]:
            continue
        indexed.update(str(folder) for folder in PurePosixPath(file.path).parents)
        if is_utf8(data):
            lines[file.path] = data.count(b"\n")
    large = min(lines, key=lambda path: abs(lines[path] - LARGE_LINES))
    # Neighbours in this order are seldom in the same folder.
    editable = sorted(lines.keys() - {large}, key=lambda path: path[::-1])
    most = folder_size(len(tree.files))
    for path, (mode, _) in tracked(root).items():
        if mode == SUBMODULE:
            for parent in PurePosixPath(path).parents:
                indexed.pop(str(parent), None)
    fitting = [found for found in indexed if indexed[found] <= most]
    if len(editable) < LEAST_FILES or not fitting:
        raise Unexpected(f"{name}: too few files, or none in a folder")
    folder = max(fitting, key=lambda path: (indexed[path], path))
    below = [file for file in tree.files if file.path.startswith(f"{folder}/")]
    return Project(
        name,
        root,
        len(tree.files),
        editable,
        large,
        folder,
        len(below),
        indexed[folder],
        distinct,
    )


def is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def folder_size(files: int) -> int:
    """How many files to rename or delete, at most half of the project."""
    return min(FOLDER, files // 2)


def at_least(least: int) -> range:
    return range(least, sys.maxsize)


def at_most(most: int) -> range:
    return range(most + 1)


# ---- Scenarios ----


@dataclass(slots=True)
class Scenario:
    """A change of `size` files, and what the command and `git status` used after it."""

    key: str
    title: str
    size: int
    runs: list[Run] = field(default_factory=list)
    status: list[Usage] = field(default_factory=list)

    def walls(self) -> list[float]:
        return [run.usage.wall for run in self.runs]

    def cpus(self) -> list[float]:
        return [run.usage.cpu for run in self.runs]

    def status_walls(self) -> list[float]:
        return [usage.wall for usage in self.status]

    def ratios(self) -> list[float]:
        """The command's time divided by that of `git status`, pair by pair."""
        pairs = zip(self.walls(), self.status_walls(), strict=True)
        return [ours / theirs for ours, theirs in pairs]


class Session:
    """The scenarios of one repository, one after the other on the same index."""

    def __init__(
        self, project: Project, indexer: Indexer, rounds: int, pairs: int
    ) -> None:
        self.project = project
        self.scenarios: dict[str, Scenario] = {}
        self.rows = 0
        self.opened: dict[str, object] = {}
        self._root = project.root
        self._indexer = indexer
        self._rounds = rounds
        self._pairs = pairs
        self._numbers = count()

    def measure(self, first_rounds: int) -> None:
        """Run every scenario. Raises `Unexpected`."""
        self._first_index(first_rounds)
        self._no_op()
        self.opened = opened_by_no_op(self._root, self._indexer)
        scenarios: list[Callable[[], None]] = [self._fresh_clone, self._touch]
        for size in sorted({self._size(edits, 2) for edits in EDITS}):
            scenarios.append(partial(self._edit, size))
        scenarios += [self._edit_large, self._rename, self._switch, self._delete]
        for scenario in scenarios:
            for _ in range(self._rounds):
                scenario()
                self._check_restored(list(self.scenarios.values())[-1].title)

    def _first_index(self, rounds: int) -> None:
        files = self.project.candidates
        for _ in range(rounds):
            run = first_run(self._root, self._indexer, FIRST)
            self.rows = run.count("chunks.total")
            embedded = self.rows - run.count("chunks.cached")
            expected: dict[str, object] = {
                "files.read": files,
                "files.added": at_least(1),
            }
            if self.project.is_exact:
                # The README and each chunk of the large file have texts of their own.
                embedded = self.project.distinct + 1 + self.rows - (files - 1)
                expected |= {"files.added": files, "files.scanned": files}
            expected["chunks.embedded"] = embedded
            check(FIRST, run, expected)
            self._note(FIRST, "first index", files, run, self._git_status(self._root))

    def _no_op(self) -> None:
        expected = {**UNCHANGED, "files.read": 0}
        for number in range(self._pairs):
            # They alternate, so that neither always finds the caches warm.
            if number % 2:
                status = self._git_status(self._root)
                run = self._run(NO_OP, expected)
            else:
                run = self._run(NO_OP, expected)
                status = self._git_status(self._root)
            self._note(NO_OP, "nothing to do", 0, run, status)

    def _fresh_clone(self) -> None:
        """Index a fresh clone with a restored state folder and cache, as a CI job does."""
        files = self.project.candidates
        root = self._root.with_name("fresh")
        clone(self._root, root)
        shutil.copytree(self._root / STATE, root / STATE)
        run = self._indexer.run(root, "fresh clone")
        check("fresh clone", run, {**UNCHANGED, "files.read": at_most(files)})
        status = self._git_status(root)
        self._note("clone", "fresh clone, state restored", 0, run, status)
        shutil.rmtree(root)

    def _touch(self) -> None:
        files = git(self._root, "ls-files", "-z").split("\0")[:-1]
        for path in files:
            if not (self._root / path).is_symlink():
                os.utime(self._root / path)
        expected = {**UNCHANGED, "files.read": at_most(self.project.candidates)}
        self._update("touch", "touch every file", 0, expected)

    def _edit(self, size: int) -> None:
        paths = self.project.editable[:size]
        for path in paths:
            append_line(self._root / path, next(self._numbers))
        expected = {
            "files.read": size,
            "files.modified": size,
            "chunks.embedded": self._embeds(size),
        }
        title = f"edit {size:,} file" + "s" * (size > 1)
        self._update(f"{EDIT} {size}", title, size, expected)
        self._revert(size)

    def _edit_large(self) -> None:
        path = self._root / self.project.large
        lines = insert_line(path, next(self._numbers))
        # The boundaries of a chunk or two may move with the line.
        embedded = range(1, 5) if self.project.is_exact else at_least(1)
        expected = {"files.read": 1, "files.modified": 1, "chunks.embedded": embedded}
        self._update("function", f"edit one function of {lines:,} lines", 1, expected)
        self._revert(1)

    def _rename(self) -> None:
        folder = self.project.folder
        files = self.project.folder_indexed
        expected = {"files.read": self._folder_reads(), "files.renamed": files}
        git(self._root, "mv", folder, f"{folder}_moved")
        self._update("rename", f"rename a folder of {files:,} files", files, expected)
        git(self._root, "mv", f"{folder}_moved", folder)
        self._run("rename back", expected)

    def _switch(self) -> None:
        """Switch to a branch that was never indexed, back, and to that branch again."""
        number = next(self._numbers)
        size = self._size(BRANCH, 10)
        few = size // 10
        counts = {
            "files.modified": size - 2 * few,
            "files.added": few,
            "files.deleted": few,
        }
        counts["files.read"] = size - few
        branch = f"branch-{number}"
        make_branch(self._root, branch, self.project.editable[:size], few, number)
        for key, target, title, embedded in (
            ("switch", branch, "switch to a new branch", self._embeds(size - few)),
            ("back", "benchmark", "switch back", 0),
            ("again", branch, "switch to it again", 0),
        ):
            git(self._root, "checkout", "--quiet", target)
            expected = {**counts, "chunks.embedded": embedded}
            self._update(key, f"{title}, {size:,} files", size, expected)
        git(self._root, "checkout", "--quiet", "benchmark")
        self._run("switch back", counts)

    def _delete(self) -> None:
        folder = self.project.folder
        files = self.project.folder_indexed
        shutil.rmtree(self._root / folder)
        title = f"delete {files:,} files"
        self._update("delete", title, files, {"files.read": 0, "files.deleted": files})
        git(self._root, "checkout", "--quiet", "--", folder)
        expected = {"files.read": self._folder_reads(), "files.added": files}
        self._update("revert", f"bring {files:,} files back", files, expected)

    def _update(
        self, key: str, title: str, size: int, expected: Mapping[str, object]
    ) -> None:
        run = self._run(title, expected)
        self._note(key, title, size, run, self._git_status(self._root))

    def _revert(self, size: int) -> None:
        """Undo the edits of so many files and index the result, which is not measured."""
        git(self._root, "checkout", "--quiet", "--", ".")
        self._run("revert", {"files.read": size, "files.modified": size})

    def _run(self, scenario: str, expected: Mapping[str, object]) -> Run:
        run = self._indexer.run(self._root, scenario)
        check(scenario, run, expected)
        return run

    def _size(self, size: int, share: int) -> int:
        """How many files to change, at most one `share`-th of the project."""
        most = self.project.candidates // share
        return min(size, most, len(self.project.editable))

    def _check_restored(self, scenario: str) -> None:
        """Check that the next round finds what this one found."""
        expected = {**UNCHANGED, "files.read": 0, "chunks.total": self.rows}
        self._run(f"nothing to do after {scenario}", expected)

    def _folder_reads(self) -> range:
        """How many files are read when the folder is new: at least those that get rows."""
        return range(self.project.folder_indexed, self.project.folder_candidates + 1)

    def _embeds(self, edits: int) -> object:
        return edits if self.project.is_exact else at_least(edits)

    def _git_status(self, root: Path) -> Usage:
        ended = measure("git", "-C", root, "status", "-uall", keep_output=False)
        if ended.code:
            raise Unexpected(f"git status ended with {ended.code}: {ended.errors}")
        return ended.usage

    def _note(self, key: str, title: str, size: int, run: Run, status: Usage) -> None:
        scenario = self.scenarios.setdefault(key, Scenario(key, title, size))
        scenario.runs.append(run)
        scenario.status.append(status)

    # ---- Results ----

    def table(self, start: float) -> str:
        first = self.scenarios[FIRST]
        lines = [
            "",
            f"{self.project.name}: {self.project.candidates:,} files, {self.rows:,} rows, "
            f"{first.runs[-1].count('chunks.embedded'):,} texts embedded at first",
            f"{'':38}{'wall s':>9}{'p95':>8}{'CPU s':>9}{'p95':>8}{'read':>9}"
            f"{'embedded':>9}{'cached':>9}{'MiB':>6}{'git status s':>14}",
        ]
        if self.project.is_exact:
            texts = f"{self.project.distinct:,} different texts"
            lines.insert(
                2, f"The small files share {texts}: that is what was embedded."
            )
        if folder_size(self.project.candidates) < FOLDER:
            lines.insert(2, "The project is small: large changes are scaled down.")
        for scenario in self.scenarios.values():
            walls, cpus, last = scenario.walls(), scenario.cpus(), scenario.runs[-1]
            peak = max(run.usage.parent_mib for run in scenario.runs)
            lines.append(
                f"{scenario.title:38}{median(walls):9.3f}{p95(walls):8.3f}"
                f"{median(cpus):9.3f}{p95(cpus):8.3f}{last.count('files.read'):9,}"
                f"{last.count('chunks.embedded'):9,}{last.count('chunks.cached'):9,}{peak:6.0f}"
                f"{median(scenario.status_walls()):14.3f}"
            )
        no_op = self.scenarios[NO_OP]
        lines += [
            f"first index without the start of its pool: {self.without(start):.3f} s",
            f"nothing to do takes {median(no_op.ratios()):.2f} times as long as git status "
            f"(median of {len(no_op.runs)} pairs)",
            f"nothing to do opens {self.opened['files']} files of the project, and "
            f"{self.opened['ignore_files']} ignore files ({self.opened['method']})",
        ]
        return "\n".join(lines)

    def without(self, start: float) -> float:
        """The seconds of a first index without the start of its pool."""
        return median(self.scenarios[FIRST].walls()) - start

    def as_dict(self, start: float) -> dict[str, Any]:
        return {
            "name": self.project.name,
            "generated": self.project.is_exact,
            "distinct": self.project.distinct,
            "files": self.project.candidates,
            "rows": self.rows,
            "first_index_without_start": self.without(start),
            "no_op_to_git_status": median(self.scenarios[NO_OP].ratios()),
            "opened_by_no_op": self.opened,
            "scenarios": [
                {
                    "key": scenario.key,
                    "title": scenario.title,
                    "change": scenario.size,
                    "wall": {"median": median(walls), "p95": p95(walls)},
                    "cpu": {"median": median(cpus), "p95": p95(cpus)},
                    "git_status": {
                        "median": median(scenario.status_walls()),
                        "samples": scenario.status_walls(),
                    },
                    "samples": [run.as_dict() for run in scenario.runs],
                }
                for scenario in self.scenarios.values()
                for walls, cpus in [(scenario.walls(), scenario.cpus())]
            ],
        }


# ---- Changes ----


def edited_line(number: int) -> bytes:
    """A line that no file contained before."""
    return b"edited = %d\n" % number


def with_line(data: bytes, number: int) -> bytes:
    end = b"" if data.endswith(b"\n") else b"\n"
    return data + end + edited_line(number)


def append_line(path: Path, number: int) -> None:
    path.write_bytes(with_line(path.read_bytes(), number))


def insert_line(path: Path, number: int) -> int:
    """Insert a line in the middle, indented like the next one; return how many there were."""
    lines = path.read_bytes().splitlines(keepends=True)
    middle = len(lines) // 2
    below = lines[middle]
    indent = below[: len(below) - len(below.lstrip(b" \t"))]
    lines.insert(middle, indent + edited_line(number))
    path.write_bytes(b"".join(lines))
    return len(lines) - 1


def make_branch(root: Path, name: str, paths: list[str], few: int, number: int) -> None:
    """Make a branch that differs in `paths`, without touching the work tree.

    `few` of the files are deleted, as many get a new name, and the others are edited.
    """
    base = git(root, "rev-parse", "HEAD").strip()
    stream = bytearray(f"commit refs/heads/{name}\n".encode())
    stream += b"committer benchmark <benchmark@example.org> 1700000000 +0000\n"
    stream += f"data 0\nfrom {base}\n".encode()
    for position, path in enumerate(paths):
        data = with_line((root / path).read_bytes(), number * 1_000_000 + position)
        if position < few:
            stream += b"D " + os.fsencode(path) + b"\n"
            continue
        if position < 2 * few:
            stem, suffix = os.path.splitext(path)
            path = f"{stem}_{number}{suffix}"
        stream += b"M 100644 inline " + os.fsencode(path) + b"\n"
        stream += b"data %d\n" % len(data) + data + b"\n"
    git(root, "fast-import", "--quiet", data=bytes(stream))


# ---- What a run opens ----

IGNORE_FILES = {".gitignore", ".codxignore"}
RESULT = re.compile(r"= \d+<(.*)>$")
HOOK = """
import os, sys
log = os.open(os.environ["OPENED_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
def note(event, arguments):
    if event == "open" and isinstance(arguments[0], (str, bytes)):
        os.write(log, os.fsencode(arguments[0]) + b"\\n")
sys.addaudithook(note)
"""


def opened_by_no_op(root: Path, indexer: Indexer) -> dict[str, object]:
    """How many files of the project a run opens when it has nothing to do.

    `ignore_files` counts the files that say what belongs to the project, git's included. Raises
    `Unexpected` when any other file is opened.
    """
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "log")
        method = "strace"
        paths = traced(root, indexer, log) if shutil.which("strace") else None
        if paths is None:
            method = "audit hook, git's own not seen"
            paths = audited(root, indexer, log)
    below = [path for path in paths if is_of_project(root, path)]
    files = [path for path in below if path.name not in IGNORE_FILES]
    if files:
        raise Unexpected(f"{NO_OP}: it opened {len(files)} files, such as {files[0]}")
    return {"files": 0, "ignore_files": len(below), "method": method}


def traced(root: Path, indexer: Indexer, log: Path) -> list[Path] | None:
    """The paths that the processes of a run opened, None where tracing is not allowed."""
    tracer = ("strace", "-f", "-qq", "-y", "-e", "trace=openat,open", "-o", log)
    command = (*indexer.command(), "run", str(root), "--json")
    variables = indexer.variables()
    ended = measure(*tracer, *command, variables=variables, folder=log.parent)
    if ended.code:
        return None
    lines = log.read_text(errors="surrogateescape").splitlines()
    return [Path(found[1]) for line in lines if (found := RESULT.search(line))]


def audited(root: Path, indexer: Indexer, log: Path) -> list[Path]:
    """The paths that Python itself opened or tried to open.

    A relative path is relative to a folder that was opened before; only the project is read in
    this way.
    """
    (log.parent / "sitecustomize.py").write_text(HOOK)
    hooked = {"PYTHONPATH": str(log.parent), "OPENED_LOG": str(log)}
    ended = measure(
        *indexer.command(),
        "run",
        root,
        "--json",
        variables={**indexer.variables(), **hooked},
        folder=log.parent,
    )
    if ended.code:
        raise Unexpected(f"{NO_OP}, with a hook: {ended.errors}")
    return [root / name for name in log.read_text().splitlines()]


def is_of_project(root: Path, path: Path) -> bool:
    """Whether a path is a file below the root that belongs neither to git nor to the index."""
    if not path.is_relative_to(root) or not path.is_file():
        return False
    return {".git", ".codx"}.isdisjoint(path.relative_to(root).parts)


# ---- The plot ----


def plot(sessions: list[Session], path: Path) -> None:
    """Plot the cost by the size of the project and by the size of the change."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(15, 5.5), layout="constrained")
    plot_projects(left, sorted(sessions, key=files_of))
    plot_edits(right, min(sessions, key=lambda one: abs(files_of(one) - PLOTTED)))
    for axes in (left, right):
        axes.set(xscale="log", yscale="log", ylabel="seconds")
        axes.legend(fontsize="small", loc="upper left", bbox_to_anchor=(1, 1))
    figure.savefig(path, dpi=150)


def plot_projects(axes: Axes, sessions: list[Session]) -> None:
    made = [session for session in sessions if session.project.is_exact]
    real = [session for session in sessions if not session.project.is_exact]
    for number, key in enumerate(SHOWN):
        colour, mark = f"C{number % 10}", "os"[number // 10]
        for group, style in ((made, f"{mark}-"), (real, "x")):
            walls = [median(session.scenarios[key].walls()) for session in group]
            label = title(sessions, key) if group is (made or real) else None
            sizes = [files_of(session) for session in group]
            axes.plot(sizes, walls, style, color=colour, label=label)
    status = [median(session.scenarios[NO_OP].status_walls()) for session in sessions]
    sizes = [files_of(session) for session in sessions]
    axes.plot(sizes, status, "k--", marker=".", label="git status -uall")
    axes.set_xlabel("files in the project" + " (x: real ones)" * bool(real))
    axes.set_title("by the size of the project")


def plot_edits(axes: Axes, session: Session) -> None:
    edits = [one for one in session.scenarios.values() if one.key.startswith(EDIT)]
    sizes = [scenario.size for scenario in edits]
    axes.plot(sizes, [median(one.walls()) for one in edits], "o-", label="wall")
    axes.plot(sizes, [median(one.cpus()) for one in edits], "o-", label="CPU")
    status = [median(one.status_walls()) for one in edits]
    axes.plot(sizes, status, "k--", marker=".", label="git status -uall")
    no_op = median(session.scenarios[NO_OP].walls())
    axes.axhline(no_op, ls=":", label="nothing to do")
    axes.set_xlabel("files edited")
    axes.set_title(f"by the size of the change, {session.project.name}")


def files_of(session: Session) -> int:
    return session.project.candidates


def title(sessions: list[Session], key: str) -> str:
    """The title in the largest project, because small ones scale the change down."""
    largest = max(sessions, key=lambda session: session.project.candidates)
    return largest.scenarios[key].title


if __name__ == "__main__":
    try:
        main()
    except Unexpected as error:
        sys.exit(str(error))
