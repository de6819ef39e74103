"""The budget for imports: what it reports, and that it is kept."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import TIMEOUT

SCRIPT = Path(__file__).resolve().parent.parent / "benchmarks" / "imports.py"


def run(script: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    variables = {k: v for k, v in os.environ.items() if k != "PYTHONSAFEPATH"}
    return subprocess.run(
        [sys.executable, script, *arguments],
        env=variables | {"PYTHONPATH": str(SCRIPT.parent)},
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )


def test_a_run_that_indexes_is_within_the_budget(model_cache: Path) -> None:
    done = run(SCRIPT, "--rounds", "4", "--cache-dir", model_cache)
    assert done.returncode == 0, done.stderr
    names = [line[:16].strip() for line in done.stdout.splitlines()[2:]]
    assert names == ["import asyncio", "--version", "run --dry-run", "run"]


@pytest.mark.parametrize(
    "old, new, said",
    [
        ('"--version"), 1.8', '"--version"), 0.1', "--version: imports take "),
        ("MILVUS = {", 'MILVUS = {"click", ', "--version: imports click"),
    ],
)
def test_what_is_over_the_budget_is_told(
    old: str, new: str, said: str, tmp_path: Path
) -> None:
    text = SCRIPT.read_text()
    assert old in text
    (script := tmp_path / "imports.py").write_text(text.replace(old, new))
    done = run(script, "--rounds", "1")
    assert done.returncode == 1
    assert said in done.stderr and "Traceback" not in done.stderr
