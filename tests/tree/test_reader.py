"""Real files, changed between the scan and the reading."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from msgspec.structs import replace

from indexer.config import Settings
from indexer.report import Report
from indexer.tree import diff
from indexer.tree.changes import Changes
from indexer.tree.diff import compare
from indexer.tree.files import open_roots
from indexer.tree.git import blob_id
from indexer.tree.project import scan_project
from indexer.tree.reader import Reader
from indexer.tree.scan import Scan
from indexer.types import Audit, Change, ChangedFile, FileRecord

NOBODY = 65534
LIMIT = 10_000


def record(path: str, data: bytes, chunks: int = 1, reason: str = "") -> FileRecord:
    """What a manifest has of a file that was touched since."""
    return FileRecord(path, None, blob_id(data), chunks, reason)


@dataclass
class Outcome:
    reader: Reader
    changes: list[ChangedFile]
    report: Report
    done: list[int]

    def count(self) -> list[Change | None]:
        return [self.reader.count(record(c.path, c.data)).change for c in self.changes]

    def paths(self) -> list[str]:
        return [change.path for change in self.changes]

    def gone(self) -> list[str]:
        return [record.path for record in self.reader.gone()]


@contextmanager
def as_nobody() -> Iterator[None]:
    user = os.geteuid()
    if user == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(user)


class Tree:
    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir()
        root.chmod(0o755)

    def write(self, name: str, data: bytes = b"x = 1\n") -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    def read(
        self,
        *known: FileRecord,
        between: Callable[[], object] = lambda: None,
        changed: Callable[[Scan], Scan] = lambda tree: tree,
        stale: dict[str, set[str]] | None = None,
        force: bool = False,
    ) -> Outcome:
        """Scan, let `between` happen, read."""
        time.sleep(2 * diff.TICK_NS / 1e9)
        report = Report()
        settings = Settings(str(self.root), "", "", max_file_size=LIMIT, force=force)
        tree = changed(scan_project(settings, report))
        records = {record.path: record for record in known}
        changes = Changes(
            tree,
            Audit(records, stale or {}),
            compare(tree.files, records, force=force),
        )
        done: list[int] = []
        with open_roots(settings) as roots:
            between()
            reader = Reader(changes, roots, settings, report, on_done=done.append)
            with as_nobody():
                read = list(reader)
        return Outcome(reader, read, report, done)


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path / "tree")


def test_the_bytes_are_those_that_were_hashed(tree: Tree) -> None:
    path = tree.write("dir/a.py", b"a\r\n")
    tree.write("b.py", b"longer\n")
    found = tree.read()
    assert found.paths() == ["b.py", "dir/a.py"]
    assert found.changes[1].data == b"a\r\n"
    assert found.changes[1].file_hash == blob_id(b"a\r\n")
    info = path.stat()
    assert found.changes[1].stat == (
        *(info.st_size, info.st_mtime_ns),
        *(info.st_ctime_ns, info.st_ino),
    )
    assert (found.report.files.read, found.report.files.scanned) == (2, 2)
    assert found.count() == [Change.ADDED] * 2
    assert found.report.files.added == 2


def test_a_few_small_files_come_first_and_then_the_largest(tree: Tree) -> None:
    for size in [1, 5, 2, 4, 3]:
        tree.write(f"{size}.py", b"x" * 1000 * size)
    for size in [9_500, 9_900]:
        tree.write(f"{size}.py", b"x" * size)
    order = [path[:-3] for path in tree.read().paths()]
    assert order == ["5", "4", "3", "2", "9900", "9500", "1"]


def test_what_the_stat_fields_vouch_for_is_not_read(tree: Tree) -> None:
    tree.write("a.py")
    change = tree.read().changes[0]
    known = FileRecord("a.py", change.stat, change.file_hash, 1)
    found = tree.read(known)
    assert (found.changes, found.reader.touched, found.done) == ([], [], [])
    assert (found.report.files.read, found.report.files.unchanged) == (0, 1)


def test_touched_files_get_new_stat_fields(tree: Tree) -> None:
    tree.write("a.py")
    tree.write("logo", b"\x00\x01")
    known = [record("a.py", b"x = 1\n"), record("logo", b"\x00\x01", 0, "binary")]
    found = tree.read(*known)
    assert found.changes == [] and sorted(found.done) == [2, 6]
    touched = {r.path: r for r in found.reader.touched}
    for old in known:
        assert touched[old.path].stat is not None
        assert replace(touched[old.path], stat=None) == old
    assert found.report.files.unchanged == 1
    assert found.report.files.skipped == {"binary": 1}
    again = tree.read(*touched.values())
    assert (again.report.files.read, again.reader.touched) == (0, [])


def test_a_file_of_this_moment_gets_no_stat_fields(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree.write("a.py")
    tree.write("b.py", b"other\n")
    monkeypatch.setattr("indexer.tree.reader.is_racy", lambda *_: True)
    found = tree.read(replace(record("a.py", b"x = 1\n"), stat=(1, 2, 3, 4)))
    assert [change.stat for change in found.changes] == [None]
    assert [record.stat for record in found.reader.touched] == [None]


def test_force_reads_and_yields_every_file(tree: Tree) -> None:
    tree.write("a.py")
    found = tree.read(record("a.py", b"x = 1\n"), force=True)
    assert found.count() == [Change.MODIFIED]
    assert found.reader.touched == []


@pytest.mark.parametrize("was_indexed", [True, False])
def test_vanished_since_the_scan(tree: Tree, was_indexed: bool) -> None:
    path = tree.write("a.py")
    known = [record("a.py", b"old\n")] if was_indexed else []
    found = tree.read(*known, between=path.unlink)
    assert (found.changes, found.done) == ([], [6])
    assert found.gone() == ["a.py"] * was_indexed
    assert found.report.files.deleted == was_indexed
    assert found.report.failures == {}


def make_symlink(path: Path) -> None:
    path.unlink()
    path.symlink_to("/etc/passwd")


def make_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize(
    "become, reason",
    [
        (make_symlink, "symlink"),
        (make_fifo, "special"),
        (lambda path: path.write_bytes(b"x" * (LIMIT + 1)), "too_large"),
        (lambda path: path.write_bytes(b""), "empty"),
    ],
)
def test_became_what_a_scan_skips(
    tree: Tree, become: Callable[[Path], object], reason: str
) -> None:
    path = tree.write("a.py")
    found = tree.read(record("a.py", b"old\n"), between=lambda: become(path))
    assert found.changes == []
    assert found.report.files.skipped == {reason: 1}
    assert found.gone() == ["a.py"]
    assert found.report.files.deleted == 1


def test_an_unreadable_file_keeps_its_rows(tree: Tree) -> None:
    tree.write("a.py").chmod(0)
    tree.write("b.py")
    found = tree.read(record("a.py", b"old\n"))
    assert found.paths() == ["b.py"]
    assert found.report.failures == {"a.py": "Permission denied"}
    assert found.report.files.failed == 1
    assert found.gone() == []


def test_renames(tree: Tree) -> None:
    for name in ("new1", "new2"):
        tree.write(name, b"moved\n")
    tree.write("other", b"other\n")
    found = tree.read(record("old", b"moved\n"), record("left", b"left\n"))
    counted = dict(zip(found.paths(), found.count(), strict=True))
    assert counted.pop("other") is Change.ADDED
    assert sorted(c.value for c in counted.values() if c) == ["added", "renamed"]
    assert found.reader.origins == {"old"}
    assert sorted(found.gone()) == ["left", "old"]
    counts = found.report.files
    assert (counts.added, counts.renamed, counts.deleted) == (2, 1, 1)


def test_the_origin_of_a_file_that_was_not_indexed_is_deleted(tree: Tree) -> None:
    tree.write("new", b"moved\n")
    found = tree.read(record("old", b"moved\n"))
    assert found.reader.count(record("new", b"moved\n", 0, "binary")).change is None
    assert found.gone() == ["old"]
    counts = found.report.files
    assert (counts.renamed, counts.deleted) == (0, 1)
    assert counts.skipped == {"binary": 1}


def test_gone_counts_files_with_rows_only(tree: Tree) -> None:
    known = [
        record("a.py", b"a"),
        record("logo", b"b", 0, "binary"),
        FileRecord("broken.py", None, "", 0),
        FileRecord("lost.py", None, "", 0),
    ]
    found = tree.read(*known, stale={"broken.py": {"id"}})
    assert sorted(found.gone()) == ["a.py", "broken.py", "logo", "lost.py"]
    assert found.report.files.deleted == 2


def test_what_a_closed_folder_holds_is_not_known_to_be_gone(tree: Tree) -> None:
    names = ["dir", "dir/a.py", "dir/sub/b.py", "dir2/c.py", "d.py"]
    known = [record(name, b"a") for name in names]

    def close(scan: Scan) -> Scan:
        return replace(scan, failures=[("dir", "Permission denied")])

    found = tree.read(*known, changed=close)
    assert sorted(found.gone()) == ["d.py", "dir2/c.py"]
    assert found.report.files.deleted == 2


def test_a_folder_that_git_cannot_open(tree: Tree) -> None:
    """git tells of untracked folders in words only: then nothing is known to be gone."""
    subprocess.run(["git", "init", "-q", str(tree.root)], check=True)
    message = "could not open directory 'dir/': Permission denied"

    def warn(scan: Scan) -> Scan:
        return replace(scan, failures=[(".", message)])

    assert tree.read(record("dir/a.py", b"a"), changed=warn).gone() == []


def test_settled(tree: Tree) -> None:
    """As long as every file was as the scan saw it."""
    path = tree.write("a.py")
    added = tree.read()
    assert added.reader.is_settled
    known = FileRecord("a.py", added.changes[0].stat, added.changes[0].file_hash, 1)
    assert tree.read(known).reader.is_settled
    assert tree.read(record("a.py", b"other\n")).reader.is_settled
    assert tree.read(record("gone.py", b"gone\n")).reader.is_settled
    os.utime(path)
    assert tree.read(known).reader.is_settled


@pytest.mark.parametrize(
    "act",
    [
        Path.unlink,
        make_symlink,
        make_fifo,
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"x" * (LIMIT + 1)),
        lambda path: path.write_bytes(b"x = 2\n"),
        lambda path: os.utime(path, (1, 1)),
    ],
)
def test_not_settled(tree: Tree, act: Callable[[Path], object]) -> None:
    path = tree.write("a.py")

    def later() -> None:
        act(path)
        time.sleep(2 * diff.TICK_NS / 1e9)

    assert not tree.read(record("a.py", b"old\n"), between=later).reader.is_settled
