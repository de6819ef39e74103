"""The benchmark of updates runs; it checks the counts of every run by itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from bench_harness import BENCHMARKS, finished

SCENARIOS = [
    *("first", "no-op", "clone", "touch", "edit 1", "edit 10", "edit 12", "function"),
    *("rename", "switch", "back", "again", "delete", "revert"),
]


@pytest.mark.slow
def test_every_scenario_of_a_generated_project(
    model_cache: Path, tmp_path: Path
) -> None:
    found = tmp_path / "found.json"
    done = finished(
        *("updates.py", "--files", "24", "--distinct", "4"),
        *("--rounds", "1", "--pairs", "1", "--cache-dir", model_cache),
        *("--json", found),
    )

    (repository,) = json.loads(found.read_text())["repositories"]
    assert (repository["files"], repository["distinct"]) == (24, 4)
    scenarios = repository["scenarios"]
    assert [scenario["key"] for scenario in scenarios] == SCENARIOS
    assert all(len(scenario["samples"]) == 1 for scenario in scenarios)
    assert all(scenario["title"] in done.stdout for scenario in scenarios)
    assert repository["opened_by_no_op"]["files"] == 0


def test_an_unexpected_count_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    from common import Run, Unexpected, Usage
    from updates import check

    files = dict.fromkeys(("added", "modified", "renamed", "deleted", "failed"), 0)
    # Both have these two, and they mean different things.
    chunks = {"embedded": 8, "deleted": 3, "truncated": 0}
    report = {"status": "updated", "files": {**files, "embedded": 0}, "chunks": chunks}
    run = Run(Usage(0, 0, 0, 0), report)
    check("start", run, {"chunks.embedded": 8})
    check("start", run, {"chunks.embedded": range(1, 9)})
    with pytest.raises(Unexpected, match="start: chunks.embedded is 8 where it should"):
        check("start", run, {})
    with pytest.raises(TypeError, match="status is 'updated', which is no count"):
        run.count("status")
