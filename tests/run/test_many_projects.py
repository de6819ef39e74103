"""Five hundred projects in one collection."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Project
from shared_rows import Rows, all_rows

from indexer.config import key_of_project

pytestmark = pytest.mark.slow

NUMBER = int(os.environ.get("CODX_INDEX_PROJECTS", "500"))
NAME = "team"


def key(project: Project) -> str:
    return key_of_project(str(project.root))


def others(rows: Rows, *projects: Project) -> Rows:
    """The rows of all but these projects."""
    keys = {key(project) for project in projects}
    return {id_: row for id_, row in rows.items() if row["project"] not in keys}


def test_no_command_touches_rows_of_others(
    make_project: Callable[[str], Project], tmp_path: Path
) -> None:
    database = tmp_path / "shared.db"
    projects = []
    for number in range(NUMBER):
        project = make_project(f"p{number:03}")
        project.environment |= {
            "CODX_INDEX_URI": str(database),
            "CODX_INDEX_SHARED_COLLECTION": NAME,
            "CODX_INDEX_EXECUTOR": "serial",
            # Some have vectors.
            "CODX_INDEX_MODE": "sparse" if number % 50 else "hybrid",
        }
        project.git("init", "-q", "-b", "main")
        project.write("same.py", "def flamingo(): return 1\n")
        project.write("own.py", f"def heron_{number}(): return {number}\n")
        project.git("add", "-A")
        project.git("commit", "-qm", "two files")
        assert project.run()["files"]["added"] == 2
        projects.append(project)
    before = all_rows(database, NAME)
    assert len(before) == 2 * NUMBER
    # The runs of all others made nobody's stamp stale.
    for project in projects:
        assert project.run()["status"] == "unchanged"
    assert all_rows(database, NAME) == before
    one, other = projects[7], projects[NUMBER // 2]
    one.write("own.py", "def pelican(): pass\n")
    (one.root / "same.py").unlink()
    assert one.run()["files"]["deleted"] == 1
    assert other.run("--force")["chunks"]["upserted"] == 2
    for project in (one, other, projects[-1]):
        assert project.command("verify").returncode == 0
    after = all_rows(database, NAME)
    assert others(after, one, other) == others(before, one, other)
    assert len(after) == len(before) - 1
    search = ("search", "--mode", "sparse")
    hits = one.report(*search, "pelican flamingo", "--all-projects", "-k", "1000")[
        "hits"
    ]
    assert len({hit["project"] for hit in hits}) > 90  # as many as there are candidates
    assert hits[0]["path"] == "own.py" and hits[0]["project"] == str(one.root)
    hits = other.report(*search, "pelican flamingo")["hits"]
    assert [hit["project"] for hit in hits] == [str(other.root)]
    hits = other.report(*search, "flamingo", "--project", "p001", "--project", "p002")
    assert len(hits["hits"]) == 2
    assert one.command("clear", "--yes").returncode == 0
    assert all_rows(database, NAME) == others(after, one)
    for project in projects[8::50]:
        assert project.run()["status"] == "unchanged"
