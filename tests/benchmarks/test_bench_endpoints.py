"""The benchmark of endpoints runs, and more requests at a time bring more."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from bench_harness import finished


@pytest.mark.slow
def test_more_at_a_time_is_more(tmp_path: Path) -> None:
    found = tmp_path / "found.json"
    done = finished(
        *("endpoints.py", "--rounds", "1", "--latency", "50"),
        *("--concurrency", "1", "8", "--json", found),
    )

    assert done.stderr == ""
    one, eight = json.loads(found.read_text())["rows"]
    assert one["ratio"] == 1 and eight["ratio"] > 4
    assert "| 50 | 8 |" in done.stdout
