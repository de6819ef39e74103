"""Real locks between real processes."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from indexer.errors import LockedError, StateError
from indexer.index import lock
from indexer.index.lock import run_lock

HOLDER = """
import sys
from indexer.index.lock import run_lock
with run_lock(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "lock")


@contextmanager
def holder(path: str) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        yield process


def test_one_process_at_a_time(path: str) -> None:
    with holder(path) as process:
        with pytest.raises(LockedError, match=rf"\bpid {process.pid} on .*, since 20"):
            with run_lock(path):
                pass
    with run_lock(path):  # it has ended
        with pytest.raises(LockedError, match=rf"\bpid {os.getpid()}\b"):
            with run_lock(path):
                pass
    with run_lock(path):
        pass


def test_released_by_an_exception(path: str) -> None:
    with pytest.raises(ZeroDivisionError), run_lock(path):
        raise ZeroDivisionError
    with run_lock(path):
        pass


def test_released_when_the_holder_is_killed(path: str) -> None:
    for _ in range(3):
        with holder(path) as process:
            process.send_signal(signal.SIGKILL)
            deadline = time.monotonic() + 60
            while True:
                try:
                    with run_lock(path):
                        break
                except LockedError:
                    assert time.monotonic() < deadline
                    time.sleep(0.01)


def test_a_holder_that_has_not_signed_yet_is_named(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "SIGNING", 15)
    signature = b'{"pid": 77, "host": "here", "since": 1700000000}'
    with run_lock(path):
        os.truncate(path, 0)
        late = threading.Timer(0.1, Path(path).write_bytes, [signature])
        late.start()
        with pytest.raises(LockedError, match=r"\(pid 77 on here, since 2023"):
            with run_lock(path):
                pass
        late.join()


GARBAGE = [b"", b"\xff\x00", b"[]", b"{}", b'{"pid": 1, "host": "h", "since": 1e30}']


@pytest.mark.parametrize("garbage", [*GARBAGE, b"x" * 10_000])
def test_what_the_file_holds_does_not_matter(path: str, garbage: bytes) -> None:
    Path(path).write_bytes(garbage)
    with run_lock(path):
        assert b'"pid"' in Path(path).read_bytes()
        Path(path).write_bytes(garbage)
        with pytest.raises(LockedError, match=re.escape("another run holds")):
            with run_lock(path):
                pass


def test_the_file_is_ours_alone(path: str) -> None:
    with run_lock(path):
        assert os.stat(path).st_mode & 0o077 == 0


def test_a_symlink_is_not_followed(tmp_path: Path, path: str) -> None:
    (tmp_path / "precious").write_text("keep")
    os.symlink("precious", path)
    with pytest.raises(StateError, match="cannot write"), run_lock(path):
        pass
    assert (tmp_path / "precious").read_text() == "keep"


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match="cannot write"):
        with run_lock(str(tmp_path / "file" / "lock")):
            pass


def test_waiting_for_the_holder_to_end(path: str) -> None:
    with holder(path) as process:
        assert process.stdin is not None
        started = time.monotonic()
        with pytest.raises(LockedError), run_lock(path, started + 0.5):
            pass
        assert time.monotonic() - started >= 0.5
        threading.Timer(0.5, process.stdin.close).start()
        with run_lock(path, time.monotonic() + 60):
            assert f'"pid": {os.getpid()},' in Path(path).read_text()
