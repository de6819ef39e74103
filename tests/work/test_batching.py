"""The window between parent and workers, with the real tokenizer and model."""

from __future__ import annotations

import glob
import math
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from indexer.cache.embeddings import EmbeddingCache
from indexer.cache.entry import Source
from indexer.config import DEFAULT_MODEL, Reading
from indexer.report import ChunkCounts
from indexer.text import kinds
from indexer.timeline import Spans
from indexer.tree.git import blob_id
from indexer.types import ChangedFile, EmbeddedFile
from indexer.vectors.backend import SENTENCE_TRANSFORMERS, Backend
from indexer.vectors.choice import choose_backend
from indexer.vectors.embedders import load_embedder
from indexer.vectors.model import resolve_model
from indexer.vectors.tokenizer import load_tokenizer
from indexer.work import backlog, tasks
from indexer.work import workers as pool
from indexer.work.feedback import Feedback
from indexer.work.scheduler import Limits, Scheduler
from indexer.work.tasks import chunk_tasks, chunked_files
from indexer.work.workers import (
    CPU_TASK,
    GPU_TASK,
    Workers,
    open_executor,
    open_workers,
)

JOBS = 2


@pytest.fixture(scope="module")
def backend(model_cache: Path) -> Backend:
    cache = str(model_cache)
    return choose_backend(resolve_model(DEFAULT_MODEL, cache), cache, convert=True)


@pytest.fixture(params=["serial", "thread"])
def executor(request: pytest.FixtureRequest, backend: Backend) -> Iterator[Executor]:
    with open_executor(request.param, JOBS, backend) as opened:
        yield opened


def change(path: str, text: str | bytes) -> ChangedFile:
    data = text.encode() if isinstance(text, str) else text
    return ChangedFile(path, data, blob_id(data), None)


def function(name: str, lines: int = 3) -> str:
    body = "".join(f"    total += {name}_{n}(total, {n})\n" for n in range(lines))
    return f"def {name}(total):\n{body}    return total\n\n\n"


def some_changes(count: int = 12) -> list[ChangedFile]:
    """Files of different sizes, no text twice."""
    return [
        change(
            f"{n}.py",
            "".join(function(f"f{n}_{k}", 4 + 20 * (k % 2)) for k in range(n)),
        )
        for n in range(1, count + 1)
    ]


class Work:
    """One use of a `Scheduler`, and what it told."""

    def __init__(
        self,
        folder: Path,
        backend: Backend,
        workers: Executor | Workers,
        task: int = CPU_TASK,
    ) -> None:
        if isinstance(workers, Executor):
            workers = Workers.alike(workers, JOBS)
        self.spans = Spans()
        source = Source("i" * 64, backend.model.dimension)
        self.cache = EmbeddingCache(str(folder), source)
        self.counts = ChunkCounts()
        self.failures: dict[str, str] = {}
        self.stop = 0
        self.seconds_left = math.inf
        feedback = Feedback(
            self.counts,
            self.spans,
            lambda path, file_hash, error: self.failures.update({path: error}),
        )
        self.embedding = Scheduler(
            replace(workers, embed_task=task),
            self.cache,
            feedback,
            Limits(lambda: self.stop, lambda: self.seconds_left),
        )

    def files(self, changes: list[ChangedFile]) -> dict[str, EmbeddedFile]:
        found = list(self.embedding.files(iter(changes)))
        assert len({file.record.path for file in found}) == len(found)
        self.cache.commit()
        self.cache.close()
        return {file.record.path: file for file in found}


def test_every_file_comes_out_with_its_vectors(
    tmp_path: Path,
    backend: Backend,
    executor: Executor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tasks, "CHUNK_TASK_BYTES", 2_000)
    changes = some_changes(7)
    work = Work(tmp_path, backend, executor, task=5)
    found = work.files(changes)
    assert set(found) == {c.path for c in changes}
    embedder = load_embedder(backend)
    for changed in changes:
        file = found[changed.path]
        assert file.record.file_hash == changed.file_hash
        assert file.size == len(changed.data)
        assert file.record.chunk_count == len(file.chunks) > 0
        assert file.vectors.dtype == np.float32
        texts = [chunk.embedded_text for chunk in file.chunks]
        assert file.vectors.tobytes() == embedder.encode(texts).vectors.tobytes()
    total = sum(len(file.chunks) for file in found.values())
    assert (work.counts.embedded, work.counts.cached) == (total, 0)
    assert work.counts.truncated == 0


@pytest.fixture
def gpus(
    model_cache: Path, tiny_model: str, monkeypatch: pytest.MonkeyPatch
) -> Backend:
    """Two, or what stands for them where there are none."""
    model = resolve_model(tiny_model, str(model_cache))
    if not glob.glob("/dev/nvidia[0-9]*"):
        monkeypatch.setattr(
            pool, "on_gpu", lambda backend, number: replace(backend, device="cpu")
        )
    else:
        monkeypatch.setattr(
            pool, "on_gpu", lambda backend, number: replace(backend, device="cuda:0")
        )
    return Backend(
        model, SENTENCE_TRANSFORMERS, "cuda", "f32", str(model_cache), gpus=2
    )


@pytest.mark.slow
def test_each_gpu_has_a_process_that_only_embeds(gpus: Backend, tmp_path: Path) -> None:
    changes = some_changes(7)
    with open_workers(
        "process", JOBS, gpus, reading=Reading(), task_timeout=0
    ) as workers:
        assert (workers.embed_jobs, workers.embed_task) == (2, GPU_TASK)
        work = Work(tmp_path, gpus, workers, task=5)
        found = work.files(changes)
    assert set(found) == {c.path for c in changes}
    embedder = load_embedder(replace(gpus, device="cpu"))
    for file in found.values():
        texts = [chunk.embedded_text for chunk in file.chunks]
        cosines = (file.vectors * embedder.encode(texts).vectors).sum(axis=1)
        assert cosines.min() > 0.99999
    pids = defaultdict(set)
    for span in work.spans.found:
        pids[span.name].add(span.pid)
    assert len(pids["embed"]) == 2
    assert pids["chunk"] and not pids["chunk"] & pids["embed"]


@pytest.mark.skipif(not glob.glob("/dev/nvidia[0-9]*"), reason="there is no GPU here")
def test_half_precision_on_a_gpu(
    model_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CODX_INDEX_DEVICE", "cuda")
    cache = str(model_cache)
    model = resolve_model(DEFAULT_MODEL, cache)
    fast = choose_backend(model, cache, convert=True)
    assert (fast.kind, fast.device, fast.precision) == (
        SENTENCE_TRANSFORMERS,
        "cuda",
        "bf16",
    )
    texts = [function(f"f{n}", 1 + n % 40) for n in range(400)]
    ids = load_tokenizer(model).ids(texts)
    exact = replace(fast, device="cpu", precision="f32", gpus=0)
    given = load_embedder(replace(fast, device="cuda:0")).encode(texts, ids)
    expected = load_embedder(exact).encode(texts)
    assert (given.vectors * expected.vectors).sum(axis=1).min() > 0.999


def test_a_text_is_embedded_once(
    tmp_path: Path, backend: Backend, executor: Executor
) -> None:
    first, *others = some_changes(3)
    changes = [first, *others, *(change(f"copy{n}.py", first.data) for n in range(5))]
    work = Work(tmp_path, backend, executor)
    found = work.files(changes)
    distinct = {c.embedded_text for file in found.values() for c in file.chunks}
    total = sum(len(file.chunks) for file in found.values())
    assert work.counts.embedded == len(distinct)
    assert work.counts.cached == total - len(distinct) >= 5
    for n in range(5):
        copy = found[f"copy{n}.py"].vectors
        assert copy.tobytes() == found[first.path].vectors.tobytes()

    again = Work(tmp_path, backend, executor)
    repeated = again.files(changes)
    assert (again.counts.embedded, again.counts.cached) == (0, total)
    for path, file in found.items():
        assert repeated[path].vectors.tobytes() == file.vectors.tobytes()


def test_files_without_chunks(
    tmp_path: Path, backend: Backend, executor: Executor
) -> None:
    work = Work(tmp_path, backend, executor)
    found = work.files([change("logo", bytes(range(256))), change("blank.py", "\n")])
    reasons = {path: file.record.reason for path, file in found.items()}
    assert reasons == {"logo": "binary", "blank.py": "empty"}
    assert all(file.vectors.shape == (0, 384) for file in found.values())
    assert work.files([]) == {}


def test_a_file_that_fails_does_so_alone(
    tmp_path: Path,
    backend: Backend,
    executor: Executor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def language_of(path: str, first_line: str = "") -> str:
        if path == "bad.py":
            raise RuntimeError("a bug")
        return "python"

    monkeypatch.setattr(kinds, "language_of", language_of)
    work = Work(tmp_path, backend, executor)
    found = work.files([change("bad.py", "x = 1\n"), *some_changes(3)])
    assert set(found) == {"1.py", "2.py", "3.py"}
    assert work.failures == {"bad.py": "RuntimeError: a bug"}


def test_a_signal_ends_it_early(
    tmp_path: Path,
    backend: Backend,
    executor: Executor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tasks, "CHUNK_TASK_BYTES", 1)
    monkeypatch.setattr(backlog, "BACKLOG_CHUNKS", 4)
    work = Work(tmp_path, backend, executor, task=1)
    changes = [change(f"{n}.py", function(f"f{n}")) for n in range(40)]
    taken: list[ChangedFile] = []
    files = work.embedding.files(taken.append(c) or c for c in changes)  # type: ignore[func-returns-value]
    found = [next(files)]
    work.stop = 15
    found += files
    assert 0 < len(found) <= len(taken) < len(changes)
    for file in found:
        assert file.vectors.shape[0] == file.record.chunk_count
        assert np.linalg.norm(file.vectors, axis=1) == pytest.approx(1, abs=1e-3)
    work.cache.close()


class Counting(ThreadPoolExecutor):
    """Counts the tasks in flight of each kind, and takes its time."""

    def __init__(self) -> None:
        super().__init__(1)
        self.in_flight: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        self._count_lock = threading.Lock()

    def submit(
        self, task: Callable[..., Any], /, *arguments: Any, **named: Any
    ) -> Future[Any]:
        def work() -> Any:
            time.sleep(0.01)
            return task(*arguments, **named)

        name = task.__name__
        with self._count_lock:
            self.in_flight[name] += 1
            self.most[name] = max(self.most[name], self.in_flight[name])
        future = super().submit(work)
        future.add_done_callback(lambda _: self._ended(name))
        return future

    def _ended(self, name: str) -> None:
        with self._count_lock:
            self.in_flight[name] -= 1


def test_the_window_is_bounded(
    tmp_path: Path, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "CHUNK_TASK_BYTES", 1)
    changes = some_changes(9)
    with open_executor("serial", 1, backend), Counting() as executor:
        found = Work(tmp_path, backend, executor, task=2).files(changes)
        assert set(found) == {c.path for c in changes}
        assert executor.most == {"chunk_files": 2 * JOBS, "embed_texts": 2 * JOBS}


def test_with_no_time_left_what_is_in_flight_is_kept(
    tmp_path: Path, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "CHUNK_TASK_BYTES", 1)
    with open_executor("serial", 1, backend), Counting() as executor:
        work = Work(tmp_path, backend, executor, task=2)
        found = work.embedding.files(iter(some_changes(12)))
        for _ in range(4):
            next(found)
        begun = work.counts.embedded
        work.seconds_left = 0
        rest = list(found)
        assert executor.in_flight["embed_texts"] == 0
        assert begun < work.counts.embedded <= begun + 2 * 2 * JOBS
        assert len(rest) < 8
    work.cache.close()


def test_the_backlog_is_bounded(
    tmp_path: Path, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No chunk task is sent out while enough texts wait, however many workers idle."""
    monkeypatch.setattr(tasks, "CHUNK_TASK_BYTES", 1)
    monkeypatch.setattr(backlog, "BACKLOG_CHUNKS", 6)
    changes = [change(f"{n}.py", function(f"f{n}")) for n in range(40)]
    with open_executor("serial", 1, backend) as executor:
        work = Work(tmp_path, backend, executor, task=1)
        most = 0
        for _ in work.embedding.files(iter(changes)):
            most = max(most, len(work.embedding._backlog))
        assert most <= JOBS * (6 + 2)
        assert work.counts.embedded == 40
    work.cache.close()


def test_chunk_tasks_group_small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "FIRST_TASK_BYTES", 50)
    monkeypatch.setattr(tasks, "CHUNK_TASK_BYTES", 200)
    sizes = [20, 30, 60, 40, 100, 99, 2, 300, 9]
    changes = [change(str(n), b"x" * size) for n, size in enumerate(sizes)]
    found = list(chunk_tasks(iter(changes)))
    # At first small ones; a large file goes alone.
    assert [[len(c.data) for c in task] for task in found] == [
        [20, 30],
        [60, 40],
        [100, 99, 2],
        [300],
        [9],
    ]


def test_chunked_files_keeps_order_and_bound(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "CHUNK_TASK_BYTES", 1)
    changes = some_changes(12)
    with open_executor("serial", 1, backend), Counting() as executor:
        pairs = list(chunked_files(iter(changes), executor, JOBS))
        assert executor.most == {"chunk_files": 2 * JOBS}
    assert [changed for changed, _ in pairs] == changes
    assert all(file.path == changed.path and file.chunks for changed, file in pairs)
