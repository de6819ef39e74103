"""The benchmark of answers runs, and counts both forms of each."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from bench_harness import finished
from conftest import project_in


@pytest.mark.slow
def test_a_few_answers_and_sessions(tmp_path: Path, model_cache: Path) -> None:
    project = project_in(tmp_path / "x", model_cache)
    project.write("tax.py", "def vat(net):\n    return net * 19 / 100\n")
    project.run("--executor", "serial")
    queries = tmp_path / "set.json"
    queries.write_text(json.dumps([{"queries": [{"query": "vat"}, {"query": "net"}]}]))
    found = tmp_path / "found.json"
    done = finished(
        *("answers.py", project.root, "--set", queries, "--sessions", "2"),
        *("--cache-dir", project.cache_dir, "--json", found),
    )
    results = json.loads(found.read_text())
    assert [one["query"] for one in results["answers"]] == ["vat", "net"]
    for one in results["answers"]:
        assert 0 < one["text"]["tokens"] < one["json"]["tokens"]
    (of_two,) = results["sessions"]
    assert 50 < of_two["http"] < of_two["stdio"]
    assert "2 sessions: " in done.stdout
