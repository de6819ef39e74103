"""The crash harness: trees to index, ways for a run to die, and what must hold afterwards.

One promise is tested: whatever happened, the next run makes the collection equal to a
fresh index of the same tree, row for row and bit for bit.

    CODX_INDEX_CRASH_ROUNDS   rounds of a storm in all, whichever way they are spread
    CODX_INDEX_CRASH_SEED     what a storm chooses; a failure names the one it had
"""

from __future__ import annotations

import fcntl
import functools
import json
import os
import pickle
import random
import shutil
import signal
import sqlite3
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
from conftest import (
    COMMAND,
    TIMEOUT,
    WORDS,
    Project,
    is_lock_free,
    make_cache,
    open_store,
    python_text,
    read_rows,
    start,
    wait_for,
)

from indexer.faults import STEPS
from indexer.index.manifest import DIRTY, Manifest
from indexer.milvus.embedded import serve
from indexer.milvus.rows import FIELDS
from indexer.paths import escape_path

DEFAULT = ""  # the default model
Tree = dict[str, bytes]
Rows = dict[str, tuple[object, ...]]

# --- trees ---------------------------------------------------------------------------

NOTES = 1_000  # one chunk each: with them a run writes several groups


def _base() -> Tree:
    tree = {f"src/m{n}.py": python_text(n, 5).encode() for n in range(24)}
    tree |= {
        f"docs/d{n}.md": f"# Part {n}\n\n{_prose(n, 150)}\n\n## End\n\n{_prose(-n, 90)}\n".encode()
        for n in range(8)
    }
    tree["big.py"] = python_text(999, 160).encode()
    # The largest and the smallest of all: when they change places, neither is in the other's
    # group.
    tree["places/one.py"], tree["places/two.py"] = _PLACES
    tree["twin/a.py"] = tree["twin/b.py"] = python_text(500, 4).encode()
    tree["empty.py"] = b""
    tree["blank.txt"] = b"\n\n"
    tree["image.bin"] = bytes(range(256)) * 8
    tree["wide.txt"] = _prose(71, 40).encode("utf-16")
    tree["latin.txt"] = "Grüße aus Köln, schöne Füße\n".encode("latin-1") * 9
    tree["ünï/naïve 文.py"] = python_text(601, 2).encode()
    tree["new\nline.md"] = b"# A name of two lines\n"
    tree['quo"te\\.md'] = b"# A name with a quote\n"
    tree[os.fsdecode(b"raw\xff.txt")] = b"a name that is not UTF-8\n"
    tree |= {f"notes/n{n}.md": _note(n) for n in range(NOTES)}
    return tree


_PLACES = (python_text(4242, 60).encode(), b"x = 4242\n")


def _prose(seed: int, words: int) -> str:
    rng = random.Random(seed)
    return "\n".join(" ".join(rng.choices(WORDS, k=10)) for _ in range(words // 10))


def _note(number: int) -> bytes:
    rng = random.Random(10_000 + number)
    return f"note {number} on {' '.join(rng.sample(WORDS, 3))}\n".encode()


def _changed(seed: int) -> Tree:
    """The base after edits, renames, swaps, deletions, growth and shrinking."""
    rng = random.Random(seed)
    tree = _base()
    sources = sorted(name for name in tree if name.startswith("src/"))
    rng.shuffle(sources)
    for number, name in enumerate(sources[:6]):
        tree[name] = python_text(1_000 * seed + number, 5).encode()
    for name in sources[6:9]:
        tree[name] += python_text(seed, 20).encode()
    for name in sources[9:11]:
        tree[name] = tree[name][: len(tree[name]) // 3]
    for name in sources[11:14]:
        tree[f"moved/{seed}/{name}"] = tree.pop(name)
    one, two = sources[14:16]
    tree[one], tree[two] = tree[two], tree[one]
    tree["places/one.py"], tree["places/two.py"] = _PLACES[:: -1 if seed % 2 else 1]
    del tree[sources[16]], tree["docs/d3.md"]
    tree["empty.py"], tree[sources[17]] = tree[sources[17]], b""
    tree["image.bin"] = b"text now\n"
    tree[sources[18]] += b"\0binary now"
    tree["twin/a.py"] = python_text(seed + 700, 4).encode()
    tree["big.py"] = python_text(999, 90 + 40 * (seed % 4)).encode()
    for n in rng.sample(range(NOTES), 500):
        match rng.randrange(5):
            case 0:
                del tree[f"notes/n{n}.md"]
            case 1:
                tree[f"notes/moved{n}.md"] = tree.pop(f"notes/n{n}.md")
            case 2:
                tree[f"notes/n{n}.md"] += _note(n + 5_000 * seed)
            case _:
                tree[f"notes/n{n}.md"] = _note(n + 5_000 * seed)
    return tree


TREES: dict[str, Callable[[], Tree]] = {
    "base": _base,
    "edited": functools.partial(_changed, 1),
    "other": functools.partial(_changed, 2),
}


@functools.cache
def tree_named(name: str) -> Tree:
    """Path to bytes of every file in this state of the tree."""
    return TREES[name]()


def put_tree(project: Project, name: str) -> None:
    """Make the project's files this tree's; files that are right stay as they are."""
    wanted = tree_named(name)
    for folder, folders, names in os.walk(project.root):
        folders[:] = [f for f in folders if f not in (".git", ".codx")]
        for file in names:
            path = os.path.join(folder, file)
            if os.path.relpath(path, project.root) not in wanted:
                os.unlink(path)
    for file, data in wanted.items():
        target = project.root / file
        if not target.exists() or target.read_bytes() != data:
            project.write(file, data)


def commit(project: Project) -> None:
    """Commit the tree: a run stamps a work tree only where git has an index."""
    project.git("add", "--all")
    project.git("commit", "-q", "--allow-empty", "-m", "as it is")


# --- fresh indexes -------------------------------------------------------------------


class Yard:
    """Fresh indexes of the trees, made once and kept for all tests of the session."""

    def __init__(self, folder: Path, model_cache: Path) -> None:
        self.folder = folder
        self.model_cache = model_cache
        self.cache_dir = folder / "cache"
        folder.mkdir(exist_ok=True)
        if not self.cache_dir.exists():
            made = make_cache(folder / f"cache-{os.getpid()}", model_cache)
            try:
                made.rename(self.cache_dir)
            except OSError:  # another worker was first
                shutil.rmtree(made)
        self.seconds: dict[str, float] = {}  # that runs took which nobody killed

    def expected(self, tree: str, model: str = DEFAULT) -> Rows:
        """The rows of a fresh index."""
        return self._fresh(tree, model)[0]

    def indexed(self, root: Path, tree: str, model: str = DEFAULT) -> Project:
        """A project that holds this tree, with a complete index of it."""
        shutil.copytree(self._fresh(tree, model)[1], root, symlinks=True)
        return self._project(root, model)

    def empty(self, root: Path, tree: str, model: str = DEFAULT) -> Project:
        """A project that holds this tree, without an index."""
        project = self.indexed(root, tree, model)
        shutil.rmtree(root / ".codx")
        return project

    def cold(self, folder: Path) -> Path:
        """A cache folder without embeddings."""
        return make_cache(folder, self.model_cache)

    def _project(self, root: Path, model: str) -> Project:
        environment = {"CODX_INDEX_EXECUTOR": "serial"}
        if model:
            environment["CODX_INDEX_MODEL"] = model
        return Project(root, self.cache_dir, environment)

    @functools.cache  # noqa: B019  (lives as long as the session)
    def _fresh(self, tree: str, model: str) -> tuple[Rows, Path]:
        kept = self.folder / f"{tree}-{'tiny' if model else 'default'}"
        with open(f"{kept}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # one worker makes it, the others wait
            if not kept.exists():
                self._make(kept, tree, model)
        with open(kept / "rows", "rb") as file:
            rows: Rows = pickle.load(file)
        return rows, kept / "project"

    def _make(self, kept: Path, tree: str, model: str) -> None:
        draft = Path(f"{kept}.draft")
        shutil.rmtree(draft, ignore_errors=True)
        made = self._project(draft / "project", model)
        made.root.mkdir(parents=True)
        made.git("init", "-q", "-b", "main")
        put_tree(made, tree)
        commit(made)
        made.run()
        with open(draft / "rows", "wb") as file:
            pickle.dump(rows_of(made), file)
        draft.rename(kept)


@functools.cache
def _yard(folder: Path, model_cache: Path) -> Yard:
    return Yard(folder, model_cache)


def open_yard(factory: pytest.TempPathFactory, model_cache: Path) -> Yard:
    """The one yard of this session, shared by the workers of a parallel run."""
    base = factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    return _yard(shared / "crash-yard", model_cache)


# --- what must hold --------------------------------------------------------------------


def state_of(project: Project) -> Path:
    """The state folder."""
    return project.root / ".codx" / "index"


def rows_of(project: Project) -> Rows:
    """Every row of the collection by id, all fields, the vector as its bytes."""
    return normalized(read_rows(state_of(project)))


def normalized(rows: dict[str, dict[str, Any]]) -> Rows:
    """Rows that compare bit for bit."""
    import numpy as np

    fields = [name for name in FIELDS if name != "vector"]
    return {
        id_: (
            *(row[name] for name in fields),
            np.asarray(row["vector"], np.float32).tobytes(),
        )
        for id_, row in rows.items()
    }


def assert_rows(found: Rows, expected: Rows) -> None:
    """Equal, else a message of readable length."""
    if found == expected:
        return
    path = FIELDS.index("path")
    missing = sorted({str(expected[i][path]) for i in expected.keys() - found.keys()})
    surplus = sorted({str(found[i][path]) for i in found.keys() - expected.keys()})
    other = sorted(
        {
            str(found[i][path])
            for i in found.keys() & expected.keys()
            if found[i] != expected[i]
        }
    )
    raise AssertionError(
        f"{len(found)} rows for {len(expected)}; "
        f"missing {_some(missing)}; surplus {_some(surplus)}; other {_some(other)}"
    )


def _some(names: list[str]) -> str:
    return f"{len(names)} {names[:3]}"


def assert_exact(
    yard: Yard, project: Project, tree: str, *, verify: bool = False
) -> None:
    """The collection is a fresh index's, nothing else is left, and there is no more to do."""
    model = project.environment.get("CODX_INDEX_MODEL", DEFAULT)
    assert_rows(rows_of(project), yard.expected(tree, model))
    left = os.listdir(state_of(project) / "milvus.db" / "collections")
    assert len(left) == 1, f"collections are left over: {left}"
    if verify:
        done = project.command("verify")
        assert done.returncode == 0, f"verify: {done.stdout}{done.stderr}"
    report = project.run()
    assert report["status"] == "unchanged", report
    done_again = {k: report["chunks"][k] for k in ("embedded", "upserted", "deleted")}
    assert not any(done_again.values()), report


def assert_repaired(
    yard: Yard, project: Project, tree: str, *, verify: bool = False
) -> dict[str, Any]:
    """The next run exits 0 and the index is exact; its report."""
    report = project.run()
    assert_exact(yard, project, tree, verify=verify)
    return report


def recorded_rows(project: Project, expected: Rows) -> int:
    """How many of the expected rows belong to files that the manifest has recorded."""
    return sum(recorded_files(project, expected).values())


def recorded_files(project: Project, expected: Rows) -> dict[str, int]:
    """How many rows each file has that the manifest has recorded as it is expected.

    Reads a copy: opening the manifest itself would roll a journal back before the run can.
    """
    wanted: dict[str, tuple[str, int]] = {}
    path, hash_, count = (FIELDS.index(f) for f in ("path", "file_hash", "chunk_count"))
    for row in expected.values():
        wanted[str(row[path])] = (str(row[hash_]), int(str(row[count])))
    copy = project.root.parent / "manifest-copy"
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir()
    for found in state_of(project).glob("manifest.sqlite*"):
        shutil.copy(found, copy)
    if not (copy / "manifest.sqlite").exists():
        return {}
    with Manifest(str(copy / "manifest.sqlite")) as manifest:
        records = manifest.records().values()
    return {
        shown: record.chunk_count
        for record in records
        if wanted.get(shown := escape_path(record.path))
        == (record.file_hash, record.chunk_count)
    }


def doubled_paths(state: Path) -> set[str]:
    """The paths of rows that are there twice, which the next run has to write again.

    milvus-lite shows them twice if it died after a flush, before it removed its log. Reads a
    copy, because to open a database is to repair it.
    """
    copy = state.with_name("copy-of-" + state.name)
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(state, copy)
    store = serve(str(copy / "milvus.db"), str(copy), "codx_index", patience=20)
    try:
        store.open()
        keys = list(store.keys())
    finally:
        store.close()
    seen = Counter(key.id for key in keys)
    return {key.path for key in keys if seen[key.id] > 1}


# --- ways to die -----------------------------------------------------------------------


@dataclass(frozen=True)
class Death:
    """How a run is killed: "moment" and "late" take a part (0..1) of its time, counted
    from its start or from when it has opened the database; "step" a fault; "file" kills
    while a file of the database is young whose name ends so; "worker" kills one process
    of its pool after that part of its time."""

    kind: str
    part: float = 0.0
    fault: str = ""
    ending: str = ""


def kill_run(
    project: Project, death: Death, seconds: float, *arguments: str
) -> subprocess.CompletedProcess[str]:
    """Start a command, `run` by default, and kill it; it may end before."""
    arguments = arguments or ("run", "--json")
    if death.kind == "step":
        faulty = _with(project, CODX_INDEX_FAULT=death.fault)
        return faulty.installed.command(*arguments)
    process = start(project, *arguments)
    try:
        if death.kind == "late":
            _wait_for_socket(process, state_of(project) / "s:0")
            seconds /= 2
        if death.kind == "file":
            _wait_for_file(process, state_of(project) / "milvus.db", death.ending)
            seconds = 0.01
        try:
            process.wait(death.part * seconds)
        except subprocess.TimeoutExpired:
            if death.kind == "worker":
                _kill_a_worker(process)
            else:
                process.kill()
        out, error = process.communicate(timeout=TIMEOUT)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    wait_for(lambda: is_lock_free(project))
    return subprocess.CompletedProcess(process.args, process.returncode, out, error)


def _with(project: Project, **environment: str) -> Project:
    return Project(
        project.root, project.cache_dir, {**project.environment, **environment}
    )


def _wait_for_socket(process: subprocess.Popen[str], socket: Path) -> None:
    # A killed run leaves its socket: the next one's is younger.
    before = time.time_ns()
    while process.poll() is None:
        try:
            if os.lstat(socket).st_ctime_ns >= before - 50_000_000:
                return
        except OSError:
            pass
        time.sleep(0.002)


def _wait_for_file(process: subprocess.Popen[str], database: Path, ending: str) -> None:
    def found() -> set[str]:
        return {
            os.path.join(folder, name)
            for folder, _, names in os.walk(database)
            for name in names
            if name.endswith(ending)
        }

    before = found()
    while process.poll() is None and found() <= before:
        time.sleep(0.0005)


def workers_of(pid: int) -> list[psutil.Process]:
    """The processes of a run's pool."""
    try:
        children = psutil.Process(pid).children()
    except psutil.Error:
        return []
    found = []
    for child in children:
        try:
            if any("spawn_main" in word for word in child.cmdline()):
                found.append(child)
        except psutil.Error:
            continue
    return found


def _kill_a_worker(process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 5
    while process.poll() is None and time.monotonic() < deadline:
        if workers := workers_of(process.pid):
            try:
                random.choice(workers).kill()
            except psutil.Error:
                continue
            return
        time.sleep(0.005)


# Steps that only some rounds reach.
ONLY_IN = {
    "created": ("first", "model"),
    "aside": ("update",),
    "moved": ("model",),
    "dropped": ("model",),
}
MANY = ("upserted", "deleted", "recorded", "cached")  # once a group


def random_death(rng: random.Random, scenario: str = "") -> Death:
    """As often as not with the database open, at a step or while it writes a file."""
    steps = [step for step in STEPS if scenario in ONLY_IN.get(step, (scenario,))]
    step = rng.choice(steps)
    which = rng.choice([1, 2, 3]) if step in MANY else 1
    kind = rng.choice(["moment", "moment", "late", "step", "step", "file"])
    ending = rng.choice([".parquet", ".arrow", ".tmp", "schema.json"])
    part = rng.random() ** 3 if kind == "file" else rng.random()
    return Death(kind, part, f"kill {step} {which}", ending)


# --- spoiling an index -----------------------------------------------------------------


def spoil_dirty(project: Project, rng: random.Random) -> None:
    """The manifest says that a run was at work."""
    path = state_of(project) / "manifest.sqlite"
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE meta SET value = ? WHERE key = 'state'", (DIRTY,))


def spoil_no_manifest(project: Project, rng: random.Random) -> None:
    """The manifest is gone."""
    (state_of(project) / "manifest.sqlite").unlink()


def spoil_torn_manifest(project: Project, rng: random.Random) -> None:
    """The manifest is cut somewhere."""
    path = state_of(project) / "manifest.sqlite"
    os.truncate(path, rng.randrange(path.stat().st_size))


def spoil_missing_rows(project: Project, rng: random.Random) -> None:
    """Somebody deleted rows."""
    with open_store(project) as store:
        ids = sorted(key.id for key in store.keys())
        store.delete(rng.sample(ids, rng.randrange(1, 200)))
        store.flush()


def spoil_other_rows(project: Project, rng: random.Random) -> None:
    """Rows of other contents, of another count, and of a file that never was."""
    with open_store(project) as store:
        ids = sorted(key.id for key in store.keys())
        rows = store.fetch(rng.sample(ids, 30))
        import numpy as np

        for number, row in enumerate(rows):
            row["vector"] = np.asarray(row["vector"], np.float32)
            match number % 3:
                case 0:
                    row["file_hash"], row["text"] = "0" * 40, "spoiled"
                case 1:
                    row["chunk_count"] += 1
                case 2:
                    row["id"], row["path"] = f"{number:064}", f"nowhere/{number}.py"
        store.upsert(rows)
        store.flush()


SPOILS = [
    spoil_dirty,
    spoil_no_manifest,
    spoil_torn_manifest,
    spoil_missing_rows,
    spoil_other_rows,
]

# --- storms ----------------------------------------------------------------------------


def rounds(default: int, share: int, shares: int) -> int:
    """How many of all rounds fall to this share of a storm."""
    everything = int(os.environ.get("CODX_INDEX_CRASH_ROUNDS", default))
    return everything // shares + (share < everything % shares)


def seed(default: int | None = None) -> int:
    """The seed that was given, else the default, else a new one."""
    if default is None:
        default = random.SystemRandom().randrange(10**9)
    return int(os.environ.get("CODX_INDEX_CRASH_SEED", default))


@contextmanager
def telling(**facts: object) -> Iterator[None]:
    """Say in a failure how to bring it about again."""
    try:
        yield
    except BaseException as error:
        error.add_note(f"crash harness: {json.dumps(facts, default=repr)}")
        raise


@dataclass
class Storm:
    """A project that goes from state to state, killed on the way, exact after each round."""

    yard: Yard
    folder: Path
    rng: random.Random
    tiny_model: Callable[[], str] | None = None  # None: no model changes
    tree: str = "base"
    done: list[str] = field(default_factory=list)
    killed: int = 0

    def __post_init__(self) -> None:
        self.project = self.yard.indexed(self.folder / "project", self.tree)

    def round(self, number: int) -> None:
        """One round: change something, die once or twice, run, compare."""
        rng, project = self.rng, self.project
        kinds = ["first", "update", "update", "repair"]
        kind = rng.choice(kinds + ["model", "model"] * (self.tiny_model is not None))
        pool = rng.random() < 0.12
        project.environment["CODX_INDEX_EXECUTOR"] = "process" if pool else "serial"
        project.environment["CODX_INDEX_JOBS"] = str(rng.choice([1, 2, 3]))
        # The embedded database then writes segments, and merges them, during the run.
        small = rng.random() < 0.4
        memory = str(rng.choice([100_000, 400_000]) if small else 16 * 1024 * 1024)
        project.environment["MILVUS_LITE_MEMTABLE_MEMORY_LIMIT_BYTES"] = memory
        spoiled = self._change(kind)
        deaths = [random_death(rng, kind)]
        if rng.random() < 0.3:
            deaths.append(random_death(rng, kind))
        if pool and rng.random() < 0.5:
            deaths = [Death("worker", rng.random())]
        cold = rng.random() < 0.1
        project.cache_dir = self.yard.cache_dir
        facts = dict(kind=kind, spoiled=spoiled, tree=self.tree, cold=cold)
        with telling(
            round=number,
            deaths=deaths,
            environment=project.environment,
            **facts,
            before=self.done[-5:],
        ):
            self._die(kind, deaths, cold)
            self._repair(kind, number, cold)
        self.done.append(f"{kind} {[death.kind for death in deaths]}")

    def summary(self) -> str:
        """How often there was which kind of round."""
        kinds = Counter(done.split()[0] for done in self.done)
        return ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))

    def _change(self, kind: str) -> str:
        rng, project = self.rng, self.project
        if kind == "first":
            shutil.rmtree(project.root / ".codx")
        if kind == "repair":
            spoil = rng.choice(SPOILS)
            spoil(project, rng)
            return spoil.__name__
        if kind == "model" and self.tiny_model:
            if not project.environment.pop("CODX_INDEX_MODEL", ""):
                project.environment["CODX_INDEX_MODEL"] = self.tiny_model()
        if kind == "update" or rng.random() < 0.5:
            self.tree = rng.choice([name for name in TREES if name != self.tree])
            put_tree(project, self.tree)
            if rng.random() < 0.3:
                commit(project)
        return ""

    def _die(self, kind: str, deaths: list[Death], cold: bool) -> None:
        project = self.project
        for death in deaths:
            if cold:
                self._cool()
            ended = kill_run(project, death, self._seconds(cold))
            assert ended.returncode in (0, -signal.SIGKILL), ended.stderr
            self.killed += ended.returncode != 0
            if death.kind == "worker":
                assert ended.returncode == 0, ended.stderr
        shutil.rmtree(self.folder / "killed", ignore_errors=True)
        if state_of(project).exists():
            shutil.copytree(
                state_of(project),
                self.folder / "killed",
                ignore=shutil.ignore_patterns("s:0"),
            )

    def _repair(self, kind: str, number: int, cold: bool) -> None:
        project = self.project
        if cold:
            self._cool()
        model = project.environment.get("CODX_INDEX_MODEL", DEFAULT)
        expected = self.yard.expected(self.tree, model)
        recorded = recorded_files(project, expected)
        started = time.monotonic()
        report = project.installed.run()  # its seconds tell when to kill the next
        self.yard.seconds[self._way(cold)] = time.monotonic() - started
        if kind not in ("repair", "model"):
            again = max(report["chunks"][count] for count in ("upserted", "embedded"))
            # What the manifest had recorded is neither embedded nor written again, unless
            # the kill made milvus-lite show it twice. To look for that takes a second.
            if again > len(expected) - sum(recorded.values()):
                for path in doubled_paths(self.folder / "killed"):
                    recorded.pop(path, None)
            known = sum(recorded.values())
            assert again <= len(expected) - known, (report["chunks"], known)
        assert_exact(self.yard, project, self.tree, verify=number % 5 == 4)

    def _seconds(self, cold: bool) -> float:
        """How long a run takes that nobody kills: what the last such one took."""
        return self.yard.seconds.get(self._way(cold), 8.0 if cold else 2.0)

    def _way(self, cold: bool) -> str:
        return f"{self.project.environment['CODX_INDEX_EXECUTOR']} {cold}"

    def _cool(self) -> None:
        folder = self.folder / "cold"
        shutil.rmtree(folder, ignore_errors=True)
        self.project.cache_dir = self.yard.cold(folder)


def has_option(command: str, option: str) -> bool:
    """Does this command of codx-index know the option?"""
    done = subprocess.run([COMMAND, command, "--help"], capture_output=True, text=True)
    return option in done.stdout
