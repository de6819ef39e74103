"""A git that is waiting for something that never comes is ended, and what it waits for is named."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Project, assert_one_line, wait_for
from git_calls import run_git

from indexer.deadline import check_time, ends_by
from indexer.errors import GitError, OutOfTimeError
from indexer.tree import git, git_process, git_status
from indexer.tree.scan import scan

PROMPT = 0.2


@pytest.fixture(autouse=True)
def prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(git_process, "LOOK", PROMPT)


@pytest.fixture(autouse=True)
def no_git_is_left() -> Iterator[None]:
    yield
    assert not children()


def children() -> list[str]:
    """The command lines of the processes that this one has started and that still live."""
    found = []
    for task in Path("/proc/self/task").iterdir():
        for pid in (task / "children").read_text().split():
            line = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            if os.path.basename(line[0]) == b"git":
                found.append(b" ".join(line).decode())
    return found


@pytest.fixture
def top(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.delenv("GIT_CONFIG_GLOBAL", raising=False)
    (tmp_path / "home/.config/git").mkdir(parents=True)
    folder = tmp_path / "p"
    (folder / "sub/deep").mkdir(parents=True)
    for name in ("a.py", "sub/b.py", "sub/deep/c.py"):
        (folder / name).write_text("x = 1\n")
    run_git(folder, "init", "-q")
    run_git(folder, "add", "a.py")
    return folder


def make_pipe(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(path)


@pytest.mark.parametrize(
    "place",
    [
        ".gitignore",
        "sub/.gitignore",
        "sub/deep/.gitignore",
        ".git/info/exclude",
        ".git/index",
        ".git/HEAD",
        ".git/config",
        "../home/.gitconfig",
        "../home/.config/git/ignore",
    ],
)
def test_a_pipe_in_the_place_of_a_file_is_named(place: str, top: Path) -> None:
    make_pipe(top / place)
    with pytest.raises(GitError, match="git is waiting for .*remove it") as caught:
        git.work_tree(str(top))
        git.list_files(str(top))
    named = str(caught.value).split(" is waiting for ")[1].split(", which")[0]
    assert os.path.samefile(named, top / place)


def test_the_file_that_a_setting_names_is_named(top: Path) -> None:
    make_pipe(top.parent / "excludes")
    run_git(top, "config", "core.excludesFile", str(top.parent / "excludes"))
    with pytest.raises(GitError, match=f"is waiting for {top.parent}/excludes,"):
        git.list_files(str(top))


def test_a_symlink_to_a_pipe_is_named(top: Path) -> None:
    make_pipe(top.parent / "pipe")
    (top / ".git/info/exclude").unlink()
    (top / ".git/info/exclude").symlink_to(top.parent / "pipe")
    with pytest.raises(GitError, match=r"is waiting for .*/info/exclude,"):
        git.list_files(str(top))


def test_a_pipe_of_attributes_is_not_opened(top: Path) -> None:
    make_pipe(top / "sub/.gitattributes")
    assert git.list_files(str(top)).files


def test_questions_side_by_side_are_ended_together(top: Path) -> None:
    make_pipe(top / "sub/.gitignore")
    with pytest.raises(GitError, match=r"is waiting for .*sub/\.gitignore,"):
        with git_status.list_untracked(str(top)) as untracked:
            untracked()
    with git_status.list_untracked(str(top)):
        pass  # nobody is waiting for the answer


def test_a_linked_work_tree_has_two_repositories(top: Path) -> None:
    run_git(top, *"-c user.name=x -c user.email=x@x commit -qm x".split())
    run_git(top, "worktree", "add", "-q", str(top.parent / "linked"))
    make_pipe(top / ".git/info/exclude")
    with pytest.raises(GitError, match=r"is waiting for .*/\.git/.*exclude,"):
        git.list_files(str(top.parent / "linked"))


def put_git(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Put a git of our own on PATH."""
    folder.mkdir()
    program = folder / "git"
    program.write_text(f"#!{sys.executable}\n{script}")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def test_without_an_obstacle_a_git_that_does_nothing_has_its_time(
    top: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_git(top.parent / "bin", monkeypatch, "import time; time.sleep(1000)")
    monkeypatch.setattr(git_process, "STALL", 1.0)
    with pytest.raises(GitError, match="git hangs in "):
        git.list_files(str(top))


def test_a_git_that_works_is_waited_for(
    top: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = (
        "import time\nfor _ in range(30): time.sleep(0.05)\nprint('? a', end='\\0')"
    )
    put_git(top.parent / "bin", monkeypatch, script)
    monkeypatch.setattr(git_process, "STALL", 1.0)
    assert git.list_files(str(top)).files == [b"a"]


def test_what_git_started_ends_with_it(
    top: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    note = top.parent / "note"
    script = f"""
import subprocess, time
child = subprocess.Popen(["sleep", "1000"])
open({str(note)!r}, "w").write(str(child.pid))
time.sleep(1000)
"""
    put_git(top.parent / "bin", monkeypatch, script)
    with pytest.raises(OutOfTimeError), ends_by(time.monotonic() + 3):
        git.list_files(str(top))
    state = Path(f"/proc/{note.read_text()}/stat")
    wait_for(lambda: _has_ended(state))


def _has_ended(state: Path) -> bool:
    try:
        return state.read_text().rpartition(")")[2].split()[0] in "ZX"
    except FileNotFoundError:
        return True


@pytest.mark.parametrize("is_repository", [True, False])
def test_a_scan_ends_when_the_time_is_over(is_repository: bool, top: Path) -> None:
    if not is_repository:
        (top / ".git").rename(top.parent / "moved")
    with pytest.raises(OutOfTimeError), ends_by(time.monotonic()):
        scan(str(top), max_file_size=1000, own_paths=[])


def test_deadlines_do_not_outlive_their_block() -> None:
    with pytest.raises(OutOfTimeError):
        with ends_by(time.monotonic() + 1000), ends_by(0.0), ends_by(1e18):
            check_time()
    check_time()


def test_a_run_names_the_pipe_and_a_search_answers(project: Project) -> None:
    project.write("a.py", "def needle(): pass\n")
    project.write("sub/b.py", "x = 1\n")
    run_git(project.root, "init", "-q")
    assert project.run("--mode", "sparse")["status"] == "updated"
    make_pipe(project.root / "sub/.gitignore")
    for limit in ([], ["--max-seconds", "20"]):
        line = assert_one_line(project.command("run", "--mode", "sparse", *limit), 1)
        assert f"git is waiting for {project.root}/sub/.gitignore" in line
    answer = project.report("search", "--mode", "sparse", "needle")
    assert [hit["path"] for hit in answer["hits"]] == ["a.py"]
