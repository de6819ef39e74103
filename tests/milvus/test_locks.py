"""Whether a file is locked, by the kernel's list of locks."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from indexer.milvus import on_disk
from indexer.milvus.on_disk import is_locked

pytestmark = pytest.mark.skipif(
    not os.path.exists("/proc/locks"), reason="only Linux has this list"
)


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    path = tmp_path / "lock"
    path.touch()
    return path


def entry(path: Path, kind: str = "FLOCK ", device: int | None = None) -> str:
    found = path.stat()
    device = found.st_dev if device is None else device
    place = f"{os.major(device):02x}:{os.minor(device):02x}:{found.st_ino}"
    return f"{kind} ADVISORY  WRITE 123 {place} 0 EOF"


def test_a_lock_of_this_machine(lock: Path) -> None:
    assert not is_locked(str(lock))
    with lock.open("w") as file:
        for kind in (fcntl.LOCK_SH, fcntl.LOCK_EX):
            fcntl.flock(file, kind)
            assert is_locked(str(lock))
    assert not is_locked(str(lock))
    assert not is_locked(str(lock) + "-is-not-there")


@pytest.mark.parametrize(
    "kind, shift, expected",
    [
        ("FLOCK ", 0, True),
        ("FLOCK ", 1, False),  # a file of the same number on another file system
        ("-> FLOCK ", 0, True),  # somebody waits for it, so somebody has it
        ("POSIX ", 0, False),
        ("OFDLCK", 0, False),
    ],
)
def test_device_and_number_count(
    kind: str, shift: int, expected: bool, lock: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = lock.parent / "locks"
    other = "1: POSIX  ADVISORY  READ 7 fe:00:1 128 128"
    device = lock.stat().st_dev + shift
    table.write_text(f"{other}\n2: {entry(lock, kind, device)}\n")
    monkeypatch.setattr(on_disk, "LOCKS", str(table))
    assert is_locked(str(lock)) is expected


def test_the_device_of_the_mount_counts_too(
    lock: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On btrfs and overlayfs `st_dev` is not what the kernel's list has."""
    table = lock.parent / "locks"
    mount = on_disk._device_of_mount(str(lock))
    assert mount is not None
    table.write_text(f"1: {entry(lock, device=mount)}\n")
    monkeypatch.setattr(on_disk, "LOCKS", str(table))
    real = os.stat(lock)
    fields = list(real)
    fields[2] += 1  # st_dev
    monkeypatch.setattr(os, "stat", lambda path: os.stat_result(fields))
    assert is_locked(str(lock))


@pytest.mark.parametrize("text", ["", "nonsense\n", "1: FLOCK ADVISORY\n"])
def test_a_list_that_is_not_understood(
    text: str, lock: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = lock.parent / "locks"
    table.write_text(text)
    monkeypatch.setattr(on_disk, "LOCKS", str(table))
    assert not is_locked(str(lock))
