"""State that others may have written is believed by no command and by no interface."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import click
import pytest
from conftest import Project, assert_one_line, project_in

from indexer.address import Address
from indexer.api import Index
from indexer.cli.main import cli
from indexer.config import Settings
from indexer.errors import GitError, StateError
from indexer.index import gate
from indexer.index.gate import admit
from indexer.search.freshness import remark
from indexer.settings.assembly import settings_for
from indexer.tree.git_process import run_git

QUICK = ("--mode", "sparse", "--executor", "serial")
FORGED = "def forged_row_nobody_has(): return 1\n"

# A command line of each command that reads state.
ASKING = {
    "export": ["export", "../planted.seed"],
    "run": ["run", *QUICK],
    "run, forced": ["run", "--force", *QUICK],
    "run, a file": ["run", "--file", "a.py", *QUICK],
    "run, dry": ["run", "--dry-run", *QUICK],
    "run-all": ["run-all", ".", "--no-backoff", *QUICK],
    "status": ["status"],
    "search": ["search", "--mode", "sparse", "forged"],
    "search, like": ["search", "--like", "a.py:1"],
    "verify": ["verify"],
    "verify, repair": ["verify", "--repair"],
    "clear": ["clear", "--yes"],
    "hooks, run": ["hooks", "run"],
    "hooks, status": ["hooks", "status"],
}
# These read none; the tools of `mcp` have a test of their own.
OTHERS = set("mcp init config cache completion worker install uninstall".split())


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory, model_cache: Path) -> Project:
    """An index, and `clone` beside it, which brings this index of other files."""
    folder = tmp_path_factory.mktemp("gate")
    made = project_in(folder, model_cache)
    made.write("a.py", FORGED)
    made.git("init", "-q", "-b", "main")
    made.write("codx-index.toml", "")
    made.run(*QUICK)
    author = copied(made, folder / "author")
    author.write("a.py", "def what_the_tree_has(): return 2\n")
    author.git("add", "-f", ".")
    author.git("commit", "-qm", "planted")
    author.git("clone", "-q", ".", str(folder / "clone"))
    return made


def copied(project: Project, root: Path) -> Project:
    shutil.copytree(project.root, root, symlinks=True)
    return Project(root, project.cache_dir)


@pytest.fixture
def indexed(template: Project, tmp_path: Path) -> Project:
    return copied(template, tmp_path / "project")


@pytest.fixture
def planted(template: Project) -> Project:
    """The clone, which no test changes."""
    return Project(template.root.with_name("clone"), template.cache_dir)


def state_of(project: Project) -> Path:
    return project.root / ".codx/index"


def settings_of(project: Project) -> Settings:
    settings = settings_for(str(project.root), {})
    return replace(settings, cache_dir=str(project.cache_dir))


def refusal(project: Project) -> str:
    """The line that refuses the state."""
    with pytest.raises(StateError) as caught:
        admit(settings_of(project))
    return str(caught.value)


def test_every_command_is_asked_about() -> None:
    assert {line[0] for line in ASKING.values()} | OTHERS == set(
        cli.list_commands(click.Context(cli))
    )


def looks_of(project: Project) -> dict[Path, tuple[int, ...]]:
    """What the state looks like; git, which lists its folders, changes the times of access."""
    return {
        path: (one.st_ino, one.st_mode, one.st_size, one.st_mtime_ns)
        for path in state_of(project).rglob("*")
        for one in [path.stat()]
    }


@pytest.mark.parametrize("name", ASKING)
def test_no_command_believes_a_clone(name: str, planted: Project) -> None:
    before = looks_of(planted)
    done = planted.command(*ASKING[name])
    assert done.returncode == 1
    assert "git tracks files in .codx/index" in done.stderr
    assert f"git -C {planted.root} rm -r --cached .codx/index" in done.stderr
    assert "forged" not in done.stdout
    assert looks_of(planted) == before


def test_no_interface_believes_a_clone(planted: Project) -> None:
    settings = settings_of(planted)
    with Index.open(planted.root, cache_dir=settings.cache_dir) as index:
        for ask in (
            lambda: index.search("forged", mode="sparse"),
            lambda: index.answer("forged", mode="sparse"),
            lambda: index.similar("a.py", 1),
            lambda: index.embed("forged"),
            index.status,
        ):
            with pytest.raises(StateError, match="git tracks"):
                ask()
    assert remark(settings) == ""


def test_no_tool_believes_a_clone(
    planted: Project, make_project: Callable[[str], Project]
) -> None:
    """A refused project among others is named, and the others are searched."""
    pytest.importorskip("mcp")
    from mcp_client import answer_of, text_of, tools_of

    other = make_project("other")
    other.write("b.py", "def forged_here(): return 1\n")
    other.run(*QUICK)
    with tools_of([settings_of(planted)]) as alone:
        for answer in (
            alone.search("forged", mode="sparse"),
            alone.similar("a.py", 1),
            alone.outline("a.py"),
            alone.uses("forged"),
        ):
            assert answer.is_error and "git tracks" in text_of(answer)
        status = text_of(alone.status())
        assert "git tracks" in status and "chunks" not in status
    both = [settings_of(planted), settings_of(other)]
    with tools_of(both) as tools:
        found = answer_of(tools.search("forged", mode="sparse"))
        assert found.paths == [f"{other.root.name}/b.py"]
        assert any("git tracks" in note for note in found.notes)
        uses = text_of(tools.uses("forged_here"))
        assert "git tracks" in uses and f"{other.root.name}/b.py\n1: def" in uses


def test_the_remedy(planted: Project, tmp_path: Path) -> None:
    planted = copied(planted, tmp_path / "project")
    shutil.rmtree(state_of(planted))
    planted.git("rm", "-r", "-q", "--cached", ".codx/index")
    assert planted.run(*QUICK)["files"]["added"] == 1
    assert planted.command("verify", "--mode", "sparse").returncode == 0


@pytest.mark.parametrize("command", ["reset", "rm"])
def test_what_git_leaves_behind(command: str, planted: Project, tmp_path: Path) -> None:
    """It is tracked no more, but git made the folder, and so it is open to others."""
    planted = copied(planted, tmp_path / "project")
    if command == "reset":
        planted.git("rm", "-rq", "--cached", ".codx/index")
        planted.git("commit", "-qm", "not tracked")
        planted.git("reset", "-q", "--hard", "HEAD^")
        planted.git("reset", "-q", "HEAD@{1}")
    else:
        planted.git("rm", "-rq", "--cached", ".codx/index")
    assert state_of(planted).exists()
    assert f"chmod 700 {state_of(planted)}" in refusal(planted)
    assert_one_line(planted.command("run", *QUICK), 1)
    state_of(planted).chmod(0o700)
    admit(settings_of(planted))  # its user has answered for it


# What tracks it


@pytest.fixture
def outer(tmp_path: Path, cache_dir: Path) -> Project:
    made = Project(tmp_path / "outer", cache_dir)
    made.root.mkdir()
    made.git("init", "-q", "-b", "main")
    return made


def plant(project: Project, name: str = ".codx/index/stamp.json") -> None:
    """A file of the state, closed to others as a clever author would have it."""
    project.write(name, "forged\n").parent.chmod(0o700)


def test_a_folder_of_a_repository(outer: Project) -> None:
    inner = Project(outer.root / "sub/project", outer.cache_dir)
    plant(inner)
    admit(settings_of(inner))
    outer.git("add", "-f", ".")
    assert f"git -C {outer.root} rm -r --cached sub/project/.codx/index" in refusal(
        inner
    )
    inner.git("init", "-q")  # what is around it is asked all the same
    assert "sub/project/.codx/index" in refusal(inner)


def test_a_submodule(outer: Project, project: Project) -> None:
    plant(project)
    project.git("add", "-f", ".")
    project.git("commit", "-qm", "planted")
    allowed = ("-c", "protocol.file.allow=always", "submodule", "--quiet", "add")
    outer.git(*allowed, str(project.root), "sub")
    inner = Project(outer.root / "sub", outer.cache_dir)
    (inner.root / ".codx/index").chmod(0o700)
    assert f"git -C {inner.root} " in refusal(inner)


@pytest.mark.parametrize("place", [".codx", ".codx/index"])
def test_a_submodule_in_the_place_of_the_state(
    place: str, outer: Project, project: Project
) -> None:
    plant(project, {".codx": "index/stamp.json"}.get(place, "stamp.json"))
    project.root.chmod(0o755)
    project.git("add", "-f", ".")
    project.git("commit", "-qm", "planted")
    allowed = ("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", "-f")
    outer.git(*allowed, str(project.root), place)
    state_of(outer).chmod(0o700)
    assert "git tracks files in" in refusal(outer)


@pytest.mark.parametrize("act", ["stage", "intend", "commit", "conflict"])
def test_however_it_is_tracked(act: str, project: Project) -> None:
    plant(project)
    project.git("add", "-f", *(["-N"] if act == "intend" else []), ".codx")
    if act == "commit":
        project.git("commit", "-qm", "planted")
    if act == "conflict":
        line = project.git("ls-files", "-s", ".codx").replace(" 0\t", " 2\t")
        project.git("rm", "-q", "--cached", ".codx/index/stamp.json")
        subprocess.run(
            ["git", "update-index", "--index-info"],
            cwd=project.root,
            input=line.encode(),
            check=True,
        )
    assert "git tracks" in refusal(project)
    shutil.rmtree(project.root / ".codx")
    assert "git tracks" in refusal(project)  # the next checkout would bring it


def test_what_else_is_tracked_there(indexed: Project) -> None:
    """Settings and a wiki may be committed, and so may what holds nothing."""
    indexed.write(".codx/project.json", "{}")
    indexed.write(".codx/wiki/index.md", "# x\n")
    indexed.write(".codx/indexes/note", "x\n")
    indexed.write("docs/.codx/index/note", "x\n")
    indexed.git("add", "-f", ".codx/project.json", ".codx/wiki", ".codx/indexes")
    indexed.git("add", "-f", ".codx/index/.gitignore", "docs")
    indexed.git("commit", "-qm", "all is well")
    admit(settings_of(indexed))


def test_git_is_asked_again_once_its_index_is_written(
    indexed: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that stays asks before each search."""
    asked: list[tuple[str, ...]] = []

    def noted(top: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        asked.append(arguments)
        return run_git(top, *arguments)

    monkeypatch.setattr(gate, "run_git", noted)
    indexed.git("add", "a.py")
    settings = settings_of(indexed)
    admit(settings)
    first = len(asked)
    admit(settings)
    assert first and len(asked) == first
    indexed.git("add", "-f", ".codx/index/manifest.sqlite")
    with pytest.raises(StateError, match="git tracks"):
        admit(settings)
    indexed.git("rm", "-q", "--cached", ".codx/index/manifest.sqlite")
    admit(settings)


def test_letters_of_either_case(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where they are the same, another name of ours is ours; elsewhere it is not."""
    plant(project, ".CODX/Index/stamp.json")
    project.git("add", "-f", ".")
    plant(project)
    admit(settings_of(project))
    monkeypatch.setattr(os.path, "samefile", lambda one, other: True)
    assert "git tracks" in refusal(project)


def test_a_database_or_a_cache_in_the_project(project: Project) -> None:
    settings = settings_of(project)
    database = replace(settings, uri=Address(str(project.root / "x.db")))
    cache = replace(settings, cache_dir=str(project.root / ".codx/cache"))
    plant(project, "x.db/aliases.json")
    plant(project, ".codx/cache/embeddings-0.sqlite")
    project.write(".codx/cache/.gitkeep", "")
    project.git("add", "-f", ".codx/cache/.gitkeep")
    for one in (settings, database, cache):
        admit(one)
    project.git("add", "-f", ".")
    admit(settings)
    for one, name in ((database, "x.db"), (cache, ".codx/cache")):
        with pytest.raises(StateError, match=f"git tracks files in {name}"):
            admit(one)


def test_a_repository_that_git_refuses(indexed: Project) -> None:
    indexed.write(".git/index", "damaged")
    with pytest.raises(GitError):
        admit(settings_of(indexed))


# What it looks like


def test_the_state_of_another_user(indexed: Project) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root gives files away")
    for path in (state_of(indexed), state_of(indexed) / "lock"):
        os.chown(path, 12345, -1)
        line = refusal(indexed)
        assert str(path) in line and "another user (12345)" in line and "chown" in line
        os.chown(path, 0, -1)
    shutil.rmtree(state_of(indexed))
    state_of(indexed).mkdir()
    admit(settings_of(indexed))  # an empty folder says nothing
    os.chown(state_of(indexed), 12345, -1)
    assert "12345" in refusal(indexed)


def test_root_on_behalf_of_a_user(
    indexed: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for git: after sudo, what belongs to the caller is ours."""
    if os.geteuid() != 0:
        pytest.skip("only root gives files away")
    os.chown(state_of(indexed), 12345, -1)
    monkeypatch.setenv("SUDO_UID", "12345")
    admit(settings_of(indexed))
    monkeypatch.setenv("SUDO_UID", "12346")
    assert "12345" in refusal(indexed)


@pytest.mark.parametrize("mode", [0o755, 0o770, 0o777, 0o701])
def test_a_folder_that_is_open_to_others(mode: int, indexed: Project) -> None:
    state_of(indexed).chmod(mode)
    assert f"chmod 700 {state_of(indexed)}" in refusal(indexed)


def test_a_file_system_without_owners_and_modes(
    indexed: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There, a folder that we make looks no better."""
    state = state_of(indexed)
    state.chmod(0o777)
    info = state.stat()
    monkeypatch.setattr(gate, "_made_beside", lambda path: info)
    admit(settings_of(indexed))
    if os.geteuid() == 0:
        os.chown(state, 12345, -1)
        assert "12345" in refusal(indexed)


def test_a_look_at_doubtful_state_leaves_nothing(indexed: Project) -> None:
    before = sorted(os.listdir(indexed.root / ".codx"))
    state_of(indexed).chmod(0o755)
    refusal(indexed)
    assert sorted(os.listdir(indexed.root / ".codx")) == before
    assert stat.S_IMODE(state_of(indexed).stat().st_mode) == 0o755


@pytest.mark.parametrize(
    "name", [".codx", ".codx/index", ".codx/index/lock", ".codx/index/milvus.db"]
)
def test_a_symlink(name: str, indexed: Project, tmp_path: Path) -> None:
    """What it leads to would be written, or cleared."""
    place, away = indexed.root / name, tmp_path / "away"
    place.rename(away)
    place.symlink_to(away)
    before = sorted(path.stat().st_mtime_ns for path in away.rglob("*"))
    for command in (["run", *QUICK], ["run", "--force"], ["clear", "-y"]):
        assert f"{place} is a symlink" in assert_one_line(indexed.command(*command), 1)
    assert sorted(path.stat().st_mtime_ns for path in away.rglob("*")) == before


@pytest.mark.parametrize("name", ["lock", "manifest.sqlite", "milvus.db/aliases.json"])
def test_a_hard_link(name: str, indexed: Project, tmp_path: Path) -> None:
    os.link(state_of(indexed) / name, tmp_path / "precious")
    assert "hard link" in refusal(indexed)


@pytest.mark.parametrize("name", ["stamp.json", "wiki.sqlite", "milvus.db/x"])
def test_a_fifo(name: str, indexed: Project) -> None:
    """Nothing opens it, because that would hang."""
    (state_of(indexed) / name).unlink(missing_ok=True)
    os.mkfifo(state_of(indexed) / name)
    line = assert_one_line(indexed.command("run", *QUICK), 1)
    assert f"{name} is neither a file nor a folder" in line


# What is believed


def test_a_job_that_restores_state_and_cache(indexed: Project, tmp_path: Path) -> None:
    indexed.git("add", ".")
    indexed.git("commit", "-qm", "first")
    restored = Project(tmp_path / "fresh", tmp_path / "restored")
    indexed.git("clone", "-q", ".", str(restored.root))
    for source, target in (
        (indexed.root, restored.root),
        (indexed.cache_dir, restored.cache_dir),
    ):
        names = [".codx/index"] if source == indexed.root else ["."]
        target.mkdir(exist_ok=True)
        packed = tmp_path / "packed.tar"
        subprocess.run(["tar", "-cf", packed, "-C", source, *names], check=True)
        subprocess.run(["tar", "-xf", packed, "-C", target], check=True)
    report = restored.run(*QUICK)
    assert report["status"] == "unchanged"
    assert report["chunks"]["upserted"] == 0


def test_a_project_that_moved(indexed: Project, tmp_path: Path) -> None:
    moved = Project(indexed.root.rename(tmp_path / "moved"), indexed.cache_dir)
    report = moved.run(*QUICK)
    assert (report["status"], report["chunks"]["upserted"]) == ("unchanged", 0)


def test_a_worktree(indexed: Project, tmp_path: Path) -> None:
    indexed.git("add", ".")
    indexed.git("commit", "-qm", "first")
    indexed.git("worktree", "add", "-q", str(tmp_path / "tree"))
    tree = Project(tmp_path / "tree", indexed.cache_dir)
    for status in ("updated", "unchanged"):
        assert tree.run(*QUICK)["status"] == status
