"""What does a Dask cluster cost, and what does its scheduler bear?

    python benchmarks/cluster.py [--files N] [--rounds N] [--workers N] [--only own|simulated]

Starts schedulers and workers on this machine, each a process of its own.

*own*: the same files are chunked and embedded by the local pool and by two workers of a cluster with
one process each, in turns, both warm. CPU is the user and system time of all processes, those of the
cluster included.

*simulated*: many workers in one process take as long as real ones would, but compute nothing: what
remains is the work of the scheduler and of the parent, which reads and masks the files. Vectors are
random. The rate is that of all tasks, and the memory the parent's own at its peak.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import pickle
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from common import COMMAND, Unexpected, cpu_seconds, headline, median, module_text

from indexer.cache.embeddings import EmbeddingCache
from indexer.cache.entry import Source
from indexer.config import AS_USUAL, DEFAULT_MODEL
from indexer.report import ChunkCounts
from indexer.timeline import Spans
from indexer.tree.git import blob_id
from indexer.types import ChangedFile, Chunk, ChunkedFile
from indexer.vectors.backend import Backend
from indexer.vectors.choice import choose_backend
from indexer.vectors.model import resolve_model
from indexer.work import cluster_host
from indexer.work.feedback import Feedback
from indexer.work.scheduler import Limits, Scheduler
from indexer.work.worker import ChunkedBatch, EmbeddedBatch, ReadFile
from indexer.work.workers import Workers
from indexer.work.workshop import open_anywhere

MODULES_A_FILE = 12  # about 15 kB
CHUNK_LINES = 40
WAIT_SECONDS = 120.0
# What a worker does in a second: the figures of docs/explanation/executors.md, for one process.
BYTES_A_SECOND = 1.2e6
TEXTS_A_SECOND = 75.0


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--files", type=int, default=30, help="of the own workers")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=100, help="simulated ones")
    parser.add_argument("--simulated-files", type=int, default=3_000)
    parser.add_argument("--only", choices=("own", "simulated"))
    parser.add_argument("--simulate", type=int, metavar="PORT", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.simulate:
        asyncio.run(simulate(options.simulate, options.workers))
        return
    print(headline())
    with tempfile.TemporaryDirectory() as folder:
        cache = str(Path(folder, "cache"))
        model = resolve_model(DEFAULT_MODEL, cache)
        backend = choose_backend(model, cache, convert=True)
        if options.only != "simulated":
            measure_own(backend, options.files, options.rounds)
        if options.only != "own":
            measure_simulated(backend, options.workers, options.simulated_files)


def measure_own(backend: Backend, files: int, rounds: int) -> None:
    """Print the CPU of the local pool and of two workers of a cluster, for the same files."""
    changes = made_files(files)
    seconds: dict[str, list[float]] = {"pool": [], "cluster": []}
    with (
        started_scheduler() as executor,
        started_worker(executor, backend),
        started_worker(executor, backend),
        joined(executor, 2),
        opened("process", 2, backend) as pool,
        opened(executor, 0, backend) as cluster,
    ):
        wait_for(lambda: cluster.jobs == 2, "the workers have not accepted")
        for workers in (pool, cluster):
            work(workers, backend, changes)  # so that each has loaded its model
        for _ in range(rounds):
            for name, workers in (("pool", pool), ("cluster", cluster)):
                before = cpu_seconds(os.getpid())
                chunks = work(workers, backend, changes)
                seconds[name].append(cpu_seconds(os.getpid()) - before)
    local, remote = median(seconds["pool"]), median(seconds["cluster"])
    print(
        f"own: {chunks:,} chunks of {files} files; CPU of the pool {local:.2f} s, "
        f"of the cluster {remote:.2f} s: {remote / local - 1:+.1%}"
    )


def measure_simulated(backend: Backend, workers: int, files: int) -> None:
    """Print the tasks a second, and the parent's memory, with many workers that only wait."""
    changes = made_files(files)
    simulation = (sys.executable, __file__, "--workers", str(workers), "--simulate")
    # This process has told those that it starts not to look beside their script.
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    before = peak_mib()
    with (
        started_scheduler() as executor,
        running(*simulation, executor.rpartition(":")[2], env=environment),
        joined(executor, workers),
        opened(executor, 0, backend) as cluster,
    ):
        wait_for(lambda: cluster.jobs == workers, "the workers have not accepted")
        tasks = [0]
        for one in {cluster.chunkers, cluster.embedders}:
            counted(one, tasks)
        started = time.monotonic()
        chunks = work(cluster, backend, changes)
        seconds = time.monotonic() - started
    print(
        f"simulated: {workers} workers, {files:,} files, {chunks:,} chunks in {seconds:.1f} s: "
        f"{tasks[0] / seconds:.0f} tasks/s, {chunks / seconds:,.0f} chunks/s; "
        f"the parent has {before:.0f} MiB with its files, {peak_mib():.0f} at its peak"
    )


def counted(executor: Any, tasks: list[int]) -> None:
    """Count the tasks that go to an executor."""
    submit = executor.submit

    def submit_one(*arguments: Any, **named: Any) -> Any:
        tasks[0] += 1
        return submit(*arguments, **named)

    executor.submit = submit_one


def work(workers: Workers, backend: Backend, changes: Sequence[ChangedFile]) -> int:
    """Chunk and embed files, none of whose vectors are cached. Returns how many chunks there are."""
    failures: list[str] = []
    counts = ChunkCounts()
    feedback = Feedback(
        counts, Spans(), lambda path, file_hash, error: failures.append(error)
    )
    with tempfile.TemporaryDirectory() as folder:
        source = Source("i" * 64, backend.model.dimension)
        cache = EmbeddingCache(folder, source, limit=0)
        scheduler = Scheduler(workers, cache, feedback, Limits())
        chunks = sum(len(file.chunks) for file in scheduler.files(iter(changes)))
        cache.close()
    if failures or not chunks:
        raise Unexpected(f"failed: {failures[:1]}")
    return chunks


def made_files(count: int) -> list[ChangedFile]:
    """Files of Python source, no two of which share a text."""
    made = []
    for number in range(count):
        first = number * MODULES_A_FILE
        texts = (module_text(seed) for seed in range(first, first + MODULES_A_FILE))
        data = "\n\n".join(texts).encode()
        made.append(ChangedFile(f"m{number}.py", data, blob_id(data), None))
    return made


# ---- Processes ----


@contextmanager
def opened(kind: str, jobs: int, backend: Backend) -> Iterator[Workers]:
    """Workers as a run opens them."""
    with open_anywhere(
        kind, jobs, backend, reading=AS_USUAL, task_timeout=300
    ) as workers:
        yield workers


@contextmanager
def running(*command: str, **about: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A program, until the block ends."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, **about)
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


@contextmanager
def started_scheduler() -> Iterator[str]:
    """A scheduler of Dask, as an executor names it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    where = ("--host", "127.0.0.1", "--port", str(port), "--no-dashboard")
    with running(sys.executable, "-m", "distributed.cli.dask_scheduler", *where):
        # A worker that nobody answers gives up, so it has to listen before they start.
        wait_for(lambda: listens(port), "no scheduler listens")
        yield f"dask://127.0.0.1:{port}"


def listens(port: int) -> bool:
    """Whether somebody accepts connections there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_for(is_so: Callable[[], bool], otherwise: str) -> None:
    """Wait until something is so. Raises `Unexpected` after a while."""
    end = time.monotonic() + WAIT_SECONDS
    while not is_so():
        if time.monotonic() > end:
            raise Unexpected(otherwise)
        time.sleep(0.2)


@contextmanager
def joined(executor: str, workers: int) -> Iterator[None]:
    """Wait until so many workers have connected."""
    from indexer.work.dask_library import import_distributed, scheduler_address

    address = scheduler_address(executor)
    make = import_distributed().Client
    with make(address, set_as_default=False, timeout=60) as client:
        wait_for(
            lambda: len(client.nthreads()) >= workers, "the workers have not connected"
        )
    yield


def started_worker(executor: str, backend: Backend) -> Any:
    """A worker with one process."""
    cache = ("--cache-dir", backend.cache_dir)
    return running(COMMAND, "worker", executor, "--jobs", "1", *cache)


def peak_mib() -> float:
    """The most memory that this process has had, in MiB."""
    text = Path("/proc/self/status").read_text()
    return int(text.partition("VmHWM:")[2].split()[0]) / 1024


# ---- Simulated workers ----


class Simulated(cluster_host.Host):
    """A host that accepts everything, and whose tasks only take their time."""

    def __init__(self) -> None:
        super().__init__("", (), 1)

    def answer(self, recipe: Any) -> cluster_host.Answer:
        """Accept."""
        return cluster_host.Answer("simulated", self.jobs)


async def simulate(port: int, count: int) -> None:
    """Be so many workers of one process each, until a signal comes."""
    from indexer.work.dask_library import import_distributed

    distributed = import_distributed(is_worker=True)
    cluster_host.be(Simulated())
    cluster_host.perform = simulated
    workers = [
        distributed.Worker(
            f"tcp://127.0.0.1:{port}",
            nthreads=cluster_host.THREADS,
            memory_limit=0,
            dashboard_address="127.0.0.1:0",
        )
        for _ in range(count)
    ]
    await asyncio.gather(*workers)
    await asyncio.Event().wait()


_turns: dict[str, threading.Lock] = {}


def simulated(recipe: Any, kind: str, arguments: bytes) -> bytes:
    """Take as long as a worker's only process would, and return what looks like a result."""
    from distributed import get_worker

    positional, _ = pickle.loads(arguments)
    task: Callable[..., tuple[Any, float]] = (
        _embedded if kind == cluster_host.EMBED else _chunked
    )
    result, seconds = task(*positional)
    with _turns.setdefault(get_worker().address, threading.Lock()):
        time.sleep(seconds)
    return pickle.dumps(cluster_host.Outcome(result, "simulated", 0.0), 5)


def _chunked(files: Sequence[tuple[str, ReadFile]]) -> tuple[ChunkedBatch, float]:
    found, size = [], 0
    for path, file in files:
        lines = file.source.text.split("\n")
        size += len(file.source.text)
        chunks = tuple(
            _chunk(start + 1, lines[start : start + CHUNK_LINES])
            for start in range(0, len(lines), CHUNK_LINES)
        )
        found.append(
            ChunkedFile(path, "python", chunks, tuple({1: 1.0} for _ in chunks))
        )
    return ChunkedBatch(found, [0.0] * len(found), []), size / BYTES_A_SECOND


def _chunk(first: int, lines: list[str]) -> Chunk:
    text = "\n".join(lines)
    return Chunk(first, first + len(lines) - 1, "", text, 200, bytes(800))


def _embedded(texts: Sequence[str], ids: object) -> tuple[EmbeddedBatch, float]:
    import numpy as np

    vectors = np.random.default_rng(0).random((len(texts), 384), np.float32)
    batch = EmbeddedBatch(vectors, 0, 200 * len(texts), 0, 0.0, [])
    return batch, len(texts) / TEXTS_A_SECOND


if __name__ == "__main__":
    try:
        main()
    except Unexpected as error:
        sys.exit(str(error))
