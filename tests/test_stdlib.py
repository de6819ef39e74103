"""A real project of thousands of files: Python's own standard library."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest
from conftest import COMMAND, Project

ONE_GIB = 1024 * 1024  # in the KiB of ru_maxrss


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
        "json",
        pytest.param("asyncio", marks=pytest.mark.slow),
        pytest.param("", marks=pytest.mark.slow, id="all"),
    ],
)
def test_indexed_verified_and_within_memory(folder: str, project: Project) -> None:
    files = copy_library(project.root, folder)
    with subprocess.Popen(
        [COMMAND, "run", "--json"],
        cwd=project.root,
        env=project.variables(),
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        report = json.loads(process.stdout.read())
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    assert report["files"]["scanned"] == files
    assert report["files"]["added"] > 0 and report["files"]["failed"] == 0
    assert report["chunks"]["truncated"] == 0
    assert usage.ru_maxrss < ONE_GIB
    verified = project.command("verify")
    assert verified.returncode == 0, verified.stdout[-2000:]
    again = project.run()
    assert (again["status"], again["files"]["read"]) == ("unchanged", 0)
    assert again["chunks"]["total"] == report["chunks"]["total"]
