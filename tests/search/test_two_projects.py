"""Two projects share one embedded database: each waits for the other, and readers find it."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from conftest import assert_one_line, project_in, start

from indexer.index.lock import run_lock
from indexer.milvus.embedded import serve
from indexer.milvus.meeting_place import SHARED, meeting_place, run_lock_path

SPARSE = ("--mode", "sparse")


class Pair:
    """Two projects, a and b, with their collections in one database."""

    def __init__(self, folder: Path, model_cache: Path) -> None:
        self.database = folder / "x.db"
        self.projects = {}
        for name in "ab":
            (folder / name).mkdir()
            project = project_in(folder / name, model_cache)
            project.write("f.py", f"def needle_{name}(): pass\n")
            self.projects[name] = project
            assert project.run(*SPARSE, *self.place(name))["status"] == "updated"

    def place(self, name: str) -> tuple[str, ...]:
        return ("--uri", str(self.database), "--collection", f"code_{name}")

    def search(self, name: str) -> list[str]:
        # Another process: this one may have the database open.
        project = self.projects[name].installed
        arguments = (*SPARSE, *self.place(name), f"needle_{name}")
        answer = project.report("search", *arguments)
        return [hit["path"] for hit in answer["hits"]]

    def state(self, name: str) -> str:
        return str(self.projects[name].root / ".codx/index")

    @contextmanager
    def served_by(self, name: str) -> Iterator[None]:
        """The database is open in this process, as in a run of this project."""
        store = serve(str(self.database), self.state(name), f"code_{name}", patience=20)
        try:
            yield
        finally:
            store.close()

    def lock(self) -> str:
        return run_lock_path(str(self.database), self.state("a"))


@pytest.fixture
def pair(tmp_path: Path, model_cache: Path) -> Pair:
    return Pair(tmp_path, model_cache)


def test_readers_of_both_read_while_a_run_of_one_has_it_open(pair: Pair) -> None:
    with pair.served_by("a"):
        for name in "ab":
            assert pair.search(name) == ["f.py"]


def test_the_socket_is_closed_to_other_users(pair: Pair) -> None:
    place = pair.database / SHARED
    place.chmod(0o777)
    with pair.served_by("b"):
        assert (place / "s:0").is_socket()
        assert place.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    "command",
    [("run", *SPARSE), ("verify", *SPARSE), ("clear", "--yes")],
    ids=lambda c: c[0],
)
def test_each_waits_for_a_run_of_the_other(
    command: tuple[str, ...], pair: Pair
) -> None:
    project = pair.projects["b"]
    project.write("g.py", "def g(): pass\n")
    ended = threading.Event()

    def hold() -> None:
        with run_lock(pair.lock()):
            held.set()
            ended.wait(60)

    held = threading.Event()
    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(60)
    line = assert_one_line(project.command(*command, *pair.place("b")), 75)
    assert f"another run holds this database (pid {os.getpid()} on " in line
    waiting = start(project, *command, *pair.place("b"), "--wait", "60")
    time.sleep(0.5)
    ended.set()
    thread.join()
    _, errors = waiting.communicate()
    assert waiting.returncode == (command[0] == "verify"), errors


def test_a_run_waits_for_a_holder_that_has_no_lock(pair: Pair) -> None:
    project = pair.projects["b"]
    project.write("g.py", "def g(): pass\n")
    with pair.served_by("a"):
        waiting = start(project, "run", *SPARSE, *pair.place("b"), "--wait", "60")
        time.sleep(0.5)
    _, errors = waiting.communicate()
    assert waiting.returncode == 0, errors


def test_every_spelling_of_the_path_means_the_same_place(
    pair: Pair, tmp_path: Path
) -> None:
    (tmp_path / "link.db").symlink_to(pair.database)
    (tmp_path / "folder").symlink_to(tmp_path)
    spellings = ["x.db", "./x.db", "a/../x.db", "link.db", "folder/x.db"]
    places = {meeting_place(f"{tmp_path}/{name}", "/state") for name in spellings}
    assert len(places) == 1
    # A project's own database is met at in that project, whoever asks.
    own = f"{pair.state('a')}/milvus.db"
    assert meeting_place(own, "/state") == meeting_place(own, pair.state("a"))


def test_what_a_killed_holder_left_is_in_nobodys_way(pair: Pair) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(pair.database / SHARED / "s:0"))  # nobody listens
    assert pair.search("b") == ["f.py"]


def test_a_long_path(tmp_path: Path, model_cache: Path) -> None:
    folder = tmp_path / ("long " * 30)
    folder.mkdir()
    pair = Pair(folder, model_cache)
    with pair.served_by("a"):
        assert pair.search("b") == ["f.py"]


def look_while_both_run(pair: Pair, looks: int) -> None:
    """Search for what both trees have before and after, during runs of both projects."""
    ended = threading.Event()
    failed: list[str] = []

    def keep_running(name: str) -> None:
        project = pair.projects[name]
        number = 0
        while not ended.is_set():
            number += 1
            project.write("other.py", f"def other(): return {number}\n")
            arguments = (*SPARSE, *pair.place(name), "--wait", "120")
            done = project.installed.command("run", *arguments)
            if done.returncode:
                failed.append(done.stderr)

    threads = [threading.Thread(target=keep_running, args=name) for name in "ab"]
    for thread in threads:
        thread.start()
    try:
        for number in range(looks):
            assert pair.search("ab"[number % 2])[:1] == ["f.py"]
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    assert not failed


@pytest.mark.slow  # that each waits for the other is shown above
def test_nothing_is_absent_while_both_run(pair: Pair) -> None:
    look_while_both_run(pair, int(os.environ.get("CODX_INDEX_READS", "300")))
