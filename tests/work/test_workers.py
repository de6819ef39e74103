"""A worker that dies or hangs costs its own file, and nothing else."""

from __future__ import annotations

import inspect
import json
import os
import random
import resource
import signal
import struct
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from pathlib import Path
from threading import Thread

import psutil
import pytest
from conftest import Project, only_slow, python_text, start, wait_for
from fatal_source import FATAL

from indexer.config import DEFAULT_MODEL
from indexer.errors import (
    OutOfMemoryError,
    TaskTimeoutError,
    WorkerDiedError,
    WorkerError,
)
from indexer.pool.process_pool import ProcessPool
from indexer.pool.serial import SerialExecutor
from indexer.vectors.choice import choose_backend
from indexer.vectors.model import resolve_model
from indexer.work import worker
from indexer.work.worker import initialize_process

POOL = ("--executor", "process", "-j", "2")
FAULT = "CODX_INDEX_FAULT"


# The pool


def square(number: int) -> int:
    return number * number


def die(how: int) -> None:
    os.kill(os.getpid(), how)


def leave(code: int) -> None:
    os._exit(code)


def sleep(seconds: float) -> None:
    time.sleep(seconds)


def die_once(path: str) -> str:
    """Dies of the first call, not of the second."""
    if not os.path.exists(path):
        open(path, "x").close()
        os.kill(os.getpid(), signal.SIGKILL)
    return path


Open = Callable[..., ProcessPool]


@pytest.fixture
def open_pool() -> Iterator[Open]:
    pools = []

    def opened(task_timeout: float = 0, initialize: object = None) -> ProcessPool:
        prepare = initialize if callable(initialize) else initialize_process
        pools.append(ProcessPool(2, task_timeout, prepare, (None,)))
        return pools[-1]

    yield opened
    for pool in pools:
        pool.shutdown()


def error_of(future: Future[None]) -> str:
    error = future.exception(60)
    assert isinstance(error, WorkerDiedError | TaskTimeoutError), error
    return str(error)


def test_only_the_culprits_fail(open_pool: Open) -> None:
    pool = open_pool()
    before = [pool.submit(square, number) for number in range(20)]
    killed, crashed = pool.submit(die, signal.SIGKILL), pool.submit(die, signal.SIGSEGV)
    ended = pool.submit(leave, 3)
    after = [pool.submit(square, number) for number in range(20)]
    assert "SIGKILL, as when memory runs out" in error_of(killed)
    assert "SIGSEGV" in error_of(crashed)
    assert "ended by itself" in error_of(ended)
    squares = [number * number for number in range(20)]
    assert [future.result(60) for future in before + after] == squares * 2


def kill_a_worker(chance: random.Random) -> None:
    with suppress(psutil.NoSuchProcess, IndexError):
        children = psutil.Process().children()
        workers = [p for p in children if "spawn_main" in " ".join(p.cmdline())]
        chance.choice(workers).kill()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_deaths_while_processes_start() -> None:
    """CPython's executor fails in several ways then, its own thread with a traceback."""
    seed = random.SystemRandom().randrange(10**9)
    chance = random.Random(seed)
    for _ in range(40):
        pool = ProcessPool(chance.choice([2, 4, 8]), 0, initialize_process, (None,))
        numbers = range(chance.randrange(8, 30))
        fatal = {number for number in numbers if chance.random() < 0.2}
        moment = chance.choice(numbers)
        futures = []
        for number in numbers:
            task = partial(die, 9) if number in fatal else partial(square, number)
            futures.append(pool.submit(task))
            time.sleep(chance.choice([0, chance.random() * 0.05]))
            if number == moment:
                kill_a_worker(chance)
        errors = {number: future.exception(60) for number, future in enumerate(futures)}
        assert {number for number in numbers if errors[number]} == fatal, seed
        pool.shutdown()


def test_who_dies_once_is_given_another_chance(
    open_pool: Open, tmp_path: object
) -> None:
    path = os.path.join(str(tmp_path), "once")
    assert open_pool().submit(die_once, path).result(60) == path


def test_a_task_that_takes_too_long(open_pool: Open) -> None:
    pool = open_pool(task_timeout=1)
    slow = pool.submit(sleep, 600)
    others = [pool.submit(square, number) for number in range(8)]
    assert error_of(slow) == "took longer than 1 s"
    assert [future.result(60) for future in others] == [n * n for n in range(8)]


def test_workers_that_never_start(open_pool: Open) -> None:
    future = open_pool(initialize=initialize_and_die).submit(square, 2)
    assert isinstance(future.exception(60), WorkerError)


def initialize_and_die(*_: object) -> None:
    os._exit(1)


def test_the_end_does_not_wait(open_pool: Open) -> None:
    pool = open_pool()
    hanging = pool.submit(sleep, 600)
    wait_for(lambda: psutil.Process().children())
    pool.shutdown()  # the task would take ten minutes
    assert hanging.cancelled()


def send_a_part(stays: bool) -> None:
    """Write the beginning of a result to the pipe that results are read from, and no more."""
    frame = inspect.currentframe()
    while frame and "result_queue" not in frame.f_locals:
        frame = frame.f_back
    assert frame
    pipe = frame.f_locals["result_queue"]._writer
    os.write(pipe.fileno(), struct.pack("!i", 1000) + b"the first part")
    time.sleep(600 if stays else 0)
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_worker_dies_while_it_sends_a_result(open_pool: Open) -> None:
    pool = open_pool()
    cut = pool.submit(send_a_part, False)
    others = [pool.submit(square, number) for number in range(8)]
    assert "SIGKILL" in error_of(cut)
    assert [future.result(60) for future in others] == [n * n for n in range(8)]


def test_the_end_does_not_wait_for_the_rest_of_a_result(open_pool: Open) -> None:
    pool = open_pool()
    began = [pool.submit(send_a_part, True), pool.submit(sleep, 600)]
    wait_for(lambda: all(pool._slots[2 * slot] for slot in pool._sent) and pool._sent)
    time.sleep(0.1)
    ended = Thread(target=pool.shutdown, daemon=True)
    ended.start()
    ended.join(60)
    assert not ended.is_alive()
    assert all(future.cancelled() for future in began)


def limit_memory(spare: int) -> None:
    """Leave this process so many bytes of address space that it does not use yet."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf(
        "SC_PAGESIZE"
    )
    resource.setrlimit(resource.RLIMIT_AS, (used + spare, used + spare))


def embed_with_little_memory(spare: int) -> None:
    limit_memory(spare)
    worker.embed_texts(["def f(): return 1"])


def chunk_with_little_memory(spare: int) -> str:
    worker.chunk_files([("a.py", b"x = 1")])
    limit_memory(spare)
    found = worker.chunk_files([("b.py", b"def f(x): return x\n" * 40_000)])
    return found.files[0].error


def take_all_memory(spare: int) -> None:
    limit_memory(spare)
    bytearray(1 << 40)


@pytest.mark.slow  # what a library says then is not always known: it may blame the model
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="no /proc")
def test_memory_that_runs_out_is_the_tasks_own_failure(
    model_cache: Path,
) -> None:
    """Not a model that cannot be loaded, nor a bug: the scheduler tries smaller tasks."""
    model = resolve_model(DEFAULT_MODEL, str(model_cache))
    backend = choose_backend(model, str(model_cache), convert=False)
    pool = ProcessPool(1, 0, initialize_process, (backend,))
    spares = (0, 10 << 20, 160 << 20)
    for spare in spares:
        error = pool.submit(embed_with_little_memory, spare).exception(120)
        # A library may also end the process.
        assert isinstance(error, OutOfMemoryError | WorkerDiedError), (spare, error)
        pool.shutdown()
        pool = ProcessPool(1, 0, initialize_process, (backend,))
    taken = pool.submit(take_all_memory, 1 << 20).exception(120)
    assert isinstance(taken, OutOfMemoryError)
    pool.shutdown()
    pool = ProcessPool(1, 0, initialize_process, (backend,))
    chunked = pool.submit(chunk_with_little_memory, 8 << 20)
    assert chunked.exception(120) or "ran out of memory" in chunked.result()
    pool.shutdown()


def test_serial_work_has_a_time_limit_too() -> None:
    executor = SerialExecutor(task_timeout=0.2)
    assert error_of(executor.submit(sleep, 600)) == "took longer than 0.2 s"
    assert executor.submit(square, 3).result() == 9
    time.sleep(0.3)  # the alarm is off


# The command


@pytest.fixture
def large(project: Project) -> Project:
    """More than is done in the parent."""
    for number in range(8):
        project.write(f"{number}.py", python_text(number))
    project.write("bad.py", "culprit = 1\n")
    project.write("filler.md", "plain words in a line\n" * 5000)
    return project


def failed_alone(project: Project, *words: str) -> None:
    """Eight files and the filler are in the index, bad.py is not, and says why."""
    rows = project.rows().values()
    assert len({row["path"] for row in rows}) == 9
    assert "bad.py" not in {row["path"] for row in rows}
    report = project.run(*POOL, code=3)
    assert (report["status"], report["chunks"]["embedded"]) == ("partial", 0)
    (failure,) = report["failures"]
    assert failure["path"] == "bad.py"
    for word in (*words, "--retry-failed"):
        assert word in failure["error"]


@pytest.mark.parametrize(
    "fault, words",
    [
        ("kill chunking bad.py", ["died", "SIGKILL"]),
        *(
            pytest.param(fault, words, marks=pytest.mark.slow)
            for fault, words in (
                ("kill embedding culprit = 1", ["died", "SIGKILL"]),
                # The limit is one that other tasks keep on a busy machine, and is waited
                # for twice.
                ("hang chunking bad.py", ["took longer than 60 s"]),
                ("hang embedding culprit = 1", ["took longer than 60 s"]),
            )
        ),
    ],
)
def test_the_file_to_blame_fails_alone(
    fault: str, words: list[str], large: Project
) -> None:
    large.environment[FAULT] = fault
    if "chunking" in fault:
        large.environment["CODX_INDEX_MODE"] = "sparse"
    limit = ("--task-timeout", "60") if fault.startswith("hang") else ()
    report = large.installed.run(*POOL, *limit, code=3)
    assert (report["status"], report["files"]["added"]) == ("partial", 9)
    (failure,) = report["failures"]
    assert failure["path"] == "bad.py"
    assert all(word in failure["error"] for word in words)
    # The fault is still there: it was not tried again.
    failed_alone(large.installed, *words)

    del large.environment[FAULT]
    failed_alone(large, *words)
    report = large.run("--retry-failed")
    assert (report["status"], report["files"]["added"]) == ("updated", 1)
    assert large.run()["status"] == "unchanged"


@pytest.mark.slow
def test_it_is_tried_again_when_it_changes(large: Project) -> None:
    large.environment[FAULT] = "kill chunking bad.py"
    large.installed.run(*POOL, code=3)
    del large.environment[FAULT]
    large.write("bad.py", "better = 1\n")
    assert large.run()["files"]["added"] == 1
    assert large.command("verify", "--executor", "serial").returncode == 0


@pytest.mark.parametrize("others", [0, *only_slow(8)])
def test_a_file_that_crashes_its_grammar_is_cut_without_syntax(
    others: int, project: Project
) -> None:
    for number in range(others):
        project.write(f"{number}.py", python_text(number))
    project.write("filler.md", "plain words in a line\n" * 5000)
    project.write("bad.fs", FATAL)
    project.environment["CODX_INDEX_MODE"] = "sparse"
    report = project.installed.run(*POOL)
    assert (report["status"], report["files"]["added"]) == ("updated", others + 2)
    rows = [row for row in project.rows().values() if row["path"] == "bad.fs"]
    assert "".join(row["text"] for row in rows) == FATAL.decode()
    assert {row["language"] for row in rows} == {"fsharp"}
    assert project.installed.command("verify", *POOL).returncode == 0
    assert project.run()["status"] == "unchanged"


@pytest.mark.slow  # so do those of any file that fails: test_failures.py
def test_a_file_that_was_fine_keeps_its_rows(large: Project) -> None:
    large.run(*POOL)
    large.write("bad.py", "culprit = 2\n")
    large.write("filler.md", "other words in a line\n" * 5000)
    large.environment[FAULT] = "kill chunking bad.py"
    large.installed.run(*POOL, code=3)
    texts = [r["text"] for r in large.rows().values() if r["path"] == "bad.py"]
    assert texts == ["culprit = 1"]


def test_a_small_plan_that_ends_the_run_goes_to_a_worker(project: Project) -> None:
    project.write("good.py", "def good(): return 1\n")
    project.write("bad.py", "culprit = 1\n")
    project.environment[FAULT] = "kill chunking bad.py"
    assert project.installed.command("run").returncode == -signal.SIGKILL
    report = project.installed.run(code=3)
    assert report["files"]["added"] == 1
    assert [failure["path"] for failure in report["failures"]] == ["bad.py"]
    del project.environment[FAULT]
    assert project.run("--retry-failed")["status"] == "updated"


def workers_of(pid: int) -> list[psutil.Process]:
    """The workers of a run, the one with the most memory first."""
    found = []
    with suppress(psutil.NoSuchProcess):
        for child in psutil.Process(pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                if "spawn_main" in " ".join(child.cmdline()):
                    found.append((child.memory_info().rss, child.pid, child))
    return [child for _, _, child in sorted(found, reverse=True)]


def is_in_order(project: Project, output: str, errors: str, code: int) -> None:
    """A run whose workers had too little memory: what failed is named, all else is there."""
    assert code in (0, 3), errors
    report = json.loads(output)
    failed = {failure["path"] for failure in report["failures"]}
    assert (code == 3) == bool(failed)
    there = {row["path"] for row in project.rows().values()}
    assert there | failed == set(os.listdir(project.root)) - {".git", ".codx"}
    assert project.run("--retry-failed")["exit_code"] == 0
    assert project.command("verify", "--executor", "serial").returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("kills", [1, 3, 6])
def test_the_largest_worker_is_killed_in_mid_run(kills: int, large: Project) -> None:
    """As the kernel does when memory runs out, and soon again."""
    for number in range(40):
        large.write(f"more{number}.py", python_text(100 + number))
    run = start(large, "run", "--json", *POOL)
    for _ in range(kills):
        # With the model, a worker has more than 150 MB.
        wait_for(
            lambda: run.poll() is not None
            or [w for w in workers_of(run.pid)[:1] if w.memory_info().rss > 150e6]
        )
        for worker_ in workers_of(run.pid)[:1]:
            worker_.kill()
    output, errors = run.communicate(timeout=240)
    is_in_order(large, output, errors, run.returncode)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(psutil.Process, "rlimit"), reason="no prlimit")
@pytest.mark.parametrize("spare", [0, 1 << 20, 20 << 20, 150 << 20])
def test_workers_with_little_memory(spare: int, large: Project) -> None:
    for number in range(40):
        large.write(f"more{number}.py", python_text(100 + number))
    run = start(large, "run", "--json", *POOL)
    limited: set[int] = set()
    while run.poll() is None and len(limited) < 6:
        for one in workers_of(run.pid):
            with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                # Before, Python itself cannot start, and says so in a traceback of its own.
                is_started = one.memory_info().rss > 60e6
                if is_started and one.pid not in limited:
                    limit = one.memory_info().vms + spare
                    one.rlimit(psutil.RLIMIT_AS, (limit, limit))
                    limited.add(one.pid)
        time.sleep(0.05)
    output, errors = run.communicate(timeout=240)
    if run.returncode != 1:
        is_in_order(large, output, errors, run.returncode)
        return
    # A library that finds no memory may say anything, as of a model that it cannot load. Then
    # the run fails, in its last line, and the next one is exact.
    assert errors.splitlines()[-1].partition(" ")[2].startswith("codx-index: ")
    assert large.run("--retry-failed")["exit_code"] == 0
    assert large.command("verify", "--executor", "serial").returncode == 0


@pytest.mark.slow  # the file to blame kills one too
def test_a_killed_worker_costs_nothing(large: Project) -> None:
    run = start(large, "run", "--json", *POOL)
    wait_for(lambda: workers_of(run.pid))[0].kill()
    output, errors = run.communicate(timeout=120)
    assert (run.returncode, errors) == (0, "")
    assert large.command("verify", "--executor", "serial").returncode == 0
