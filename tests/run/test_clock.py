"""A clock that is an hour wrong, or is set while a run is at work."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Project, only_slow, python_text, wait_for

from indexer.config import DEFAULT_MODEL, Settings
from indexer.index import stamp
from indexer.run.backoff import DELAYS, Backoff

SPARSE = ("--mode", "sparse")
HOUR = 3600

# What a process reads of the wall clock, moved by CLOCK_OFFSET seconds.
SHIM = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
static time_t offset(void) {
    const char *text = getenv("CLOCK_OFFSET");
    return text ? atol(text) : 0;
}
int clock_gettime(clockid_t id, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int done = real(id, now);
    if (!done && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE))
        now->tv_sec += offset();
    return done;
}
time_t time(time_t *into) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (into) *into = now.tv_sec;
    return now.tv_sec;
}
int gettimeofday(struct timeval *into, void *zone) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    into->tv_sec = now.tv_sec;
    into->tv_usec = now.tv_nsec / 1000;
    return 0;
}
"""


class Clock:
    """The wall clock as our own code finds it, `ahead` seconds wrong.

    gRPC mixes Python's clock with that of C, and would wait for an hour.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ahead: Iterator[int] = itertools.repeat(0)
        seconds, nanoseconds = time.time, time.time_ns
        monkeypatch.setattr(time, "time", lambda: seconds() + self._ahead())
        monkeypatch.setattr(
            time, "time_ns", lambda: nanoseconds() + self._ahead() * 10**9
        )

    def _ahead(self) -> int:
        caller = sys._getframe(2).f_globals["__name__"]
        return next(self.ahead) if caller.startswith(("indexer.", __name__)) else 0

    def set(self, *ahead: int) -> None:
        """Let each look at the clock find the next of these, again and again."""
        self.ahead = itertools.cycle(ahead)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@pytest.fixture
def committed(project: Project) -> Project:
    for number in range(3):
        project.write(f"{number}.py", python_text(number))
    project.write("same.py", "number = 100\n")
    project.git("add", ".")
    project.git("commit", "-qm", "1")
    project.run(*SPARSE)
    return project


def is_exact(project: Project) -> None:
    verified = project.command("verify", "--executor", "serial", *SPARSE)
    assert verified.returncode == 0, verified.stdout


@pytest.mark.parametrize(
    "ahead",
    [
        *((HOUR,), (0, 0, 0, -HOUR)),
        *only_slow((-HOUR,), (0, HOUR), (HOUR, -HOUR)),
    ],
    ids=["ahead", "set back", "behind", "set ahead", "to and fro"],
)
def test_a_wrong_clock(
    ahead: tuple[int, ...], committed: Project, clock: Clock
) -> None:
    """Edits of the same size are found, and only those, before, during and after."""
    for number, offsets in enumerate([ahead, (0,), ahead[::-1]]):
        clock.set(*offsets)
        assert committed.run(*SPARSE)["status"] == "unchanged"
        committed.write("same.py", f"number = {number + 200}\n")
        committed.write("untracked.py", f"number = {number + 300}\n")
        files = committed.run(*SPARSE)["files"]
        assert files["added"] + files["modified"] == 2
        assert committed.run(*SPARSE)["status"] == "unchanged"
        is_exact(committed)


def test_a_stamp_of_the_future_is_not_believed(
    committed: Project, clock: Clock
) -> None:
    """Since the clock was set back, a file may get the second again that git knows."""
    settings = Settings(
        project=os.path.realpath(committed.root),
        cache_dir=str(committed.cache_dir),
        model=DEFAULT_MODEL,
    )
    wait_for(lambda: committed.run(*SPARSE) and os.path.exists(settings.stamp_path))
    assert stamp._load(settings) is not None
    clock.set(-HOUR)
    assert stamp._load(settings) is None
    assert committed.run(*SPARSE)["status"] == "unchanged"
    is_exact(committed)


@pytest.mark.parametrize("ahead", [HOUR, -HOUR])
def test_a_project_is_not_left_alone_for_longer_than_was_said(
    ahead: int, tmp_path: Path, clock: Clock
) -> None:
    backoff = Backoff(str(tmp_path))
    backoff.failed("here", "why")
    assert backoff.wait("here")[1] == "why"
    clock.set(ahead)
    assert backoff.wait("here") == (0.0, "")
    backoff.failed("here", "why")
    until, _ = backoff.wait("here")
    assert 0 < until - time.time() <= DELAYS[1]


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> str:
    if not shutil.which("gcc"):
        pytest.skip("no gcc")
    source = tmp_path_factory.mktemp("shim") / "clock.c"
    source.write_text(SHIM)
    library = str(source.with_suffix(".so"))
    command = ["gcc", "-shared", "-fPIC", "-o", library, str(source), "-ldl"]
    subprocess.run(command, check=True)
    return library


@pytest.mark.slow
def test_processes_whose_clocks_differ(shim: str, committed: Project) -> None:
    """git's among them; the file system keeps its own."""
    committed.environment["LD_PRELOAD"] = shim
    told = committed.installed.launch("date", "+%s")
    committed.environment["CLOCK_OFFSET"] = str(-HOUR)
    assert int(committed.installed.launch("date", "+%s").stdout) < int(told.stdout)
    for number, ahead in enumerate([HOUR, 0, -HOUR, HOUR, -HOUR, 0]):
        committed.environment["CLOCK_OFFSET"] = str(ahead)
        assert committed.installed.run(*SPARSE)["status"] == "unchanged"
        committed.write("same.py", f"number = {number + 200}\n")
        if number % 2:
            committed.git("commit", "-qam", str(number))
        assert committed.installed.run(*SPARSE)["files"]["modified"] == 1
        assert committed.installed.run(*SPARSE)["status"] == "unchanged"
        done = committed.installed.command("verify", "--executor", "serial", *SPARSE)
        assert done.returncode == 0
    assert os.path.exists(committed.root / ".codx/index/stamp.json")
