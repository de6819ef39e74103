"""A real project of thousands of files: Python's own standard library."""

from __future__ import annotations

import json
import shutil
import sys
import sysconfig
from pathlib import Path

import pytest
from conftest import COMMAND, Project

PATIENCE = 3 * 3600  # seconds; only ever reached by a command that hangs
ONE_GIB = 1024 * 1024  # in the KiB of ru_maxrss
# Started by a small process: to the kernel, what a process begins with is the memory of the
# one that started it, which here has a model and a database.
MEASURED = """
import resource, subprocess, sys
code = subprocess.call(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)
sys.exit(code)
"""


def copy_library(target: Path, folder: str) -> int:
    """Copy a folder of the library, "" for all but installed packages; how many files?"""
    shutil.copytree(
        Path(sysconfig.get_path("stdlib"), folder),
        target,
        ignore=shutil.ignore_patterns("site-packages", "__pycache__"),
        dirs_exist_ok=True,
        symlinks=True,
    )
    files = (path for path in target.rglob("*") if path.is_file())
    return sum(".git" not in path.relative_to(target).parts for path in files)


@pytest.mark.parametrize(
    "folder",
    [
        pytest.param("json", marks=pytest.mark.slow),
        pytest.param("asyncio", marks=pytest.mark.slow),
        pytest.param("", marks=pytest.mark.slow, id="all"),
    ],
)
def test_indexed_verified_and_within_memory(folder: str, project: Project) -> None:
    files = copy_library(project.root, folder)
    # Without -P, Python would import the copy's modules instead of its own.
    measured = (sys.executable, "-P", "-c", MEASURED)
    done = project.launch(*measured, COMMAND, "run", "--json", timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["files"]["scanned"] == files
    assert report["files"]["added"] > 0 and report["files"]["failed"] == 0
    assert report["chunks"]["truncated"] == 0
    assert int(done.stderr) < ONE_GIB
    verified = project.launch(COMMAND, "verify", timeout=PATIENCE)
    assert verified.returncode == 0, verified.stdout[-2000:]
    again = project.run()
    assert (again["status"], again["files"]["read"]) == ("unchanged", 0)
    assert again["chunks"]["total"] == report["chunks"]["total"]
