"""Disk full: a clear line or an exact index, and with room the next run repairs."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import pytest
from conftest import Project, assert_one_line
from crash_harness import (
    Yard,
    assert_repaired,
    assert_rows,
    open_yard,
    put_tree,
    rows_of,
    seed,
    state_of,
    telling,
)

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")

KIB = 1024
ROOM = 256 * KIB * KIB
# Sizes of the disk, or what it has left, as parts of what a run takes; more of the small
# ones, for there the steps lie close together.
SIZES = [((n + 1) / 20) ** 2 for n in range(20)]


class Mount(Protocol):
    def __call__(self, folder: Path, roomy: Path | None = None) -> None: ...


@pytest.fixture(scope="session")
def yard(tmp_path_factory: pytest.TempPathFactory, model_cache: Path) -> Yard:
    return open_yard(tmp_path_factory, model_cache)


@pytest.fixture
def mount() -> Iterator[Mount]:
    """Puts a disk of its own, with room, under a folder; the folder's contents move.

    With `roomy`, it is a folder of the large disk that is put there.
    """
    mounted: list[Path] = []

    def put(folder: Path, roomy: Path | None = None) -> None:
        aside = folder.with_name(folder.name + "-aside")
        if folder.exists():
            folder.rename(aside)
        folder.mkdir(mode=0o700)
        options = ["-t", "tmpfs", "-o", f"size={ROOM},mode=700", "none"]
        if roomy:
            roomy.mkdir(mode=0o700)
            options = ["--bind", str(roomy)]
        command = ["mount", *options, str(folder)]
        if not shutil.which("mount") or subprocess.run(command).returncode:
            pytest.skip("may not mount")
        mounted.append(folder)
        if aside.exists():
            shutil.copytree(aside, folder, symlinks=True, dirs_exist_ok=True)
            shutil.rmtree(aside)

    yield put
    for folder in reversed(mounted):
        subprocess.run(["umount", str(folder)], check=True)


def resize(folder: Path, size: int) -> None:
    """Make the disk this large; never smaller than what lies on it."""
    options = f"remount,size={max(size, used(folder) + 4 * KIB)}"
    subprocess.run(["mount", "-o", options, str(folder)], check=True)


def used(folder: Path) -> int:
    """Bytes of the disk that are taken."""
    found = os.statvfs(folder)
    return (found.f_blocks - found.f_bfree) * found.f_frsize


def put_state(project: Project, mount: Mount) -> Path:
    """The whole state folder on the disk."""
    state_of(project).parent.mkdir(exist_ok=True)
    mount(state_of(project))
    return state_of(project)


def put_database(project: Project, mount: Mount) -> Path:
    """The database alone."""
    state_of(project).mkdir(mode=0o700, parents=True, exist_ok=True)
    mount(state_of(project) / "milvus.db")
    return state_of(project) / "milvus.db"


def put_manifest(project: Project, mount: Mount) -> Path:
    """The state folder, but the database elsewhere: the manifest and small things."""
    put_state(project, mount)
    mount(state_of(project) / "milvus.db", project.root.parent / "roomy")
    return state_of(project)


def put_cache(project: Project, mount: Mount) -> Path:
    """The cache alone, without an embedding in it."""
    mount(project.cache_dir)
    return project.cache_dir


# What is on the disk, and the bytes that a run takes there.
PLACES: dict[str, tuple[Callable[[Project, Mount], Path], int]] = {
    "state": (put_state, 14_000 * KIB),
    "database": (put_database, 14_000 * KIB),
    "manifest": (put_manifest, 260 * KIB),
    "cache": (put_cache, 5_000 * KIB),
}


def cases() -> Iterator[object]:
    for place in PLACES:
        for scenario in ("first", "update"):
            for number, part in enumerate(SIZES):
                yield pytest.param(
                    place,
                    scenario,
                    part,
                    id=f"{place}-{scenario}-{number}",
                )


@pytest.mark.slow  # one whose cache has no room is in test_cache_command.py
@pytest.mark.parametrize("place, scenario, part", list(cases()))
def test_a_disk_that_is_too_small(
    place: str, scenario: str, part: float, yard: Yard, tmp_path: Path, mount: Mount
) -> None:
    chosen = seed(1)
    rng = random.Random(f"{chosen} {place} {scenario} {part}")
    root = tmp_path / "project"
    put, takes = PLACES[place]
    tree = "edited" if scenario == "update" else "base"
    project = (yard.indexed if scenario == "update" else yard.empty)(root, "base")
    put_tree(project, tree)
    if place == "cache":
        project.cache_dir = yard.cold(tmp_path / "cache")
    disk = put(project, mount)
    if rng.random() < 0.5:  # segments and their indexes are then written all along
        project.environment["MILVUS_LITE_MEMTABLE_MEMORY_LIMIT_BYTES"] = "400000"
    # So that sizes between the steps are met too.
    part *= rng.uniform(0.8, 1.2)
    room = int(part * takes)
    with telling(CODX_INDEX_CRASH_SEED=chosen, room=room, used=used(disk)):
        resize(disk, used(disk) + room)
        for _ in range(2):
            done = project.installed.command("run", "-q")
            if place == "cache":
                assert done.returncode == 0, done.stderr
                assert done.stderr.count("\n") <= 1 and "Traceback" not in done.stderr
                assert_rows(rows_of(project), yard.expected(tree))
            elif done.returncode:
                assert_one_line(done, 1)
            else:
                assert_rows(rows_of_a_copy(project, tmp_path), yard.expected(tree))
        resize(disk, ROOM)
        assert_repaired(yard, project, tree, verify=True)


def rows_of_a_copy(project: Project, folder: Path) -> dict[str, tuple[object, ...]]:
    """The rows, read where there is room: opening a database may write."""
    copy = Project(folder / "copy", project.cache_dir)
    shutil.rmtree(copy.root, ignore_errors=True)
    shutil.copytree(
        state_of(project), state_of(copy), ignore=shutil.ignore_patterns("s:0")
    )
    return rows_of(copy)
