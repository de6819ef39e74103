"""How many repositories a fleet keeps up to date: what each costs, and what the scheduler does for it.

Makes small repositories of a few files each, a Dask scheduler, workers of one process each on this
machine, and a server of Milvus Lite for clones, or none for folders, which have a database each. Then
`run-all --executor dask://…` goes over all of them, several times:

    first     nothing is indexed yet
    again     nothing has changed
    changed   one file in every tenth repository was edited

    python benchmarks/fleet.py [--repositories N] [--files N] [--workers N] [--clones]
        [--uri URI] [--options "--mode sparse"] [--json FILE]

CPU is user and system time in seconds, of each process with all that it has started; it says more than
wall time where other programs are at work. `ms` are those of CPU for a repository.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from common import (
    COMMAND,
    cpu_seconds,
    git,
    headline,
    module_text,
    surroundings,
    write_json,
)
from distributed import Client

TENTH = 10
IDENTITY = ("-c", "user.name=benchmark", "-c", "user.email=benchmark@example.org")
SCRIPTS = Path(sysconfig.get_path("scripts"))
SCHEDULER = "from distributed.cli.dask_scheduler import main; main()"
PATIENCE = 120.0  # seconds until a process answers


@dataclass(frozen=True, slots=True)
class Pass:
    """One pass over all repositories; `cpu` are seconds by the kind of process."""

    name: str
    repositories: int
    wall: float
    cpu: dict[str, float]
    codes: dict[str, int]
    embedded: int

    def row(self) -> str:
        """A line of the table."""
        each = {kind: 1000 * cpu / self.repositories for kind, cpu in self.cpu.items()}
        failed = self.repositories - self.codes.get("0", 0)
        return (
            f"{self.name:9}{self.wall:8.1f}{self.repositories / self.wall:8.2f}"
            f"{each['workers']:9.0f}{each['milvus']:9.0f}{each['scheduler']:11.1f}"
            f"{each['client']:9.1f}{failed:8}{self.embedded:10,}"
        )


HEAD = (
    f"{'pass':9}{'wall s':>8}{'repos/s':>8}{'workers':>9}{'milvus':>9}{'scheduler':>11}"
    f"{'client':>9}{'not 0':>8}{'embedded':>10}"
)


class Fleet:
    """The processes that take part, and what they have cost so far."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self._stack = stack
        self._started: dict[str, list[subprocess.Popen[bytes]]] = {}
        # Of one host, as here, all workers have the same.
        self._environment = {
            **os.environ,
            "CODX_INDEX_CACHE_DIR": str(folder / "cache"),
        }
        self._port = _free_port()
        self.executor = f"dask://127.0.0.1:{self._port}"

    def start(self, kind: str, *command: str, port: int = 0) -> None:
        """Start a process in a folder of its own; with a port, wait until it listens there."""
        others = self._started.setdefault(kind, [])
        home = self.folder / f"{kind}-{len(others)}"
        home.mkdir()
        log = self._stack.enter_context(open(home / "log", "wb"))
        process = subprocess.Popen(
            command,
            cwd=home,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        self._stack.callback(_end, process)
        others.append(process)
        deadline = time.monotonic() + PATIENCE
        while port:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                return
            except OSError:
                if time.monotonic() > deadline or process.poll() is not None:
                    sys.exit(f"{shlex.join(command)} does not listen: see {home}/log")
                time.sleep(0.1)

    def start_cluster(self, workers: int) -> None:
        """Start the scheduler and the workers."""
        address = ("--host", "127.0.0.1", "--port", str(self._port), "--no-dashboard")
        self.start(
            "scheduler", sys.executable, "-c", SCHEDULER, *address, port=self._port
        )
        for _ in range(workers):
            self.start("workers", COMMAND, "worker", self.executor, "--jobs", "1")
        with Client(  # type: ignore[no-untyped-call]
            f"tcp://127.0.0.1:{self._port}", set_as_default=False, timeout=PATIENCE
        ) as client:
            client.wait_for_workers(workers, timeout=PATIENCE)

    def cpu(self) -> dict[str, float]:
        """The CPU seconds of each kind of process so far."""
        return {
            kind: sum(cpu_seconds(one.pid) for one in self._started.get(kind, ()))
            for kind in ("workers", "milvus", "scheduler")
        }

    def go(self, name: str, names: Path, options: list[str]) -> Pass:
        """Run for all repositories once."""
        before, began = self.cpu(), time.monotonic()
        with open(self.folder / "client.log", "wb") as log:
            client = subprocess.Popen(
                [
                    *(COMMAND, "run-all", "--from", str(names), "--json"),
                    *("--executor", self.executor, "--no-backoff", *options),
                ],
                env=self._environment,
                stdout=subprocess.PIPE,
                stderr=log,
            )
            own = 0.0
            assert client.stdout
            output = b""
            while part := os.read(client.stdout.fileno(), 1 << 16):
                output += part
                own = max(own, cpu_seconds(client.pid))
            client.wait()
        wall, after = time.monotonic() - began, self.cpu()
        projects = json.loads(output)["projects"]
        reports = [one["report"] for one in projects]
        return Pass(
            name,
            len(projects),
            wall,
            {kind: after[kind] - before[kind] for kind in before} | {"client": own},
            dict(Counter(str(one["exit_code"]) for one in reports)),
            sum(one["chunks"]["embedded"] for one in reports),
        )


def make_repositories(folder: Path, count: int, files: int) -> list[Path]:
    """Make so many repositories of so many files, no two of which are alike."""
    folder.mkdir()

    def make(number: int) -> Path:
        root = folder / f"repository-{number:04}"
        root.mkdir()
        for one in range(files):
            text = module_text(number * files + one)
            (root / f"module_{one}.py").write_text(text)
        git(root, "init", "--quiet", "--initial-branch", "main")
        git(root, "add", "--all")
        git(root, *IDENTITY, "commit", "--quiet", "--message", "A project")
        return root

    with ThreadPoolExecutor(4) as threads:
        return list(threads.map(make, range(count)))


def edit(roots: list[Path]) -> None:
    """Change a file of each."""
    for number, root in enumerate(roots):
        text = module_text(10**6 + number)
        (root / "module_0.py").write_text(text)
        git(root, *IDENTITY, "commit", "--quiet", "--all", "--message", "An edit")


@contextmanager
def _folder(given: Path | None) -> Iterator[Path]:
    if given:
        given.mkdir(parents=True)
        yield given
        return
    with tempfile.TemporaryDirectory(prefix="fleet-") as made:
        yield Path(made)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repositories", type=int, default=1000)
    parser.add_argument("--files", type=int, default=4)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--clones", action="store_true")
    parser.add_argument("--uri", default="")
    parser.add_argument("--options", default="")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    print(headline())
    found: list[Pass] = []
    with _folder(arguments.folder) as folder, ExitStack() as stack:
        roots = make_repositories(
            folder / "theirs", arguments.repositories, arguments.files
        )
        names = folder / "list"
        scheme = "file://" if arguments.clones else ""
        names.write_text("".join(f"{scheme}{root}\n" for root in roots))
        fleet = Fleet(folder, stack)
        options = shlex.split(arguments.options)
        uri = arguments.uri
        if arguments.clones and not uri:
            port = _free_port()
            where = ("--data-dir", str(folder / "milvus"), "--host", "127.0.0.1")
            fleet.start(
                *("milvus", str(SCRIPTS / "milvus-lite"), "server", *where),
                *("--port", str(port), "--max-workers", "1"),
                port=port,
            )
            uri = f"http://127.0.0.1:{port}"
        options += ["--uri", uri] if uri else []
        fleet.start_cluster(arguments.workers)
        print(f"CPU columns are ms a repository; {len(roots)} repositories\n{HEAD}")
        for name in ("first", "again", "changed", "again"):
            if name == "changed":
                edit(roots[::TENTH])
            found.append(fleet.go(name, names, options))
            print(found[-1].row(), flush=True)
    write_json(
        arguments.json,
        {**surroundings(), "passes": [asdict(one) for one in found]},
    )


if __name__ == "__main__":
    main()
