"""The comparison with peers: what needs none of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import TIMEOUT, python_text

SCRIPT = Path(__file__).resolve().parent.parent / "benchmarks" / "peers.py"


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
    command: list[str | Path] = [sys.executable, SCRIPT, source, "--json", found]
    command += ["--environments", environments, "--cache-dir", model_cache]
    command += ["--peer", "script", "--rounds", "1"]
    # So pip finds no package, neither on this machine nor anywhere else.
    nowhere = {
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": "",
        "PIP_CONFIG_FILE": os.devnull,
        "GIT_CONFIG_GLOBAL": os.devnull,
    }
    # Spawning from a test sets this here; a user's shell does not have it.
    inherited = {k: v for k, v in os.environ.items() if k != "PYTHONSAFEPATH"}
    done = subprocess.run(
        command,
        env={**inherited, **nowhere},
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )

    assert done.returncode == 0, done.stderr
    left_out = [line for line in done.stdout.splitlines() if "left out" in line]
    assert len(left_out) == 4  # in each scenario
    assert all("it cannot be installed: ERROR" in line for line in left_out)
    assert "Traceback" not in done.stdout + done.stderr

    ours, script = json.loads(found.read_text())["contestants"]
    assert script["failure"] and not script["scenarios"]
    scenarios = ours["scenarios"]
    assert list(scenarios) == ["first index", "no-op", "edit", "rename"]
    rounds = {name: len(found["samples"]) for name, found in scenarios.items()}
    assert rounds == {"first index": 1, "no-op": 1, "edit": 1, "rename": 1}
    assert all(found["stale"] == 0 < found["chunks"] for found in scenarios.values())
    # It is begun anew the next time.
    assert not (environments / "script" / "installed.json").exists()
