"""What is refused is refused before anything costly: no model is converted for it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import Project, assert_one_line, only_slow, project_in

from indexer.config import Settings
from indexer.index.lock import run_lock
from indexer.settings.assembly import settings_for

SPARSE = ("--mode", "sparse", "--executor", "serial")
FOREIGN = 12345


@pytest.fixture
def cold(project: Project, tmp_path: Path) -> Project:
    """A project with a cache folder without any model."""
    project.cache_dir = tmp_path / "cold"
    project.write("a.py", "def retry_payment(): return 1\n")
    return project


def settings_of(project: Project) -> Settings:
    return settings_for(str(project.root), {})


def is_cold(project: Project) -> bool:
    """Whether no model was converted."""
    return not [*project.cache_dir.rglob("*.bin")]


def of_somebody_else(path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give files away")
    for one in (path, *path.rglob("*")):
        os.chown(one, FOREIGN, -1, follow_symlinks=False)


def nothing(project: Project) -> None:
    pass


def foreign_repository(project: Project) -> None:
    of_somebody_else(project.root)


def foreign_repository_below(project: Project) -> None:
    project.write("sub/b.py", "x = 1\n")
    subprocess.run(["git", "init", "-q"], cwd=project.root / "sub", check=True)
    of_somebody_else(project.root / "sub")


def foreign_state_elsewhere(project: Project) -> None:
    project.environment["CODX_INDEX_STATE_DIR"] = str(project.root.parent / "state")
    of_somebody_else(project.root)


def tracked_state(project: Project) -> None:
    project.write(".codx/index/stamp.json", "forged").parent.chmod(0o700)
    project.git("add", "-f", ".")


def damaged_git_index(project: Project) -> None:
    project.write(".git/index", "damaged")


def unwritable_state(project: Project) -> None:
    project.write(".codx", "a file")


def reaching_setting(project: Project) -> None:
    project.write("codx-index.toml", 'external-folders = ["/elsewhere"]\n')


def impossible_setting(project: Project) -> None:
    project.write("codx-index.toml", 'max-file-size = "many"\n')


def collection_of_another(project: Project) -> None:
    other = Project(project.root.parent / "other", project.cache_dir)
    other.root.mkdir()
    other.write("b.py", "x = 1\n")
    other.run(*SPARSE, *SHARED)


SHARED = ("--uri", "../shared.db", "--collection", "one")
NOBODY = ("--uri", "unix:/nobody/listens/here")

# What is done to the project, the arguments, the exit code, and what is said.
RUNS: dict[str, tuple[Callable[[Project], None], tuple[str, ...], int, str]] = {
    "owner": (foreign_repository, (), 1, "safe.directory"),
    "owner below": (foreign_repository_below, (), 1, "safe.directory"),
    "owner, state elsewhere": (foreign_state_elsewhere, (), 1, "safe.directory"),
    "gate": (tracked_state, (), 1, "git tracks"),
    "git": (damaged_git_index, (), 1, "git"),
    "state": (unwritable_state, (), 1, "cannot"),
    "trust": (reaching_setting, (), 2, "--trust"),
    "setting": (impossible_setting, (), 2, "max-file-size"),
    "address": (nothing, ("--uri", "ftp://x"), 2, "not a Milvus address"),
    "server": (nothing, NOBODY, 69, "/nobody/listens/here"),
    "collection": (collection_of_another, SHARED, 1, "belongs to the project"),
    "name": (nothing, ("--collection", "1"), 2, "not a collection name"),
    "events": (nothing, ("--events", "fd:99"), 2, "fd:99"),
    "model": (nothing, ("--model", "./absent"), 1, "absent"),
    "home": (nothing, ("--state-dir", "~nobody-here/x"), 2, "absolute path"),
}


@pytest.mark.parametrize("command", ["run", *only_slow("run-all")])
@pytest.mark.parametrize("name", RUNS)
def test_a_run(name: str, command: str, cold: Project) -> None:
    prepare, arguments, code, said = RUNS[name]
    if command == "run-all":
        if name == "collection":
            arguments = (*arguments[:2], "--collection", "one")
        if name not in ("trust", "setting"):
            cold.write("codx-index.toml", "")
    prepare(cold)
    where = (".", "--no-backoff") if command == "run-all" else ()
    done = cold.command(command, *where, *arguments)
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert is_cold(cold)


def test_a_run_while_another_is_at_work(cold: Project) -> None:
    cold.run(*SPARSE)
    with run_lock(settings_of(cold).lock_path):
        assert "another run" in assert_one_line(cold.command("run"), 75)
    assert is_cold(cold)


def test_a_run_without_git(cold: Project, tmp_path: Path) -> None:
    cold.environment["PATH"] = str(tmp_path)
    assert "--no-git" in assert_one_line(cold.command("run"), 1)
    assert is_cold(cold)


@pytest.mark.parametrize("variable", ["CODX_INDEX_DEVICE", "CODX_INDEX_BACKEND"])
def test_a_run_with_a_variable_that_cannot_be(variable: str, cold: Project) -> None:
    cold.environment[variable] = "tape"
    assert variable in assert_one_line(cold.command("run"), 2)
    assert is_cold(cold)


# Readers


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory, model_cache: Path) -> Project:
    """A project with an index that promises vectors."""
    made = project_in(tmp_path_factory.mktemp("refusals"), model_cache)
    made.write("a.py", "def retry_payment(): return 1\n")
    made.git("init", "-q")
    made.run("--executor", "serial")
    return made


@pytest.fixture
def indexed(template: Project, tmp_path: Path) -> Project:
    """A copy of it, and a cache folder without any model."""
    shutil.copytree(template.root, tmp_path / "project")
    return Project(tmp_path / "project", tmp_path / "cold")


def damaged_database(project: Project) -> None:
    for path in Path(settings_of(project).database).rglob("*.parquet"):
        path.unlink()


def no_database(project: Project) -> None:
    shutil.rmtree(settings_of(project).database)


ASKED = ("search", "where are payments retried")
SEARCHES: dict[str, tuple[Callable[[Project], None], tuple[str, ...], int, str]] = {
    "gate": (tracked_state, ASKED, 1, "git tracks"),
    "setting": (reaching_setting, (*ASKED, "--uri", "x"), 2, "not a Milvus address"),
    "no index": (no_database, ASKED, 1, "no index in"),
    "damage": (damaged_database, ASKED, 1, "damaged"),
    "server": (nothing, (*ASKED, *NOBODY), 69, "/nobody/listens/here"),
    "query": (nothing, ("search", " "), 2, "empty"),
    "language": (nothing, (*ASKED, "--language", "klingon"), 2, "klingon"),
    "place": (nothing, ("search", "--like", "a.py"), 2, "not a place"),
}


@pytest.mark.parametrize("name", SEARCHES)
def test_a_search(name: str, indexed: Project) -> None:
    prepare, arguments, code, said = SEARCHES[name]
    prepare(indexed)
    done = indexed.command(*arguments)
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert is_cold(indexed)


@pytest.mark.parametrize("prepare", [tracked_state, no_database, damaged_database])
def test_tools(prepare: Callable[[Project], None], indexed: Project) -> None:
    """Neither when the server warms up, nor when it is asked."""
    pytest.importorskip("mcp")
    from indexer.cli.fresh import Refresher
    from indexer.cli.mcp_tools import Projects, Tools

    prepare(indexed)
    settings = replace(settings_of(indexed), cache_dir=str(indexed.cache_dir))
    refresher = Refresher([settings], {})
    projects = Projects([settings], refresher, refreshes=False)
    tools = Tools(projects, projects.searchers, lambda line: None)
    try:
        projects.warm_up()
        assert tools.search("where are payments retried").is_error
    finally:
        projects.close()
    assert is_cold(indexed)


@pytest.mark.parametrize(
    "prepare",
    [no_database, *only_slow(tracked_state, foreign_repository, unwritable_state)],
)
@pytest.mark.parametrize("command", ["verify", "status"])
def test_other_commands(
    command: str, prepare: Callable[[Project], None], indexed: Project
) -> None:
    """They convert no model at all."""
    if prepare is unwritable_state:
        (indexed.root / ".codx").rename(indexed.root / "moved")
    prepare(indexed)
    indexed.command(command)
    assert is_cold(indexed)
