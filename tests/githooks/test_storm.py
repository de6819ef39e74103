"""Many commits, several work trees at once, rebases: at the end every index equals its tree."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from conftest import Project, python_text
from test_git_hooks import commit, git, install, settle

pytestmark = pytest.mark.slow

TREES = 5
COMMITS = 50


@pytest.fixture
def trees(project: Project, tmp_path: Path) -> list[Project]:
    """Work trees of a repository with hooks, an index in each."""
    project.environment["CODX_INDEX_MODE"] = "sparse"
    for number in range(20):
        project.write(f"f{number}.py", python_text(number))
    commit(project, "one")
    made = []
    for number in range(TREES):
        root = tmp_path / f"tree{number}"
        git(project, "worktree", "add", "-q", "-b", root.name, str(root))
        made.append(Project(root, project.cache_dir, project.environment))
        made[-1].run()
    project.run()
    install(project)
    return made


def runs_of(project: Project) -> int:
    """How many runs told that they began."""
    events = project.root.parent / "events"
    lines = events.read_text().splitlines() if events.exists() else []
    return sum(json.loads(line)["event"] == "run-started" for line in lines)


def told(project: Project) -> Project:
    """The project, whose runs are counted from now on."""
    project.environment |= {"CODX_INDEX_EVENTS": str(project.root.parent / "events")}
    return project


def assert_exact(project: Project) -> None:
    settle(project)
    assert project.report("status")["up_to_date"]
    assert project.command("verify").returncode == 0


def test_commits_of_five_work_trees_at_once(trees: list[Project]) -> None:
    def work(tree: Project, seed: int) -> None:
        rng = random.Random(seed)
        for number in range(COMMITS):
            name = f"f{rng.randrange(25)}.py"
            if rng.random() < 0.2 and (tree.root / name).exists():
                (tree.root / name).unlink()
            else:
                tree.write(name, python_text(seed * 1000 + number))
            commit(tree, f"{seed} {number}")
            if number % 10 == 9:
                git(tree, "checkout", "-q", "-B", f"b{seed}", "HEAD~3")

    with ThreadPoolExecutor(TREES) as pool:
        # A list, so that failures come out.
        list(pool.map(work, trees, range(1, TREES + 1)))
    for tree in trees:
        assert_exact(tree)


def ended(project: Project) -> int:
    """How many runs there were, once all is quiet."""
    settle(project)
    return runs_of(project)


def test_a_rebase_is_one_run(trees: list[Project]) -> None:
    tree = told(trees[0])
    git(tree, "checkout", "-q", "-b", "work")
    for number in range(12):
        tree.write(f"new{number}.py", python_text(number + 100))
        commit(tree, f"{number}")
    git(tree, "checkout", "-q", "-b", "onto", "HEAD~12")
    tree.write("f0.py", python_text(500))
    commit(tree, "onto")
    before = ended(tree)
    git(tree, "checkout", "-q", "work")
    before = ended(tree)
    git(tree, "rebase", "-q", "onto")
    assert ended(tree) == before + 1
    assert_exact(tree)


@pytest.mark.parametrize("how", ["continue", "skip", "abort"])
def test_a_rebase_that_stops(how: str, trees: list[Project]) -> None:
    """It is waited for, however it ends."""
    tree = told(trees[0])
    git(tree, "checkout", "-q", "-b", "work")
    tree.write("f0.py", python_text(600))
    commit(tree, "ours")
    git(tree, "checkout", "-q", "-b", "onto", "HEAD~1")
    tree.write("f0.py", python_text(601))
    tree.write("f1.py", python_text(602))
    commit(tree, "theirs")
    git(tree, "checkout", "-q", "work")
    before = ended(tree)
    git(tree, "rebase", "-q", "onto", code=1)
    if how == "continue":
        tree.write("f0.py", python_text(603))
        git(tree, "add", "-A")
    assert runs_of(tree) == before
    git(tree, "-c", "core.editor=true", "rebase", f"--{how}")
    assert ended(tree) == before + 1
    assert_exact(tree)


ACTS: dict[str, Callable[[Project], object]] = {
    "merge": lambda tree: git(tree, "merge", "-q", "other"),
    "cherry-pick": lambda tree: git(tree, "cherry-pick", "HEAD..other"),
    "checkout": lambda tree: git(tree, "checkout", "-q", "other"),
    "files": lambda tree: git(tree, "checkout", "other", "--", "f0.py"),
    "amend": lambda tree: git(tree, "commit", "-q", "--amend", "-m", "x"),
    "pull": lambda tree: git(tree, "pull", "-q", "--rebase", ".", "other"),
}


@pytest.mark.parametrize("name", ACTS)
def test_what_else_changes_a_tree(name: str, trees: list[Project]) -> None:
    tree = told(trees[0])
    git(tree, "checkout", "-q", "-b", "other")
    for number in range(3):
        tree.write(f"f{number}.py", python_text(700 + number))
        commit(tree, f"{number}")
    git(tree, "checkout", "-q", trees[0].root.name)
    before = ended(tree)
    ACTS[name](tree)
    assert ended(tree) == before + 1
    assert_exact(tree)
