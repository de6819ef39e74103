"""The benchmark of git hooks runs, and every index is right at its end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from bench_harness import finished


@pytest.mark.slow
def test_a_few_commits_of_two_work_trees(tmp_path: Path, model_cache: Path) -> None:
    found = tmp_path / "found.json"
    done = finished(
        *("githooks.py", "--files", "60", "--commits", "5", "--trees", "2"),
        *("--cache-dir", model_cache, "--folder", tmp_path, "--json", found),
    )
    results = json.loads(found.read_text())
    assert len(results["alone"]["with"]) == len(results["alone"]["without"]) == 5
    assert len(results["together"]["with"]) == len(results["together"]["without"]) == 10
    assert results["together"]["ratio_from"] <= results["together"]["ratio_to"]
    assert "at the end: 2 of 2" in done.stdout
