"""A command in the test's process: it says what the installed one says, and leaves no trace."""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
import warnings

import in_process
import pytest
from conftest import Project

SECONDS = re.compile(r'"seconds": \{[^}]*\}')


def state() -> list[object]:
    """What a command could leave changed."""
    handlers = [signal.getsignal(number) for number in in_process.SIGNALS]
    streams = [sys.stdin, sys.stdout, sys.stderr]
    files = [os.fstat(number).st_ino for number in range(3)]
    umask = os.umask(0)
    os.umask(umask)
    place = [os.getcwd(), umask, dict(os.environ), sys.argv]
    return [*handlers, *streams, *files, *place, list(warnings.filters)]


def test_both_say_the_same(project: Project) -> None:
    project.write("a.py", "password = 1\n")
    project.run()
    before = state()
    for arguments, code in (
        (["--version"], 0),
        (["run", "--bogus"], 2),
        (["run", "nowhere", "--json"], 2),
        (["run", "--json", "-vv", "--log-format", "json"], 0),
        (["search", "password", "--json"], 0),
        (["status", "--json"], 0),
        (["clear"], 2),
    ):
        here, there = project.command(*arguments), project.installed.command(*arguments)
        assert (here.returncode, there.returncode) == (code, code), arguments
        assert SECONDS.sub("", here.stdout) == SECONDS.sub("", there.stdout)
        if "-vv" not in arguments:  # each line has the time
            assert here.stderr == there.stderr
        assert here.stderr.count("\n") == there.stderr.count("\n")
        assert state() == before


def test_what_was_printed_before_is_not_lost(
    project: Project, capfd: pytest.CaptureFixture[str]
) -> None:
    print("before")
    project.command("--version")
    print("after")
    assert capfd.readouterr().out == "before\nafter\n"


def test_what_needs_a_process_is_refused(project: Project) -> None:
    project.environment["CODX_INDEX_FAULT"] = "kill locked"
    with pytest.raises(AssertionError, match=r"use Project\.installed"):
        project.command("run")
    del project.environment["CODX_INDEX_FAULT"]
    refused: list[AssertionError] = []

    def call() -> None:
        try:
            project.command("run")
        except AssertionError as error:
            refused.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    assert refused


def test_a_thread_that_outlives_a_command_is_found(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = threading.Event()
    monkeypatch.setattr(in_process, "PATIENCE", 0.1)
    threads = set(threading.enumerate())
    left = threading.Thread(target=ended.wait)
    left.start()
    try:
        with pytest.raises(AssertionError):
            in_process._check_leftovers(project.root, threads, [])
    finally:
        ended.set()
        left.join()
    with open(project.write("left.txt", "open")):
        with pytest.raises(AssertionError):
            in_process._check_leftovers(project.root, threads, [])
