"""The benchmark of throughput runs, and its ways embed the same texts to the same vectors."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest
from bench_harness import BENCHMARKS, finished
from conftest import python_text


@pytest.mark.slow
def test_every_way_embeds_the_same_texts(model_cache: Path, tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    for number in range(3):
        (project / f"{number}.py").write_text(python_text(number, 4))
    found = tmp_path / "found.json"
    done = finished(
        *("throughput.py", project, "--rounds", "1", "--precision", "auto,unknown"),
        *("--sizes", "256", "--cache-dir", model_cache, "--json", found),
    )

    assert done.stderr == ""
    refused = [line for line in done.stdout.splitlines() if "unknown" in line]
    assert len(refused) == 1 and "CODX_INDEX_PRECISION" in refused[0]
    results = json.loads(found.read_text())
    names = [way["name"].split(",")[0] for way in results["ways"]]
    assert names[0] == "sentence-transformers" and names[-1] == "codx-index run"
    assert len(names) == 4
    for way in results["ways"]:
        assert way["tokens"] == results["tokens"]
        assert way["cosine"]["min"] > 0.999
        assert 0 <= way["padding"] < 1
        assert way["gflops"] > 0
    assert results["ways"][0]["ratio"] == 1
    assert {one["library"] for one in results["peak"]} == {"openvino", "torch"}


def test_the_work_of_a_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    from throughput import Sizes

    sizes = Sizes(layers=6, hidden=384, intermediate=1536)
    # What torch counts (FlopCounterMode), without the pooling.
    assert sizes.flop([10]) == 213_258_240
    assert sizes.flop([162, 246]) == 3_681_718_272 + 5_781_196_800


def test_a_sample_is_spread_over_all_lengths(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    from throughput import spread

    tokens = [n * 37 % 1_000 for n in range(1_000)]
    picked = [tokens[index] for index in spread(tokens, 100)]
    assert picked != sorted(picked)
    assert {b - a for a, b in pairwise(sorted(picked))} == {10}
    assert sorted(spread(tokens, 5_000)) == list(range(1_000))


def test_tasks_are_those_of_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    from throughput import run_tasks

    tasks = list(run_tasks([n * 37 % 251 for n in range(600)], 2))
    assert [len(task) for task in tasks] == [64] * 8 + [22] * 4
    assert sorted(sum(tasks, [])) == list(range(600))
