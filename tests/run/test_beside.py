"""The store is imported beside compiling the model, and only there."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import Project, python_text

# Notes the thread that imports pymilvus, or lets the import of milvus-lite fail.
WATCH = """
import os, sys, threading

class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == "pymilvus":
            with open(os.environ["SEEN"], "a") as seen:
                print(threading.current_thread().name, file=seen)
        if name == "milvus_lite" and os.environ["BREAKS"] == "yes":
            raise ImportError("no such engine")

sys.meta_path.insert(0, Watch())
"""


@pytest.fixture
def watched(project: Project, tmp_path: Path) -> Project:
    project = project.installed
    (tmp_path / "sitecustomize.py").write_text(WATCH)
    project.environment |= {
        "PYTHONPATH": str(tmp_path),
        "SEEN": str(tmp_path / "seen"),
        "BREAKS": "no",
    }
    for number in range(2):
        project.write(f"mod{number}.py", python_text(number))
    project.run()
    return project


def importers(project: Project) -> list[str]:
    """The threads that imported the store in the next run."""
    seen = Path(project.environment["SEEN"])
    seen.unlink(missing_ok=True)
    done = project.command("run")
    assert (done.returncode, done.stderr) == (0, "")
    return seen.read_text().split() if seen.exists() else []


def test_who_imports_the_store(watched: Project) -> None:
    assert importers(watched) == []
    watched.write("mod0.py", python_text(7))
    assert importers(watched) == ["codx-imports"]
    watched.write("mod1.py", python_text(7))  # the cache has its vectors
    assert importers(watched) == ["MainThread"]
    (watched.root / "mod1.py").unlink()
    assert importers(watched) == ["MainThread"]


def test_an_import_that_fails_is_told_once(watched: Project) -> None:
    watched.write("mod0.py", python_text(8))
    watched.environment["BREAKS"] = "yes"
    done = watched.command("run")
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert "the embedded Milvus cannot be used here: no such engine" in done.stderr
    watched.environment["BREAKS"] = "no"
    assert watched.run()["files"]["modified"] == 1
    assert watched.command("verify").returncode == 0
