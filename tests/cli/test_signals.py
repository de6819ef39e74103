"""Stopped by a signal: what is done is kept, nothing is left behind."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import time

import psutil
import pytest
from conftest import TIMEOUT, Project, is_lock_free, python_text, start, wait_for

EMBED_TASK_CHUNKS = 64
FILES = 30
SERIAL = ("--executor", "serial")  # starts faster than a pool


@pytest.fixture
def long(project: Project) -> Project:
    """Seconds of work, of texts that no other test has embedded."""
    for number in range(FILES):
        project.write(f"{number:02}.py", python_text(1000 + number, 10))
    return project


def committed_files(project: Project) -> int:
    path = project.root / ".codx/index/manifest.sqlite"
    try:
        db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    except sqlite3.OperationalError:
        return 0
    try:
        return int(db.execute("SELECT count(*) FROM files").fetchone()[0])
    except sqlite3.OperationalError:
        return 0
    finally:
        db.close()


def started_and_committed(
    project: Project,
) -> tuple[subprocess.Popen[str], list[psutil.Process]]:
    """A run that has written some rows, and its children."""
    process = start(project, "run", "-j", "1", "--json")
    wait_for(lambda: committed_files(project) or process.poll() is not None)
    assert process.poll() is None, "it was done too soon"
    children = psutil.Process(process.pid).children(recursive=True)
    assert children
    return process, children


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    return [
        process
        for process in processes
        if process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    ]


@pytest.mark.parametrize(
    "number, code",
    [
        pytest.param(signal.SIGINT, 130, id="SIGINT", marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, 143, id="SIGTERM"),
        pytest.param(signal.SIGHUP, 129, id="SIGHUP", marks=pytest.mark.slow),
    ],
)
def test_a_signal_stops_a_run_in_order(
    number: signal.Signals, code: int, long: Project
) -> None:
    process, children = started_and_committed(long)
    process.send_signal(number)
    if number == signal.SIGINT:  # ctrl-C reaches the workers too: they leave it to us
        for child in children:
            child.send_signal(number)
    output, errors = process.communicate(timeout=TIMEOUT)
    assert process.returncode == code
    assert errors.count("\n") == 1 and errors.startswith("codx-index: stopping")
    first = json.loads(output)
    assert (first["status"], first["exit_code"]) == ("interrupted", code)
    wait_for(lambda: not alive(children))
    wait_for(lambda: is_lock_free(long))
    assert 0 < committed_files(long) == first["files"]["added"] < FILES
    status = long.report("status")
    assert status["indexed_files"] == first["files"]["added"]

    second = long.run("-j", "2")
    assert second["status"] == "updated"
    assert first["files"]["added"] + second["files"]["added"] == FILES
    total = first["chunks"]["embedded"] + second["chunks"]["embedded"]
    # What a worker had begun when the signal came is begun again.
    assert total <= second["chunks"]["total"] + 2 * EMBED_TASK_CHUNKS
    assert long.command("verify", *SERIAL).returncode == 0


def test_a_second_signal_stops_at_once(long: Project) -> None:
    process, children = started_and_committed(long)
    process.send_signal(signal.SIGTERM)
    time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=TIMEOUT)
    assert process.returncode in (130, 143)
    wait_for(lambda: not alive(children))


@pytest.mark.slow  # tests/crash has more of it
def test_a_killed_run_is_repaired(long: Project) -> None:
    process, children = started_and_committed(long)
    done = committed_files(long)
    searched = long.command("search", "the limit of every account", "-k", "1")
    assert searched.returncode == 0 and searched.stdout
    process.kill()
    process.communicate()
    wait_for(lambda: not alive(children))
    wait_for(lambda: is_lock_free(long))
    assert long.report("status", "--check", code=1)["doubt"]
    second = long.run("-j", "2")
    assert second["status"] == "updated"
    assert second["files"]["added"] + second["files"]["unchanged"] == FILES
    assert second["files"]["unchanged"] >= done
    assert second["chunks"]["embedded"] < second["chunks"]["total"]
    assert long.command("verify", *SERIAL).returncode == 0
    assert len(long.rows()) == second["chunks"]["total"]
