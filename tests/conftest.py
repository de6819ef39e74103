"""Shared fixtures: the installed command, projects to index, a cache with the model in it."""

from __future__ import annotations

import functools
import json
import os
import random
import re
import signal
import subprocess
import sysconfig
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import in_process
import pytest

if TYPE_CHECKING:
    from clusters import LocalCluster

    from indexer.milvus.store import Store

COMMAND = os.path.join(sysconfig.get_path("scripts"), "codx-index")
TIMEOUT = in_process.TIMEOUT

GIT_ENVIRONMENT = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "a",
    "GIT_AUTHOR_EMAIL": "a@example.org",
    "GIT_COMMITTER_NAME": "a",
    "GIT_COMMITTER_EMAIL": "a@example.org",
}


# How long an example takes, or is to be made up, decides nothing.
hypothesis.settings.register_profile(
    "usual",
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("usual")


def only_slow(*cases: object) -> list[object]:
    """Parameters of a test whose other ones show the same in `make test`."""
    return [pytest.param(case, marks=pytest.mark.slow) for case in cases]


def every_fourth(cases: Iterable[object]) -> list[object]:
    """Parameters of a test that shows the same of each: `make test` takes every fourth."""
    return [
        case if number % 4 == 0 else pytest.param(case, marks=pytest.mark.slow)
        for number, case in enumerate(cases)
    ]


@pytest.fixture(scope="session")
def model_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder whose `models/` holds the converted default model.

    Shared by the workers of a parallel test run, of which the first converts the model.
    """
    from indexer.config import DEFAULT_MODEL
    from indexer.vectors.choice import choose_backend
    from indexer.vectors.model import resolve_model

    with shared_folder(tmp_path_factory, "model-cache") as folder:
        model = resolve_model(DEFAULT_MODEL, str(folder))
        choose_backend(model, str(folder), convert=True)
    return folder


@contextmanager
def shared_folder(factory: pytest.TempPathFactory, name: str) -> Iterator[Path]:
    """A folder of all workers of a test run, one of which at a time has the block."""
    import fcntl

    base = factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    with open(shared / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        (shared / name).mkdir(exist_ok=True)
        yield shared / name


@pytest.fixture(scope="session", autouse=True)
def compiled_once() -> Iterator[None]:
    """Each test has a cache folder of its own, and the same model in it: to compile it anew
    for each of them would take as long as most of the tests."""
    from indexer.vectors.library import import_openvino

    openvino = import_openvino()
    real = openvino.Core.compile_model

    @functools.lru_cache(maxsize=8)
    def compiled(path: str, about: object, device: str, config: object) -> Any:
        return real(openvino.Core(), path, device, dict(json.loads(str(config))))

    def compile_model(core: object, path: Any, device: str, config: Any) -> Any:
        if not isinstance(path, str):  # what is being converted
            return real(core, path, device, config)
        path = os.path.realpath(path)
        files = (os.stat(path), os.stat(os.path.splitext(path)[0] + ".bin"))
        about = tuple((one.st_ino, one.st_size, one.st_mtime_ns) for one in files)
        return compiled(path, about, device, json.dumps(config, sort_keys=True))

    read = openvino.Core.import_model

    @functools.lru_cache(maxsize=8)
    def imported(data: bytes, device: str, config: str) -> Any:
        return read(openvino.Core(), data, device, dict(json.loads(config)))

    def import_model(core: object, data: bytes, device: str, config: Any) -> Any:
        return imported(data, device, json.dumps(config, sort_keys=True))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(openvino.Core, "compile_model", compile_model)
        patch.setattr(openvino.Core, "import_model", import_model)
        yield


@pytest.fixture
def cache_dir(tmp_path: Path, model_cache: Path) -> Path:
    """A cache folder of one test: no embedding in it, but the converted model."""
    folder = tmp_path / "cache"
    folder.mkdir()
    (folder / "models").symlink_to(model_cache / "models")
    return folder


@dataclass
class Project:
    """A folder to index, and the installed command to do it with."""

    root: Path
    cache_dir: Path
    environment: dict[str, str] = field(default_factory=dict)

    def write(self, name: str, text: str | bytes) -> Path:
        """Write a file of the project, making its folders."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    def git(self, *arguments: str) -> str:
        done = subprocess.run(
            ["git", *arguments],
            cwd=self.root,
            env={**os.environ, **GIT_ENVIRONMENT},
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout

    def variables(self) -> dict[str, str]:
        # These are set here by spawning from a test, and for it; a user's shell has neither.
        ours = {"PYTHONSAFEPATH", *in_process.SILENT_GRPC}
        inherited = {k: v for k, v in os.environ.items() if k not in ours}
        return {
            **inherited,
            **GIT_ENVIRONMENT,
            "CODX_INDEX_CACHE_DIR": str(self.cache_dir),
            **self.environment,
        }

    def command(
        self, *arguments: str, given: bytes = b"", folder: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Do in this process what `codx-index …` does, and return how it ended.

        It reads `given` on stdin, and does it in the project or in another `folder`.
        """
        done = in_process.call(arguments, folder or self.root, self.variables(), given)
        done.stderr = without_times(done.stderr)
        return done

    @property
    def installed(self) -> Project:
        """This project, with the installed command started: where the process is the point."""
        return _InstalledCommand(self.root, self.cache_dir, self.environment)

    def launch(
        self, *command: str, timeout: float = TIMEOUT
    ) -> subprocess.CompletedProcess[str]:
        """Run any program in the project and return how it ended."""
        with started(self, *command) as process:
            output, errors = process.communicate(timeout=timeout)
        if process.returncode < 0:
            wait_for(lambda: is_lock_free(self))
        return subprocess.CompletedProcess(
            command, process.returncode, output, without_times(errors)
        )

    def report(self, *arguments: str, code: int = 0) -> dict[str, Any]:
        """Run a command with --json; its object, after a check of the exit code."""
        done = self.command(*arguments, "--json")
        assert done.returncode == code, done.stderr or done.stdout
        report: dict[str, Any] = json.loads(done.stdout)
        return report

    def run(self, *arguments: str, code: int = 0) -> dict[str, Any]:
        return self.report("run", *arguments, code=code)

    def rows(self, collection: str = "codx_index") -> dict[str, dict[str, Any]]:
        """Every row of the embedded database, by id, all fields."""
        return read_rows(self.root / ".codx" / "index", collection)


class _InstalledCommand(Project):
    """A project whose commands are processes of their own."""

    def command(
        self, *arguments: str, given: bytes = b"", folder: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Start `codx-index …` in the project and return how it ended."""
        assert not given and folder is None, "no test needs it yet"
        return self.launch(COMMAND, *arguments)


def without_times(text: str) -> str:
    """What a command said on stderr, as it would at a terminal: without the times."""
    return re.sub(r"(?m)^[-0-9]{10}T[:.0-9]{12}Z (?=codx-index: )", "", text)


def without_remarks(text: str) -> str:
    """What a search said on stderr, but for how old the index and how good the hits are."""
    remarks = r"(?m)^.*(a run is updating this|files (may )?have changed since|no good match).*\n"
    return re.sub(remarks, "", text)


def read_rows(state: Path, collection: str = "codx_index") -> dict[str, dict[str, Any]]:
    """Every row by id, read by pymilvus alone; a doubled one fails."""
    from indexer.milvus.embedded import serve

    store = serve(str(state / "milvus.db"), str(state), collection, patience=20)
    try:
        store.open()
        ids = [key.id for key in store.keys()]
        assert len(ids) == len(set(ids)), "a row is there twice"
        return {row["id"]: row for row in store.fetch(ids)}
    finally:
        store.close()


@pytest.fixture
def project(tmp_path: Path, cache_dir: Path) -> Project:
    """An empty project in a git work tree."""
    root = tmp_path / "project"
    root.mkdir()
    made = Project(root, cache_dir)
    made.git("init", "-q", "-b", "main")
    return made


@pytest.fixture
def make_project(tmp_path: Path, cache_dir: Path) -> Callable[[str], Project]:
    """Makes more projects, outside git, that share the test's cache."""

    def make(name: str) -> Project:
        root = tmp_path / name
        root.mkdir()
        return Project(root, cache_dir)

    return make


WORDS = """
    account amount archive balance batch branch buffer button cache cell channel color
    column cursor customer depth device digest domain driver edge engine entry event
    factor field filter folder font frame gateway graph handle header index invoice item
    journal kernel label layer ledger limit link matrix message meter mirror module node
    offset order packet palette parcel parser path payload period pixel planet point
    policy port price queue radius record region river route sample schema score season
    sensor shelf signal socket source stage station stream ticket token track tree value
    vector vehicle vertex village volume wallet weather window worker zone
    """.split()


def python_text(seed: int, functions: int = 6) -> str:
    """Python source, about 350 bytes a function, unlike that of any other seed."""
    rng = random.Random(seed)
    parts = [f'"""Module {seed}: {" ".join(rng.sample(WORDS, 4))}."""\n']
    for number in range(functions):
        a, b, c, d, e = rng.sample(WORDS, 5)
        parts.append(
            f"def {a}_{b}_{number}({c}: int, {d}: list[int]) -> int:\n"
            f'    """The {a} of every {d} that a {b} has left in the {e}."""\n'
            f"    {e} = {rng.randrange(10**6)}\n"
            f"    for {a} in {d}:\n"
            f"        if {a} % {rng.randrange(2, 97)} > {c}:\n"
            f"            {e} += {a} * {rng.randrange(10**4)} - {c}\n"
            f"        elif {a} == {e}:\n"
            f'            raise ValueError("{b} without a {rng.choice(WORDS)}")\n'
            f"    return {e} // {rng.randrange(1, 999)}\n"
        )
    return "\n\n".join(parts)


def make_cache(folder: Path, model_cache: Path) -> Path:
    """A cache folder without embeddings, but with the converted default model."""
    folder.mkdir(parents=True)
    (folder / "models").symlink_to(model_cache / "models")
    return folder


def project_in(folder: Path, model_cache: Path) -> Project:
    """A project with a cache of its own, for fixtures that outlive a test."""
    return Project(folder / "project", make_cache(folder / "cache", model_cache))


@contextmanager
def open_store(project: Project, collection: str = "codx_index") -> Iterator[Store]:
    """The embedded database of an indexed project, held open by this process."""
    from indexer.milvus.embedded import serve

    state = project.root / ".codx" / "index"
    store = serve(str(state / "milvus.db"), str(state), collection, patience=20)
    try:
        store.open()
        yield store
    finally:
        store.close()


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A random BERT of 2 layers and 32 dimensions, as transformers saves it.

    Shared by the workers of a parallel test run, of which the first makes it.
    """
    with shared_folder(tmp_path_factory, "tiny-model") as folder:
        if not any(folder.iterdir()):
            _make_tiny_model(str(folder), str(tmp_path_factory.mktemp("memo")))
    return str(folder)


def _make_tiny_model(folder: str, cache_dir: str) -> None:
    from indexer.config import DEFAULT_MODEL
    from indexer.vectors.library import quiet
    from indexer.vectors.model import resolve_model

    default = resolve_model(DEFAULT_MODEL, cache_dir)
    with quiet():
        import torch
        from transformers import AutoTokenizer, BertConfig, BertModel

        torch.manual_seed(0)
        config = BertConfig(
            vocab_size=30522,
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=64,
            max_position_embeddings=64,
        )
        BertModel(config).save_pretrained(folder)
        AutoTokenizer.from_pretrained(default.folder).save_pretrained(folder)


def start(project: Project, *arguments: str) -> subprocess.Popen[str]:
    """Start `codx-index …` in a session of its own, and do not wait for it."""
    return start_program(project, COMMAND, *arguments)


def start_program(project: Project, *command: str) -> subprocess.Popen[str]:
    """Start any program in the project, in a session of its own, and do not wait for it."""
    return subprocess.Popen(
        command,
        cwd=project.root,
        env=project.variables(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@contextmanager
def started(project: Project, *command: str) -> Iterator[subprocess.Popen[str]]:
    """Start any program in the project. If the block fails, all that it has started ends."""
    with start_program(project, *command) as process:
        try:
            yield process
        except BaseException:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            raise


def is_lock_free(project: Project) -> bool:
    """Whether no process holds the lock of the project's index.

    A run that was killed may leave a child that was about to become another program. Until
    that one ends too, which a busy machine can delay, it has the lock that it inherited.
    """
    import fcntl

    try:
        with open(project.root / ".codx/index/lock", "rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return True  # no run has got that far
    except BlockingIOError:
        return False
    return True


def wait_for(condition: Callable[[], Any], seconds: float = 60) -> Any:
    """What the condition gives once it is true; fails after so many seconds."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)
    return found


def assert_one_line(done: subprocess.CompletedProcess[str], code: int) -> str:
    """A failure as a person should see it; returns the line on stderr."""
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith("codx-index: ")
    assert done.stderr.count("\n") == 1 and done.stderr.endswith("\n")
    assert "Traceback" not in done.stderr
    return done.stderr


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Converts models where a test can make it fail."""
    from indexer.vectors import conversion

    monkeypatch.setattr(
        conversion,
        "_in_own_process",
        lambda build, backend, folder: build(backend, folder),
    )


@pytest.fixture(scope="module")
def cluster(
    tmp_path_factory: pytest.TempPathFactory, model_cache: Path
) -> Iterator[LocalCluster]:
    """A Dask cluster with two workers of one process each."""
    from clusters import LocalCluster

    with closing(LocalCluster(tmp_path_factory.mktemp("cluster"), model_cache)) as made:
        made.add_worker()
        made.add_worker()
        made.wait_for_workers(2)
        yield made


@pytest.fixture
def own_cluster(tmp_path: Path, model_cache: Path) -> Iterator[LocalCluster]:
    """A scheduler without workers, for one test that does it harm."""
    from clusters import LocalCluster

    with closing(LocalCluster(tmp_path / "cluster", model_cache)) as made:
        yield made
