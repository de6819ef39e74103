"""`codx-index verify`: whatever differs is found, and nothing is written."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Project, open_store, project_in, python_text

from indexer.milvus.rows import row_id
from indexer.milvus.store import Store

SERIAL = ("--executor", "serial")  # starts faster than a pool


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory, model_cache: Path) -> Project:
    folder = tmp_path_factory.mktemp("verify")
    made = project_in(folder, model_cache)
    for number in range(4):
        made.write(f"{number}.py", python_text(number))
    made.run()
    return made


@pytest.fixture
def indexed(template: Project, tmp_path: Path) -> Project:
    """A copy of an indexed project; the index may move, and files may be copied."""
    root = tmp_path / "project"
    shutil.copytree(template.root, root)
    return Project(root, template.cache_dir)


def problems(project: Project) -> list[tuple[str, str]]:
    """What verify finds, (path, problem); it must exit 1."""
    report = project.report("verify", *SERIAL, code=1)
    assert report["status"] == "failed"
    return [(each["path"], each["problem"]) for each in report["differences"]]


def test_a_fresh_index(indexed: Project) -> None:
    rows = indexed.rows()
    done = indexed.command("verify")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"verified: {len(rows)} rows of 4 files equal the tree\n"
    report = indexed.report("verify", *SERIAL)
    assert (report["status"], report["differences"]) == ("unchanged", [])
    assert report["chunks"]["total"] == len(rows)


def test_a_tree_that_moved_on(indexed: Project) -> None:
    indexed.write("0.py", "changed = 1\n")
    (indexed.root / "1.py").unlink()
    indexed.write("new.py", "added = 1\n")
    rows = indexed.rows()
    stale = "rows that belong to no current file"
    assert problems(indexed) == [
        ("0.py", "row 0 has a different file_hash"),
        ("1.py", stale),
        ("new.py", "row 0 is missing"),
    ]
    assert indexed.rows() == rows
    done = indexed.command("verify", *SERIAL)
    assert done.returncode == 1
    assert "new.py: row 0 is missing\n" in done.stdout
    assert "differs from the tree in 3 places" in done.stderr
    assert "codx-index verify --repair" in done.stderr
    indexed.run()
    assert indexed.command("verify", *SERIAL).returncode == 0


Spoil = Callable[[Store, dict[str, Any]], None]


def altered(**fields: Any) -> Spoil:
    return lambda store, row: store.upsert([{**row, **fields}])


@pytest.mark.parametrize(
    "spoil, problem",
    [
        pytest.param(spoil, problem, id=problem)
        for spoil, problem in (
            (lambda store, row: store.delete([row["id"]]), "row 0 is missing"),
            (altered(text="x"), "row 0 has a different text"),
            (altered(start_line=9), "row 0 has a different start_line"),
            (altered(file_hash="0" * 40), "row 0 has a different file_hash"),
            (altered(chunk_count=99), "row 0 has a different chunk_count"),
            (altered(path="2.py"), "row 0 has a different path"),
            (altered(symbol="x"), "row 0 has a different symbol"),
            (
                altered(vector=np.full(384, 0.5, np.float32)),
                "the vector of row 0 has length 9.7980",
            ),
            (
                altered(id=row_id("1.py", 99)),
                "rows that belong to no current file",
            ),
        )
    ],
)
def test_spoiled_rows(spoil: Spoil, problem: str, indexed: Project) -> None:
    before = indexed.rows()
    (row,) = (
        row for row in before.values() if (row["path"], row["chunk_no"]) == ("1.py", 0)
    )
    with open_store(indexed) as store:
        spoil(store, {**row, "vector": np.asarray(row["vector"], np.float32)})
        store.flush()
    rows = indexed.rows()
    assert problems(indexed) == [("1.py", problem)]
    assert indexed.rows() == rows

    report = indexed.report("verify", "--repair", *SERIAL)
    assert [each["path"] for each in report["differences"]] == ["1.py"]
    assert report["chunks"]["embedded"] == 0
    assert report["files"]["unchanged"] >= 2  # only what differs was written
    assert indexed.rows() == before
    assert indexed.command("verify", *SERIAL).returncode == 0


def test_a_row_of_a_file_that_never_was(indexed: Project) -> None:
    row = next(iter(indexed.rows().values()))
    ghost = {"id": row_id("ghost.py", 0), "path": "ghost.py"}
    with open_store(indexed) as store:
        vector = np.asarray(row["vector"], np.float32)
        store.upsert([{**row, **ghost, "vector": vector}])
        store.flush()
    assert problems(indexed) == [("ghost.py", "rows that belong to no current file")]
    done = indexed.command("verify", "--repair", *SERIAL)
    assert (done.returncode, done.stderr) == (0, "")
    assert "repaired; updated: 1 deleted" in done.stdout
    assert indexed.command("verify", *SERIAL).returncode == 0


def test_repairing_what_is_right(indexed: Project) -> None:
    done = indexed.command("verify", "--repair", *SERIAL)
    assert (done.returncode, done.stdout[:9]) == (0, "verified:")


def test_without_an_index(project: Project) -> None:
    done = project.command("verify")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("codx-index: no index in ")
    assert "codx-index run" in done.stderr
    assert not (project.root / ".codx").exists()


@pytest.mark.slow
def test_with_other_settings(indexed: Project, tiny_model: str) -> None:
    report = indexed.report("verify", *SERIAL, "--model", tiny_model, code=1)
    (difference,) = report["differences"]
    assert difference["problem"] == "the index was built with other settings"
