"""The lease that keeps two hosts from writing one collection, on a board of our own and on a
real server."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from conftest import Project, assert_one_line, python_text, start, wait_for
from milvus_server import served

from indexer.errors import LeaseLostError, LockedError, StoreUnavailableError
from indexer.milvus import lease as module
from indexer.milvus.lease import Lease
from indexer.milvus.remote import connect
from indexer.milvus.store import Store


@dataclass
class Board:
    """A text that all see at once, after `delay` seconds of writing."""

    text: str = ""
    delay: float = 0
    is_dead: bool = False
    written: list[str] = field(default_factory=list)

    def read(self) -> str:
        if self.is_dead:
            raise StoreUnavailableError("nobody answers")
        return self.text

    def write(self, text: str) -> None:
        if self.is_dead:
            raise StoreUnavailableError("nobody answers")
        time.sleep(self.delay)
        self.text = text
        self.written.append(text)

    def change(self, **values: object) -> None:
        """Let the holder be another one."""
        self.text = json.dumps({**json.loads(self.text), **values})


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SETTLE", 0.1)
    monkeypatch.setattr(module, "POLL", 0.02)


def test_a_slow_board_is_not_another_holder() -> None:
    board = Board(delay=0.2)  # as when the first run creates the collection
    lease = Lease(board)
    threading.Timer(0.1, lambda: setattr(board, "delay", 0)).start()
    with lease.hold(0):
        lease.check()
        assert not lease.was_taken_over
    assert board.text == ""
    with pytest.raises(StoreUnavailableError, match="10 times"):
        with Lease(Board(delay=0.2)).hold(0):
            pass


def test_a_board_that_does_not_show_what_was_written() -> None:
    """As one to which rows can be written, but that cannot be read."""
    board = Board()
    board.read = lambda: ""  # type: ignore[method-assign]
    with pytest.raises(StoreUnavailableError, match="did not return it, 10 times"):
        with Lease(board).hold(0):
            pass


def test_races_that_others_win_are_waited_out() -> None:
    board = Board()
    lost = 0
    write = board.write

    def overtaken(text: str) -> None:
        nonlocal lost
        write(text)
        if lost < 12:
            lost += 1
            board.change(name="another")
            threading.Timer(0.15, lambda: write("")).start()

    board.write = overtaken  # type: ignore[method-assign]
    with Lease(board).hold(time.monotonic() + 60):
        assert lost == 12


def held_by(**values: object) -> Board:
    """A board with the lease of somebody who has not given it back."""
    board = Board()
    with Lease(board).hold(0):
        text = board.text
    board.text = text
    board.change(**values)
    return board


ELSEWHERE = {"machine": "another boot", "host": "elsewhere", "name": "another"}


def test_one_holder_at_a_time() -> None:
    board = Board()
    with Lease(board).hold(0):
        holder = json.loads(board.text)
        assert holder["pid"] == os.getpid()
        assert 50 < holder["expires"] - time.time() <= 60
        other = Lease(board)
        with pytest.raises(LockedError, match=f"pid {os.getpid()} on "):
            with other.hold(0):
                pass
    assert board.text == ""
    lease = Lease(board)
    with lease.hold(0):
        lease.check()
        assert not lease.was_taken_over


def test_many_at_once() -> None:
    """Each of the threads wants it, all of the time; never do two have it."""
    board = Board(delay=0.005)
    holders: list[int] = []
    had: list[int] = []

    def work(number: int) -> None:
        deadline = time.monotonic() + 60
        while len(had) < 12 and time.monotonic() < deadline:
            try:
                with Lease(board).hold(0):
                    holders.append(number)
                    assert holders == [number]
                    time.sleep(0.05)
                    holders.remove(number)
                    had.append(number)
            except LockedError:
                time.sleep(0.01)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(had) >= 12


@pytest.mark.parametrize("clock", [-3600, 0, 3600], ids=["behind", "right", "ahead"])
def test_one_that_nobody_renews_runs_out(
    clock: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By our own monotonic clock, whatever the two wall clocks say."""
    monkeypatch.setattr(module, "DURATION", 0.5)
    board = held_by(**ELSEWHERE, expires=time.time() + 0.5 + clock)
    lease = Lease(board)
    started = time.monotonic()
    with lease.hold(time.monotonic() + 60):
        assert time.monotonic() - started > 0.5
        assert lease.was_taken_over  # it ran out: nobody gave it back


@pytest.mark.parametrize("clock", [-3600, 3600], ids=["behind", "ahead"])
def test_a_wrong_clock_takes_the_lease_from_nobody(
    clock: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By our clock it ran out an hour ago, or will in an hour; but it is renewed."""
    monkeypatch.setattr(module, "RENEWAL", 0.2)
    board = Board()
    with Lease(board).hold(0):
        real = time.time
        monkeypatch.setattr(time, "time", lambda: real() + clock)
        board.change(machine="another boot", host="elsewhere")
        renewed = threading.Timer(
            0.5, lambda: board.change(expires=real() + module.DURATION)
        )
        renewed.start()
        with pytest.raises(LockedError, match="pid"), Lease(board).hold(0):
            pass
        renewed.join()


@pytest.mark.parametrize("jump", [-3600, 3600], ids=["back", "ahead"])
def test_a_clock_that_is_set_in_mid_run_loses_no_lease(
    jump: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RENEWAL", 0.05)
    board = Board()
    lease = Lease(board)
    real = time.time
    with lease.hold(0):
        monkeypatch.setattr(time, "time", lambda: real() + jump)
        before = board.text
        wait_for(lambda: board.text != before)
        lease.check()
    assert board.text == ""


def test_a_holder_elsewhere_is_believed_until_it_runs_out() -> None:
    board = held_by(**ELSEWHERE)
    text = board.text
    with pytest.raises(LockedError, match="on elsewhere"), Lease(board).hold(0):
        pass
    assert board.text == text


def test_a_dead_process_of_this_machine_holds_nothing() -> None:
    board = held_by(name="killed", started="1")
    lease = Lease(board)
    with lease.hold(0):
        assert lease.was_taken_over


def test_who_lost_it_writes_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RENEWAL", 0.05)
    board = Board()
    lease = Lease(board)
    with lease.hold(0):
        lease.check()
        board.change(**ELSEWHERE)
        taken = board.text
        deadline = time.monotonic() + 60
        with pytest.raises(LeaseLostError, match="took over"):
            while time.monotonic() < deadline:
                lease.check()
                time.sleep(0.02)
    assert board.text == taken  # it is not ours to give back


def test_it_runs_out_when_it_cannot_be_renewed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RENEWAL", 0.05)
    monkeypatch.setattr(module, "DURATION", 1.0)
    board = Board()
    lease = Lease(board)
    with lease.hold(0):
        first = board.text
        deadline = time.monotonic() + 60
        while board.text == first and time.monotonic() < deadline:
            time.sleep(0.02)
        assert board.text != first  # renewed
        board.is_dead = True
        with pytest.raises(LeaseLostError, match="ran out"):
            while time.monotonic() < deadline:
                lease.check()
                time.sleep(0.02)


NO_LEASES = ["", "noise", "[]", "{}", "null", '{"name": 1}']


@pytest.mark.parametrize("text", NO_LEASES)
def test_what_is_no_lease_holds_nobody_up(text: str) -> None:
    with Lease(Board(text)).hold(0):
        pass


# On a server


@pytest.fixture
def two(
    tmp_path: Path, make_project: Callable[[str], Project]
) -> Iterator[tuple[Project, Project]]:
    """One project in two places, as on two hosts, with one collection on a server."""
    with served(tmp_path / "server") as (uri, _):
        projects = make_project("here"), make_project("there")
        for project in projects:
            for number in range(3):
                project.write(f"{number}.py", python_text(number, 2))
            project.environment["CODX_INDEX_URI"] = uri
            project.environment["CODX_INDEX_COLLECTION"] = "shared"
            project.environment["CODX_INDEX_TAKE_OVER"] = "1"
        yield projects


def store_of(project: Project) -> Store:
    return connect(project.environment["CODX_INDEX_URI"], "", "shared")


@pytest.mark.slow
def test_two_hosts_write_one_after_the_other(two: tuple[Project, Project]) -> None:
    here, there = two
    here.environment["CODX_INDEX_FAULT"] = "hang upserted"
    first = start(here, "run", "--executor", "serial")
    with closing(store_of(here)) as store:
        board = store.board
        wait_for(lambda: f'"pid": {first.pid}' in board.read())
        line = assert_one_line(there.command("run"), 75)
        assert f"another run writes this collection (pid {first.pid} on " in line
        waiting = start(there, "run", "--wait", "60", "--json")
        time.sleep(0.5)
        assert waiting.poll() is None
        first.kill()  # on this machine that is seen, and nobody waits for the end
        output, errors = waiting.communicate(timeout=60)
        assert (waiting.returncode, errors) == (0, "")
        files = json.loads(output)["files"]
        assert files["added"] + files["unchanged"] == 3
        assert board.read() == ""
    first.communicate()
    assert there.command("verify", "--executor", "serial").returncode == 0
    del here.environment["CODX_INDEX_FAULT"]
    assert here.run()["exit_code"] == 0
    assert there.run()["exit_code"] == 0


def test_an_abandoned_lease_means_an_audit(two: tuple[Project, Project]) -> None:
    here, _ = two
    here.run()
    lease = held_by(name="killed", started="1").text
    with closing(store_of(here)) as store:
        store.open()
        store.board.write(lease)
        store.delete([key.id for key in store.keys()][:1])  # what its holder did
    here.write("3.py", "another = 1\n")
    report = here.run()
    assert report["chunks"]["upserted"] > 1  # not only the new file
    assert here.command("verify", "--executor", "serial").returncode == 0


def test_clear_leaves_nothing(two: tuple[Project, Project]) -> None:
    here, _ = two
    here.run()
    assert here.command("clear", "--yes").returncode == 0
    with closing(store_of(here)) as store:
        assert store._client.list_collections() == []
