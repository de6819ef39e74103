"""The benchmark of freshness runs, and every edit is found."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from bench_harness import finished


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["sparse", "hybrid"])
def test_a_few_edits_of_a_few_files(
    mode: str, tmp_path: Path, model_cache: Path
) -> None:
    found = tmp_path / "found.json"
    done = finished(
        *("freshness.py", "--files", "60", "--edits", "3", "--mode", mode),
        *("--cache-dir", model_cache, "--folder", tmp_path, "--json", found),
    )

    results = json.loads(found.read_text())
    assert len(results["seconds"]) == 3
    assert (results["missed"], results["unmarked stale hits"]) == (0, 0)
    assert f"edit to found at 60 files, {mode}: p50" in done.stdout
