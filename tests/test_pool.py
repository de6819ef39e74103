"""Real executors with the real tokenizer, and the CPUs that they are given."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import Future
from pathlib import Path

import psutil
import pytest

from indexer.config import DEFAULT_MODEL, EXECUTORS
from indexer.pool.cpus import _cgroup_cpus, available_cpus
from indexer.pool.serial import SerialExecutor
from indexer.vectors.backend import Backend
from indexer.vectors.choice import choose_backend
from indexer.vectors.model import resolve_model
from indexer.work import worker
from indexer.work.workers import open_executor


@pytest.fixture(scope="module")
def backend(model_cache: Path) -> Backend:
    cache = str(model_cache)
    return choose_backend(resolve_model(DEFAULT_MODEL, cache), cache, convert=True)


# CPUs


def test_affinity() -> None:
    code = """
import os
from indexer.pool.cpus import available_cpus
os.sched_setaffinity(0, list(os.sched_getaffinity(0))[:1])
print(available_cpus())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert done.stdout == b"1\n"


def test_available_cpus() -> None:
    assert 1 <= available_cpus() <= (os.cpu_count() or 1)


V1 = {"cpu/cpu.cfs_quota_us": "150000", "cpu/cpu.cfs_period_us": "100000"}


@pytest.mark.parametrize(
    "files, me, cpus",
    [
        ({}, "", 0),
        ({}, "0::/a/b", 0),
        ({"cpu.max": "200000 100000\n"}, "0::/", 2),
        ({"cpu.max": "250000 100000"}, "0::/", 3),  # two and a half keep three busy
        ({"cpu.max": "1000 100000"}, "0::/", 1),
        ({"cpu.max": "max 100000"}, "0::/", 0),
        ({"a/b/cpu.max": "max 100000", "a/cpu.max": "100000 100000"}, "0::/a/b", 1),
        ({"a/b/cpu.max": "100000 100000", "a/cpu.max": "400000 100000"}, "0::/a/b", 1),
        ({"other/cpu.max": "100000 100000"}, "0::/a", 0),
        ({"cpu.max": "200000 100000"}, "12:cpu:/x\n1:name=systemd:/\n0::/\n", 2),
        (V1, "4:cpu,cpuacct:/docker/x", 2),
        ({**V1, "cpu/cpu.cfs_quota_us": "-1"}, "4:cpu:/", 0),
        ({**V1, "cpu/cpu.cfs_period_us": "0"}, "4:cpu:/", 0),
        ({"cpu/cpu.cfs_quota_us": "100000"}, "4:cpu:/", 0),
        ({"cpu.max": "garbage"}, "0::/", 0),
        ({"cpu.max": "some garbage"}, "0::/", 0),
        ({"cpu.max": "100000 0"}, "0::/", 0),
        ({"cpu.max": "\xff"}, "0::/\xff", 0),
    ],
)
def test_quota(tmp_path: Path, files: dict[str, str], me: str, cpus: int) -> None:
    root = tmp_path / "cgroup"
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, "latin-1")
    (tmp_path / "me").write_text(me, "latin-1")
    assert _cgroup_cpus(str(root), str(tmp_path / "me")) == cpus


# Executors


def test_serial_executor() -> None:
    with SerialExecutor() as executor:
        assert executor.submit(divmod, 7, 2).result() == (3, 1)
        failed: Future[tuple[int, int]] = executor.submit(divmod, 7, 0)
        assert failed.done()
        with pytest.raises(ZeroDivisionError):
            failed.result()


def test_every_executor_gives_the_same(backend: Backend) -> None:
    files = [
        ("a.py", b"def f():\n    return 1\n\n\nclass A:\n    x = 1\n"),
        ("logo", bytes(range(256))),
        ("blank.py", b"\n \n"),
    ]
    texts = ["def f(): pass", "class A: ...", "x = 1"]
    chunked, vectors = [], []
    for kind in EXECUTORS:
        with open_executor(kind, 2, backend) as executor:
            chunking = executor.submit(worker.chunk_files, files)
            embedding = executor.submit(worker.embed_texts, texts)
            chunked.append(chunking.result().files)
            vectors.append(embedding.result().vectors.tobytes())
    assert [file.reason for file in chunked[0]] == ["", "binary", "empty"]
    assert chunked[0][0].chunks
    assert chunked[0] == chunked[1] == chunked[2]
    assert vectors[0] == vectors[1] == vectors[2]


PARENT = """
import os, pickle, sys, time
from indexer.work.workers import open_executor

if __name__ == "__main__":
    with open_executor("process", 1, pickle.load(sys.stdin.buffer)) as executor:
        print(executor.submit(os.getpid).result(), flush=True)
        print(executor.submit(time.sleep, 100).result(), flush=True)
"""


def test_a_worker_ignores_ctrl_c_and_dies_with_its_parent(
    tmp_path: Path, backend: Backend
) -> None:
    import pickle

    (tmp_path / "parent.py").write_text(PARENT)
    with subprocess.Popen(
        [sys.executable, str(tmp_path / "parent.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.getcwd()},
    ) as parent:
        assert parent.stdin is not None and parent.stdout is not None
        parent.stdin.write(pickle.dumps(backend))
        parent.stdin.close()
        child = psutil.Process(int(parent.stdout.readline()))
        children = psutil.Process(parent.pid).children(recursive=True)
        child.send_signal(signal.SIGINT)
        time.sleep(0.3)
        assert child.is_running() and child.status() != psutil.STATUS_ZOMBIE
        parent.kill()
    _, alive = psutil.wait_procs(children, timeout=60)
    assert [p for p in alive if p.status() != psutil.STATUS_ZOMBIE] == []
