"""What the benchmarks share: running and measuring the command, projects, statistics.

Linux only: memory peaks are read from /proc, and a pidfd tells when a process ends.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import json
import math
import os
import platform
import random
import select
import shutil
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

COMMAND = os.path.join(sysconfig.get_path("scripts"), "codx-index")
STATE = Path(".codx", "index")
LIBRARIES = ("codx-index", "milvus-lite", "pymilvus", "openvino", "numpy")

_POLL = 0.01  # seconds between two looks at the memory of the processes
# Only settings that decide which vectors are computed, or how, reach the command.
_KEPT_SETTINGS = {"CODX_INDEX_DEVICE", "CODX_INDEX_BACKEND", "CODX_INDEX_PRECISION"}
# No hook, monitor or repacking of the user's or the repository's may run while we measure.
_GIT_SETTINGS = {
    "user.name": "benchmark",
    "user.email": "benchmark@example.org",
    "commit.gpgSign": "false",
    "core.hooksPath": os.devnull,
    "core.fsmonitor": "false",
    "core.untrackedCache": "false",
    "gc.auto": "0",
    "maintenance.auto": "false",
    "advice.detachedHead": "false",
}


Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Unexpected(Exception):
    """The command did not do what it should have; the message names the scenario."""


# ---- Processes ----


@dataclass(frozen=True, slots=True)
class Usage:
    """The time and memory that a command took.

    `wall` and `cpu` are seconds; `cpu` is the user and system time of the process and of every
    descendant that was waited for. The sizes are peaks of resident memory (VmHWM), one of the
    process itself and one of its largest child.
    """

    wall: float
    cpu: float
    parent_mib: float
    worker_mib: float


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended, and what it used and printed."""

    usage: Usage
    code: int
    output: str
    errors: str


def measure(
    *command: str | Path,
    variables: dict[str, str] | None = None,
    folder: Path | None = None,
    keep_output: bool = True,
) -> Ended:
    """Run a command to its end and measure it. Its output is discarded unless it is kept."""
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        started = time.perf_counter()
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=output if keep_output else subprocess.DEVNULL,
            stderr=errors,
        )
        parent_mib, worker_mib = _watch(process.pid)
        wall = time.perf_counter() - started
        # ru_maxrss is useless here, because it includes our own memory before the exec.
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        errors.seek(0)
        return Ended(
            Usage(wall, used.ru_utime + used.ru_stime, parent_mib, worker_mib),
            process.returncode,
            output.read().decode(),
            errors.read().decode(),
        )


def _watch(pid: int) -> tuple[float, float]:
    """Wait for a process to end; return its peak size and that of its largest child."""
    parent = worker = 0.0
    handle = os.pidfd_open(pid)
    try:
        while not select.select([handle], [], [], _POLL)[0]:
            parent = max(parent, _peak_mib(pid))
            for child in _workers(pid):
                worker = max(worker, _peak_mib(child))
    finally:
        os.close(handle)
    return parent, worker


def _workers(pid: int) -> list[int]:
    """The children that run their own command: until then, a child has its parent's memory."""
    command = _read(f"/proc/{pid}/cmdline")
    return [
        child for child in _children(pid) if _read(f"/proc/{child}/cmdline") != command
    ]


def _children(pid: int) -> Iterator[int]:
    for path in Path(f"/proc/{pid}/task").glob("*/children"):  # one list per thread
        yield from map(int, _read(str(path)).split())


def descendants(pid: int) -> Iterator[int]:
    """A process and all processes below it."""
    yield pid
    for child in _children(pid):
        yield from descendants(child)


def cpu_seconds(pid: int) -> float:
    """User and system time of a process, its descendants, and the children they reaped."""
    ticks = 0
    for one in descendants(pid):
        # The name of the command, in brackets, may contain spaces. A process that has ended
        # has no fields.
        fields = _read(f"/proc/{one}/stat").rpartition(")")[2].split()
        ticks += sum(map(int, fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def _peak_mib(pid: int) -> float:
    _, found, rest = _read(f"/proc/{pid}/status").partition("VmHWM:")
    return int(rest.split(maxsplit=1)[0]) / 1024 if found else 0.0


def _read(path: str) -> str:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read()
    except OSError:  # the process is gone
        return ""


# ---- codx-index ----


@dataclass(frozen=True, slots=True)
class Run:
    """One run of the command: what it used, and its report."""

    usage: Usage
    report: dict[str, Any]

    def value(self, name: str) -> object:
        """Look up a field of the report by its path, such as "status" or "files.read"."""
        found: Any = self.report
        for part in name.split("."):
            found = found[part]
        return found

    def count(self, name: str) -> int:
        """Look up a count of the report by its path, such as "chunks.embedded"."""
        found = self.value(name)
        if not isinstance(found, int):
            raise TypeError(f"{name} is {found!r}, which is no count")
        return found

    def as_dict(self) -> dict[str, Any]:
        """The part of a run that is kept in a JSON file."""
        return {
            "wall": self.usage.wall,
            "cpu": self.usage.cpu,
            "parent_mib": self.usage.parent_mib,
            "worker_mib": self.usage.worker_mib,
            **{name: self.report[name] for name in ("files", "chunks", "seconds")},
        }


@dataclass(frozen=True, slots=True)
class Indexer:
    """The installed command, or the sources in `tree`, with its own cache folder."""

    cache: Path
    jobs: int = 0
    tree: Path | None = None

    def command(self) -> tuple[str, ...]:
        # -P keeps the current folder, which may have an `indexer` too, off the path.
        return (COMMAND,) if self.tree is None else (*self.python(), "-m", "indexer")

    def python(self) -> tuple[str, ...]:
        """An interpreter that imports the same `indexer` as the command."""
        return (sys.executable, "-P")

    def variables(self) -> dict[str, str]:
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("CODX_INDEX_") or name in _KEPT_SETTINGS
        }
        # Without bytecode every process would compile the sources again.
        kept.pop("PYTHONDONTWRITEBYTECODE", None)
        return {
            **kept,
            **({"PYTHONPATH": str(self.tree)} if self.tree else {}),
            "CODX_INDEX_CACHE_DIR": str(self.cache),
            "CODX_INDEX_JOBS": str(self.jobs),
        }

    def run(self, project: Path, scenario: str) -> Run:
        """Index a project. Raises `Unexpected` unless the command exits with 0."""
        ended = self.call("run", project, scenario)
        return Run(ended.usage, json.loads(ended.output))

    def verify(self, project: Path, scenario: str) -> None:
        """Let the command compare every row with its file. Raises `Unexpected`."""
        self.call("verify", project, scenario)

    def call(self, command: str, project: Path, scenario: str, *options: str) -> Ended:
        """Run any command on a project. Raises `Unexpected` unless it exits with 0."""
        arguments = (*self.command(), command, *options, str(project), "--json")
        ended = measure(*arguments, variables=self.variables())
        if ended.code != 0:
            problem = ended.errors.strip() or ended.output
            raise Unexpected(
                f"{scenario}: codx-index {command} ended with {ended.code}: {problem}"
            )
        return ended


def prepared(
    folder: Path, cache_dir: Path | None, jobs: int, tree: Path | None = None
) -> Indexer:
    """An indexer whose cache holds the converted model and no embedding.

    The conversion is not measured, because it happens once per machine and not once per
    project. `cache_dir` is a cache folder that keeps the converted model for other runs.
    """
    if cache_dir is None:
        cache_dir = folder / "converted"
    empty = folder / "empty"
    empty.mkdir()
    indexer = Indexer(cache_dir.absolute(), jobs, tree)
    indexer.run(empty, "the conversion of the model")
    return emptied(indexer, folder / "cache")


def emptied(indexer: Indexer, cache: Path) -> Indexer:
    """The same indexer with a new or emptied cache folder, which holds only the model."""
    models = (indexer.cache / "models").resolve()
    shutil.rmtree(cache, ignore_errors=True)
    cache.mkdir()
    (cache / "models").symlink_to(models)
    return replace(indexer, cache=cache)


# ---- git ----


def git(root: Path, *arguments: str, data: bytes | None = None) -> str:
    """What git prints. Raises `CalledProcessError` when git fails."""
    done = subprocess.run(
        ["git", "-C", root, *arguments],
        input=data,
        stdin=subprocess.DEVNULL if data is None else None,
        stdout=subprocess.PIPE,
        check=True,
    )
    return os.fsdecode(done.stdout)


def clone(source: Path, target: Path) -> None:
    """Clone a repository, without its submodules."""
    subprocess.run(["git", "clone", "--quiet", source, target], check=True)
    configure(target)


def configure(root: Path) -> None:
    """Give a repository settings under which runs can be compared."""
    for name, value in _GIT_SETTINGS.items():
        git(root, "config", name, value)


def tracked(root: Path) -> dict[str, tuple[str, str]]:
    """The mode and the object id of every entry of git's index, by path."""
    entries = {}
    for entry in git(root, "ls-files", "--stage", "-z").split("\0")[:-1]:
        about, _, path = entry.partition("\t")
        mode, object_id, _ = about.split(" ")
        entries[path] = (mode, object_id)
    return entries


# ---- Projects ----

WORDS = """
    account amount archive balance batch branch buffer button cache cell channel color
    column customer depth device driver edge engine entry event factor field filter folder
    font frame handle header index item journal label layer limit link matrix message model
    module node offset order packet page path period pixel planet point policy port price
    record region river route sample score season section signal source stage station
    stream table ticket token track tree value vector village volume wall window worker zone
    """.split()
VERBS = (
    "add apply bind call find get join keep load move open read send set take".split()
)
BETWEEN = ("lib", "internal", "detail")
LARGE_FILE = "core/engine.py"
LARGE_LINES = 3_000


def write_project(
    root: Path, files: int, *, distinct: int, group: int, parts: int = 1
) -> None:
    """Write a project of `files` files; equal arguments give equal projects.

    It has a 3,000-line file, a README, and modules in folders of about 15, which are nested 3
    to 5 deep. Every top-level folder but the last holds `group` modules. A module has `parts`
    classes; one class is one chunk. The modules share `distinct` texts. Each is still a blob of
    its own, because its last line consists of spaces and tabs, which belong to no chunk.
    """
    texts = [
        "\n\n".join(module_text(parts * seed + part) for part in range(parts))
        for seed in range(distinct)
    ]
    for number, path in enumerate(_module_paths(files - 2, group)):
        mark = format(number, "b").translate({ord("0"): " ", ord("1"): "\t"})
        _write(root / path, f"{texts[number % distinct]}{mark}\n")
    _write(root / "README.md", "# A project\n\nMade to be indexed by a benchmark.\n")
    _write(root / LARGE_FILE, large_text())


def commit_project(root: Path) -> None:
    """Turn a folder into a repository with one commit and one pack."""
    git(root, "init", "--quiet", "--initial-branch", "main")
    configure(root)
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "A project")
    git(root, "gc", "--quiet")


def module_text(seed: int) -> str:
    """A Python module of about 30 lines and under 256 tokens, different for each seed."""
    rng = random.Random(seed)
    what, whose = rng.sample(WORDS, 2)
    lines = [f'"""The {what} of a {whose}: part {seed}."""', "", ""]
    lines.append(f"class {what.title()}{whose.title()}:")
    for number in range(rng.randint(5, 8)):
        verb, (noun, argument, result) = rng.choice(VERBS), rng.sample(WORDS, 3)
        lines += [
            *([""] if number else []),
            f"    def {verb}_{noun}(self, {argument}):",
            f"        {result} = self.{noun} + {argument}",
            f"        return {result} * {rng.randrange(1000)}",
        ]
    return "\n".join(lines) + "\n"


def large_text() -> str:
    """A Python module of 3,000 lines, whose functions all differ."""
    rng = random.Random(LARGE_LINES)
    lines = ['"""The engine: one large module."""']
    while len(lines) < LARGE_LINES:
        a, b, c, d = rng.sample(WORDS, 4)
        lines += [
            "",
            "",
            f"def {rng.choice(VERBS)}_{a}_{len(lines)}({b}, {c}):",
            f'    """The {a} that a {b} leaves to its {c}."""',
            f"    {d} = {rng.randrange(10**6)}",
            f"    for {a} in {b}:",
            f"        if {a} % {rng.randrange(2, 97)} > {c}:",
            f"            {d} += {a} * {rng.randrange(10**4)}",
            f"        elif {a} == {d}:",
            f"            {d} -= {c}",
            f"    return {d} // {rng.randrange(1, 999)}",
        ]
    return "\n".join(lines[:LARGE_LINES]) + "\n"


def _module_paths(count: int, group: int) -> Iterator[str]:
    rng = random.Random(count)
    for start in range(0, count, group):
        top = f"{WORDS[start // group % len(WORDS)]}_{start // group}"
        yield from _folder_paths(top, min(group, count - start), rng)


def _folder_paths(top: str, count: int, rng: random.Random) -> Iterator[str]:
    folder = 0
    while count > 0:
        between = BETWEEN[: rng.randint(1, len(BETWEEN))]
        parts = [top, *between, f"{rng.choice(WORDS)}_{folder}"]
        here = min(count, rng.randint(8, 22))
        for number in range(here):
            yield "/".join([*parts, f"{rng.choice(WORDS)}_{number}.py"])
        count -= here
        folder += 1


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


# ---- Statistics and surroundings ----


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def p95(values: Sequence[float]) -> float:
    """The 95th percentile by nearest rank: the largest of fewer than 20 values."""
    return sorted(values)[math.ceil(0.95 * len(values)) - 1]


def surroundings() -> dict[str, Any]:
    """The machine and the versions in use, for a JSON file."""
    return {
        "machine": machine(),
        "versions": {
            "python": platform.python_version(),
            "git": subprocess.check_output(["git", "version"], text=True).split()[2],
            **{name: importlib.metadata.version(name) for name in LIBRARIES},
        },
        "date": time.strftime("%Y-%m-%d"),
    }


def machine() -> dict[str, Any]:
    """What the machine is made of."""
    return {
        "system": platform.system(),
        "release": platform.release(),
        "architecture": platform.machine(),
        "processor": _first_value("/proc/cpuinfo", "model name"),
        "cpus": len(os.sched_getaffinity(0)),
        "memory": _first_value("/proc/meminfo", "MemTotal"),
    }


def _first_value(path: str, name: str) -> str:
    for line in _read(path).splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return ""


def headline() -> str:
    """The machine in one line."""
    found = machine()
    version = sys.version.split()[0]
    return f"{found['processor'] or found['architecture']}, {found['cpus']} CPUs, Python {version}"


def check_plot(path: Path | None) -> None:
    """Raise `Unexpected`, before any work, when a plot cannot be drawn."""
    if path is not None and find_spec("matplotlib") is None:
        raise Unexpected("--plot needs matplotlib: pip install 'codx-index[bench]'")


def write_json(path: Path | None, results: object) -> None:
    """Write the results to a file, if one was asked for."""
    if path is not None:
        path.write_text(json.dumps(results, indent=1) + "\n")


# ---- Servers ----


@contextmanager
def served(serve: Callable[[Any], None]) -> Iterator[int]:
    """Run a server in a process of its own. It sends its port on the pipe that it is given."""
    from indexer.pool.process import spawn_context

    receiver, sender = spawn_context().Pipe(duplex=False)
    process = spawn_context().Process(target=serve, args=(sender,), daemon=True)
    process.start()
    try:
        yield receiver.recv()
    finally:
        process.kill()
        process.join()


def answer_on_any_port(answer: Answer, sender: Any) -> None:
    """Let `answer` serve each connection, and send the port on a pipe. Does not return."""

    async def listen() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=256)
        sender.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(listen())
