"""Real sqlite files, damaged and killed ones too."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from indexer.errors import StateError
from indexer.index.manifest import COMPLETE, DIRTY, FORMAT, Manifest, read_values
from indexer.types import FileRecord

RECORDS = [
    FileRecord("a.py", (1, 2, 3, 4), "h" * 40, 2),
    FileRecord(os.fsdecode(b"dir/\xff\xfe \n.py"), None, "i" * 40, 1),
    FileRecord("caf\u00e9", (2**40, 2**62, 2**62, 2**62), "", 0),
    FileRecord("logo.bin", (5, 6, 7, 8), "j" * 64, 0, "binary"),
]


def by_path(*records: FileRecord) -> dict[str, FileRecord]:
    return {record.path: record for record in records}


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "manifest.sqlite")


def test_records_survive_reopening(path: str) -> None:
    with Manifest(path) as manifest:
        assert manifest.records() == {}
        assert manifest.totals().chunks == 0
        manifest.commit(RECORDS)
    with Manifest(path) as manifest:
        assert manifest.records() == by_path(*RECORDS)
        assert manifest.totals().chunks == 3
    with Manifest(path, readonly=True) as manifest:
        assert manifest.records() == by_path(*RECORDS)


def test_commit_replaces_and_deletes(path: str) -> None:
    changed = FileRecord("a.py", None, "k" * 40, 7)
    with Manifest(path) as manifest:
        manifest.commit(RECORDS)
        manifest.commit([changed], [RECORDS[1].path, "never there"])
        assert manifest.records() == by_path(changed, *RECORDS[2:])


def test_named_values(path: str) -> None:
    with Manifest(path) as manifest:
        assert manifest.get("state") == ""
        manifest.set(state=DIRTY, mark="m")
        manifest.set(state=COMPLETE)
    with Manifest(path) as manifest:
        assert (manifest.get("state"), manifest.get("mark")) == (COMPLETE, "m")


def test_reset_forgets_other_records_and_keeps_values(path: str) -> None:
    with Manifest(path) as manifest:
        manifest.commit(RECORDS)
        manifest.set(mark="m")
        manifest.reset(RECORDS[:1], state=DIRTY)
        assert manifest.records() == by_path(RECORDS[0])
        assert (manifest.get("state"), manifest.get("mark")) == (DIRTY, "m")


def test_a_failed_commit_changes_nothing(path: str) -> None:
    broken = FileRecord("b.py", None, None, 1)  # type: ignore[arg-type]
    with Manifest(path) as manifest:
        manifest.commit(RECORDS)
        with pytest.raises(StateError, match="cannot write"):
            manifest.commit([FileRecord("z", None, "h", 1), broken], ["a.py"])
        assert manifest.records() == by_path(*RECORDS)
        manifest.commit([], ["a.py"])
        assert manifest.records() == by_path(*RECORDS[1:])


def test_every_commit_is_on_disk_at_once(path: str) -> None:
    with Manifest(path) as manifest:
        manifest.set(state=DIRTY)
        with Manifest(path, readonly=True) as other:
            assert other.get("state") == DIRTY
        assert manifest._db.execute("PRAGMA synchronous").fetchone() == (2,)


# A manifest that cannot be believed


def noise(path: Path) -> None:
    path.write_bytes(random.Random(1).randbytes(20_000))


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def damage_a_page(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(4096 * 5)
        file.write(random.Random(1).randbytes(4096))


DAMAGES = [noise, truncate, damage_a_page]


def fill(path: str) -> None:
    with Manifest(path) as manifest:
        manifest.set(state=COMPLETE)
        manifest.commit(FileRecord(f"{n}.py", None, "h" * 40, 1) for n in range(2000))


@pytest.mark.parametrize("damage", DAMAGES)
def test_an_unreadable_file_is_begun_again(
    path: str, damage: Callable[[Path], None]
) -> None:
    fill(path)
    damage(Path(path))
    before = Path(path).read_bytes()
    with Manifest(path, readonly=True) as manifest:
        assert (manifest.records(), manifest.get("state")) == ({}, "")
    assert Path(path).read_bytes() == before
    with Manifest(path) as manifest:
        assert (manifest.records(), manifest.get("state")) == ({}, "")
        manifest.commit(RECORDS)
    with Manifest(path) as manifest:
        assert manifest.records() == by_path(*RECORDS)


def test_another_format_is_emptied_by_a_writer_only(path: str) -> None:
    with Manifest(path) as manifest:
        manifest.commit(RECORDS)
        manifest.set(state=COMPLETE, format="999")
    for _ in range(2):
        with Manifest(path, readonly=True) as manifest:
            assert (manifest.records(), manifest.get("state")) == ({}, "")
    with Manifest(path) as manifest:
        assert (manifest.records(), manifest.get("state")) == ({}, "")
        assert manifest.get("format") == FORMAT


def test_readonly_makes_no_file(path: str) -> None:
    with Manifest(path, readonly=True) as manifest:
        assert manifest.records() == {}
    assert os.listdir(os.path.dirname(path)) == []


def test_sums_follow_each_write(path: str) -> None:
    random_ = random.Random(3)
    with Manifest(path) as manifest:
        for turn in range(60):
            some = random_.sample(range(300), random_.choice([1, 3, 30, 200]))
            records = [
                FileRecord(
                    f"{number}.py",
                    None,
                    "h" * 40,
                    random_.randrange(4),
                    unembedded=random_.randrange(2),
                    by_words=random_.randrange(3),
                )
                for number in some
            ]
            if turn % 20 == 19:
                manifest.reset(records)
            else:
                manifest.commit(records, [f"{random_.randrange(300)}.py"])
            manifest.set(turn=str(turn))
            if turn % 3:
                with Manifest(path, readonly=True) as anew:
                    assert manifest.totals() == anew.totals()
        assert manifest.totals().chunks > 0


def test_values_are_read_without_the_records(path: str) -> None:
    assert read_values(path, "state", "place") == ["", ""]
    assert os.listdir(os.path.dirname(path)) == []
    with Manifest(path) as manifest:
        manifest.commit(RECORDS)
        manifest.set(state=COMPLETE, place="here")
        assert read_values(path, "state", "place", "none") == [COMPLETE, "here", ""]
        manifest.set(format="999")
    assert read_values(path, "state") == [""]


@pytest.mark.parametrize("damage", [noise, truncate])
def test_values_of_an_unreadable_file(
    path: str, damage: Callable[[Path], None]
) -> None:
    fill(path)
    damage(Path(path))
    assert read_values(path, "state", "place") == ["", ""]


@pytest.mark.parametrize("name", [b"\xff", b"a?mode=rw#%41", b"two words"])
def test_any_folder_name(tmp_path: Path, name: bytes) -> None:
    folder = os.path.join(tmp_path, os.fsdecode(name))
    os.mkdir(folder)
    path = os.path.join(folder, "manifest.sqlite")
    with Manifest(path) as manifest:
        manifest.commit(RECORDS)
    with Manifest(path, readonly=True) as manifest:
        assert manifest.records() == by_path(*RECORDS)
    assert read_values(path, "format") == [FORMAT]


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match="cannot write"):
        Manifest(str(tmp_path / "file" / "manifest.sqlite"))


def test_a_foreign_sqlite_file(path: str) -> None:
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE files (something TEXT)")
    db.close()
    with Manifest(path, readonly=True) as manifest:
        assert manifest.records() == {}


COMMITS = """
import sys
from indexer.index.manifest import Manifest
from indexer.types import FileRecord
with Manifest(sys.argv[1]) as manifest:
    print("ready", flush=True)
    for n in range(100_000):
        group = [FileRecord(f"{n}/{i}", None, str(n), 1) for i in range(50)]
        manifest.commit(group, [f"{n - 1}/{i}" for i in range(50)])
"""


def test_a_kill_leaves_whole_commits(path: str) -> None:
    rng = random.Random(3)
    for _ in range(5):
        with subprocess.Popen(
            [sys.executable, "-c", COMMITS, path], stdout=subprocess.PIPE
        ) as writer:
            assert writer.stdout is not None
            assert writer.stdout.readline() == b"ready\n"
            time.sleep(rng.uniform(0.02, 0.2))
            writer.send_signal(signal.SIGKILL)
        with Manifest(path) as manifest:
            records = manifest.records()
        assert len(records) in (0, 50)
        assert len({path.split("/")[0] for path in records}) <= 1
        os.unlink(path)
