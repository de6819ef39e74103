"""Projects that share a database: none takes the rows of another, wherever its name came from."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Project, assert_one_line

QUICK = ("--mode", "sparse", "--executor", "serial")


@pytest.fixture
def two(
    tmp_path: Path, make_project: Callable[[str], Project]
) -> tuple[Project, Project]:
    """`mine`, which is indexed in a shared database, and `theirs`, which is not yet."""
    mine, theirs = make_project("mine"), make_project("theirs")
    mine.write("v.py", "def precious(): return 1\n")
    theirs.write("e.py", "def flamingo(): return 2\n")
    for project in (mine, theirs):
        project.environment["CODX_INDEX_URI"] = str(tmp_path / "shared.db")
    mine.run(*QUICK)
    return mine, theirs


def name_of(project: Project) -> str:
    name: str = project.report("status")["collection"]
    return name


def paths(project: Project, *options: str) -> list[str]:
    found = project.report("search", "--mode", "sparse", "precious flamingo", *options)
    return [hit["path"] for hit in found["hits"]]


def by_option(project: Project, name: str) -> list[str]:
    return ["--collection", name]


def by_variable(project: Project, name: str) -> list[str]:
    project.environment["CODX_INDEX_COLLECTION"] = name
    return []


def by_file(project: Project, name: str) -> list[str]:
    project.write("codx-index.toml", f'collection = "{name}"\n')
    return ["--trust"]


@pytest.mark.parametrize("give", [by_option, by_variable, by_file])
def test_a_name_that_another_project_has(
    give: Callable[[Project, str], list[str]], two: tuple[Project, Project]
) -> None:
    mine, theirs = two
    options = give(theirs, name_of(mine))
    for command in (
        ["run", *QUICK],
        ["run", "--force", *QUICK],
        ["run", "--file", "e.py", *QUICK],
        ["clear", "--yes"],
    ):
        line = assert_one_line(theirs.command(*command, *options), 1)
        assert f"belongs to the project {mine.root}" in line
        assert "--collection" in line and "--take-over" in line
    assert paths(mine) == ["v.py"]
    assert mine.run(*QUICK)["status"] == "unchanged"
    # To read it does no harm.
    assert paths(theirs, *options) == ["v.py"]


def test_clear_loses_nothing_of_a_project_that_is_refused(
    two: tuple[Project, Project],
) -> None:
    mine, theirs = two
    theirs.run(*QUICK)
    done = theirs.command("clear", "--yes", "--collection", name_of(mine))
    assert_one_line(done, 1)
    assert theirs.run(*QUICK)["status"] == "unchanged"
    assert theirs.command("clear", "--yes").returncode == 0
    assert paths(mine) == ["v.py"]


def test_it_is_taken_over_when_somebody_says_so(two: tuple[Project, Project]) -> None:
    """As a checkout in another place does, which takes the collection along."""
    mine, theirs = two
    named = ["--collection", name_of(mine)]
    assert theirs.run(*QUICK, *named, "--take-over")["files"]["added"] == 1
    assert paths(theirs, *named) == ["e.py"]
    assert theirs.run(*QUICK, *named)["status"] == "unchanged"
    assert f"{theirs.root}" in assert_one_line(mine.command("run", *QUICK), 1)
    mine.environment["CODX_INDEX_TAKE_OVER"] = "1"
    assert mine.run(*QUICK)["exit_code"] == 0
    assert paths(mine) == ["v.py"]
    del mine.environment["CODX_INDEX_TAKE_OVER"]
    assert mine.run(*QUICK)["status"] == "unchanged"


def test_the_database_of_another_project(
    make_project: Callable[[str], Project],
) -> None:
    """It has a name in there that all projects have in theirs, and says of no project."""
    mine, theirs = make_project("one"), make_project("two")
    mine.write("v.py", "def precious(): return 1\n")
    mine.run(*QUICK)
    there = ["--uri", str(mine.root / ".codx/index/milvus.db")]
    named = [*there, "--collection", "codx_index"]
    theirs.write("e.py", "def flamingo(): return 2\n")
    for command in (["run", *QUICK], ["clear", "--yes"]):
        line = assert_one_line(theirs.command(*command, *named), 1)
        assert "another project's folder" in line
    assert paths(mine) == ["v.py"]
    # A project may name its own database, wherever that was moved to.
    assert mine.run(*QUICK, *named)["exit_code"] == 0
    assert mine.run(*QUICK)["exit_code"] == 0


@pytest.mark.parametrize("option", ["--collection", "--wiki-path"])
def test_run_all_takes_no_name_for_several_projects(
    option: str, tmp_path: Path, make_project: Callable[[str], Project]
) -> None:
    roots = tmp_path / "roots"
    for name in ("a", "b"):
        (roots / name).mkdir(parents=True)
        (roots / name / "codx-index.toml").write_text("")
        (roots / name / f"{name}.py").write_text(f"def in_{name}(): pass\n")
    caller = make_project("caller")
    command = ["run-all", str(roots), "--no-backoff", *QUICK]
    for uri in ([], ["--uri", str(tmp_path / "x.db")]):
        line = assert_one_line(caller.command(*command, *uri, option, "shared"), 2)
        assert option in line and "settings of each" in line
        variable = "CODX_INDEX_" + option.strip("-").replace("-", "_").upper()
        caller.environment[variable] = "shared"
        assert variable in assert_one_line(caller.command(*command, *uri), 2)
        del caller.environment[variable]
    assert not (roots / "a/.codx").exists() and not (tmp_path / "x.db").exists()
    # One of them is not watched: then one project is meant.
    (roots / "b/codx-index.toml").write_text("watching = false\n")
    done = caller.command(*command, option, "shared", "--json")
    report = json.loads(done.stdout)
    assert {one["result"] for one in report["projects"]} == {"run", "not-watching"}


def test_run_all_keeps_projects_apart_whose_files_name_one_collection(
    tmp_path: Path, make_project: Callable[[str], Project]
) -> None:
    roots = tmp_path / "roots"
    for name in ("a", "b"):
        (roots / name).mkdir(parents=True)
        (roots / name / "codx-index.toml").write_text('collection = "shared"\n')
        (roots / name / f"{name}.py").write_text(f"def in_{name}(): pass\n")
    shared = ["--uri", str(tmp_path / "x.db"), "--trust", "--no-backoff"]
    done = make_project("caller").command("run-all", str(roots), *QUICK, *shared)
    assert done.returncode == 1
    assert f"belongs to the project {roots / 'a'}" in done.stderr
