"""A home or a disk by mistake: a person is asked, a script is told, a project is left in peace."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from conftest import Project, assert_one_line
from terminals import at_a_terminal

from indexer.run import size

SPARSE = ("--mode", "sparse")
FEW = 30


@pytest.fixture
def large(make_project: Callable[[str], Project]) -> Project:
    """A plain folder of more files than are indexed unasked."""
    project = make_project("large")
    for number in range(FEW + 5):
        project.write(f"d{number % 3}/{number}.txt", f"word {number}\n")
    return project


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(size, "MOST_FILES_UNASKED", FEW)


@pytest.mark.parametrize("command", [["run"], ["run", "--dry-run"], ["status"]])
def test_a_script_is_told(command: list[str], large: Project) -> None:
    line = assert_one_line(large.command(*command, *SPARSE), 2)
    assert f"more than {FEW}" in line and "--yes" in line and str(large.root) in line
    assert not (large.root / ".codx").exists()
    assert large.command(*command, *SPARSE, "--yes").returncode == 0


def test_the_report_says_so(large: Project) -> None:
    report = large.run(*SPARSE, code=2)
    assert report["exit_code"] == 2 and "--yes" in report["error"]


def test_an_index_is_never_asked_about(large: Project) -> None:
    large.environment["CODX_INDEX_YES"] = "1"
    large.run(*SPARSE)
    del large.environment["CODX_INDEX_YES"]
    large.write("new.txt", "new\n")
    assert large.run(*SPARSE)["files"]["added"] == 1
    assert large.command("status", *SPARSE).returncode == 0


@pytest.mark.parametrize(
    "name", ["codx-index.toml", "package.json", "Makefile", "x.csproj", ".hg/store"]
)
def test_a_project_is_not_asked_about(name: str, large: Project) -> None:
    large.write(name, "")
    assert large.command("status", *SPARSE).returncode == 0
    below = Project(large.root / "d0", large.cache_dir)
    for number in range(FEW + 5):
        below.write(f"{number}.txt", "x\n")
    if not name.endswith("csproj"):
        assert below.command("status", *SPARSE).returncode == 0


def test_a_work_tree_is_a_project(large: Project) -> None:
    large.git("init", "-q")
    for extra in ((), ("--no-git",)):
        assert large.command("status", *SPARSE, *extra).returncode == 0


def test_a_manifest_in_a_home_says_nothing(large: Project) -> None:
    large.write("package.json", "{}")
    large.environment["HOME"] = str(large.root)
    assert_one_line(large.command("run", *SPARSE), 2)
    large.write("codx-index.toml", "")
    assert large.command("run", *SPARSE).returncode == 0


def test_what_is_left_out_does_not_count(large: Project) -> None:
    (large.root / "d0").rename(large.root / "node_modules")
    assert large.command("status", *SPARSE).returncode == 0
    assert_one_line(large.command("status", *SPARSE, "--no-default-excludes"), 2)


def test_it_looks_no_further_than_it_has_to(
    large: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk has millions of files."""
    entered = []
    real = os.scandir

    def counted(path: bytes) -> object:
        entered.append(path)
        return real(path)

    for number in range(50):
        large.write(f"e{number}/a.txt", "x\n")
    monkeypatch.setattr(os, "scandir", counted)
    assert_one_line(large.command("run", *SPARSE), 2)
    assert len(entered) <= FEW + 5


@pytest.mark.slow  # a script is told in a test of its own
def test_a_person_is_asked(make_project: Callable[[str], Project]) -> None:
    project = make_project("home")
    (project.root / "d").mkdir()
    for number in range(20_001):
        (project.root / "d" / f"{number}.png").touch()
    project.write("a.py", "x = 1\n")
    code, text = at_a_terminal(project, "run", *SPARSE, answer="n\n")
    assert code == 2 and "more than 20,000 files" in text and "[y/N]" in text
    assert not (project.root / ".codx").exists()
    code, text = at_a_terminal(project, "run", *SPARSE, answer="y\n")
    assert code == 0 and "1 added" in text
    code, text = at_a_terminal(project, "run", *SPARSE)
    assert code == 0 and "[y/N]" not in text
