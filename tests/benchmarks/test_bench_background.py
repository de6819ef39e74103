"""The table of rare terms can be made."""

from __future__ import annotations

from pathlib import Path

import pytest
from bench_harness import finished


@pytest.mark.slow
def test_a_table_of_a_few_sources(tmp_path: Path) -> None:
    names = ("one.py", "two.c", "three.js", "four.go")
    for name in names:
        (tmp_path / name).write_text("counter = 1\n")
    done = finished("background.py", tmp_path, "--files", "1", "--least-chunks", "1")

    lines = done.stdout.splitlines()
    comments = [line for line in lines if line.startswith("#")]
    assert lines[:3] == comments
    assert "go" in comments[2] and "python" in comments[2]
    terms = dict(line.split("\t") for line in lines[3:])
    assert "counter" in terms
    rates = [float(rate) for rate in terms.values()]
    assert rates == sorted(rates) and rates[0] >= 0
    # A line about each folder goes to stderr.
    assert done.stderr.splitlines()[-1].startswith(f"{tmp_path} ")
