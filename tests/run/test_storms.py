"""Signals, kills and runs at once, over and over: nothing stays behind."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import psutil
import pytest
from conftest import (
    TIMEOUT,
    Project,
    is_lock_free,
    make_cache,
    python_text,
    start,
    wait_for,
    without_times,
)

FILES = 40


@pytest.fixture
def long(project: Project) -> Project:
    """Some seconds of work for a pool, of texts that are not in the cache."""
    for number in range(FILES):
        project.write(f"{number:02}.py", python_text(7000 + number, 16))
    return project


def begin_anew(project: Project, model_cache: Path, number: int) -> None:
    """Without an index, and without embeddings; the converted model is there."""
    project.command("clear", "--yes")
    project.cache_dir = make_cache(
        project.cache_dir.parent / f"cache-{number}", model_cache
    )


def all_ended(processes: list[psutil.Process]) -> bool:
    return not any(
        process.is_running() and process.status() != psutil.STATUS_ZOMBIE
        for process in processes
    )


CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}


# A signal at one moment is in test_signals.py.
@pytest.mark.slow
@pytest.mark.parametrize("number", CODES, ids=lambda number: number.name)
def test_signals_at_any_moment(
    number: signal.Signals, long: Project, model_cache: Path
) -> None:
    rng = random.Random(number)
    for attempt in range(30):
        begin_anew(long, model_cache, attempt)
        run = start(long, "run", "-j", "2")
        time.sleep(rng.uniform(0.3, 5))
        children = psutil.Process(run.pid).children(recursive=True)
        run.send_signal(number)
        output, errors = run.communicate(timeout=TIMEOUT)
        # Before Python has our handler it is the system that ends the process.
        code = run.returncode
        assert code in (CODES[number], -number, 0), errors
        if code:
            assert "Traceback" not in errors
        wait_for(partial(all_ended, children))
        wait_for(lambda: is_lock_free(long))
    done = long.command("run")
    assert done.returncode == 0, done.stderr
    assert long.command("verify", "--executor", "serial").returncode == 0


# tests/crash has kills at every step of a run.
@pytest.mark.slow
def test_the_parent_is_killed(long: Project, model_cache: Path) -> None:
    rng = random.Random(1)
    for attempt in range(50):
        begin_anew(long, model_cache, attempt)
        run = start(long, "run", "-j", "2", "-q")
        time.sleep(rng.uniform(0.5, 5))
        children = psutil.Process(run.pid).children(recursive=True)
        run.kill()
        run.communicate()
        wait_for(lambda: is_lock_free(long))
        wait_for(partial(all_ended, children))
    assert long.command("run").returncode == 0
    assert long.command("verify", "--executor", "serial").returncode == 0


# A second run at the same time is in test_failures.py.
@pytest.mark.slow
def test_ten_at_once(long: Project) -> None:
    runs = [start(long, "run", "-j", "1") for _ in range(10)]
    ended = [run.communicate(timeout=TIMEOUT) for run in runs]
    codes = sorted(run.returncode for run in runs)
    # One that began late may have found the first one done.
    assert codes.count(0) >= 1 and codes.count(75) == 10 - codes.count(0)
    for (_, errors), run in zip(ended, runs, strict=True):
        if run.returncode:
            assert without_times(errors).startswith(
                "codx-index: another run holds this index (pid "
            )
            assert errors.count("\n") == 1
    assert long.command("verify", "--executor", "serial").returncode == 0


def test_some_that_wait(make_project: Callable[[str], Project]) -> None:
    project = make_project("waiting")
    for number in range(3):
        project.write(f"{number}.py", python_text(number))
    runs = [start(project, "run", "--wait", "100") for _ in range(2)]
    for run in runs:
        _, errors = run.communicate(timeout=TIMEOUT)
        assert (run.returncode, errors) == (0, "")
