"""The benchmark of a cluster runs, with few workers and files."""

from __future__ import annotations

import re

import pytest
from bench_harness import finished

pytest.importorskip("distributed")


@pytest.mark.slow
def test_a_pool_beside_a_cluster() -> None:
    few = ("--files", "3", "--rounds", "1")
    said = finished("cluster.py", "--only", "own", *few).stdout
    found = re.search(r"own: (\d+) chunks of 3 files; CPU of the pool ([\d.]+) s", said)
    assert found and int(found[1]) > 3 and float(found[2]) > 0


@pytest.mark.slow
def test_simulated_workers() -> None:
    few = ("--workers", "5", "--simulated-files", "60")
    said = finished("cluster.py", "--only", "simulated", *few).stdout
    assert "simulated: 5 workers, 60 files" in said
    rate = re.search(r"([\d,]+) tasks/s", said)
    assert rate and int(rate[1].replace(",", "")) > 0
