"""The benchmark of seeds runs, and embeds nothing that the neighbour has."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from bench_harness import finished


@pytest.mark.slow
def test_a_few_files(tmp_path: Path, model_cache: Path) -> None:
    found = tmp_path / "found.json"
    done = finished(
        *("seed.py", "--files", "60", "--changed", "2", "--cache-dir", model_cache),
        *("--folder", tmp_path, "--json", found),
    )
    fresh, same, other, cached, _, cloned = json.loads(found.read_text())["indexes"]
    assert fresh["embedded"] == fresh["chunks"] > 0 and fresh["seeded"] is None
    assert (same["embedded"], same["upserted"]) == (0, 0)
    assert same["seeded"] == cloned["seeded"] == fresh["files"]
    assert other["seeded"] == fresh["files"] - 2 and 0 < other["embedded"] < 10
    assert cached["embedded"] == 0 and cached["upserted"] == fresh["chunks"]
    assert cloned["embedded"] == 0
    assert "| a worktree | " in done.stdout
