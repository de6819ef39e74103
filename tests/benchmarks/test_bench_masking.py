"""The benchmark of masking runs, and finds every planted credential."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from bench_harness import finished


@pytest.mark.slow
def test_a_few_modules_and_the_planted_credentials(tmp_path: Path) -> None:
    found = tmp_path / "found.json"
    done = finished(
        *("masking.py", "--modules", "20", "--megabytes", "0.05"),
        *("--rounds", "1", "--json", found),
    )

    results = json.loads(found.read_text())
    assert [len(rate["all"]) for rate in results["rates"].values()] == [1] * 4
    for kind, row in results["planted"].items():
        assert row["files"] > 0 and row["masked"] == row["secrets"], kind
        assert kind in done.stdout
    assert results["missed by gates"] == []
    assert "masked in the standard library, 20 modules:" in done.stdout
