"""The bounds on imports are kept, and what exceeds them is reported."""

from __future__ import annotations

from pathlib import Path

import pytest
from bench_harness import BENCHMARKS, finished, launch, rows

SCRIPT = BENCHMARKS / "imports.py"


@pytest.mark.slow  # `make check` looks at the commands that need no model
def test_every_command_is_within_its_bounds(model_cache: Path) -> None:
    done = finished(SCRIPT, "--rounds", "1", "--cache-dir", model_cache)
    assert rows(done.stdout, 16)[2:] == [
        *("python", "import asyncio", "--version", "--help"),
        *("run --dry-run", "run", "run, unchanged"),
    ]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("MILVUS = {", 'MILVUS = {"click", ', "--version: imports click"),
        (
            '"--version"), light | FILES, 12,',
            '"--version"), light | FILES, 11,',
            "--version: imports 12 modules of other packages, more than 11",
        ),
        (
            '"--cache-dir", no_model, root)',
            '"--cache-dir", no_model, root)\n    light |= {"sqlite3"}',
            "run --dry-run: imports sqlite3",
        ),
        (
            "light, 25, 125)",
            "light, 25, 1)",
            "modules of indexer, more than 1",
        ),
    ],
)
def test_what_exceeds_a_bound_is_reported(
    old: str, new: str, said: str, tmp_path: Path
) -> None:
    text = SCRIPT.read_text()
    assert text.count(old) == 1
    (script := tmp_path / "imports.py").write_text(text.replace(old, new))
    done = launch(script, "--rounds", "1", PYTHONPATH=str(BENCHMARKS))
    assert done.returncode == 1
    assert said in done.stderr and done.stderr.count("\n") <= 3
    assert "Traceback" not in done.stderr
