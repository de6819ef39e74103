"""The comparison with peers runs as far as it needs none of them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from bench_harness import finished
from conftest import python_text


@pytest.mark.slow
def test_a_peer_that_cannot_be_installed_is_one_line(
    model_cache: Path, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    (source / "folder").mkdir(parents=True)
    for number in range(6):
        folder = source / "folder" if number % 2 else source
        (folder / f"module_{number}.py").write_text(python_text(number))
    found = tmp_path / "found.json"
    environments = tmp_path / "environments"
    done = finished(
        *("peers.py", source, "--peer", "script", "--rounds", "1", "--json", found),
        *("--environments", environments, "--cache-dir", model_cache),
        # pip finds no package, neither on this machine nor anywhere else.
        PIP_NO_INDEX="1",
        PIP_FIND_LINKS="",
        PIP_CONFIG_FILE=os.devnull,
        GIT_CONFIG_GLOBAL=os.devnull,
    )

    left_out = [line for line in done.stdout.splitlines() if "left out" in line]
    assert len(left_out) == 4  # in each scenario
    assert all("it cannot be installed: " in line for line in left_out)

    ours, script = json.loads(found.read_text())["contestants"]
    assert script["failure"] and not script["scenarios"]
    scenarios = ours["scenarios"]
    assert list(scenarios) == ["first index", "no-op", "edit", "rename"]
    rounds = {name: len(found["samples"]) for name, found in scenarios.items()}
    assert rounds == {"first index": 1, "no-op": 1, "edit": 1, "rename": 1}
    assert all(found["stale"] == 0 < found["chunks"] for found in scenarios.values())
    # The next run starts the installation again.
    assert not (environments / "script" / "installed.json").exists()


@pytest.mark.slow
def test_the_time_to_a_first_answer(model_cache: Path, tmp_path: Path) -> None:
    folder = tmp_path / "source" / "folder"
    folder.mkdir(parents=True)
    (folder / "options.py").write_text("def parse_arguments(arguments):\n    pass\n")
    for number in range(4):
        (folder / f"module_{number}.py").write_text(python_text(number))
    found = tmp_path / "found.json"
    done = finished(
        *("peers.py", folder.parent, "--first-search", "--files", "0", "--rounds", "1"),
        *("--json", found, "--cache-dir", model_cache),
        GIT_CONFIG_GLOBAL=os.devnull,
    )
    assert "semble                left out: it needs a static model" in done.stdout
    ours, semble = json.loads(found.read_text())["searchers"]
    assert len(ours["samples"]) == 1 and ours["cpu"] > 0 and not ours["failure"]
    assert semble["samples"] == [] and "cpu" not in semble
