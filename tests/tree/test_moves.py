"""Which contents move, found on real files before anything is written."""

from __future__ import annotations

import os
import time
from collections.abc import Set
from pathlib import Path
from typing import Any

import pytest

from indexer.config import Settings
from indexer.report import Report
from indexer.tree import moves
from indexer.tree.changes import Changes
from indexer.tree.diff import compare
from indexer.tree.files import open_roots, read_file
from indexer.tree.git import blob_id
from indexer.tree.moves import Ahead, read_ahead
from indexer.tree.project import scan_project
from indexer.types import Audit, FileRecord, SourceFile

ONE, TWO, THREE = b"one = 1\n", b"two = 22\n", b"three = 333\n"
LIMIT = 1000


def record(path: str, data: bytes, size: int | None = None) -> FileRecord:
    """What the index has of a file that was touched since; its size may not be known."""
    stat = (len(data) if size is None else size, 1, 1, 1) if size != -1 else None
    return FileRecord(path, stat, blob_id(data), 1)


class Tree:
    """Files in a folder, and the names of those that were read ahead."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root
        self.read: list[str] = []

        def read(fd: int, file: SourceFile, limit: int) -> object:
            self.read.append(file.path)
            return read_file(fd, file, limit)

        monkeypatch.setattr(moves, "read_file", read)

    def ahead(
        self,
        files: dict[str, bytes],
        *known: FileRecord,
        doubted: tuple[FileRecord, ...] = (),
        again: Set[str] = frozenset(),
        stops: bool = False,
        age: float = 0,
    ) -> Ahead:
        for name, data in files.items():
            (self.root / name).write_bytes(data)
        time.sleep(age)
        records = {one.path: one for one in known}
        settings = Settings(str(self.root), str(self.root), "")
        tree = scan_project(settings, Report())
        changes = Changes(
            tree,
            Audit(records, {}, {one.path: one for one in doubted}),
            compare(tree.files, records),
            again,
        )
        with open_roots(settings) as roots:
            return read_ahead(changes, roots, LIMIT, lambda: stops)

    def moving(self, *arguments: Any, **options: Any) -> set[str]:
        return self.ahead(*arguments, **options).moving


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tree:
    (tmp_path / "tree").mkdir()
    return Tree(tmp_path / "tree", monkeypatch)


def ids(*contents: bytes) -> set[str]:
    return {blob_id(data) for data in contents}


def test_two_files_that_change_places(tree: Tree) -> None:
    found = tree.moving({"a": TWO, "b": ONE}, record("a", ONE), record("b", TWO))
    assert found == ids(ONE, TWO)


def test_a_content_that_moves_to_a_new_path(tree: Tree) -> None:
    assert tree.moving({"a": TWO, "new": ONE}, record("a", ONE)) == ids(ONE)


def test_edits_are_not_read_ahead(tree: Tree) -> None:
    """No file is as large as another one was."""
    found = tree.moving(
        {"a": ONE + TWO, "b": TWO + THREE}, record("a", ONE), record("b", TWO)
    )
    assert found == set() and tree.read == []
    assert tree.moving({"c": THREE}) == set() and tree.read == []


def test_only_files_of_a_size_that_was_elsewhere_are_read_ahead(tree: Tree) -> None:
    files = {"a": ONE[::-1], "b": TWO[::-1], "c": ONE.upper(), "d": THREE * 2}
    known = record("a", ONE), record("b", TWO), record("d", THREE)
    assert tree.moving(files, *known) == set()
    assert tree.read == ["c"]


def test_a_record_without_stat_fields_may_have_been_of_any_size(tree: Tree) -> None:
    found = tree.moving({"a": THREE, "new": ONE}, record("a", ONE, -1))
    assert found == ids(ONE)
    assert tree.read == ["new"]


def test_an_unchanged_content_does_not_move(tree: Tree) -> None:
    """Though another file has got it as well, or had it and has it no longer."""
    known = record("a", ONE), record("b", ONE)
    assert tree.moving({"a": ONE, "b": TWO}, *known) == set()


def test_a_content_in_doubt_can_move(tree: Tree) -> None:
    known = [FileRecord(path, None, "", 0) for path in "ab"]
    found = tree.moving(
        {"a": TWO, "b": ONE}, *known, doubted=(record("a", ONE), record("b", TWO))
    )
    assert found == ids(ONE, TWO)


def test_a_file_that_is_gone_keeps_its_rows_to_the_end(tree: Tree) -> None:
    assert tree.moving({"new": ONE}, record("gone", ONE)) == set()
    assert tree.read == []


def test_unchanged_files_are_read_once(tree: Tree) -> None:
    """Every file has new times, and many are of one size."""
    files = {"a": ONE, "b": ONE[::-1], "c": ONE.upper(), "again": ONE.title()}
    known = [record(name, data) for name, data in files.items()]
    # Any younger, and their stat fields could not be trusted.
    found = tree.ahead(files, *known, again={"again"}, age=0.05)
    assert found.moving == set()
    info = (tree.root / "a").stat()
    assert found.unchanged.keys() == {"a", "b", "c"}
    assert found.unchanged["a"] == (
        *(info.st_size, info.st_mtime_ns, info.st_ctime_ns, info.st_ino),
    )


def test_what_cannot_be_read_does_not_move(tree: Tree) -> None:
    os.symlink("/nowhere", tree.root / "link")
    large = b"x" * (LIMIT + 1)
    found = tree.moving(
        {"a": TWO, "large": large, "empty": b""},
        record("a", large, len(large)),
        record("large", TWO),
    )
    assert found == ids(TWO)


def test_a_run_that_is_to_end_reads_nothing_ahead(tree: Tree) -> None:
    known = record("a", ONE), record("b", TWO)
    assert tree.moving({"a": TWO, "b": ONE}, *known, stops=True) == set()
    assert tree.read == []
