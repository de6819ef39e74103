"""Repositories, work trees and plain folders that lie in each other: the table in docs/reference/files.md.

git is the oracle where it has a rule. The first column of the table names the tests.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from git_calls import run_git

from indexer.errors import GitError
from indexer.tree import scan as scanning
from indexer.tree.scan import Scan

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "files.md"
ALLOWED = ("-c", "protocol.file.allow=always")
EVERYWHERE = pytest.mark.parametrize("around", ["git", "plain"])


@pytest.fixture(autouse=True)
def no_personal_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "no-home"))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)


@pytest.fixture
def top(tmp_path: Path) -> Path:
    (tmp_path / "top").mkdir()
    return tmp_path / "top"


def write(folder: Path, *names: str, text: str = "x = 1\n") -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def repository(folder: Path, *names: str, options: tuple[str, ...] = ()) -> Path:
    """A repository with some committed files."""
    folder.mkdir(parents=True, exist_ok=True)
    run_git(folder, "init", "-q", "-b", "main", *options)
    write(folder, *names)
    run_git(folder, "add", "-A")
    run_git(folder, "commit", "-q", "--allow-empty", "-m", "first")
    return folder


def linked(of: Path, folder: Path) -> Path:
    run_git(of, "worktree", "add", "-q", "--detach", str(folder))
    return folder


def make(around: str, top: Path) -> Path:
    """The folder around what is tested: a work tree, or a plain folder."""
    if around == "git":
        repository(top, "a.py")
    else:
        write(top, "a.py")
    return top


def scan(folder: Path, *, uses_git: bool = True, recurses: bool = True) -> Scan:
    return scanning.scan(
        str(folder),
        max_file_size=1_000_000,
        own_paths=[],
        uses_git=uses_git,
        recurse_submodules=recurses,
    )


def paths(result: Scan) -> list[str]:
    assert result.failures == []
    return [file.path for file in result.files]


# What the project itself is


def test_work_tree(top: Path) -> None:
    repository(top, "a.py", "ignored.log")
    write(top, ".gitignore", text="*.log\n")
    write(top, "new.py", "other.log")
    assert paths(scan(top)) == [".gitignore", "a.py", "ignored.log", "new.py"]


def test_folder_in_a_work_tree(top: Path) -> None:
    repository(top, "a.py", "src/b.py")
    linked(top, top / "src/.worktrees/x")
    result = scan(top / "src")
    assert paths(result) == ["b.py"]
    assert result.left_out == {".worktrees/x/": "worktree"}


def test_linked_work_tree(top: Path, tmp_path: Path) -> None:
    repository(top, "a.py", "src/b.py")
    inner = linked(top, top / ".worktrees/x")
    write(inner, "new.py")
    for folder in (inner, linked(top, tmp_path / "outside")):
        assert {"a.py", "src/b.py"} <= set(paths(scan(folder)))
    assert paths(scan(inner / "src")) == ["b.py"]


def test_main_work_tree_in_a_linked_one(top: Path, tmp_path: Path) -> None:
    """The project counts, however it lies."""
    main = repository(tmp_path / "main", "a.py")
    linked(main, top / "wt")
    shutil.move(main, top / "wt/main")
    run_git(top / "wt/main", "worktree", "repair", str(top / "wt"))
    result = scan(top / "wt")
    assert paths(result) == ["a.py"]
    assert result.skipped == {"worktree": 1}


def test_project_of_which_git_lies_elsewhere(top: Path, tmp_path: Path) -> None:
    repository(top, "a.py", options=("--separate-git-dir", str(tmp_path / "g")))
    linked(top, top / "wt")
    result = scan(top)
    assert paths(result) == ["a.py"]
    assert result.skipped == {"worktree": 1}


@pytest.mark.parametrize("form", ["bare", "folder of a bare one", ".git is bare"])
def test_bare_repository(form: str, top: Path, tmp_path: Path) -> None:
    source = repository(tmp_path / "source", "a.py")
    name = {"bare": ".", "folder of a bare one": ".bare"}.get(form, ".git")
    run_git(top, "clone", "-q", "--bare", str(source), name)
    if name == ".bare":
        write(top, ".git", text="gitdir: ./.bare\n")
    places = [top, *([top / "hooks"] if name == "." else [])]
    for place in places:
        with pytest.raises(GitError, match="bare repository .* git worktree add"):
            scan(place)
    linked(top, top / "wt")
    for place in places:
        with pytest.raises(GitError, match=rf"such as {re.escape(str(top))}/wt "):
            scan(place)
    assert paths(scan(top / "wt")) == ["a.py"]
    scan(top, uses_git=False)


def test_inside_of_git(top: Path) -> None:
    repository(top, "a.py")
    for name in (".git", ".git/refs"):
        with pytest.raises(GitError, match=f"keeps the repository of {top}: index"):
            scan(top / name)


def test_work_tree_whose_repository_is_gone(top: Path, tmp_path: Path) -> None:
    main = repository(tmp_path / "main", "a.py")
    linked(main, top / "wt")
    shutil.rmtree(main)
    with pytest.raises(GitError, match="was removed or moved.*git worktree repair"):
        scan(top / "wt")
    assert paths(scan(top / "wt", uses_git=False)) == ["a.py"]


def test_sparse_checkout(top: Path) -> None:
    repository(top, "a.py", "src/b.py", "lib/c.py")
    run_git(top, "sparse-checkout", "set", "--cone", "src")
    write(top, "lib/c.py", "lib/new.py")  # against git's advice
    assert paths(scan(top)) == ["a.py", "lib/c.py", "lib/new.py", "src/b.py"]
    shutil.rmtree(top / "lib")
    assert paths(scan(top)) == ["a.py", "src/b.py"]


def test_partial_clone(top: Path, tmp_path: Path) -> None:
    source = repository(tmp_path / "source", "a.py", "src/b.py")
    run_git(source, "config", "uploadpack.allowFilter", "true")
    url = f"file://{source}"
    run_git(top, "clone", "-q", "--filter=blob:none", "--sparse", url, "p")
    run_git(top / "p", "config", "remote.origin.url", "/nowhere")
    assert paths(scan(top / "p")) == ["a.py"]


# What lies below


@EVERYWHERE
@pytest.mark.parametrize("form", ["main", "separate", "no commit", "sha256"])
def test_repository_below(form: str, around: str, top: Path, tmp_path: Path) -> None:
    make(around, top)
    options = {
        "separate": ("--separate-git-dir", str(tmp_path / "g")),
        "sha256": ("--object-format=sha256",),
    }.get(form, ())
    inner = repository(top / "lib/inner", options=options)
    if form == "no commit":
        shutil.rmtree(inner / ".git")
        run_git(inner, "init", "-q")
    write(inner, ".git-exclude-test.py", "tracked.py", "new.py", "private.py")
    (inner / ".git-exclude-test.py").unlink()
    run_git(inner, "add", "tracked.py")
    exclude = run_git(
        inner, "rev-parse", "--path-format=absolute", "--git-path", "info/exclude"
    )
    Path(os.fsdecode(exclude.rstrip(b"\n"))).parent.mkdir(exist_ok=True)
    Path(os.fsdecode(exclude.rstrip(b"\n"))).write_text("private.py\ntracked.py\n")
    expected = ["a.py", "lib/inner/new.py", "lib/inner/tracked.py"]
    assert paths(scan(top)) == expected
    assert paths(scan(top, uses_git=False)) == sorted(
        [*expected, "lib/inner/private.py"]
    )


def test_ignored_repository_below(top: Path) -> None:
    make("git", top)
    repository(top / "inner", "b.py")
    write(top, ".gitignore", text="inner\n")
    assert paths(scan(top)) == [".gitignore", "a.py"]
    shutil.rmtree(top / ".git")
    assert paths(scan(top)) == [".gitignore", "a.py"]


@EVERYWHERE
def test_symlink_to_a_repository(around: str, top: Path, tmp_path: Path) -> None:
    make(around, top)
    (top / "link").symlink_to(repository(tmp_path / "other", "b.py"))
    result = scan(top)
    assert paths(result) == ["a.py"]
    assert result.skipped == {"symlink": 1}


@EVERYWHERE
@pytest.mark.parametrize("form", ["no HEAD", "leads nowhere", "empty", "text"])
def test_no_repository_below(form: str, around: str, top: Path) -> None:
    """What git takes for no repository is a folder like any other."""
    make(around, top)
    inner = repository(top / "inner", "b.py")
    if form == "no HEAD":
        (inner / ".git/HEAD").unlink()
    else:
        shutil.rmtree(inner / ".git")
        if form == "empty":
            (inner / ".git").mkdir()
        else:
            text = "gitdir: /nowhere/at/all\n" if form == "leads nowhere" else "x\n"
            (inner / ".git").write_text(text)
    if around == "git":
        listed = run_git(top, "ls-files", "--others").splitlines()
        if listed != [b"inner/b.py"]:
            pytest.skip(f"git says {listed}")
    assert paths(scan(top)) == ["a.py", "inner/b.py"]


@EVERYWHERE
def test_refused_repository_below(around: str, top: Path) -> None:
    make(around, top)
    inner = repository(top / "inner", "b.py")
    (inner / ".git/config").write_text("[core\n")
    with pytest.raises(GitError, match="inner"):
        scan(top)


@EVERYWHERE
def test_bare_repository_below(around: str, top: Path, tmp_path: Path) -> None:
    make(around, top)
    source = repository(tmp_path / "source", "b.py")
    run_git(top, "clone", "-q", "--bare", str(source), "mirror.git")
    result = scan(top)
    assert paths(result) == ["a.py"]
    assert result.left_out == {"mirror.git/": "excluded_by_default"}
    if around == "git":  # as a project does that tests with it
        run_git(top, "add", "mirror.git/config", "mirror.git/HEAD")
        tracked = ["a.py", "mirror.git/HEAD", "mirror.git/config"]
        assert paths(scan(top)) == tracked


def test_repository_in_a_tool_folder(top: Path) -> None:
    make("git", top)
    broken = repository(top / ".venv/src/inner", "b.py")
    (broken / ".git/config").write_text("[core\n")
    result = scan(top)
    assert paths(result) == ["a.py"]
    assert result.left_out == {".venv/": "excluded_by_default"}
    shutil.rmtree(top / ".git")
    assert paths(scan(top)) == ["a.py"]


# Submodules


@pytest.fixture
def with_submodule(top: Path, tmp_path: Path) -> Path:
    library = repository(tmp_path / "library", "lib.py")
    make("git", top)
    run_git(top, *ALLOWED, "submodule", "--quiet", "add", str(library), "sub")
    run_git(top, "commit", "-qm", "submodule")
    return top


INNER = [".gitmodules", "a.py", "sub/lib.py"]


def test_submodule(with_submodule: Path) -> None:
    assert paths(scan(with_submodule)) == INNER
    assert paths(scan(with_submodule, recurses=False)) == INNER[:2]
    assert paths(scan(with_submodule, uses_git=False)) == INNER
    write(with_submodule / "sub", "new.py", "node_modules/m.js")
    assert paths(scan(with_submodule)) == [*INNER, "sub/new.py"]


def test_submodule_that_is_not_absorbed(top: Path) -> None:
    make("git", top)
    repository(top / "sub", "lib.py")
    run_git(top, *ALLOWED, "submodule", "--quiet", "add", "./sub", "sub")
    assert (top / "sub/.git").is_dir()
    assert paths(scan(top)) == INNER
    run_git(top, "submodule", "--quiet", "absorbgitdirs")
    assert (top / "sub/.git").is_file()
    assert paths(scan(top)) == INNER


def test_gitlink_without_a_submodule(top: Path) -> None:
    make("git", top)
    repository(top / "sub", "lib.py")
    run_git(top, "add", "sub")
    assert paths(scan(top)) == ["a.py", "sub/lib.py"]
    assert paths(scan(top, recurses=False)) == ["a.py"]


def test_submodule_that_is_not_checked_out(
    with_submodule: Path, tmp_path: Path
) -> None:
    run_git(tmp_path, "clone", "-q", str(with_submodule), "clone")
    assert paths(scan(tmp_path / "clone")) == INNER[:2]
    run_git(with_submodule, "submodule", "--quiet", "deinit", "--all")
    assert paths(scan(with_submodule)) == INNER[:2]
    # git takes what lies in its place for its own.
    write(with_submodule / "sub", "loose.py")
    assert run_git(with_submodule, "ls-files", "--others") == b""
    assert paths(scan(with_submodule)) == INNER[:2]


def test_submodule_whose_repository_is_gone(with_submodule: Path) -> None:
    shutil.rmtree(with_submodule / ".git/modules")
    with pytest.raises(GitError, match="sub: not a git repository"):
        scan(with_submodule)


def test_submodule_in_a_submodule(with_submodule: Path, tmp_path: Path) -> None:
    outer = repository(tmp_path / "outer", "o.py")
    source = str(with_submodule)
    run_git(outer, *ALLOWED, "submodule", "--quiet", "add", source, "mid")
    expected = [".gitmodules", "mid/.gitmodules", "mid/a.py", "o.py"]
    assert paths(scan(outer)) == expected
    run_git(outer, *ALLOWED, "submodule", "--quiet", "update", "--init", "--recursive")
    assert paths(scan(outer)) == sorted([*expected, "mid/sub/lib.py"])


def test_submodule_in_a_linked_work_tree(with_submodule: Path, tmp_path: Path) -> None:
    second = linked(with_submodule, tmp_path / "second")
    run_git(second, *ALLOWED, "submodule", "--quiet", "update", "--init")
    assert paths(scan(second)) == INNER


def test_work_tree_of_a_submodule(with_submodule: Path) -> None:
    linked(with_submodule / "sub", with_submodule / "sub-work")
    result = scan(with_submodule)
    assert paths(result) == INNER
    assert result.left_out == {"sub-work/": "worktree"}
    result = scan(with_submodule, recurses=False)
    assert paths(result) == [*INNER[:2], "sub-work/lib.py"]


# Other work trees


@pytest.mark.parametrize("where", [".worktrees/x", ".claude/worktrees/x", "a/b/c/d"])
@pytest.mark.parametrize("act", ["none", "gitlink", "forgotten", "moved", "locked"])
def test_other_work_tree_below(act: str, where: str, top: Path) -> None:
    make("git", top)
    inner = linked(top, top / where)
    write(inner, "new.py")
    repository(inner / "nested", "deep.py")
    if act == "gitlink":
        run_git(top, "add", where)
    elif act == "forgotten":
        shutil.rmtree(top / ".git/worktrees")
    elif act == "moved":
        top = top.rename(top.with_name("moved"))
    elif act == "locked":
        run_git(top, "worktree", "lock", where)
    for uses_git in (True, False):
        result = scan(top, uses_git=uses_git)
        assert paths(result) == ["a.py"]
        assert result.left_out == {f"{where}/": "worktree"}
        assert result.skipped == {"worktree": 1}


@pytest.mark.parametrize("where", ["a-work", "n/work", "z-work", "a/b/work"])
@pytest.mark.parametrize("act", ["none", "forgotten", "moved", "moved and forgotten"])
@pytest.mark.parametrize("inner", ["n", "n/deep"])
@EVERYWHERE
def test_other_work_tree_of_a_nested_repository(
    around: str, inner: str, act: str, where: str, top: Path
) -> None:
    """Whichever is met first, the work tree is left out with the repository in it."""
    make(around, top)
    repository(top / "n", "n.py")
    if inner != "n":
        repository(top / inner, "n.py")
    work = linked(top / inner, top / where)
    write(work, "new.py")
    repository(work / "nested", "deep.py")
    if act.startswith("moved"):
        top = top.rename(top.with_name("moved"))
    if act.endswith("forgotten"):
        shutil.rmtree(top / inner / ".git/worktrees")
    for uses_git in (True, False):
        result = scan(top, uses_git=uses_git)
        if act == "moved and forgotten":  # it is nobody's, like any folder
            assert f"{where}/nested/deep.py" in paths(result)
            continue
        assert paths(result) == sorted({"a.py", "n/n.py", f"{inner}/n.py"})
        assert result.left_out == {f"{where}/": "worktree"}


def test_other_work_tree_that_git_ignores(top: Path) -> None:
    make("git", top)
    linked(top, top / ".worktrees/x")
    write(top, ".gitignore", text=".worktrees/\n")
    result = scan(top)
    assert paths(result) == [".gitignore", "a.py"]
    assert result.skipped == {}


def test_work_trees_side_by_side(top: Path, tmp_path: Path) -> None:
    """In a plain folder, the main one counts, or else the first by its name."""
    main = repository(top / "main", "m.py")
    linked(main, top / "a-linked")
    linked(main, top / "z-linked")
    for uses_git in (True, False):
        result = scan(top, uses_git=uses_git)
        assert paths(result) == ["main/m.py"]
        assert result.skipped == {"worktree": 2}
    shutil.move(main, tmp_path / "elsewhere")
    run_git(
        tmp_path / "elsewhere",
        *("worktree", "repair", str(top / "a-linked"), str(top / "z-linked")),
    )
    result = scan(top)
    assert paths(result) == ["a-linked/m.py"]
    assert result.left_out == {"z-linked/": "worktree"}


@EVERYWHERE
def test_work_tree_of_another_repository(
    around: str, top: Path, tmp_path: Path
) -> None:
    make(around, top)
    other = repository(tmp_path / "other", "b.py")
    write(linked(other, top / "wt"), "new.py")
    repository(top / "wt/nested", "c.py")
    expected = ["a.py", "wt/b.py", "wt/nested/c.py", "wt/new.py"]
    assert paths(scan(top)) == expected
    shutil.rmtree(other)  # git has nothing of it any more
    assert paths(scan(top)) == expected


def test_work_trees_of_a_bare_repository_below(top: Path, tmp_path: Path) -> None:
    source = repository(tmp_path / "source", "b.py")
    write(top, "a.py")
    run_git(top, "clone", "-q", "--bare", str(source), ".bare")
    write(linked(top / ".bare", top / "one"), "new.py")
    linked(top / ".bare", top / "two")
    result = scan(top)
    assert paths(result) == ["a.py", "one/b.py", "one/new.py"]
    assert result.skipped == {"excluded_by_default": 1, "worktree": 1}


def test_clone_of_the_project_below(top: Path) -> None:
    """It has a repository of its own, and may have other files."""
    make("git", top)
    run_git(top, "clone", "-q", "--shared", ".", "copy")
    assert paths(scan(top)) == ["a.py", "copy/a.py"]


def test_git_file_that_leads_to_the_repository_around(top: Path) -> None:
    """git takes the folder for another work tree, with the same index."""
    make("git", top)
    write(top, "sub/b.py")
    write(top, "sub/.git", text="gitdir: ../.git\n")
    result = scan(top)
    assert paths(result) == ["a.py"]
    assert result.left_out == {"sub/": "worktree"}


# The page


def test_each_row_of_the_table_has_a_test() -> None:
    named = re.findall(r"^\|.*`(test_\w+)` \|$", PAGE.read_text(), re.M)
    found: dict[str, Callable[..., None]] = {
        name: value for name, value in globals().items() if name.startswith("test_")
    }
    assert set(named) == set(found) - {"test_each_row_of_the_table_has_a_test"}
