"""What git sees of a wiki: nothing, unless it was given a folder of its own."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from conftest import Project, only_slow

QUICK = ("--mode", "sparse", "--executor", "serial", "--wiki")
RULES = ".codx/wiki/.gitignore"


@pytest.fixture
def committed(project: Project) -> Project:
    """A project without a change, and with a file of codx-junior's that belongs to it."""
    project.write("a.py", "def retry_payment(): return 1\n")
    project.write(".codx/project.json", '{"project_name": "Shop"}')
    project.git("add", ".")
    project.git("commit", "-qm", "first")
    return project


def status(project: Project) -> list[str]:
    return project.git("status", "--porcelain", "-uall").splitlines()


def test_git_sees_nothing(committed: Project) -> None:
    assert committed.run(*QUICK)["wiki"]["written"] > 1
    assert status(committed) == []
    assert (committed.root / ".codx/wiki/mkdocs.yml").exists()
    assert committed.run(*QUICK)["files"]["unchanged"] == 2
    committed.write("b.py", "def other(): return 1\n")
    committed.run(*QUICK)
    assert status(committed) == ["?? b.py"]


def test_a_project_in_a_folder_of_a_repository(
    committed: Project, make_project: Callable[[str], Project]
) -> None:
    inner = make_project("project/inner")
    inner.write("b.py", "def other(): return 1\n")
    assert inner.command("run", *QUICK, "--here").returncode == 0
    assert status(committed) == ["?? inner/b.py"]


@pytest.mark.parametrize(
    "folder", ["docs/wiki", *only_slow(".codx/wiki", ".codx/pages")]
)
def test_one_that_was_given_a_folder_is_seen(folder: str, committed: Project) -> None:
    committed.run(*QUICK)
    committed.run(*QUICK, "--wiki-path", folder)
    assert f"?? {folder}/mkdocs.yml" in status(committed)


def test_one_that_was_committed_is_seen(committed: Project) -> None:
    committed.run(*QUICK)
    committed.git("add", "-f", ".codx/wiki/docs", ".codx/wiki/mkdocs.yml")
    committed.git("commit", "-qm", "wiki")
    committed.write("b.py", "def other(): return 1\n")
    committed.run(*QUICK)
    assert not (committed.root / RULES).exists()
    assert "?? .codx/wiki/docs/b.py.md" in status(committed)


def test_rules_of_the_users_stay(committed: Project) -> None:
    committed.run(*QUICK)
    committed.write(RULES, "# mine\n")
    committed.write("b.py", "def other(): return 1\n")
    committed.run(*QUICK)
    assert (committed.root / RULES).read_text() == "# mine\n"
    committed.run(*QUICK, "--wiki-path", ".codx/wiki")
    assert (committed.root / RULES).read_text() == "# mine\n"


def test_a_folder_in_its_place_is_no_failure(committed: Project) -> None:
    (committed.root / RULES).mkdir(parents=True)
    (committed.root / ".codx/wiki/mkdocs.yml").write_text("# Written by codx-index\n")
    assert committed.run(*QUICK)["wiki"]["failed"] == 0
