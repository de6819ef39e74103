"""Indexes whose vectors come from an endpoint, with a real server that fails as it is told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Project
from embedding_server import Server, serving


@pytest.fixture(scope="module")
def started(model_cache: Path) -> Iterator[Server]:
    with serving(model_cache) as server:
        yield server


@pytest.fixture
def server(started: Server) -> Server:
    started.set()
    return started


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is tried again is tried at once."""
    monkeypatch.setattr("indexer.vectors.delivery.FIRST_PAUSE", 0.001)


def fill(project: Project, files: int = 3, definitions: int = 12) -> None:
    for number in range(files):
        text = "\n\n".join(
            f"def of_{number}_{one}(value):\n"
            f'    """The {one}th answer of {number} to a value that was given."""\n'
            f"    total = value * {one} + {number}\n"
            f"    return [total for _ in range({one})]\n"
            for one in range(definitions)
        )
        project.write(f"part_{number}.py", text)


def vectors_of(project: Project) -> dict[str, Any]:
    return {key: np.array(row["vector"]) for key, row in project.rows().items()}


def test_rows_equal_those_of_the_model_here(
    project: Project, server: Server, tmp_path: Path, cache_dir: Path
) -> None:
    fill(project)
    report = project.run("--model", server.model)
    assert report["status"] == "updated" and report["chunks"]["truncated"] == 0
    assert server.told["twice"] == {}
    remote = project.rows()
    project.command("clear", "--yes")
    project.run("--cache-size", "0")
    local = project.rows()
    assert remote.keys() == local.keys()
    for key, row in local.items():
        one, other = np.array(row.pop("vector")), np.array(remote[key].pop("vector"))
        assert float(one @ other) > 0.9999
        assert row == remote[key]
