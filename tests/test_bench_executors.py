"""The benchmark of executors runs, and every way of running does all of the work."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import TIMEOUT

SCRIPT = Path(__file__).resolve().parent.parent / "benchmarks" / "executors.py"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["chunk", "http"])
def test_every_way_does_the_same_work(
    kind: str, model_cache: Path, tmp_path: Path
) -> None:
    found = tmp_path / "found.json"
    # Spawning from a test sets this here; a user's shell does not have it.
    inherited = {k: v for k, v in os.environ.items() if k != "PYTHONSAFEPATH"}
    command: list[str | Path] = [
        sys.executable,
        SCRIPT,
        "--rounds",
        "1",
        "--only",
        kind,
    ]
    command += ["--workers", "2", "--cache-dir", model_cache, "--json", found]
    done = subprocess.run(
        command, env=inherited, capture_output=True, text=True, timeout=TIMEOUT
    )

    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    cells = json.loads(found.read_text())["cells"]
    ways = {cell["way"] for cell in cells}
    expected = {"one after another", "asyncio, blocking", "asyncio.to_thread"}
    expected |= {"threads", "processes"}
    assert ways == (expected | {"asyncio, client"} if kind == "http" else expected)
    assert all(cell["rate"] > 0 for cell in cells)
    assert all(way in done.stdout for way in ways)
    assert cells[0]["way"] == "one after another" and cells[0]["ratio"] == 1
