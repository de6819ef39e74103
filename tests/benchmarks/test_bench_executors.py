"""The benchmark of executors runs, and every way of running does all of the work."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from bench_harness import finished

WAYS = {
    *("one after another", "asyncio, blocking", "asyncio.to_thread"),
    *("threads", "processes"),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["chunk", "embed", "http"])
def test_every_way_does_the_same_work(
    kind: str, model_cache: Path, tmp_path: Path
) -> None:
    found = tmp_path / "found.json"
    done = finished(
        *("executors.py", "--rounds", "1", "--only", kind, "--workers", "2"),
        *("--cache-dir", model_cache, "--json", found),
    )

    assert done.stderr == ""
    cells = json.loads(found.read_text())["cells"]
    ways = {cell["way"] for cell in cells}
    assert ways == (WAYS | {"asyncio, client"} if kind == "http" else WAYS)
    assert all(cell["rate"] > 0 for cell in cells)
    assert all(way in done.stdout for way in ways)
    assert cells[0]["way"] == "one after another" and cells[0]["ratio"] == 1


@pytest.mark.slow
def test_every_pitfall_is_measured(model_cache: Path, tmp_path: Path) -> None:
    found = tmp_path / "found.json"
    done = finished(
        *("executors.py", "--rounds", "1", "--only", "pitfalls"),
        *("--cache-dir", model_cache, "--json", found),
    )

    results = json.loads(found.read_text())
    assert results["cells"] == []
    pitfalls = results["pitfalls"]
    assert list(pitfalls) == [
        *("pickling", "gil", "fork", "pinning", "5 files", "20 files"),
    ]
    assert pitfalls["pickling"].keys() == {"array", "lists"}
    assert len(pitfalls["gil"]) == 5
    assert all(name in done.stdout for name in pitfalls)
