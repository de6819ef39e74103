"""What is kept for a project goes once the project is gone, and not before."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from conftest import Project
from seeds import SPARSE, add_worktree, fill

from indexer.index.gone import is_gone, remove_gone


def test_state_of_a_removed_worktree(project: Project, tmp_path: Path) -> None:
    root = tmp_path / "states"
    options = ("--state-dir", str(root))
    fill(project, 1)
    project.run(*SPARSE, *options)
    other = add_worktree(project, tmp_path / "other")
    other.run(*SPARSE, *options)
    backoff = project.cache_dir / "backoff"
    backoff.mkdir()
    for number, path in enumerate((project.root, other.root)):
        (backoff / f"{number}.json").write_text(json.dumps({"project": str(path)}))
    assert remove_gone(str(root)) == [] and len(os.listdir(root)) == 2
    project.git("worktree", "remove", "--force", str(other.root))
    done = project.command("cache", "prune", *options)
    assert done.returncode == 0, done.stderr
    assert f"removed the state of {other.root}, which is gone" in done.stdout
    assert len(os.listdir(root)) == 1 and os.listdir(backoff) == ["0.json"]
    assert project.run(*SPARSE, *options)["status"] == "unchanged"


def test_what_may_come_back_is_kept(project: Project, tmp_path: Path) -> None:
    root = tmp_path / "states"
    inner = Project(tmp_path / "disk" / "inner", project.cache_dir)
    inner.write("a.py", "x = 1\n")
    inner.run(*SPARSE, "--state-dir", str(root))
    shutil.rmtree(inner.root)
    # A disk that is not mounted leaves an empty folder.
    assert not is_gone(str(inner.root)) and remove_gone(str(root)) == []
    (tmp_path / "disk" / "another").mkdir()
    # A file with the path of another project proves nothing.
    (state,) = root.glob("*/.codx/index")
    (state / "project").write_text(str(tmp_path / "disk" / "never"))
    assert remove_gone(str(root)) == []
    (state / "project").write_text(str(inner.root))
    assert remove_gone(str(root)) == [str(inner.root)] and not os.listdir(root)
