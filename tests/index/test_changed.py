"""Which files differ from a commit: as git says it, though git is not asked."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from conftest import Project
from git_calls import run_git

from indexer.config import Settings
from indexer.errors import GitError, UsageError
from indexer.index.changed import changed_files
from indexer.tree.git_index import GitIndex, read_index
from indexer.types import SourceFile


@pytest.fixture
def tree(project: Project) -> Project:
    """A repository with three committed files."""
    for name in ("a.py", "lib/b.py", "lib/c.py"):
        project.write(name, f"{name} = 1\n")
    project.git("add", "-A")
    project.git("commit", "-qm", "first")
    return project


def changed(tree: Project, ref: str = "HEAD", folder: str = "") -> set[str]:
    settings = Settings(str(tree.root / folder), str(tree.cache_dir), "model")
    return set(changed_files(settings, ref))


def test_nothing_has_changed(tree: Project) -> None:
    assert changed(tree) == set()
    os.utime(tree.root / "a.py", (1, 1))
    tree.write("lib/b.py", "lib/b.py = 1\n")
    assert changed(tree) == set()


def test_changes_of_all_kinds(tree: Project) -> None:
    tree.write(".gitignore", "*.log\n")
    tree.write("x.log", "ignored\n")
    tree.write("a.py", "a.py = 2\n")  # as long as before
    tree.write("staged.py", "x = 1\n")
    tree.git("add", "staged.py")
    tree.git("mv", "lib/b.py", "lib/renamed.py")
    (tree.root / "lib/c.py").unlink()
    tree.write(b"\xff.py".decode("utf-8", "surrogateescape"), "x = 1\n")
    expected = {".gitignore", "a.py", "staged.py", "lib/renamed.py", "\udcff.py"}
    assert changed(tree) == expected
    assert changed(tree, folder="lib") == {"renamed.py"}


def test_what_is_as_the_commit_has_it_again_has_not_changed(tree: Project) -> None:
    tree.write("a.py", "a.py = 2\n")
    tree.git("add", "a.py")
    tree.write("a.py", "a.py = 1\n")
    assert changed(tree) == set()


def test_what_a_branch_changed_since_it_left(tree: Project) -> None:
    tree.git("switch", "-qc", "ours")
    tree.write("a.py", "a.py = 2\n")
    tree.git("commit", "-qam", "ours")
    tree.git("switch", "-q", "main")
    tree.write("lib/b.py", "b = 2\n")
    tree.git("commit", "-qam", "theirs")
    tree.git("switch", "-q", "ours")
    assert changed(tree) == set()
    assert changed(tree, "main") == {"a.py"}
    assert changed(tree, "HEAD~1") == {"a.py"}
    tree.git("tag", "-am", "x", "release")
    assert changed(tree, "release") == set()


def test_a_change_that_hides(tree: Project) -> None:
    path = tree.root / "a.py"
    before = path.stat()
    path.write_text("a.py = 3\n")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert changed(tree) == {"a.py"}


def test_an_index_as_new_as_a_file_does_not_vouch_for_it(tree: Project) -> None:
    """The file may have been changed since without a trace in its stat fields."""
    entry = read_index(tree.root.as_posix()).entries[b"a.py"]
    file = SourceFile("a.py", entry.size, entry.mtime_ns, entry.ctime_ns, entry.inode)
    entries = {b"a.py": entry}
    assert GitIndex("", entry.mtime_ns + 10**9, entries, b"").vouches_for(b"a.py", file)
    assert not GitIndex("", entry.mtime_ns, entries, b"").vouches_for(b"a.py", file)


def test_no_filter_of_the_repository_runs(tree: Project, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    tree.git("config", "filter.evil.clean", f"touch '{mark}'; cat")
    tree.git("config", "core.fsmonitor", f"touch '{mark}'; false")
    tree.git("config", "diff.evil.textconv", f"touch '{mark}'; cat")
    tree.write(".git/info/attributes", "* filter=evil diff=evil\n")
    tree.write("a.py", "a.py = 2\n")
    os.utime(tree.root / "lib/b.py", (1, 1))
    assert changed(tree, "main") == {"a.py"}
    assert not mark.exists()
    # git itself runs it.
    tree.git("-c", "core.fsmonitor=", "diff", "--name-only", "HEAD")
    assert mark.exists()


def test_repositories_in_the_project(tree: Project, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    run_git(other, "init", "-qb", "main")
    for name in ("x.py", "y.py"):
        (other / name).write_text(f"{name} = 1\n")
    run_git(other, "add", "-A")
    run_git(other, "commit", "-qm", "x")
    run_git(tree.root, "submodule", "--quiet", "add", str(other), "sub")
    tree.git("commit", "-qam", "sub")
    run_git(tree.root, "clone", "-q", str(other), "nested")
    run_git(tree.root, "worktree", "add", "-q", ".trees/one")
    tree.write(".trees/one/a.py", "in a work tree that belongs to no tree\n")
    assert changed(tree) == set()
    tree.write("nested/x.py", "x = 2\n")
    tree.write("sub/x.py", "x = 2\n")
    run_git(tree.root / "sub", "commit", "-qam", "x")
    tree.write("sub/new.py", "x = 2\n")
    assert changed(tree) == {"nested/x.py", "sub/x.py", "sub/new.py"}
    # The submodule is not in that commit.
    assert changed(tree, "HEAD~1") == {
        *(".gitmodules", "nested/x.py"),
        *("sub/x.py", "sub/y.py", "sub/new.py"),
    }


def test_files_that_git_takes_as_they_are(tree: Project) -> None:
    tree.git("update-index", "--assume-unchanged", "a.py")
    tree.git("update-index", "--skip-worktree", "lib/c.py")
    tree.write("a.py", "a.py = 2\n")
    tree.write("lib/c.py", "c = 2\n")
    assert changed(tree) == set()


@pytest.mark.parametrize(
    "ref", ["-x", "--all", "nowhere", "HEAD..main", "a\0b", "^main"]
)
def test_no_such_commit(ref: str, tree: Project) -> None:
    with pytest.raises(UsageError, match="^git knows no commit "):
        changed(tree, ref)


def test_no_repository_no_commit_nothing_in_common(
    tree: Project, project: Project, tmp_path: Path
) -> None:
    settings = Settings(str(tmp_path), str(tree.cache_dir), "model")
    with pytest.raises(UsageError, match="not in a git repository"):
        changed_files(settings, "HEAD")
    with pytest.raises(UsageError, match="only in a project's folder"):
        changed_files(Settings("", "", "model"), "HEAD")
    tree.git("switch", "-q", "--orphan", "apart")
    with pytest.raises(UsageError, match="has no commits yet"):
        changed(tree, "main")
    tree.git("commit", "-q", "--allow-empty", "-m", "apart")
    with pytest.raises(UsageError, match="no commit in common"):
        changed(tree, "main")


def test_files_that_cannot_be_compared(tree: Project) -> None:
    """They differ as far as anyone can tell."""
    os.mkfifo(tree.root / "pipe")
    (tree.root / "lib/b.py").unlink()
    (tree.root / "lib/b.py").symlink_to("c.py")
    tree.write("a.py", "x" * 2_000_000)
    assert changed(tree) == {"a.py"}


def test_a_repository_that_git_refuses(tree: Project) -> None:
    (tree.root / ".git/HEAD").write_text("nonsense\n")
    with pytest.raises(GitError):
        changed(tree)
