"""The replay of a history runs, and compares its index with a fresh one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from bench_harness import finished
from conftest import Project, python_text


@pytest.mark.slow
def test_a_history_of_three_commits(
    project: Project, model_cache: Path, tmp_path: Path
) -> None:
    for number in range(3):
        project.write(f"folder/module_{number}.py", python_text(number))
        project.git("add", "-A")
        project.git("commit", "-qm", f"module {number}")
    project.git("mv", "folder", "moved")
    project.git("commit", "-qm", "a rename")
    found = tmp_path / "found.json"
    done = finished(
        *("replay.py", project.root, "--commits", "3"),
        *("--cache-dir", model_cache, "--json", found),
    )

    assert done.stdout.endswith("the rows equal those of a fresh index\n")
    results = json.loads(found.read_text())
    assert results["problems"] == []
    first, second, rename = results["commits"]
    assert [step["changed"] for step in (first, second)] == [2, 1]
    assert first["minimum"] == first["chunks"]["embedded"] > 0
    assert second["minimum"] == second["chunks"]["embedded"] > 0
    assert rename["minimum"] == rename["chunks"]["embedded"] == 0
    assert rename["files"]["renamed"] == 3
    assert list(results["full"]) == [
        "full index, empty cache",
        "full index, warm cache",
    ]
