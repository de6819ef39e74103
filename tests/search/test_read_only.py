"""An index that cannot be written is searched all the same: a read-only mount, closed folders."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Project, assert_one_line, only_slow, project_in
from permissions import UNPRIVILEGED, unprivileged

from indexer.api import Index
from indexer.config import Settings
from indexer.errors import LockedError, StateError
from indexer.index.lock import run_lock
from indexer.index.manifest import Manifest
from indexer.milvus import copied
from indexer.milvus.copied import can_be_written, copy_database
from indexer.milvus.embedded import open_to_read
from indexer.settings.assembly import settings_for

QUICK = ("--mode", "sparse", "--executor", "serial")
WORDS = ("--mode", "sparse")
READING = {
    "search": ["search", "retry_payment", *WORDS],
    "search, like": ["search", "--like", "a.py:1"],
    "status": ["status", *WORDS],
    "verify": ["verify", *WORDS],
    "dry run": ["run", "--dry-run", *QUICK],
}


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory, model_cache: Path) -> Project:
    made = project_in(tmp_path_factory.mktemp("read-only"), model_cache)
    made.write("a.py", "def retry_payment(): return 1\n")
    made.git("init", "-q")
    made.write("b.py", "def something(): return 2\n")
    made.run(*QUICK)
    return made


@pytest.fixture
def indexed(template: Project, tmp_path: Path) -> Project:
    shutil.copytree(template.root, tmp_path / "project")
    return Project(tmp_path / "project", template.cache_dir)


@pytest.fixture
def mounted(indexed: Project, tmp_path: Path) -> Iterator[Project]:
    """The same project, seen through a read-only mount."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount")
    place = tmp_path / "mount"
    place.mkdir()
    for options in (["--bind", str(indexed.root)], ["-o", "remount,ro,bind"]):
        done = subprocess.run(["mount", *options, str(place)], capture_output=True)
        if done.returncode:
            if options[0] == "-o":
                subprocess.run(["umount", str(place)], check=True)
            pytest.skip("nothing can be mounted here")
    try:
        yield Project(place, indexed.cache_dir)
    finally:
        # A file that this process is yet to let go of keeps it busy.
        subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files, which is empty."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


def look(root: Path) -> dict[Path, tuple[int, int, int]]:
    return {
        path: (info.st_size, info.st_mtime_ns, info.st_mode)
        for path in root.rglob("*")
        for info in [path.lstat()]
    }


def settings_of(project: Project) -> Settings:
    return settings_for(str(project.root), {})


@pytest.mark.parametrize("name", READING)
def test_a_read_only_mount(name: str, mounted: Project, temporary: Path) -> None:
    before = look(mounted.root)
    done = mounted.command(*READING[name])
    assert (done.returncode, done.stderr) == (0, "")
    if name == "search":
        assert done.stdout.startswith("a.py:1:")
    assert look(mounted.root) == before
    assert not [*temporary.iterdir()]


def test_a_run_on_a_read_only_mount(mounted: Project) -> None:
    """It fails before anything, and names what helps."""
    for command in (["run", *QUICK, "--force"], ["verify", "--repair", *WORDS]):
        if command[0] == "verify":
            (mounted.root.parent / "project/a.py").write_text("def changed(): pass\n")
        done = mounted.command(*command)
        assert "Read-only file system" in assert_one_line(done, 1)
        assert "--state-dir (CODX_INDEX_STATE_DIR)" in done.stderr
    assert "Read-only file system" in assert_one_line(
        mounted.command("clear", "--yes"), 1
    )


def test_tools_on_a_read_only_mount(mounted: Project, temporary: Path) -> None:
    pytest.importorskip("mcp")
    from mcp_client import answer_of, text_of, tools_of

    with tools_of([settings_of(mounted)]) as tools:
        found = answer_of(tools.search("retry_payment", mode="sparse"))
        assert found.paths[0] == "a.py"
        (note,) = found.notes
        assert "Read-only file system" in note
        assert not tools.similar("a.py", 1).is_error
        status = text_of(tools.status())
        assert ", 2 chunks, " in status and status.endswith("up to date")
        index = tools.index()
        assert index.is_error and "Read-only file system" in text_of(index)
    assert not [*temporary.iterdir()]


@pytest.mark.parametrize("name", ["search", *only_slow(*list(READING)[1:])])
def test_what_its_user_may_not_write(name: str, indexed: Project) -> None:
    before = look(indexed.root)
    for path in (indexed.root, *indexed.root.rglob("*")):
        path.chmod(path.stat().st_mode & ~0o222)
    try:
        done = unprivileged(indexed, *READING[name])
        assert (done.returncode, done.stderr) == (0, "")
    finally:
        for path in indexed.root.rglob("*"):
            path.chmod(path.stat().st_mode | 0o200)
    after = look(indexed.root)
    assert {path: one[:2] for path, one in after.items()} == {
        path: one[:2] for path, one in before.items()
    }


@pytest.mark.parametrize(
    "closed", ["milvus.db/LOCK", "milvus.db/aliases.json", "milvus.db", ".", "lock"]
)
def test_any_part_of_it(
    closed: str, indexed: Project, monkeypatch: pytest.MonkeyPatch, temporary: Path
) -> None:
    """Whatever it is that cannot be written."""
    settings = settings_of(indexed)
    part = os.path.normpath(os.path.join(settings.state_dir, closed))
    access = os.access
    monkeypatch.setattr(
        os,
        "access",
        lambda path, mode: not (path == part and mode & os.W_OK) and access(path, mode),
    )
    is_of_database = closed != "lock"
    where = settings.database, settings.state_dir
    assert can_be_written(*where) != is_of_database
    store = open_to_read(*where, "codx_index", patience=0)
    try:
        store.open()
        assert store.count() == 2
        assert bool([*temporary.iterdir()]) == is_of_database
    finally:
        store.close()
    assert not [*temporary.iterdir()]


def test_a_system_that_promises_more_than_it_keeps(
    indexed: Project, monkeypatch: pytest.MonkeyPatch, temporary: Path
) -> None:
    """In some sandboxes `access` allows what `open` then refuses."""
    settings = settings_of(indexed)
    lock, real = os.path.join(settings.database, "LOCK"), os.open

    def refusing(path: str, flags: int, *rest: int, **names: int) -> int:
        if path == lock and flags & os.O_RDWR:
            raise PermissionError(13, "Permission denied", path)
        return real(path, flags, *rest, **names)

    monkeypatch.setattr(os, "open", refusing)
    with Index.open(indexed.root, cache_dir=str(indexed.cache_dir)) as index:
        assert index.search("retry_payment", mode="sparse")[0].path == "a.py"
        assert [*temporary.iterdir()]


def test_runs_while_a_copy_is_read(mounted: Project, indexed: Project) -> None:
    """A reader that may not write keeps no run waiting, and sees what it wrote."""
    cache = str(indexed.cache_dir)
    with Index.open(mounted.root, cache_dir=cache) as index:
        for number in range(3):
            name = f"def retry_payment_{number}(): return 1\n"
            indexed.write("a.py", name)
            indexed.run(*QUICK)
            hit, *_ = index.search(f"retry_payment_{number}", mode="sparse")
            assert (hit.path, hit.text) == ("a.py", name.rstrip("\n"))
        # A copy reads what was there when it was made, even if a run has removed it since.
        copy = copy_database(settings_of(indexed).database)
        segments = [*Path(copy.database).rglob("*.parquet")]
        shutil.rmtree(settings_of(indexed).database)
        assert segments and all(path.read_bytes() for path in segments)
        copy.close()
        assert not os.path.exists(copy.folder)


def test_a_database_that_is_in_use_is_not_copied(indexed: Project) -> None:
    settings = settings_of(indexed)
    store = open_to_read(
        settings.database, settings.state_dir, "codx_index", patience=0
    )
    try:
        with pytest.raises(LockedError, match="in use"):
            copy_database(settings.database)
    finally:
        store.close()


def test_nowhere_to_copy_to(
    indexed: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = settings_of(indexed)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "absent"))
    copy_database(settings.database).close()  # in memory
    monkeypatch.setattr(copied, "_IN_MEMORY", str(tmp_path / "absent"))
    with pytest.raises(StateError, match="set by TMPDIR"):
        copy_database(settings.database)


def test_what_a_kill_left_in_the_manifest(mounted: Project, indexed: Project) -> None:
    """SQLite would roll it back, which it can do in a copy alone."""
    path = settings_of(indexed).manifest_path
    with Manifest(path) as manifest:
        before = manifest.records()
        manifest._db.execute("PRAGMA cache_spill = 1")
        manifest._db.execute("PRAGMA cache_size = 1")
        manifest._db.execute("BEGIN IMMEDIATE")
        manifest._db.execute("UPDATE files SET file_hash = 'torn'")
        manifest._db.executemany(
            "INSERT INTO meta VALUES (?, ?)",
            ((str(number), "x" * 999) for number in range(99)),
        )
        kept = {name: Path(name).read_bytes() for name in (path, path + "-journal")}
        manifest._db.execute("ROLLBACK")
    for name, content in kept.items():
        Path(name).write_bytes(content)
    with Manifest(settings_of(mounted).manifest_path, readonly=True) as manifest:
        assert manifest.records() == before
    assert Path(path + "-journal").stat().st_size


def test_a_lock_that_can_only_be_read(indexed: Project, tmp_path: Path) -> None:
    settings = settings_of(indexed)
    os.chmod(settings.lock_path, 0o400)
    script = tmp_path / "reader.py"
    script.write_text(
        "import sys\n"
        "from indexer.index.lock import run_lock\n"
        "with run_lock(sys.argv[1], is_reader=True):\n"
        "    print('held')\n"
    )
    prefix = UNPRIVILEGED if os.geteuid() == 0 else []
    done = indexed.launch(*prefix, sys.executable, str(script), settings.lock_path)
    assert done.stdout == "held\n", done.stderr
    with (
        run_lock(settings.lock_path)
        if os.geteuid() == 0
        else run_lock(str(tmp_path / "lock"))
    ):
        done = indexed.launch(*prefix, sys.executable, str(script), settings.lock_path)
        assert ("another run holds" in done.stderr) == (os.geteuid() == 0)
