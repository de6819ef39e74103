"""A project that is moved away or removed while a run is at work on it."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

import pytest
from conftest import COMMAND, Project, start, wait_for

SPARSE = ("--mode", "sparse")


def is_stopped(pid: int) -> bool:
    about = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    return about.rpartition(")")[2].split()[0] == "T"


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="no /proc")
@pytest.mark.parametrize(
    "step, how",
    [
        pytest.param(step, how, marks=() if (step, how) == quick else pytest.mark.slow)
        for quick in [("upserted", "replaced")]
        for step in ("locked", "dirty", "upserted", "flushed", "closed")
        for how in ("moved", "removed", "replaced")
    ],
)
def test_the_folder_of_a_run_goes(step: str, how: str, project: Project) -> None:
    """One line says so; nothing is begun in its old place, and the next run is exact."""
    project.write("a.py", "banana = 1\n")
    project.write("b.py", "kiwi = 2\n")
    project.environment["CODX_INDEX_FAULT"] = f"stop {step}"
    process = start(project, "run", *SPARSE)
    try:
        wait_for(lambda: is_stopped(process.pid))
        away = Project(project.root.with_name("away"), project.cache_dir)
        if how == "removed":
            shutil.rmtree(project.root)
        else:
            project.root.rename(away.root)
        if how == "replaced":
            project.write("other.py", "cherry = 3\n")
        process.send_signal(signal.SIGCONT)
        out, error = process.communicate(timeout=240)
    finally:
        process.kill()
    assert (process.returncode, out) == (1, "")
    assert "was moved or removed during the run" in error
    assert error.count("\n") == 1 and "Traceback" not in error
    assert not (project.root / ".codx").exists()
    del project.environment["CODX_INDEX_FAULT"]
    left = {"moved": [away], "removed": [], "replaced": [away, project]}[how]
    for one in left:
        # In a new process: the folder of the first is another one now.
        done = one.launch(COMMAND, "run", *SPARSE)
        assert done.returncode == 0, done.stderr
        assert one.launch(COMMAND, "verify", *SPARSE).returncode == 0
