"""Readers while runs are at work: no search fails, no file is without rows, nobody else
can connect."""

from __future__ import annotations

import json
import os
import random
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from conftest import (
    Project,
    project_in,
    python_text,
    start,
    wait_for,
    without_remarks,
)
from milvus_server import served

from indexer.address import Address
from indexer.config import DEFAULT_MODEL, Settings
from indexer.errors import StoreError
from indexer.index.lock import run_lock
from indexer.milvus.embedded import GIVE_WAY, serve
from indexer.milvus.store import Store
from indexer.search import connection
from indexer.search.answers import Wanted
from indexer.search.connection import Connection
from indexer.search.query import QueryEmbedder
from indexer.search.searcher import Searcher, search

QUERY = "the limit of every order that a ledger has left in the queue"
FILES = 80
NOBODY = 65534

# A plain Python process that searches and counts until it is told to stop, and has read
# its share. A file is known by the number in its name, whatever its name and content are
# at the moment; it is there when one version of it is there as a whole.
READER = """
import json, os, re, sys, time, traceback
from indexer.config import Settings
from indexer.search.answers import Wanted
from indexer.search.connection import Connection
from indexer.search.query import QueryEmbedder
from indexer.search.searcher import Searcher, search

wanted = json.loads(sys.argv[1])
settings = Settings(
    **{name: wanted[name] for name in ("project", "cache_dir", "model", "uri")}
)
vectors = {}

def embed(query, properties):
    key = properties["codx.vectors"]
    if key not in vectors:
        vectors[key] = QueryEmbedder(settings)(query, properties)
    return vectors[key]

def absent(store):
    store.open()
    versions = {}
    for key in store.keys():
        versions.setdefault((key.path, key.file_hash, key.chunk_count), set()).add(key.chunk_no)
    there = {
        int(re.search("([0-9]+)-", path)[1])
        for (path, _, count), numbers in versions.items()
        if len(numbers) == count
    }
    return sorted(set(range(wanted["files"])) - there)

def find():
    searcher = Searcher(settings, embed=embed)
    hits = search([searcher], wanted["query"], Wanted(5)).hits
    assert len(hits) == 5, hits

def count():
    lost = Connection(settings).ask(absent)
    assert not lost, f"without rows: {lost}"

reads, longest, failures = 0, 0.0, []
while reads < wanted["reads"] or not os.path.exists(wanted["stop"]):
    for read in (find, count):
        started = time.monotonic()
        try:
            read()
        except Exception:
            failures.append(traceback.format_exc())
        longest = max(longest, time.monotonic() - started)
        reads += 1
        time.sleep(wanted["pause"])
    if reads >= wanted["reads"]:
        open(wanted["enough"], "w").close()
print(json.dumps([reads, longest, failures]))
"""


def settings_of(project: Project, uri: str = "") -> Settings:
    return Settings(
        project=str(project.root),
        cache_dir=str(project.cache_dir),
        model=DEFAULT_MODEL,
        uri=Address(uri),
    )


@dataclass
class Seen:
    """What readers saw."""

    reads: int = 0
    commands: int = 0
    longest: float = 0.0
    failures: list[str] = field(default_factory=list)


@contextmanager
def reading(
    project: Project,
    uri: str,
    *,
    processes: int,
    reads: int,
    commands: int,
    pause: float,
) -> Iterator[tuple[Seen, Callable[[], bool]]]:
    """Processes that read, and two loops of real commands, for the length of the block.

    Gives what they saw, which is complete after the block, and whether they have enough.
    """
    seen = Seen()
    folder = Path(tempfile.mkdtemp(dir=project.root.parent))
    stop = folder / "stop"
    enough = [folder / f"enough-{number}" for number in range(processes)]
    readers = [
        subprocess.Popen(
            [sys.executable, "-c", READER]
            + [
                json.dumps(
                    {
                        "project": str(project.root),
                        "cache_dir": str(project.cache_dir),
                        "model": DEFAULT_MODEL,
                        "uri": uri,
                        "query": QUERY,
                        "files": FILES,
                        "reads": reads // processes,
                        "stop": str(stop),
                        "enough": str(path),
                        "pause": pause,
                    }
                )
            ],
            cwd=project.root,
            env=project.variables(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for path in enough
    ]

    def search() -> None:
        place = ["--uri", uri] if uri else []
        command = project.installed.command
        while not stop.exists():
            done = command("search", QUERY, "-k", "3", "--json", *place)
            if (
                done.returncode
                or without_remarks(done.stderr)
                or len(json.loads(done.stdout)["hits"]) != 3
            ):
                seen.failures.append(f"search: {done}")
            done = command("status", *place)
            if (
                done.returncode
                or without_remarks(done.stderr)
                or "no index" in done.stdout
            ):
                seen.failures.append(f"status: {done}")
            seen.commands += 2
            time.sleep(10 * pause)

    thread = threading.Thread(target=search)
    thread.start()
    try:
        yield seen, lambda: (
            all(path.exists() for path in enough) and seen.commands >= commands
        )
    except BaseException:
        for reader in readers:
            reader.kill()
        raise
    finally:
        stop.touch()
        thread.join()
        for reader in readers:
            out, errors = reader.communicate()
            if reader.returncode or errors:
                seen.failures.append(f"a reader ended: {errors}")
                continue
            read, longest, failures = json.loads(out)
            seen.reads += read
            seen.longest = max(seen.longest, longest)
            seen.failures += failures


class Storm:
    """Changes a project, and runs after each change."""

    def __init__(self, project: Project, uri: str, other_model: str) -> None:
        self.project = project
        self.place = ["--uri", uri] if uri else []
        self.models = [DEFAULT_MODEL, other_model]
        self.rng = random.Random(1)
        self.names: dict[int, str] = {}
        self.rounds = 0
        for number in range(FILES):
            self.names[number] = f"src/m{number}-0.py"
            project.write(self.names[number], python_text(number))

    def run(self) -> None:
        self.project.run("--model", self.models[0], "-j", "1", *self.place)

    def update(self) -> None:
        for number in self.rng.sample(range(FILES), FILES // 4):
            seed = self.rng.randrange(1000, 10**6)
            text = python_text(seed, functions=self.rng.randint(1, 12))
            self.project.write(self.names[number], text)

    def rename(self) -> None:
        for number, old in self.names.items():
            new = f"{self.rng.choice(['src', 'lib', 'a/b'])}/m{number}-{self.rounds}.py"
            (self.project.root / new).parent.mkdir(parents=True, exist_ok=True)
            os.rename(self.project.root / old, self.project.root / new)
            self.names[number] = new

    def change_model(self) -> None:
        self.models.reverse()

    def kill(self) -> None:
        """A run dies after it has written something."""
        self.update()
        step = self.rng.choice(["claimed", "upserted", "deleted", "recorded"])
        self.project.environment["CODX_INDEX_FAULT"] = f"kill {step}"
        arguments = ["run", "--model", self.models[0], "-j", "1", *self.place]
        done = self.project.installed.command(*arguments)
        del self.project.environment["CODX_INDEX_FAULT"]
        assert done.returncode == -9, done

    def go_on(self) -> None:
        """The next change, and a run after it."""
        self.rounds += 1
        changes = [self.update, self.rename, self.change_model, self.kill]
        changes[(self.rounds - 1) % len(changes)]()
        self.run()


@pytest.fixture
def storm(
    request: pytest.FixtureRequest, project: Project, tmp_path: Path, tiny_model: str
) -> Iterator[tuple[Storm, str]]:
    """A project that is indexed, in its own database or on a server."""
    with ExitStack() as stack:
        uri = ""
        if request.param == "served":
            uri, _ = stack.enter_context(served(tmp_path / "server"))
        storm = Storm(project, uri, tiny_model)
        storm.run()
        yield storm, uri


PLACES = pytest.mark.parametrize("storm", ["embedded", "served"], indirect=True)


def read_through(
    storm: Storm, uri: str, *, reads: int, commands: int, **how: Any
) -> None:
    with reading(storm.project, uri, reads=reads, commands=commands, **how) as (
        seen,
        have_enough,
    ):
        while storm.rounds < 4 or not have_enough():
            storm.go_on()
    print(f"{storm.rounds} runs, {seen}")
    assert seen.failures == []
    assert seen.reads >= reads
    verify = storm.project.command("verify", "--model", storm.models[0], *storm.place)
    assert verify.returncode == 0, verify.stdout


@pytest.mark.slow  # below is one race at a time
@PLACES
def test_no_search_fails_and_no_file_is_absent(storm: tuple[Storm, str]) -> None:
    read_through(*storm, processes=2, reads=8, commands=1, pause=0.2)


@pytest.mark.slow
@PLACES
def test_thousands_of_reads(storm: tuple[Storm, str]) -> None:
    reads = int(os.environ.get("CODX_INDEX_READS", "3000"))
    read_through(*storm, processes=3, reads=reads, commands=reads // 25, pause=0.005)


# One race at a time

HOLDER = """
import sys
from indexer.milvus.embedded import read
store = read(sys.argv[1] + "/milvus.db", sys.argv[1], "codx_index")
store.open()
print("ready", flush=True)
sys.stdin.read()
store.close()
"""


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory, model_cache: Path) -> Project:
    folder = tmp_path_factory.mktemp("readers")
    made = project_in(folder, model_cache)
    for number in range(3):
        made.write(f"tree{number}.py", python_text(number))
    made.run()
    return made


def is_free(settings: Settings) -> bool:
    """Can the database be opened at once?"""
    store = serve(settings.database, settings.state_dir, "codx_index", patience=0)
    store.close()
    return True


@pytest.mark.parametrize("how", ["closes it", "is killed"])
def test_who_holds_the_database_leaves_while_it_is_asked(
    how: str, template: Project
) -> None:
    settings = settings_of(template)
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, settings.state_dir],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdin is not None and holder.stdout is not None
        assert holder.stdout.readline() == "ready\n"
        asked = []

        def count(store: Store) -> int:
            store.open()
            asked.append(store)
            if len(asked) == 1:
                if how == "is killed":
                    holder.kill()
                else:
                    holder.stdin.close()  # type: ignore[union-attr]
                holder.wait()
            return store.count()

        assert Connection(settings).ask(count) == len(template.rows())
        assert len(asked) == 2
    assert is_free(settings)


@pytest.mark.slow  # in test_what_is_text.py an index of another chunker gives way
def test_a_model_change_while_the_query_is_embedded(
    project: Project, tiny_model: str
) -> None:
    project.write("a.py", python_text(1))
    project.run()
    settings = settings_of(project)
    embedded = []

    def embed(query: str, properties: Mapping[str, str]) -> Any:
        embedded.append(properties["codx.model"])
        if len(embedded) == 1:
            assert is_free(settings)
            project.run("--model", tiny_model)
        return QueryEmbedder(settings)(query, properties)

    searcher = Searcher(settings, embed=embed)
    hits = search([searcher], QUERY, Wanted(1)).hits
    assert [hit.path for hit in hits] == ["a.py"]
    assert embedded == [DEFAULT_MODEL, tiny_model]


@pytest.mark.slow  # so is the one whose model changes meanwhile
def test_a_collection_that_is_dropped_before_it_is_searched(
    project: Project, tmp_path: Path, tiny_model: str
) -> None:
    project.write("a.py", "x = 1\n")
    with served(tmp_path / "server") as (uri, _):
        project.run("--uri", uri)
        asked = []

        def count(store: Store) -> int:
            asked.append(store.open()["codx.model"])
            if len(asked) == 1:
                project.run("--uri", uri, "--model", tiny_model)
            return len(list(store.keys()))

        assert Connection(settings_of(project, uri)).ask(count) == 1
    assert asked == [DEFAULT_MODEL, tiny_model]


def test_a_reader_that_fails_lets_go_of_the_database(template: Project) -> None:
    settings = settings_of(template)
    asked = []

    def wrong(store: Store) -> object:
        asked.append(store.open())
        return store.search("vector", np.zeros(7, np.float32), 1)

    with pytest.raises(StoreError, match="milvus.db"):
        Connection(settings).ask(wrong)
    assert len(asked) == connection.REFUSALS + 1
    assert is_free(settings)


@pytest.mark.skipif(not os.path.exists("/proc/locks"), reason="needs Linux")
def test_a_reader_gives_way_to_a_run(template: Project) -> None:
    settings = settings_of(template)
    with run_lock(settings.lock_path):
        started = time.monotonic()
        Connection(settings).ask(Store.open)
        assert time.monotonic() - started >= GIVE_WAY


def test_search_does_not_need_the_manifest(template: Project) -> None:
    path = template.root / ".codx/index/manifest.sqlite"
    away = path.rename(path.with_name("away"))
    try:
        assert len(template.report("search", QUERY)["hits"]) > 1
    finally:
        away.rename(path)


@pytest.mark.parametrize("name", ["a%20b", "a, b", "#1", "is it?"])
def test_a_folder_whose_name_means_something_in_an_address(
    name: str, make_project: Callable[[str], Project]
) -> None:
    project = make_project(name)
    project.write("a.py", "x = 1\n")
    project.run()
    assert project.report("search", "x")["hits"][0]["path"] == "a.py"


# Nobody else connects


def hanging(project: Project, step: str) -> subprocess.Popen[str]:
    """A run that stops at a step with the database open, and serves it."""
    project.environment["CODX_INDEX_FAULT"] = f"hang {step}"
    process = start(project, "run")
    del project.environment["CODX_INDEX_FAULT"]
    wait_for(lambda: process.poll() is not None or is_served(project))
    assert process.poll() is None
    return process


def is_served(project: Project) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(project.root / ".codx/index/s:0")) == 0


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def test_search_and_status_while_a_run_holds_the_database(project: Project) -> None:
    project.write("a.py", python_text(1))
    project.run()
    project.write("b.py", python_text(2))
    process = hanging(project, "upserted")
    try:
        hits = project.report("search", QUERY)["hits"]
        assert {hit["path"] for hit in hits} >= {"a.py"}
        done = project.command("status")
        assert (done.returncode, without_remarks(done.stderr)) == (0, "")
        status = project.report("status", "--check", code=1)
        assert status["indexed_files"] == 1
        assert status["doubt"] and "no index" not in status["doubt"]
    finally:
        end(process)
    hits = project.report("search", QUERY)["hits"]
    assert {hit["path"] for hit in hits} == {"a.py", "b.py"}
    project.run()
    assert project.report("status", "--check")["indexed_files"] == 2


def listening_inodes() -> set[str]:
    found = set()
    for name in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A":
                found.add(fields[9])
    return found


def family(pid: int) -> list[int]:
    try:
        process = psutil.Process(pid)
        return [pid, *(child.pid for child in process.children(recursive=True))]
    except psutil.NoSuchProcess:
        return []


def sockets(pid: int) -> set[str]:
    """Inodes of the sockets that a process has."""
    found = set()
    try:
        for name in os.listdir(f"/proc/{pid}/fd"):
            target = os.readlink(f"/proc/{pid}/fd/{name}")
            if target.startswith("socket:["):
                found.add(target[8:-1])
    except OSError:
        pass
    return found


@pytest.mark.slow  # test_store.py looks at the process that holds the database
@pytest.mark.skipif(not os.path.exists("/proc/net/tcp"), reason="needs Linux")
def test_nothing_listens_on_a_port(project: Project) -> None:
    for number in range(FILES):
        project.write(f"tree{number}.py", python_text(number))
    run = start(project, "run", "-j", "2")
    most, with_sockets, searches = 0, 0, 0
    search: subprocess.Popen[str] | None = None

    def look() -> None:
        nonlocal most, with_sockets
        pids = family(run.pid) + (family(search.pid) if search else [])
        owned = {inode for pid in pids for inode in sockets(pid)}
        assert not owned & listening_inodes()
        most = max(most, len(family(run.pid)))
        with_sockets += bool(owned)

    try:
        while run.poll() is None or searches < 2:
            look()
            if search and search.poll() is not None:
                assert (
                    without_remarks(search.communicate()[1]) == ""
                    and search.returncode == 0
                )
                search, searches = None, searches + 1
            if search is None and (run.poll() is not None or is_served(project)):
                search = start(project, "search", QUERY)
            time.sleep(0.01)
        assert run.wait() == 0, run.communicate()
    finally:
        for process in (run, search):
            if process:
                end(process)
    assert most >= 3, "the workers were not seen"
    assert with_sockets


STRANGER = """
import os, socket, sys
os.setgroups([])
os.setgid(int(sys.argv[3]))
os.setuid(int(sys.argv[3]))
os.stat(sys.argv[1])
try:
    socket.socket(socket.AF_UNIX).connect(sys.argv[2])
except PermissionError:
    print("refused")
"""


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that other users may enter, which pytest's own they may not."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        yield Path(name)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_cannot_connect(open_folder: Path, cache_dir: Path) -> None:
    project = Project(open_folder / "project", cache_dir)
    project.write("a.py", "x = 1\n")
    os.chmod(project.root, 0o755)
    process = hanging(project, "upserted")
    try:
        state = project.root / ".codx/index"
        assert stat.S_IMODE(state.stat().st_mode) == 0o700
        stranger = [sys.executable, "-c", STRANGER, str(project.root)]
        done = project.launch(*stranger, str(state / "s:0"), str(NOBODY))
        assert (done.stdout, done.stderr) == ("refused\n", "")
        assert is_served(project)
    finally:
        end(process)
