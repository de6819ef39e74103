"""Which project a command is about, and which part of it, wherever it is started."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from conftest import Project, assert_one_line

from indexer.settings.place import Place, find_place

SPARSE = ("--mode", "sparse")


@pytest.fixture
def deep(project: Project) -> Path:
    """A folder of a git work tree that is no project yet."""
    project.write("src/deep/b.py", "def below(): return 1\n")
    project.write("src/d.py", "def above(): return 2\n")
    project.write("other/c.py", "def beside(): return 3\n")
    return project.root / "src/deep"


def marked(kind: str, folder: Path) -> None:
    text = {
        "index": None,
        "codx-index.toml": "",
        ".codx/project.json": "{}",
        "pyproject.toml": "[tool.codx-index]\n",
        "pyproject.toml with a mistake": "[tool.codx-index\n",
    }[kind]
    if text is None:
        (folder / ".codx/index").mkdir(parents=True)
        return
    file = folder / kind.split()[0]
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)


@pytest.mark.parametrize(
    "kind",
    [
        *("index", "codx-index.toml", ".codx/project.json", "pyproject.toml"),
        "pyproject.toml with a mistake",
    ],
)
def test_what_marks_a_project(kind: str, deep: Path, project: Project) -> None:
    assert find_place(str(deep)) == Place(str(project.root), "src/deep")
    marked(kind, deep.parent)
    assert find_place(str(deep)) == Place(str(deep.parent), "deep")
    assert find_place(str(deep / "b.py")) == Place(str(deep.parent), "deep/b.py")
    assert find_place(str(deep.parent)) == Place(str(deep.parent))
    assert find_place(str(project.root)) == Place(str(project.root))
    assert find_place(str(deep), is_here=True).scope == ""


def test_what_marks_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder stays what it is where nothing around it is a project."""
    below = tmp_path / "a/b"
    below.mkdir(parents=True)
    (tmp_path / "pyproject.toml").write_text("[tool.other]\nx = 'codx-index'\n")
    (tmp_path / ".codx").mkdir()  # of wikis, or of codx-junior
    (tmp_path / "file.py").write_text("x = 1\n")
    assert find_place(str(below)) == Place(str(below))
    assert find_place(str(tmp_path / "file.py")) == Place(str(tmp_path / "file.py"))
    monkeypatch.chdir(below)
    assert find_place("") == Place(".")
    assert find_place("nowhere") == Place("nowhere")


def test_the_nearest_counts(deep: Path, project: Project) -> None:
    """Settings further up count less, and a repository counts less than either."""
    marked("codx-index.toml", project.root)
    repository = Project(deep, project.cache_dir)
    repository.git("init", "-q")
    assert find_place(str(deep)).folder == str(project.root)
    marked("index", deep.parent)
    assert find_place(str(deep)).folder == str(deep.parent)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_what_strangers_put_above_does_not_count(tmp_path: Path) -> None:
    below = tmp_path / "mine"
    below.mkdir()
    marked("codx-index.toml", tmp_path)
    os.chown(tmp_path / "codx-index.toml", 12345, 12345)
    assert find_place(str(below)) == Place(str(below))
    os.chown(below, 12345, 12345)  # as in a container, whose root works for others
    assert find_place(str(below)) == Place(str(tmp_path), "mine")


def test_a_link_means_what_it_leads_to(deep: Path, project: Project) -> None:
    (project.root / "link").symlink_to("src/deep")
    place = find_place(str(project.root / "link"))
    assert place == Place(str(project.root), "src/deep")


# Commands in a folder of a project


def test_every_command_is_about_the_project(deep: Path, project: Project) -> None:
    done = project.command("run", *SPARSE, folder=deep)
    assert done.returncode == 0
    assert str(project.root) in done.stderr and "--here" in done.stderr
    (deep / "b.py").write_text("def new(): return 4\n")
    done = project.command("run", *SPARSE, folder=deep)
    assert (done.returncode, done.stderr) == (0, "")
    for command in (["status", "--check"], ["verify"]):
        done = project.command(*command, *SPARSE, "--json", folder=deep)
        assert done.returncode == 0, done.stdout
        assert json.loads(done.stdout)["project"] == str(project.root)
    done = project.command("search", "beside", *SPARSE, folder=deep)
    assert done.stdout.startswith("../../other/c.py:1:")
    project.write("codx-index.toml", "jobs = 2\n")
    shown = project.command("config", "show", folder=deep).stdout
    assert f"{project.root}/codx-index.toml: jobs" in shown
    assert not (deep / ".codx").exists()
    assert project.command("clear", "--yes", folder=deep).returncode == 0
    assert not (project.root / ".codx/index/milvus.db").exists()


def test_a_part_of_a_project(deep: Path, project: Project) -> None:
    project.run(*SPARSE)
    deep.joinpath("b.py").write_text("def changed(): return 5\n")
    project.write("other/c.py", "def also(): return 6\n")

    status = project.report("status", "src", *SPARSE)
    assert status["plan"]["modified"] == ["src/deep/b.py"]
    verify = project.report("verify", "src", *SPARSE, code=1)
    assert {one["path"] for one in verify["differences"]} == {"src/deep/b.py"}
    assert project.run("src/deep/b.py", *SPARSE)["files"]["modified"] == 1
    assert project.report("status", "src", *SPARSE)["up_to_date"]
    assert project.report("verify", "src", *SPARSE)["differences"] == []
    assert project.report("status", *SPARSE)["plan"]["modified"] == ["other/c.py"]

    def found(*paths: str) -> set[str]:
        hits = project.report("search", "return", *paths, *SPARSE)["hits"]
        return {hit["path"] for hit in hits}

    assert found() == {"src/deep/b.py", "src/d.py", "other/c.py"}
    assert found("src") == {"src/deep/b.py", "src/d.py"}
    assert found("src/deep", "other") == {"src/deep/b.py", "other/c.py"}
    assert found("src", ".") == found()
    assert found("src/d.py") == {"src/d.py"}

    line = assert_one_line(project.command("clear", "src", "--yes"), 2)
    assert f"codx-index clear {project.root}" in line
    assert_one_line(project.command("run", "scr"), 2)


def test_rows_of_a_part_that_belong_to_no_file(deep: Path, project: Project) -> None:
    project.run(*SPARSE)
    (deep / "b.py").unlink()
    project.write("other/c.py", "x = 1\n")
    verify = project.report("verify", "src", *SPARSE, code=1)
    assert [one["path"] for one in verify["differences"]] == ["src/deep/b.py"]
    assert project.run("src", *SPARSE)["files"]["deleted"] == 1
    assert project.report("verify", "src", *SPARSE)["differences"] == []


def test_a_folder_of_a_project_becomes_one(deep: Path, project: Project) -> None:
    """By --here, or by settings of its own."""
    project.run(*SPARSE)
    assert project.run("src", "--here", *SPARSE)["files"]["added"] == 2
    assert project.report("status", "src/deep", *SPARSE)["project"].endswith("/src")
    project.write("other/codx-index.toml", "")
    assert project.run("other", *SPARSE)["project"] == str(project.root / "other")
