"""Where the state of an index is kept: in the project, or below a folder of the user's choice."""

from __future__ import annotations

import json
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from conftest import Project, assert_one_line, only_slow, read_rows
from permissions import unprivileged

from indexer.api import Index
from indexer.cli.main import cli
from indexer.config import Settings
from indexer.errors import StateError, UsageError
from indexer.index.gate import admit
from indexer.index.state_folder import make_state_dir
from indexer.settings.command import setting_options
from indexer.settings.declarations import STATE_DIR
from indexer.settings.files import project_files

QUICK = ("--mode", "sparse", "--executor", "serial")


def settings_of(project: Project, root: Path | None = None) -> Settings:
    where = str(root) if root else ""
    return Settings(str(project.root), str(project.cache_dir), "m", state_root=where)


def mode_of(path: str | Path) -> int:
    return stat.S_IMODE(os.stat(path).st_mode)


@pytest.mark.parametrize("is_elsewhere", [False, True])
def test_it_is_closed_to_others(
    is_elsewhere: bool, project: Project, tmp_path: Path
) -> None:
    root = tmp_path / "a/state" if is_elsewhere else None
    settings = settings_of(project, root)
    for _ in range(2):
        make_state_dir(settings)
        assert mode_of(settings.state_dir) == 0o700
        assert Path(settings.state_dir, ".gitignore").read_text() == "*\n"
        os.chmod(settings.state_dir, 0o755)
    if is_elsewhere:
        assert mode_of(settings.state_home) == 0o700
        assert mode_of(os.path.join(settings.state_home, ".codx")) == 0o700
        assert not (project.root / ".codx").exists()


def test_a_place_that_cannot_be(project: Project, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match="cannot write the state folder"):
        make_state_dir(settings_of(project, tmp_path / "file"))
    done = project.command("run", *QUICK, "--state-dir", str(tmp_path / "file"))
    assert "cannot write the state folder" in assert_one_line(done, 1)


# Every command, with the state elsewhere


@pytest.fixture
def elsewhere(project: Project, tmp_path: Path) -> Project:
    """A project whose state is kept elsewhere, with an index."""
    project.environment["CODX_INDEX_STATE_DIR"] = str(tmp_path / "state")
    project.write("a.py", "def retry_payment(): return 1\n")
    project.write("sub/b.py", "def other(): return 2\n")
    project.run(*QUICK)
    return project


def test_every_command_looks_there(elsewhere: Project, tmp_path: Path) -> None:
    project = elsewhere
    state = settings_of(project, tmp_path / "state").state_dir
    assert not (project.root / ".codx").exists()
    assert len(read_rows(Path(state))) == 2
    assert project.run(*QUICK)["files"]["unchanged"] == 2
    assert project.report("status", "--mode", "sparse")["up_to_date"]
    assert project.report("verify", *QUICK)["status"] == "unchanged"
    hits = project.report("search", "retry_payment", "--mode", "sparse")["hits"]
    assert hits[0]["path"] == "a.py"
    shown = json.loads(project.command("config", "show", "--json").stdout)
    assert shown["settings"]["state-dir"]["value"] == str(tmp_path / "state")
    (project.root / "codx-index.toml").write_text("")
    project.report("run-all", ".", *QUICK)
    assert not (project.root / ".codx").exists()
    assert project.command("clear", "--yes").stdout == "removed\n"
    assert not os.path.exists(state)


def test_the_option_counts_more(elsewhere: Project, tmp_path: Path) -> None:
    other = str(tmp_path / "other")
    assert elsewhere.run(*QUICK, "--state-dir", other)["files"]["added"] == 2
    found = elsewhere.report(
        "search", "retry_payment", "--mode", "sparse", "--state-dir", other
    )
    assert found["hits"]


def test_every_command_with_an_index_has_the_option() -> None:
    # A git hook follows the variable.
    others = "completion hooks install uninstall"
    without = {"init", "config", "cache", "worker", *others.split()}
    for name in cli.list_commands(click.Context(cli)):
        command = cli.get_command(click.Context(cli), name)
        assert command
        has_option = STATE_DIR in {one.setting for one in setting_options(command)}
        assert has_option == (name not in without), name


def test_interfaces_look_there(
    elsewhere: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where, cache = str(elsewhere.root / "sub"), str(elsewhere.cache_dir)
    root = str(tmp_path / "state")
    with Index.open(where, cache_dir=cache, state_dir=root) as index:
        assert index.search("retry_payment", mode="sparse")[0].path == "a.py"
        assert index.status()["project"] == str(elsewhere.root)
    monkeypatch.setenv("CODX_INDEX_STATE_DIR", root)
    with Index.open(where, cache_dir=cache) as index:
        assert index.search("retry_payment", mode="sparse")[0].path == "a.py"


def test_the_project_is_found_by_it(
    make_project: Callable[[str], Project], tmp_path: Path
) -> None:
    """Outside git and without settings, nothing but the index marks it."""
    plain = make_project("plain")
    plain.environment["CODX_INDEX_STATE_DIR"] = str(tmp_path / "state")
    (plain.root / "sub").mkdir()
    plain.write("a.py", "def retry_payment(): return 1\n")
    plain.run(*QUICK)
    below = plain.root / "sub"
    done = plain.command("search", "retry_payment", "--mode", "sparse", folder=below)
    assert done.stdout.startswith("../a.py:1:")
    assert plain.command("status", folder=below).stdout.split()[1] == str(plain.root)
    del plain.environment["CODX_INDEX_STATE_DIR"]
    done = plain.command("search", "x", "--mode", "sparse", folder=below)
    assert f"no index in {below}" in assert_one_line(done, 1)


def test_projects_are_told_apart(
    elsewhere: Project, make_project: Callable[[str], Project], tmp_path: Path
) -> None:
    (tmp_path / "below").mkdir()
    other = make_project("below/project")  # of the same name
    other.environment |= elsewhere.environment
    other.write("c.py", "def retry_payment_again(): return 1\n")
    other.run(*QUICK)
    assert len(list((tmp_path / "state").iterdir())) == 2
    assert elsewhere.report("status", "--mode", "sparse")["indexed_files"] == 2
    found = other.report("search", "retry_payment_again", "--mode", "sparse")["hits"]
    assert [hit["path"] for hit in found] == ["c.py"]
    both = elsewhere.report(
        *("search", "retry_payment_again", ".", str(other.root), "--mode", "sparse")
    )
    assert {hit["project"] for hit in both["hits"]} == {
        str(elsewhere.root),
        str(other.root),
    }


def test_without_an_index_the_place_is_named(project: Project, tmp_path: Path) -> None:
    project.write("a.py", "x = 1\n")
    project.run(*QUICK)
    place = str(tmp_path / "state")
    for command in (["search", "x", "--mode", "sparse"], ["verify"]):
        line = assert_one_line(project.command(*command, "--state-dir", place), 1)
        assert f"no index of {project.root} below {place}" in line


def test_no_file_of_the_project_sets_it(project: Project) -> None:
    project.write("a.py", "x = 1\n")
    for trust in ("--trust", "--no-trust"):
        project.write("codx-index.toml", 'state_dir = "/tmp"\n')
        line = assert_one_line(project.command("run", trust, *QUICK), 2)
        assert "state_dir" in line and "CODX_INDEX_STATE_DIR" in line
    with pytest.raises(UsageError, match="does not belong in a project's file"):
        project_files(str(project.root))


@pytest.mark.parametrize("name", [".state", *only_slow("build/deep/s", ".")])
@pytest.mark.parametrize("in_git", [True, False])
def test_a_state_folder_in_the_tree_is_not_indexed(
    name: str, in_git: bool, project: Project
) -> None:
    if not in_git:
        shutil.rmtree(project.root / ".git")
    project.write("a.py", "x = 1\n")
    place = ("--state-dir", name)
    assert project.run(*QUICK, *place)["files"]["scanned"] == 1
    project.write("b.py", "x = 1\n")
    assert project.run(*QUICK, *place)["files"]["scanned"] == 2
    # Nor is it by who keeps the state elsewhere.
    assert project.run(*QUICK)["files"]["scanned"] == 2
    if in_git:
        assert set(project.git("status", "--porcelain").split()) == {
            "??",
            "a.py",
            "b.py",
        }


def test_a_long_path_and_odd_names(project: Project, tmp_path: Path) -> None:
    """Longer than a socket's path may be, and not UTF-8."""
    place = os.fsdecode(os.fsencode(tmp_path) + b"/\xff " + b"x" * 120)
    project.write("a.py", "def retry_payment(): return 1\n")
    project.run(*QUICK, "--state-dir", place)
    found = project.report(
        *("search", "retry_payment", "--mode", "sparse", "--state-dir", place)
    )
    assert found["hits"]


def test_it_is_relative_to_the_current_folder(project: Project) -> None:
    project.write("sub/a.py", "def retry_payment(): return 1\n")
    below = project.root / "sub"
    done = project.command("run", *QUICK, "--state-dir", "../.s", folder=below)
    assert done.returncode == 0
    (made,) = (project.root / ".s").iterdir()
    assert made.name.startswith("project-")
    done = project.command("run", *QUICK, "--state-dir", "~nobody-here/x")
    assert "give an absolute path" in assert_one_line(done, 2)


# Whose it is


def test_the_gate_holds_there(elsewhere: Project, tmp_path: Path) -> None:
    settings = settings_of(elsewhere, tmp_path / "state")
    admit(settings)
    os.chmod(settings.state_dir, 0o755)
    with pytest.raises(StateError, match="open to other users"):
        admit(settings)
    os.chmod(settings.state_dir, 0o700)
    home = Path(settings.state_home)
    home.rename(tmp_path / "moved")
    home.symlink_to(tmp_path / "moved")
    with pytest.raises(StateError, match="is a symlink"):
        admit(settings)
    for command in (["run", *QUICK], ["search", "x"], ["status"], ["verify"]):
        assert "is a symlink" in assert_one_line(elsewhere.command(*command), 1)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("place", ["", ".codx", ".codx/index", ".codx/index/lock"])
def test_what_another_user_made_there(
    place: str, elsewhere: Project, tmp_path: Path
) -> None:
    settings = settings_of(elsewhere, tmp_path / "state")
    os.chown(os.path.join(settings.state_home, place), 12345, -1)
    with pytest.raises(StateError, match="belongs to another user"):
        admit(settings)


def test_a_repository_that_tracks_it(
    project: Project, make_project: Callable[[str], Project]
) -> None:
    other = make_project("other")
    other.git("init", "-q")
    project.write("a.py", "x = 1\n")
    project.run(*QUICK, "--state-dir", str(other.root / "state"))
    admit(settings_of(project, other.root / "state"))
    other.git("add", "-f", "state")
    with pytest.raises(StateError, match="git tracks files in state/"):
        admit(settings_of(project, other.root / "state"))


# Trees that are read-only


def test_a_tree_that_is_read_only(project: Project, tmp_path: Path) -> None:
    project.write("a.py", "def retry_payment(): return 1\n")
    project.root.chmod(0o500)
    done = unprivileged(project, "run", *QUICK)
    line = assert_one_line(done, 1)
    assert f"{project.root}/.codx/index: Permission denied" in line
    assert "--state-dir (CODX_INDEX_STATE_DIR)" in line
    project.environment["CODX_INDEX_STATE_DIR"] = str(tmp_path / "state")
    assert unprivileged(project, "run", *QUICK).returncode == 0
    done = unprivileged(project, "search", "retry_payment", "--mode", "sparse")
    assert done.stdout.startswith("a.py:1:")
    project.root.chmod(0o700)
    assert not (project.root / ".codx").exists()
