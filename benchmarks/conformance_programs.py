"""The programs that are compared: how each is installed, told to index, asked and read."""

from __future__ import annotations

import functools
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterable
from contextlib import closing, suppress
from pathlib import Path
from typing import ClassVar

from common import STATE, Indexer, Unexpected, descendants, measure
from conformance_tree import PROBE, Found
from peers import OFFLINE, SCRIPTS, install, last_line, model_folder

Done = subprocess.CompletedProcess[str]
TIME_LIMIT = 1_200  # seconds for one command; only ever reached by one that hangs
# Root may read everything; without these capabilities it may not.
UNPRIVILEGED = ("setpriv", "--bounding-set", "-dac_override,-dac_read_search")
SILENT = {
    **OFFLINE,
    "ANONYMIZED_TELEMETRY": "false",
    "CODEGRAPH_TELEMETRY": "0",
    "NO_COLOR": "1",
    "PYTHONWARNINGS": "ignore",
}


class Program(ABC):
    """A program that keeps an index of a tree; a `Tool` for the events.

    `commands` are what a user is told to type first, after a change, and to learn whether there
    was one, "" without such a command. `not_claimed` gives the reason why an event says nothing of
    this program, from its documentation.
    """

    name: ClassVar[str]
    state: tuple[str, ...] = ()
    is_only_for_tracked: bool = False
    commands: ClassVar[tuple[str, str, str]]
    not_claimed: ClassVar[dict[str, str]] = {}

    def __init__(self, folder: Path, environments: Path) -> None:
        self.folder = folder / self.name
        self.home = self.folder / "home"
        self.environment = environments / self.name
        self.version = ""
        self.said = ""  # by the last command, if it failed
        self._prefix: tuple[str, ...] = ()

    # What is different

    @abstractmethod
    def install(self) -> None:
        """Get ready, once, and learn the version. Raises `Unexpected` when it is impossible."""

    @abstractmethod
    def read(self, root: Path) -> Found:
        """The probes that the index holds, by path."""

    @abstractmethod
    def leave_out(self, root: Path, folder: str) -> None:
        """Leave a folder out of the index, by the program's own settings."""

    def first_command(self, root: Path) -> list[str | Path]:
        return self.update_command(root)

    @abstractmethod
    def update_command(self, root: Path) -> list[str | Path]: ...

    def says_changed(self, root: Path) -> bool | None:
        """Whether it says that the index differs from the tree, None if it does not tell."""
        return None

    def check(self, root: Path) -> list[str]:
        """What the program's own check of its index finds."""
        return []

    # What is the same

    def close(self) -> None:
        """End every process that still runs: none, but for programs with a daemon."""
        return

    def first(self, root: Path) -> None:
        self._run(self.first_command(root), root)
        if self.said:
            raise Unexpected(f"the first index failed: {self.said}")

    def update(self, root: Path) -> None:
        self._run(self.update_command(root), root)

    def start(self, root: Path) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self._whole(self.update_command(root)),
            cwd=root,
            env=self.variables(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        for pid in list(descendants(process.pid)):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()

    def restrict(self, is_restricted: bool) -> None:
        is_root = os.geteuid() == 0
        self._prefix = UNPRIVILEGED if is_restricted and is_root else ()

    def variables(self) -> dict[str, str]:
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("CODX_INDEX_", "PYTHONSAFEPATH"))
        }
        return {**kept, **SILENT, "HOME": str(self.home)}

    def _run(self, command: list[str | Path], root: Path) -> Done:
        done = subprocess.run(
            self._whole(command),
            cwd=root,
            env=self.variables(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
        )
        self.said = last_said(done) if done.returncode else ""
        return done

    def _whole(self, command: list[str | Path]) -> list[str | Path]:
        limit = ("timeout", "--signal=KILL", str(TIME_LIMIT))
        return [*limit, *without_network(), *self._prefix, *command]


class Ours(Program):
    """The installed codx-index."""

    name = "codx-index"
    state = (".codx",)
    commands = ("codx-index run", "codx-index run", "codx-index status --check")

    def __init__(self, folder: Path, environments: Path, indexer: Indexer) -> None:
        super().__init__(folder, environments)
        self._indexer = indexer

    def install(self) -> None:
        done = self._run([*self._indexer.command(), "--version"], Path.cwd())
        self.version = done.stdout.split()[-1]

    def update_command(self, root: Path) -> list[str | Path]:
        return [*self._indexer.command(), "run", "--quiet"]

    def leave_out(self, root: Path, folder: str) -> None:
        add_line(root / ".codxignore", f"/{folder}/")

    def says_changed(self, root: Path) -> bool | None:
        done = self._run([*self._indexer.command(), "status", "--check"], root)
        return {0: False, 1: True}[done.returncode]

    def check(self, root: Path) -> list[str]:
        self._run([*self._indexer.command(), "verify"], root)
        return [f"verify: {self.said}"] if self.said else []

    def read(self, root: Path) -> Found:
        """Read here, because the benchmark runs in our environment."""
        from indexer.milvus.embedded import serve
        from indexer.paths import unescape_path

        state = str(root / STATE)
        store = serve(f"{state}/milvus.db", state, "codx_index", patience=60)
        store.open()
        try:
            rows = store.fetch([key.id for key in store.keys()])
            return gathered((unescape_path(row["path"]), row["text"]) for row in rows)
        finally:
            store.close()

    def variables(self) -> dict[str, str]:
        return {**super().variables(), **self._indexer.variables()}


class PythonPeer(Program):
    """A program that pip installs into an environment of its own."""

    requirements: ClassVar[tuple[str, ...]]

    def install(self) -> None:
        install(self.environment, self.requirements, self.prepare)
        self.version = self.requirements[0].split("==")[1]
        self.home.mkdir(parents=True, exist_ok=True)

    def prepare(self) -> None:
        """Do what an installation needs besides its packages."""

    def bin(self, name: str) -> Path:
        return self.environment / "bin" / name

    def packages(self) -> Path:
        (folder,) = self.environment.glob("lib/python*/site-packages")
        return folder


class CocoIndex(PythonPeer):
    """Vectors of chunks in sqlite, kept by a daemon."""

    name = "cocoindex-code"
    state = (".cocoindex_code",)
    requirements = (
        "cocoindex-code==0.2.42",
        "cocoindex==1.0.26",
        "pysqlite3-binary==0.5.4.post2",
        "sentence-transformers",
        "torch",
    )
    commands = ("ccc init; ccc index", "ccc index", "")
    not_claimed = {"info exclude": "it reads .gitignore and settings of its own"}

    def install(self) -> None:
        super().install()
        settings = {
            "provider": "sentence-transformers",
            "model": str(model_folder()),
            "indexing_params": {},
            "query_params": {},
        }
        # JSON is valid YAML.
        text = json.dumps({"embedding": settings})
        (self.home / "global_settings.yml").write_text(text)

    def prepare(self) -> None:
        """Replace Python's own sqlite, which often cannot load the index's extensions."""
        (self.packages() / "sitecustomize.py").write_text(
            "import sys\n\nimport pysqlite3\n\nsys.modules['sqlite3'] = pysqlite3\n"
        )

    def first(self, root: Path) -> None:
        self._run([self.bin("ccc"), "init"], root)
        super().first(root)

    def update_command(self, root: Path) -> list[str | Path]:
        return [self.bin("ccc"), "index"]

    def leave_out(self, root: Path, folder: str) -> None:
        settings = root / ".cocoindex_code" / "settings.yml"
        lines = settings.read_text().splitlines()
        at = lines.index("exclude_patterns:") + 1
        lines.insert(at, f"- '{folder}/**'")
        settings.write_text("\n".join(lines) + "\n")

    def read(self, root: Path) -> Found:
        database = root / ".cocoindex_code" / "target_sqlite.db"
        return read_by(self.bin("python"), self.name, database)

    def variables(self) -> dict[str, str]:
        return {**super().variables(), "COCOINDEX_CODE_DIR": str(self.home)}

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        super().kill(process)
        self._kill_daemon()

    def restrict(self, is_restricted: bool) -> None:
        self._kill_daemon()
        super().restrict(is_restricted)

    def close(self) -> None:
        self._kill_daemon()

    def _kill_daemon(self) -> None:
        with suppress(OSError, ValueError):
            pid = int((self.home / "daemon.pid").read_text())
            if b"ccc" in Path(f"/proc/{pid}/cmdline").read_bytes():
                os.kill(pid, signal.SIGKILL)


class ChunkHound(PythonPeer):
    """Chunks in DuckDB; without an embedding service, its search by regular expressions."""

    name = "chunkhound"
    state = (".chunkhound",)
    requirements = (
        "chunkhound==6.1.0",
        "duckdb==1.5.4",
        "duckdb-extension-vss==1.5.4",
    )
    commands = (
        "chunkhound index --no-embeddings",
        "chunkhound index --no-embeddings",
        "",
    )

    def install(self) -> None:
        """Put the extension of the database where it would download it to."""
        super().install()
        source = self.packages() / "duckdb_extension_vss" / "extensions" / "v1.5.4"
        target = self.home / ".duckdb" / "extensions" / "v1.5.4" / "linux_amd64"
        shutil.copytree(source, target, dirs_exist_ok=True)

    def update_command(self, root: Path) -> list[str | Path]:
        return [self.bin("chunkhound"), "index", "--no-embeddings", root]

    def leave_out(self, root: Path, folder: str) -> None:
        add_to_json(root / ".chunkhound.json", "indexing.exclude", f"{folder}/**")

    def read(self, root: Path) -> Found:
        database = root / ".chunkhound" / "db" / "chunks.db"
        return read_by(self.bin("python"), self.name, database)


class Semble(PythonPeer):
    """Static vectors and words of chunks; a search brings its index up to date."""

    name = "semble"
    requirements = ("semble==0.7.0",)
    commands = ("semble search", "semble search", "")
    not_claimed = {"info exclude": "it reads .gitignore and .sembleignore"}

    def install(self) -> None:
        super().install()
        ended = measure(
            self.bin("python"),
            SCRIPTS / "static_model.py",
            model_folder(),
            self._model,
            variables=self.variables(),
        )
        if ended.code:
            raise Unexpected(f"no model could be made: {last_line(ended)}")

    @property
    def _model(self) -> Path:
        return self.home / "model"

    def update_command(self, root: Path) -> list[str | Path]:
        return [self.bin("semble"), "search", "probe value", root, "-k", "1000"]

    def leave_out(self, root: Path, folder: str) -> None:
        add_line(root / ".sembleignore", f"/{folder}/")

    def read(self, root: Path) -> Found:
        """All of its chunks, which are fewer than it is asked for."""
        done = self._run(self.update_command(root), root)
        if self.said:
            raise Unexpected(f"it cannot be searched: {self.said}")
        found = json.loads(done.stdout)["results"]
        return gathered((one["file_path"], one["content"]) for one in found)

    def variables(self) -> dict[str, str]:
        return {
            **super().variables(),
            "SEMBLE_MODEL_NAME": str(self._model),
            "SEMBLE_CACHE_LOCATION": str(self.home / "cache"),
        }


class CodeReviewGraph(PythonPeer):
    """A graph of symbols in sqlite."""

    name = "code-review-graph"
    state = (".code-review-graph",)
    is_only_for_tracked = True
    requirements = ("code-review-graph==2.3.9",)
    not_claimed = dict.fromkeys(
        (
            *("ignored", "no longer ignored", "negated", "nested gitignore"),
            *("info exclude", "clean"),
        ),
        "only tracked files are indexed",
    )
    commands = ("code-review-graph build", "code-review-graph update", "")

    def first_command(self, root: Path) -> list[str | Path]:
        return [self.bin("code-review-graph"), "build", "--quiet"]

    def update_command(self, root: Path) -> list[str | Path]:
        return [self.bin("code-review-graph"), "update", "--quiet"]

    def leave_out(self, root: Path, folder: str) -> None:
        add_line(root / ".code-review-graphignore", f"{folder}/**")

    def read(self, root: Path) -> Found:
        return symbols_in(root / ".code-review-graph" / "graph.db", root)


class Graphify(PythonPeer):
    """A graph of symbols in a JSON file."""

    name = "graphify"
    state = ("graphify-out",)
    requirements = ("graphifyy==0.9.96",)
    commands = ("graphify update .", "graphify update .", "")

    def update_command(self, root: Path) -> list[str | Path]:
        return [self.bin("graphify"), "update", "."]

    def leave_out(self, root: Path, folder: str) -> None:
        add_line(root / ".graphifyignore", f"{folder}/")

    def read(self, root: Path) -> Found:
        graph = json.loads((root / "graphify-out" / "graph.json").read_text())
        nodes = [(one.get("source_file"), one.get("label")) for one in graph["nodes"]]
        return gathered((path, label) for path, label in nodes if path and label)


class CodeGraph(Program):
    """A graph of symbols in sqlite, from npm."""

    name = "codegraph"
    state = (".codegraph",)
    package = "@colbymchenry/codegraph"
    commands = ("codegraph init", "codegraph sync", "codegraph status --json")

    def install(self) -> None:
        self.version = "1.6.1"
        self.home.mkdir(parents=True, exist_ok=True)
        self.environment.mkdir(parents=True, exist_ok=True)
        if self._command.exists():
            return
        if not shutil.which("npm"):
            raise Unexpected("it cannot be installed: there is no npm")
        print(f"installing {self.name} …", file=sys.stderr)
        wanted = f"{self.package}@{self.version}"
        ended = measure("npm", "install", "--prefix", self.environment, wanted)
        if ended.code:
            raise Unexpected(f"it cannot be installed: {last_line(ended)}")

    @property
    def _command(self) -> Path:
        return self.environment / "node_modules" / ".bin" / "codegraph"

    def first_command(self, root: Path) -> list[str | Path]:
        return [self._command, "init", root]

    def update_command(self, root: Path) -> list[str | Path]:
        return [self._command, "sync", root]

    def leave_out(self, root: Path, folder: str) -> None:
        add_to_json(root / "codegraph.json", "exclude", f"{folder}/")

    def says_changed(self, root: Path) -> bool | None:
        done = self._run([self._command, "status", "--json", root], root)
        status = json.loads(done.stdout)
        return any(status["pendingChanges"].values())

    def read(self, root: Path) -> Found:
        return symbols_in(root / ".codegraph" / "codegraph.db", root)


PEERS: dict[str, type[Program]] = {
    peer.name: peer
    for peer in (
        *(CocoIndex, ChunkHound, Semble),
        *(CodeGraph, CodeReviewGraph, Graphify),
    )
}


# ---- Reading an index ----


def read_by(python: Path, program: str, place: Path) -> Found:
    """The probes in an index that only its own environment can read."""
    script = SCRIPTS / "probes_in.py"
    done = subprocess.run(
        [python, script, program, place],
        env={**os.environ, **SILENT},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise Unexpected(f"the index cannot be read: {last_said(done)}")
    found = json.loads(done.stdout)
    return {path: frozenset(probes) for path, probes in found.items()}


def symbols_in(database: Path, root: Path) -> Found:
    """The probes among the names of symbols."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        connection.text_factory = os.fsdecode
        rows = connection.execute("SELECT file_path, name FROM nodes").fetchall()
    return gathered((within(path, root), name) for path, name in rows)


def within(path: str, root: Path) -> str:
    return path.removeprefix(f"{root}/")


def gathered(rows: Iterable[tuple[str, str]]) -> Found:
    found: defaultdict[str, set[str]] = defaultdict(set)
    for path, text in rows:
        found[path] |= set(PROBE.findall(text))
    return {path: frozenset(probes) for path, probes in found.items() if probes}


def last_said(done: Done) -> str:
    lines = (done.stderr.strip() or done.stdout.strip()).splitlines()
    return lines[-1] if lines else f"it ended with {done.returncode}"


# ---- Settings of programs ----


def add_line(path: Path, line: str) -> None:
    with path.open("a") as file:
        file.write(f"{line}\n")


def add_to_json(path: Path, place: str, value: str) -> None:
    """Add a value to a list in a JSON file, which may not exist yet."""
    settings = json.loads(path.read_text()) if path.exists() else {}
    *sections, name = place.split(".")
    inner = settings
    for section in sections:
        inner = inner.setdefault(section, {})
    inner.setdefault(name, []).append(value)
    path.write_text(json.dumps(settings))


# ---- Processes ----


@functools.cache
def without_network() -> tuple[str, ...]:
    """What takes the network from a command, nothing where that is not allowed."""
    command = ("unshare", "--net", *(() if os.geteuid() == 0 else ("--map-root-user",)))
    with suppress(OSError):
        if subprocess.run([*command, "true"], capture_output=True).returncode == 0:
            return command
    return ()
