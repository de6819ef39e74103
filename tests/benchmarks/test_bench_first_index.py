"""The benchmark of a first index runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from bench_harness import finished, rows
from conftest import python_text


@pytest.mark.slow
def test_a_first_index_and_a_run_with_nothing_to_do(
    model_cache: Path, tmp_path: Path
) -> None:
    project = tmp_path / "project"
    project.mkdir()
    for number in range(4):
        (project / f"{number}.py").write_text(python_text(number))
    found = tmp_path / "found.json"
    done = finished(
        *("first_index.py", project, "--files", "3"),
        *("--cache-dir", model_cache, "--json", found),
    )

    assert rows(done.stdout, 14)[1:] == ["", "first index", "nothing to do"]
    first, nothing = json.loads(found.read_text()).values()
    assert first["files"] == nothing["files"] == 3
    assert first["embedded"] == first["chunks"] == nothing["chunks"] >= 3
    assert nothing["embedded"] == 0
    assert first["parent_mib"] > 0
