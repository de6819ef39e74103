"""asyncio, threads or processes: which of them speeds up which kind of work?

Three kinds of work, each done one item after another and then in every other way:

    chunk    CPU-bound Python: real files through the worker's `chunk_files`
    embed    CPU-bound native code: their chunks through the worker's `embed_texts`
    http     waiting: POSTs to an embedding endpoint on loopback that answers after 50 ms

Then the pitfalls: how vectors are pickled, who holds the GIL, pinned OpenVINO threads, a pool
for a few files, a fork after threads were started.

    python benchmarks/executors.py [--rounds N] [--only KIND ...] [--workers N ...]
        [--cache-dir DIR] [--python PATH ...] [--json FILE] [--plot FILE]

`--python` adds chunking in pure Python, under this interpreter and under the given ones, such
as free-threaded builds. It needs no extension module, but detect-secrets and charset-normalizer
must be installed there.

Each measurement runs in its own process, and the measurements of a round take turns; figures
are medians over the rounds. Rates are those of warm workers. `cores` is user and system time of
the process tree divided by wall time. `MiB` is an upper bound of the tree's peak: its
proportional size (PSS) at the end, plus the amount by which each process had been larger at its
own peak. `first` is the time until one item is done, including the start of the pool and the
loading of libraries and models; `ready` is the time until every worker has done one. `pause` is
the longest time for which the event loop was blocked.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import pickle
import signal
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from array import array
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common import (
    Unexpected,
    answer_on_any_port,
    check_plot,
    cpu_seconds,
    descendants,
    headline,
    median,
    served,
    surroundings,
    write_json,
)

from indexer.pool.process import spawn_context
from indexer.text import source, syntax
from indexer.types import ID_BYTES
from indexer.work import worker

if TYPE_CHECKING:
    from indexer.vectors.backend import Backend

Task = Any
Call = Callable[[Task], Any]
Runner = Callable[[Call, Sequence[Task]], list[Any]]

SERIAL, BLOCKING, CLIENT = "one after another", "asyncio, blocking", "asyncio, client"
TO_THREAD, THREADS, PROCESSES = "asyncio.to_thread", "threads", "processes"
STYLES = {
    SERIAL: "k--",
    BLOCKING: "r:",
    CLIENT: "C2v-",
    TO_THREAD: "C1s-",
    THREADS: "C0o-",
    PROCESSES: "C3D-",
}
ALONE = (SERIAL, BLOCKING)  # these have one worker, whatever number is asked for

UNITS = {"chunk": "MB/s", "embed": "chunks/s", "http": "requests/s", "plain": "MB/s"}
PITFALLS = "pitfalls"
KINDS = ("chunk", "embed", "http", PITFALLS)

LATENCY = 0.05  # seconds
DIMENSION = 384
TEXTS_A_REQUEST = 8
WAVES = 16  # requests per worker
WAITERS = 32  # more workers than cores, because waiting needs no core
CHUNKED_BYTES = {"chunk": 800_000, "plain": 4_000_000}
TASK_BYTES = 32 * 1024  # a quarter of the product's, so that every worker gets some
EMBEDDED_TEXTS = 80
TEXTS_A_TASK = 8
SMALL = {"5 files": 5, "20 files": 20}
PATIENCE = 900  # seconds; only ever reached by a job that hangs
FORK_PATIENCE = 4


@dataclass(frozen=True, slots=True)
class Job:
    """One measurement, made in its own process; `folder` holds the tasks."""

    kind: str
    way: str
    workers: int
    folder: str
    cache_dir: str
    port: int = 0
    is_cold: bool = False  # the start of the workers is part of what is measured
    is_pinned: bool = False  # OpenVINO pins its threads, which the product prevents


@dataclass(frozen=True, slots=True)
class Cell:
    """A row of a table: a measurement and its result in each round."""

    job: Job
    python: str
    rounds: list[dict[str, Any]]

    def median(self, name: str) -> float:
        return median([round_[name] for round_ in self.rounds])

    def as_dict(self) -> dict[str, Any]:
        job = asdict(self.job)
        kept = {name: job[name] for name in ("kind", "way", "workers")}
        return {**kept, "python": self.rounds[0]["python"], "rounds": self.rounds}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    cores = len(os.sched_getaffinity(0))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--workers", nargs="+", type=int, help="1 to 2 x cores")
    parser.add_argument("--cache-dir", type=Path, help="where the converted model is")
    parser.add_argument("--python", type=Path, action="append", default=[])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--job", help=argparse.SUPPRESS)
    options = parser.parse_args()
    check_plot(options.plot)
    if options.job:
        print(json.dumps(measured(Job(**json.loads(options.job)))))
        return
    counts = options.workers or sorted({1, cores, 2 * cores})
    pythons = [sys.executable, *map(str, options.python)] if options.python else []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cache_dir = (options.cache_dir or folder / "cache").absolute()
        write_tasks(folder, cache_dir)
        base = Job("", SERIAL, 1, name, str(cache_dir))
        with served(serve) as port:
            plan = [
                (python, with_(base, kind=kind, way=way, workers=workers, port=port))
                for kinds, interpreters in (
                    (options.only, [sys.executable]),
                    (["plain"], pythons),
                )
                for python in interpreters
                for kind in kinds
                for way, workers in combinations(kind, counts)
            ]
            cells = in_rounds(plan, options.rounds)
        pitfalls: dict[str, Any] = {}
        if PITFALLS in options.only:
            pitfalls = met(base, cores, options.rounds)
    print(headline())
    report(cells, pitfalls)
    rows = [{**cell.as_dict(), **figures(cell, cells)} for cell in cells]
    write_json(
        options.json, {**surroundings(), "cells": rows, "pitfalls": pitfalls or None}
    )
    if options.plot:
        plot(cells, options.plot)


def combinations(kind: str, counts: Sequence[int]) -> Iterator[tuple[str, int]]:
    """The ways to measure for a kind of work, each with a number of workers."""
    if kind == PITFALLS:
        return
    yield SERIAL, 1
    many = counts if kind != "http" else (*counts, WAITERS)
    if kind != "plain":
        yield BLOCKING, 1
        for workers in many if kind == "http" else ():
            yield CLIENT, workers
        for workers in many:
            if workers > 1:
                yield TO_THREAD, workers
    for workers in many:
        yield THREADS, workers
    for workers in counts:
        yield PROCESSES, workers


def in_rounds(plan: list[tuple[str, Job]], rounds: int) -> list[Cell]:
    """Measure each job once per round, so that a disturbance affects all of them alike."""
    cells = [Cell(job, python, []) for python, job in plan]
    for _ in range(rounds):
        for cell in cells:
            cell.rounds.append(in_own_process(cell.job, cell.python))
    for kind in {cell.job.kind for cell in cells}:
        # Every way must have done the same work.
        done = {
            found["count"] / found["tasks"]
            for cell in cells
            if cell.job.kind == kind
            for found in cell.rounds
        }
        if len(done) > 1:
            raise Unexpected(f"{kind}: not every way gives the same: {sorted(done)}")
    return cells


def in_own_process(job: Job, python: str = sys.executable) -> dict[str, Any]:
    """Measure in a fresh process, whose memory and imports are its own."""
    script = Path(__file__).resolve()
    # Our own spawning sets this variable, and with it the script does not find its helpers.
    variables = {k: v for k, v in os.environ.items() if k != "PYTHONSAFEPATH"}
    if python != sys.executable:
        variables["PYTHONPATH"] = str(script.parent.parent)
    with subprocess.Popen(
        [python, script, "--job", json.dumps(asdict(job))],
        env=variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            output, errors = process.communicate(timeout=PATIENCE)
        except BaseException:
            # The workers too, because they outlive a parent that is killed.
            os.killpg(process.pid, signal.SIGKILL)
            raise
    if process.returncode != 0:
        raise Unexpected(f"{job.kind}, {job.way} × {job.workers}: {errors.strip()}")
    found: dict[str, Any] = json.loads(output)
    return found


# ---- Tasks ----


def write_tasks(folder: Path, cache_dir: Path) -> None:
    """Write one pickle of tasks for each kind of work, the same for every way."""
    from indexer.config import DEFAULT_MODEL
    from indexer.vectors.choice import choose_backend
    from indexer.vectors.model import resolve_model

    # The conversion is not measured, because it happens once per machine.
    cache_dir.mkdir(parents=True, exist_ok=True)
    model = resolve_model(DEFAULT_MODEL, str(cache_dir))
    backend = choose_backend(model, str(cache_dir), convert=True)
    for kind, size in CHUNKED_BYTES.items():
        write(folder / kind, file_tasks(read_modules(size), TASK_BYTES))
    files = read_modules(CHUNKED_BYTES["chunk"], largest=TASK_BYTES // 4)
    for name, number in SMALL.items():
        write(folder / name, [[file] for file in files[:number]])
    write(folder / "embed", text_tasks(backend))
    body = json.dumps({"input": ["def main() -> None: ..."] * TEXTS_A_REQUEST})
    write(folder / "http", [body.encode()])


def write(path: Path, tasks: list[Task]) -> None:
    path.write_bytes(pickle.dumps(tasks))


def read_modules(size: int, largest: int = TASK_BYTES) -> list[tuple[str, bytes]]:
    """Modules from all over the standard library, together of about the given size."""
    library = Path(sysconfig.get_path("stdlib"))
    paths = [
        path
        for path in sorted(library.rglob("*.py"))
        if "site-packages" not in path.parts and 2_000 < path.stat().st_size < largest
    ]
    step = max(1, sum(path.stat().st_size for path in paths) // size)
    return [
        (path.relative_to(library).as_posix(), path.read_bytes())
        for path in paths[step // 2 :: step]
    ]


def file_tasks(files: list[tuple[str, bytes]], size: int) -> list[Task]:
    """Group files into tasks of about `size` bytes."""
    tasks: list[list[tuple[str, bytes]]] = [[]]
    for file in files:
        if sum(len(data) for _, data in tasks[-1]) >= size:
            tasks.append([])
        tasks[-1].append(file)
    return tasks


def text_tasks(backend: Backend) -> list[Task]:
    """Group chunks of the modules into tasks of similar length, the longest first."""
    worker.initialize(backend)
    batch = worker.chunk_files(read_modules(CHUNKED_BYTES["chunk"]))
    chunks = [chunk for file in batch.files for chunk in file.chunks]
    chunks = chunks[:: len(chunks) // EMBEDDED_TEXTS][:EMBEDDED_TEXTS]
    chunks.sort(key=lambda chunk: chunk.tokens, reverse=True)
    texts = [chunk.embedded_text for chunk in chunks]
    starts = range(0, len(texts), TEXTS_A_TASK)
    return [texts[start : start + TEXTS_A_TASK] for start in starts]


def read_tasks(job: Job) -> list[Task]:
    tasks: list[Task] = pickle.loads(Path(job.folder, job.kind).read_bytes())
    return tasks * (WAVES * job.workers) if job.kind == "http" else tasks


# ---- Work: what a worker does ----

_barrier: Any = None
_local = threading.local()
_port = 0


def prepare(job: Job, barrier: Any = None) -> None:
    """Prepare this process, or a worker of a pool, for a kind of work."""
    global _barrier, _port
    _barrier, _port = barrier, job.port
    if job.kind not in ("plain", "http"):
        worker.initialize(backend_of(job.cache_dir))
    if job.is_pinned:
        pin_threads()


def prepare_process(job: Job, barrier: Any) -> None:
    """The same for a worker process, which like the product's ends with its parent."""
    if job.kind in ("plain", "http"):
        prepare(job, barrier)
        return
    worker.initialize_process(None, backend_of(job.cache_dir))
    prepare(job, barrier)


def backend_of(cache_dir: str) -> Backend:
    from indexer.config import DEFAULT_MODEL
    from indexer.vectors.choice import choose_backend
    from indexer.vectors.model import resolve_model

    model = resolve_model(DEFAULT_MODEL, cache_dir)
    return choose_backend(model, cache_dir, convert=False)


def pin_threads() -> None:
    """Let OpenVINO pin its threads, which is its default and which the product turns off."""
    from indexer.vectors.library import import_openvino

    openvino = import_openvino()
    compile_model = openvino.Core.compile_model

    def pinned(core: Any, model: str, device: str, config: dict[str, Any]) -> Any:
        return compile_model(core, model, device, config | {"ENABLE_CPU_PINNING": True})

    openvino.Core.compile_model = pinned


def chunk(task: Task) -> worker.ChunkedBatch:
    batch = worker.chunk_files(task)
    for file in batch.files:
        if file.error:
            raise Unexpected(f"{file.path}: {file.error}")
    return batch


def embed(task: Task) -> worker.EmbeddedBatch:
    return worker.embed_texts(task)


def chunk_and_embed(task: Task) -> worker.EmbeddedBatch:
    files = chunk(task).files
    return embed([chunk.embedded_text for file in files for chunk in file.chunks])


def post(body: bytes) -> array[float]:
    """Send a request over this thread's own connection, which stays open."""
    if not hasattr(_local, "connection"):
        _local.connection = HTTPConnection("127.0.0.1", _port)
    _local.connection.request("POST", "/embeddings", body)
    return read_answer(_local.connection.getresponse().read())


def read_answer(data: bytes) -> array[float]:
    """The vectors of an answer, one after the other, because lists are slow to pickle."""
    values = array("f")
    for vector in json.loads(data):
        values.extend(vector)
    return values


class Words:
    """A tokenizer in pure Python, for interpreters that have no other."""

    def __init__(self) -> None:
        import re

        self._word = re.compile(r"\w+|[^\w\s]")

    def count(self, texts: Sequence[str]) -> list[int]:
        return [2 + len(self._word.findall(text)) for text in texts]

    def ids(self, texts: Sequence[str]) -> list[bytes]:
        return [bytes(ID_BYTES * count) for count in self.count(texts)]

    def spans(self, text: str) -> list[tuple[int, int]]:
        return [match.span() for match in self._word.finditer(text)]


def chunk_plainly(task: Task) -> list[Any]:
    """The steps of the worker that need only Python: no grammar, no real tokenizer."""
    from indexer.config import Reading
    from indexer.text.chunks import chunk_text

    if not hasattr(_local, "words"):
        _local.words = Words()
    chunks = []
    for path, data in task:
        text = source.read_source(path, data, Reading()).text
        chunks += chunk_text(text, None, _local.words, 256)
    return chunks


CALLS: dict[str, Call] = {
    "chunk": chunk,
    "embed": embed,
    "http": post,
    "plain": chunk_plainly,
    **dict.fromkeys(SMALL, chunk_and_embed),
}


def count_of(result: Any) -> int:
    if isinstance(result, worker.ChunkedBatch):
        return sum(len(file.chunks) for file in result.files)
    if isinstance(result, worker.EmbeddedBatch):
        return len(result.vectors)
    return len(result)


def size_of(kind: str, tasks: list[Task]) -> float:
    """How much work the tasks are, in the unit of their kind."""
    if kind == "http":
        return len(tasks)
    if kind == "embed":
        return sum(map(len, tasks))
    return sum(len(data) for task in tasks for _, data in task) / 1e6


# ---- Ways to run it ----


def timed(call: Call, task: Task) -> float:
    """The time at which a worker has done its first item.

    The barrier makes sure that each worker does only one.
    """
    call(task)
    done = time.monotonic()
    if _barrier is not None:
        _barrier.wait()
    return done


class Loop:
    """An event loop that is kept from run to run, and the longest time it was blocked."""

    def __init__(self) -> None:
        self.pause = 0.0
        self._ticked = 0.0
        self._runner = asyncio.Runner()

    def __enter__(self) -> Loop:
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.close()

    def gather(
        self, call: Callable[[Task], Any], tasks: Sequence[Task], executor: Any = None
    ) -> list[Any]:
        """Await `call`, a coroutine function, for all tasks at once; return the results."""

        async def gathered() -> list[Any]:
            if executor is not None:
                asyncio.get_running_loop().set_default_executor(executor)
            self.pause, self._ticked = 0.0, time.monotonic()
            ticking = asyncio.create_task(self._tick())
            results = await asyncio.gather(*map(call, tasks))
            self._note()
            ticking.cancel()
            return results

        return self._runner.run(gathered())

    async def _tick(self) -> None:
        while True:
            self._note()
            await asyncio.sleep(0.005)

    def _note(self) -> None:
        now = time.monotonic()
        self.pause = max(self.pause, now - self._ticked)
        self._ticked = now


class Client:
    """HTTP over asyncio's streams, with one lasting connection per worker."""

    def __init__(self, workers: int) -> None:
        self._free: asyncio.Queue[Any] = asyncio.Queue()
        for _ in range(workers):
            self._free.put_nowait(None)

    async def post(self, body: bytes) -> array[float]:
        connection = await self._free.get()
        if connection is None:
            connection = await asyncio.open_connection("127.0.0.1", _port)
        reader, writer = connection
        writer.write(head_of(b"POST /embeddings HTTP/1.1\r\nHost: localhost", body))
        answer = await read_message(reader)
        self._free.put_nowait(connection)
        return read_answer(answer)

    async def first(self, body: bytes) -> float:
        await self.post(body)
        return time.monotonic()


@contextmanager
def opened(job: Job, loop: Loop) -> Iterator[Runner]:
    """A function that runs a call over tasks in the job's way."""
    barrier = threading.Barrier(job.workers)
    if job.way == PROCESSES:
        context = spawn_context()
        shared = context.Barrier(job.workers)
        with ProcessPoolExecutor(
            job.workers,
            mp_context=context,
            initializer=prepare_process,
            initargs=(job, shared),
        ) as pool:
            yield lambda call, tasks: list(pool.map(call, tasks))
    elif job.way == THREADS:
        prepare(job, barrier)
        with ThreadPoolExecutor(job.workers) as threads:
            yield lambda call, tasks: list(threads.map(call, tasks))
    elif job.way == TO_THREAD:
        prepare(job, barrier)
        with ThreadPoolExecutor(job.workers) as threads:
            yield lambda call, tasks: loop.gather(
                lambda task: asyncio.to_thread(call, task), tasks, threads
            )
    elif job.way == CLIENT:
        prepare(job)
        client = Client(job.workers)
        yield lambda call, tasks: loop.gather(
            client.post if call is post else client.first, tasks
        )
    elif job.way == BLOCKING:
        prepare(job)

        def run(call: Call, tasks: Sequence[Task]) -> list[Any]:
            async def blocking(task: Task) -> Any:
                return call(task)

            return loop.gather(blocking, tasks)

        yield run
    else:
        prepare(job)
        yield lambda call, tasks: [call(task) for task in tasks]


# ---- Measuring, in a process of its own ----


def measured(job: Job) -> dict[str, Any]:
    """Measure one job, in the process that was started for it."""
    if job.kind in TRAPS:
        return TRAPS[job.kind](job)
    tasks = read_tasks(job)
    call = CALLS[job.kind]
    began = time.monotonic()
    firsts = [began]
    with Loop() as loop, opened(job, loop) as run:
        if not job.is_cold:
            firsts = run(partial(timed, call), [tasks[-1]] * job.workers)
        cpu, started = cpu_seconds(os.getpid()), time.monotonic()
        results = run(call, tasks)
        ended = time.monotonic()
        size = size_of(job.kind, tasks)
        return {
            "python": version(),
            "size": size,
            "rate": size / (ended - started),
            "seconds": ended - (began if job.is_cold else started),
            "cores": (cpu_seconds(os.getpid()) - cpu) / (ended - started),
            "mib": peak_mib(),
            "first": min(firsts) - began,
            "ready": max(firsts) - began,
            "pause": loop.pause,
            "tasks": len(tasks),
            "count": sum(map(count_of, results)),
        }


def version() -> str:
    """The version of this interpreter, and whether it has turned its GIL on."""
    number = sys.version.split()[0]
    if not sysconfig.get_config_var("Py_GIL_DISABLED"):
        return number
    has_gil: bool = getattr(sys, "_is_gil_enabled", lambda: True)()
    return f"{number}t{' with its GIL on' if has_gil else ''}"


def peak_mib() -> float:
    return sum(map(own_peak_mib, descendants(os.getpid())))


def own_peak_mib(pid: int) -> float:
    sizes: Counter[str] = Counter()
    for name in ("status", "smaps_rollup"):
        for line in Path(f"/proc/{pid}/{name}").read_text().splitlines():
            key, _, value = line.partition(":")
            if key in ("Pss", "VmHWM", "VmRSS"):
                sizes[key] = int(value.split()[0])
    return (sizes["Pss"] + sizes["VmHWM"] - sizes["VmRSS"]) / 1024


# ---- The endpoint ----


def serve(sender: Any) -> None:
    numbers = [round(0.001 * (number % 97 - 48), 6) for number in range(DIMENSION)]
    answer = json.dumps([numbers] * TEXTS_A_REQUEST).encode()
    message = head_of(b"HTTP/1.1 200 OK", answer)

    async def answer_all(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                await read_message(reader)
                await asyncio.sleep(LATENCY)
                writer.write(message)
        writer.close()

    answer_on_any_port(answer_all, sender)


def head_of(first: bytes, body: bytes) -> bytes:
    return b"%b\r\nContent-Length: %d\r\n\r\n%b" % (first, len(body), body)


async def read_message(reader: asyncio.StreamReader) -> bytes:
    """The body of a request or an answer."""
    head = await reader.readuntil(b"\r\n\r\n")
    _, _, rest = head.lower().partition(b"content-length:")
    return await reader.readexactly(int(rest.split(maxsplit=1)[0]))


# ---- Pitfalls ----


def met(base: Job, cores: int, rounds: int) -> dict[str, Any]:
    """Measure each pitfall; the results by name."""
    found: dict[str, Any] = {}
    for name in TRAPS:
        found[name] = in_own_process(with_(base, kind=name))
    both = with_(base, kind="embed", way=PROCESSES, workers=cores)
    plan = [both, with_(both, is_pinned=True)]
    free, pinned = in_rounds([(sys.executable, job) for job in plan], rounds)
    found["pinning"] = {
        "workers": cores,
        "free": free.median("rate"),
        "pinned": pinned.median("rate"),
        "pinned cores": pinned.median("cores"),
    }
    for name in SMALL:
        here = with_(base, kind=name, is_cold=True)
        plan = [here, with_(here, way=PROCESSES, workers=cores)]
        alone, pool = in_rounds([(sys.executable, job) for job in plan], rounds)
        found[name] = {
            "KiB": alone.rounds[0]["size"] * 1e6 / 1024,
            "chunks": alone.rounds[0]["count"],
            **{"here": alone.median("seconds"), "here MiB": alone.median("mib")},
            **{"pool": pool.median("seconds"), "pool MiB": pool.median("mib")},
        }
    return found


def with_(job: Job, **changes: Any) -> Job:
    return Job(**(asdict(job) | changes))


def pickling(job: Job) -> dict[str, Any]:
    """Pickle and unpickle the vectors of a task, as an array and as lists of floats."""
    import numpy as np

    vectors = np.random.default_rng(0).random((256, DIMENSION), np.float32)
    found: dict[str, Any] = {}
    for name, value in (("array", vectors), ("lists", vectors.tolist())):
        data = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
        there_and_back = partial(pickled, value)
        seconds = min(seconds_of(there_and_back) for _ in range(20))
        found[name] = {"bytes": len(data), "ms": 1000 * seconds}
    return found


def pickled(value: object) -> object:
    return pickle.loads(pickle.dumps(value, pickle.HIGHEST_PROTOCOL))


def seconds_of(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def gil(job: Job) -> dict[str, Any]:
    """For each step, its share of chunking and the gain from a second thread (1: none)."""
    from indexer.text import masking as secrets
    from indexer.text import outline
    from indexer.vectors.tokenizer import load_tokenizer

    prepare(job)
    model = backend_of(job.cache_dir).model
    folder = Path(job.folder)
    tasks = pickle.loads((folder / "chunk").read_bytes())[::3]
    files = [file for task in tasks for file in task]
    texts = [(path, data.decode("utf-8", "replace")) for path, data in files]
    lines = [list(dict.fromkeys(text.splitlines(True))) for _, text in texts]
    samples = [task[-1] for task in pickle.loads((folder / "embed").read_bytes())]

    def tokenize() -> None:
        if not hasattr(_local, "tokenizer"):
            _local.tokenizer = load_tokenizer(model)
        for part in lines:
            _local.tokenizer.count(part)

    found: dict[str, Any] = {
        "chunk_files, all of it": in_two_threads(lambda: chunk(files)),
        "masking (Python, re)": in_two_threads(
            lambda: [secrets.mask_secrets(text, path) for path, text in texts]
        ),
        "parsing (tree-sitter)": in_two_threads(
            lambda: [syntax.parse(text.encode(), "python") for _, text in texts]
        ),
        "tokenizing (tokenizers)": in_two_threads(tokenize),
        "embed_texts (OpenVINO)": in_two_threads(lambda: embed(samples)),
    }
    clock = Clock()
    clock.watch(secrets, "mask_secrets", "masking (Python, re)")
    clock.watch(outline, "parse", "parsing (tree-sitter)")
    for name in ("count", "spans"):
        clock.watch(type(worker._tokenizer()), name, "tokenizing (tokenizers)")
    total = seconds_of(lambda: chunk(files))
    for name, seconds in clock.seconds.items():
        found[name]["share of chunking"] = seconds / total
    return found


def in_two_threads(work: Callable[[], object]) -> dict[str, float]:
    """How much more two threads do than one, each with its own models and tokenizers."""
    barrier = threading.Barrier(2)

    def together(_: int) -> None:
        work()
        barrier.wait()  # so that each thread works once

    with ThreadPoolExecutor(2) as threads:
        work()
        list(threads.map(together, range(2)))
        alone = [seconds_of(work) for _ in range(3)]
        both = [
            seconds_of(lambda: list(threads.map(together, range(2)))) for _ in range(3)
        ]
    return {"two threads": 2 * median(alone) / median(both)}


class Clock:
    """Adds up the seconds spent in functions, which it replaces by watched ones."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)

    def watch(self, owner: Any, function: str, name: str) -> None:
        inner = getattr(owner, function)

        def watched(*args: Any, **kwargs: Any) -> Any:
            started = time.perf_counter()
            result = inner(*args, **kwargs)
            self.seconds[name] += time.perf_counter() - started
            return result

        setattr(owner, function, watched)


def fork(job: Job) -> dict[str, Any]:
    """Whether a forked child hangs when it computes, after its parent used two threads."""
    from indexer.vectors.embedders import load_embedder

    embedder = load_embedder(backend_of(job.cache_dir), threads=2)
    texts = pickle.loads(Path(job.folder, "embed").read_bytes())[-1]
    found = {"hangs after OpenVINO": hangs_forked(lambda: embedder.encode(texts))}
    import torch

    torch.set_num_threads(2)
    table = torch.rand(512, 512)
    found["hangs after torch"] = hangs_forked(lambda: (table @ table).tanh().sum())
    return found


def hangs_forked(work: Callable[[], object]) -> bool:
    work()
    pid = os.fork()
    if pid == 0:
        try:
            work()
        finally:
            os._exit(0)
    for _ in range(10 * FORK_PATIENCE):
        if os.waitpid(pid, os.WNOHANG)[0]:
            return False
        time.sleep(0.1)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return True


TRAPS: dict[str, Callable[[Job], dict[str, Any]]] = {
    "pickling": pickling,
    "gil": gil,
    "fork": fork,
}


# ---- Results ----


def figures(cell: Cell, cells: list[Cell]) -> dict[str, float]:
    """The medians of a cell, and the ratio of its rate to that of one after another."""
    names = ("rate", "cores", "mib", "first", "ready", "pause")
    found = {name: cell.median(name) for name in names}
    serial = next(
        other
        for other in cells
        if (other.job.kind, other.python) == (cell.job.kind, cell.python)
        and other.job.way == SERIAL
    )
    return {**found, "ratio": found["rate"] / serial.median("rate")}


def report(cells: list[Cell], pitfalls: dict[str, Any]) -> None:
    """Print the results as Markdown tables."""
    heading = None
    for cell in cells:
        kind, python = cell.job.kind, cell.rounds[0]["python"]
        if heading != (kind, cell.python):
            heading = kind, cell.python
            about = kind + f", Python {python}" * (kind == "plain")
            print(
                f"\n| {about:22} | workers | {UNITS[kind]:>10} | × serial | cores"
                f" | MiB | first, s | ready, s | pause, ms |\n|---|{'---:|' * 8}"
            )
        found = figures(cell, cells)
        pause = f"{1000 * found['pause']:.0f}" if "asyncio" in cell.job.way else ""
        print(
            f"| {cell.job.way:22} | {cell.job.workers:7} | {found['rate']:10.2f}"
            f" | {found['ratio']:8.2f} | {found['cores']:5.2f} | {found['mib']:3.0f}"
            f" | {found['first']:8.2f} | {found['ready']:8.2f} | {pause:>9} |"
        )
    for name, found in pitfalls.items():
        print(f"\n{name}")
        for key, value in found.items():
            parts = value.items() if isinstance(value, dict) else [("", value)]
            said = ", ".join(f"{part} {shown(number)}" for part, number in parts)
            print(f"  {key:26}{said}")


def shown(value: object) -> str:
    return f"{value:,.2f}" if isinstance(value, float) else str(value)


def plot(cells: list[Cell], path: Path) -> None:
    """Plot how the rate of each way grows with the workers, one panel per kind of work."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    kinds = list(dict.fromkeys((cell.job.kind, cell.python) for cell in cells))
    columns = min(3, len(kinds))
    rows = -(-len(kinds) // columns)
    figure, axes = pyplot.subplots(
        rows, columns, figsize=(4 * columns, 0.6 + 3 * rows), squeeze=False
    )
    panels, unused = axes.flat[: len(kinds)], axes.flat[len(kinds) :]
    for panel in unused:
        panel.remove()
    ratios_but_of_http = [
        figures(cell, cells)["ratio"] for cell in cells if cell.job.kind != "http"
    ]
    top = 1.25 * max(ratios_but_of_http, default=1)
    for panel, (kind, python) in zip(panels, kinds, strict=True):
        here = [c for c in cells if (c.job.kind, c.python) == (kind, python)]
        ticks = sorted({cell.job.workers for cell in here})
        for way, style in STYLES.items():
            ratios = {
                cell.job.workers: figures(cell, cells)["ratio"]
                for cell in here
                if cell.job.way == way
            }
            if way in ALONE:
                ratios = dict.fromkeys(ticks, ratios[1]) if ratios else {}
            panel.plot(list(ratios), list(ratios.values()), style, label=way)
        panel.set_xscale("log", base=2)
        panel.set_xticks(ticks, labels=[str(tick) for tick in ticks])
        panel.set_xlabel("workers")
        if kind == "http":
            panel.set_yscale("log", base=2)
            panel.yaxis.set_major_formatter("{x:g}")
        else:
            panel.set_ylim(0, top)
        version_ = f", Python {here[0].rounds[0]['python']}" * (kind == "plain")
        panel.set_title(f"{kind}{version_}")
        panel.grid(alpha=0.3)
    figure.supylabel("rate, one after another = 1", fontsize="medium")
    lines, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(lines, labels, loc="lower center", ncols=len(labels), frameon=False)
    figure.tight_layout(rect=(0, 0.1 / rows, 1, 1))
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    try:
        main()
    except Unexpected as error:
        sys.exit(str(error))
